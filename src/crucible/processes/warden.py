"""The process that the user starts: it forks the grader, outlives it, and ends whatever the grader could not.

The grader ends what it started in every way but one: SIGKILL. Then its children fall to the warden, the nearest
subreaper. If the warden itself is killed, the kernel tells the grader to stop. If both are killed at once, the next
start clears what they left (`lab.leftovers`).
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from crucible.processes.child import adopt_orphans, die_with, family, kill_all

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def guard(grader: Callable[[], int], clear: Callable[[], str | None]) -> int:
    """Run `grader` in a child and return its exit code, with nothing of its left running; `clear` removes its files."""
    if sys.platform != "linux":
        return grader()
    adopt_orphans()
    sys.stdout.flush()
    sys.stderr.flush()
    warden = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until each of the two knows what to do with them
    child = os.fork()
    if child == 0:
        die_with(warden, signal.SIGTERM)
        _be_the_grader(grader)
    for number in FORWARDED:
        signal.signal(number, lambda received, _frame: _forward(child, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    _, status = os.waitpid(child, 0)
    killed = kill_all(family, deadline_s=20.0)
    if os.WIFSIGNALED(status):
        clear()
        name = signal.Signals(os.WTERMSIG(status)).name
        print(f"the grader was ended by {name}; {killed} processes of its were ended as well", file=sys.stderr)
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def _be_the_grader(grader: Callable[[], int]) -> NoReturn:
    adopt_orphans()
    for number in FORWARDED:
        signal.signal(number, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    code = 3
    try:
        code = grader()
    except BaseException:  # nobody is above to print it: this process ends here, whatever happens
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _interrupt(_number: int, _frame: object) -> None:
    """Interrupt the grader once: a terminal sends it Ctrl-C itself, and then the warden passes it on as well."""
    for number in FORWARDED:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _forward(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)
