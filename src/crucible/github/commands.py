"""The formats in which a step talks to GitHub's runner: commands on its output, values in its output file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal

Level = Literal["error", "warning", "notice"]

TITLE, MESSAGE = 200, 1_000
"""Characters of an annotation's title and message; escaping at most triples them, and GitHub cuts at 4,096."""


MOST_OF_A_KIND = 10
"""Annotations of one level that GitHub shows of a step; a whole composite action is one."""


def escape_message(text: str) -> str:
    """`text` as the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """`text` as a property's value in a workflow command."""
    return escape_message(text).replace(":", "%3A").replace(",", "%2C")


def annotation(level: Level, title: str, message: str, place: tuple[str, int] | None = None) -> bytes:
    """One workflow command, on one line, shorter than what GitHub cuts; `place`: a file of the repository, a line."""
    properties = {"title": title[:TITLE]} | ({"file": place[0], "line": str(place[1])} if place else {})
    said = ",".join(f"{name}={escape_property(value)}" for name, value in properties.items())
    return f"::{level} {said}::{escape_message(message[:MESSAGE])}\n".encode(errors="replace")


def output(name: str, value: str, delimiter: str) -> str:
    """One output in the format of the runner's output file, whatever lines the value has."""
    if delimiter in value:
        raise ValueError("the delimiter is in the value")
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


@contextmanager
def stopped(echo: BinaryIO, token: str) -> Iterator[None]:
    """While it lasts, the runner takes no line of `echo` for a command; `token` must not be guessable."""
    echo.write(f"::stop-commands::{token}\n".encode())
    echo.flush()
    try:
        yield
    finally:
        echo.write(f"\n::{token}::\n".encode())
        echo.flush()
