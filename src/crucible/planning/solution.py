"""`crucible.yaml` -> `Solution`: what a learner's repository says of itself, checked against its challenge."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from crucible.errors import CrucibleError, Fault
from crucible.planning import challenges, yamlfile
from crucible.planning.challenges import Challenge
from crucible.planning.manifest import Declaration, Manifest
from crucible.planning.names import nearest

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
MAX_REPLICAS = 8


@dataclass(frozen=True)
class ProcessType:
    __pydantic_config__ = _STRICT

    command: str
    """Run as `sh -c 'exec …'`."""
    replicas: int | None = None
    """1 where it is not said; not heeded for `web`, whose number is the profile's business."""


@dataclass(frozen=True)
class _File:
    __pydantic_config__ = _STRICT

    challenge: str
    processes: dict[str, ProcessType]
    build: str | None = None
    services: tuple[str, ...] = ()
    declares: dict[str, Any] = field(default_factory=dict)
    profile: str | None = None
    predictions: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Solution:
    """A learner's repository."""

    folder: Path
    challenge: Challenge
    processes: dict[str, ProcessType]
    build: str | None
    services: tuple[str, ...]
    declares: dict[str, str]
    """What it promises; a number as text."""
    profile: str | None
    predictions: dict[str, float]
    warnings: tuple[str, ...] = ()
    """What stands in the file and is not heeded, with the line."""

    @property
    def manifest(self) -> Manifest:
        return self.challenge.manifest


def read_solution(folder: Path, environ: Mapping[str, str]) -> Solution:
    """Read `folder/crucible.yaml`. Raises a CrucibleError that names the line for anything that cannot be meant."""
    path = folder / "crucible.yaml"
    if not path.is_file():
        raise CrucibleError(
            "there is no crucible.yaml",
            where=str(folder),
            fix="name the folder of a solution, or start one with `crucible-new`",
            fault=Fault.LEARNER,
        )
    file = yamlfile.read(path, _File, fault=Fault.LEARNER)
    slug_line = f"{path}:{yamlfile.line_of(path, ('challenge',))}"
    challenge = challenges.find(file.challenge, environ, where=slug_line)
    manifest = challenge.manifest
    _check_processes(path, file)
    for index, service in enumerate(file.services):
        _one_of(path, ("services", str(index)), service, manifest.services, "a service of this challenge")
    if len(set(file.services)) != len(file.services):
        raise _mistake(path, ("services",), "`services` names one twice", "name each service once")
    for key, value in file.declares.items():
        _one_of(path, ("declares", key), key, manifest.declares, "a declaration of this challenge")
        _check_declared(path, key, value, manifest.declares[key])
    if file.profile is not None:
        _one_of(path, ("profile",), file.profile, [p.id for p in manifest.profiles], "a profile of this challenge")
    for axis in file.predictions:
        _one_of(path, ("predictions", axis), axis, [a.id for a in manifest.axes], "an axis of this challenge")
    return Solution(
        folder=folder,
        challenge=challenge,
        processes=file.processes,
        build=file.build,
        services=file.services,
        declares={key: str(value) for key, value in file.declares.items()},
        profile=file.profile,
        predictions=file.predictions,
        warnings=_unheeded(path, file),
    )


def _unheeded(path: Path, file: _File) -> tuple[str, ...]:
    if file.processes["web"].replicas is None:
        return ()
    line = yamlfile.line_of(path, ("processes", "web", "replicas"))
    return (f"{path.name}:{line}: `processes.web.replicas` is not heeded: the profile says how many there are",)


def _check_processes(path: Path, file: _File) -> None:
    if "web" not in file.processes:
        raise _mistake(path, ("processes",), "`processes.web` is missing", "add the process that answers HTTP on $PORT")
    for name, process in file.processes.items():
        keys = ("processes", name)
        if not _NAME.fullmatch(name):
            raise _mistake(path, keys, f"`{name}` cannot name a process type", "use lower-case letters, digits and `-`")
        if not process.command.strip() or "\0" in process.command:
            raise _mistake(path, keys, f"`processes.{name}.command` is empty", "give the command that starts it")
        if process.replicas is not None and not 1 <= process.replicas <= MAX_REPLICAS:
            raise _mistake(
                path, (*keys, "replicas"), f"`processes.{name}.replicas` is {process.replicas}",
                f"use a number from 1 to {MAX_REPLICAS}",
            )  # fmt: skip


def _check_declared(path: Path, key: str, value: object, declaration: Declaration) -> None:
    keys, number = ("declares", key), declaration.number
    if number is None:
        _one_of(path, keys, str(value), declaration.values, f"a value of `{key}`")
    elif type(value) is not int or not number.least <= value <= number.most:  # a bool is an int to isinstance()
        raise _mistake(path, keys, f"`declares.{key}` is {value!r}", f"use {declaration.choices}")


def _one_of(path: Path, keys: tuple[str, ...], value: str, known: Iterable[str], kind: str) -> None:
    names = list(known)
    if value in names:
        return
    raise _mistake(path, keys, f"`{value}` is not {kind}", nearest(value, names, none="(none are offered)"))


def _mistake(path: Path, keys: tuple[str, ...], what: str, fix: str) -> CrucibleError:
    return CrucibleError(what, where=f"{path}:{yamlfile.line_of(path, keys)}", fix=fix, fault=Fault.LEARNER)
