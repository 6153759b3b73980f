"""Each used service refused, stalled and crashed under load, and how soon the solution is itself again."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.facts import note
from crucible.authoring.strikes import posting
from crucible.check import Call, Lab, NetworkFault, NotCausedError

from .requests import CALM_KEYS, LONG_MS, allowed, calm, check, fresh, limit, put_limits, refused
from .spells import CRASH, FULL_LIMIT, FULL_MS, HOT_LIMIT, STALLS, Lasted, NotCaused, Spell, spells
from .survival import FullKeys

FAULT_S, GAP_S, TIMEOUT_S = 3.0, 0.02, 2.0
DOWN_S = 1.0
"""How long a crashed service stays down; then it takes its own time to start."""
GIVE_UP_S = 6.5


@dataclass(frozen=True, slots=True)
class Keys:
    """What is asked for around one fault: a full key, a hot one that is untouched so far, and fresh ones."""

    spell: Spell
    full: str
    hot: str
    fresh: tuple[str, ...]
    probes: tuple[str, ...]
    """To see when it is itself again: the first few one for each replica, then all of them on all."""

    def limits(self, target: str, full_ms: int, long_ms: int) -> list[Call]:
        puts = [limit(target, self.full, FULL_LIMIT, full_ms, self.spell.asked("full"))]
        puts += [limit(target, self.hot, HOT_LIMIT, long_ms, self.spell.asked("hot"))]
        return puts + [limit(target, key, HOT_LIMIT, long_ms, self.spell.asked("fresh")) for key in self.fresh]

    def load(self, lab: Lab) -> list[Call]:
        """Each kind of key in turn, on every replica in turn."""
        calls = []
        for i in range(int(FAULT_S / GAP_S)):
            kind, key = (("full", self.full), ("fresh", self.fresh[i // 3]), ("hot", self.hot))[i % 3]
            calls.append(check(in_turn(lab, i // 3), key, self.spell.asked(kind), timeout_s=TIMEOUT_S))
        return calls


def choose_keys(lab: Lab, rng: Random, spell: Spell) -> Keys:
    new = tuple(fresh(rng, "fresh") for _ in range(int(FAULT_S / GAP_S) // 3 + 1))
    probes = tuple(fresh(rng, "well") for _ in range(CALM_KEYS))
    return Keys(spell, fresh(rng, "full"), fresh(rng, "hot"), new, probes)


async def outage(lab: Lab, rng: Random) -> None:
    for service in lab.services:
        keys = {spell.kind: choose_keys(lab, rng, spell) for spell in spells([service])}
        kept = FullKeys(lab, rng, service)
        await kept.prepare(int(2_000 + 1_500 * FAULT_S * len(STALLS)))
        await prepare(lab, *keys.values())
        for kind in STALLS:
            await stall(lab, keys[kind], kind)
        await crash(lab, keys[CRASH], kept)
    if not lab.services:
        (spell,) = spells(lab.services)
        untroubled = choose_keys(lab, rng, spell)
        await prepare(lab, untroubled)
        begin_ns = lab.now_ns()
        await lab.paced(untroubled.load(lab), GAP_S)
        note(lab, Lasted(begin_ns, lab.now_ns(), lab.now_ns()), spell.name)


async def prepare(lab: Lab, *every: Keys) -> None:
    """Set the limits; they are in force a second later."""
    at_ms = wall_ms(lab) + 2_000
    full_ms, long_ms = aligned_window(at_ms, FULL_MS), aligned_window(at_ms, LONG_MS)
    await put_limits(lab, [put for keys in every for put in keys.limits(lab.replicas[0], full_ms, long_ms)])
    await lab.sleep(1.0)


async def shut(lab: Lab, keys: Keys) -> None:
    """Ask for the full key until every replica has refused it twice in a row."""
    for target in lab.replicas:
        in_a_row = 0
        for _ in range(3 * FULL_LIMIT + 2):
            op = await lab.call(check(target, keys.full, keys.spell.asked("fill", target), timeout_s=TIMEOUT_S))
            in_a_row = in_a_row + 1 if refused(op) else 0
            if in_a_row == 2:
                break


async def stall(lab: Lab, keys: Keys, kind: NetworkFault) -> None:
    await shut(lab, keys)
    async with lab.fault(keys.spell.service, kind):
        begin_ns = lab.now_ns()
        await lab.paced(keys.load(lab), GAP_S)
        end_ns = lab.now_ns()
    await recover(lab, keys, Lasted(begin_ns, end_ns, lab.now_ns()))


async def crash(lab: Lab, keys: Keys, kept: FullKeys) -> None:
    """A cache comes back empty, so the limits are set again before anything is asked of it."""
    service = keys.spell.service
    await shut(lab, keys)
    await kept.fill()
    begin_ns = lab.now_ns()
    async with posting(lab, keys.load(lab), GAP_S):
        try:
            await lab.crash(service, DOWN_S)
        except NotCausedError as error:
            note(lab, NotCaused(service, str(error)), service)
            return
        await recover(lab, keys, Lasted(begin_ns, begin_ns + int(DOWN_S * 1e9), lab.now_ns()))
        await kept.set()
        await kept.probe()


async def recover(lab: Lab, keys: Keys, lasted: Lasted) -> None:
    """Set a limit and ask, on each replica, until a check is allowed there; then until all is calm."""
    spell, end_ns = keys.spell, lab.now_ns() + int(GIVE_UP_S * 1e9)
    note(lab, lasted, spell.name)

    def put(key: str, part: str) -> Call:
        return limit(lab.replicas[0], key, 1_000_000, LONG_MS, spell.asked(part), timeout_s=1)

    async def follow(target: str, key: str) -> None:
        while lab.now_ns() < end_ns:
            await lab.configure(put(key, "well"))
            if allowed(await lab.call(check(target, key, spell.asked("well", target), timeout_s=1))):
                return
            await lab.sleep(0.1)

    await asyncio.gather(*map(follow, lab.replicas, keys.probes))
    await put_limits(lab, [put(key, "calm") for key in keys.probes])
    await calm(lab, spell.asked("calm"), keys.probes)
