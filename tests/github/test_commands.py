import io
from uuid import UUID

import pytest

from crucible.github import commands

HOSTILE = "100%\r\n::set-output name=a::b\n##[error]x, y: z\u2028%0A ::stop-commands::x"


def test_no_hostile_string_leaves_the_line_of_its_annotation() -> None:
    line = commands.annotation("error", HOSTILE, HOSTILE)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\r" not in line
    assert line.startswith(b"::error title=100%25%0D%0A%3A%3Aset-output name=a%3A%3Ab%0A##[error]x%2C y%3A z")


def test_a_message_comes_back_as_it_was() -> None:
    escaped = commands.escape_message(HOSTILE)
    assert escaped.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%") == HOSTILE


def test_a_long_message_stays_below_what_github_cuts() -> None:
    assert len(commands.annotation("notice", "Crucible", "%" * 10_000)) < 4_096


def test_a_lone_surrogate_does_not_break_an_annotation() -> None:
    assert commands.annotation("notice", "Crucible", "\ud800") == b"::notice title=Crucible::?\n"


def test_an_output_keeps_every_line_between_its_delimiters() -> None:
    delimiter = f"ghadelimiter_{UUID(int=1)}"
    assert commands.output("result", "a\nother=b\n", delimiter) == f"result<<{delimiter}\na\nother=b\n\n{delimiter}\n"


def test_an_output_that_holds_its_delimiter_is_refused() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        commands.output("result", "x\nEND\ny", "END")


def test_commands_start_again_whatever_happens() -> None:
    echo = io.BytesIO()
    with pytest.raises(RuntimeError), commands.stopped(echo, "secret"):  # noqa: PT012
        echo.write(b"::error::no newline at the end")
        raise RuntimeError
    assert echo.getvalue() == b"::stop-commands::secret\n::error::no newline at the end\n::secret::\n"
