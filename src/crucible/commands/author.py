"""The smallest challenge that verifies, for an author to begin with."""

import re
from pathlib import Path, PurePosixPath

from crucible import schemas
from crucible.commands import atomic
from crucible.commands.scaffold import LEFT_BY_TOOLS
from crucible.errors import CrucibleError, Fault
from crucible.planning import challenges

TEMPLATE, SLUG, TITLE = "_new", "new-challenge", "New challenge"
SCHEMA = "challenge.schema.json"
_GOOD = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new(slug: str, into: Path) -> Path:
    """Write a challenge named `slug` into the folder `into`; returns its own folder, which must not exist yet."""
    if not _GOOD.fullmatch(slug) or len(slug) > 40:
        raise CrucibleError(
            f"`{slug}` cannot name a challenge", where="the command line",
            fix="use lower-case letters, digits and single `-`, at most 40", fault=Fault.AUTHOR,
        )  # fmt: skip
    template = challenges.data_folder("challenge_templates") / TEMPLATE
    files = {
        PurePosixPath(path.relative_to(template)): _named(path.read_text(encoding="utf-8"), slug).encode()
        for path in sorted(template.rglob("*"))
        if path.is_file() and not LEFT_BY_TOOLS & set(path.relative_to(template).parts)
    }
    first = PurePosixPath("challenge.yaml")
    files[first] = f"# yaml-language-server: $schema={SCHEMA}\n".encode() + files[first]
    files[PurePosixPath(SCHEMA)] = schemas.current()["challenge-1.json"].encode()
    return atomic.write_whole(into / slug, files)


def _named(text: str, slug: str) -> str:
    title = slug.replace("-", " ").capitalize()
    return text.replace(SLUG, slug).replace(TITLE, title)
