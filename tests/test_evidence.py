"""Evidence survives being written and read again, whatever a solution has answered."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue
from support.evidence_builder import EVIDENCE, block, changed, full, op, recording

from crucible.errors import CrucibleError, Fault
from crucible.evidence import Attempt, Beside, Evidence, FaultEvent, Problem, from_json, json_schema, to_json
from crucible.lab.untrusted import DEEPEST, can_be_kept, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def again(evidence: Evidence, folder: Path) -> Evidence:
    path = folder / "evidence.json"
    path.write_bytes(to_json(evidence))
    return from_json(path)


def answered(body: bytes) -> Evidence:
    """Evidence of one request that was answered so."""
    return changed(EVIDENCE, recordings=(recording("race", (op(reply=parse(body)),)),))


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_a_whole_run_is_the_same_when_read_again(tmp_path: Path) -> None:
    full = recording("race", (op(), op(5, status=None)), Problem("budget", "late"), key="k", limits=[1, 2.5, None])
    events = (FaultEvent("died", "web.0", 7, None, {"status": -9}), FaultEvent("slow", "redis", 1, 2, {"ms": 5}))
    evidence = changed(EVIDENCE, recordings=(replace(full, events=events),), notes=("a note",))
    assert again(evidence, tmp_path) == evidence


@given(value=JSON)
def test_any_json_that_is_kept_is_kept_as_it_is(tmp_path_factory: pytest.TempPathFactory, value: JsonValue) -> None:
    evidence = answered(json.dumps(value).encode())
    assert again(evidence, tmp_path_factory.getbasetemp()) == evidence
    if can_be_kept(value):
        assert evidence.own.recordings[0].ops[0].reply == value


@pytest.mark.parametrize(
    "body",
    [
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'"\\ud83d\\ude00"',
        b"1" * 300,
        b"1" * 5000,
        b"-0.0",
        b"1e400",
        b'{"a": [-1e999]}',
        b"NaN",
        b"[Infinity]",
        nested(DEEPEST),
        nested(DEEPEST + 1),
        nested(250),
        nested(100_000),
        b'{"a": 1, "a": 2}',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'"\\u0000"',
        b"",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_no_reply_breaks_the_evidence(tmp_path: Path, body: bytes) -> None:
    evidence = answered(body)
    assert again(evidence, tmp_path) == evidence


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'"\\ud800"', "\ufffd"),
        (b'{"\\udfff": ["a\\ud800b"]}', {"\ufffd": ["a\ufffdb"]}),
        (b"1e400", None),
        (b"NaN", None),
        (b"1" * 40, int("1" * 40)),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\\u0000"', "\0"),
    ],
)
def test_what_evidence_cannot_hold_is_no_json(body: bytes, kept: JsonValue) -> None:
    assert parse(body) == kept


def test_deep_json_is_kept_to_a_depth() -> None:
    assert parse(nested(DEEPEST)) == cast(JsonValue, json.loads(nested(DEEPEST)))
    assert parse(nested(DEEPEST + 1)) is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"schema": 2}', b'{"schema": 1, "extra": 1}', nested(100_000)]
)
def test_what_is_no_evidence_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(content)
    with pytest.raises(CrucibleError, match="not evidence of schema 1") as told:
        from_json(path)
    assert told.value.fault is Fault.LEARNER


def test_a_field_too_many_is_named(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps({**json.loads(to_json(EVIDENCE)), "extra": 1}))
    with pytest.raises(CrucibleError, match="extra"):
        from_json(path)
    with pytest.raises(CrucibleError, match="No such file"):
        from_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pace_us", -1.0),
        ("pace_us", math.inf),
        ("rate", 0.0),
        ("rate", math.nan),
        ("steal", -math.inf),
        ("replicas", 0),
    ],
)
def test_a_number_that_cannot_have_been_measured_is_refused_with_its_place(
    tmp_path: Path, name: str, value: float
) -> None:
    path = tmp_path / "evidence.json"
    written = json.loads(to_json(changed(EVIDENCE, load=(block(),))))
    written["parts"][0]["load"][0][name] = value
    path.write_text(json.dumps(written))
    with pytest.raises(CrucibleError, match=rf"load\.0\.{name}: "):
        from_json(path)


def test_the_schema_knows_every_field() -> None:
    assert set(cast(dict[str, object], json_schema()["properties"])) == set(json.loads(to_json(EVIDENCE)))


def test_evidence_of_an_earlier_version_has_the_fields_of_its_first_part_as_its_own(tmp_path: Path) -> None:
    run = full()
    said = json.loads(to_json(run))
    own, other = said.pop("parts")
    for name in ("services", "timings", "ramp", "notes", "bypasses"):
        del other[name]
    (tmp_path / "evidence.json").write_text(json.dumps({**said, **own, "parts": [other]}))
    assert from_json(tmp_path / "evidence.json") == run


def test_a_judge_gets_the_calls_of_the_labs_that_its_scenarios_ran_in() -> None:
    def attempts(*moments: int) -> tuple[Attempt, ...]:
        return tuple(Attempt(n, "/sms/send", "k", None, at, 200, True, "", at) for n, at in enumerate(moments))

    alone = changed(EVIDENCE, attempts=attempts(1, 4)).own
    assert alone.attempts_of(["race"]) == attempts(1, 4)
    part = replace(alone, beside=Beside(("crash",), attempts(2, 3)))
    assert part.attempts_of(["race"]) == attempts(1, 4)
    assert part.attempts_of(["crash"]) == attempts(2, 3)
    assert part.attempts_of(["race", "crash"]) == attempts(1, 2, 3, 4)
