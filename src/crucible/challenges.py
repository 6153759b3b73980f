"""Where the challenges lie: beside `src` in a checkout, inside the package in an installed wheel."""

from difflib import get_close_matches
from pathlib import Path

from crucible.errors import CrucibleError, Fault
from crucible.manifest import Manifest, read_manifest


def data_folder(name: str) -> Path:
    """The folder `challenge_templates` or `workflows`."""
    package = Path(__file__).resolve().parent
    for folder in (package / "_data" / name, package.parent.parent / name):
        if folder.is_dir():
            return folder
    raise CrucibleError(
        f"the folder `{name}` is missing from this installation",
        where=str(package),
        fix="install Crucible again, from its wheel or a complete checkout",
        fault=Fault.CRUCIBLE,
    )


def slugs() -> list[str]:
    return sorted(path.parent.name for path in data_folder("challenge_templates").glob("*/challenge.yaml"))


def folder_of(slug: str, *, where: str, fault: Fault = Fault.LEARNER) -> Path:
    """The folder of a challenge; an unknown slug is the fault of whoever wrote it down at `where`."""
    known = slugs()
    if slug not in known:
        close = get_close_matches(slug, known, n=1)
        fix = f"did you mean `{close[0]}`?" if close else "use one of: " + ", ".join(known)
        raise CrucibleError(f"there is no challenge `{slug}`", where=where, fix=fix, fault=fault)
    return data_folder("challenge_templates") / slug


def all_manifests() -> list[Manifest]:
    return [read_manifest(data_folder("challenge_templates") / slug) for slug in slugs()]
