"""What each load generator says of a server that stalls, beside what its requests really had to wait.

The server answers after 5 ms, but once in 5 s it stops for 500 ms: whatever arrives meanwhile waits for the end.
The truth needs no measuring: it follows from the moments at which a generator's requests were due.
"""

import sys
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import drivers
from benchmarks.bench import Cores, Spread, begin, footer, on_core, options, say, table, write
from support.solutions import temporary_folder

RATE, USERS = 500.0, 10
ANSWER_MS = 5.0
FEW, MANY = 50, 600
"""k6's virtual users: fewer, and more, than the 250 requests that a stall holds up."""
Work = Callable[[], drivers.Run]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    generator: str
    round: int
    due: int
    sent: int
    lost: int
    """Of those that were due: dropped, or without an answer; not what a closed model did not get round to."""
    stalls: int
    reported_ms: dict[float, float]
    truth_ms: dict[float, float]
    usual_ms: float


def truth(due: Sequence[int], stalls: Sequence[tuple[int, int]]) -> dict[float, float]:
    """Percentiles of what requests that leave when they are due have to wait, in ms (nearest rank)."""
    begins = [begin for begin, _ in stalls]
    waits = []
    for moment in due:
        index = bisect(begins, moment) - 1
        left_ns = max(0, stalls[index][1] - moment) if index >= 0 else 0
        waits.append(left_ns / 1e6 + ANSWER_MS)
    waits.sort()
    return {share: waits[ceil(len(waits) * share / 100) - 1] for share in drivers.SHARES}


@contextmanager
def contenders(on: drivers.Bench, seconds: float, seed: str) -> Iterator[list[tuple[str, Work]]]:
    """In the order in which they run."""
    program = drivers.k6_program()
    with drivers.open_model(on) as ours:
        yield [
            ("Crucible `OpenModelUser`", partial(ours.run, RATE, seconds, seed)),
            (f"Locust `HttpUser`, {USERS} users", partial(drivers.locust, on, "Requests", USERS, RATE, seconds)),
            (f"Locust `FastHttpUser`, {USERS} users", partial(drivers.locust, on, "Fast", USERS, RATE, seconds)),
            *(
                (f"k6 arrival rate, {vus} VUs", partial(drivers.k6, on, program, vus, RATE, seconds))
                for vus in (FEW, MANY)
                if program
            ),
        ]


def measure(on: drivers.Bench, rounds: int, seconds: float) -> list[Cell]:
    cells = []
    for index in range(rounds):
        with contenders(on, seconds, f"stall/{index}") as works:
            for name, work in works:
                run = work()
                real = truth(run.due, run.stalls)
                cells.append(
                    Cell(
                        name, index, len(run.due), len(run.arrived), run.lost, len(run.stalls), run.reported_ms, real,
                        run.usual_ms,
                    )
                )  # fmt: skip
                say(
                    f"round {index + 1}: {name}: p99 {run.reported_ms[99.0]:.0f} ms, really {real[99.0]:.0f} ms;"
                    f" {len(run.due)} due, {len(run.arrived)} sent, {run.lost} lost, {len(run.stalls)} stalls"
                )
    return cells


def rows(name: str, cells: Sequence[Cell]) -> list[list[str]]:
    counts = [Spread.of([it.due for it in cells]), Spread.of([it.sent for it in cells])]
    lost = Spread.of([it.lost for it in cells]).text()

    def line(values: Callable[[Cell, float], float], digits: int) -> list[str]:
        return [Spread.of([values(it, share) for it in cells]).text(digits) for share in drivers.SHARES]

    return [
        [name, "reported", *line(lambda it, share: it.reported_ms[share], 0), *(it.text() for it in counts), lost],
        ["", "truth", *line(lambda it, share: it.truth_ms[share], 0), "", "", ""],
        ["", "ratio", *line(lambda it, share: it.reported_ms[share] / it.truth_ms[share], 2), "", "", ""],
    ]


def report(cells: Sequence[Cell], cores: Cores, rounds: int, seconds: float, stall: tuple[float, float]) -> str:
    shares = [f"p{share:g}, ms" for share in drivers.SHARES]
    lines = []
    for name in dict.fromkeys(it.generator for it in cells):
        lines += rows(name, [it for it in cells if it.generator == name])
    note = (
        f"{RATE:,.0f} requests/s offered for {seconds:g} s; answers after {ANSWER_MS:g} ms, and a stall of"
        f" {stall[0]:g} ms in every {stall[1]:g} s (its own timer makes the {ANSWER_MS:g} ms"
        f" {Spread.of([it.usual_ms for it in cells]).text(1)}, which the truth leaves out). Medians [lowest, highest]"
        f" of {rounds} rounds; {cores.words()}."
    )
    return "\n\n".join([table(["generator", "latency", *shares, "due", "sent", "lost"], lines), footer(note)])


def main(arguments: Sequence[str]) -> None:
    parser = options(__doc__, rounds=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run (%(default)s)")
    asked = parser.parse_args(arguments)
    stall_ms, every_s = 500.0, 5.0
    if asked.quick:
        asked.rounds, asked.seconds, stall_ms, every_s = 1, 2.0, 200.0, 1.0
    begin()
    cores = Cores.here()
    if drivers.k6_program() is None:
        say(drivers.WITHOUT_K6)
    flags = ["--answer-ms", str(ANSWER_MS), "--stall-ms", str(stall_ms), "--every-s", str(every_s)]
    with on_core(cores.server), temporary_folder() as folder, drivers.bench(folder, cores, *flags) as on:
        cells = measure(on, asked.rounds, asked.seconds)
    print(report(cells, cores, asked.rounds, asked.seconds, (stall_ms, every_s)))
    write(asked.json, asked, [asdict(it) for it in cells])


if __name__ == "__main__":
    main(sys.argv[1:])
