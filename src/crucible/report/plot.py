"""What a plot of the HTML report is made of: a figure as JSON, and the same numbers as tables.

plotly.js reads labels as HTML, so all text that goes to one loses `<`, `>` and `&`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from crucible.evidence import LoadBlock
from crucible.judging import blocks
from crucible.judging.words import number
from crucible.report.text import plain

SYMBOLS = ("star", "circle", "square", "diamond", "triangle-up", "x", "triangle-down", "pentagon", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
COLOURS = tuple(f"var(--series-{index})" for index in range(1, 8))
"""Named as in report.css; report.js puts in what light or dark makes of them."""
LOG, DECADES = (
    {"tickvals": values, "ticktext": [number(it) for it in values]}
    for values in ([digit * 10.0**power for power in range(-3, 8) for digit in digits] for digits in ((1, 2, 5), (1,)))
)
"""Ticks of a logarithmic axis."""


class Figure:
    """What plotly.js draws: traces, and a layout, in its own words."""

    def __init__(self, layout: Mapping[str, Any]) -> None:
        self.data: list[dict[str, Any]] = []
        self.layout = dict(layout)

    def add_scatter(self, **trace: Any) -> None:
        self.data.append({"type": "scatter", **trace})

    def add_bar(self, **trace: Any) -> None:
        self.data.append({"type": "bar", **trace})


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: tuple[str, ...] = ()

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers only."""
        cells = zip(*self.rows, strict=True) if self.rows else ((name,) for name in self.columns)
        return tuple(all(_is_number(it) for it in column) and set(column) != {"–"} for column in cells)


@dataclass(frozen=True, slots=True)
class View:
    """A plot, and the same numbers as tables."""

    label: str
    """Among other views of the same section."""
    alt: str
    plot: Markup | None
    """JSON, safe inside a script element; None where there is nothing to draw."""
    height: int
    tables: tuple[Table, ...]


def ms(block: LoadBlock, share: float) -> float:
    """A percentile of the latency, with what was never answered counted as the time-out."""
    return blocks.latency_ms(block, share)[1]


def _is_number(text: object) -> bool:
    return str(text).lstrip("-")[:1].isdigit() or text in ("–", "not measured")


def layout(height: int, **changes: Any) -> dict[str, Any]:
    axis = {"gridcolor": "var(--grid)", "linecolor": "var(--grid)", "zeroline": False, "automargin": True,
            "fixedrange": True, "title": {"standoff": 10, "font": {"size": 13}}}  # fmt: skip
    still = {"itemclick": False, "itemdoubleclick": False}
    font = {"color": "var(--ink)", "family": "system-ui, sans-serif", "size": 13}
    return {
        "template": {"layout": {"xaxis": axis, "yaxis": axis}},
        "height": height,
        "font": font,
        "paper_bgcolor": "var(--card)",
        "plot_bgcolor": "var(--card)",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "var(--card)", "bordercolor": "var(--grid)", "font": font},
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"} | still,
        "dragmode": False,
    } | changes


def label(text: str, limit: int = 40) -> str:
    """Text that plotly.js takes for nothing but text."""
    return plain(text, limit).translate({ord(it): "�" for it in "<>&"}).strip() or "–"


def to_json(figure: Figure, choice: Mapping[str, Any] | None = None, names: Sequence[str] = ()) -> Markup:
    """For a script element: `names` are what `customdata` counts in, `choice` is what report.js draws from."""
    content = {"figure": {"data": figure.data, "layout": figure.layout}, "names": list(names), "choice": choice}
    return htmlsafe_json_dumps(_sound(content), separators=(",", ":"))


def _sound(value: Any) -> Any:
    """Without what JSON has no word for; numbers to seven significant digits."""
    if isinstance(value, Mapping):
        return {key: _sound(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
