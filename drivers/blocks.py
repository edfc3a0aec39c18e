"""Binary blocks of IEEE 488.2: `#`, a digit, that many digits of a length, that many bytes. Both byte orders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.drivers.errors import ReplyError, SettingError

Array = NDArray[Any]
#: Types of numbers in a block: little- and big-endian floats and whole numbers.
TYPES = ("<f4", ">f4", "<f8", ">f8", "<i2", ">i2", "<i4", ">i4")
#: No instrument sends more bytes than this in one block.
LARGEST = 256 * 1024 * 1024
#: Numbers whose squares add up to less fit into 4 bytes.
SMALL = 1e38


def encode(values: Array, dtype: str = "<f4", before: bytes = b"", after: bytes = b"") -> bytes:
    """Make a block of definite length.

    Args:
        values: numbers, any shape; taken in their order.
        dtype: type of each in the block, one of `TYPES`.
        before, after: bytes around it: its command, and what ends that.
    Raises:
        SettingError: one is not finite, or this type cannot hold it.
    Source: IEEE 488.2-1992, 7.7.6.2.
    """
    given, kind = np.asarray(values).ravel(), np.dtype(dtype)
    # a sum of squares says quickly that all are finite and not large, as nearly always
    if kind.kind == "f" and given.dtype.kind == "f" and np.vdot(given, given) < SMALL:
        packed = given.astype(kind, copy=False)
    else:
        packed = _fitted(given, kind)
    length = str(packed.nbytes)
    return b"".join((before, f"#{len(length)}{length}".encode("ascii"), packed.data, after))


def _fitted(given: Array, kind: np.dtype[Any]) -> Array:
    """Get numbers in another type. Raises SettingError where one does not fit."""
    with np.errstate(over="ignore", invalid="ignore"):
        packed = given.astype(kind)
    if kind.kind == "i" and not np.array_equal(packed, given):
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        raise SettingError(f"a block of {kind.name} takes whole numbers from {low} to {high} only")
    if kind.kind == "f" and not np.isfinite(packed).all():
        raise SettingError(f"a block of {kind.name} has a number that is not finite or larger than that type holds")
    return packed


def digits_of(start: bytes | bytearray) -> int:
    """Get how many digits of a length follow the first two bytes of a block.

    Raises:
        ReplyError: these are not the first two bytes of a block of definite length.
    """
    if len(start) != 2 or start[:1] != b"#" or not start[1:].isdigit() or start == b"#0":
        raise ReplyError(f"a block of definite length begins with # and a digit from 1 to 9, not with {bytes(start[:8])!r}")
    return int(start[1:])


def length_of(digits: bytes | bytearray) -> int:
    """Get the number of bytes of a block from the digits of its length.

    Raises:
        ReplyError: these are no digits, or the block would be larger than `LARGEST`.
    """
    if not digits.isdigit():
        raise ReplyError(f"the length of a block is {bytes(digits[:12])!r}, which is no number")
    length = int(digits)
    if length > LARGEST:
        raise ReplyError(f"a block of {length} bytes is announced; more than {LARGEST} are not taken")
    return length


def decode(data: bytes | bytearray | memoryview, dtype: str, count: int | None = None) -> Array:
    """Get the numbers of the data of a block, in the byte order of this machine.

    Args:
        data: the bytes after the length; what may be written to is not copied where it lies as this machine wants it.
        dtype: type of each number, one of `TYPES`.
        count: how many there must be; None: as many as there are.
    Raises:
        ReplyError: the bytes are not whole numbers of this type, or not as many as asked for.
    """
    kind = np.dtype(dtype)
    if len(data) % kind.itemsize:
        raise ReplyError(f"a block has {len(data)} bytes, which are no whole number of {kind.itemsize}-byte numbers")
    values = np.frombuffer(data, dtype=kind)
    if not kind.isnative:
        values = values.astype(kind.newbyteorder("="))
    elif not values.flags.behaved:  # writeable and aligned
        values = values.copy()
    if count is not None and len(values) != count:
        raise ReplyError(f"a block has {len(values)} numbers, {count} were asked for")
    return values


def decode_whole(block: bytes, dtype: str, count: int | None = None) -> Array:
    """Get the numbers of a whole block, with its head and without a terminator.

    Raises:
        ReplyError: it is no block, or cut short.
    """
    digits = digits_of(block[:2])
    length = length_of(block[2 : 2 + digits])
    data = block[2 + digits :]
    if len(data) != length:
        raise ReplyError(f"a block announces {length} bytes and has {len(data)}")
    return decode(data, dtype, count)
