"""The provider, as a polite client sees it: one call at a time may fail in four ways, and too many are too many."""

import asyncio
import os
import time
from enum import Enum, auto

import aiohttp

TIMEOUT_S = 2.5
PER_SECOND = 40
"""Calls of one channel by one process; the provider takes a hundred, and there are two workers."""


class Said(Enum):
    DONE = auto()
    NEVER = auto()
    """It will not take it, however often it is asked."""
    AGAIN = auto()
    """It failed, or nothing was heard: it may have been done, and the same key is safe to repeat."""
    WAIT = auto()
    """It has had too many calls; this one did not count."""


class Provider:
    """One channel, for one process."""

    def __init__(self, session: aiohttp.ClientSession, channel: str) -> None:
        self._session = session
        self._url = f"{os.environ['SINK_URL']}/{channel}/send"
        self._next = 0.0
        self.resumes = 0.0
        """When it wants to hear from us again (`time.monotonic`)."""

    async def turn(self) -> None:
        """Wait until a call may be made."""
        while True:
            now = time.monotonic()
            mine = max(now, self._next, self.resumes)
            self._next = mine + 1 / PER_SECOND
            await asyncio.sleep(mine - now)
            if time.monotonic() >= self.resumes:  # else it has said so meanwhile
                return

    async def send(self, notification_id: str, to: str, body: str) -> Said:
        """The notification's id is the key: whoever sends it again sends the same."""
        try:
            async with self._session.post(
                self._url, json={"to": to, "body": body, "ref": notification_id},
                headers={"Idempotency-Key": notification_id}, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as answer:  # fmt: skip
                if answer.status == 429:
                    self.resumes = time.monotonic() + float(answer.headers.get("Retry-After", "1")) + 0.1
                    return Said.WAIT
                if answer.status < 300:
                    return Said.DONE
                return Said.NEVER if answer.status in (400, 404, 422) else Said.AGAIN
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Said.AGAIN


def pause_s(attempts: int) -> float:
    """How long to wait after so many attempts: 0.5 s, and twice as long each time, up to 8 s."""
    return min(8.0, 0.5 * 2 ** (attempts - 1))
