"""Columns that grow at their end: what was handed out stays as it is, so that another thread may draw it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FIRST = 1024  #: rows that there is room for at first


class Growing:
    """Columns of one length. `view()` takes no time: rows behind its end are written, those before it never again.

    Args:
        first: rows that there is room for at first.
    """

    def __init__(self, first: int = FIRST) -> None:
        self._first = first
        self._room: dict[str, Array] = {}
        self.count = 0

    def append(self, rows: Mapping[str, Array]) -> None:
        """Add rows; columns that came before and are missing now are nan, 0 or None, and so are new columns in rows before.

        Raises:
            ValueError: the columns are not of one length.
        """
        lengths = {len(values) for values in rows.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        more = lengths.pop() if lengths else 0
        end = self.count + more
        for name, values in rows.items():
            room = self._room.get(name)
            if room is None or len(room) < end or room.dtype != np.result_type(room, values):
                self._room[name] = room = self._bigger(room, values, end)
            room[self.count : end] = values
        for name in set(self._room) - set(rows):
            room = self._room[name]
            if len(room) < end:
                self._room[name] = room = self._bigger(room, room[:0], end)
            room[self.count : end] = _nothing(room.dtype)
        self.count = end

    def view(self) -> dict[str, Array]:
        """Get all columns as they are now; not to be written."""
        made = {}
        for name, room in self._room.items():
            part = room[: self.count]
            part.flags.writeable = False
            made[name] = part
        return made

    def replace(self, rows: Mapping[str, Array], key: str = "id") -> None:
        """Put rows in the place of those with the same key; the columns are copied, so that views stay as they were."""
        if key not in self._room or key not in rows:
            return
        places = np.searchsorted(self._room[key][: self.count], rows[key])
        there = (places < self.count) & (self._room[key][np.minimum(places, self.count - 1)] == rows[key])
        for name, values in rows.items():
            if name in self._room:
                room = self._room[name].astype(np.result_type(self._room[name], values))
                room[places[there]] = values[there]
                self._room[name] = room

    def clear(self) -> None:
        """Begin again; views that were handed out stay."""
        self._room, self.count = {}, 0

    def _bigger(self, room: Array | None, like: Array, end: int) -> Array:
        size = max(self._first, 1 << (end - 1).bit_length())
        dtype = like.dtype if room is None else np.result_type(room, like)
        shape = like.shape[1:] if room is None else room.shape[1:]
        made: Array = np.full((size, *shape), _nothing(dtype), dtype=dtype)
        if room is not None:
            made[: self.count] = room[: self.count]
        return made


def _nothing(dtype: np.dtype[Any]) -> Any:
    return {"f": np.nan, "O": None, "U": ""}.get(dtype.kind, 0)
