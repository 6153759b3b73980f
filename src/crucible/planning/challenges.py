"""Where the challenges lie: beside `src` in a checkout, inside the package in an installed wheel."""

import os
from difflib import get_close_matches
from pathlib import Path

from crucible.errors import CrucibleError, Fault
from crucible.planning.manifest import Manifest, read_manifest

VARIABLE = "CRUCIBLE_CHALLENGES"
"""Names folders with further challenges: an author's, or an organiser's own."""


def data_folder(name: str) -> Path:
    """The folder `challenge_templates` or `workflows`."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_data" / name, package.parent.parent / name):
        if folder.is_dir():
            return folder
    raise CrucibleError(
        f"the folder `{name}` is missing from this installation",
        where=str(package),
        fix="install Crucible again, from its wheel or a complete checkout",
        fault=Fault.CRUCIBLE,
    )


def places() -> tuple[Path, ...]:
    """Where challenges lie, the first one found counts: the folders that `CRUCIBLE_CHALLENGES` names, as in a PATH, and
    ours. Each holds challenges, or is one."""
    own = [Path(place).expanduser() for place in os.environ.get(VARIABLE, "").split(os.pathsep) if place]
    return (*own, data_folder("challenge_templates"))


def folders() -> dict[str, Path]:
    """Every challenge by its slug."""
    found: dict[str, Path] = {}
    for place in places():
        if (place / "challenge.yaml").is_file():
            found.setdefault(place.resolve().name, place.resolve())
        for path in sorted(place.glob("[!_]*/challenge.yaml")):
            found.setdefault(path.parent.name, path.parent.resolve())
    return found


def slugs() -> list[str]:
    return sorted(folders())


def folder_of(slug: str, *, where: str, fault: Fault = Fault.LEARNER) -> Path:
    """The folder of a challenge; an unknown slug is the fault of whoever wrote it down at `where`."""
    known = folders()
    if slug not in known:
        close = get_close_matches(slug, known, n=1)
        fix = f"did you mean `{close[0]}`?" if close else "use one of: " + ", ".join(sorted(known))
        raise CrucibleError(f"there is no challenge `{slug}`", where=where, fix=fix, fault=fault)
    return known[slug]


def all_manifests() -> list[Manifest]:
    return [read_manifest(folder) for _, folder in sorted(folders().items())]
