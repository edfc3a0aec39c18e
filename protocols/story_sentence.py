"""A story in one sentence: since when, how much, how the cost went, what went wrong, how it ended.

Only a cost that was read without a nudge is called the cost; another one says which it is. Times are those of this place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from aeqlab.protocols.story_causes import Cause, Moment
from aeqlab.protocols.story_course import Course
from aeqlab.protocols.words import duration_in_words

Clock = Callable[[float], str]
SHOWN = 3  #: causes that the sentence names; of the others their number
FELT_S = 0.05  #: shorter ones are over at once


def sentence_of(
    began: float | None,
    course: Course | None,
    causes: Sequence[Cause],
    end: str,
    ended: float | None,
    *,
    now: float,
    resumed: int = 0,
    what: str = "",
) -> str:
    """Say everything in one sentence.

    Args:
        began: when it began; None: not known.
        course: of a run.
        causes: the worst first.
        end: how it stands at the end, with {} for the time.
        ended: that time.
        now: the present: a day is only named where it is another.
        resumed: how often it was resumed.
        what: what it is about, of something that has no course.
    """
    clock = _Clock(began if began is not None else now, now)
    parts = [course.sentence()] if course is not None else [what]
    trouble = [cause for cause in causes if cause.is_trouble]
    asked = [cause for cause in causes if cause.part.value == "person" and cause.weight > 5]
    named = [*trouble, *asked][:SHOWN]
    parts += [cause_in_words(cause, clock.at) for cause in named]
    more = len(trouble) + len(asked) - len(named)
    if more:
        parts.append(f"and {more} more")
    if not trouble:
        parts.append("no fault recorded")
    if resumed > 0:
        parts.append(f"resumed {times(resumed)}")
    since = "since an unknown time" if began is None else f"since {clock.first()}"
    last = end.replace("{}", "at an unknown time" if ended is None else clock.at(ended))
    return f"{since}: {', '.join(part for part in parts if part)}" + (f"; {last}" if last else "")


def cause_in_words(cause: Cause, clock: Clock) -> str:
    """Say a cause in a few words: adc did not answer 14 s at 03:12 (step 812 left in its middle).

    Args:
        cause: the cause.
        clock: makes words of a time.
    """
    first = cause.moments[0]
    often = len(cause.moments) > 1
    took = lasted(first) if not often else _longest(cause)
    when = f"at {clock(first.at)}" if not often else f"{times(len(cause.moments))}, first at {clock(first.at)}"
    done = [word for word in first.done if not word.startswith("the run ")]  # the end of the sentence says how it ended
    lost = cause.lost
    partial = sum("left in its middle" in word for word in done)
    if lost > partial:
        done = [word for word in done if "left in its middle" not in word] + [f"{lost:,} step{'s' if lost > 1 else ''} left out"]
    said = " ".join(part for part in (cause.what, took, when) if part)
    return f"{said} ({', '.join(done)})" if done else said


def lasted(moment: Moment) -> str:
    """Say how long it lasted; empty where nobody knows, or where it was over at once."""
    if moment.seconds is None or moment.seconds < FELT_S:
        return ""
    return f"{duration_in_words(moment.seconds)}{' or more' if moment.lasting else ''}"


def times(count: int) -> str:
    """Say how often: once, twice, 5 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def clock_in_words(at: float, beside: float | None = None) -> str:
    """Say a time of this place: 03:12, with its day where that is not the day of `beside`."""
    moment = datetime.fromtimestamp(at)
    same = beside is not None and moment.date() == datetime.fromtimestamp(beside).date()
    return moment.strftime("%H:%M") if same else f"{moment.day} {moment.strftime('%b %H:%M')}"


class _Clock:
    """Says times of one story: the day with the first one if it is not today's, with others where they are a day away."""

    def __init__(self, began: float, now: float) -> None:
        self._began, self._now = began, now

    def first(self) -> str:
        return clock_in_words(self._began, self._now)

    def at(self, at: float) -> str:
        return clock_in_words(at, at if abs(at - self._began) < 20 * 3600.0 else self._began)


def _longest(cause: Cause) -> str:
    seconds = cause.seconds
    return "" if seconds is None or seconds < FELT_S else f"up to {duration_in_words(seconds)}"
