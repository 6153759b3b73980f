"""Being somebody else: a user who is not root, for a child process."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from crucible.lab import isolation

ROOT = Path(__file__).resolve().parents[2]


def nobody_special(base: Path) -> Callable[[], object]:
    """What makes a child process a user who is not root, owns what is in `base` and can run Python; to be called in it,
    before its exec. Nothing, where this process is not root itself."""
    if os.geteuid() != 0:
        return lambda: None
    pythons = [Path(shutil.which(name) or name).resolve().parent for name in (sys.executable, "python3")]
    scratch = base / "scratch"
    scratch.mkdir()
    tools = [Path(sys.prefix) / "bin", *pythons]
    user = isolation.isolate(scratch, [base, ROOT], tools, []).confine("somebody")
    assert user.uid is not None, "this machine lets root start no process of another user"
    isolation.hand_over(base, user)
    return user.enter
