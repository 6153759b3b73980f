"""The grader as root, where the runner's own user is not: `actions` starts this through sudo.

sudo keeps no environment, and everybody may read a process's arguments: so the environment comes on standard input,
each `NAME=value` ended by a NUL, and all of them by another. What comes after it is for the living only: at the end of
standard input the grader is interrupted, since the runner's user may signal nobody who is root.
"""

import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

GRADER = (sys.executable, "-I", "-u", "-X", "utf8", "-m", "crucible.cli.main")
"""Isolated: the current folder is the learner's, and must not be able to replace one of Python's modules."""


LISTENER = "end of the step"
"""The thread that waits for it."""


class Input(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


def pack(environ: Mapping[str, str]) -> bytes:
    return b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items()) + b"\0"


def unpack(source: Input) -> dict[str, str]:
    """What `pack` has packed, read up to its end and no further. Raises EOFError where it is cut off."""
    found: dict[str, str] = {}
    entry = bytearray()
    while True:
        byte = source.read(1)
        if not byte:
            raise EOFError("the environment is incomplete")
        if byte != b"\0":
            entry += byte
        elif entry:
            name, _, value = os.fsdecode(bytes(entry)).partition("=")
            found[name] = value
            entry.clear()
        else:
            return found


def main(arguments: Sequence[str], source: Input, grader: Sequence[str] = GRADER) -> int:
    """Run the grader with `arguments`; its exit code, 128 + n where signal n ended it."""
    try:
        environ = unpack(source)
    except EOFError:
        return 128 + signal.SIGINT
    # Not in the runner's home, where what root makes would be in the way of later steps.
    environ.setdefault("XDG_CACHE_HOME", str(Path(pwd.getpwuid(0).pw_dir) / ".cache"))
    child = subprocess.Popen([*grader, *arguments], stdin=subprocess.DEVNULL, env=environ)

    def interrupt_at_the_end() -> None:
        while source.read(4096):
            pass
        child.send_signal(signal.SIGINT)

    threading.Thread(target=interrupt_at_the_end, name=LISTENER, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    with open(0, "rb", buffering=0, closefd=False) as stdin:  # a buffer's lock would be held to the end, and past it
        sys.exit(main(sys.argv[1:], stdin))
