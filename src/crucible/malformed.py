"""Malformed requests, which every challenge makes: how they are made, and what each may be answered with."""

from collections.abc import Callable, Iterable, Sequence

from crucible.check import Call, Lab
from crucible.evidence import Op, Result

TRIES = 3
"""Any design may fail to answer once."""
PROBES, PROBE_S, PAUSE_S = 5, 1.0, 0.2


async def make(lab: Lab, slugs: Iterable[str], call: Callable[[str, str], Call], targets: Sequence[str]) -> list[str]:
    """Make the request `call(slug, target)` for each slug, to each target in turn; the targets that live on."""
    up = list(targets)
    for index, slug in enumerate(slugs):
        if not up:
            break
        target = up[index % len(up)]
        request = call(slug, target)
        for _ in range(TRIES):
            op = await lab.call(request)
            if op.status is None and not await alive(lab, target):
                up.remove(target)
                break
            if op.status is not None and op.status < 500:
                break
    for target in up:
        await alive(lab, target)
    return up


async def alive(lab: Lab, target: str) -> bool:
    """Whether it answers within about two seconds; asked under the name `alive/TARGET`."""
    for _ in range(PROBES):
        op = await lab.call(
            Call(target, "GET", "/healthz", name=f"alive/{target}", timeout_s=PROBE_S, json_reply=False)
        )
        if op.result is Result.OK:
            return True
        await lab.sleep(PAUSE_S)
    return False


def offence(ops: Sequence[Op], *, one_too_many: bool = False, large: bool = False) -> str | None:
    """What was done with a malformed request that may not be, in words; None where it was refused.

    `ops`: its tries, at least one. `one_too_many`: 429 is a refusal too. `large`: so is hanging up, where the process
    lives on.
    """
    for op in ops:
        if op.status is not None and op.status < 400:
            return f"was accepted ({op.status})"
        if op.status == 429 and not one_too_many:
            return "was treated as one too many (429)"
    if any(op.status is not None and 400 <= op.status < 500 for op in ops):
        return None
    if large and any(op.status is None for op in ops):
        return None
    return f"got no answer ({ops[-1].error})" if ops[-1].status is None else f"was answered with {ops[-1].status}"
