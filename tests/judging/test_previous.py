"""An earlier result, kept beside its commit."""

import json
from pathlib import Path

import pytest
from support import evidence_builder as build

from crucible.judging import previous, verdict
from crucible.judging.judge import judge
from crucible.judging.previous import Before

VERDICT = judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES)


def test_what_is_kept_can_be_read(tmp_path: Path) -> None:
    result, place = tmp_path / "result.json", tmp_path / "cache" / "push.json"
    result.write_bytes(verdict.to_json(VERDICT))
    previous.keep(place, "abc", result)
    assert previous.read(place) == Before("abc", VERDICT)


def test_without_a_result_what_was_kept_stays(tmp_path: Path) -> None:
    result, place = tmp_path / "result.json", tmp_path / "push.json"
    previous.keep(place, "abc", result)
    assert not place.exists()
    assert previous.read(place) is None
    result.write_bytes(verdict.to_json(VERDICT))
    previous.keep(place, "abc", result)
    for broken in (b"", b"{", b"[" * 100_000):
        result.write_bytes(broken)
        previous.keep(place, "def", result)
    assert previous.read(place) == Before("abc", VERDICT)


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "[]", "null", "[" * 100_000, '{"commit": "abc", "result": {}}', '{"result": null}',
        "x" * (previous.MOST_BYTES + 1), json.dumps({"commit": "abc", "result": {"schema": 2}}), "\udcff",
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_none_is_none(tmp_path: Path, content: str) -> None:
    place = tmp_path / "push.json"
    place.write_bytes(content.encode(errors="surrogateescape"))
    assert previous.read(place) is None
