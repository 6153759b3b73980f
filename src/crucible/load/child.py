"""The load's own process: `python -m crucible.load.child LOADFILE`, started and commanded by `runner`.

Commands are JSON lines on standard input, each answered by one JSON line; the end of standard input ends the process.
So does an exception of the challenge's, which is the answer then: `failed`, in words, and the `line` of LOADFILE.
"""

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crucible.load.locust_user import OpenModelUser, Prepared  # isort: skip  # first: it changes the standard library

from gevent.fileobject import FileObject
from locust.env import Environment


def user_class(path: Path) -> type[OpenModelUser]:
    """The one user that a challenge's `hidden/load.py` defines."""
    spec = importlib.util.spec_from_file_location("crucible_load", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["crucible_load"] = module
    spec.loader.exec_module(module)
    own = [
        made for made in vars(module).values()
        if isinstance(made, type) and issubclass(made, OpenModelUser) and made.__module__ == "crucible_load"
    ]  # fmt: skip
    if len(own) != 1:
        raise ImportError(f"{path} must define one OpenModelUser, not {len(own)}")
    return own[0]


LONGEST_WORDS = 300
"""Characters of an exception's words that are handed on."""


class Generator:
    """One user, and the blocks that it is ready to send."""

    def __init__(self, path: Path) -> None:
        made = user_class(path)
        self._user = made(Environment(user_classes=[made]))
        self._user.on_start()
        self._prepared: list[Prepared] = []

    def command(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "connect", "urls": urls, "shared": shared, "ports": ports}:
                self._user.connect(urls, shared=shared, ports=ports)
                return {"timeout_s": self._user.timeout_s}
            case {"do": "pace", "port": port}:
                self._user.keep_pace(port)
                return {}
            case {"do": "prepare", "blocks": blocks, "part": part, "parts": parts}:
                self._prepared = self._user.put_in_place([tuple(block) for block in blocks], part, parts)
                return {}
            case {"do": "send", "index": index}:
                return self._user.block(self._prepared[index]).as_json()
            case _:
                raise ValueError(f"unknown command {request}")


def answers(path: Path) -> Iterator[dict[str, Any]]:
    """To each command in turn; an exception is the last one."""
    try:
        generator = Generator(path)
        for line in FileObject(sys.stdin.fileno(), "rb", close=False):
            yield generator.command(json.loads(line))
    except (Exception, SystemExit) as error:  # the load file is somebody else's code, and any failure in it is theirs
        traceback.print_exc()
        said = str(error).partition("\n")[0][:LONGEST_WORDS]
        yield {"failed": f"it raised {type(error).__name__}: {said}", "line": _line_in(path, error)}


def _line_in(path: Path, error: BaseException) -> int | None:
    """Where in the file it was raised: the last frame, or the place of what is no Python."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return frames[-1].lineno if frames else None


def main(path: Path) -> None:
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a challenge's own code prints is no answer
    for answer in answers(path):
        said.write(json.dumps(answer) + "\n")
        said.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
