"""Small files are taken apart while they come, so that their senders have a result as soon as they are whole."""

from collections.abc import AsyncIterable, AsyncIterator

from tally import BadFileError, Tally

SMALL = 256 << 10
SLICE = 32 << 10


class Small:
    """A file that is coming. As soon as it is no small one any more, nobody looks at it here."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._bytes = 0
        self._error: BadFileError | None = None

    async def seen(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self._bytes += len(piece)
            if self._bytes <= SMALL and self._error is None:
                self._feed(piece)
            yield piece

    def _feed(self, piece: bytes) -> None:
        try:
            for start in range(0, len(piece), SLICE):
                self._tally.feed(piece[start : start + SLICE])
        except BadFileError as error:
            self._error = error  # if it is not small, a worker says so

    def result(self, sha256: str) -> str | None:
        """None of one that was not small. Raises a BadFileError for one that was, and is no such table."""
        if self._bytes > SMALL:
            return None
        if self._error is not None:
            raise self._error
        return self._tally.result(sha256)
