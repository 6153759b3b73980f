"""A challenge and a starter -> the files of a repository that can be pushed as it is.

They come from three trees, `_shared`, `template` and `starters/<lang>` (the challenge's own, or the one in `_shared`,
which is made of the contract's routes), and from `workflows`, by one rule: `dot-` in front of a name becomes `.`, and a
name that ends in `.j2` loses that and is rendered. Of the rest of a challenge its manifest is read, and how long its
scenarios take.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import jinja2

from crucible.commands import atomic
from crucible.errors import CrucibleError, Fault
from crucible.planning import challenges, yamlfile
from crucible.planning.challenges import Challenge
from crucible.planning.contract import Route, read_routes
from crucible.planning.defaults import ACTION
from crucible.planning.images import images_for
from crucible.planning.manifest import Limit
from crucible.planning.names import nearest
from crucible.planning.plan import minutes

WORKFLOWS = PurePosixPath(".github/workflows")

_STARTER, _STARTERS = "starter.yaml", "starters"
_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
_ACTION = re.compile(rf"[A-Za-z0-9][A-Za-z0-9-]{{0,38}}(/{_NAME}){{1,9}}@(?P<ref>[A-Za-z0-9][A-Za-z0-9._/-]{{0,199}})")
_COMMIT = re.compile(r"[0-9a-f]{40}")
LEFT_BY_TOOLS = {"__pycache__", ".venv", "node_modules", ".crucible", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


@dataclass(frozen=True)
class Starter:
    """What a starter says of itself in `starter.yaml`, which is not copied."""

    ecosystem: str
    """Dependabot's name for its package manager."""
    devcontainer: str
    """The image of a container to work in."""
    build: str
    web: str
    """The command of its `web` process."""


def create(challenge: Challenge, directory: Path, *, lang: str = "python", action: str = ACTION) -> Path:
    """Write a repository for the challenge into `directory`, new or empty; returns its absolute path.

    Raises a CrucibleError, and leaves everything as it was, where that cannot be done.
    """
    return atomic.write_whole(directory, render(challenge, lang=lang, action=action))


def languages(challenge: Challenge) -> list[str]:
    """The languages that a challenge has starters in."""
    return sorted(_starters(challenge))


def render(challenge: Challenge, *, lang: str = "python", action: str = ACTION) -> dict[PurePosixPath, bytes]:
    """Every file of the repository, by its path in it; writes nothing."""
    starter = _starter_folder(challenge, lang)
    manifest = challenge.manifest
    shared = _shared()
    values: dict[str, object] = {
        "manifest": manifest,
        "images": images_for(manifest.services, manifest.durable, manifest.consumer_timeout_s),
        "starter": yamlfile.read(starter / _STARTER, Starter, fault=Fault.AUTHOR),
        "action": action,
        "uses": _uses(action, pinned=_is_pinned(action)),
        "minutes": minutes(challenge),
    }
    if starter.is_relative_to(shared):
        values["routes"] = _routes(challenge)
    environment = _environment()
    files: dict[PurePosixPath, bytes] = {}
    for tree in (shared, challenge.folder / "template", starter):
        for path in _files_of(tree):
            files[_renamed(path.relative_to(tree))] = _content(path, environment, values)
    workflows = challenges.data_folder("workflows")
    for path in _files_of(workflows):
        files[WORKFLOWS / _renamed(path.relative_to(workflows))] = _content(path, environment, values)
    return dict(sorted(files.items()))


def _uses(action: str, *, pinned: bool) -> str:
    """The line of a workflow that calls the Action."""
    if pinned:
        return f"uses: {action}"
    return (
        "# By a tag, so that fixes to the grader arrive by themselves. `crucible-new --action …@COMMIT` pins it.\n"
        f"        uses: {action} # zizmor: ignore[unpinned-uses]"
    )


def _is_pinned(action: str) -> bool:
    """Whether `action` names a commit. Raises a CrucibleError if it does not name an action at all."""
    match = _ACTION.fullmatch(action)
    if match is None or ".." in action:
        raise CrucibleError(
            f"`{action}` does not name an action",
            where="--action", fix=f"write OWNER/REPO@REF, such as {ACTION}", fault=Fault.LEARNER,
        )  # fmt: skip
    return _COMMIT.fullmatch(match["ref"]) is not None


def _shared() -> Path:
    return challenges.data_folder("challenge_templates") / "_shared"


def _starters(challenge: Challenge) -> dict[str, Path]:
    """The folder of each language's starter: the challenge's own, or the shared one."""
    found = [path.parent for place in (_shared(), challenge.folder) for path in place.glob(f"{_STARTERS}/*/{_STARTER}")]
    return {folder.name: folder for folder in found}


def _routes(challenge: Challenge) -> tuple[Route, ...]:
    """The routes of the contract, about each of which the manifest asks a question."""
    routes = read_routes(challenge.folder)
    lines, asked = [route.line for route in routes], challenge.manifest.questions
    if lost := [line for line in asked if line not in lines]:
        what = f"`questions` asks about `{lost[0]}`, which is no route of the contract"
        fix = nearest(lost[0], lines)
    elif missing := [line for line in lines if line not in asked]:
        what = f"`questions` has none about `{missing[0]}`"
        fix = "write down what whoever works on this route has to decide"
    else:
        return routes
    raise CrucibleError(what, where=str(challenge.folder / "challenge.yaml"), fix=fix, fault=Fault.AUTHOR)


def _starter_folder(challenge: Challenge, lang: str) -> Path:
    known = _starters(challenge)
    if lang in known:
        return known[lang]
    raise CrucibleError(
        f"there is no `{lang}` starter for {challenge.manifest.slug}",
        where="--lang",
        fix=nearest(lang, sorted(known)),
        fault=Fault.LEARNER,
    )


def _files_of(tree: Path) -> Iterator[Path]:
    """What is copied of a tree: neither what is said of starters, nor starters that lie in it."""
    unwanted = LEFT_BY_TOOLS | {_STARTER, _STARTERS}
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not unwanted & set(path.relative_to(tree).parts):
            yield path


def _renamed(path: Path) -> PurePosixPath:
    name = PurePosixPath(*(re.sub(r"\Adot-", ".", part) for part in path.parts))
    return name.with_suffix("") if name.suffix == ".j2" else name


def _content(path: Path, environment: jinja2.Environment, values: Mapping[str, object]) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".j2":
        return content
    try:
        return environment.from_string(content.decode()).render(values).encode()
    except jinja2.TemplateError as error:
        line = f":{error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise CrucibleError(
            f"the template cannot be rendered: {error}",
            where=f"{path}{line}", fix="mend the template", fault=Fault.AUTHOR,
        ) from error  # fmt: skip


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701  (Markdown and YAML, from our own data; nothing of it is HTML)
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)  # JSON's strings are YAML's
    environment.filters["wrapped"] = lambda text, indent=0: textwrap.fill(text, 120, subsequent_indent=" " * indent)
    environment.filters["bound"] = _bound
    return environment


def _bound(limit: Limit) -> str:
    return f"≤ {limit.at_most:g}" if limit.at_most is not None else f"≥ {limit.at_least:g}"
