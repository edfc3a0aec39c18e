"""Requests and answers that come again and again: their headers are remembered, the number left out, and not made or read anew.

What a command without arguments, or with one row of floats, and an answer of nothing or of one row of floats look like is known
after the first of each. The bytes are the same as those of `wire.parts`, and only a header that `wire.unpack` has read, byte for
byte, is taken from memory. Between two processes that take turns on a processor such a header costs several times what it costs
in a loop, and most of an exchange.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aeqlab.backends.wire import HEAD, Part, Tree, begun, header_at, parts, unpack

_FLOAT64 = np.dtype("<f8")
_NATIVE = np.dtype("float64")
_BEGINS = b'{"n":'
#: So many headers are remembered, none longer than so many bytes; a number has at most so many digits.
_MOST, _LONGEST, _DIGITS = 64, 96, 18


class Writer:
    """Writes requests and answers as the pieces of their bytes."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], bytes] = {}
        self._answers: dict[int, bytes] = {}

    def request(self, number: int, name: str, arguments: list[Tree]) -> list[Part]:
        """Write a request.

        Raises:
            WireError: an argument does not travel.
        """
        row = arguments[0] if len(arguments) == 1 else None
        size = _size(row) if arguments else 0
        tail = self._requests.get((name, size))
        if tail is not None and type(number) is int:
            return _with(number, tail, row)
        pieces = parts({"n": number, "c": name, "a": arguments})
        if size >= 0 and type(number) is int and len(self._requests) < _MOST:
            self._requests[name, size] = _tail(pieces[0], number)
        return pieces

    def answer(self, number: int, result: Tree) -> list[Part]:
        """Write an answer without news.

        Raises:
            WireError: the result does not travel.
        """
        size = 0 if result is None else _size(result)
        tail = self._answers.get(size)
        if tail is not None and type(number) is int:
            return _with(number, tail, result)
        pieces = parts({"n": number, "r": result})
        if size >= 0 and type(number) is int and len(self._answers) < _MOST:
            self._answers[size] = _tail(pieces[0], number)
        return pieces


class Reader:
    """Reads messages as `wire.unpack` does; keep one for each connection, so that nobody fills another's memory."""

    def __init__(self) -> None:
        # what follows the number: the plain values, where the row of floats goes (None: nowhere), whether in a list, and its size
        self._known: dict[bytes, tuple[dict[str, Any], str | None, bool, int]] = {}

    def read(self, message: memoryview) -> Tree:
        """Read a message.

        Raises:
            WireError: as `wire.unpack`.
        """
        header = header_at(message)
        comma = header.find(b",", 6, 6 + _DIGITS) if len(header) <= _LONGEST else -1
        if comma < 0 or header[:5] != _BEGINS:
            return unpack(message)
        known = self._known.get(header[comma:])
        digits = header[5:comma]
        if known is None or not digits.isdigit() or (digits[0] == 48 and comma > 6):
            tree = unpack(message)
            if known is None and len(self._known) < _MOST:
                self._learn(header, comma, tree)
            return tree
        plain, where, listed, size = known
        start = HEAD + len(header)
        if len(message) != start + 8 * size:
            return unpack(message)  # which says what is wrong
        tree = {"n": int(digits), **plain}
        if size:
            row = np.frombuffer(message, _FLOAT64, size, start).astype(_NATIVE)
            tree[where] = [row] if listed else row
        elif where is not None:
            tree[where] = []
        return tree

    def _learn(self, header: bytes, comma: int, tree: Tree) -> None:
        """Remember a header that was read, if it is one of those, and written as we would have written it."""
        plain: dict[str, Any] = {}
        where, listed, size = None, False, 0
        match tree:
            case {"n": _, "c": str(name), "a": [*arguments]} if len(tree) == 3 and len(arguments) < 2:
                plain, where, listed = {"c": name}, "a", True
                size = _size(arguments[0]) if arguments else 0
            case {"n": _, "r": result} if len(tree) == 2:
                if result is None:
                    plain = {"r": None}
                else:
                    where, size = "r", _size(result)
        if (plain or where) and size >= 0 and bytes(parts(tree)[0][HEAD:]) == header:
            self._known[header[comma:]] = (plain, where, listed, size)


def _size(value: Any) -> int:
    """Get the size of a row of floats as they travel; -1: it is something else."""
    if type(value) is np.ndarray and value.dtype is _FLOAT64 and value.ndim == 1 and value.flags.c_contiguous:
        return value.size or -1
    return -1


def _tail(head: Part, number: int) -> bytes:
    return bytes(head[HEAD + len(_BEGINS) + len(str(number)) :])


def _with(number: int, tail: bytes, row: Any) -> list[Part]:
    head = begun(b'{"n":%d%b' % (number, tail))
    return [head] if row is None else [head, row.data]
