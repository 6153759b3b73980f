"""Files to process, drawn when they are sent, and what each of them comes to. Pure."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random

from . import corpus
from .grader_function import Outcome, outcome

PIECE = 64 << 10
HEADER = b"id,user,category,amount_cents,note\n"
LINES = 1200
"""Of the block that a file repeats."""
BLOCKS = 16
CATEGORIES = (
    "food",
    "rent",
    "€ and 🧾",
    "",
    "a,b",
    'say "so"',
    "null",
    "constructor",
    "-1",
    "Über",
    "two\nlines",
    "x\r\ny",
)
NOTES = (b"", b"fine", "café ☕".encode(), b'"a, b"', b'"""quoted"""', b'"two\nlines"', b'"CR\r\nLF"')
REJECTED = (b"1_000", b" 7 ", b"12abc", b"", b"1.5", "٣".encode(), b"+4")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file comes to."""

    sha256: str
    bytes: int
    rows: int
    rejected: int
    sums: dict[str, int]
    distinct_users: int


@dataclass(frozen=True, slots=True)
class Table:
    """A file of `size` bytes (1,000 at least), the same for the same seed: a line of its own, a block again and again,
    and a last line."""

    seed: int
    size: int
    opened: bool = False
    """A quote is opened in its second line, and never closed."""
    broken: bool = False
    """In its second line there is text after a closing quote."""

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, or to the last."""
        shape, at = _shape(self), start
        end = self.size if end is None else min(end, self.size)
        while at < end:
            piece = shape.from_(at)[: end - at]
            at += len(piece)
            yield piece

    def expected(self) -> Expected | None:
        """None where it fails."""
        return None if self.opened or self.broken else _expected(self)


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the corpus, by its name; or, with `shift`, what lies across each likely boundary of a chunk."""

    name: str
    shift: int | None = None
    boundaries: tuple[int, ...] = corpus.BOUNDARIES

    @property
    def seed(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return len(_sample(self))

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        data = _sample(self)[start:end]
        return (data[at : at + PIECE] for at in range(0, len(data), PIECE))

    def expected(self) -> Expected | None:
        return as_expected(_outcome(self))

    @property
    def certain(self) -> bool:
        """Whether the brief says what it comes to."""
        return not _outcome(self).debatable and self.name not in corpus.MORE_THAN_PROMISED


@dataclass(frozen=True, slots=True)
class _Shape:
    head: bytes
    block: bytes
    times: int
    tail: bytes

    def from_(self, at: int) -> bytes:
        """The bytes from there to the end of the part, 64 KiB at most."""
        repeated = self.times * len(self.block)
        if at < len(self.head):
            return self.head[at:]
        if at < len(self.head) + repeated:
            skip = (at - len(self.head)) % len(self.block)
            return self.block[skip : skip + PIECE]
        return self.tail[at - len(self.head) - repeated :][:PIECE]


@lru_cache(maxsize=64)
def _shape(table: Table) -> _Shape:
    opened = b'0,u0,"k0,5,never closed\n' if table.opened else b""
    broken = b'0,"u0"0,k0,5,text\n' if table.broken else b""
    head = HEADER + opened + broken + b"%d,u0,food,%d,\n" % (table.seed, table.seed % 1_000_003)
    block = _block(table.seed % BLOCKS, quotes=not table.opened)
    last = b"8,u0,food,9,"
    times = max(0, (table.size - len(head) - len(last) - 1) // len(block))
    rest = table.size - len(head) - times * len(block) - len(last) - 1
    return _Shape(head, block, times, last + b"y" * rest + b"\n")


@lru_cache(maxsize=2 * BLOCKS)
def _block(seed: int, *, quotes: bool) -> bytes:
    rng = Random(seed)
    own = b"0,u0,food,1,the user of the other lines\n"
    return own + b"".join(_line(rng, number, quotes=quotes) for number in range(LINES))


def _line(rng: Random, number: int, *, quotes: bool) -> bytes:
    category, note = rng.choice(CATEGORIES), rng.choice(NOTES)
    if not quotes and any(it in category for it in '",\r\n'):
        category = "plain"
    if not quotes and b'"' in note:
        note = b"plain"
    named = category.encode()
    if any(it in category for it in '",\r\n') or (quotes and rng.random() < 0.1):
        named = b'"' + category.replace('"', '""').encode() + b'"'
    amount = rng.choice(REJECTED) if rng.random() < 0.02 else b"%d" % rng.randrange(-(10**6), 10**9)
    if rng.random() < 0.01:
        return b"%d,too,few\n" % number
    end = b"\r\n" if rng.random() < 0.2 else b"\n"
    return b"%d,u%d,%b,%b,%b%b" % (number, rng.randrange(700), named, amount, note, end)


@lru_cache(maxsize=512)
def _expected(table: Table) -> Expected:
    """Rows do not know of each other: what the block adds it adds each time."""
    shape, digest = _shape(table), hashlib.sha256()
    for piece in table.pieces():
        digest.update(piece)
    own, block = as_expected(outcome(shape.head + shape.tail)), _of_block(table.seed % BLOCKS)
    assert own is not None
    times, names = shape.times, {*own.sums, *(block.sums if shape.times else ())}
    return Expected(
        digest.hexdigest(), table.size, own.rows + times * block.rows, own.rejected + times * block.rejected,
        {name: own.sums.get(name, 0) + times * block.sums.get(name, 0) for name in sorted(names)},
        block.distinct_users if times else own.distinct_users,
    )  # fmt: skip


@cache
def _of_block(seed: int) -> Expected:
    """Its users are all that a file has."""
    found = as_expected(outcome(HEADER + _block(seed, quotes=True)))
    assert found is not None
    return found


def as_expected(found: Outcome) -> Expected | None:
    return Expected(**found.result) if found.result is not None else None  # type: ignore[arg-type]  # its own keys


@lru_cache(maxsize=3)
def _sample(sample: Sample) -> bytes:
    if sample.shift is None:
        return corpus.small()[sample.name]
    return corpus.straddling(sample.name, sample.shift, sample.boundaries)


@lru_cache(maxsize=512)
def _outcome(sample: Sample) -> Outcome:
    return outcome(_sample(sample))
