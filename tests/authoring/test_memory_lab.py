"""The lab without a network or processes: what it does to calls, and to those that something happens to meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pydantic import JsonValue

from crucible.authoring.memory_lab import EPOCH_NS, MS, LateAnswer, MadeUp, MemoryLab, in_virtual_time, recorded
from crucible.check import Call, Lab
from crucible.evidence import Op, Result

HOUR_S = 3600.0


class Notes(MadeUp):
    """Keeps what reaches it, and answers with the status that stands in the path."""

    def __init__(self) -> None:
        self.reached: list[tuple[int, str, str]] = []
        self.lost: list[str] = []

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        self.reached.append((at_ns, target, text))
        if path == "/exit":
            raise SystemExit
        return int(path.removeprefix("/")), {"target": target}

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        return LateAnswer(503, {"fault": fault}, 10) if path == "/200" else LateAnswer(None, None, 60_000)

    def store_crashed(self, service: str) -> None:
        self.lost.append(service)

    def processes_crashed(self, targets: object) -> None:
        self.lost.append(str(targets))


def run(
    work: Callable[[MemoryLab], Awaitable[object]], services: tuple[str, ...] = ("redis",), replicas: int = 2
) -> tuple[MemoryLab, Notes]:
    solution = Notes()
    lab = MemoryLab(solution, replicas, services)

    async def working() -> None:
        await work(lab)

    in_virtual_time(working)
    return lab, solution


def call(path: str = "/200", target: str = "web.0", timeout_s: float = 5.0) -> Call:
    return Call(target, "POST", path, {"a": 1}, "asked", timeout_s=timeout_s)


def took_ms(op: Op) -> float:
    return (op.received_ns - op.sent_ns) / MS


def test_clocks_go_on_together_from_a_known_moment_and_no_hour_is_waited_for() -> None:
    async def work(lab: MemoryLab) -> None:
        assert (lab.now_ns(), lab.wall_ns()) == (0, EPOCH_NS)
        await lab.sleep(HOUR_S)
        assert lab.now_ns() == HOUR_S * 1e9
        assert lab.wall_ns() - lab.now_ns() == EPOCH_NS

    run(work)


def test_it_is_what_a_scenario_holds() -> None:
    lab: Lab = MemoryLab(MadeUp(), 3)
    assert lab.replicas == lab.instances == ("web.0", "web.1", "web.2")


@pytest.mark.parametrize(
    ("status", "result"), [(200, Result.OK), (202, Result.OK), (404, Result.REFUSED), (503, Result.UNKNOWN)]
)
def test_a_call_is_recorded_as_what_its_answer_says(status: int, result: Result) -> None:
    lab, solution = run(lambda lab: lab.call(call(f"/{status}")))
    (op,) = lab.ops
    assert (op.status, op.result, op.reply) == (status, result, {"target": "web.0"})
    assert (op.error is None) == (status < 500)
    assert solution.reached == [(MS, "web.0", '{"a": 1}')]


def test_a_call_takes_two_milliseconds_and_the_way_to_services_that_are_far() -> None:
    async def work(lab: MemoryLab) -> None:
        await lab.call(call())
        async with lab.slow(25):
            await lab.call(call())
        await lab.call(call())

    lab, _ = run(work)
    assert [took_ms(op) for op in lab.ops] == pytest.approx([2, 52, 2])


def test_who_has_no_service_is_no_slower() -> None:
    async def work(lab: MemoryLab) -> None:
        async with lab.slow(25):
            await lab.call(call())

    lab, _ = run(work, services=())
    assert took_ms(lab.ops[0]) == pytest.approx(2)


def test_a_burst_gets_through_twelve_at_a_time() -> None:
    _, solution = run(lambda lab: lab.burst([call()] * 30))
    moments = [at_ns / MS for at_ns, _, _ in solution.reached]
    assert moments == pytest.approx([1] * 12 + [5] * 12 + [9] * 6)


def test_paced_calls_are_sent_at_their_moments_and_told_in_their_order() -> None:
    found: list[Op] = []

    async def work(lab: MemoryLab) -> None:
        found.extend(await lab.paced([call("/200"), call("/404"), call("/503")], 0.001))

    run(work)
    assert [op.sent_ns / MS for op in found] == pytest.approx([0, 1, 2])
    assert [op.status for op in found] == [200, 404, 503]


@pytest.mark.parametrize(("services", "targets"), [(("redis",), ["web.1"]), ((), ["web.0", "web.1"])])
def test_a_configuration_goes_to_whoever_has_to_know_it(services: tuple[str, ...], targets: list[str]) -> None:
    lab, _ = run(lambda lab: lab.configure(call(target="web.1")), services)
    assert [op.target for op in lab.ops] == targets


def test_a_killed_process_loses_what_is_on_its_way_and_refuses_what_comes() -> None:
    async def work(lab: MemoryLab) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(lab.call(call()))
            group.create_task(lab.call(call(target="web.1")))
            await lab.sleep(0.0005)
            await lab.kill("web.0")
        await lab.call(call())

    lab, solution = run(work)
    lost, other, refused = sorted(lab.ops, key=lambda op: (op.sent_ns, op.target))
    assert (lost.status, lost.result, lost.error) == (None, Result.UNKNOWN, "connection closed before any reply")
    assert other.status == 200
    assert (refused.status, refused.result, refused.error) == (None, Result.REFUSED, "connection refused")
    assert [target for _, target, _ in solution.reached] == ["web.1"]
    assert solution.lost == ["('web.0',)"]


def test_what_a_killed_process_has_done_may_have_had_its_effect() -> None:
    async def work(lab: MemoryLab) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(lab.call(call()))
            await lab.sleep(0.0015)
            await lab.kill("web.0")

    lab, solution = run(work)
    assert lab.ops[0].result is Result.UNKNOWN
    assert len(solution.reached) == 1


def test_a_process_that_is_started_again_answers() -> None:
    async def work(lab: MemoryLab) -> None:
        await lab.kill("web.0")
        await lab.start("web.0")
        assert lab.now_ns() == 0.3e9
        await lab.call(call())

    assert run(work)[0].ops[0].status == 200


def test_a_process_that_ends_itself_is_an_event_and_stays_away() -> None:
    async def work(lab: MemoryLab) -> None:
        await lab.call(call("/exit"))
        await lab.call(call())

    lab, _ = run(work)
    assert [(event.kind, event.subject) for event in lab.events] == [("died", "web.0")]
    assert [op.result for op in lab.ops] == [Result.UNKNOWN, Result.REFUSED]


def test_under_a_fault_the_solution_says_what_it_does_without_its_store() -> None:
    async def work(lab: MemoryLab) -> None:
        async with lab.fault("redis", "refuse"):
            await lab.call(call("/200"))
            await lab.call(call("/404", timeout_s=2))
        await lab.call(call("/200"))

    lab, _ = run(work)
    away, silent, healed = lab.ops
    assert (away.status, away.reply) == (503, {"fault": "refuse"})
    assert (silent.status, silent.result, silent.error) == (None, Result.UNKNOWN, "no answer within 2 s")
    assert took_ms(silent) == pytest.approx(2002)
    assert healed.status == 200


def test_a_fault_of_services_is_none_to_who_has_none() -> None:
    async def work(lab: MemoryLab) -> None:
        async with lab.fault("redis", "refuse"):
            await lab.call(call())

    assert run(work, services=())[0].ops[0].status == 200


def test_a_store_that_crashes_is_away_and_its_loss_is_told() -> None:
    async def work(lab: MemoryLab) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(lab.crash("redis", 1.0))
            await lab.sleep(0.5)
            await lab.call(call())
        await lab.call(call())

    lab, solution = run(work)
    assert [op.status for op in lab.ops] == [503, 200]
    assert solution.lost == ["redis"]


def test_calls_that_have_no_answer_yet_are_in_flight() -> None:
    async def work(lab: MemoryLab) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(lab.burst([call()] * 3))
            await lab.sleep(0.001)
            assert lab.in_flight == 3
        assert lab.in_flight == 0

    run(work)


def test_what_was_sent_as_it_is_is_recorded_in_words() -> None:
    sent = Call("web.0", "POST", "/400", name="bad", raw=b"\xff{")
    lab, solution = run(lambda lab: lab.call(sent))
    assert lab.ops[0].request.body == "words"
    assert solution.reached[0][2] == "�{"


def test_an_answer_is_recorded_with_what_was_asked() -> None:
    asked = Call("web.1", "PUT", "/x", {"b": 2}, "name", headers={"Idempotency-Key": "k"})
    op = recorded(asked, 201, {"id": 1}, error=None, sent_ns=5, received_ns=9)
    assert (op.name, op.target, op.sent_ns, op.received_ns) == ("name", "web.1", 5, 9)
    assert (op.request.method, op.request.path, op.request.body) == ("PUT", "/x", {"b": 2})
    assert op.request.headers == {"Idempotency-Key": "k"}


def test_what_it_cannot_do_is_not_passed_over() -> None:
    async def work(lab: MemoryLab) -> None:
        with pytest.raises(NotImplementedError):
            async with lab.paused("web.0"):
                raise AssertionError
        with pytest.raises(NotImplementedError):
            _ = lab.sink

    run(work)


def test_a_design_made_up_answers_with_headers_where_it_has_some() -> None:
    class Locates(MadeUp):
        def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
            return 201, {"code": "a"}

        def headers(self, target: str, method: str, path: str, reply: JsonValue) -> dict[str, str]:
            return {"location": "/v1/links/a"}

    lab = MemoryLab(Locates())

    async def ask() -> None:
        await lab.call(Call("web.0", "POST", "/v1/links"))

    in_virtual_time(ask)
    assert lab.ops[0].headers == {"location": "/v1/links/a"}
