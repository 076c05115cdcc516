"""Time plots as SVG: packets per second on each access network."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from msgspec import Struct

from flowbind.lab.traffic.tally import BIN_S

_MERGED_BINS = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 8.0, 22.0, 24.0
_Y_STEPS = 3
_STEPS = (1, 2, 2.5, 5, 10)
_X_TICKS = 8
_LABEL_ROOM = 14.0


class Frame(Struct, frozen=True):
    """The size of a plot, and the stretch of time it shows, in seconds of the story."""

    width: float
    height: float
    start_s: float
    end_s: float
    x_label: bool = True

    def x(self, at_s: float) -> float:
        """Place a moment."""
        inner = self.width - _LEFT - _RIGHT
        return _LEFT + inner * (at_s - self.start_s) / max(self.end_s - self.start_s, 0.1)

    def y(self, value: float, top: float) -> float:
        """Place a value, of which `top` is the highest."""
        inner = self.height - _TOP - _BOTTOM
        return self.height - _BOTTOM - inner * value / top


class Line(Struct, frozen=True):
    """A vertical line with a label: a mark, or the begin of a phase."""

    at_s: float
    label: str
    title: str


def plot(
    title: str, packets: Mapping[str, Sequence[int]], frame: Frame, lines: Sequence[Line] = ()
) -> str:
    """Draw one plot. `packets` holds counts per bin since the begin of the story."""
    rates = {network: _rates(counts, frame) for network, counts in packets.items()}
    highest = max((rate for points in rates.values() for _, rate in points), default=0.0)
    top, step = _nice_top(highest)
    parts = [
        f'<svg class="plot" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text class="plot-title" x="{_LEFT:g}" y="12">{escape(title)}</text>',
        f'<text x="{frame.width - _RIGHT:g}" y="12" text-anchor="end">packets/s</text>',
        *_y_axis(frame, top, step),
        *_x_axis(frame),
        *_marks(frame, lines),
    ]
    for network, points in rates.items():
        if any(rate for _, rate in points):
            parts += _curve(network, points, frame, top)
    return "\n".join([*parts, "</svg>"])


def _rates(counts: Sequence[int], frame: Frame) -> list[tuple[float, float]]:
    first = max(0, math.floor(frame.start_s / BIN_S))
    last = min(len(counts), math.ceil(frame.end_s / BIN_S))
    width_s = _MERGED_BINS * BIN_S
    return [
        (at * BIN_S + width_s / 2, sum(counts[at : at + _MERGED_BINS]) / width_s)
        for at in range(first, last - _MERGED_BINS + 1, _MERGED_BINS)
    ]


def _nice_top(highest: float) -> tuple[float, float]:
    rough = max(highest, 1.0) / _Y_STEPS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(each * magnitude for each in _STEPS if each * magnitude >= rough)
    return step * _Y_STEPS, step


def _y_axis(frame: Frame, top: float, step: float) -> Iterator[str]:
    for i in range(_Y_STEPS + 1):
        y = frame.y(i * step, top)
        kind = "axis" if i == 0 else "grid"
        yield f'<path class="{kind}" d="M{_LEFT:g} {y:.1f}H{frame.width - _RIGHT:g}"/>'
        yield (
            f'<text class="tick" x="{_LEFT - 5:g}" y="{y + 3:.1f}" text-anchor="end">'
            f"{i * step:,.4g}</text>"
        )


def _x_axis(frame: Frame) -> Iterator[str]:
    if not frame.x_label:
        return
    rough = (frame.end_s - frame.start_s) / _X_TICKS
    step = max(1, next(each for each in (1, 2, 5, 10, 20, 50, 100, 1000) if each >= rough))
    y = frame.height - _BOTTOM + 13
    for at_s in range(math.ceil(frame.start_s / step) * step, math.floor(frame.end_s) + 1, step):
        x = frame.x(at_s)
        unit = " s" if at_s + step > frame.end_s else ""
        yield f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{at_s}{unit}</text>'


def _marks(frame: Frame, lines: Sequence[Line]) -> Iterator[str]:
    previous_x = -math.inf
    for line in lines:
        x = frame.x(line.at_s)
        bottom = frame.height - _BOTTOM
        yield f'<path class="mark" d="M{x:.1f} {_TOP - 2:g}V{bottom:g}"/>'
        if line.label:
            label_x = max(x, previous_x + _LABEL_ROOM)
            previous_x = label_x
            yield (
                f'<text class="mark-label" x="{label_x:.1f}" y="{_TOP + 6:g}">'
                f"<title>{escape(line.title)}</title>{escape(line.label)}</text>"
            )


def _curve(
    network: str, points: Sequence[tuple[float, float]], frame: Frame, top: float
) -> Iterator[str]:
    floor = frame.y(0, top)
    for run in _busy_runs(points):
        path = "L".join(f"{frame.x(at_s):.1f} {frame.y(rate, top):.1f}" for at_s, rate in run)
        first, last = frame.x(run[0][0]), frame.x(run[-1][0])
        area = f"M{first:.1f} {floor:.1f}L{path}L{last:.1f} {floor:.1f}Z"
        yield f'<path class="area {network}" d="{area}"/>'
        yield f'<path class="line {network}" d="M{path}"/>'


def _busy_runs(points: Sequence[tuple[float, float]]) -> Iterator[Sequence[tuple[float, float]]]:
    """Leave out the stretches without a packet, where lines would only hide each other."""
    start = None
    for i, (_, rate) in enumerate(points):
        if rate and start is None:
            start = max(0, i - 1)
        if not rate and start is not None:
            yield points[start : i + 1]
            start = None
    if start is not None:
        yield points[start:]
