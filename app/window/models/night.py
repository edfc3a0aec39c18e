"""The night in plain data: from when to when, and what happened, as the story of the run or of the session tells it.

It reads files, so it belongs in a thread.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from aeqlab.protocols.run_story import Story, story_of_run
from aeqlab.protocols.session_story import story_of_session
from aeqlab.protocols.story_causes import Cause, Moment
from aeqlab.protocols.story_marks import ENDED, UNSURE, Part

Kind: TypeAlias = Literal["frozen", "alarm", "silent", "paused", "fault", "note"]
MOST = 400  #: events, the newest; a strip of a thousand pixels has no room for more
SILENT = ("did not answer", "lost its link", "was switched off")
STOOD = ("frozen", "made safe")


@dataclass(frozen=True, slots=True)
class NightEvent:
    """One thing that happened: when, in s since 1970, until when (None: at once over), what kind, in words, and how bad."""

    at: float
    kind: Kind
    words: str
    until: float | None = None
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Night:
    """From when to when, in s since 1970 (`end` None: it goes on), and what happened, oldest first."""

    begin: float
    end: float | None
    events: tuple[NightEvent, ...]

    @property
    def worst(self) -> NightEvent | None:
        """Get the worst trouble, of equally bad ones the newest; what people asked for only where there is none."""
        return max(self.events, key=lambda one: (one.weight, one.at), default=None)


def night_of(run: Path | None, session: Path | None, now: float | None = None) -> Night | None:
    """Tell what happened in a run, or where none is shown in a session; None where nothing tells when it began.

    Args:
        run, session: their folders.
        now: the present, in s since 1970; None: the clock's.
    Raises:
        ProtocolError: the folder cannot be read.
    """
    if run is not None:
        return night_of_story(story_of_run(run, now=now))
    return None if session is None else night_of_story(story_of_session(session, now=now))


def night_of_story(story: Story) -> Night | None:
    """Tell what a story tells, by time."""
    found = [_of_moment(cause, moment) for cause in story.causes for moment in cause.moments if cause.part is not Part.WARNING]
    found += [NightEvent(note.at, "note", f"{note.author}: {note.text}") for note in story.notes if note.at]
    events = sorted((one for one in found if math.isfinite(one.at)), key=lambda one: one.at)[-MOST:]
    begin = story.began if story.began is not None else (events[0].at if events else None)
    if begin is None:
        return None
    over = story.ended
    if over is None and story.state in ("interrupted", "unknown"):  # nobody wrote when; its last sign of life is the nearest
        over = max([begin, *(one.until or one.at for one in events)])
    return Night(begin, over, tuple(one for one in events if one.at >= begin - 1.0))


def _of_moment(cause: Cause, moment: Moment) -> NightEvent:
    words = ", ".join([cause.what, *moment.done])
    until = moment.at + moment.seconds if moment.seconds is not None else None
    weight = cause.weight if cause.is_trouble else 0
    return NightEvent(moment.at, _kind(cause, moment), words, until, weight)


def _kind(cause: Cause, moment: Moment) -> Kind:
    what = cause.what
    if cause.part is Part.PERSON:  # a pause that a freeze followed within seconds is told as one
        return "frozen" if any(words.startswith(STOOD) for words in (what, *moment.done)) else "paused"
    if any(word in what for word in SILENT):
        return "silent"
    if what.startswith(STOOD) or "so the device was frozen" in what:
        return "frozen"
    return "fault" if cause.weight >= min(ENDED, UNSURE) else "alarm"


def in_time(night: Night, now: float | None = None) -> tuple[float, float]:
    """Get from when to when it is shown: a minute at least, and until now where it goes on."""
    end = (time.time() if now is None else now) if night.end is None else night.end
    last = max([end, *(one.at for one in night.events)])
    return night.begin, max(last, night.begin + 60.0)
