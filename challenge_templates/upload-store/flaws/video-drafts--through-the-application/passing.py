"""What passes from the client to the store."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator


class Passing:
    """Whose turn it is decides how long it may take: the client's as long as its upload lasts, the store's not long."""

    limit: asyncio.Timeout

    def __init__(self, pieces: AsyncIterable[bytes], answer_s: float) -> None:
        self._pieces = pieces
        self._answer_s = answer_s
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        try:
            async for piece in self._pieces:
                self.limit.reschedule(clock() + self._answer_s)
                yield piece
                self.limit.reschedule(None)
            self.limit.reschedule(clock() + self._answer_s)
        except Exception as error:
            self.error = error
            raise
