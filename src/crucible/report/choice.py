"""The plot of any two axes: the design, and the references, under any profile."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from crucible.check import Measure
from crucible.judging.graded import Graded
from crucible.judging.references import References
from crucible.judging.tradeoffs import Fit
from crucible.judging.words import interval
from crucible.planning.manifest import Axis, Limit, Manifest, Profile
from crucible.report import model
from crucible.report.plot import COLOURS, SYMBOLS, Figure, Table, View, label, layout, to_json
from crucible.report.standing import MOST_REFERENCES

MOST_FITS = 12


def compared(graded: Graded) -> tuple[tuple[Fit, ...], tuple[Axis, ...]]:
    """The profiles and the axes that there are positions for."""
    fits = tuple(fit for fit in graded.verdict.fits[:MOST_FITS] if fit.positions)
    known = {measure.axis for fit in fits for measure in fit.positions}
    return fits, tuple(axis for axis in graded.manifest.axes if axis.id in known)[: model.MOST_LINES]


def choice(graded: Graded) -> tuple[View, ...]:
    """One plot, of any two axes under any profile: report.js chooses among `designs`."""
    fits, axes = compared(graded)
    if len(axes) < 2:
        return ()
    named = {fit.profile: _designs(fit, graded.references) for fit in fits}
    names = list(dict.fromkeys(name for designs in named.values() for name in designs))
    figure = Figure(layout=layout(460, meta={"pastcolor": "var(--past)"}))
    for index, name in enumerate(names):
        yours = index == 0
        colour = "var(--ink)" if yours else COLOURS[index % 6]
        bars = {"color": colour, "thickness": 2 if yours else 1, "width": 6}
        figure.add_scatter(
            name=label(name), mode="markers", x=[None], y=[None],
            marker={"color": colour, "symbol": SYMBOLS[index % 9], "size": 17 if yours else 10},
            error_x=bars, error_y=bars, cliponaxis=False, hovertemplate="%{x}<br>%{y}",
        )  # fmt: skip
    content = {
        "axes": [{"id": it.id, "title": label(it.title or it.id, 90), "unit": label(it.unit)} for it in axes],
        "better": {it.id: it.better for it in axes},
        "start": _start(graded.manifest, graded.verdict.positions, axes),
        "profiles": [
            {
                "id": label(fit.profile),
                "limits": _bounds(graded.manifest.profile(fit.profile)),
                "designs": [_place(named[fit.profile].get(name, ())) for name in names],
            }
            for fit in fits
        ],
    }
    tables = tuple(_beside(fit, axes, named[fit.profile]) for fit in fits)
    return (View("", "Your design and the reference designs on two axes", to_json(figure, content), 460, tables),)


def _place(positions: Sequence[Measure]) -> dict[str, list[float]]:
    """By axis: the value, the lowest and the highest."""
    sides = {it.axis: [it.value, it.low, it.high] for it in positions}
    return {axis: values for axis, values in sides.items() if all(map(math.isfinite, values))}


def _designs(fit: Fit, references: References) -> Mapping[str, Sequence[Measure]]:
    theirs = list(references.of(fit.profile).items())[:MOST_REFERENCES]
    return {"your design": fit.positions} | {name: stand.positions for name, stand in theirs}


def _start(manifest: Manifest, found: Sequence[Measure], axes: Sequence[Axis]) -> list[str]:
    """The challenge's own two axes where both have a position, else the first two that have."""
    known = [axis.id for axis in axes]
    measured = [it.axis for it in found if it.axis in known]
    wanted = [it for it in manifest.chart or () if it in measured]
    return list(dict.fromkeys([*wanted, *measured, *known]))[:2]


def _bounds(profile: Profile | None) -> dict[str, list[Any]]:
    limits: Mapping[str, Limit] = profile.limits if profile is not None else {}
    return {
        name: ["at most", limit.at_most] if limit.at_most is not None else ["at least", limit.at_least]
        for name, limit in limits.items()
    }


def _beside(fit: Fit, axes: Sequence[Axis], designs: Mapping[str, Sequence[Measure]]) -> Table:
    limits = {it.axis: it.limit for it in fit.limits}
    by_axis = {name: {it.axis: it for it in positions} for name, positions in designs.items()}
    samples = {it.axis: f"{it.samples:,}" for it in fit.positions}
    rows = (
        (
            axis.id,
            axis.title,
            axis.unit,
            limits.get(axis.id, "–"),
            *(interval(them[axis.id], axis.better) if axis.id in them else "–" for them in by_axis.values()),
            samples.get(axis.id, "–"),
        )
        for axis in axes
    )
    return Table(
        f"Positions under {fit.profile}", ("axis", "what", "unit", "limit", *by_axis, "your samples"), tuple(rows)
    )
