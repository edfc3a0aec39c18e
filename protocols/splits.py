"""Which rows of a table are kept for evaluation: drawn by the seed, the last ones, or those that a column of the table names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.streams import stream
from aeqlab.protocols.errors import DataError

Array = NDArray[Any]
#: What a column may say of a row, in any case of letters, and whether that makes it a test row.
WORDS = {"train": False, "training": False, "0": False, "test": True, "1": True}


def marks_test(word: str) -> bool | None:
    """Tell what a cell of the split column says: True for test, False for training, None for neither."""
    word = word.strip().lower()
    if word in WORDS:
        return WORDS[word]
    try:
        return {0.0: False, 1.0: True}.get(float(word))
    except ValueError:
        return None


def split_by_fraction(rows: int, fraction: float, path: Any, *, last: bool, seed: int) -> tuple[Array, Array]:
    """Keep a share of the rows for evaluation, the last ones or some drawn from the seed.

    Returns:
        Indices of the training rows and of the test rows, each in the order of the file.
    Raises:
        DataError: no row is left for training.
    """
    n_test = round(fraction * rows)
    if rows - n_test < 1:
        raise DataError(f"{path}: {rows} rows leave none for training at test_fraction {fraction:g}. Lower it.")
    if last:
        order = np.arange(rows)
        return order[: rows - n_test], order[rows - n_test :]
    order = stream(seed, "data split").permutation(rows)
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def split_by_mask(is_test: Array, path: Any, column: str) -> tuple[Array, Array]:
    """Keep the rows for evaluation that the table marks; indices as of `split_by_fraction`.

    Raises:
        DataError: every row is marked.
    """
    if is_test.all():
        raise DataError(f"{path}: column {column} makes every row a test row. Mark some with train or 0.")
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)
