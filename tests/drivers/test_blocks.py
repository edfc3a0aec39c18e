"""Binary blocks: what is encoded is decoded, and bytes that are no block are refused in one way."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aeqlab.drivers.blocks import LARGEST, TYPES, decode, decode_whole, digits_of, encode, length_of
from aeqlab.drivers.errors import ReplyError, SettingError


def numbers_of(dtype: str) -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=20)
    plain = {"allow_nan": False, "allow_infinity": False} if "f" in dtype else {}
    return hnp.arrays(dtype, shapes, elements=hnp.from_dtype(np.dtype(dtype), **plain))


@given(values=st.sampled_from(TYPES).flatmap(numbers_of))
def test_there_and_back(values: np.ndarray) -> None:
    dtype = values.dtype.str
    back = decode_whole(encode(values, dtype), dtype, values.size)
    np.testing.assert_array_equal(back, values.ravel())
    assert back.dtype.isnative
    assert back.flags.writeable


@pytest.mark.parametrize("dtype", TYPES)
def test_the_bytes_are_those_of_the_standard(dtype: str) -> None:
    letters = {"f4": "f", "f8": "d", "i2": "h", "i4": "i"}
    block = encode(np.array([1, 2]), dtype)
    data = struct.pack(dtype[0] + 2 * letters[dtype[1:]], 1, 2)
    assert block == f"#{len(str(len(data)))}{len(data)}".encode() + data
    assert not np.array_equal(decode_whole(block, "<>"[dtype[0] == "<"] + dtype[1:]), [1, 2])


def test_one_by_hand() -> None:
    assert encode(np.array([1.0, -2.0])) == b"#18\x00\x00\x80\x3f\x00\x00\x00\xc0"
    assert encode(np.array([1.0, -2.0]), ">f4") == b"#18\x3f\x80\x00\x00\xc0\x00\x00\x00"
    assert encode(np.zeros(0)) == b"#10"
    assert encode(np.zeros(4096))[:7] == b"#516384"


@given(data=st.binary(max_size=60) | st.binary(max_size=30).map(lambda b: b"#2%02d" % len(b) + b), dtype=st.sampled_from(TYPES))
@example(data=b"#0", dtype="<f4")
@example(data=b"#", dtype="<f4")
@example(data="#²".encode(), dtype="<f4")
@example(data=b"#14\x00\x00\x00", dtype="<f4")
@example(data=b"#1 4\x00\x00\x00\x00", dtype="<f4")
@example(data=b"#2+4\x00\x00\x00\x00", dtype="<f4")
def test_any_bytes_are_decoded_or_refused(data: bytes, dtype: str) -> None:
    try:
        values = decode_whole(data, dtype)
    except ReplyError:
        return
    assert values.tobytes() == values.astype(values.dtype.newbyteorder("=")).tobytes()
    assert data[0:1] == b"#"
    assert data.endswith(values.astype(dtype).tobytes())


@pytest.mark.parametrize("start", [b"", b"#", b"1.", b"#0", b"#a", b"##", b"2#"])
def test_no_beginning_of_a_block(start: bytes) -> None:
    with pytest.raises(ReplyError, match="begins with"):
        digits_of(start)


def test_lengths_that_are_none() -> None:
    for digits in (b"", b"1a", b" 1", b"-1", b"+1"):
        with pytest.raises(ReplyError, match="no number"):
            length_of(digits)
    assert length_of(str(LARGEST).encode()) == LARGEST
    with pytest.raises(ReplyError, match="are not taken"):
        length_of(str(LARGEST + 1).encode())


def test_counts() -> None:
    with pytest.raises(ReplyError, match="2 numbers, 3 were asked for"):
        decode(bytes(8), "<f4", 3)
    with pytest.raises(ReplyError, match="no whole number"):
        decode(bytes(7), "<f4")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([40000], "<i2"), ([-32769], ">i2"), ([0.5], "<i2"), ([2.0**31], "<i4"), ([np.nan], "<i4"), ([np.inf], "<i2"),
        ([1e39], "<f4"), ([np.nan], "<f4"), ([-np.inf], ">f8"), (np.array([np.nan], "<f4"), "<f4"),
    ],
)  # fmt: skip
def test_a_number_that_does_not_fit_is_refused_and_never_wrapped(values: Any, dtype: str) -> None:
    with pytest.raises(SettingError):
        encode(np.array(values), dtype)


def test_what_stands_around_a_block() -> None:
    assert encode(np.array([1.0, 2.0]), ">f4", b"BLOC ", b"\n") == b"BLOC #18" + np.array([1.0, 2.0], ">f4").tobytes() + b"\n"


@pytest.mark.parametrize("value", [3e38, -3e38, 1e-45])
def test_the_largest_and_the_smallest_numbers_fit(value: float) -> None:
    """Also where their squares do not: nothing warns."""
    np.testing.assert_array_equal(decode_whole(encode(np.full(4, value)), "<f4"), np.full(4, value, "<f4"))


def test_decoded_numbers_may_be_written_to_and_lie_well() -> None:
    whole = b"?" + np.arange(3.0).tobytes()
    for data in (whole[1:], memoryview(whole)[1:], memoryview(bytearray(whole))[1:]):
        values = decode(data, "<f8")
        assert values.flags.behaved
        values[0] = 5.0
        assert values.tolist() == [5.0, 1.0, 2.0]
    assert whole == b"?" + np.arange(3.0).tobytes()


def test_any_order_in_memory() -> None:
    values = np.arange(12.0).reshape(3, 4)
    for given_ in (values.T, values[::2], np.asfortranarray(values), values.astype(">f8")):
        np.testing.assert_array_equal(decode_whole(encode(given_, "<f8"), "<f8"), given_.ravel())
