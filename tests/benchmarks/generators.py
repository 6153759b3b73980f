"""How many requests a second each load generator can send on one core, and how punctually.

Two answers for each: the highest rate at which 99 % of the requests leave within 1 ms of their moment, and the highest
at which none is lost and the rate is kept. A closed model has no moments at which requests are due, so no lag: it has
one answer, the rate that it reaches when it is asked for far too much.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import drivers
from benchmarks.bench import Cores, Spread, begin, footer, on_core, options, say, table, write
from support.solutions import temporary_folder

FIRST, DOUBLE, STEP, TRIES = 500, 2, 1.25, 2
MOST_LAG_MS, SLACK = 1.0, 1.01
SETTLING_S = 0.5
"""Left out of the lag: connections are still being opened."""
USERS, FAR_TOO_MUCH = 50, 100_000
VUS = 400
OURS, K6 = "Crucible `OpenModelUser`", "k6 constant-arrival-rate"
CLOSED = {"Locust `HttpUser`": "Requests", "Locust `FastHttpUser`": "Fast"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    generator: str
    round: int
    offered: float | None
    """Requests per second; None for a closed model."""
    reached: float
    lost: int
    core: float
    """CPU seconds per second, as the rest between the first and the last arrival."""
    cpu_us: float
    """Of a request."""
    server_core: float
    lag_p50_ms: float | None
    """How much later than due requests arrived at the server, less what the quickest took to get there."""
    lag_p99_ms: float | None
    own_lag_p99_ms: float | None
    """Sent minus due, by the generator's own account."""
    kept: bool
    """Whether nothing was lost, and the last request was as late as the first."""

    @property
    def punctual(self) -> bool:
        return self.kept and self.lag_p99_ms is not None and self.lag_p99_ms < MOST_LAG_MS


def cell(generator: str, index: int, rate: float | None, run: drivers.Run) -> Cell:
    arrived = sorted(run.arrived)
    begin = arrived[0] if rate is not None else arrived[0] + int(SETTLING_S * 1e9)
    number = sum(begin <= moment for moment in arrived)
    seconds = max(1e-9, (arrived[-1] - begin) / 1e9)
    cpu_s = run.cpu["generator"].between(begin, arrived[-1])
    lags = _lags(run.due, arrived) if rate is not None and not run.lost else []
    on_time = (arrived[-1] - arrived[0]) <= (run.due[-1] - run.due[0]) * SLACK
    return Cell(
        generator, index, rate, (number - 1) / seconds, run.lost, cpu_s / seconds, cpu_s / number * 1e6,
        run.cpu["server"].between(begin, arrived[-1]) / seconds, _share(lags, 0.50), _share(lags, 0.99),
        run.lag_ms[99.0] if run.lag_ms else None, not run.lost and on_time,
    )  # fmt: skip


def _lags(due: Sequence[int], arrived: Sequence[int]) -> list[float]:
    """In ms, sorted. The n-th to arrive is held against the n-th that was due, which is kind to whoever overtakes."""
    late = [
        there - moment for moment, there in zip(due, arrived, strict=False)
        if moment - due[0] >= SETTLING_S * 1e9
    ]  # fmt: skip
    least = min(late, default=0)
    return sorted((it - least) / 1e6 for it in late)


def _share(values: Sequence[float], share: float) -> float | None:
    return values[math.ceil(len(values) * share) - 1] if values else None


class Ladder:
    """Rising rates for one generator in one round; no rate is run more often than it has to be."""

    def __init__(self, run: Callable[[float], Cell], most: float) -> None:
        self._run = run
        self._most = most
        self.cells: dict[float, list[Cell]] = {}

    def top(self, good: Callable[[Cell], bool]) -> Cell | None:
        """The run at the highest rate that was good: doubled while it is, then in steps of 1.25 from the last."""
        best, high = self._good(FIRST, good), self._most * 1.01
        while best is not None and (rate := _offered(best) * DOUBLE) < high:
            if (better := self._good(rate, good)) is None:
                high = rate
            best = better or best
        while best is not None and (rate := round(_offered(best) * STEP)) < high:
            if (better := self._good(rate, good)) is None:
                break
            best = better
        return best

    def highest_punctual(self) -> Cell | None:
        """Of all that have been run: also above a rate that was not, which is kind to whoever is so by luck."""
        found = [it for tries in self.cells.values() for it in tries if it.punctual]
        return max(found, key=_offered, default=None)

    def _good(self, rate: float, good: Callable[[Cell], bool]) -> Cell | None:
        tries = self.cells.setdefault(rate, [])
        for index in range(TRIES):
            if len(tries) == index:
                tries.append(self._run(rate))
            if good(tries[index]):
                return tries[index]
        return None


def _offered(it: Cell) -> float:
    assert it.offered is not None
    return it.offered


@dataclass
class Results:
    every: list[Cell]
    punctual: dict[str, list[Cell | None]]
    kept: dict[str, list[Cell | None]]
    lowest: dict[str, list[Cell]]


def measure(on: drivers.Bench, rounds: int, seconds: float, most: float) -> Results:
    results = Results([], {}, {}, {})
    program = drivers.k6_program()
    for index in range(rounds):

        def climb(generator: str, run: Callable[[float, str], drivers.Run], index: int = index) -> None:
            def once(rate: float) -> Cell:
                made = cell(generator, index, rate, run(rate, f"{index}/{rate:g}/{time.monotonic_ns()}"))
                results.every.append(made)
                lag = "–" if made.lag_p99_ms is None else f"{made.lag_p99_ms:.2f}"
                say(
                    f"round {index + 1}: {generator} at {rate:,.0f}/s: {made.reached:,.0f}/s, {made.lost} lost,"
                    f" lag p99 {lag} ms, {made.core:.0%} of the core"
                )
                return made

            ladder = Ladder(once, most)
            results.kept.setdefault(generator, []).append(ladder.top(lambda it: it.kept))
            ladder.top(lambda it: it.punctual)
            results.punctual.setdefault(generator, []).append(ladder.highest_punctual())
            results.lowest.setdefault(generator, []).append(ladder.cells[FIRST][0])

        with drivers.open_model(on) as ours:
            climb(OURS, lambda rate, seed: ours.run(rate, seconds, seed))
        for name, kind in CLOSED.items():
            made = cell(name, index, None, drivers.locust(on, kind, USERS, FAR_TOO_MUCH, seconds + 1))
            results.every.append(made)
            results.kept.setdefault(name, []).append(made)
            say(f"round {index + 1}: {name}: {made.reached:,.0f}/s")
        if program:
            climb(K6, lambda rate, _: drivers.k6(on, program, VUS, rate, seconds))
    return results


def row(name: str, found: Sequence[Cell | None], lowest: Sequence[Cell]) -> list[str]:
    """One generator at its best; where it has none, how it did at the lowest rate."""
    best = [it for it in found if it is not None]
    rate = Spread.of([it.reached if it.offered is None else it.offered for it in best]).text()
    if not best:
        best, rate = list(lowest), f"not even {FIRST}"
    elif len(best) < len(found):
        rate += f"; not even {FIRST} in {len(found) - len(best)} of {len(found)} rounds"
    return [
        name, rate,
        Spread.of([it.core * 100 for it in best]).text(), Spread.of([it.cpu_us for it in best]).text(),
        Spread.of([it.lag_p50_ms for it in best]).text(2), Spread.of([it.lag_p99_ms for it in best]).text(2),
        Spread.of([it.own_lag_p99_ms for it in best]).text(2), Spread.of([it.server_core * 100 for it in best]).text(),
    ]  # fmt: skip


def report(results: Results, cores: Cores, rounds: int, seconds: float) -> str:
    headings = [
        "generator", "requests/s", "core, %", "CPU us/request", "lag p50, ms", "lag p99, ms", "own lag p99, ms",
        "server's core, %",
    ]  # fmt: skip
    punctual = [row(name, found, results.lowest[name]) for name, found in results.punctual.items()]
    kept = [row(name, found, results.lowest.get(name, [])) for name, found in results.kept.items()]
    note = (
        f"Medians [lowest, highest] of {rounds} rounds, {seconds:g} s for each rate; {cores.words()}. Lag: arrived"
        " minus due, less that of the quickest; own lag: sent minus due, as the generator says. A closed model sends"
        " when it has been answered, so it has no lag."
    )
    return "\n\n".join([
        f"### Highest rate with a 99th percentile of the lag below {MOST_LAG_MS:g} ms",
        table(headings, punctual),
        "### Highest rate that is kept, with nothing lost (closed models: the rate reached)",
        table(headings, kept),
        footer(note),
    ])  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each run (%(default)s)")
    parser.add_argument("--most", type=float, default=16_000, help="requests per second, offered (%(default)s)")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.rounds, asked.seconds, asked.most = 1, 1.0, 1_000
    begin()
    cores = Cores.here()
    if drivers.k6_program() is None:
        say(drivers.WITHOUT_K6)
    with on_core(cores.server), temporary_folder() as folder, drivers.bench(folder, cores) as on:
        results = measure(on, asked.rounds, asked.seconds, asked.most)
    print(report(results, cores, asked.rounds, asked.seconds))
    every: list[dict[str, Any]] = [asdict(it) for it in results.every]
    write(asked.json, asked, every)


if __name__ == "__main__":
    main(sys.argv[1:])
