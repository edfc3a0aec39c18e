"""Headers from memory: the same bytes as the full writer's, and the same trees and refusals as the full reader's."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import MAGIC, pack, unpack
from aeqlab.protocols.shorthand import Reader, Writer

ROWS = st.one_of(
    st.integers(0, 5).map(lambda n: np.arange(n) + 0.5),
    st.sampled_from(
        [np.zeros((1, 3)), np.array(2.0), np.arange(3), np.zeros(3, ">f8"), np.zeros(3, "float32"), np.arange(6.0)[::2],
         np.full(3, np.nan), np.asfortranarray(np.arange(4.0).reshape(2, 2))]
    ),
)  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.floats(), st.text(max_size=3), ROWS)
VALUES = st.one_of(LEAVES, st.lists(LEAVES, max_size=2), st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=2))
NUMBERS = st.one_of(st.integers(-3, 12), st.sampled_from([True, 10**17, 10**18, 10**30]))
NAMES = st.sampled_from(["controls", "set_controls", '"', "@", "a,b"])


def same(a: Any, b: Any) -> bool:
    """Equal as bytes, so NaN equals NaN and True is not 1; and of the same types."""
    return pack(a) == pack(b) and type(a) is type(b)


@settings(max_examples=200, deadline=None)
@given(calls=st.lists(st.tuples(NUMBERS, NAMES, st.lists(VALUES, max_size=2)), max_size=6))
def test_requests_and_answers_are_the_bytes_of_the_full_writer(calls: list[tuple[int, str, list[Any]]]) -> None:
    writer = Writer()
    for _ in range(2):  # the second time from memory
        for number, name, values in calls:
            assert b"".join(writer.request(number, name, values)) == pack({"n": number, "c": name, "a": values})
            for value in values:
                assert b"".join(writer.answer(number, value)) == pack({"n": number, "r": value})


MESSAGES = st.one_of(
    st.builds(lambda n, c, a: pack({"n": n, "c": c, "a": a}), NUMBERS, NAMES, st.lists(VALUES, max_size=2)),
    st.builds(lambda n, r: pack({"n": n, "r": r}), NUMBERS, VALUES),
    st.builds(lambda n, r, ev: pack({"n": n, "r": r, "ev": ev}), NUMBERS, LEAVES, VALUES),
)


def read_the_same(reader: Reader, message: bytes) -> None:
    assert outcome(reader.read, message) == outcome(unpack, message)


def outcome(read: Callable[[memoryview], Any], message: bytes) -> tuple[str, bytes]:
    """Get what a reader makes of a message: the tree, or the refusal."""
    try:
        tree = read(memoryview(message))
    except WireError as exc:
        return str(exc), b""
    return type(tree).__name__, pack(tree)


@settings(max_examples=150, deadline=None)
@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=3), at=st.integers(0, 200), bit=st.integers(0, 7), more=st.binary(max_size=2)
)
def test_what_is_read_from_memory_is_what_the_full_reader_reads(messages: list[bytes], at: int, bit: int, more: bytes) -> None:
    reader = Reader()
    for message in [*messages, *messages]:
        read_the_same(reader, message)
    last = messages[-1]
    flipped = bytearray(last)
    flipped[at % len(last)] ^= 1 << bit
    cut = at % (len(last) + 1)
    for message in (bytes(flipped), last[:cut], last[:cut] + more + last[cut:], last):
        read_the_same(reader, message)


def message(header: bytes, blocks: bytes = b"") -> bytes:
    return struct.pack("<4sI", MAGIC, len(header)) + header + blocks


@pytest.mark.parametrize(
    "header",
    [b'{"n":1,"r":null}', b'{"n":01,"r":null}', b'{"n":-1,"r":null}', b'{"n":1_0,"r":null}', b'{"n": 1,"r":null}',
     b'{"n":,"r":null}', b'{"n":1.0,"r":null}', b'{"n":1e3,"r":null}', b'{"n":1,"n":2,"r":null}', b'{"n":1,"r":null,"r":null}',
     b'{"n":1,"r":null} ', b'{"n":\xd9\xa1,"r":null}', b'{"n":99999999999999999999999,"r":null}',
     b'{"n":1,"r":{"@":["float64",[2]]}}', b'{"n":1,"r":{"@":["float64",[02]]}}', b'{"n":1,"r":{"\\u0040":["float64",[2]]}}',
     b'{"n":1,"c":"x","a":[{"@":["float64",[2]]}]}'],
)  # fmt: skip
@pytest.mark.parametrize("blocks", [b"", bytes(8), bytes(16), bytes(17)], ids=len)
def test_headers_that_look_like_one_that_is_known(header: bytes, blocks: bytes) -> None:
    reader = Reader()
    for known in ({"n": 7, "r": None}, {"n": 7, "r": np.zeros(2)}, {"n": 7, "c": "x", "a": [np.zeros(2)]}):
        reader.read(memoryview(pack(known)))
    for _ in range(2):
        read_the_same(reader, message(header, blocks))


def test_rows_are_copies_and_lists_are_new_each_time() -> None:
    reader = Reader()
    kept = bytearray(pack({"n": 1, "c": "set_controls", "a": [np.arange(3.0)]}))
    trees = [reader.read(memoryview(kept)) for _ in range(3)]
    kept[-24:] = bytes(24)
    for tree in trees:
        np.testing.assert_array_equal(tree["a"][0], [0.0, 1.0, 2.0])
        tree["a"][0][:] = -1.0
        tree["a"].append("more")
    empty = memoryview(pack({"n": 1, "c": "controls", "a": []}))
    for _ in range(3):
        tree = reader.read(empty)
        assert tree == {"n": 1, "c": "controls", "a": []}
        tree["a"].append("more")


def test_memory_has_an_end() -> None:
    reader, writer = Reader(), Writer()
    for n in range(1, 300):
        tree = {"n": n, "r": np.zeros(n)}
        assert same(reader.read(memoryview(b"".join(writer.answer(n, tree["r"])))), tree)
        assert same(reader.read(memoryview(pack({"n": n, "c": f"c{n}", "a": []}))), {"n": n, "c": f"c{n}", "a": []})
    assert len(reader._known) <= 64
    assert len(writer._answers) <= 64
