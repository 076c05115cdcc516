"""All figures that something is wanted of, as bars in one SVG.

The scale of each bar is its own: the line in it is what is wanted, and a bar that has to reach
the line ends right of it if it does, one that must not cross it left of it.
"""

from collections.abc import Iterator, Sequence
from html import escape

from bench.report import Figure, Machine, Section, Threshold

_WIDTH, _LEFT, _RIGHT = 960, 430, 190
_BAR, _ROW, _HEAD, _TITLE = 12, 20, 30, 44
_LONGEST = _WIDTH - _LEFT - _RIGHT
_WANTED_AT = 0.6
_STYLE = """\
text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold } .what { text-anchor: end }
.met { fill: #3a7d5c } .missed { fill: #c0392b } .wanted { stroke: #222; stroke-width: 1.5 }
.scale { fill: #eee }"""


def svg(on: Machine, sections: Sequence[Section]) -> str:
    """Draw the sections one below the other."""
    rows = [row for section in sections for row in _rows(section)]
    height = _TITLE + sum(_HEAD if isinstance(row, str) else _ROW for row in rows) + _ROW
    machine = f"{on.kernel}, {on.processors} processors ({on.processor})"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">',
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="16" y="22">{escape(machine)}; the line is what is wanted</text>',
    ]
    y = _TITLE
    for row in rows:
        parts += _head(row, y) if isinstance(row, str) else _bar(*row, y)
        y += _HEAD if isinstance(row, str) else _ROW
    return "\n".join([*parts, "</svg>\n"])


def _rows(section: Section) -> Iterator[str | tuple[Figure, Threshold]]:
    """Yield the title of a section and what is wanted in it, nothing if nothing is."""
    wanted = [(each, each.threshold) for each in section.figures if each.threshold]
    if wanted:
        yield section.title + (f" / {section.reference}" if section.reference else "")
    yield from wanted


def _head(title: str, y: int) -> Iterator[str]:
    yield f'<text class="title" x="16" y="{y + 20}">{escape(title)}</text>'


def _bar(each: Figure, wanted: Threshold, y: int) -> Iterator[str]:
    is_ratio = wanted.of == "ratio" and each.ratio is not None
    value = each.ratio if is_ratio and each.ratio is not None else each.median
    bound = wanted.at_least if wanted.at_least is not None else wanted.at_most or 0.0
    share = min(value / bound * _WANTED_AT, 1.0) if bound else float(value > 0)
    line = _LEFT + _LONGEST * (_WANTED_AT if bound else 0.0)
    sign = "≥" if wanted.at_least is not None else "≤"
    text = f"{value:,.3g} {'' if is_ratio else each.unit} ({sign} {bound:,.3g})"
    yield f'<text class="what" x="{_LEFT - 8}" y="{y + 10}">{escape(each.what)}</text>'
    yield f'<rect class="scale" x="{_LEFT}" y="{y}" width="{_LONGEST}" height="{_BAR}"/>'
    yield (
        f'<rect class="{"met" if wanted.met else "missed"}" x="{_LEFT}" y="{y}" '
        f'width="{share * _LONGEST:.1f}" height="{_BAR}"/>'
    )
    yield f'<path class="wanted" d="M{line:.1f} {y - 2}v{_BAR + 4}"/>'
    yield f'<text x="{_LEFT + _LONGEST + 8}" y="{y + 10}">{escape(text)}</text>'
