"""Files that people write by hand: what is right becomes a record, what is not is named with its line."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict

from crucible.errors import CrucibleError, Fault
from crucible.planning import yamlfile


@dataclass(frozen=True)
class Part:
    __pydantic_config__ = ConfigDict(extra="forbid")

    command: str
    count: int | None = None


@dataclass(frozen=True)
class Whole:
    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    parts: dict[str, Part] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    steps: tuple[Part, ...] = ()


def read(folder: Path, text: str | bytes, fault: Fault = Fault.LEARNER) -> Whole:
    path = folder / "whole.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return yamlfile.read(path, Whole, fault=fault)


def refusal(folder: Path, text: str | bytes) -> CrucibleError:
    with pytest.raises(CrucibleError) as told:
        read(folder, text)
    return told.value


def test_a_file_becomes_a_record(tmp_path: Path) -> None:
    text = "title: t\nparts:\n  web: {command: run, count: 2}\nnames: [a, b]\nsteps:\n- command: x\n"
    assert read(tmp_path, text) == Whole("t", {"web": Part("run", 2)}, ("a", "b"), (Part("x"),))


def test_merge_keys_and_anchors_are_plain_yaml(tmp_path: Path) -> None:
    text = "title: t\nparts:\n  a: &a {command: run, count: 1}\n  b: &b {<<: *a, count: 3}\n  c: {<<: [*b, *a]}\n"
    assert read(tmp_path, text).parts == {"a": Part("run", 1), "b": Part("run", 3), "c": Part("run", 3)}


@pytest.mark.parametrize(
    ("text", "line", "says", "advises"),
    [
        ("title: t\ntitel: u\n", 2, "`titel` is not a key here", "did you mean `title`?"),
        ("titel: u\n", 1, "`titel` is not a key here", "did you mean `title`?"),
        ("names: []\n", 1, "`title` is missing", "README"),
        ("title: t\nparts:\n  web:\n    command: x\n    cuont: 1\n", 5, "`parts.web.cuont`", "did you mean `count`?"),
        ("title: t\nsteps:\n- command: x\n- comand: y\n", 4, "`steps.1.comand`", "did you mean `command`?"),
        ("title: t\nparts:\n  web:\n    command: [x]\n", 4, "`parts.web.command` must be text", ""),
        ("title: t\nparts: [1]\n", 2, "`parts` must be a mapping", ""),
        ("title: t\nnames: a\n", 2, "`names` must be a list", ""),
        ("title: on\n", 1, "`title` must be text", ""),
        ("title: t\nparts: {web: {command: x, count: many}}\n", 2, "must be a whole number", ""),
        ("title: t\ntitle: u\n", 2, "`title` stands here twice", ""),
        ("title: t\nparts:\n  a: {command: x}\n  a: {command: y}\n", 4, "`a` stands here twice", ""),
        ("title: a: b\n", 1, "not YAML", "quotes"),
        ("title: t\n\tnames: []\n", 2, "not YAML", ""),
        ("title: t\nnames: [!!python/object:os.system x]\n", 2, "not YAML", ""),
        ('title: t\nparts: {web: {command: "a\\0b"}}\n', 2, "a character that no text has", ""),
        ('title: "\\ud800"\n', 1, "a character that no text has", ""),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, says: str, advises: str) -> None:
    error = refusal(tmp_path, text)
    assert error.where == f"{tmp_path / 'whole.yaml'}:{line}"
    assert says in error.what
    assert advises in error.fix


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"42",
        b"\xff\xfe",
        b"\0",
        b"title: " + b"[" * 3000,
        b"&a [*a]",
        b"title: &a [*a]",
        b"x" * (yamlfile.MAX_BYTES + 1),
        b"? {a: b}\n: c",
        b"title: 2020-99-99",
        b"title: t\n---\ntitle: u\n",
        b"title: t\nparts: {1: {command: x}}",
    ],
)
def test_what_is_nothing_of_the_kind_is_refused(tmp_path: Path, text: bytes) -> None:
    assert str(tmp_path / "whole.yaml") in refusal(tmp_path, text).where


def test_a_file_that_grows_when_read_is_refused_in_time(tmp_path: Path) -> None:
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(20)
    )  # fmt: skip
    assert "is not a key here" in refusal(tmp_path, laughs).what


def test_the_fault_is_whose_the_file_is(tmp_path: Path) -> None:
    for fault, code in ((Fault.LEARNER, 1), (Fault.AUTHOR, 3)):
        with pytest.raises(CrucibleError) as told:
            read(tmp_path, "x: 1", fault)
        assert told.value.exit_code == code


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrucibleError, match="No such file"):
        yamlfile.read(tmp_path / "none.yaml", Whole, fault=Fault.LEARNER)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(CrucibleError, match="Is a directory"):
        yamlfile.read(tmp_path / "folder.yaml", Whole, fault=Fault.LEARNER)


def test_the_line_of_a_value_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("title: t\nparts:\n  web:\n    command: x\nnames:\n  - a\n  - b\n")
    for keys, line in {("parts", "web", "command"): 4, ("names", "1"): 7, ("parts", "none"): 2, (): 1}.items():
        assert yamlfile.line_of(path, keys) == line


@given(st.binary(max_size=200) | st.text(alphabet="abt:[]{}-&*!|>'\"\n #?,%@\\", max_size=80).map(str.encode))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    with TemporaryDirectory() as folder, suppress(CrucibleError):
        assert isinstance(read(Path(folder), content), Whole)
