"""The result of an earlier grade, kept in a file beside the commit that it was of."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crucible.judging import verdict
from crucible.judging.verdict import Verdict

MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Before:
    commit: str
    verdict: Verdict


def keep(place: Path, commit: str, result: Path) -> None:
    """Put the result into the file; where there is none, the file stays as it is."""
    with suppress(OSError, ValueError, RecursionError):
        said = json.loads(result.read_bytes())
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"commit": commit, "result": said}), encoding="utf-8")


def read(place: Path) -> Before | None:
    """None where there is no such file, or one of another version of Crucible: then nothing can be said of a change."""
    try:
        if place.stat().st_size > MOST_BYTES:
            return None
        said = json.loads(place.read_bytes())
        return Before(str(said["commit"]), verdict.from_json(json.dumps(said["result"]).encode()))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
