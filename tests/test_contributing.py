"""What CONTRIBUTING.md and SECURITY.md name is there: files, commands and their options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from crucible.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
each = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def commands_of(page: Path) -> Iterator[list[str]]:
    """Every command line in the page's blocks of shell, without what is set for it."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in re.split(r"\n|&&", block):
            words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
            if words:
                yield [Path(words[0]).name, *words[1:]]


@each
def test_every_file_that_is_named_is_there(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`((?:src|tests|workflows|challenge_templates|\.ci|\.github)/[^`<> ]*)`", text)
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert named + linked
    assert [name for name in (*named, *linked) if not (ROOT / name).exists()] == []


def test_every_command_of_crucible_takes_what_it_is_given() -> None:
    lines = [words for page in PAGES for words in commands_of(page) if words[0] == "crucible"]
    assert len(lines) > 5
    for words in lines:
        command, context, rest = main, click.Context(main), words[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None, words
            command, context = found, click.Context(found, parent=context, info_name=name)  # type: ignore[assignment]
        if "--help" not in rest:
            command.make_context(context.info_name, list(rest), parent=context.parent, resilient_parsing=False)


def test_every_test_that_is_run_is_there() -> None:
    paths = [word for words in commands_of(PAGES[0]) if words[0] == "pytest" for word in words if "tests/" in word]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_words_are_in_order_and_each_is_explained_once() -> None:
    words = re.findall(r"^\| (\w+) \|", PAGES[0].read_text().partition("## Words")[2], re.MULTILINE)[1:]
    assert words == sorted(set(words))


def test_tools_before_a_commit_come_from_the_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}
