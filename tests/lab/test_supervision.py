"""What the supervisor ends while nobody listens is told all the same."""

import asyncio
from typing import cast

from crucible.lab.accounting import Accounts
from crucible.lab.instance import Running
from crucible.lab.isolation import MOST_PROCESSES
from crucible.lab.supervision import Supervisor


class Crowd:
    """Stands for an instance that has too many processes until it is ended."""

    reason: str | None = None

    def end_for(self, reason: str) -> None:
        self.reason = reason

    def counted(self) -> dict[str, int]:
        return {} if self.reason else {"web.0": MOST_PROCESSES + 1}


def test_a_crowd_that_came_too_late_for_the_last_scenario_is_ended_and_told_once() -> None:
    crowd = Crowd()
    instances = {"web.0": cast("Running", crowd)}
    supervisor = Supervisor(instances, Accounts(list), crowd.counted, lambda: 7, 1 << 30)

    async def end() -> None:
        first, second = await asyncio.gather(supervisor.last_look(), supervisor.last_look())
        (event,) = first + second
        assert (event.kind, event.subject) == ("too_many_processes", "web.0")
        assert event.detail == {"processes": MOST_PROCESSES + 1, "most": MOST_PROCESSES}
        assert await supervisor.last_look() == []

    asyncio.run(end())
    assert crowd.reason is not None
    assert f"may have {MOST_PROCESSES}" in crowd.reason
