"""The story as one HTML page: no script, nothing fetched, light and dark, printable."""

import time
from collections.abc import Iterator
from html import escape

from flowbind.lab import topology
from flowbind.lab.figure import figure
from flowbind.lab.plot import Frame, Line, plot
from flowbind.lab.results import FlowResult, PhaseResult, StoryResult, complaints
from flowbind.lab.traffic.tally import BIN_S

_GROUPS = (
    ("Voice (RTP and SIP)", ("rtp", "sip")),
    ("HTTP download", ("http",)),
    ("400 flows that no rule names", ("unnamed",)),
    ("Telemetry", ("telemetry",)),
)
_OVERVIEW = (860.0, 120.0)
_PANEL = (424.0, 150.0)

_STYLE = """
:root { color-scheme: light dark;
  --paper: #fdfdfc; --ink: #1c1d20; --soft: #63666d; --rule: #dddfe3; --card: #ffffff;
  --wlan: #1f6fd1; --lte: #d9660a; --cdma: #0c8f6f; --good: #17794b; --bad: #c4261d; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #15171a; --ink: #e9eaec; --soft: #9da2ab; --rule: #33373d; --card: #1c1f23;
  --wlan: #6cabff; --lte: #ff9d4d; --cdma: #3fcfa8; --good: #55c98f; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 940px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0; letter-spacing: -0.005em; }
p { margin: 0 0 12px; max-width: 72ch; }
.soft { color: var(--soft); }
section { margin-top: 28px; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 20px; }
.head { display: flex; gap: 12px; align-items: baseline; margin-bottom: 10px; }
.number { color: var(--soft); font-variant-numeric: tabular-nums; }
.verdict { margin-left: auto; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); }
.legend { display: flex; gap: 18px; font-size: 13px; margin: 4px 0 10px; }
.legend i { display: inline-block; width: 18px; height: 3px; border-radius: 2px;
  margin-right: 6px; vertical-align: middle; }
i.wlan { background: var(--wlan); } i.lte { background: var(--lte); }
i.cdma { background: var(--cdma); }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 8px; }
.scroll { overflow-x: auto; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 10.5px system-ui, "Segoe UI", Arial, sans-serif; fill: var(--soft); }
svg .plot-title { font-size: 12px; font-weight: 600; fill: var(--ink); }
svg .name { font-size: 12px; font-weight: 600; fill: var(--ink); text-anchor: middle; }
svg .small { font-size: 11px; text-anchor: middle; } svg .small.end { text-anchor: end; }
svg .tick { font-variant-numeric: tabular-nums; }
svg .axis { stroke: var(--soft); } svg .grid { stroke: var(--rule); }
svg .mark { stroke: var(--soft); stroke-dasharray: 2 3; }
svg .mark-label { font-weight: 600; fill: var(--ink); stroke: var(--card); stroke-width: 3px;
  paint-order: stroke; }
svg path { fill: none; } svg .line { stroke-width: 1.6; stroke-linejoin: round; }
.line.wlan, .tunnel.wlan, .cloud.wlan { stroke: var(--wlan); }
.line.lte, .tunnel.lte, .cloud.lte { stroke: var(--lte); }
.line.cdma, .tunnel.cdma, .cloud.cdma { stroke: var(--cdma); }
svg .area { fill-opacity: 0.14; } svg .area.wlan { fill: var(--wlan); }
svg .area.lte { fill: var(--lte); } svg .area.cdma { fill: var(--cdma); }
svg .box, svg .cloud { fill: var(--card); stroke-width: 1.5; } svg .box { stroke: var(--ink); }
svg .wire { stroke: var(--ink); stroke-width: 1.2; }
svg .tunnel { stroke-width: 9; stroke-opacity: 0.3; stroke-linecap: round; }
svg .name.wlan { fill: var(--wlan); } svg .name.lte { fill: var(--lte); }
svg .name.cdma { fill: var(--cdma); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; margin-top: 10px; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-top: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 500; border-top: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.seen { font-weight: 600; } td.nothing { color: var(--soft); }
ol, ul { margin: 8px 0 0; padding-left: 22px; font-size: 13.5px; }
ol.marks { list-style: none; padding-left: 0; color: var(--soft); }
ol.marks b { display: inline-block; min-width: 18px; color: var(--ink); }
@media print { body { font-size: 11px; } main { max-width: none; padding: 0; }
  .card { break-inside: avoid; border-color: #ccc; } }
"""


def page(result: StoryResult) -> str:
    """Return the whole page."""
    began_at = result.first_bin * BIN_S
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began_at))
    good = sum(phase.ok for phase in result.phases)
    verdict = "Everything held" if result.ok else "Not everything held"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            "<title>flowbind: RFC 7629 on real packets</title>",
            f"<style>{_STYLE}</style></head><body><main>",
            "<h1>RFC 7629 on real packets</h1>",
            f'<p class="soft">Two real daemons, seven network namespaces, {when}.</p>',
            f'<p><strong class="{"good" if result.ok else "bad"}">{verdict}:</strong> '
            f"{good} of 8 phases hold. Every packet below was counted by the kernel of an access "
            "router, by its inner addresses and ports. Nothing was read from the daemons' own "
            "counters.</p>",
            f'<section class="card scroll">{figure()}</section>',
            *_overview(result, began_at),
            *(part for phase in result.phases for part in _phase(result, phase, began_at)),
            *_evidence(result),
            "</main></body></html>",
            "",
        ]
    )


def _legend() -> str:
    items = "".join(
        f'<span><i class="{access.name}"></i>{access.title}</span>' for access in topology.ACCESSES
    )
    return f'<div class="legend">{items}</div>'


def _packets(result: StoryResult, flows: tuple[str, ...]) -> dict[str, list[int]]:
    wanted = [series.packets for series in result.series if series.flow in flows]
    if not wanted:
        return {}
    return {
        network: [sum(column) for column in zip(*(each[network] for each in wanted), strict=True)]
        for network in wanted[0]
    }


def _overview(result: StoryResult, began_at: float) -> Iterator[str]:
    if not result.phases:
        return
    end_s = result.phases[-1].ended_at - began_at
    lines = [
        Line(phase.started_at - began_at, str(phase.number), phase.name) for phase in result.phases
    ]
    yield '<section class="card"><div class="head"><h2>The whole story</h2></div>'
    yield (
        '<p class="soft">Traffic on each access network, both directions, on its link toward the '
        "internet. Numbers mark the phases; the time is in seconds from the start.</p>"
    )
    yield _legend()
    for title, flows in _GROUPS:
        yield plot(title, _packets(result, flows), Frame(*_OVERVIEW, 0.0, end_s), lines)
    yield "</section>"


def _phase(result: StoryResult, phase: PhaseResult, began_at: float) -> Iterator[str]:
    start_s, end_s = phase.started_at - began_at, phase.ended_at - began_at
    verdict = '<span class="good">holds</span>' if phase.ok else '<span class="bad">fails</span>'
    marks = [mark for mark in result.marks if phase.started_at <= mark.at < phase.ended_at]
    lines = [Line(mark.at - began_at, chr(ord("a") + i), mark.text) for i, mark in enumerate(marks)]
    yield '<section class="card"><div class="head">'
    yield f'<span class="number">{phase.number}</span><h2>{escape(phase.name)}</h2>'
    yield f'<span class="verdict">{verdict}</span></div>{_legend()}<div class="panels">'
    for title, flows in _GROUPS:
        packets = _packets(result, flows)
        if flows == ("telemetry",) and "telemetry" not in _words(phase):
            continue
        yield plot(title, packets, Frame(*_PANEL, start_s, end_s), lines)
    yield '</div><ol class="marks">'
    for line in lines:
        yield f"<li><b>{line.label}</b> {line.at_s:.1f} s: {escape(line.title)}</li>"
    yield "</ol>"
    yield from _table(phase)
    if phase.notes or phase.failures:
        yield "<ul>"
        yield from (f'<li class="soft">{escape(note)}</li>' for note in phase.notes)
        yield from (f'<li class="bad">{escape(failure)}</li>' for failure in phase.failures)
        yield "</ul>"
    yield "</section>"


def _words(phase: PhaseResult) -> str:
    return " ".join(flow.name for flow in phase.flows)


def _table(phase: PhaseResult) -> Iterator[str]:
    heads = "".join(f'<th class="n">{access.title}</th>' for access in topology.ACCESSES)
    yield '<div class="scroll"><table><thead><tr><th>flow</th><th>expected path</th>'
    yield f'{heads}<th class="n">sent</th><th class="n">lost</th><th></th></tr></thead><tbody>'
    for flow in phase.flows:
        yield _row(flow)
    yield "</tbody></table></div>"


def _row(flow: FlowResult) -> str:
    cells = ""
    for access in topology.ACCESSES:
        count = flow.observed.get(access.name, 0)
        kind = "seen" if count else "nothing"
        cells += f'<td class="n {kind}">{count:,}</td>'
    verdict = (
        f'<td class="bad">{escape("; ".join(flow.failures))}</td>'
        if flow.failures
        else '<td class="good">✓</td>'
    )
    return (
        f"<tr><td>{escape(flow.name)}</td><td>{escape(flow.expected)}</td>{cells}"
        f'<td class="n">{flow.sent:,}</td><td class="n">{flow.lost:,}</td>{verdict}</tr>'
    )


def _evidence(result: StoryResult) -> Iterator[str]:
    yield '<section class="card"><div class="head"><h2>What was checked of the whole</h2></div><ul>'
    yield from (f"<li>{escape(line)}</li>" for line in result.evidence)
    yield from (f'<li class="bad">{escape(line)}</li>' for line in complaints(result))
    yield (
        '</ul><p class="soft">Packets on the paths are counted in both directions once a step '
        "has settled; sent and lost count the whole step, from before the change. The download "
        "counts its records of 1,000 octets, each of which the receiver checks.</p></section>"
    )
