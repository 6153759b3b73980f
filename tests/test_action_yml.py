"""What is written twice, in `action.yml` and the code that serves it, agrees; and what CI demands of every workflow."""

import json
import re
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from crucible.commands import scaffold
from crucible.github import actions, settings
from crucible.planning import challenges

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
OURS = [
    ROOT / "action.yml",
    *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
    *sorted((ROOT / "workflows").glob("*.j2")),
]


def environment(values: dict[str, str]) -> dict[str, str]:
    runner = dict.fromkeys(("GITHUB_WORKSPACE", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "RUNNER_TEMP"), "/x")
    return runner | {"INPUT_" + name.upper().replace("-", "_"): value for name, value in values.items()}


def test_every_input_has_its_field_in_the_settings() -> None:
    runner = {"workspace", "commit", "temp", "output_file", "summary_file", "private"}
    assert {name.replace("-", "_") for name in ACTION["inputs"]} == {f.name for f in fields(settings.Settings)} - runner


def test_every_input_is_handed_over_and_no_other() -> None:
    expected = {"INPUT_" + name.upper().replace("-", "_"): f"${{{{ inputs.{name} }}}}" for name in ACTION["inputs"]}
    assert STEPS["Grade"]["env"] == expected


def test_the_defaults_are_those_of_the_settings() -> None:
    defaults = {name: spec["default"] for name, spec in ACTION["inputs"].items()}
    assert settings.read_settings(environment(defaults)) == settings.read_settings(environment({}))


@pytest.mark.parametrize(("name", "choices"), [("mode", settings.Mode), ("fail-on", settings.FailOn)])
def test_every_choice_is_described(name: str, choices: object) -> None:
    description = ACTION["inputs"][name]["description"]
    assert all(f"`{choice}`" in description for choice in get_args(choices))


def test_every_outcome_is_described() -> None:
    description = ACTION["outputs"]["outcome"]["description"]
    assert set(re.findall("`(.+?)`", description)) == set(get_args(actions.Outcome))


def test_every_output_is_written(tmp_path: Path) -> None:
    read = settings.read_settings(environment({}) | {"GITHUB_OUTPUT": str(tmp_path / "output")})
    actions.write_outputs(read, tmp_path, actions.Conclusion("passed", "x", 0, "passed"))
    written = set(re.findall("^(.+)<<", (tmp_path / "output").read_text(), re.MULTILINE))
    assert written == set(ACTION["outputs"]) | {"directory"}
    for name, spec in ACTION["outputs"].items():
        assert spec["value"] == f"${{{{ steps.grade.outputs.{name} }}}}"


def test_the_readme_lists_every_input_with_its_default_and_every_output() -> None:
    section = (
        (ROOT / "README.md").read_text().partition("The workflow uses this Action:")[2].partition("Where `sudo`")[0]
    )
    inputs, _, outputs = section.partition("| output |")
    rows = re.findall(r"^\| `([\w-]+)` \| (?:`(.*?)`)? ?\|", inputs, re.MULTILINE)
    assert rows == [(name, spec["default"]) for name, spec in ACTION["inputs"].items()]
    named = [name for row in outputs.splitlines() if "|" in row for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named == list(ACTION["outputs"])


CHOICE = re.compile(r"\$\{\{ contains\(fromJSON\('(\[.*?\])'\), inputs\.challenge\) && '(.*?)' \|\| '(.*?)' \}\}")
"""What the callable workflow writes where challenges differ."""


@pytest.mark.parametrize("challenge", challenges.every({}), ids=lambda it: it.manifest.slug)
def test_the_callable_workflow_has_the_services_of_each_generated_one(challenge: challenges.Challenge) -> None:
    def chosen(match: re.Match[str]) -> str:
        return match[2 if challenge.manifest.slug in json.loads(match[1]) else 3].replace('"', '\\"')

    text = (ROOT / ".github/workflows/grade.yml").read_text()
    ours = yaml.safe_load(CHOICE.sub(lambda match: f'"{chosen(match)}"', text))["jobs"]["grade"]
    theirs = yaml.safe_load(scaffold.render(challenge)[scaffold.WORKFLOWS / "grade.yml"])["jobs"]["grade"]
    assert {name: it for name, it in ours["services"].items() if it["image"]} == theirs["services"]
    assert ours["steps"][-1]["env"].items() >= theirs["steps"][-1]["env"].items()


def test_the_artifact_is_called_what_the_summary_calls_it() -> None:
    assert STEPS["Keep the evidence"]["with"]["name"] == "crucible-evidence"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit_and_says_its_version(path: Path) -> None:
    used = [line for line in path.read_text().splitlines() if re.search(r"\buses:", line)]
    ours = re.compile(r"uses: \./(crucible)? # zizmor: ignore\[self-repository] \w+")
    for line in used:
        assert ours.search(line) or re.search(r"uses: [\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_expression_reaches_a_shell(path: Path) -> None:
    assert not [script for script in scripts(path.read_text()) if "${{" in script]


def scripts(text: str) -> list[str]:
    """What stands under each `run:`, in YAML or a template of it: its line, and those indented deeper than the key."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        if match := re.match(r"( *(?:- )?)run:", line):
            deeper = re.compile(" " * (len(match[1]) + 1) + r"|\s*$")
            found.append("\n".join([line, *takewhile(deeper.match, lines[number + 1 :])]))
    return found


def test_a_script_is_what_stands_under_its_key() -> None:
    text = "steps:\n  - run: |\n      a\n\n      b ${{ x }}\n    env: ${{ y }}\n  - name: z\n    run: c\n"
    assert scripts(text) == ["  - run: |\n      a\n\n      b ${{ x }}", "    run: c"]


def test_uv_and_everything_else_is_installed_with_hashes() -> None:
    requirements = (ROOT / ".github" / "uv" / "requirements.txt").read_text()
    assert re.search(r"^uv==[\d.]+ \\$\n    --hash=sha256:", requirements, re.MULTILINE)
    assert set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text())) == {
        "files.pythonhosted.org",
        "pypi.org",
    }
