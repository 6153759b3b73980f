"""Bytes that are drawn: the same from any byte on, and others for another seed."""

import hashlib
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.content import PIECE, Content

BIG = Content(7, 3 * PIECE + 1234)


def whole(content: Content) -> bytes:
    return b"".join(content.pieces())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, BIG.size), st.integers(0, BIG.size + 10))
def test_any_part_is_the_same_as_in_the_whole(start: int, end: int) -> None:
    assert b"".join(BIG.pieces(start, end)) == whole(BIG)[start:end]


def test_the_digest_is_of_the_bytes() -> None:
    assert BIG.sha256() == hashlib.sha256(whole(BIG)).hexdigest()
    assert BIG.sha256(PIECE - 5, PIECE + 5) == hashlib.sha256(whole(BIG)[PIECE - 5 : PIECE + 5]).hexdigest()


def test_a_longer_one_of_the_same_seed_begins_with_the_same_bytes() -> None:
    assert whole(Content(7, BIG.size + 5_000))[: BIG.size] == whole(BIG)


def test_nothing_in_it_compresses_or_is_in_another() -> None:
    assert len(zlib.compress(whole(BIG))) > 0.99 * BIG.size
    mine, others = list(BIG.pieces()), set(Content(8, BIG.size).pieces())
    assert others.isdisjoint(mine)
    assert all(piece[:32] != BIG.size.to_bytes(32) for piece in mine)
