"""Files by the page of the challenge: a name, and the bytes. What they come to is nowhere said here."""

import random
from collections.abc import Iterator
from functools import cache

HEADER = b"id,user,category,amount_cents,note\n"
BOM = b"\xef\xbb\xbf"
KIB, MIB = 1 << 10, 1 << 20
BOUNDARIES = (4 * KIB, 64 * KIB, MIB, 5 * MIB, 8 * MIB, 16 * MIB)
MORE_THAN_PROMISED = ("a row of 100,000 fields",)
"""Files that may fail: the brief promises 10,000 fields in a row."""
STRADDLING = {
    "a character of four bytes": ('9,"ü😀","€🧾",12,"', "😀", '"\n'),
    "a newline in quotes": ('9,u,c,13,"a', "\n\n", 'b"\n'),
    "CRLF": ("9,u,c,14,a", "\r\n", ""),
    "CRLF in quotes": ('9,u,"c', "\r\n", 'c",15,x\n'),
    "two quotes": ('9,"u', '""', 'u",c,16,x\n'),
    "a closing quote and a comma": ('9,"u', '",', "c,17,x\n"),
    "the sign of an amount": ("9,u,c,", "-9007199254740993", ",x\n"),
    "the end of a row, LF": ("9,u,c,18,x", "\n", ""),
}


@cache
def small() -> dict[str, bytes]:
    """Those of a few lines, and of some hundred KB."""
    row = b"1,ann,food,100,fine\n"
    found = {
        "empty": b"",
        "a BOM alone": BOM,
        "header only": HEADER,
        "header without a newline": HEADER.rstrip(),
        "a blank line for a header": b"\n" + row,
        "two rows": HEADER + row + b"2,bob,food,-30,\n",
        "no newline at the end": HEADER + row + b"2,bob,rent,5,x",
        "an empty field at the end": HEADER + b"2,bob,rent,5,",
        "CRLF": (HEADER + row + row).replace(b"\n", b"\r\n"),
        "CRLF header, LF body": HEADER.replace(b"\n", b"\r\n") + row + row,
        "LF header, CRLF body": HEADER + row.replace(b"\n", b"\r\n") * 2,
        "mixed line ends": HEADER + (row + row.replace(b"\n", b"\r\n")) * 3,
        "BOM": BOM + HEADER + row,
        "BOM before a quoted header": BOM + b'"id","user","category","amount_cents","note"\r\n' + row,
        "a quoted header": b'"id","user","category","amount_cents","note"\n' + row,
        "a header of other words": b"a,b,c,d,e\n" + row,
        "a header that is a row": row + row,
        "a header of two fields": b"a,b\n" + row,
        "a first line of 70 KiB": b"id," + b"u" * 70 * KIB + b",category,amount_cents,note\n" + row,
        "a quoted first line of 70 KiB": b'id,"' + b"u," * 35 * KIB + b'",category,amount_cents,note\n' + row,
        "a quoted field of 200 KB": HEADER + b'1,u,c,7,"' + b"x,y\n" * 50_000 + b'"\n' + row,
        "a quoted category of 200 KB": HEADER + b'1,u,"' + b'x,""\n' * 40_000 + b'",7,\n' + row,
        "a note of 1 MB": HEADER + b"1,u,c,7," + b"x" * 1_000_000 + b"\n" + row,
        "quoted newlines": HEADER + b'1,"a\nb","c\r\nd",1,"x\n\ny"\r\n' + row,
        "doubled quotes": HEADER + b'1,"a""b","""",1,""""""\n' + row,
        "all quoted": HEADER + b'"1","ann","food","100","fine"\n"2","ann","food","-7",""\n',
        "the same category, quoted and not": HEADER + b'1,u,c,1,\n1,"u","c",2,\n',
        "empty user and category": HEADER + b"1,,,5,\n2,,x,6,\n",
        "quoted and empty": HEADER + b'1,"","",5,""\n',
        "a quote inside an unquoted field": HEADER + b'1,a"b,c"",5,x"y"z\n' + row,
        "blank lines": HEADER + b"\n" + row + b"\r\n\n" + row + b"\n",
        "a blank line at the end": HEADER + row + b"\n",
        "too few and too many": HEADER + b"1,2\n1,u,c,4\n1,u,c,4,n,more\n1,u,c,4,n,\n" + row,
        "a row of 100,000 fields": HEADER + b"," * 99_999 + b"\n" + row,
        "a quoted row of many fields": HEADER + b'1,u,c,5,"x"' + b',"y\n"' * 1000 + b"\n" + row,
        "spaces are a part of a field": HEADER + b"1, ann ,food ,7, x\n1,ann,food,8,\n",
        "a space before a quote": HEADER + b'1, "ann",food,7,x\n',
        "users by bytes": HEADER + "1,é,c,1,\n1,e\u0301,c,1,\n1,É,c,1,\n1,ann,c,1,\n1,Ann,c,1,\n1,ann ,c,1,\n".encode(),
        "a BOM within": HEADER + BOM + row + b"1," + BOM + b"u,c,3,\n",
        "NUL in a category": HEADER + b"1,u,a\x00b,5,\n1,u,\x00,6,\n",
        "words that mean something": HEADER
        + b"".join(
            b"1,%b,%b,1,\n" % (word, word)
            for word in b"NULL null None NaN nan inf -inf NA N/A true false 0 1e3 __proto__ constructor toString"
            b" hasOwnProperty length \\N # undefined =1+1 \xf0\x9f\x98\x80 ' '' ` ; | \\ \\\\ \\n a.b $ref"
            b" #NA #N/A".split()
        ),
        "amounts near 2^53": HEADER
        + b"".join(b"1,u,c,%d,\n" % (sign * (2**53 + step)) for sign in (1, -1) for step in (-1, 0, 1, 2))
        + b"1,u,c,9999999999999999,\n" * 7,
        "sums beyond 2^63 and 2^64": HEADER + b"1,u,c,9999999999999999,\n1,u,d,-9999999999999999,\n" * 2000,
        "amounts": HEADER
        + b"".join(
            b"1,%d,%b,%b,\n" % (number, b"k%d" % number, amount)
            for number, amount in enumerate(
                (
                    b"1_000", b" 7 ", b"7 ", b" 7", b"12abc", "\u0661\u0662".encode(), "１２".encode(), b"+5", b"-0",
                    b"007", b"0000000000000000", b"-0000000000000001", b"12345678901234567", b"-1234567890123456", b"",
                    b"-", b"--1", b"1.0", b"1e3", b"0x10", b"\xc2\xa07", b"7\t", b'"7"', b'"-7"', b'"7\n"', b'"\n7"',
                    b'" 7"', b'"1,000"', b'""', b"'7", "−5".encode(), "½".encode(), b"7\x00", b"1'000", b'7"',
                    b'"7""8"',
                )
            )
        ),
        "no quote is closed, id": HEADER + row + b'"1,u,c,5,x\n' + row * 50,
        "no quote is closed, the last byte": HEADER + row + b'1,u,c,5,"',
        "no quote is closed, two quotes at the end": HEADER + row + b'1,u,c,5,"x""',
        "no quote is closed in the header": b'id,user,"category,amount_cents,note\n' + row * 3,
        "text after a closing quote": HEADER + row + b'1,"u"x,c,5,\n' + row,
        "a space after a closing quote": HEADER + row + b'1,"u" ,c,5,\n',
        "text after a closing quote at the end": HEADER + row + b'1,u,c,5,"n"x',
        "text after a closing quote in a row that is too long": HEADER + b'1,u,c,5,n,"x"y\n',
        "text after a closing quote in the header": b'"id"x,user,category,amount_cents,note\n' + row,
        "three quotes": HEADER + b'1,u,c,5,"""\n' + row,
        "a category that is not UTF-8": HEADER + row + b"1,u,\xff\xfe,5,\n" + row,
        "a category in Latin-1": HEADER + row + b"1,u,caf\xe9,5,\n",
        "a category with half of a pair": HEADER + b"1,u,\xed\xa0\x80,5,\n",
        "a category with a long form": HEADER + b"1,u,\xc0\x80,5,\n",
        "a category that is cut": HEADER + "1,u,€".encode()[:-1] + b",5,\n",
    }  # fmt: skip
    assert all(isinstance(data, bytes) for data in found.values())
    return found


def debatable() -> dict[str, bytes]:
    """Those of which the page leaves open what they come to."""
    row = b"1,ann,food,100,fine\n"
    return {
        "CR alone": HEADER + b"1,u,c,5,x\r1,u,c,6,x\n",
        "CR alone in quotes": HEADER + b'1,u,"c\rd",5,x\n',
        "CR at the end": HEADER + b"1,u,c,5,x\r",
        "CR CR LF": HEADER + b"1,u,c,5,x\r\r\n" + row,
        "CR behind a quote, at the end": HEADER + b'1,u,c,5,"x"\r',
        "a note that is not UTF-8": HEADER + b"1,u,c,5,\xff\n",
        "a user that is not UTF-8": HEADER + b"1,\xff,c,5,\n1,\xfe,c,5,\n",
        "a rejected row that is not UTF-8": HEADER + row + b"1,u,\xff,x,\n",
        "a header that is not UTF-8": b"\xff" + HEADER + row,
        "bytes that are no text": bytes(range(128, 256)) * 40,
        "a header with a line end in quotes": b'"id\nno",user,category,amount_cents,note\n' + row,
        "a note of more than 1 MB": HEADER + b"1,u,c,7," + b"x" * 1_100_000 + b"\n" + row,
        "100,001 users": HEADER + b"".join(b"1,u%d,c,1,\n" % number for number in range(100_001)),
    }


def straddling(what: str, shift: int, boundaries: tuple[int, ...] = BOUNDARIES) -> bytes:
    """A file in which `what` lies across each boundary: its first byte is as many bytes behind it as `shift` says."""
    before, middle, after = (part.encode() for part in STRADDLING[what])
    data = bytearray(HEADER)
    for boundary in boundaries:
        start = boundary + shift - len(before)
        data += filling(start - len(data))
        data += before + middle + after
    return bytes(data) + b"7,last,c,1,\n"


def filling(size: int) -> bytes:
    """Whole rows of so many bytes."""
    random_ = random.Random(size)
    row = b"".join(
        b"%d,u%d,k%d,%d,\xc3\xa9\n" % (it, it % 97, it % 13, random_.randrange(-(10**6), 10**7)) for it in range(500)
    )
    whole, rest = divmod(size - 40, len(row))
    last = size - whole * len(row) - len(b"8,u,c,9,\n")
    assert rest + 40 - len(b"8,u,c,9,\n") == last
    return row * whole + b"8,u,c,9," + b"y" * last + b"\n"


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))
