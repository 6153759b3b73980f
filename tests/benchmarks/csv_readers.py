"""How fast the file pipeline's files can be read: by plain programs, by the references' function, and by the grader's.

Each reads one file of the load's kind from the disk, on one core, and comes to its rows, its sums and its users:
Python's `csv` (text, strict) and DuckDB, beside what the references and the grader do, which also answer for bytes that
are no UTF-8, and for quotes that never close.
"""

import csv
import importlib
import importlib.util
import json
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench import Cores, Spread, footer, on_core, options, say, table, write

from crucible.planning import challenges

CHALLENGE = challenges.find("file-pipeline", {}, where="here")
PACKAGE = CHALLENGE.suite.checks[0].judge.__module__.rpartition(".")[0]
AMOUNT = re.compile(r"-?[0-9]{1,16}")
PIECE = 64 << 10
Figures = tuple[int, int, int]
"""Rows, users, and the sum of all sums."""


def plain_csv(path: Path) -> Figures:
    rows, users, sums = 0, set[str](), defaultdict[str, int](int)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        next(reader)
        for row in reader:
            if len(row) == 5 and AMOUNT.fullmatch(row[3]):
                rows += 1
                users.add(row[1])
                sums[row[2]] += int(row[3])
    return rows, len(users), sum(sums.values())


def in_duckdb(path: Path) -> Figures:
    found = duckdb.execute(
        f"""
        SET threads = 1;
        SELECT count(*), count(DISTINCT "user"), sum(CAST(amount_cents AS HUGEINT))
        FROM read_csv('{path}', header = true, all_varchar = true, ignore_errors = true, quote = '"', escape = '"',
            delim = ',', strict_mode = false, null_padding = false, parallel = false, nullstr = 'no such thing')
        WHERE regexp_full_match(amount_cents, '-?[0-9]{{1,16}}')
        """
    ).fetchone()
    assert found is not None
    return found[0], found[1], int(found[2])


def references(path: Path) -> Figures:
    folder = CHALLENGE.folder / "references" / "sync-in-request"
    spec = importlib.util.spec_from_file_location("tally_of_references", folder / "tally.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tally = module.Tally()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            tally.feed(piece)
    result = json.loads(tally.result(""))
    return result["rows"], result["distinct_users"], sum(result["sums"].values())


def graders(path: Path) -> Figures:
    reading = importlib.import_module(f"{PACKAGE}.grader_function").Reading()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            reading.feed(piece)
    result = reading.finish().result
    return result["rows"], result["distinct_users"], sum(result["sums"].values())


READERS: dict[str, Callable[[Path], Figures]] = {
    "Python's csv": plain_csv,
    "DuckDB, one thread": in_duckdb,
    "the references' tally": references,
    "the grader's function": graders,
}


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--mb", type=int, default=200, help="of the file (%(default)s)")
    settings = parser.parse_args()
    size, rounds = (5, 1) if settings.quick else (settings.mb, settings.rounds)
    drawn = importlib.import_module(f"{PACKAGE}.tables").Table(seed=7, size=size * 1_000_000)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "file.csv"
        with path.open("wb") as file:
            file.writelines(drawn.pieces())
        cells, found = list[dict[str, Any]](), dict[str, Figures]()
        with on_core(Cores.here().server):
            for number in range(rounds):
                for name, read in READERS.items():
                    begun = time.monotonic()
                    found[name] = read(path)
                    rate = size / (time.monotonic() - begun)
                    cells.append({"reader": name, "round": number, "mb_per_s": rate})
                    say(f"{name}: {rate:.0f} MB/s, {found[name]}")
    rows = [
        (name, Spread.of([cell["mb_per_s"] for cell in cells if cell["reader"] == name]).text(),
         f"{found[name][0]:,}", f"{found[name][1]:,}")
        for name in READERS
    ]  # fmt: skip
    print(table(("reader", "MB/s", "rows", "users"), rows))
    print()
    print(footer(f"One file of {size} MB, one core, medians [lowest, highest] of {rounds} rounds."))
    write(settings.json, settings, cells)


if __name__ == "__main__":
    main()
