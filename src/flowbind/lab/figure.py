"""The topology drawn as SVG, after figure 1 of RFC 7629."""

from collections.abc import Iterator

from flowbind.lab import topology

_WIDTH, _HEIGHT = 900, 276
_ROWS = (50, 138, 226)
_MIDDLE = 138


def figure() -> str:
    """Draw the network of the lab."""
    parts = [
        f'<svg class="figure" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        "<title>Topology: a mobile node with three access networks and its home agent</title>",
        *_wires(),
        *_box(4, "mobile node", topology.HOME_ADDRESS, "home address"),
        *_box(488, "internet", "router", ""),
        *_box(630, "home agent", topology.HOME_AGENT, f"home {topology.HOME_NETWORK}"),
        *_box(784, "correspondent", topology.CORRESPONDENT, ""),
    ]
    for access, y in zip(topology.ACCESSES, _ROWS, strict=True):
        parts += _cloud(access, y)
    return "\n".join([*parts, "</svg>"])


def _box(x: int, name: str, first: str, second: str) -> Iterator[str]:
    width = 112
    middle = x + width / 2
    yield f'<rect class="box" x="{x}" y="{_MIDDLE - 34}" width="{width}" height="68" rx="8"/>'
    yield f'<text class="name" x="{middle:g}" y="{_MIDDLE - 8}">{name}</text>'
    yield f'<text class="small" x="{middle:g}" y="{_MIDDLE + 9}">{first}</text>'
    yield f'<text class="small" x="{middle:g}" y="{_MIDDLE + 23}">{second}</text>'


def _cloud(access: topology.Access, y: int) -> Iterator[str]:
    yield f'<ellipse class="cloud {access.name}" cx="320" cy="{y}" rx="82" ry="34"/>'
    yield f'<text class="name {access.name}" x="320" y="{y - 2}">{access.title}</text>'
    rate = f"{access.encapsulation}, {access.rate_mbit} Mbit/s, weight {access.weight}"
    yield f'<text class="small" x="320" y="{y + 14}">{rate}</text>'
    label_y = y + 20 if y > _MIDDLE else y - 12
    label = f"{access.interface} {access.care_of_address}"
    yield f'<text class="small end" x="238" y="{label_y}">{label}</text>'


def _wires() -> Iterator[str]:
    for access, y in zip(topology.ACCESSES, _ROWS, strict=True):
        there, back = f"C150 {_MIDDLE} 150 {y} 238 {y}", f"C480 {y} 460 {_MIDDLE} 488 {_MIDDLE}"
        path = f"M116 {_MIDDLE}{there}H402{back}"
        tunnel = f"{path}H630"
        yield f'<path class="tunnel {access.name}" d="{tunnel}"/>'
        yield f'<path class="wire" d="{path}"/>'
    yield f'<path class="wire" d="M600 {_MIDDLE}H630M742 {_MIDDLE}H784"/>'
