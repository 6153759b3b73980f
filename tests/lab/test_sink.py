"""The sink: what it decides, by hand and by made-up clients, and what it says over a real connection."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from crucible.check import SinkFault
from crucible.evidence import Attempt
from crucible.lab.client import Client, Reply
from crucible.lab.connection import encode
from crucible.lab.ledger import PATIENCE, SECOND_NS, Ledger
from crucible.lab.sink import LARGEST, SinkServer

T = TypeVar("T")
MS = 1_000_000
TO: dict[str, JsonValue] = {"to": "u1", "body": "hello", "ref": "n1"}


def ledger(**fault: float | bool) -> Ledger:
    made = Ledger(seed=1)
    made.faults["email"] = SinkFault(**fault)  # type: ignore[arg-type]
    return made


def test_the_same_key_and_body_is_one_effect() -> None:
    made = ledger()
    first = made.decide("email", "k", TO, 0)
    assert (first.status, first.effect) == (200, True)
    again = made.decide("email", "k", dict(reversed(TO.items())), 1)
    assert (again.status, again.effect, again.why) == (200, False, "repeated")


def test_a_key_with_another_body_is_refused() -> None:
    made = ledger()
    made.decide("email", "k", TO, 0)
    other = made.decide("email", "k", TO | {"body": "other"}, 1)
    assert (other.status, other.effect) == (422, False)


def test_two_keys_are_two_effects_and_so_are_two_calls_without_one() -> None:
    made = ledger()
    assert [made.decide("email", key, TO, 0).effect for key in ("a", "b", None, None)] == [True] * 4


def test_a_key_in_flight_is_refused_until_it_is_answered() -> None:
    made = ledger()
    made.decide("email", "k", TO, 0)
    made.begin("k")
    assert made.decide("email", "k", TO, 1).status == 409
    made.end("k")
    assert made.decide("email", "k", TO, 2).why == "repeated"


def test_more_than_it_takes_in_a_second_is_told_when_to_come_again() -> None:
    made = ledger(most_per_s=10)
    said = [made.decide("email", str(number), TO, number * MS) for number in range(12)]
    assert [it.status for it in said] == [200] * 10 + [429] * 2
    assert said[-1].retry_after_s == 1
    assert made.decide("sms", "x", TO, 12 * MS).status == 200, "another channel is another line"
    assert made.decide("email", "later", TO, 11 * MS + SECOND_NS).status == 200


def test_who_is_rejected_is_rejected_for_good() -> None:
    made = ledger()
    made.rejected.add("u1")
    assert {made.decide("email", "k", TO, number).status for number in range(9)} == {400}


@pytest.mark.parametrize("body", [None, [], "to", {"ref": "n1"}, {"to": 3}])
def test_what_names_no_recipient_has_no_effect(body: object) -> None:
    assert ledger().decide("email", "k", body, 0).status == 400  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [None, [], "to", {"event_id": 1}, {"to": [3]}])
def test_where_it_is_called_back_any_body_will_do_and_a_key_says_nothing(body: object) -> None:
    made = Ledger(seed=1, callbacks=True)
    said = [made.decide("job", "k", one, 0) for one in (body, {"event_id": 2})]  # type: ignore[arg-type]
    assert [(it.status, it.effect) for it in said] == [(200, True)] * 2
    made.faults["job"] = SinkFault(outage=True)
    assert made.decide("job", "k", TO, 0).status == 503


def test_an_outage_and_a_hang_have_no_effect_and_end() -> None:
    made = ledger(outage=True)
    assert (made.decide("email", "k", TO, 0).status, made.effects) == (503, {})
    made.faults["email"] = SinkFault(hangs=True)
    assert (made.decide("email", "k", TO, 0).status, made.effects) == (None, {})
    del made.faults["email"]
    assert made.decide("email", "k", TO, 0).effect


def test_errors_grow_with_the_volume_and_half_of_them_come_after_the_effect() -> None:
    def share(per_s: int) -> tuple[float, float]:
        made = ledger(errors=0.5, most_per_s=100)
        step = SECOND_NS // per_s
        said = [made.decide("email", str(number), TO, number * step) for number in range(4000)]
        failed = [it for it in said if it.status == 500]
        return len(failed) / len(said), sum(it.effect for it in failed) / max(1, len(failed))

    full, after = share(100)
    assert abs(full - 0.5) < 3 * math.sqrt(0.25 / 4000)
    assert abs(after - 0.5) < 3 * math.sqrt(0.25 / 2000)
    assert abs(share(20)[0] - 0.1) < 3 * math.sqrt(0.09 / 4000)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["k", None]), st.floats(0, 1))
def test_a_client_that_tries_again_comes_to_an_end_with_one_effect_per_key(
    seed: int, key: str | None, errors: float
) -> None:
    made = Ledger(seed)
    made.faults["email"] = SinkFault(errors=errors, most_per_s=1)
    effects = tries = 0
    for second in range(PATIENCE + 1):
        said = made.decide("email", key, TO, second * 2 * SECOND_NS)
        effects, tries = effects + said.effect, tries + 1
        if said.status == 200:
            break
    assert said.status == 200
    assert effects == 1 or (key is None and effects <= tries)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 3000)), max_size=60))
def test_no_key_ever_has_two_effects_whatever_happens(calls: list[tuple[str, str, int]]) -> None:
    made = Ledger(3)
    made.faults["email"] = SinkFault(errors=1.0, most_per_s=5)
    now, effects = 0, dict.fromkeys("abc", 0)
    for key, text, gap in calls:
        now += gap * MS
        effects[key] += made.decide("email", key, TO | {"body": text}, now).effect
    assert max(effects.values()) <= 1


# ----- over a connection


def with_sink(work: Callable[[SinkServer, Client], Awaitable[T]]) -> T:
    async def run() -> T:
        now = asyncio.get_running_loop().time
        sink, client = SinkServer(1, lambda: int(now() * 1e9)), Client()
        await sink.start()
        sink.keeping = 1
        try:
            async with asyncio.timeout(10):
                return await work(sink, client)
        finally:
            client.close()
            sink.close()

    return asyncio.run(run())


def send(
    sink: SinkServer,
    client: Client,
    key: str | None,
    body: object = TO,
    *,
    channel: str = "email",
    timeout_s: float = 5.0,
) -> Awaitable[Reply]:
    headers = {"Idempotency-Key": key} if key is not None else {}
    content = json.dumps(body).encode()
    request = encode("POST", sink.port, f"/{channel}/send", content, headers=headers)
    return client.request("127.0.0.1", sink.port, request, timeout_s)


@pytest.mark.machine
def test_each_call_is_kept_with_what_came_of_it() -> None:
    async def work(sink: SinkServer, client: Client) -> tuple[list[Reply], list[Attempt]]:
        sink.ledger.rejected.add("nobody")
        replies = [
            await send(sink, client, "a"), await send(sink, client, "a"),
            await send(sink, client, "b", TO | {"to": "nobody"}), await send(sink, client, None, "no object"),
        ]  # fmt: skip
        return replies, sink.attempts

    replies, attempts = with_sink(work)
    assert [it.status for it in replies] == [it.status for it in attempts] == [200, 200, 400, 400]
    assert [(it.number, it.key, it.effect) for it in attempts] == [
        (0, "a", True), (1, "a", False), (2, "b", False), (3, None, False),
    ]  # fmt: skip
    assert attempts[0].path == "/email/send"
    assert attempts[0].body == TO
    assert all(it.answered_ns is not None and it.answered_ns - it.at_ns > 15 * MS for it in attempts)


@pytest.mark.machine
def test_it_waits_before_it_answers_and_meanwhile_the_key_is_in_flight() -> None:
    async def work(sink: SinkServer, client: Client) -> tuple[Reply, Reply]:
        sink.set_fault("email", SinkFault(delay_ms=200))
        first = asyncio.ensure_future(send(sink, client, "a"))
        await sink.next_call()
        second = await send(sink, client, "a")
        return await first, second

    first, second = with_sink(work)
    assert (first.status, second.status) == (200, 409)


@pytest.mark.machine
def test_an_answer_that_nobody_waited_for_is_no_answer() -> None:
    async def work(sink: SinkServer, client: Client) -> tuple[Reply, Reply, list[Attempt]]:
        sink.set_fault("email", SinkFault(delay_ms=200))
        first = await send(sink, client, "a", timeout_s=0.05)
        sink.heal("email")
        second = await send(sink, client, "a")
        return first, second, sink.attempts

    first, second, attempts = with_sink(work)
    assert (first.status, second.status) == (None, 200)
    assert (attempts[0].effect, attempts[0].answered_ns) == (True, None)
    assert attempts[1].why == "repeated", "the effect stood, and the key is free again once its connection is gone"


@pytest.mark.machine
def test_who_was_hung_is_told_when_it_is_over_and_other_channels_go_on() -> None:
    async def work(sink: SinkServer, client: Client) -> tuple[Reply, Reply, list[Attempt]]:
        sink.set_fault("sms", SinkFault(hangs=True))
        hung = asyncio.ensure_future(send(sink, client, "a", channel="sms"))
        await sink.next_call("sms")
        other = await send(sink, client, "b")
        await asyncio.sleep(0.05)
        assert not hung.done()
        sink.heal("sms")
        return await hung, other, sink.attempts

    hung, other, attempts = with_sink(work)
    assert (hung.status, other.status) == (503, 200)
    assert (attempts[0].status, attempts[0].effect) == (503, False)


@pytest.mark.machine
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/email/send", 404), ("POST", "/email", 404), ("POST", "/", 404), ("POST", "/email/send?x=1", 200)],
)
def test_what_is_no_call_is_no_attempt(method: str, path: str, status: int) -> None:
    async def work(sink: SinkServer, client: Client) -> tuple[Reply, int]:
        request = encode(method, sink.port, path, json.dumps(TO).encode())
        return await client.request("127.0.0.1", sink.port, request, 5.0), len(sink.attempts)

    reply, number = with_sink(work)
    assert (reply.status, number) == (status, int(status == 200))


@pytest.mark.machine
@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/job-1/any/path?x=1", 200), ("GET", "/job-1", 404)])
def test_a_call_back_may_have_any_path(method: str, path: str, status: int) -> None:
    async def work() -> tuple[Reply, list[Attempt]]:
        sink, client = SinkServer(1, lambda: 0, callbacks=True), Client()
        await sink.start()
        sink.keeping = 1
        try:
            request = encode(method, sink.port, path, b"[1]")
            return await client.request("127.0.0.1", sink.port, request, 5.0), list(sink.attempts)
        finally:
            client.close()
            sink.close()

    reply, attempts = asyncio.run(work())
    assert reply.status == status
    assert [(it.path, it.body) for it in attempts] == ([("/job-1/any/path", [1])] if status == 200 else [])


@pytest.mark.machine
@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"POST /email/send HTTP/1.1\r\nX: " + b"x" * LARGEST + b"\r\n\r\n", b"\x00" * 10],
)
def test_who_talks_nonsense_or_too_much_is_dropped(sent: bytes) -> None:
    async def work(sink: SinkServer, client: Client) -> tuple[bytes, Reply]:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(sent)
        try:
            said = await reader.read(100)
        except ConnectionResetError:
            said = b""
        writer.close()
        return said, await send(sink, client, "a")

    said, after = with_sink(work)
    assert said == b""
    assert after.status == 200


@pytest.mark.machine
def test_outside_of_scenarios_nothing_is_kept_but_what_took_effect_is_known() -> None:
    async def work(sink: SinkServer, client: Client) -> tuple[int, Reply, list[Attempt]]:
        sink.keeping = 0
        await send(sink, client, "a")
        number = len(sink.attempts)
        sink.keeping = 1
        return number, await send(sink, client, "a"), sink.attempts

    number, again, attempts = with_sink(work)
    assert (number, again.status, attempts[0].why) == (0, 200, "repeated")
