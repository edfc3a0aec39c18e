"""Messages: what is packed comes back as it was; bytes that are no message are refused in one way, whatever they are."""

from __future__ import annotations

import json
import math
import random
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import MAGIC, MAX_DEPTH, MAX_HEADER, pack, parts, unpack

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
arrays = st.sampled_from(DTYPES).flatmap(
    lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
leaves = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8) | arrays
keys = st.text(max_size=6).filter(lambda key: not key.startswith("@"))
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12)


def same(a: Any, b: Any) -> bool:
    """Equal in value and type, NaN equal to NaN."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return type(a) is type(b) and bool(a == b)


def message(header: Any, blocks: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<4sI", MAGIC, len(text)) + text + blocks


@settings(max_examples=150, deadline=None)
@given(tree=trees)
def test_there_and_back(tree: Any) -> None:
    packed = pack(tree)
    assert same(tree, unpack(packed))
    assert pack(unpack(packed)) == packed
    assert same(tree, unpack(memoryview(bytearray(packed))))


def test_arrays_come_back_as_copies_one_may_write_to() -> None:
    a = np.arange(12.0).reshape(3, 4)
    for given_ in (a, a.T, a[::2], np.asfortranarray(a), a.astype(">f8"), a.astype(">i4")):
        back = unpack(pack(given_))
        np.testing.assert_array_equal(back, given_)
        assert back.dtype.isnative
        back += 1
    np.testing.assert_array_equal(a, np.arange(12.0).reshape(3, 4))


def test_what_becomes_what_in_json() -> None:
    assert unpack(pack((1, np.float32(0.5), np.int8(3), np.bool_(True)))) == [1, 0.5, 3, True]


@pytest.mark.parametrize(
    "tree",
    [pytest.param(object(), id="object"), 1j, b"bytes", {1: 2}, {"@": 1}, {"@f": "nan"}, {"a": {"@x": 1}}, np.array([1j]),
     np.array(["a"]), np.array([None]), np.zeros(2, "float16"), np.zeros(2, "datetime64[s]"), {"a": {1, 2}},
     np.zeros(2, "longdouble")],
    ids=repr,
)  # fmt: skip
def test_what_does_not_travel(tree: Any) -> None:
    with pytest.raises(WireError):
        pack(tree)


def test_a_text_with_the_sign_of_a_mark_is_a_text() -> None:
    for tree in (
        "@",
        "a@b",
        ["@"],
        {"a": "@f"},
        {"a@": [1]},
        {"a": ["@", np.arange(3.0)], "b": math.inf},
        "\\u0040",
        {"\\": "\\"},
    ):
        assert same(tree, unpack(pack(tree)))
    assert same(unpack(message(b'[{"\\u0040":["int8",[2]]},{"\\u0040f":"nan"}]', b"ab")), [np.array([97, 98], "int8"), math.nan])
    for key in ("@", "@f", "@x"):
        with pytest.raises(WireError):
            unpack(message({"a": 1, key: 2}))


def test_pieces_are_the_arrays_themselves_where_they_lie_as_they_travel() -> None:
    row = np.arange(3.0)
    pieces = parts([row, row[::2], np.zeros(0), np.array(1.0)])
    assert b"".join(pieces) == pack([row, row[::2], np.zeros(0), np.array(1.0)])
    assert [memoryview(piece).nbytes for piece in pieces[1:]] == [24, 16, 8]
    row[0] = 7.0
    assert memoryview(pieces[1]).tobytes()[:8] == struct.pack("<d", 7.0)


def test_depth_has_an_end() -> None:
    tree: Any = 0
    for _ in range(MAX_DEPTH):
        tree = [tree]
    assert unpack(pack(tree)) == tree
    with pytest.raises(WireError, match="nested"):
        pack([tree])
    mapped: Any = {"a": 0}
    for _ in range(MAX_DEPTH):
        mapped = [mapped]
    with pytest.raises(WireError, match="nested"):
        pack(mapped)
    for deeper in ([tree], ["@", tree], {"a": tree}):
        with pytest.raises(WireError, match="nested"):
            unpack(message(deeper))
    for key, value in (("a", 0), ("@", ["int8", [0]])):
        inner: Any = {key: value}
        for _ in range(MAX_DEPTH):
            inner = [inner]
        if key == "a":
            with pytest.raises(WireError, match="nested"):
                unpack(message(inner))
        else:
            assert same(inner_most(unpack(message(inner))), np.zeros(0, "int8"))


def inner_most(tree: Any) -> Any:
    while isinstance(tree, list):
        [tree] = tree
    return tree


@settings(max_examples=250, deadline=None)
@given(noise=st.binary(max_size=200))
@example(noise=b"")
@example(noise=MAGIC)
@example(noise=struct.pack("<4sI", MAGIC, 2**32 - 1))
@example(noise=struct.pack("<4sI", MAGIC, MAX_HEADER) + b"{}")
@example(noise=message(b"\xff\xfe"))
@example(noise=message(b"NaN"))
@example(noise=message(b"[" * 100_000))
@example(noise=message(b"1" * 10_000))
@example(noise=message(b'{"a":' * 70 + b"1" + b"}" * 70))
def test_noise_is_refused_or_is_a_message(noise: bytes) -> None:
    survives(noise)


@settings(max_examples=250, deadline=None)
@given(tree=trees, data=st.data())
def test_damaged_messages(tree: Any, data: st.DataObject) -> None:
    packed = bytearray(pack(tree))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(packed) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                packed[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del packed[max(at, 1) :]
            case _:
                packed[at:at] = data.draw(st.binary(max_size=4))
    survives(bytes(packed))


names = st.sampled_from([*DTYPES, "float16", "object", "O", "", "V8", "<f8"])
numbers = st.integers(-2, 5) | st.sampled_from([2**31, 2**63, 2**64, 10**400, 1.5, "2", None, True, [1]])
specs = st.lists(numbers, max_size=40).flatmap(lambda shape: names.map(lambda name: [name, shape]))
marks = st.one_of(
    specs.map(lambda spec: {"@": spec}),
    st.text(max_size=4).map(lambda text: {"@f": text}),
    st.one_of(leaves.filter(lambda leaf: not isinstance(leaf, (np.ndarray, float))), st.just([])).map(lambda leaf: {"@": leaf}),
    st.sampled_from(
        [{"@f": []}, {"@f": {}}, {"@f": "nan", "x": 1}, {"@": ["float64", [0, 10**30]]}, {"@x": 1}, {"@": ["bool", [2]]}]
    ),
)


@settings(max_examples=500, deadline=2000)
@given(header=st.lists(marks, max_size=3), blocks=st.binary(max_size=64))
def test_headers_that_lie(header: Any, blocks: bytes) -> None:
    survives(message(header, blocks))


def survives(noise: bytes) -> None:
    """Refused with a WireError, or understood; what was understood travels on."""
    try:
        tree = unpack(noise)
    except WireError:
        return
    assert same(tree, unpack(pack(tree)))


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (b"AEQ0" + bytes(4), "another program or version"),
        (b"AEQ", "too short"),
        (message(1, b"x"), "1 bytes more than its header says"),
        (message({"@": ["float64", [3]]}, bytes(23)), "ends within an array"),
        (message({"@": ["float64", [1] * 33]}, bytes(8)), "does not describe an array"),
        (message({"@": ["object", [1]]}, bytes(8)), "does not describe an array"),
        (message({"@f": "0"}), "not one of nan"),
    ],
)
def test_what_is_said(noise: bytes, said: str) -> None:
    with pytest.raises(WireError, match=said):
        unpack(noise)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_messages() -> None:
    """Random cuts, flips and numbers in messages and in their headers; seeded, and cheaper than drawn trees."""
    rng = random.Random(0)
    tree = {"a": [1, 2.5, None, "text"], "b": np.arange(6.0).reshape(2, 3), "c": {"d": math.inf, "e": np.zeros((0, 2), "int8")}}
    whole = pack(tree)
    header = json.dumps([{"@": ["float64", [2, 3]]}, {"@f": "nan"}, {"x": {"@": ["bool", [4]]}}, -1e308]).encode()
    words = [b"[", b"]", b"{", b"}", b'"@"', b'"@f"', b"1e999", b"-0", b"9" * 30, b"null", b",", b":", b"NaN", b"\\ud800"]
    for k in range(100_000):
        noise = bytearray(whole if k % 2 else header)
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(noise))
            match rng.randrange(4):
                case 0:
                    noise[at] = rng.randrange(256)
                case 1:
                    del noise[at : at + rng.randint(1, 9)]
                    noise = noise or bytearray(1)
                case 2:
                    noise[at:at] = rng.choice(words)
                case _:
                    end = at + rng.randint(1, 12)
                    noise[at:end] = rng.choice(words)
        survives(bytes(noise) if k % 2 else message(bytes(noise), bytes(52)))
