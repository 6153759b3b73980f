"""The file pipeline's function against a reader that goes byte by byte, Python's csv, DuckDB, and the references'.

Where another reader disagrees with the brief it is listed here, and a test fails as soon as it does not any more.
"""

import csv
import importlib
import importlib.util
import io
import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crucible.planning import challenges

CHALLENGE = challenges.find("file-pipeline", {}, where="tests")
PACKAGE = CHALLENGE.suite.checks[0].judge.__module__.rpartition(".")[0]
corpus, grader_function, tables = (
    importlib.import_module(f"{PACKAGE}.{name}") for name in ("corpus", "grader_function", "tables")
)
LONE_CR, Reading, outcome = grader_function.LONE_CR, grader_function.Reading, grader_function.outcome
FAILED = "failed"
Figures = tuple[int, int, dict[str, int], int] | str
"""Rows, rejected, sums and users; or that there are none."""
SMALL, DEBATABLE = corpus.small(), corpus.debatable()
AMOUNT = re.compile(r"-?[0-9]{1,16}")
CLOSING = {name for name in SMALL if name.startswith(("no quote is closed", "text after", "a space after", "three"))}
NOT_UTF_8 = {name for name in SMALL if name.startswith("a category") and "quoted" not in name}

LAX_CSV = CLOSING
"""Python's csv as it is by default: what is never closed ends with the file, and what follows a quote is a part of the
field. The page's side: both fail the file, which is what `strict=True` does."""
DUCKDB = {
    "CRLF header, LF body", "LF header, CRLF body", "mixed line ends", "BOM before a quoted header", "blank lines",
    # "the CSV parser state machine reached an invalid state": it wants one line end. The page: they may be mixed.
    "quoted newlines",  # the row is rejected, since CRLF and LF meet in it. The page: it is accepted
    "a blank line at the end",  # it is passed over. The page: a row of one field, so rejected
    "too few and too many",  # a comma too many at the end is forgiven. The page: six fields, so rejected
    *CLOSING,  # the row is rejected, or taken. The page: the file fails
    *NOT_UTF_8,  # the row is rejected. The page: the file fails
}  # fmt: skip


def of_page(data: bytes, piece: int = 64 << 10) -> Figures:
    found = outcome(data, piece).result
    if found is None:
        return FAILED
    rows, rejected, sums, users = (found[name] for name in ("rows", "rejected", "sums", "distinct_users"))
    assert isinstance(rows, int)
    assert isinstance(rejected, int)
    assert isinstance(sums, dict)
    assert isinstance(users, int)
    return rows, rejected, sums, users


def folded(rows: Iterable[Sequence[str | None]]) -> tuple[int, int, dict[str, int], int]:
    accepted = rejected = 0
    sums: dict[str, int] = {}
    users: set[str] = set()
    for row in rows:
        if len(row) == 5 and AMOUNT.fullmatch(row[3] or ""):
            accepted += 1
            users.add(row[1] or "")
            sums[row[2] or ""] = sums.get(row[2] or "", 0) + int(row[3] or "")
        else:
            rejected += 1
    return accepted, rejected, sums, len(users)


def byte_by_byte(data: bytes) -> Figures:
    """The page, sentence by sentence, and as slow as it likes. A CR alone is an ordinary character."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    rows: list[list[bytes]] = []
    row, field, at = [], b"", 0
    while at < len(data):
        if data[at : at + 1] == b'"':  # at the beginning of a field
            at += 1
            while data[at : at + 1] != b'"' or data[at : at + 2] == b'""':
                if at >= len(data):
                    return FAILED
                field += data[at : at + 1]
                at += 2 if data[at : at + 2] == b'""' else 1
            at += 1
            if data[at : at + 1] not in (b"", b",", b"\n") and data[at : at + 2] != b"\r\n" and data[at:] != b"\r":
                return FAILED
            at += data[at : at + 1] == b"\r"
        else:
            while at < len(data) and data[at : at + 1] not in (b",", b"\n"):
                field += data[at : at + 1]
                at += 1
            if data[at : at + 1] == b"\n":
                field = field.removesuffix(b"\r")
        row.append(field)
        field = b""
        if data[at : at + 1] == b"," and at + 1 == len(data):
            row.append(b"")
        if data[at : at + 1] in (b"\n", b"") or at + 1 == len(data):
            rows.append(row)
            row = []
        at += 1
    try:
        return folded([[field.decode() for field in row] for row in rows[1:]])
    except UnicodeDecodeError:
        return FAILED


def by_csv(data: bytes, strict: bool = True) -> Figures:
    before = csv.field_size_limit(1 << 30)
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=strict)
        next(rows, None)
        return folded(rows)
    except (csv.Error, UnicodeDecodeError):
        return FAILED
    finally:
        csv.field_size_limit(before)


def by_duckdb(data: bytes, folder: Path) -> Figures:
    file = folder / "file.csv"
    file.write_bytes(data)
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in "abcde")
    with duckdb.connect(config={"threads": 1}) as connection:
        try:
            rows = connection.execute(
                f"SELECT * FROM read_csv('{file}', auto_detect=false, header=true, delim=',', quote='\"', escape='\"',"
                f" columns={{{columns}}}, max_line_size=4000000, buffer_size=16000000, store_rejects=true,"
                " strict_mode=true, parallel=false)"
            ).fetchall()
            counted = connection.execute("SELECT count(DISTINCT line) FROM reject_errors").fetchall()
        except duckdb.Error:
            return FAILED
    accepted, rejected, sums, users = folded(rows)
    return accepted, rejected + int(counted[0][0]), sums, users


def references() -> list[ModuleType]:
    found = []
    for path in sorted(CHALLENGE.folder.glob("references/*/tally.py")):
        spec = importlib.util.spec_from_file_location(f"tally_of_{path.parent.name.replace('-', '_')}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module)
    return found


def by_reference(module: ModuleType, data: bytes, piece: int = 64 << 10) -> Figures:
    tally = module.Tally()
    try:
        for part in corpus.pieces(data, piece):
            tally.feed(part)
        found = json.loads(tally.result("0" * 64))
    except module.BadFileError:
        return FAILED
    assert found["bytes"] == len(data)
    return found["rows"], found["rejected"], found["sums"], found["distinct_users"]


@pytest.mark.parametrize("name", SMALL)
def test_the_page_read_byte_by_byte(name: str) -> None:
    assert of_page(SMALL[name]) == byte_by_byte(SMALL[name])


@pytest.mark.parametrize("name", SMALL)
def test_pieces_of_any_size_are_the_same(name: str) -> None:
    data = SMALL[name]
    sizes = (1, 2, 3, 5, 7, 64, 4096, 65_536, 1 << 20) if len(data) < 10_000 else (4093, 65_535, 1 << 20)
    assert {repr(outcome(data, size)) for size in sizes} == {repr(outcome(data))}


@pytest.mark.parametrize("name", SMALL)
def test_pythons_csv_agrees_where_it_is_strict(name: str) -> None:
    assert by_csv(SMALL[name]) == of_page(SMALL[name])


@pytest.mark.parametrize("name", SMALL)
def test_pythons_csv_by_default(name: str) -> None:
    assert (by_csv(SMALL[name], strict=False) == of_page(SMALL[name])) == (name not in LAX_CSV)


@pytest.mark.parametrize("name", SMALL)
def test_duckdb(name: str, tmp_path: Path) -> None:
    assert (by_duckdb(SMALL[name], tmp_path) == of_page(SMALL[name])) == (name not in DUCKDB)


@pytest.mark.parametrize("name", SMALL)
def test_the_references(name: str) -> None:
    for module in references():
        for size in (1, 3, 65_536) if len(SMALL[name]) < 10_000 else (4093, 65_536):
            assert by_reference(module, SMALL[name], size) == of_page(SMALL[name]), module.__name__


@pytest.mark.parametrize("name", DEBATABLE)
def test_what_is_debatable_is_said_to_be(name: str) -> None:
    assert outcome(DEBATABLE[name]).debatable


def test_nothing_else_is() -> None:
    assert {name for name in SMALL if outcome(SMALL[name]).debatable} == {
        "empty", "a BOM alone", "no quote is closed in the header", "text after a closing quote in the header",
    }  # fmt: skip


@pytest.mark.parametrize("shift", [-1, 0, 1, -3, 3])
@pytest.mark.parametrize("what", corpus.STRADDLING)
def test_boundaries(what: str, shift: int) -> None:
    data = corpus.straddling(what, shift, corpus.BOUNDARIES[:3])
    expected = by_csv(data)
    assert expected != FAILED
    for size in (4096, 65_536, 1 << 20):
        assert of_page(data, size) == expected
    for module in references():
        for size in (4096, 65_536):
            assert by_reference(module, data, size) == expected


@pytest.mark.parametrize("what", corpus.STRADDLING)
def test_far_boundaries(what: str) -> None:
    data = corpus.straddling(what, -1, corpus.BOUNDARIES[3:4])
    assert of_page(data, 5 << 20) == by_csv(data)


def test_a_quote_that_is_opened_at_the_start_takes_no_memory() -> None:
    reading = Reading()
    reading.feed(b'id\n"')
    for _ in range(100):
        reading.feed(b"x,y\n" * 250_000)
    assert not reading._field
    found = reading.finish()
    assert (found.error, found.debatable) == ("a quote is never closed", frozenset())


BITS = st.sampled_from(
    [b",", b",", b",", b"\n", b"\r\n", b'"', b'""', b'",', b',"', b"1", b"-1", b"12", b"a", b"\xc3\xa9", b" ", b"\x00"]
)
FIELD = st.one_of(
    st.sampled_from(
        [b"", b"u", b"c", b"7", b"-7", b" 7", b'"7"', b'"a,b"', b'"a\nb"', b'"a\r\nb"', b'"""q"""', b'a"b']
    ),
    st.lists(BITS, max_size=3).map(b"".join),
)
ROW = st.lists(FIELD, min_size=5, max_size=5).map(b",".join)
FILE = st.one_of(
    st.lists(BITS, max_size=60).map(b"".join),
    st.lists(st.one_of(ROW, st.lists(FIELD, max_size=7).map(b",".join)), max_size=8).flatmap(
        lambda rows: st.lists(
            st.sampled_from([b"\n", b"\r\n"]), min_size=len(rows), max_size=len(rows)
        ).map(lambda ends: b"h\n" + b"".join(row + end for row, end in zip(rows, ends, strict=True)))
    ),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(FILE, st.lists(st.integers(0, 80), max_size=6))
@example(b'h\n1,u,c,7,"x"\r\n', [13, 14])
@example(b'h\n1,u,c,7,"x""', [13])
def test_any_file_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in pairwise(places)]
    reading = Reading()
    for part in parts:
        reading.feed(part)
    found = reading.finish()
    assert found == outcome(data)
    assert of_page(data) == byte_by_byte(data)
    assert LONE_CR not in found.debatable
    assert of_page(data) == by_csv(data)
    for module in references():
        tally = module.Tally()
        try:
            for part in parts:
                tally.feed(part)
            result = json.loads(tally.result(found.sha256))
        except module.BadFileError:
            result = None
        assert result == found.result


def test_the_function_needs_nothing_but_python() -> None:
    source = Path(str(grader_function.__file__)).read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= {"codecs", "dataclasses", "enum", "hashlib", "re"}


@pytest.mark.parametrize("size", [1000, 70_000, 400_000])
@pytest.mark.parametrize("seed", [0, 5, 123_456])
def test_what_a_table_comes_to_is_what_the_function_says_of_its_bytes(seed: int, size: int) -> None:
    table = tables.Table(seed, size)
    data = b"".join(table.pieces())
    assert len(data) == size
    assert table.expected() == tables.as_expected(outcome(data))
    assert b"".join(table.pieces(size // 3, size - 7)) == data[size // 3 : size - 7]


@pytest.mark.parametrize(("kind", "error"), [("opened", "a quote is never closed"), ("broken", "text after a closing")])
def test_a_table_that_fails_does_so_for_its_own_reason(kind: str, error: str) -> None:
    table = tables.Table(3, 300_000, **{kind: True})
    assert table.expected() is None
    assert error in (outcome(b"".join(table.pieces())).error or "")


def test_a_sample_is_certain_where_the_brief_says_what_it_comes_to() -> None:
    uncertain = {name for name in SMALL if not tables.Sample(name).certain}
    assert uncertain == {name for name in SMALL if outcome(SMALL[name]).debatable} | {"a row of 100,000 fields"}
