"""First contact: one small file, looked at on every replica until it is done."""

from random import Random

from crucible.check import Lab

from .jobs import WITHIN_S, finish, heard, new_job, submit
from .tables import Table

CONTACT = "contact"
SIZE = 2_000


async def contact(lab: Lab, rng: Random) -> None:
    job = new_job(lab, rng, CONTACT, Table(rng.getrandbits(32), SIZE))
    begun = await submit(lab, job)
    if begun is not None and await finish(lab, begun, WITHIN_S):
        await heard(lab, begun, WITHIN_S)
