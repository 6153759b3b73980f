"""By what factor one sample differs from another: an estimate with an exact interval, whatever the distribution. Pure.

The estimate is the median of all ratios of a value of one sample to a value of the other (Hodges and Lehmann 1963, on
logarithms); its interval inverts the rank-sum test (Mann and Whitney 1947; Hollander and Wolfe, *Nonparametric
Statistical Methods*, section 4.3), so it holds for any two distributions that differ by a factor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """A factor, and the interval that holds it."""

    value: float
    low: float
    high: float


def ratio(other: Sequence[float], base: Sequence[float], error: float) -> Ratio | None:
    """`other` over `base`; `error` is how often the interval may miss the true factor. None where there is no factor,
    because a value is not positive, or no interval, because there are too few values for so small an error."""
    if not other or not base or min(*other, *base) <= 0:
        return None
    cut = _cut(len(other), len(base), error)
    if cut is None:
        return None
    ratios = sorted(math.log(one / two) for one in other for two in base)
    return Ratio(math.exp(median(ratios)), math.exp(ratios[cut]), math.exp(ratios[-1 - cut]))


def _cut(n: int, m: int, error: float) -> int | None:
    """How many of the ratios lie outside of the interval at each end; None where even none would be too many."""
    every, seen = math.comb(n + m, n), 0
    for rank, count in enumerate(_arrangements(n, m)):
        seen += count
        if seen > every * error / 2:
            return rank - 1 if rank > 0 else None
    return None


def _arrangements(n: int, m: int) -> list[int]:
    """Of two samples of `n` and `m` in a row: how many arrangements have 0, 1, 2, … pairs in the wrong order."""
    counts = [1]
    for i in range(1, n + 1):  # the Gaussian binomial coefficient, factor by factor
        up, down = m + i, i
        product = counts + [0] * up
        for index in range(len(counts)):
            product[index + up] -= counts[index]
        quotient: list[int] = []
        for index in range(len(product) - down):
            quotient.append(product[index] + (quotient[index - down] if index >= down else 0))
        counts = quotient
    return counts
