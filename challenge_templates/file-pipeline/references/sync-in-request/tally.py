"""What a file comes to, found while its bytes pass, in pieces of any size: accepted and rejected rows, sums and users.

It is RFC 4180 on bytes: in UTF-8 no byte of a comma, a quote or a line end is part of another character. Rows that lie
whole within a piece are taken by one expression; what lies across two, or is wrong, goes field by field. What is kept
of a file is the row that is being read, its sums, and who its users were.
"""

import codecs
import hashlib
import json
import re

LONGEST_FIELD = 1 << 20
MOST_USERS = 100_000
LONGEST_USER = 32
"""Of a longer one a digest is kept, which has a byte more, so that it is nobody's name."""
MOST_CATEGORIES = 100_000
CATEGORY_BYTES = 8 << 20
"""Of all categories together. The result holds them all, and has to be kept, too."""
COLUMNS = 5
USER, CATEGORY, AMOUNT = 1, 2, 3
QUOTE, COMMA, RETURN, NEWLINE = b'",\r\n'
START, PLAIN, QUOTED, CLOSED, ENDING = range(5)
"""Where the next byte of a field stands: in front, in a plain one, within quotes, behind a quote, behind a CR."""

_PLAIN = rb'(?!")[^,\n]*+'
_QUOTED = rb'[^"]*+(?:""[^"]*+)*+'
_FIELD = rb'(?:"' + _QUOTED + rb'"|' + _PLAIN + rb")"
_KEPT = rb'(?:"(' + _QUOTED + rb')"|(' + _PLAIN + rb"))"
ROWS = re.compile(
    _FIELD + rb"," + _KEPT + rb"," + _KEPT + rb',("?)(-?[0-9]{1,16})\5,' + _FIELD + rb"\r?\n"
    rb"|((?:\r?\n)+)"  # any number of blank lines
    rb"|(" + _FIELD + rb"(?:," + _FIELD + rb")*\r?\n)"  # any other row
    rb"|(?s:.)"
)  # fmt: skip
"""The next row, which begins where the last one ended. A single byte says that none ends within this piece."""
ACCEPTED, BLANK, OTHER = 6, 7, 8
MORE = re.compile(rb"(?:" + _FIELD + rb",)*")
"""Of a row that has too many already."""
PLAIN_END = re.compile(rb"[,\n]")
WHOLE_NUMBER = re.compile(rb"-?[0-9]{1,16}")


class BadFileError(Exception):
    """The file is no such table, however often it is read."""


class Tally:
    """One file. Everything that it raises is a BadFileError."""

    def __init__(self) -> None:
        self.bytes = self._rows = self._rejected = 0
        self._sums: dict[bytes, int] = {}
        self._category_bytes = 0
        self._users: set[bytes] = set()
        self._head: bytes | None = b""
        """The first bytes, until there are enough to say whether they are a BOM."""
        self._in_header = True
        self._state, self._columns, self._size = START, 0, 0
        self._field = bytearray()
        self._kept: list[bytes] = []
        self._text = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> None:
        """The next piece, of at most 256 KiB."""
        self.bytes += len(data)
        self._decode(data)
        if self._head is not None:
            self._head += data
            if len(self._head) < len(codecs.BOM_UTF8):
                return
            data, self._head = self._head.removeprefix(codecs.BOM_UTF8), None
        self._go_through(data)

    def result(self, sha256: str) -> str:
        """The result, as JSON in ASCII, once there is nothing more to come."""
        self._decode(b"", last=True)
        if self._head is not None:
            self._go_through(self._head)
        if self._state == QUOTED:
            raise BadFileError("a quote is never closed")
        if self._state != START or self._columns:
            self._end_field(NEWLINE)
        sums = {category.decode(): total for category, total in self._sums.items()}
        return json.dumps(
            {
                "sha256": sha256, "bytes": self.bytes, "rows": self._rows, "rejected": self._rejected, "sums": sums,
                "distinct_users": len(self._users),
            }
        )  # fmt: skip

    def _decode(self, data: bytes, last: bool = False) -> None:
        try:
            self._text.decode(data, last)
        except UnicodeDecodeError:
            raise BadFileError("the file is not UTF-8") from None

    def _go_through(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._state == START and not self._columns and not self._in_header:
                at = self._take_rows(data, at)
            elif self._state == START and self._columns > COLUMNS and (found := MORE.match(data, at)):
                at = found.end()
            if at < len(data):
                at = self._go_on(data, at)
        if len(self._users) > MOST_USERS:
            raise BadFileError(f"there are more than {MOST_USERS:,} users")

    def _take_rows(self, data: bytes, at: int) -> int:
        """As many rows as lie whole within the piece, and where they end."""
        for found in ROWS.finditer(data, at):
            kind = found.lastindex
            if kind == ACCEPTED:
                quoted_user, user, quoted_category, category, amount = found.group(1, 2, 3, 4, 6)
                user = quoted_user.replace(b'""', b'"') if user is None else user
                category = quoted_category.replace(b'""', b'"') if category is None else category
                self._accept(user, category, int(amount))
            elif kind == OTHER:
                self._rejected += 1
            elif kind == BLANK:
                self._rejected += found[BLANK].count(b"\n")
            else:
                return found.start()
        return len(data)

    def _go_on(self, data: bytes, at: int) -> int:
        """Go on with a field, up to its end or the piece's, and say where that is."""
        if self._state == START and data[at] == QUOTE:
            self._state = QUOTED
            return at + 1
        if self._state in (START, PLAIN):
            self._state = PLAIN
            found = PLAIN_END.search(data, at)
            end = found.start() if found else len(data)
            self._add(data[at:end])
            if found:
                self._end_field(data[end])
            return end + 1
        if self._state == QUOTED:
            inner, quote, _ = data[at:].partition(b'"')
            self._add(inner)
            self._state = CLOSED if quote else QUOTED
            return at + len(inner) + len(quote)
        self._go_on_behind(data[at])
        return at + 1

    def _go_on_behind(self, byte: int) -> None:
        """Behind a quote within quotes: that may have been the first of two, or the last of the field."""
        if self._state == CLOSED and byte == QUOTE:
            self._add(b'"')
            self._state = QUOTED
        elif self._state == CLOSED and byte == RETURN:
            self._state = ENDING
        elif byte == NEWLINE or (byte == COMMA and self._state == CLOSED):
            self._end_field(byte)
        else:
            raise BadFileError("there is text behind a closing quote")

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LONGEST_FIELD:
            raise BadFileError("a field has more than 1 MB")
        if self._columns in (USER, CATEGORY, AMOUNT):
            self._field += piece

    def _end_field(self, byte: int) -> None:
        if self._columns in (USER, CATEGORY, AMOUNT):
            self._kept.append(bytes(self._field))
            self._field.clear()
        self._columns += 1
        self._state, self._size = START, 0
        if byte == NEWLINE:
            self._end_row()

    def _end_row(self) -> None:
        if self._in_header:
            self._in_header = False
        elif self._columns == COLUMNS and WHOLE_NUMBER.fullmatch(self._kept[2]):
            self._accept(self._kept[0], self._kept[1], int(self._kept[2]))
        else:
            self._rejected += 1
        self._columns = 0
        self._kept.clear()

    def _accept(self, user: bytes, category: bytes, amount: int) -> None:
        self._rows += 1
        if len(user) > LONGEST_USER:
            user = hashlib.blake2b(user, digest_size=LONGEST_USER + 1).digest()
        self._users.add(user)
        if category in self._sums:
            self._sums[category] += amount
            return
        self._category_bytes += len(category)
        if len(self._sums) == MOST_CATEGORIES or self._category_bytes > CATEGORY_BYTES:
            raise BadFileError("there are too many categories")
        self._sums[category] = amount
