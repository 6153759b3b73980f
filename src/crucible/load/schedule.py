"""When requests are due: decided beforehand, so that no answer, however late, can change it."""

from array import array
from random import Random


def arrivals(rate: float, seconds: float, seed: int | str, *, part: int = 0, parts: int = 1) -> "array[int]":
    """Nanoseconds after the start at which requests are due: a Poisson process of `rate` per second, by inversion.

    Several processes that each take another `part` of `parts` send, together, exactly what one would. Raises ValueError
    for a rate, a time or a part that makes no sense.
    """
    if rate <= 0 or seconds <= 0 or not 0 <= part < parts:
        raise ValueError(f"no schedule for {rate:g} requests per second, {seconds:g} s, part {part} of {parts}")
    rng, at, due = Random(f"arrivals/{seed}"), 0.0, array("q")
    index = 0
    while (at := at + rng.expovariate(rate)) < seconds:
        if index % parts == part:
            due.append(int(at * 1e9))
        index += 1
    return due
