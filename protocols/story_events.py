"""The events of a session folder and of its guardian, read back from their files, in the order of time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from aeqlab.protocols.status import SessionEvent


def read_events(folder: Path, missing: list[str]) -> Iterator[SessionEvent]:
    """Read the events of a session folder and of its guardian in the order of time; what is no event is counted and said."""
    found: list[SessionEvent] = []
    for name in ("events.jsonl.old", "events.jsonl", "guardian.jsonl"):
        try:
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        except OSError as exc:
            missing.append(f"{name} cannot be read: {exc}.")
            continue
        made = [_event(line, of_guardian=name.startswith("guardian")) for line in lines]
        bad = made.count(None)
        if bad:
            missing.append(f"{name}: {bad} of {len(lines)} lines cannot be read.")
        found += [event for event in made if event is not None]
    return iter(sorted(found, key=lambda event: event.t))


def _event(line: str, *, of_guardian: bool) -> SessionEvent | None:
    try:
        tree = json.loads(line)
        kind = str(tree["kind"])
        kind = "safe by guardian" if of_guardian and kind == "safe" else kind
        return SessionEvent(float(tree["t"]), kind, str(tree["text"]), str(tree.get("who", "")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
