"""compare.py [RUNS [WORK]]: how often `crucible compare` errs, of designs whose difference is known.

The rate limiter's redis-sliding-log is compared with a copy of itself, and with one that asks Redis again on each fifth
check and adds up WORK numbers in each: about a fifth more of either. It is work and no time, since for the same work a
machine needs now more and now less of it. In so many runs, of load alone.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from crucible.commands import compare
from crucible.commands.compare import Wanted
from crucible.judging import comparison
from crucible.judging.comparison import Change, Contrast, Observed
from crucible.judging.shift import Ratio
from crucible.planning import challenges

SLUG = "rate-limiter"
MORE = """\
globals()["COUNT"] = globals().get("COUNT", 0) + 1
if COUNT % 5 == 0:
    await request.app.state.limiter._redis.ping()
sum(range(WORK))
"""


class Silent:
    def step(self, what: str) -> AbstractContextManager[None]:
        return nullcontext()


def variant(reference: Path, folder: Path, more: str) -> Path:
    """The reference with some lines more in each check."""
    shutil.copytree(reference, folder)
    app = folder / "app.py"
    text = app.read_text()
    match = re.search(r"^( +)body = await check_in\(request\)\n", text, re.MULTILINE)
    assert match is not None
    lines = "".join(f"{match[1]}{line}\n" for line in more.splitlines())
    app.write_text(text.replace(match[0], match[0] + lines))
    return folder


def _words(ratio: Ratio | None) -> str:
    return f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})" if ratio else "unknown"


def main(runs: int = 20, work: int = 7_400) -> None:
    reference = challenges.find(SLUG, {}, where="here").folder / "references" / "redis-sliding-log"
    with tempfile.TemporaryDirectory() as place:
        base = Path(shutil.copytree(reference, Path(place) / "base"))
        again = Path(shutil.copytree(reference, Path(place) / "copy"))
        more = variant(reference, Path(place) / "more", MORE.replace("WORK", str(work)))
        told: dict[str, list[tuple[Contrast, ...]]] = {}
        for run in range(runs):
            begun = time.monotonic()
            wanted = Wanted((base, again, more), Path(place) / "out", seed=run * 100, profile="paid-quota")
            with tempfile.TemporaryDirectory() as scratch:
                setting, designs = compare._set_out(wanted, Path(scratch), os.environ, Silent())
                first, *visits = compare._visits([designs[0], *designs], setting, Path(scratch) / "logs")
            one = Observed("base", (), tuple(visits[0]), tuple(first))
            print(f"run {run + 1} of {runs}, {time.monotonic() - begun:.0f} s", flush=True)
            for design, visited in zip(designs[1:], visits[1:], strict=True):
                rows = [
                    comparison._row(axis, one, Observed(design.name, (), tuple(visited)))
                    for axis in setting.challenge.manifest.axes
                ]
                told.setdefault(design.name, []).append(tuple(row for row in rows if row is not None))
                for row in told[design.name][-1]:
                    print(f"  {design.name:5} {row.axis:22} {_words(row.ratio)} noise {_words(row.noise)} {row.change}")
    for name, them in told.items():
        for axis in dict.fromkeys(row.axis for rows in them for row in rows):
            changes = [row.change for rows in them for row in rows if row.axis == axis]
            print(f"{name:12} {axis:22}", ", ".join(f"{it} {changes.count(it)}" for it in Change if it in changes))


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, int), sys.argv[1:], strict=False)))
