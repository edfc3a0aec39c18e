"""What a story tells, as marks on a bar of time: what went wrong, what was asked for, notes; warnings are left out."""

from __future__ import annotations

import math

from aeqlab.app.window.plots.strips import Kind, NightEvent
from aeqlab.protocols.run_story import Story
from aeqlab.protocols.story_causes import Cause
from aeqlab.protocols.story_marks import ENDED, UNSURE, Part

MOST = 400  #: marks, the newest: a bar of a thousand pixels has no room for more
_SILENT = ("did not answer", "lost its link", "was switched off")
_STOOD = ("frozen", "made safe", "so the device was frozen")


def marks_of(story: Story) -> list[NightEvent]:
    """List what happened, oldest first."""
    found = []
    for cause in story.causes:
        if cause.part is Part.WARNING:
            continue
        for moment in cause.moments:
            until = None if moment.seconds is None else moment.at + moment.seconds
            found.append(NightEvent(moment.at, _kind(cause), ", ".join((cause.what, *moment.done)), until))
    found += [NightEvent(note.at, "note", f"{note.author}: {note.text}") for note in story.notes if note.at]
    return sorted((one for one in found if math.isfinite(one.at)), key=lambda one: one.at)[-MOST:]


def _kind(cause: Cause) -> Kind:
    if cause.part is Part.PERSON:
        return "frozen" if cause.what.startswith(_STOOD) else "paused"
    if any(word in cause.what for word in _SILENT):
        return "silent"
    if any(word in cause.what for word in _STOOD):
        return "frozen"
    return "fault" if cause.weight >= min(ENDED, UNSURE) else "alarm"
