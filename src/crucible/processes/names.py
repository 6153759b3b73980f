"""Names of this machine that one process has to itself: how graders at work at once keep out of each other's way."""

import os
import socket
import sys


def take(name: str) -> int | None:
    """The descriptor that holds the name until `let_go` of it, or until this process ends, whatever ends it; None where
    another one has it.

    It is that of a socket that nobody connects to (unix(7), abstract names); elsewhere than on Linux each is free.
    """
    holder = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            holder.bind(f"\0crucible-{name}")
        except OSError:
            holder.close()
            return None
    return holder.detach()


def let_go(held: int) -> None:
    os.close(held)
