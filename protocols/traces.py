"""Traces of a session's phases: what a loop did at every kept tick, until someone asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.settling import Trace

Array = NDArray[Any]


class Phases:
    """The traces of the phases since they were last taken, oldest first."""

    def __init__(self) -> None:
        self._kept: list[dict[str, Any]] = []

    def keep(self, phase: str) -> Trace:
        """Begin a phase; returns what takes time (s), theta - theta* and u of each tick."""
        rows: dict[str, Any] = {"phase": phase, "t": [], "error": [], "u": []}
        self._kept.append(rows)

        def add(t: float, error: Array | None, u: Array | None) -> None:
            rows["t"].append(t)
            rows["error"].append(error)
            rows["u"].append(u)

        return add

    def take(self) -> list[dict[str, Any]]:
        """Take them: phase, t (s), error and u with one row per kept tick, None where there is none."""
        kept, self._kept = self._kept, []
        return [
            {"phase": p["phase"], "t": np.array(p["t"]), "error": _rows(p["error"]), "u": _rows(p["u"])} for p in kept if p["t"]
        ]


def _rows(values: list[Any]) -> Array | None:
    return None if not values or values[0] is None else np.stack(values)
