"""How work is interrupted: the first signal ends it, and its clean-up is left alone."""

import signal
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedGradeError(Exception):
    """The user, or the system, ended the grade; everything that it had started has been ended."""


def interruptible(work: Coroutine[None, None, T]) -> T:
    """Run `work` to its end, or, at the first SIGINT, SIGTERM or SIGHUP, through its clean-up and no further."""
    import asyncio  # these two take longer to import than a command line takes to be told what is wrong with it

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        task, told = loop.create_task(work), False

        def once() -> None:
            # A second one would cancel the clean-up. `task.cancelling()` does not tell: a failed group leaves it
            # raised before Python 3.13.
            nonlocal told
            if not told:
                told = True
                task.cancel()

        before = {number: signal.getsignal(number) for number in ENDING}
        for number in ENDING:
            loop.add_signal_handler(number, once)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise InterruptedGradeError from None
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)
