"""Bytes that are drawn when they are needed, so that nobody holds a file: the same for the same seed, from any byte.

Each piece begins with a digest of its own, so two contents share no piece, and none compresses.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random
from typing import Protocol

PIECE = 64 << 10


class Body(Protocol):
    """Bytes of a request that nobody holds: drawn, from any byte on, when they are sent."""

    @property
    def seed(self) -> int: ...

    @property
    def size(self) -> int: ...

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, or to the last."""


_POOL = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """`size` bytes, drawn from `seed`."""

    seed: int
    size: int

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, or to the last, in pieces of at most 64 KiB."""
        at, end = start, self.size if end is None else min(end, self.size)
        while at < end:
            number, skip = divmod(at, PIECE)
            piece = _piece(self.seed, number)[skip : min(PIECE, end - number * PIECE)]
            at += len(piece)
            yield piece

    def sha256(self, start: int = 0, end: int | None = None) -> str:
        """Of the bytes from `start` up to `end`, in hexadecimal digits."""
        return _sha256(self, start, self.size if end is None else min(end, self.size))


@cache
def _pool() -> bytes:
    return Random("content").randbytes(_POOL)


def _piece(seed: int, number: int) -> bytes:
    head = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    offset = int.from_bytes(head[:4]) % (_POOL - PIECE)
    return head + _pool()[offset : offset + PIECE - len(head)]


@lru_cache(maxsize=4096)
def _sha256(content: Content, start: int, end: int) -> str:
    digest = hashlib.sha256()
    for piece in content.pieces(start, end):
        digest.update(piece)
    return digest.hexdigest()
