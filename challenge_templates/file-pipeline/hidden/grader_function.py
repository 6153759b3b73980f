"""What a file comes to, by the challenge's page: the grader's own function. It is pure, and takes pieces of any size.

A line that has no quote and lies within one piece is taken apart at its commas; of other lines a field that lies
within one is taken by an expression, and everything else goes through an automaton of five states, which remembers no
more than one row's second, third and fourth field. Nothing is decoded on the way: in UTF-8 no byte of a comma, a quote
or a line end is part of another character.

Where the page leaves an outcome open, `debatable` says why: then this outcome is one that is right, and another may be,
too.
"""

import codecs
import hashlib
import re
from dataclasses import dataclass
from enum import Enum, auto

COLUMNS = 5
USER, CATEGORY, AMOUNT = 1, 2, 3
LONGEST = 1_000_000
"""Bytes of a field; a longer one may fail the file."""
MOST_USERS = 100_000
SHORT = 32
"""A longer user is remembered by a digest of one byte more, so that it is never taken for a short one."""
WHOLE = re.compile(rb"-?[0-9]{1,16}")
SPECIAL = re.compile(rb"[,\n]")
FIELD = re.compile(rb'(?:"([^"]*+(?:""[^"]*+)*+)"|((?!")[^,\n]*+))(?:(,)|\r?\n)')
QUOTE, COMMA, RETURN, NEWLINE = b'",\r\n'
PIECE = 64 << 10
NOT_UTF_8 = "there are bytes that are not UTF-8, but in no category of an accepted row"
LONE_CR = "a CR stands alone"
HEADER = "the header is no single line, or is malformed"
EMPTY = "the file is empty"
LONG = "a field is longer than 1 MB"
FAR_TOO_LONG = 4 * LONGEST
"""Of a field that is to be remembered."""


@dataclass(frozen=True)
class Outcome:
    """What is to be expected of a file: a result, or why there is none."""

    result: dict[str, object] | None
    error: str | None
    sha256: str
    size: int
    debatable: frozenset[str]


class _At(Enum):
    """Where the next byte stands."""

    START = auto()
    """At the first of a field."""
    PLAIN = auto()
    """Within a field without quotes around it."""
    QUOTED = auto()
    """Within quotes."""
    CLOSED = auto()
    """Behind a quote within quotes: another one, or the end of the field."""
    ENDING = auto()
    """Behind a CR behind that."""


class Reading:
    """One file. `feed` its bytes, and `finish` once."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._size = 0
        self._head: bytes | None = b""
        """The first bytes, until it is known whether they are a BOM."""
        self._at = _At.START
        self._field, self._length = bytearray(), 0
        self._row: list[bytes] = []
        self._columns = 0
        self._in_header = True
        self._returned = False
        """Whether the last byte was a CR."""
        self._sums: dict[bytes, int] = {}
        self._users: set[bytes] = set()
        self._rows = self._rejected = 0
        self._error: str | None = None
        self._debatable: set[str] = set()

    def feed(self, data: bytes) -> None:
        """The next bytes. What comes after an error is only counted and digested."""
        self._digest.update(data)
        self._size += len(data)
        for start in range(0, len(data) if self._error is None else 0, PIECE):
            self._go_on(data[start : start + PIECE])

    def finish(self) -> Outcome:
        """No more will come."""
        if self._head is not None:
            self._look_closer(self._head[: self._go_through(self._head)])
        if self._error is None:
            self._look_closer(b"", last=True)
        if self._in_header and self._at is _At.START and not self._columns:
            self._debatable.add(EMPTY)
        if self._at is _At.QUOTED:
            self._error = self._error or "a quote is never closed"
        elif self._error is None and (self._at is not _At.START or self._columns):
            self._end_field(bytes(self._field), last=True)
        sha256, result = self._digest.hexdigest(), None
        if self._error not in (None, LONG):
            self._debatable -= {NOT_UTF_8, LONG}  # it fails for any reader
        if self._error is None:
            result = {
                "sha256": sha256, "bytes": self._size, "rows": self._rows, "rejected": self._rejected,
                "sums": {category.decode(): total for category, total in self._sums.items()},
                "distinct_users": len(self._users),
            }  # fmt: skip
        return Outcome(result, self._error, sha256, self._size, frozenset(self._debatable))

    def _go_on(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if len(self._head) < len(codecs.BOM_UTF8):
                return
            data, self._head = self._head.removeprefix(codecs.BOM_UTF8), None
        self._look_closer(data[: self._go_through(data)])
        if len(self._users) > MOST_USERS:
            self._debatable.add(f"there are more than {MOST_USERS:,} users")

    def _go_through(self, data: bytes) -> int:
        """How far it was gone through: to its end, or to an error."""
        at = 0
        while at < len(data) and self._error is None:
            if self._at is _At.START and not self._columns and not self._in_header:
                at = self._lines(data, at)
            if at < len(data):
                at = self._step(data, at)
        return at

    def _lines(self, data: bytes, at: int) -> int:
        """The whole lines up to the first quote, at once. Where they end."""
        quote = data.find(b'"', at)
        end = data.rfind(b"\n", at, quote if quote >= 0 else len(data)) + 1
        if end <= at:
            return at
        for line in data[at : end - 1].split(b"\n"):
            fields = line.split(b",")
            if len(fields) == COLUMNS:
                self._take(fields[USER], fields[CATEGORY], fields[AMOUNT])
            else:
                self._rejected += 1
        return end

    def _step(self, data: bytes, at: int) -> int:
        """Up to the end of a field, or of the data, or up to a quote."""
        if self._at is _At.START:
            if found := FIELD.match(data, at):
                quoted, plain, comma = found.groups()
                if self._in_header and quoted is not None and b"\n" in quoted:
                    self._debatable.add(HEADER)
                self._end_field(plain if quoted is None else quoted.replace(b'""', b'"'), last=comma is None)
                return found.end()
            self._at = _At.QUOTED if data[at] == QUOTE else _At.PLAIN
            return at + (self._at is _At.QUOTED)
        if self._at is _At.PLAIN:
            found = SPECIAL.search(data, at)
            end = found.start() if found else len(data)
            self._keep(data, at, end)
            if found:
                self._end_field(bytes(self._field), last=data[end] == NEWLINE)
            return end + 1
        if self._at is _At.QUOTED:
            end = data.find(b'"', at)
            self._keep(data, at, end if end >= 0 else len(data))
            if end >= 0:
                self._at = _At.CLOSED
            return end + 1 if end >= 0 else len(data)
        return self._behind_a_quote(data, at)

    def _behind_a_quote(self, data: bytes, at: int) -> int:
        byte = data[at]
        if self._at is _At.CLOSED and byte == QUOTE:
            self._keep(data, at, at + 1)
            self._length += 1  # a reader may count both
            self._at = _At.QUOTED
        elif self._at is _At.CLOSED and byte == RETURN:
            self._at = _At.ENDING
        elif byte == NEWLINE or (self._at is _At.CLOSED and byte == COMMA):
            self._end_field(bytes(self._field), last=byte == NEWLINE)
        else:
            self._error = "there is text after a closing quote"
            if self._in_header:
                self._debatable.add(HEADER)
        return at + 1

    def _keep(self, data: bytes, at: int, end: int) -> None:
        """A piece of the field, of which only what may count is remembered."""
        self._length += end - at
        if self._length > LONGEST + (self._at is _At.PLAIN):  # the last one may have a CR behind it
            self._debatable.add(LONG)
        if self._in_header and self._at is _At.QUOTED and data.find(b"\n", at, end) >= 0:
            self._debatable.add(HEADER)
        if not self._in_header and self._columns in (USER, CATEGORY, AMOUNT) and self._length <= FAR_TOO_LONG:
            self._field += data[at:end]

    def _end_field(self, field: bytes, last: bool) -> None:
        if not self._in_header and self._columns in (USER, CATEGORY, AMOUNT):
            if self._length > FAR_TOO_LONG:
                self._error = LONG
            self._row.append(field)
        if self._length:
            self._field.clear()
            self._length = 0
        self._columns += 1
        self._at = _At.START
        if not last:
            return
        if self._in_header:
            self._in_header = False
        elif self._columns == COLUMNS:
            self._take(*self._row)
        else:
            self._rejected += 1
        self._row, self._columns = [], 0

    def _take(self, user: bytes, category: bytes, amount: bytes) -> None:
        if WHOLE.fullmatch(amount) is None:
            self._rejected += 1
            return
        if category not in self._sums:
            try:
                category.decode()
            except UnicodeDecodeError:
                self._error = self._error or "a category is not UTF-8"
                return
            self._sums[category] = 0
        self._sums[category] += int(amount)
        self._users.add(user if len(user) <= SHORT else hashlib.blake2b(user, digest_size=SHORT + 1).digest())
        self._rows += 1

    def _look_closer(self, data: bytes, last: bool = False) -> None:
        """For what the page leaves open."""
        if self._returned and (last or (data and data[0] != NEWLINE)):
            self._debatable.add(LONE_CR)
        if data:
            self._returned = data[-1] == RETURN
            if data.count(b"\r") - self._returned != data.count(b"\r\n"):
                self._debatable.add(LONE_CR)
        if NOT_UTF_8 not in self._debatable:
            try:
                self._text.decode(data, last)
            except UnicodeDecodeError:
                self._debatable.add(NOT_UTF_8)


def outcome(data: bytes, piece: int = PIECE) -> Outcome:
    """Of a file that is there already."""
    reading = Reading()
    for start in range(0, len(data), piece):
        reading.feed(data[start : start + piece])
    return reading.finish()
