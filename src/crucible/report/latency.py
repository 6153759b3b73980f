"""The plots of latency: its distribution at a profile's rate, and the 99th percentile at every rate."""

from collections.abc import Sequence

from crucible.evidence import LoadBlock
from crucible.judging import blocks
from crucible.judging.graded import Graded
from crucible.judging.words import number
from crucible.planning.manifest import LATENCY, Profile
from crucible.report import model
from crucible.report.choice import MOST_FITS
from crucible.report.plot import COLOURS, DASHES, LOG, SYMBOLS, Figure, Table, View, layout, ms, to_json

_TICKS = {1: "", 2: "50 %", 10: "90 %", 100: "99 %", 1000: "99.9 %", 10_000: "99.99 %"}
"""Of a percentile plot, whose axis is 1 / (1 - share)."""
_STEPS = sorted({2.0, *(10 ** (index / 12) for index in range(73))})
"""Where on that axis a line has its points."""


def latencies(graded: Graded) -> tuple[View, ...]:
    """The distribution at the rate of each profile that load was offered for, the run's own first."""
    views = []
    for fit in graded.verdict.fits[:MOST_FITS]:
        profile = graded.manifest.profile(fit.profile)
        part = graded.evidence.part(profile.replicas) if profile is not None else None
        if profile is None or part is None:
            continue
        if sent := [block for block in part.load if block.rate == profile.rate]:
            views.append(_latency(profile, sent[: model.MOST_ROWS]))
    return tuple(views)


def _latency(profile: Profile, sent: Sequence[LoadBlock]) -> View:
    limit = profile.limits.get(LATENCY)
    figure = Figure(layout=layout(400))
    good = [(index, it) for index, it in enumerate(sent) if it.spoiled is None and it.requests]
    for index, block in good:
        steps = [step for step in _STEPS if step <= block.requests]
        figure.add_scatter(
            name=f"block {index + 1}", x=steps, y=[ms(block, 100 - 100 / step) for step in steps],
            mode="lines+markers", line={"color": COLOURS[index % 7], "dash": DASHES[index % 5], "width": 2},
            marker={"symbol": SYMBOLS[index % 9], "opacity": 1, "line": {"width": 0},
                    "size": [8 if round(it, 6) in _TICKS else 0 for it in steps]},
            customdata=list(range(len(steps))), hovertemplate="%{text}: %{y:.3~g} ms",
        )  # fmt: skip
    names = [f"{100 - 100 / step:.4g} %" for step in _STEPS]
    ticks = {"tickvals": list(_TICKS), "ticktext": list(_TICKS.values())}
    share = {"text": "share of requests answered within this time"}
    figure.layout |= {
        "xaxis": {"type": "log", "title": share, **ticks}, "yaxis": {"type": "log", "title": {"text": "ms"}, **LOG}
    }  # fmt: skip
    if limit is not None and limit.at_most is not None:
        figure.add_scatter(
            name=f"limit at 99 %: {number(limit.at_most)} ms", x=[100], y=[limit.at_most],
            mode="markers", marker={"symbol": "line-ew-open", "size": 26, "line": {"width": 4}, "color": "var(--ink)"},
            hovertemplate="%{y} ms<extra></extra>",
        )  # fmt: skip
    shares = (50, 90, 99, 99.9)
    columns = ("block", "requests", "no answer", *(f"{share} %, ms" for share in shares), "slowest, ms", "counts")
    rows = (
        (
            str(index),
            f"{block.requests:,}",
            f"{block.unanswered:,}",
            *(number(ms(block, share)) for share in (*shares, 100)),
            "yes" if block.spoiled is None else f"no: {block.spoiled}",
        )
        for index, block in enumerate(sent, 1)
    )
    what = f"{number(profile.rate)} requests per second, {profile.replicas} replicas"
    table = Table(f"Latency at {what}, for {profile.id}", columns, tuple(rows))
    alt = f"Latency by percentile at {what}: one line for each of {len(good)} blocks of load"
    return View(f"{profile.id}: {what}", alt, to_json(figure, names=names) if good else None, 400, (table,))


def rates(graded: Graded) -> tuple[View, ...]:
    """The 99th percentile at every rate that was offered, where a full grade looked for the knee."""
    own = graded.evidence.own
    profile = graded.manifest.profile(graded.evidence.profile)
    sent = sorted((*own.load, *own.ramp), key=lambda it: it.rate)[: model.MOST_LINES]
    if profile is None or not own.ramp:
        return ()
    most = profile.knee_p99_ms
    kinds = ["not counted" if it.spoiled else "held" if blocks.holds(it, most) else "not held" for it in sent]
    figure = Figure(layout=layout(340))
    looks = {"held": ("series-3", "circle"), "not held": ("series-2", "x"), "not counted": ("series-5", "square-open")}
    for name, (colour, symbol) in looks.items():
        of_kind = [it for it, kind in zip(sent, kinds, strict=True) if kind == name]
        if of_kind:
            figure.add_scatter(
                name=name, mode="markers", x=[it.rate for it in of_kind], y=[ms(it, 99) for it in of_kind],
                marker={"color": f"var(--{colour})", "symbol": symbol, "size": 10,
                        "line": {"width": 2, "color": f"var(--{colour})"}},
                hovertemplate="%{x}/s: %{y:.3~g} ms",
            )  # fmt: skip
    figure.add_scatter(
        name=f"held is at most {number(most)} ms", mode="lines", x=[sent[0].rate, sent[-1].rate], y=[most, most],
        line={"color": "var(--ink)", "dash": "dash", "width": 1.5}, hoverinfo="skip",
    )  # fmt: skip
    figure.layout |= {
        "xaxis": {"type": "log", "title": {"text": "requests per second offered"}, **LOG},
        "yaxis": {"type": "log", "title": {"text": "ms, 99th percentile"}, **LOG},
    }
    columns = ("rate, 1/s", "requests", "no answer", "50 %, ms", "99 %, ms", "result")
    rows = (
        (
            number(block.rate),
            f"{block.requests:,}",
            f"{block.unanswered:,}",
            number(ms(block, 50)),
            number(ms(block, 99)),
            f"{kind}: {block.spoiled}" if block.spoiled else kind,
        )
        for block, kind in zip(sent, kinds, strict=True)
    )
    table = Table("Every rate that was offered", columns, tuple(rows))
    return (View("", "Latency, 99th percentile, at each offered rate", to_json(figure), 340, (table,)),)
