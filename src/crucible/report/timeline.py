"""The plot of a run, second by second."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

from pydantic import JsonValue

from crucible.evidence import Evidence, FaultEvent, LoadBlock, Op, Part, Recording, Result
from crucible.judging.words import number
from crucible.report import model
from crucible.report.plot import DECADES, LOG, Figure, Table, View, label, layout, ms, to_json
from crucible.report.text import compact, plain

MOST_POINTS = 3_000
MOST_SLOWEST = 200
"""Of each result, so many of the slowest requests are never thinned out."""
MOST_PARTS, MOST_EVENTS = 3, 80
_RESULTS = {
    Result.OK: ("done (2xx)", "var(--series-1)", "circle-open"),
    Result.REFUSED: ("refused (4xx)", "var(--series-5)", "triangle-up-open"),
    Result.UNKNOWN: ("no definite answer", "var(--series-2)", "x-thin-open"),
}


def timelines(evidence: Evidence) -> tuple[View, ...]:
    """One of each lab of the run: faults in one are none in another."""
    shown = [lab for part in evidence.parts[: MOST_PARTS + 1] for lab in _labs(part) if lab.recordings]
    return tuple(_timeline(lab, MOST_POINTS // len(shown)) for lab in shown)


def _labs(part: Part) -> tuple[Part, ...]:
    """What each lab of a part saw; the second one by its `beside`."""
    if part.beside is None:
        return (part,)
    there = tuple(it for it in part.recordings if it.scenario in part.beside.scenarios)
    here = tuple(it for it in part.recordings if it.scenario not in part.beside.scenarios)
    return replace(part, recordings=here, beside=None), replace(part, recordings=there, load=(), ramp=())


def _timeline(part: Part, most: int) -> View:
    recordings = part.recordings[: model.MOST_LINES]
    sent = sorted((*part.load, *part.ramp), key=lambda it: it.started_ns)[: model.MOST_LINES]
    events = _events(part.recordings)
    lanes = list(dict.fromkeys(_event(it) for it in events))[: model.MOST_ROWS * 2]
    lanes += ["load"] * bool(sent) + [label(it.scenario, 16) for it in reversed(recordings)]
    height = 320 + 17 * len(lanes)
    figure = Figure(layout=layout(height, dragmode="zoom", barmode="overlay", bargap=0.35))
    for result, (name, colour, symbol) in _RESULTS.items():
        found = [(index, op) for index, it in enumerate(recordings) for op in it.ops if op.result is result]
        dots = _thinned(found, most // len(_RESULTS))
        if dots:
            figure.add_scatter(
                name=name, mode="markers", x=[op.sent_ns / 1e9 for _, op in dots], y=[_took_ms(op) for _, op in dots],
                marker={"color": colour, "symbol": symbol, "size": 6},
                customdata=[index for index, _ in dots],
                hovertemplate="%{text}: %{y:.3~g} ms, at %{x:.2f} s",
            )  # fmt: skip
    if sent:
        ends = [end for it in sent for end in (it.started_ns / 1e9, it.ended_ns / 1e9, None)]
        figure.add_scatter(
            name="99 % of a block of load", mode="lines", x=ends,
            y=[end for it in sent for end in (ms(it, 99), ms(it, 99), None)],
            line={"color": "var(--series-4)", "width": 4}, hovertemplate="%{y:.3~g} ms",
        )  # fmt: skip
    spans = [(label(it.scenario, 16), it.started_ns, it.ended_ns) for it in recordings]
    _add_spans(figure, "scenarios", spans, "var(--series-6)", "")
    _add_spans(figure, "load", [("load", it.started_ns, it.ended_ns) for it in sent], "var(--series-4)", "/")
    during = [(_event(it), it.at_ns, it.until_ns or it.at_ns) for it in events if _event(it) in lanes]
    _add_spans(figure, "faults and mishaps", during, "var(--series-2)", "x")
    figure.add_scatter(
        mode="markers", x=[start / 1e9 for _, start, _ in during], y=[lane for lane, _, _ in during], yaxis="y2",
        marker={"symbol": "diamond", "size": 8, "color": "var(--series-2)"}, showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    took = [_took_ms(op) for it in recordings for op in it.ops]
    ticks = LOG if took and max(took) < 100 * min(took) else DECADES
    share = 17 * len(lanes) / (height - 90)
    figure.layout |= {
        "xaxis": {"title": {"text": "seconds since the start"}, "anchor": "y2", "rangemode": "tozero",
                  "fixedrange": False},
        "yaxis": {"type": "log", "title": {"text": "ms"}, "domain": [min(0.9, share + 0.04), 1], **ticks},
        "yaxis2": {"domain": [0, min(0.86, share)], "type": "category", "categoryarray": lanes, "tickvals": lanes,
                   "tickfont": {"size": 11}, "range": [-0.6, len(lanes) - 0.4], "showgrid": False, "fixedrange": True},
        "shapes": [
            {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "x0": start / 1e9, "x1": end / 1e9,
             "layer": "below", "fillcolor": "var(--band)", "line": {"width": int(end == start), "color": "var(--band)"}}
            for _, start, end in during
        ],
    }  # fmt: skip
    replicas = f"{part.replicas} replicas" + (", in a second lab meanwhile" if part.beside is not None else "")
    alt = f"The run with {replicas}: latency of requests over time, above spans of scenarios, load and faults"
    tables = (_of_scenarios(recordings, replicas), _of_events(events, replicas), _of_load(sent, replicas))
    plot = to_json(figure, names=[label(it.scenario) for it in recordings])
    return View(f"with {replicas}", alt, plot, height, tuple(table for table in tables if table.rows))


def _add_spans(figure: Figure, name: str, spans: Sequence[tuple[str, int, int]], colour: str, pattern: str) -> None:
    if spans:
        figure.add_bar(
            name=name, orientation="h", yaxis="y2", y=[lane for lane, _, _ in spans],
            base=[start / 1e9 for _, start, _ in spans], x=[(end - start) / 1e9 for _, start, end in spans],
            marker={"color": colour, "line": {"width": 1, "color": colour},
                    "pattern": {"shape": pattern, "fillmode": "replace", "size": 5, "solidity": 0.5}},
            hovertemplate="%{y}: from %{base:.2f} to %{x:.2f} s<extra></extra>",
        )  # fmt: skip


def _events(recordings: Iterable[Recording]) -> tuple[FaultEvent, ...]:
    """Each once, although scenarios that ran side by side saw the same ones."""
    events = {(it.kind, it.subject, it.at_ns): it for recording in recordings for it in recording.events}
    return tuple(sorted(events.values(), key=lambda it: it.at_ns)[:MOST_EVENTS])


def _event(event: FaultEvent) -> str:
    return label(f"{plain(model.words(event.kind), 18)} {plain(event.subject, 12)}")


def _thinned(dots: list[tuple[int, Op]], most: int) -> list[tuple[int, Op]]:
    """At most so many: the slowest, and every n-th of the others."""
    if len(dots) <= most:
        return dots
    slow = min(MOST_SLOWEST, most // 2)
    by_time = sorted(dots, key=lambda dot: dot[1].received_ns - dot[1].sent_ns)
    rest = sorted(by_time[:-slow], key=lambda dot: dot[1].sent_ns)
    return by_time[-slow:] + rest[:: math.ceil(len(rest) / (most - slow))]


def _took_ms(op: Op) -> float:
    return max(0.01, (op.received_ns - op.sent_ns) / 1e6)


def _of_scenarios(recordings: Sequence[Recording], replicas: str) -> Table:
    def row(recording: Recording) -> tuple[str, ...]:
        took = [_took_ms(op) for op in recording.ops]
        counts = (sum(op.result is result for op in recording.ops) for result in _RESULTS)
        return (
            recording.scenario, f"{recording.started_ns / 1e9:.2f}", f"{recording.ended_ns / 1e9:.2f}",
            f"{len(recording.ops):,}", *(f"{count:,}" for count in counts),
            number(median(took)) if took else "–", number(max(took)) if took else "–",
        )  # fmt: skip

    names = tuple(name for name, _, _ in _RESULTS.values())
    columns = ("scenario", "from, s", "to, s", "requests", *names, "median, ms", "slowest, ms")
    return Table(f"Scenarios, {replicas}", columns, tuple(row(it) for it in recordings))


def _of_events(events: Sequence[FaultEvent], replicas: str) -> Table:
    rows = (
        (
            plain(model.words(event.kind), 30),
            plain(event.subject, 30),
            f"{event.at_ns / 1e9:.2f}",
            f"{event.until_ns / 1e9:.2f}" if event.until_ns is not None else "–",
            plain(
                ", ".join(f"{model.words(name)} {_value(value)}" for name, value in list(event.detail.items())[:6]), 160
            ),
        )
        for event in events
    )
    return Table(f"Faults and mishaps, {replicas}", ("what", "whom", "from, s", "to, s", "proof"), tuple(rows))


def _value(value: JsonValue) -> str:
    return number(value) if isinstance(value, float) else plain(compact(value), 40)


def _of_load(sent: Sequence[LoadBlock], replicas: str) -> Table:
    rows = (
        (
            f"{block.started_ns / 1e9:.2f}",
            f"{block.ended_ns / 1e9:.2f}",
            number(block.rate),
            f"{block.requests:,}",
            f"{block.unanswered:,}",
            number(ms(block, 99)),
        )
        for block in sent
    )
    columns = ("from, s", "to, s", "rate, 1/s", "requests", "no answer", "99 %, ms")
    return Table(f"Blocks of load, {replicas}", columns, tuple(rows))
