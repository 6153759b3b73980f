"""Parts of files on the disk: files of some megabytes, written once, whole or not at all, and never changed."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

FOLDER = Path("files")
PLACE = uuid.uuid4()
"""This disk, which lasts as long as this process."""
PIECE = 64 << 10


class Bucket:
    def __init__(self) -> None:
        FOLDER.mkdir(exist_ok=True)

    async def put(self, key: str, part: bytearray, sha256: str) -> None:
        """All of it is on the disk."""
        await asyncio.to_thread(_write, FOLDER / key, part)

    async def read(self, key: str, size: int) -> AsyncGenerator[bytes, None]:
        """All of a part, piece by piece."""
        with (FOLDER / key).open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece

    async def delete(self, key: str) -> None:
        """It is not there; whether it was is all the same."""
        (FOLDER / key).unlink(missing_ok=True)

    async def close(self) -> None:
        """Nothing is open that outlives its reader."""


def key_of(file: uuid.UUID, number: int) -> str:
    return f"{file.hex}.{number:05}"


def _write(path: Path, part: bytearray) -> None:
    with path.open("wb") as file:
        file.write(part)
        file.flush()
        os.fsync(file.fileno())
