"""Causes of trouble out of single marks: what came of one first cause hangs under it, the worst first.

As with alarms (`protocols/alarms.py`), what is told within some seconds of a first cause is taken for its consequence, and so is
what names it. What only says that something is wrong, as `readings were lost`, is a cause only where nothing says more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aeqlab.protocols.alarms import TOGETHER_S
from aeqlab.protocols.story_marks import ASKED, SMALL, Mark, Part, step_named

NAMED_S = 300.0  #: what names the same thing so soon after it is taken for a consequence, too


@dataclass(frozen=True, slots=True)
class Left:
    """A training step that changed nothing because something was wrong: its number, and when it was written."""

    step: int
    at: float


@dataclass(frozen=True, slots=True)
class Moment:
    """One time that a cause struck.

    Attributes:
        at: when, in s since 1970.
        step: the training step that was under way, as near as it is told; None: not known, or there is none.
        seconds: how long it lasted; None: not known, or it was over at once.
        lasting: it was not over when the record ends.
        done: what was done about it and what came of it, in a few words each.
        lost: training steps that were left out or in their middle for it.
        marks: everything that was told of it, in the order of time.
    """

    at: float
    step: int | None
    seconds: float | None
    lasting: bool
    done: tuple[str, ...]
    lost: int
    marks: tuple[Mark, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cause:
    """A first cause, with every time it struck.

    Attributes:
        what: in a few words, such as `adc did not answer`.
        text: the sentence that told it first.
        part: `PERSON` where someone asked for it, `WARNING` where it is no trouble by itself.
        weight: how bad it was, by which causes are ordered.
        moments: the earliest first.
    """

    what: str
    text: str
    part: Part
    weight: int
    moments: tuple[Moment, ...]

    @property
    def at(self) -> float:
        """When it struck first."""
        return self.moments[0].at

    @property
    def step(self) -> int | None:
        """Get the training step that was under way then."""
        return self.moments[0].step

    @property
    def is_trouble(self) -> bool:
        """Whether it is one that nobody asked for."""
        return self.part not in (Part.PERSON, Part.WARNING)

    @property
    def lost(self) -> int:
        """Training steps that were lost by it."""
        return sum(moment.lost for moment in self.moments)

    @property
    def seconds(self) -> float | None:
        """Get the longest time that it lasted; None where none is known."""
        return max((moment.seconds for moment in self.moments if moment.seconds is not None), default=None)


@dataclass(slots=True)
class _Struck:
    """One time that something struck, while it is put together."""

    marks: list[Mark]
    keys: set[str]
    start: float
    last: float
    going: set[str] = field(default_factory=set)  # keys of what was not over yet
    over: float | None = None
    seconds: float | None = None
    lost: int = 0

    def take(self, mark: Mark) -> None:
        self.marks.append(mark)
        self.last = max(self.last, mark.at, mark.until or 0.0)
        if mark.part is Part.MEND:
            self.going.discard(mark.key)
            self.over = max(self.over or 0.0, mark.at)
            self.seconds = mark.seconds if mark.seconds is not None else self.seconds
            return
        if mark.key and mark.part is not Part.DONE:
            self.keys |= {mark.key, mark.key.rpartition(" ")[2]} if mark.key.startswith(("drift ", "idle knob ")) else {mark.key}
        if mark.lasts:
            self.going.add(mark.key)
        if mark.until is not None and mark.until > mark.at:
            self.over = max(self.over or 0.0, mark.until)

    def settle(self) -> None:
        """See what of it is not over, once all of it is here, in the order of time."""
        self.going = set()
        for mark in sorted(self.marks, key=lambda mark: (mark.at, mark.part is Part.MEND)):
            if mark.part is Part.MEND:
                self.going.discard(mark.key)
            elif mark.lasts:
                self.going.add(mark.key)

    def near(self, at: float) -> bool:
        return self.start - TOGETHER_S <= at and (self.lasts or at <= self.last + TOGETHER_S)

    @property
    def lasts(self) -> bool:
        """Whether something of it is not over."""
        return bool(self.going)

    @property
    def first(self) -> Mark:
        """The mark that says best what went wrong, and of these the earliest."""
        order = (Part.CAUSE, Part.PERSON, Part.EFFECT, Part.WARNING)
        told = [mark for mark in self.marks if mark.part in order]
        return min(told, key=lambda mark: (order.index(mark.part), *_vague(mark), mark.at))

    @property
    def what(self) -> str:
        """What went wrong, in a few words: as what mended it found it, or as it was told first."""
        return next((mark.reveals for mark in self.marks if mark.reveals), self.first.what)

    @property
    def asked(self) -> bool:
        return self.first.part is Part.PERSON

    def is_about(self, mark: Mark) -> bool:
        """Whether a mark names it, or says the same as what began it."""
        if mark.key in self.keys or any(re.search(rf"\b{re.escape(key)}\b", mark.text) for key in self.keys if key):
            return True
        texts = [one.text for one in self.marks if one.part is not Part.MEND and len(one.text) > 2]
        return any(text in mark.text or mark.text in text for text in texts) if len(mark.text) > 2 else False


#: What a knob or a reading does, by what the key of its mark begins with; one that comes of another stands after it.
_SYMPTOMS = ("idle knob ", "jump", "drift ")


def _vague(mark: Mark) -> tuple[bool, int]:
    """Put what a knob or a reading does after what says why; theta jumps as the cable of a knob comes off, not the other way."""
    symptom = next((k + 1 for k, word in enumerate(_SYMPTOMS) if mark.key.startswith(word)), 0)
    return mark.part is Part.EFFECT and mark.weight <= SMALL, symptom


def causes_of(
    marks: Iterable[Mark], left: Sequence[Left] = (), end: float | None = None, steps: int | None = None
) -> tuple[Cause, ...]:
    """Put marks together by their first causes.

    Args:
        marks: in any order.
        left: training steps that changed nothing because something was wrong.
        end: when the record ends; what lasts until then lasted so long at least.
        steps: how many training steps there are; None: there are none to name.
    Returns:
        The causes: trouble before what people asked for before warnings, the worst first, of equally bad ones the earliest.
    """
    ordered = sorted(marks, key=lambda mark: mark.at)
    struck: list[_Struck] = []
    for mark in ordered:
        if mark.part in (Part.CAUSE, Part.PERSON, Part.MEND):
            _place_cause(mark, struck)
    for mark in ordered:
        if mark.part in (Part.EFFECT, Part.DONE):
            _place_effect(mark, struck)
        elif mark.part is Part.MEND and not any(mark in one.marks for one in struck):
            _place_cause(mark, struck)  # what an effect brought about is over
    for step in left:
        near = [one for one in struck if one.near(step.at)]
        if near:
            _best(near).lost += 1
    for mark in ordered:
        if mark.part is Part.WARNING:
            _begin(mark, struck)
    for one in struck:
        one.settle()
    found = [_cause(group, end, steps) for group in _alike(struck)]
    return tuple(sorted(found, key=lambda one: (not one.is_trouble, -one.weight, one.at)))


def _place_cause(mark: Mark, struck: list[_Struck]) -> None:
    same = [one for one in struck if mark.key in one.keys and (mark.key in one.going or mark.at <= one.last + TOGETHER_S)]
    if mark.part is Part.MEND:
        if same:
            same[-1].take(mark)
        return
    if not same and mark.part is Part.CAUSE:
        same = [one for one in struck if not one.asked and mark.at - one.start <= TOGETHER_S]
    if same:
        same[-1].take(mark)
    else:
        _begin(mark, struck)


def _place_effect(mark: Mark, struck: list[_Struck]) -> None:
    near = [one for one in struck if one.near(mark.at)]
    about = [one for one in struck if (one.near(mark.at) or 0.0 <= mark.at - one.last <= NAMED_S) and one.is_about(mark)]
    if about or near:
        _best(about or near).take(mark)
    elif mark.part is Part.EFFECT:
        _begin(mark, struck)


def _begin(mark: Mark, struck: list[_Struck]) -> None:
    struck.append(_Struck([], set(), mark.at, mark.at))
    struck[-1].take(mark)


def _best(near: list[_Struck]) -> _Struck:
    """Choose what began last, but rather a fault than what someone asked for."""
    return max(near, key=lambda one: (not one.asked, one.start))


def _alike(struck: list[_Struck]) -> list[list[_Struck]]:
    groups: dict[str, list[_Struck]] = {}
    for one in sorted(struck, key=lambda one: one.start):
        groups.setdefault(one.what, []).append(one)
    return list(groups.values())


def _cause(group: list[_Struck], end: float | None, steps: int | None) -> Cause:
    first = group[0].first
    weight = max(mark.weight for one in group for mark in one.marks)
    if first.part is Part.PERSON:
        weight = min(weight, ASKED)
    return Cause(group[0].what, first.text, first.part, weight, tuple(_moment(one, end, steps) for one in group))


def _moment(one: _Struck, end: float | None, steps: int | None) -> Moment:
    marks = sorted(one.marks, key=lambda mark: mark.at)
    seconds = one.seconds
    if one.lasts and not (one.asked and one.over):
        seconds = None if end is None or end <= one.start else end - one.start
    elif seconds is None and one.over is not None and one.over > one.start:
        seconds = one.over - one.start
    return Moment(one.start, _step_of(marks, steps), seconds, one.lasts, _done(marks, one), one.lost, tuple(marks))


def _step_of(marks: list[Mark], steps: int | None) -> int | None:
    if not steps:
        return None
    named = next((number for mark in marks if (number := step_named(mark.text)) is not None), None)
    if named is not None:
        return named
    before = next((mark.step for mark in marks if mark.step is not None), None)
    return None if before is None else min(before + 1, steps)


def _done(marks: list[Mark], one: _Struck) -> tuple[str, ...]:
    """Say what came of it, each once: what was done, which steps were left, how the run went on or ended."""
    first = one.first
    came = (Part.EFFECT, Part.DONE, Part.MEND)
    said = [mark.came for mark in marks if mark is not first and (mark.part in came or mark.short)]
    return tuple(dict.fromkeys(word for word in said if word and word not in first.what and word not in one.what))
