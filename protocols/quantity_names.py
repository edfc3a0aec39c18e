"""Names of quantities: `u[3]`, `u[0-7]`, `w1[2,5]`, or a name that the device itself gives; what each of them means on it.

A row is one of the four vectors of a device: control knobs `u`, input knobs `x`, outputs `s`, parameters `theta`. A name means
some of its places. `u3` is `u[3]` without the brackets, which YAML takes for a list inside { } and [ ].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, ParameterBlock
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.nearest import did_you_mean

Index = NDArray[np.intp]
ROWS = {"u": "control knobs", "x": "input knobs", "s": "outputs", "theta": "parameters"}
MOST_LISTED = 10_000  #: rows of more names than this are not searched for one; their names can be told by their form
_BRACKETS = re.compile(r"(?P<base>.+?)\[(?P<inside>[^\[\]]*)\]")
_NUMBER = re.compile(r"(?P<base>u|x|s|theta)(?P<number>\d+)")
_RANGE = re.compile(r"(\d{1,12})\s*-\s*(\d{1,12})")


@dataclass(frozen=True, slots=True)
class Places:
    """Some places of a row: `row` is u, x, s or theta; `index` has shape (places,), in order."""

    row: str
    index: Index


def places(name: str, info: DeviceInfo, rows: Sequence[str], others: Iterable[str] = ()) -> Places:
    """Find what a name means.

    Args:
        name: as a person wrote it.
        info: of the device.
        rows: the rows that may be meant, of u, x, s, theta.
        others: further words that could have been meant, for the message.
    Raises:
        CapabilityError: the device has nothing of that name; the message names the nearest and says what there is.
    """
    word = name.strip()
    if word in rows:
        return Places(word, np.arange(size(info, word)))
    for row in rows:
        if row != "theta" and (own := _own_name(word, _names(info, row))) is not None:
            return Places(row, np.array([own]))
    numbered = _NUMBER.fullmatch(word)
    if numbered is not None and numbered["base"] in rows:
        return _within(name, numbered["base"], numbered["number"], info)
    found = _BRACKETS.fullmatch(word)
    if found is not None and found["base"] in rows:
        return _within(name, found["base"], found["inside"], info)
    for row, prefix in (("theta", ""), ("u", "u_")):  # w1[2,5] of a layered device, and the knob u_w1[2,5] on it
        for block in info.parameters:
            if row in rows and word == prefix + block.name:
                return Places(row, np.arange(block.start, block.start + block.size))
            if row in rows and found is not None and found["base"] == prefix + block.name:
                return Places(row, block.start + _in_block(name, block, found["inside"]))
    raise CapabilityError(unknown(name, info, rows, others))


def is_numbered(word: str) -> bool:
    """Tell whether a name is the short form of one with brackets, such as `u3`."""
    return _NUMBER.fullmatch(word) is not None


def size(info: DeviceInfo, row: str) -> int:
    """Count the places of a row."""
    return info.n_parameters if row == "theta" else len(_names(info, row))


def unknown(name: str, info: DeviceInfo, rows: Sequence[str], others: Iterable[str] = ()) -> str:
    """Say that there is no quantity of a name, which is the nearest, and what there is."""
    others = tuple(others)
    known = [f"{row}[{i}]" for row in rows for i in range(min(3, size(info, row)))]
    own = [str(own) for row in rows if row != "theta" for own in _names(info, row)[:50]]
    blocks = [block.name for block in info.parameters] if "theta" in rows else []
    near = did_you_mean(name, [*others, *rows, *own, *blocks, *known])
    there = [f"{_span(row, size(info, row))}{_called(info, row)}" for row in rows if size(info, row)]
    return f"{info.name} has no quantity {name[:60]!r}.{near} There are {', '.join([*there, *others])}."


def _span(row: str, n: int) -> str:
    return f"{row}[0]" if n == 1 else f"{row}[0] to {row}[{n - 1:,}]".replace(",", "")


def _called(info: DeviceInfo, row: str) -> str:
    """Say how the device itself calls the places of a row, where that differs."""
    if row == "theta":
        own = [block.name for block in info.parameters if block.name != "theta"]
        return f" ({', '.join(own)})" if own else ""
    names = _names(info, row)
    first = str(names[0])
    if first in (f"{row}[0]", f"{row}0", row):
        return ""
    return f" ({first})" if len(names) == 1 else f" ({first} ... {names[len(names) - 1]})"


def _names(info: DeviceInfo, row: str) -> Sequence[str]:
    if row == "s":
        return info.outputs.names
    return (info.controls if row == "u" else info.inputs).names


def _own_name(word: str, names: Sequence[str]) -> int | None:
    if len(names) > MOST_LISTED:
        return None
    return next((k for k, own in enumerate(names) if own == word), None)


def _within(name: str, row: str, inside: str, info: DeviceInfo) -> Places:
    n = size(info, row)
    first, last = _bounds(name, inside)
    if not first <= last < n:
        raise CapabilityError(f"{name}: {info.name} has {n} {ROWS[row]}, {_span(row, n)}.")
    return Places(row, np.arange(first, last + 1))


def _in_block(name: str, block: ParameterBlock, inside: str) -> Index:
    """Find places within a block of parameters: one number or a range counts through it, several are one of its entries."""
    parts = inside.split(",")
    if len(parts) == 1:
        first, last = _bounds(name, inside)
        if not first <= last < block.size:
            raise CapabilityError(f"{name}: {block.name} has {block.size} parameters, counted from 0.")
        return np.arange(first, last + 1)
    shape = " x ".join(map(str, block.shape))
    if len(parts) != len(block.shape) or not all(part.strip().isdecimal() for part in parts):
        raise CapabilityError(f"{name}: {block.name} is {shape}; write one number, a range such as 0-7, or {len(block.shape)}.")
    place: tuple[Any, ...] = tuple(int(part) for part in parts)
    if any(i >= n for i, n in zip(place, block.shape, strict=True)):
        raise CapabilityError(f"{name}: {block.name} is {shape}, counted from 0.")
    return np.array([int(np.ravel_multi_index(place, block.shape))])


def _bounds(name: str, inside: str) -> tuple[int, int]:
    text = inside.strip()
    if text.isdecimal() and len(text) <= 12:
        return int(text), int(text)
    found = _RANGE.fullmatch(text)
    if found is None:
        raise CapabilityError(f"{name[:60]!r}: in the brackets stands a number, counted from 0, or a range such as 0-7.")
    return int(found[1]), int(found[2])
