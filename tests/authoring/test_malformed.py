"""Malformed requests: how they look, how they are asked, and what is said of what came of them."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from pydantic import JsonValue

from crucible.authoring.malformed import DEPTH, TRIES, Bad, Effect, Route, ask_bad, judge_bad, not_objects, offence
from crucible.authoring.memory_lab import MadeUp, MemoryLab, in_virtual_time
from crucible.authoring.testing import complaints, history_of, op
from crucible.check import Finding, History, Outcome
from crucible.evidence import FaultEvent, Result

ROUTE = Route("POST", "/v1/things", {"name": "x", "size": 1}, {"Key": "k"})
TABLE = {
    row.slug: row
    for row in (
        *not_objects(ROUTE, text="name", large=1_000_000),
        ROUTE.without("no-size", "a thing without a size", "size"),
    )
}


def body(bad: Bad) -> JsonValue:
    assert bad.raw is not None
    value: JsonValue = json.loads(bad.raw)
    return value


# ---------------------------------------------------------------- how they look


def test_a_bad_body_is_the_good_one_but_for_what_is_said() -> None:
    assert body(ROUTE.with_field("size-0", "a size of 0", "size", 0)) == {"name": "x", "size": 0}
    assert body(ROUTE.without("empty", "nothing", "name", "size")) == {}
    assert ROUTE.with_literal("nan", "a size of NaN", "size", "NaN").raw == b'{"name": "x", "size": NaN}'


def test_bytes_that_are_no_text_go_out_as_they_are() -> None:
    assert TABLE["not-utf-8"].raw == b'{"name": "\xff\xfe", "size": 1}'


def test_no_route_may_take_what_is_no_object() -> None:
    assert TABLE["not-json"].raw == b'{"name": '
    assert TABLE["empty"].raw == b""
    assert (body(TABLE["string"]), body(TABLE["array"]), body(TABLE["no-fields"])) == ("x", ["x", 1], {})
    assert (TABLE["form"].raw, TABLE["form"].media) == (b"name=x&a=1", "application/x-www-form-urlencoded")
    assert TABLE["deep"].raw == b"[" * DEPTH + b"]" * DEPTH


@pytest.mark.parametrize(("size", "words"), [(2_000_000, "a body of 2 MB"), (300_000, "a body of 300 kB")])
def test_only_on_a_large_body_may_a_solution_hang_up(size: int, words: str) -> None:
    table = {row.slug: row for row in not_objects(ROUTE, text="name", large=size)}
    assert [slug for slug, row in table.items() if row.may_hang_up] == ["large"]
    assert table["large"].words == words
    assert table["large"].raw is not None
    assert len(table["large"].raw) > size


def test_a_call_has_the_name_of_what_is_wrong_and_the_headers_of_its_route() -> None:
    call = TABLE["form"].call("web.1")
    assert (call.target, call.method, call.path, call.name) == ("web.1", "POST", "/v1/things", "bad/form")
    assert (call.raw, call.content_type, call.headers) == (b"name=x&a=1", TABLE["form"].media, {"Key": "k"})


# ---------------------------------------------------------------- how they are asked


class Answers(MadeUp):
    """Answers 400, but for what `instead` says of the body that it got; raises what is an exception."""

    def __init__(self, **instead: int | BaseException) -> None:
        self.instead = {TABLE[slug.replace("_", "-")].raw: said for slug, said in instead.items()}
        self.dumb: set[str] = set()

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        if path == "/healthz":
            return (503, None) if target in self.dumb else (200, None)
        said = self.instead.get(text.encode(), 400)
        if isinstance(said, BaseException):
            raise said
        return said, {}


def asked(solution: MadeUp, replicas: int = 2, targets: tuple[str, ...] = ()) -> tuple[MemoryLab, list[str]]:
    lab, up = MemoryLab(solution, replicas), list[str]()

    async def ask() -> None:
        up.extend(await ask_bad(lab, TABLE, lambda slug, target: TABLE[slug], targets=targets))

    in_virtual_time(ask)
    return lab, up


def test_each_is_asked_once_on_each_replica_in_turn_and_then_all_are_probed() -> None:
    lab, up = asked(Answers())
    bad = [one for one in lab.ops if one.name.startswith("bad/")]
    assert [one.name for one in bad] == [f"bad/{slug}" for slug in TABLE]
    assert [one.target for one in bad] == [f"web.{index % 2}" for index in range(len(TABLE))]
    assert [one.name for one in lab.ops[len(bad) :]] == ["alive/web.0", "alive/web.1"]
    assert up == ["web.0", "web.1"]


def test_a_scenario_may_choose_the_replicas() -> None:
    lab, up = asked(Answers(), replicas=3, targets=("web.1",))
    assert {one.target for one in lab.ops} == {"web.1"}
    assert up == ["web.1"]


def test_what_is_not_answered_is_asked_again_a_few_times() -> None:
    lab, _ = asked(Answers(empty=503))
    assert sum(one.name == "bad/empty" for one in lab.ops) == TRIES
    assert sum(one.name == "bad/string" for one in lab.ops) == 1


def test_who_was_ended_is_asked_nothing_more() -> None:
    lab, up = asked(Answers(empty=SystemExit()))
    after = lab.ops[[one.name for one in lab.ops].index("bad/empty") + 1 :]
    assert {one.name for one in after if one.target == "web.1"} == {"alive/web.1"}
    assert up == ["web.0"]


def test_where_nobody_is_left_nothing_more_is_asked() -> None:
    lab, up = asked(Answers(not_json=SystemExit(), empty=SystemExit()))
    assert [name for name in dict.fromkeys(one.name for one in lab.ops) if name.startswith("bad/")] == [
        "bad/not-json",
        "bad/empty",
    ]
    assert up == []


# ---------------------------------------------------------------- what is said of it


def history(solution: MadeUp | None = None) -> History:
    lab, _ = asked(solution or Answers())
    return history_of(lab.ops, events=lab.events)


def judge(seen: History, *effects: Effect, table: Mapping[str, Bad] = TABLE) -> Finding:
    finding = judge_bad(seen, table, effects, "left nothing behind")
    assert complaints(finding) == []
    return finding


def test_who_refuses_everything_passes() -> None:
    finding = judge(history(), Effect(Outcome.PASS, ""))
    assert finding.outcome is Outcome.PASS
    assert finding.what == (
        f"all {len(TABLE)} kinds of bad input were refused, left nothing behind, and every process lived on"
    )
    assert finding.evidence == {"kinds of bad input": len(TABLE), "replicas": 2}


def test_one_that_was_taken_convicts() -> None:
    finding = judge(history(Answers(array=200)))
    assert (finding.outcome, finding.what) == (Outcome.FAIL, "a JSON array was accepted (200)")
    assert [one.name for one in finding.examples] == ["bad/array"]


def test_several_are_counted() -> None:
    assert judge(history(Answers(array=200, no_size=500))).what == (
        f"a JSON array was accepted (200); in all 2 of {len(TABLE)} kinds of bad input "
        "were not refused as they should be"
    )


def test_a_process_that_was_ended_comes_first() -> None:
    finding = judge(history(Answers(not_json=200, deep=SystemExit())))
    assert finding.what.startswith("10,000 nested arrays ended the process web.1; in all 2 of ")


def test_the_request_after_the_last_answer_is_the_one_that_ended_a_process() -> None:
    seen = history()
    (last,) = seen.named("bad/deep")
    silent = tuple(
        replace(one, status=None, result=Result.UNKNOWN) if one.sent_ns > last.sent_ns and one.target == last.target
        else one for one in seen.ops
    )  # fmt: skip
    died = replace(seen, ops=silent, events=(FaultEvent("died", last.target, seen.ops[-1].received_ns),))
    then = next(one for one in seen.ops if one.target == last.target and one.sent_ns > last.sent_ns)
    assert f"{TABLE[then.name.removeprefix('bad/')].words} ended the process" in judge(died).what


def test_a_process_that_nothing_was_sent_to_may_not_end_either() -> None:
    seen = replace(history(), events=(FaultEvent("died", "worker.0", 10**9),))
    assert (judge(seen).outcome, judge(seen).what) == (Outcome.FAIL, "the process worker.0 ended")


def test_what_a_scenario_did_itself_is_no_end() -> None:
    assert judge(replace(history(), events=(FaultEvent("kill", "worker.0", 10**9),))).outcome is Outcome.PASS


def test_who_no_longer_answers_at_all_is_named() -> None:
    solution = Answers()
    solution.dumb.add("web.1")
    finding = judge(history(solution))
    assert (finding.outcome, finding.what) == (Outcome.FAIL, "web.1 no longer answered")
    assert {one.name for one in finding.examples} == {"alive/web.1"}


def test_what_was_brought_about_convicts() -> None:
    shown = op("kept", "GET", "/x", 200)
    finding = judge(history(), Effect(Outcome.PASS, ""), Effect(Outcome.FAIL, "something was kept", (shown,)))
    assert (finding.outcome, finding.what, finding.examples) == (Outcome.FAIL, "something was kept", (shown,))


def test_what_cannot_be_seen_is_no_pass() -> None:
    finding = judge(history(), Effect(Outcome.INCONCLUSIVE, "nobody knows what was kept"))
    assert (finding.outcome, finding.what) == (
        Outcome.INCONCLUSIVE, "it could not be shown: nobody knows what was kept"
    )  # fmt: skip


def test_what_was_not_tried_is_no_pass() -> None:
    for seen, tried in ((history_of(()), 0), (history(), len(TABLE))):
        more = {**TABLE, "more": ROUTE.bad("more", "more of it", "")}
        finding = judge(seen, table=more)
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert finding.what == f"it could not be shown: only {tried} of {len(more)} kinds of bad input were tried"


def test_without_a_last_probe_nobody_is_acquitted() -> None:
    seen = history()
    assert judge(replace(seen, ops=seen.named("bad"))).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([400], None),
        ([422], None),
        ([503, 400], None),
        ([None, None, 404], None),
        ([201], "was accepted (201)"),
        ([503, 302], "was accepted (302)"),
        ([429], "was treated as one too many (429)"),
        ([503, 503], "was answered with 503"),
        ([None], "got no answer (timed out after 5 s)"),
    ],
)
def test_only_a_refusal_refuses(statuses: list[int | None], said: str | None) -> None:
    assert offence(TABLE["array"], [op("bad/array", "POST", "/x", status) for status in statuses]) == said


def test_some_may_be_refused_in_other_ways() -> None:
    row = TABLE["array"]
    one_too_many, hung_up = op("bad/array", "POST", "/x", 429), op("bad/array", "POST", "/x", None)
    echoed = op("bad/array", "POST", "/x", 200, {"size": 7})
    assert offence(replace(row, may_be_429=True), [one_too_many]) is None
    assert offence(replace(row, may_hang_up=True), [hung_up]) is None
    right = replace(row, right=lambda one: one.field("size", int) == 7)
    assert offence(right, [echoed]) is None
    assert offence(right, [replace(echoed, reply={"size": 8})]) == "was accepted (200)"
