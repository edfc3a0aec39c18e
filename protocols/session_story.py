"""The story of a session in plain data, by its folder: its own events, and what its guardian did; see `run_story.py`."""

from __future__ import annotations

import time
from pathlib import Path

from aeqlab.protocols.run_story import Story
from aeqlab.protocols.story_causes import causes_of
from aeqlab.protocols.story_events import read_events
from aeqlab.protocols.story_marks import clause, marks_of_session
from aeqlab.protocols.story_sentence import sentence_of
from aeqlab.protocols.verdict import guardian_verdict


def story_of_session(folder: str | Path, *, now: float | None = None) -> Story:
    """Tell the story of a session by its folder: its own events, and what its guardian did.

    Args:
        folder: with `events.jsonl`, and `guardian.jsonl` where the session died.
        now: as for `story_of_run`.
    """
    folder = Path(folder)
    missing: list[str] = []
    events = list(read_events(folder, missing))
    if not events:
        missing.append("events.jsonl: nothing can be read of what happened.")
    marks = list(marks_of_session(events))
    end = next((event for event in reversed(events) if event.kind in ("end", "safe by guardian", "failed")), None)
    last = events[-1].t if events else None
    causes = causes_of(marks, (), last)
    state = "unknown" if not events else "going on" if end is None else "ended"
    reason = "" if end is None else end.text
    began = events[0].t if events else None
    ended = None if end is None else end.t
    said = "" if end is None else f"ended {{}}: {clause(end.text.removeprefix('the session ends: '), 120)}"
    sentence = sentence_of(
        began, None, causes, said, ended if end is not None else last, now=time.time() if now is None else now, what="the session"
    )
    verdict = guardian_verdict(folder)
    return Story(
        folder, "session", state, reason, sentence, causes, began, ended,
        safety=() if verdict is None else (verdict.sentence(), *verdict.lines), missing=tuple(missing),
    )  # fmt: skip
