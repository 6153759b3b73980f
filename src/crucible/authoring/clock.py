"""The wall clock, which designs go by: windows that begin with the epoch, and moments that are asked for."""

from dataclasses import dataclass
from datetime import UTC, datetime

from crucible.authoring.facts import fact, note
from crucible.check import History, Lab

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the wall clock said when the clock of `Op.sent_ns` was at 0, in ns since 1970."""

    ns: int


def note_epoch(lab: Lab, scenario: str) -> int:
    """Note the wall clock for the judges, as `epoch_ns` has it. Each scenario notes its own: a clock may be set
    meanwhile."""
    epoch = lab.wall_ns() - lab.now_ns()
    note(lab, Epoch(epoch), scenario)
    return epoch


def epoch_ns(history: History, scenario: str) -> int | None:
    """What to add to a moment of an operation so that it is one of the wall clock; None where it was not noted."""
    noted = fact(history, Epoch, scenario)
    return noted.ns if noted is not None else None


def wall_ms(lab: Lab) -> int:
    return lab.wall_ns() // MS


def moment(lab: Lab, seconds: float) -> str:
    """A moment of the wall clock, so many seconds from now: RFC 3339 in UTC, to the millisecond."""
    at = datetime.fromtimestamp(lab.wall_ns() / 1e9 + seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def aligned_window(at_ms: int, least_ms: int) -> int:
    """The shortest window >= `least_ms`, in whole 100 ms, that is epoch-aligned and in its first quarter at `at_ms`, so
    that a fixed window is met near its beginning and never at its border."""
    first = -(-least_ms // 100) * 100
    windows = range(first, 3 * first + 1, 100)
    return next((w for w in windows if 0.05 <= at_ms % w / w <= 0.2), min(windows, key=lambda w: at_ms % w / w))


async def into_first_half(lab: Lab, window_ms: int) -> None:
    """Wait for the next aligned window where this one is half over and the next is at most 5 s away."""
    past = wall_ms(lab) % window_ms
    if past > window_ms / 2 and window_ms - past <= 5_000:
        await lab.sleep((window_ms - past + window_ms / 20) / 1000)
