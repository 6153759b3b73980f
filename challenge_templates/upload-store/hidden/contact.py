"""First contact: one small file, stored and read back on every replica."""

from random import Random

from crucible.authoring.asking import in_turn
from crucible.check import Lab

from .files import announce, announcing, complete, looking, new_file, new_user, read, sending, sent

CONTACT = "contact"
SIZE = 10_000


async def contact(lab: Lab, rng: Random) -> None:
    file = new_file(rng, new_user(rng, CONTACT), SIZE)
    upload = await announce(lab, file, CONTACT)
    if upload is None:
        await lab.call(announcing(in_turn(lab, 1), file, f"{CONTACT}/announce"))
        return
    await sent(lab, sending(in_turn(lab, 0), upload.put, file.content, f"{CONTACT}/put"))
    await complete(lab, upload.file, file.user, CONTACT, 1)
    for target in lab.replicas:
        await lab.call(looking(target, upload.file, file.user, f"{CONTACT}/look"))
        await read(lab, target, upload.file, file.user, f"{CONTACT}/read")
