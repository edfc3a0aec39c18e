"""The session's own small record: events as they happen and readings thinned, one JSON line each, between runs too.

    events.jsonl     {"t", "kind", "text", "who"}
    readings.jsonl   {"t", "device_t", "outputs", "parameters", "setpoints", "flags"}; a vector of more than 64 values is told by
                     {"n", "mean", "min", "max"}

At most one reading per second while something happens, one in ten seconds while it stands still. A file that reaches 32 MiB is
put aside once (`.old`), so that months of idling stay small. A disk that is full costs lines, never the session.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Readout
from aeqlab.protocols.status import SessionEvent

Array = NDArray[Any]
log = logging.getLogger(__name__)
EVERY_S, STILL_S, LARGEST, MANY = 1.0, 10.0, 32 * 1024 * 1024, 64


class SessionRecord:
    """Writes into a session folder; made by the session that owns it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._failed = False
        self._written = -np.inf
        self._seen: float | None = None

    def event(self, event: SessionEvent) -> None:
        """Write an event."""
        self._append("events.jsonl", asdict(event))

    def reading(self, readout: Readout | None, setpoints: Array | None, still: bool = False) -> None:
        """Write a reading, if it is time for one; less often while everything stands still."""
        now = time.monotonic()
        if readout is None or now - self._written < (STILL_S if still else EVERY_S) or readout.t == self._seen:
            return
        self._written = now
        self._seen = readout.t
        line = {
            "t": time.time(),
            "device_t": readout.t,
            "outputs": _told(readout.outputs),
            "parameters": _told(readout.parameters),
            "setpoints": _told(setpoints),
            "flags": int(readout.flags),
        }
        self._append("readings.jsonl", line)

    def _append(self, name: str, line: dict[str, Any]) -> None:
        path = self.folder / name
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
                size = file.tell()
            if size > LARGEST:
                path.replace(path.with_suffix(".jsonl.old"))
            self._failed = False
        except OSError as exc:
            if not self._failed:
                self._failed = True
                log.warning("%s cannot be written, lines are lost: %s", path, exc)


def _told(values: Array | None) -> Any:
    if values is None:
        return None
    if values.size <= MANY:
        return values.tolist()
    return {"n": int(values.size), "mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}
