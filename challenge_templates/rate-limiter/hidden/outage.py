"""Each used service refused, stalled and crashed under load, and how soon the solution is itself again."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.check import Call, JsonValue, Lab, NetworkFault, NotCausedError

from .requests import LONG_MS, allowed, calm, check, fresh, limit, put_limits, refused
from .survival import FullKeys
from .windows import aligned_window, note_epoch, now_ms

STALLS: dict[str, NetworkFault] = {"refuse": "refuse", "drop": "drop"}
KINDS = (*STALLS, "crash")
NONE = "none"
"""The place of a service's name where there is none: the same load, without a fault."""
FAULT_S, GAP_S, TIMEOUT_S = 3.0, 0.02, 2.0
DOWN_S = 1.0
"""How long a crashed service stays down; then it takes its own time to start."""
FULL_LIMIT, FULL_MS = 2, 3_600_000
"""So long that a steady refill adds nothing."""
HOT_LIMIT = 5
HEALTHY_WITHIN_S, GIVE_UP_S = 5.0, 6.5


@dataclass(frozen=True, slots=True)
class Spell:
    """What is asked in one fault: a full key, a hot one that is untouched so far, and fresh ones."""

    name: str
    full: str
    hot: str
    fresh: tuple[str, ...]
    probes: tuple[str, ...]
    """One for each replica, to see when it is itself again."""

    def limits(self, target: str, windows: tuple[int, int]) -> list[Call]:
        full_ms, long_ms = windows
        puts = [limit(target, self.full, FULL_LIMIT, full_ms, f"{self.name}/full")]
        puts += [limit(target, self.hot, HOT_LIMIT, long_ms, f"{self.name}/hot")]
        return puts + [limit(target, key, HOT_LIMIT, long_ms, f"{self.name}/fresh") for key in self.fresh]

    def load(self, targets: tuple[str, ...]) -> list[Call]:
        """Each kind of key in turn, on every replica in turn."""
        calls = []
        for i in range(int(FAULT_S / GAP_S)):
            kind, key = (("full", self.full), ("fresh", self.fresh[i // 3]), ("hot", self.hot))[i % 3]
            target = targets[(i // 3) % len(targets)]
            calls.append(check(target, key, f"{self.name}/{kind}", timeout_s=TIMEOUT_S))
        return calls


def make_spell(lab: Lab, rng: Random, service: str, kind: str) -> Spell:
    new = tuple(fresh(rng, "fresh") for _ in range(int(FAULT_S / GAP_S) // 3 + 1))
    probes = tuple(fresh(rng, "well") for _ in lab.replicas)
    return Spell(f"out/{service}/{kind}", fresh(rng, "full"), fresh(rng, "hot"), new, probes)


async def outage(lab: Lab, rng: Random) -> None:
    if not lab.services:
        calm = make_spell(lab, rng, NONE, NONE)
        await prepare(lab, [calm])
        lab.note(calm.name, {"begin": lab.now_ns()})
        await lab.paced(calm.load(lab.replicas), GAP_S)
    for service in lab.services:
        spells = {kind: make_spell(lab, rng, service, kind) for kind in KINDS}
        kept = FullKeys(lab, rng, service)
        await kept.prepare(int(2_000 + 1_500 * FAULT_S * len(STALLS)))
        await prepare(lab, list(spells.values()))
        for name, kind in STALLS.items():
            await stall(lab, spells[name], service, kind)
        await crash(lab, spells["crash"], service, kept)


async def prepare(lab: Lab, spells: list[Spell]) -> None:
    """Set the limits; they are in force a second later."""
    epoch_ms = note_epoch(lab)
    at_ms = now_ms(lab, epoch_ms) + 2_000
    windows = aligned_window(at_ms, FULL_MS), aligned_window(at_ms, LONG_MS)
    puts = [put for spell in spells for put in spell.limits(lab.replicas[0], windows)]
    await put_limits(lab, puts)
    await lab.sleep(1.0)


async def shut(lab: Lab, spell: Spell) -> None:
    """Ask for the full key until every replica has refused it twice in a row."""
    for target in lab.replicas:
        in_a_row = 0
        for _ in range(3 * FULL_LIMIT + 2):
            op = await lab.call(check(target, spell.full, f"{spell.name}/fill/{target}", timeout_s=TIMEOUT_S))
            in_a_row = in_a_row + 1 if refused(op) else 0
            if in_a_row == 2:
                break


async def stall(lab: Lab, spell: Spell, service: str, kind: NetworkFault) -> None:
    await shut(lab, spell)
    async with lab.fault(service, kind):
        begin = lab.now_ns()
        await lab.paced(spell.load(lab.replicas), GAP_S)
        end = lab.now_ns()
    healed = lab.now_ns()
    lab.note(spell.name, {"begin": begin, "end": end, "healed": healed})
    await recover(lab, spell, healed)
    await calm(lab, f"{spell.name}/calm", spell.probes)


async def crash(lab: Lab, spell: Spell, service: str, kept: FullKeys) -> None:
    """A cache comes back empty, so the limits are set again before anything is asked of it."""
    await shut(lab, spell)
    await kept.fill()
    begin = lab.now_ns()
    shower = asyncio.ensure_future(lab.paced(spell.load(lab.replicas), GAP_S))
    try:
        await lab.crash(service, DOWN_S)
    except NotCausedError as error:
        lab.note(f"not caused/{service}/crash", str(error))
        await shower
        return
    healed = lab.now_ns()
    lab.note(spell.name, {"begin": begin, "end": begin + int(DOWN_S * 1e9), "healed": healed})
    await recover(lab, spell, healed)
    await calm(lab, f"{spell.name}/calm", spell.probes)
    await kept.set()
    await kept.probe()
    await shower


async def recover(lab: Lab, spell: Spell, healed_ns: int) -> None:
    """Set a limit and ask, on each replica, until a check is allowed there."""
    end_ns = healed_ns + int(GIVE_UP_S * 1e9)

    async def follow(target: str, key: str) -> None:
        while lab.now_ns() < end_ns:
            await set_probe(lab, spell, key)
            if allowed(await lab.call(check(target, key, f"{spell.name}/well/{target}", timeout_s=1))):
                return
            await lab.sleep(0.1)

    await asyncio.gather(*map(follow, lab.replicas, spell.probes))


async def set_probe(lab: Lab, spell: Spell, key: str) -> None:
    body: JsonValue = {"limit": 1_000_000, "window_ms": LONG_MS}
    await lab.configure(Call(lab.replicas[0], "PUT", f"/v1/limits/{key}", body, f"put/{spell.name}/well", timeout_s=1))
