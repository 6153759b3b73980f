"""Bytes in files: written and read piece by piece, never whole in memory, and never rewritten."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from serving import Span

FOLDER = Path("uploads")
PIECE = 64 << 10


class Bucket:
    def __init__(self) -> None:
        FOLDER.mkdir(exist_ok=True)

    async def put(self, key: uuid.UUID, size: int, sha256: str, pieces: AsyncGenerator[bytes, None]) -> None:
        """The pieces, as they come. The file has its name once it is on the disk."""
        new = FOLDER / f"{key.hex}.new"
        try:
            with new.open("wb") as file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            new.rename(FOLDER / key.hex)
        finally:
            new.unlink(missing_ok=True)

    async def open(self, key: uuid.UUID, size: int, span: Span) -> AsyncGenerator[bytes, None]:
        """The bytes of a file; FileNotFoundError where there is none."""
        return _pieces_of((FOLDER / key.hex).open("rb"), span)

    async def delete(self, key: uuid.UUID) -> None:
        """It is not there; whether it was is all the same."""
        (FOLDER / key.hex).unlink(missing_ok=True)

    async def close(self) -> None:
        """Nothing is open that outlives its request."""


async def _pieces_of(file: BinaryIO, span: Span) -> AsyncGenerator[bytes, None]:
    with file:
        file.seek(span.start)
        left = span.length
        while left:
            piece = await asyncio.to_thread(file.read, min(PIECE, left))
            left -= len(piece)
            yield piece
