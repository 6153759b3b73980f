"""Text that breaks stores of text: NUL, halves of surrogate pairs and bytes that are none. Evidence holds it, or does
without it; nothing that a solution answers, calls or prints makes it unreadable."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support import evidence_builder as build

from crucible.evidence import Attempt, FaultEvent, Result, from_json, to_json
from crucible.lab import logs, untrusted
from crucible.lab.client import Reply
from crucible.lab.observer import classify

BODIES = [
    b'{"a": "\\u0000"}', b'{"\\u0000": 1}', b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'"\\ud83d\\ude00"',
    b'{"a": "\x00"}', b'{"a": "\xff"}', b"\xed\xa0\x80", b"\x00", b"[1e999]", b"[-1e400]", b"[" + b"9" * 4000 + b"]",
    b"[" + b"9" * 5000 + b"]", b"[NaN]", b"[" * 500 + b"]" * 500, b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}",
    b'{"a": "\\u202e\\u2028\\ufffe"}', '{"a": 1}'.encode("utf-16"), b'"' + b"\\u0000" * 500 + b'"',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
@pytest.mark.parametrize("status", [200, 400, 503])
def test_whatever_is_answered_can_be_written_and_read_again(body: bytes, status: int, tmp_path: Path) -> None:
    known = classify(Reply(status, body, None, 1, 2), True, lambda _: True)
    op = replace(build.op(0, status=status, reply=known.content), result=known.result, error=known.error)
    call = Attempt(0, "/email/send", body.decode("latin-1")[:300], untrusted.parse(body), 1, 200, True, "delivered", 2)
    seen = build.evidence(recordings=(replace(build.PASSING[0], ops=(op,)), *build.PASSING[1:]), attempts=(call,))
    path = tmp_path / "evidence.json"
    path.write_bytes(to_json(seen))
    assert from_json(path) == seen


@pytest.mark.parametrize("body", [b"[1e999]", b"[" * 500 + b"]" * 500])
def test_a_2xx_with_json_that_no_evidence_can_hold_leaves_nothing_known(body: bytes) -> None:
    known = classify(Reply(200, body, None, 1, 2), True, lambda _: True)
    assert (known.result, known.content) == (Result.UNKNOWN, None)
    assert known.error is not None
    known.error.encode()


def test_half_of_a_surrogate_pair_in_a_reply_is_kept_as_a_replacement() -> None:
    known = classify(Reply(200, b'{"a": "x\\ud800y"}', None, 1, 2), True, lambda _: True)
    assert (known.result, known.content) == (Result.OK, {"a": "x\ufffdy"})


def test_nul_in_a_reply_is_a_character_like_any_other() -> None:
    assert untrusted.parse(b'{"a": "\\u0000"}') == {"a": "\0"}


@pytest.mark.parametrize("printed", [b"\x00\xff\xed\xa0\x80 failed\n", b"\x80" * 5_000, b"a\n" * 5_000])
def test_whatever_is_printed_is_text_with_a_bound_that_evidence_can_hold(printed: bytes, tmp_path: Path) -> None:
    log = tmp_path / "web.0.log"
    log.write_bytes(b"an earlier start\n" + printed)
    said = logs.tail(log, 1000, len(b"an earlier start\n"))
    assert len(said) <= 1000
    assert "earlier" not in said
    json.dumps(said, ensure_ascii=False).encode()
    event = FaultEvent("died", "web.0", 1, detail={"status": 1, "log": said})
    seen = build.evidence(recordings=(replace(build.PASSING[0], events=(event,)), *build.PASSING[1:]))
    path = tmp_path / "evidence.json"
    path.write_bytes(to_json(seen))
    assert from_json(path) == seen


def test_a_log_that_was_cut_since_the_start_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "web.0.log"
    log.write_bytes(b"after the cut\n")
    assert logs.tail(log, 1000, 4_000_000) == "after the cut\n"
