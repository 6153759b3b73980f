"""What the grader takes an answer for, over all classes of status, as `evidence.Result` says."""

import pytest

from crucible.evidence import Result
from crucible.lab import untrusted
from crucible.lab.client import Reply
from crucible.lab.observer import Known, classify

JSON, TEXT = b'{"a": 1}', b"hello"


def known(status: int | None, body: bytes = JSON, *, promised: bool = True, room: bool = True) -> Known:
    return classify(Reply(status, body, None, 1, 2), promised, lambda _: room)


@pytest.mark.parametrize("status", range(200, 600))
def test_every_status_has_one_meaning(status: int) -> None:
    found = known(status)
    assert found.result is {2: Result.OK, 3: Result.OK, 4: Result.REFUSED, 5: Result.UNKNOWN}[status // 100]
    assert found.content == {"a": 1}
    assert (found.error is None) is (found.result is not Result.UNKNOWN)


@pytest.mark.parametrize(
    ("status", "promised", "result"),
    [
        (200, True, Result.UNKNOWN),
        (200, False, Result.OK),
        (302, True, Result.OK),
        (304, True, Result.OK),
        (404, True, Result.REFUSED),
        (503, True, Result.UNKNOWN),
    ],
)
def test_json_is_missed_only_where_a_2xx_promises_it(status: int, promised: bool, result: Result) -> None:
    assert known(status, TEXT, promised=promised).result is result


def test_what_is_not_kept_leaves_nothing_known() -> None:
    assert known(200, room=False).result is known(302, room=False).result is Result.UNKNOWN
    assert known(404, room=False).result is Result.REFUSED


@pytest.mark.parametrize(("never_sent", "result"), [(True, Result.REFUSED), (False, Result.UNKNOWN)])
def test_no_answer_is_a_refusal_only_where_nothing_was_sent(never_sent: bool, result: Result) -> None:
    found = classify(Reply(None, b"", "why", 1, 2, never_sent), True, lambda _: True)
    assert found == Known(result, None, "why")


def test_a_json_reply_keeps_no_header_that_says_what_it_says_itself() -> None:
    found = {"content-type": "application/json", "content-length": "2", "location": "/v1/files/a"}
    assert untrusted.telling(found, is_json=True) == {"location": "/v1/files/a"}
    assert untrusted.telling(found, is_json=False) == found
