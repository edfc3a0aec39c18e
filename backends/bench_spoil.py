"""Replies that are no measurements: what a channel that fails makes of the numbers of its instrument.

Whole replies stay what they are: names, words, error queues and counts come as they should. Only what is measured or set, a
number with a point or an exponent, or one of a binary block, is another.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

#: What stands in the place of a number: an overload (SCPI-1999, 7.2.1), none, and something that is not one.
TEXT = {"overload": b"+9.90000000E+37", "nan": b"NAN", "word": b"----"}
BINARY = {"overload": 9.9e37, "nan": float("nan"), "word": float("inf")}
_NUMBER = re.compile(rb"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?")


def spoiler(how: str) -> Callable[[bytes], bytes]:
    """Make what spoils replies: `overload`, `nan` or `word` in a number's place, or `count`, one too few or too many."""

    def spoil(reply: bytes) -> bytes:
        return _block(reply, how) if reply[:1] == b"#" and reply[1:2].isdigit() else _text(reply, how)

    return spoil


def _text(reply: bytes, how: str) -> bytes:
    """Spoil the last number of a reply in text."""
    parts = reply.rstrip(b"\r\n").split(b";")
    end = reply[len(b";".join(parts)) :]
    for k in range(len(parts) - 1, -1, -1):
        fields = parts[k].split(b",")
        if not _NUMBER.fullmatch(fields[-1].strip()):
            continue
        if how != "count":
            fields[-1] = TEXT[how]
        elif len(fields) > 1:
            fields.pop()
        else:
            fields *= 2
        parts[k] = b",".join(fields)
        break
    return b";".join(parts) + end


def _block(reply: bytes, how: str) -> bytes:
    """Spoil the last number of four bytes of a block; a list of channels in a block is none."""
    digits = int(reply[1:2])
    length = int(reply[2 : 2 + digits])
    data, end = reply[2 + digits : 2 + digits + length], reply[2 + digits + length :]
    if length < 4 or data[:2] == b"(@":
        return reply
    data = data[:-4] if how == "count" else data[:-4] + struct.pack("<f", BINARY[how])
    count = str(len(data)).encode("ascii")
    return b"#%d%b%b%b" % (len(count), count, data, end)
