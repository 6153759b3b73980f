"""The provider, asked while the caller waits: a few quick tries, and then the truth."""

import asyncio
import os
from enum import Enum, auto

import aiohttp

TIMEOUT_S = 0.5
PAUSES_S = (0.1, 0.25, 0.0)
"""After each try; the whole of it is over within two seconds."""


class Said(Enum):
    DONE = auto()
    NEVER = auto()
    """It will not take it, however often it is asked."""
    AGAIN = auto()
    """It failed, or nothing was heard: it may have been done, and the same key is safe to repeat."""


class Provider:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._resumes: dict[str, float] = {}
        """When a channel wants to hear from us again, on the loop's clock."""

    async def send(self, channel: str, notification_id: str, to: str, body: str) -> tuple[Said, int]:
        """What it said at last, and after how many tries. The notification's id is the key, at every try."""
        for tries, pause in enumerate(PAUSES_S, 1):
            if asyncio.get_running_loop().time() < self._resumes.get(channel, 0.0):
                return Said.AGAIN, tries - 1
            said = await self._try(channel, notification_id, to, body)
            if said is not Said.AGAIN:
                return said, tries
            await asyncio.sleep(pause)
        return Said.AGAIN, len(PAUSES_S)

    async def _try(self, channel: str, notification_id: str, to: str, body: str) -> Said:
        try:
            async with self._session.post(
                f"{os.environ['SINK_URL']}/{channel}/send", json={"to": to, "body": body, "ref": notification_id},
                headers={"Idempotency-Key": notification_id}, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as answer:  # fmt: skip
                if answer.status == 429:
                    wait = float(answer.headers.get("Retry-After", "1")) + 0.1
                    self._resumes[channel] = asyncio.get_running_loop().time() + wait
                if answer.status < 300:
                    return Said.DONE
                return Said.NEVER if answer.status in (400, 404, 422) else Said.AGAIN
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Said.AGAIN
