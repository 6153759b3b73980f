"""The inputs of `action.yml`, and the runner's folders and files, read from the environment and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from crucible.errors import CrucibleError, Fault

Mode = Literal["quick", "full"]
FailOn = Literal["profile", "gates", "never"]

COMMAND_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE")
"""Variables that name the files by which any process may steer the job."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the step is told: the inputs of `action.yml` and the runner's folders and files."""

    working_directory: Path
    challenge: str
    mode: Mode
    profile: str
    seed: int | None
    suite: Path | None
    fail_on: FailOn
    compare_with: Path | None
    comment: Path | None
    workspace: Path
    commit: str
    """What the job is about, as GitHub says; empty where it does not."""
    temp: Path
    output_file: Path
    summary_file: Path
    private: tuple[Path, ...]
    """The folders of the runner's command files, which are none of the solution's business."""

    @property
    def previous(self) -> Path:
        """The file in which the workflow's cache brings the result of the push before, and takes this one's along."""
        return self.temp / "crucible-previous" / "push.json"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in this environment. Raises a CrucibleError for an input that cannot be meant."""
    seed = environ.get("INPUT_SEED", "").strip()
    if seed and not re.fullmatch(r"[0-9]{1,18}", seed):
        raise _bad_input("seed", seed, "give a whole number, or leave it empty")
    return Settings(
        working_directory=_folder(environ, "working-directory") or _runner_path(environ, "GITHUB_WORKSPACE"),
        challenge=environ.get("INPUT_CHALLENGE", "").strip(),
        mode=cast(Mode, _choice(environ, "mode", get_args(Mode))),
        profile=environ.get("INPUT_PROFILE", "").strip(),
        seed=int(seed) if seed else None,
        suite=_folder(environ, "suite"),
        fail_on=cast(FailOn, _choice(environ, "fail-on", get_args(FailOn))),
        compare_with=_folder(environ, "compare-with"),
        comment=_folder(environ, "comment"),
        workspace=_runner_path(environ, "GITHUB_WORKSPACE"),
        commit=environ.get("GITHUB_SHA", ""),
        temp=_runner_path(environ, "RUNNER_TEMP"),
        output_file=_runner_path(environ, "GITHUB_OUTPUT"),
        summary_file=_runner_path(environ, "GITHUB_STEP_SUMMARY"),
        private=_private(environ),
    )


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    """An input that names a folder, seen from the workspace; None where it is empty."""
    value = environ.get(_variable(name), "").strip()
    return _runner_path(environ, "GITHUB_WORKSPACE") / value if value else None


def _variable(name: str) -> str:
    return "INPUT_" + name.upper().replace("-", "_")


def _private(environ: Mapping[str, str]) -> tuple[Path, ...]:
    folders = {Path(environ[name]).parent for name in COMMAND_FILES if environ.get(name)}
    return tuple(sorted({*folders, _runner_path(environ, "RUNNER_TEMP") / "_runner_file_commands"}))


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """The value of an input with a closed set of values; the first of them where it is empty."""
    value = environ.get(_variable(name), "").strip() or choices[0]
    if value not in choices:
        raise _bad_input(name, value, "use one of: " + ", ".join(choices))
    return value


def _bad_input(name: str, value: str, fix: str) -> CrucibleError:
    return CrucibleError(
        f"`{value}` is not a {name}", where=f"the Action's input `{name}`", fix=fix, fault=Fault.LEARNER
    )


def _runner_path(environ: Mapping[str, str], name: str) -> Path:
    if value := environ.get(name):
        return Path(value)
    raise CrucibleError(
        f"{name} is not set", where="the environment", fix="run this in a GitHub workflow", fault=Fault.CRUCIBLE
    )
