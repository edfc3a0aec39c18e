"""Traces of a session's phases: what a loop did at every kept tick, until someone asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.controllers import Parts
from aeqlab.protocols.settling import Trace

Array = NDArray[Any]
PARTS = ("p", "i", "d")


class Phases:
    """The traces of the phases since they were last taken, oldest first."""

    def __init__(self) -> None:
        self._kept: list[dict[str, Any]] = []

    def keep(self, phase: str, parts: Parts | None = None) -> Trace:
        """Begin a phase; returns what takes time (s), theta - theta* and u of each tick.

        Args:
            phase: hold or settle.
            parts: what those of the law have done so far; as they are at each kept tick they are kept, too.
        """
        rows: dict[str, Any] = {"phase": phase, "t": [], "error": [], "u": [], **{name: [] for name in PARTS}}
        self._kept.append(rows)

        def add(t: float, error: Array | None, u: Array | None) -> None:
            rows["t"].append(t)
            rows["error"].append(error)
            rows["u"].append(u)
            for name in PARTS:
                part = None if parts is None or u is None else getattr(parts, name)
                rows[name].append(None if part is None else part.copy())

        return add

    def take(self) -> list[dict[str, Any]]:
        """Take them: phase, t (s), error, u, p, i and d with one row per kept tick, None where there is none."""
        kept, self._kept = self._kept, []
        return [
            {"phase": one["phase"], "t": np.array(one["t"])} | {name: _rows(one[name]) for name in ("error", "u", *PARTS)}
            for one in kept
            if one["t"]
        ]


def _rows(values: list[Any]) -> Array | None:
    return None if not values or values[0] is None else np.stack(values)
