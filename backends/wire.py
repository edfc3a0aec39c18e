"""Messages as bytes: a JSON header followed by raw little-endian blocks. Never pickle, so reading cannot run code.

A tree is what JSON can say (None, bool, int, float, str, list, dict with str keys) with numpy arrays as further leaves.
The same form serves sockets (session, run, emulated plant), checkpoints and device states.

    bytes 0-3   b"AEQ1"                  magic and version
    bytes 4-7   length of the header     unsigned 32-bit, little-endian
    header      UTF-8 JSON; an array stands as {"@": [dtype, shape]}, blocks follow in order of appearance
    blocks      C order, little-endian, no padding

Limits: a header of at most 16 MiB, 64 levels deep; dtypes bool, int8-64, uint8-64, float32, float64. Non-finite floats
outside arrays are written as {"@f": "nan" | "inf" | "-inf"}.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from typing import Any

import numpy as np

from aeqlab.backends.errors import WireError

MAGIC = b"AEQ1"
MAX_HEADER = 16 * 1024 * 1024
MAX_DEPTH = 64
_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "bool": "?", "int8": "i1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
        "uint8": "u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8", "float32": "<f4", "float64": "<f8",
    }.items()
}  # fmt: skip
_NAMES = {dtype.newbyteorder(order): name for name, dtype in _DTYPES.items() for order in ("<", ">")}
_NATIVE = {name: dtype.newbyteorder("=") for name, dtype in _DTYPES.items()}
_LITTLE = sys.byteorder == "little"
_NESTED = frozenset({list, dict})
_PLAIN = frozenset({type(None), bool, int, str})
_PREFIX = struct.Struct("<4sI")

Tree = Any  # None | bool | int | float | str | np.ndarray | list[Tree] | dict[str, Tree]


def pack(tree: Tree) -> bytes:
    """Write a tree as bytes.

    Raises:
        WireError: a leaf or a key of a kind that does not travel, or a tree nested too deeply.
    """
    blocks: list[bytes] = []
    header = _ENCODER.encode(_flatten(tree, blocks, 0)).encode("utf-8")
    if len(header) > MAX_HEADER:
        raise WireError(f"the header of a message has {len(header)} bytes, more than {MAX_HEADER}")
    return b"".join([_PREFIX.pack(MAGIC, len(header)), header, *blocks])


def unpack(message: bytes | bytearray | memoryview) -> Tree:
    """Read a tree from bytes; arrays are copies that may be written to.

    Raises:
        WireError: anything that `pack` would not have written; the message says what.
    """
    total = len(message)
    if total < _PREFIX.size:
        raise WireError(f"a message of {total} bytes is too short to be one")
    magic, length = _PREFIX.unpack_from(message)
    if magic != MAGIC:
        raise WireError(f"a message begins with {bytes(magic)!r}, not with {MAGIC!r}: another program or version")
    start = _PREFIX.size + length
    if length > MAX_HEADER or start > total:
        raise WireError(f"a header of {length} bytes does not fit a message of {total} bytes")
    try:
        header = _DECODER.decode(str(message[_PREFIX.size : start], "utf-8"))
    except (ValueError, RecursionError) as exc:
        raise WireError(f"the header of a message is not JSON: {exc}") from exc
    reader = _Blocks(message, start, total)
    tree = reader.rebuild(header, 0)
    if reader.offset != total:
        raise WireError(f"a message has {total - reader.offset} bytes more than its header says")
    return tree


def _refuse_constant(name: str) -> float:
    raise ValueError(f"bare {name}")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)  # kept: making one per message takes longer than its use
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _flatten(tree: Tree, blocks: list[bytes], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise WireError(f"a message is nested more than {MAX_DEPTH} levels deep")
    kind = type(tree)
    if kind in _PLAIN or isinstance(tree, (int, str)):
        return tree
    if isinstance(tree, float):
        value = float(tree)
        return value if math.isfinite(value) else {"@f": repr(value)}
    if kind is np.ndarray or isinstance(tree, np.ndarray):
        name = _NAMES.get(tree.dtype)
        if name is None:
            raise WireError(f"an array of {tree.dtype} does not travel; use one of {', '.join(_DTYPES)}")
        blocks.append(np.ascontiguousarray(tree, dtype=_DTYPES[name]).tobytes())
        return {"@": [name, list(tree.shape)]}
    if isinstance(tree, np.generic):
        return _flatten(tree.item(), blocks, depth)
    if isinstance(tree, (list, tuple)):
        return [_flatten(item, blocks, depth + 1) for item in tree]
    if isinstance(tree, dict):
        flat = {}
        for key, value in tree.items():
            if not isinstance(key, str) or key.startswith("@"):
                raise WireError(f"the key {key!r} does not travel: keys are words that do not begin with @")
            flat[key] = _flatten(value, blocks, depth + 1)
        return flat
    raise WireError(f"a {type(tree).__name__} does not travel in a message")


class _Blocks:
    """The raw part of one message, read from front to back."""

    def __init__(self, message: bytes | bytearray | memoryview, offset: int, total: int) -> None:
        self.message = message
        self.offset = offset
        self.total = total

    def rebuild(self, node: Any, depth: int) -> Tree:
        if type(node) not in _NESTED or not node:
            return node
        if type(node) is dict:
            if len(node) == 1 and "@" in node:
                return self._array(node["@"])
            if len(node) == 1 and "@f" in node:
                if node["@f"] not in ("nan", "inf", "-inf"):
                    raise WireError(f"{str(node['@f'])[:80]!r} is not one of nan, inf, -inf")
                return float(node["@f"])
            if any(key[:1] == "@" for key in node):
                raise WireError("a message has a key that begins with @ and is neither an array nor a number")
        if depth >= MAX_DEPTH:
            raise WireError(f"a message is nested more than {MAX_DEPTH} levels deep")
        below, rebuild = depth + 1, self.rebuild
        if type(node) is list:
            return [rebuild(item, below) if type(item) in _NESTED else item for item in node]
        return {key: rebuild(value, below) if type(value) in _NESTED else value for key, value in node.items()}

    def _array(self, spec: Any) -> np.ndarray[Any, Any]:
        dtype = _DTYPES.get(spec[0]) if type(spec) is list and len(spec) == 2 and type(spec[0]) is str else None
        if dtype is None or type(spec[1]) is not list or len(spec[1]) > 32:
            raise WireError(f"{str(spec)[:80]!r} does not describe an array")
        count = 1
        for n in spec[1]:
            if type(n) is not int or n < 0:
                raise WireError(f"{str(spec)[:80]!r} does not describe an array")
            count *= n
        end = self.offset + count * dtype.itemsize
        if end > self.total:
            raise WireError(f"a message ends within an array of {count * dtype.itemsize} bytes")
        if not count:
            return self._shaped(np.empty(0, dtype=_NATIVE[spec[0]]), spec[1])
        flat = np.frombuffer(self.message, dtype, count, self.offset)
        self.offset = end
        copy = flat.copy() if _LITTLE else flat.astype(_NATIVE[spec[0]])
        return copy if len(spec[1]) == 1 else self._shaped(copy, spec[1])

    @staticmethod
    def _shaped(flat: np.ndarray[Any, Any], shape: list[int]) -> np.ndarray[Any, Any]:
        try:
            return flat.reshape(shape)
        except (ValueError, OverflowError) as exc:
            raise WireError(f"an array of shape {shape}: {exc}") from exc
