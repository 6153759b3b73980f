"""Windows that begin with the epoch, so that a fixed window is met near its beginning and never at its border."""

import time

from crucible.check import Lab


def note_epoch(lab: Lab) -> int:
    """The wall clock's milliseconds at the start of the run, noted for the judges."""
    epoch_ms = (time.time_ns() - lab.now_ns()) // 1_000_000
    lab.note("epoch_ms", epoch_ms)
    return epoch_ms


def now_ms(lab: Lab, epoch_ms: int) -> int:
    return epoch_ms + lab.now_ns() // 1_000_000


def aligned_window(at_ms: int, least_ms: int) -> int:
    """The shortest window >= `least_ms`, in whole 100 ms, that is epoch-aligned and in its first quarter at `at_ms`."""
    first = -(-least_ms // 100) * 100
    windows = range(first, 3 * first + 1, 100)
    return next((w for w in windows if 0.05 <= at_ms % w / w <= 0.2), min(windows, key=lambda w: at_ms % w / w))


async def into_first_half(lab: Lab, epoch_ms: int, window_ms: int) -> None:
    """Wait for the next aligned window where this one is half over and the next is at most 5 s away."""
    past = now_ms(lab, epoch_ms) % window_ms
    if past > window_ms / 2 and window_ms - past <= 5_000:
        await lab.sleep((window_ms - past + window_ms / 20) / 1000)
