"""Numbers and intervals as they are read."""

import math
from typing import Literal

from crucible.check import Measure


def words(value: str) -> str:
    """`not_run` as it is read: `not run`."""
    return str(value).replace("_", " ")


def number(value: float) -> str:
    """A number as a reader wants it: `1,204`, `0.31`, `2`; four significant digits where it is not whole."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if 0.001 <= abs(value) < 1 else f"{value:.4g}"


def interval(measure: Measure, better: Literal["lower", "higher"] = "lower") -> str:
    """`1.94 (1.9 to 2)`, or the value alone where the interval is a point; `more than 20` or `at least 20` where it may
    be worse. `better`: the axis's direction."""
    if measure.beyond:
        lasts = measure.axis.endswith(("_s", "_ms"))
        more = "longer than" if lasts else "more than"
        return f"{more if better == 'lower' else 'less than'} {number(measure.value)}"
    if measure.open:
        return f"{'at least' if better == 'lower' else 'at most'} {number(measure.value)}"
    if measure.low == measure.high:
        return number(measure.value)
    return f"{number(measure.value)} ({number(measure.low)} to {number(measure.high)})"
