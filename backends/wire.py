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
_FLOAT64 = _DTYPES["float64"]
_NATIVE = {name: dtype.newbyteorder("=") for name, dtype in _DTYPES.items()}
_LITTLE = sys.byteorder == "little"
_NESTED = frozenset({list, dict})
_PREFIX = struct.Struct("<4sI")
HEAD = _PREFIX.size  # bytes before the header

Part = bytes | memoryview
Tree = Any  # None | bool | int | float | str | np.ndarray | list[Tree] | dict[str, Tree]


def pack(tree: Tree) -> bytes:
    """Write a tree as bytes.

    Raises:
        WireError: a leaf or a key of a kind that does not travel, or a tree nested too deeply.
    """
    return b"".join(parts(tree))


def parts(tree: Tree) -> list[Part]:
    """Write a tree as the pieces of its bytes: the header, then one piece per array that is not empty.

    An array in C order and little-endian is not copied but is itself the piece, so send or join the pieces before it changes.

    Raises:
        WireError: as `pack`.
    """
    pieces: list[Part] = [b""]
    header = _write(tree, pieces, 0).encode("ascii")
    if len(header) > MAX_HEADER:
        raise WireError(f"the header of a message has {len(header)} bytes, more than {MAX_HEADER}")
    pieces[0] = begun(header)
    return pieces


def unpack(message: bytes | bytearray | memoryview) -> Tree:
    """Read a tree from bytes; arrays are copies that may be written to.

    Raises:
        WireError: anything that `pack` would not have written; the message says what.
    """
    header = header_at(message)
    start, total = HEAD + len(header), len(message)
    try:
        text = str(header, "utf-8")
        tree, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as exc:
        raise WireError(f"the header of a message is not JSON: {exc}") from exc
    if end != len(text):
        raise WireError(f"the header of a message is not JSON: {len(text) - end} characters more after its end")
    # what stands for an array or a number has a key that begins with @ (or an escape); a short text without one is the tree
    if "@" in text or "\\" in text or end > MAX_DEPTH:
        reader = _Blocks(message, start, total)
        tree, start = reader.rebuild(tree, 0), reader.offset
    if start != total:
        raise WireError(f"a message has {total - start} bytes more than its header says")
    return tree


def header_at(message: bytes | bytearray | memoryview) -> bytes:
    """Get the header of a message, unread.

    Raises:
        WireError: it is no message, or is cut within its header.
    """
    total = len(message)
    if total < HEAD:
        raise WireError(f"a message of {total} bytes is too short to be one")
    magic, length = _PREFIX.unpack_from(message)
    if magic != MAGIC:
        raise WireError(f"a message begins with {bytes(magic)!r}, not with {MAGIC!r}: another program or version")
    if length > MAX_HEADER or HEAD + length > total:
        raise WireError(f"a header of {length} bytes does not fit a message of {total} bytes")
    return bytes(message[HEAD : HEAD + length])


def begun(header: bytes) -> bytes:
    """Put before a header what a message begins with."""
    return _PREFIX.pack(MAGIC, len(header)) + header


def _refuse_constant(name: str) -> float:
    raise ValueError(f"bare {name}")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_quoted = json.encoder.encode_basestring_ascii


def _write(tree: Tree, pieces: list[Part], depth: int) -> str:
    """Write the JSON of a tree, in one pass because most messages are so small that a second one would double their price."""
    if depth > MAX_DEPTH:
        raise WireError(f"a message is nested more than {MAX_DEPTH} levels deep")
    kind = type(tree)
    if kind is np.ndarray:
        return _write_array(tree, pieces)
    if kind is dict or isinstance(tree, dict):
        if depth >= MAX_DEPTH and tree:
            raise WireError(f"a message is nested more than {MAX_DEPTH} levels deep")
        items = []
        for key, value in tree.items():
            if not isinstance(key, str) or key[:1] == "@":
                raise WireError(f"the key {key!r} does not travel: keys are words that do not begin with @")
            kind = type(value)
            if kind is int:
                items.append(f"{_quoted(key)}:{value}")
            elif kind is str:
                items.append(f"{_quoted(key)}:{_quoted(value)}")
            else:
                items.append(f"{_quoted(key)}:{_write(value, pieces, depth + 1)}")
        return f"{{{','.join(items)}}}"
    if kind is list or isinstance(tree, (list, tuple)):
        return f"[{','.join([_write(item, pieces, depth + 1) for item in tree])}]" if tree else "[]"
    if tree is None:
        return "null"
    if isinstance(tree, str):
        return _quoted(tree)
    if isinstance(tree, np.ndarray):
        return _write_array(tree, pieces)
    if isinstance(tree, float):
        return float.__repr__(tree) if math.isfinite(tree) else f'{{"@f":"{float.__repr__(tree)}"}}'
    if kind is bool:
        return "true" if tree else "false"
    if isinstance(tree, int):
        return int.__repr__(tree)
    if isinstance(tree, np.generic):
        return _write(tree.item(), pieces, depth)
    raise WireError(f"a {kind.__name__} does not travel in a message")


def _write_array(array: np.ndarray[Any, Any], pieces: list[Part]) -> str:
    name = _NAMES.get(array.dtype)
    if name is None:
        raise WireError(f"an array of {array.dtype} does not travel; use one of {', '.join(_DTYPES)}")
    shape = array.shape
    if array.size:
        plain = array.dtype is _FLOAT64 and array.flags.c_contiguous  # most are, and need no look at how they lie
        pieces.append((array if plain else np.ascontiguousarray(array, _DTYPES[name])).data)
    return f'{{"@":["{name}",[{shape[0] if len(shape) == 1 else ",".join(map(str, shape))}]]}}'


class _Blocks:
    """The raw part of one message, read from front to back."""

    def __init__(self, message: bytes | bytearray | memoryview, offset: int, total: int) -> None:
        self.message = message
        self.offset = offset
        self.total = total

    def rebuild(self, node: Any, depth: int) -> Tree:
        if type(node) not in _NESTED or not node:
            return node
        below, rebuild = depth + 1, self.rebuild
        if type(node) is dict:
            tree = {}
            for key, value in node.items():
                if key[:1] == "@":
                    return self._marked(node)
                if depth >= MAX_DEPTH:
                    break
                if type(value) is dict and len(value) == 1 and "@" in value:
                    tree[key] = self._array(value["@"])
                else:
                    tree[key] = rebuild(value, below) if type(value) in _NESTED else value
            else:
                return tree
        elif depth < MAX_DEPTH:
            return [rebuild(item, below) if type(item) in _NESTED else item for item in node]
        raise WireError(f"a message is nested more than {MAX_DEPTH} levels deep")

    def _marked(self, node: dict[str, Any]) -> Tree:
        """Read what a mapping with a key that begins with @ stands for: an array, or a number that is not finite."""
        if len(node) == 1:
            if "@" in node:
                return self._array(node["@"])
            if "@f" in node:
                if node["@f"] not in ("nan", "inf", "-inf"):
                    raise WireError(f"{str(node['@f'])[:80]!r} is not one of nan, inf, -inf")
                return float(node["@f"])
        raise WireError("a message has a key that begins with @ and is neither an array nor a number")

    def _array(self, spec: Any) -> np.ndarray[Any, Any]:
        if type(spec) is not list or len(spec) != 2:
            raise WireError(f"{str(spec)[:80]!r} does not describe an array")
        name, shape = spec
        dtype = _DTYPES.get(name) if type(name) is str else None
        if dtype is None or type(shape) is not list or len(shape) > 32:
            raise WireError(f"{str(spec)[:80]!r} does not describe an array")
        count = 1
        for n in shape:
            if type(n) is not int or n < 0:
                raise WireError(f"{str(spec)[:80]!r} does not describe an array")
            count *= n
        if not count:
            return self._shaped(np.empty(0, dtype=_NATIVE[name]), shape)
        end = self.offset + count * dtype.itemsize
        if end > self.total:
            raise WireError(f"a message ends within an array of {count * dtype.itemsize} bytes")
        flat = np.frombuffer(self.message, dtype, count, self.offset)
        self.offset = end
        copy = flat.copy() if _LITTLE else flat.astype(_NATIVE[name])
        return copy if len(shape) == 1 else self._shaped(copy, shape)

    @staticmethod
    def _shaped(flat: np.ndarray[Any, Any], shape: list[int]) -> np.ndarray[Any, Any]:
        try:
            return flat.reshape(shape)
        except (ValueError, OverflowError) as exc:
            raise WireError(f"an array of shape {shape}: {exc}") from exc
