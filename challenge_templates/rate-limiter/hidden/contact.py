"""The first requests of the contract."""

from random import Random

from crucible.check import Call, Lab

from .requests import LONG_MS, check, fresh, limit, put_limit


async def contact(lab: Lab, rng: Random) -> None:
    key = fresh(rng, "contact")
    await put_limit(lab, limit(lab.replicas[0], key, 5, LONG_MS, "contact"))
    for target in lab.replicas:
        await lab.call(check(target, key, "contact/check"))
    await lab.call(Call(lab.replicas[0], "GET", f"/v1/usage/{key}", name="contact/usage"))
