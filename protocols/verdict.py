"""What a guardian said of the device of a session that died: read from the session folder, waited for if it still works at it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aeqlab.protocols.session_file import NAME

FILE = "guardian.jsonl"
#: How long a run waits for its guardian before it says that the state is unknown, and how often it looks, in seconds.
WAIT_S, LOOK_S = 3.0, 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a guardian left the device: whether every line was confirmed, when (seconds since 1970), and what it reported."""

    safe: bool
    t: float
    text: str
    lines: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Say it for a person."""
        when = datetime.fromtimestamp(self.t).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"Its session died; at {when} the guardian said: {self.text}."


def guardian_verdict(folder: Path, wait_s: float = 0.0) -> Verdict | None:
    """Get what the guardian of a session folder said of the session that was started there last.

    Args:
        folder: session folder.
        wait_s: how long to wait for its last word.
    Returns:
        None where it has not come to an end, or had nothing to do.
    """
    until = time.monotonic() + wait_s
    while True:
        verdict = _read(folder)
        if verdict is not None or time.monotonic() >= until:
            return verdict
        time.sleep(LOOK_S)


def _read(folder: Path) -> Verdict | None:
    try:
        since = (folder / NAME).stat().st_mtime  # written when the session was started; lines before are of another one
        said = [_line(text) for text in (folder / FILE).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return None
    now = [line for line in said if line is not None and line["t"] >= since]
    lines = tuple(line["text"] for line in now if line["kind"] == "line")
    for line in reversed(now):
        if line["kind"] in ("safe", "end", "failed"):
            return Verdict(line["kind"] != "failed", line["t"], line["text"], lines)
    return None


def _line(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
        return {"t": float(line["t"]), "kind": str(line["kind"]), "text": str(line["text"])}
    except (ValueError, TypeError, KeyError):
        return None
