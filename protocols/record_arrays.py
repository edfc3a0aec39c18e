"""Columns as arrays: what SQLite hands over, made into numbers, words, and arrays of arrays."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema

Array = NDArray[Any]
MATRICES = frozenset({"(parameters,)", "(outputs,)", "(inputs,)"})  #: shapes of the blobs that become rows of one matrix


def array_of(column: schema.Column, values: Sequence[Any], facts: tuple[str, str]) -> Array:
    """Make the array of one column.

    Args:
        column: what the schema says of it.
        values: as SQLite gives them.
        facts: number type and shape of a blob.
    Returns:
        int64, or float64 with nan for empty places; words as objects; blobs as objects, or one matrix where each is one number
        per parameter, rows that are empty or of another length than the first being nan.
    """
    if facts[0]:
        return _of_blobs(values, *facts)
    if column.sql.startswith("TEXT"):
        made = np.empty(len(values), dtype=object)
        made[:] = [value if isinstance(value, str) else "" if value is None else str(value) for value in values]
        return made
    try:
        if column.sql.startswith("INTEGER"):
            return np.frombuffer(array("q", values), dtype=np.int64)
    except (TypeError, OverflowError):  # some places are empty
        pass
    try:
        return np.frombuffer(array("d", values), dtype=np.float64)  # quicker than numpy's own, which takes None for nan
    except TypeError:
        pass
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):  # words among numbers, in a damaged record
        return np.array([value if isinstance(value, int | float) else np.nan for value in values], dtype=np.float64)


def _of_blobs(values: Sequence[Any], dtype: str, shape: str) -> Array:
    size = np.dtype(dtype).itemsize
    plain = [value if isinstance(value, bytes) and len(value) % size == 0 else None for value in values]
    if shape in MATRICES:
        length = next((len(value) for value in plain if value is not None), 0)
        empty = np.full(length // size, np.nan, dtype=dtype).tobytes()
        whole = b"".join(value if value is not None and len(value) == length else empty for value in plain)
        return np.frombuffer(whole, dtype=dtype).astype(np.float64).reshape(len(plain), length // size)
    made = np.empty(len(plain), dtype=object)
    for index, value in enumerate(plain):  # not at once: numpy would stack arrays of one length
        made[index] = None if value is None else np.frombuffer(value, dtype=dtype)
    return made


def joined(parts: list[Array]) -> Array | None:
    """Put the parts of a column together; rows of a matrix that are not as wide as the first are nan. None: no parts."""
    if len(parts) < 2:
        return parts[0] if parts else None
    if parts[0].ndim == 2:
        width = next((part.shape[1] for part in parts if part.shape[1]), 0)
        parts = [part if part.shape[1] == width else np.full((len(part), width), np.nan) for part in parts]
    return np.concatenate(parts)


def fitted(column: schema.Column, values: Array | None, count: int, facts: tuple[str, str]) -> Array:
    """Give a column its number of rows: those that could not be read are empty.

    Args:
        column: what the schema says of it.
        values: what could be read; None where the column is not there.
        count: rows of the table.
        facts: as in `array_of`.
    """
    have = 0 if values is None else len(values)
    if values is not None and have >= count:
        return values[:count]
    empty = array_of(column, [None] * (count - have), facts)
    whole = joined([part for part in (values, empty) if part is not None])
    assert whole is not None
    return whole
