"""What of a record or of a session's events tells of trouble: each as one mark, a plain sentence with its time and its part.

A fault of an instrument is told in a few sentences of `backends/rig_bus.py`, an alarm by its kind, a person's wish by the
command. What is told of normal work gives no mark. What this file does not know keeps its own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.status import RUN, SessionEvent


class Part(Enum):
    """What a mark has to do with trouble."""

    CAUSE = "cause"  #: says what went wrong
    EFFECT = "effect"  #: says what came of it; a cause only where there is no better one
    PERSON = "person"  #: someone asked for it
    MEND = "mend"  #: says that it is over
    DONE = "done"  #: says what was done
    WARNING = "warning"  #: worth a look, no trouble by itself


#: How much a mark weighs; the heaviest of a cause decides where it stands.
ENDED, UNSURE, SAFE, FROZEN, LOST, LATE, ALARM, TOLD, ASKED, SMALL = 100, 90, 80, 60, 40, 35, 30, 20, 15, 5


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing that was told.

    Attributes:
        at: when, in s since 1970.
        part: see `Part`.
        what: in a few words; of `DONE` what was done.
        text: the sentence, as it was told.
        key: what it is about: an instrument, a knob, a kind of alarm, a person's wish.
        step: the last training step before it; None: not said.
        weight: how bad it is.
        until: when it was over, where that is known.
        lasts: it goes on until something mends it, or to the end.
        seconds: how long it took, as it is told itself.
        short: what it says where it is the consequence of something else; empty: nothing that is worth saying then.
        reveals: what it says of the cause that it puts an end to.
    """

    at: float
    part: Part
    what: str
    text: str
    key: str = ""
    step: int | None = None
    weight: int = 0
    until: float | None = None
    lasts: bool = False
    seconds: float | None = None
    short: str | None = None
    reveals: str = ""

    @property
    def came(self) -> str:
        """What it says as a consequence."""
        return self.what if self.short is None else self.short


#: What instruments' sentences say, by words in them, and what it is called in a few.
_FAULTS = (
    ("no reply to", "did not answer"),
    ("did not answer for", "did not answer"),
    ("cannot be opened", "did not answer"),
    ("link broke", "lost its link"),
    ("was switched off and on", "was switched off and on"),
    ("back in step", "answered out of turn"),
    ("out of step", "answered out of turn"),
    ("it is no text", "sent garbage"),
    ("lost its end", "sent a reply cut short"),
    ("were asked for", "sent a wrong count of numbers"),
    ("something that is no number", "sent a word for a number"),
    ("no finite number", "sent no finite number"),
    ("overload", "read an overload"),
    ("errors were lost", "lost errors of its own"),
    ("does not know a command", "refused a command"),
)
_AGAIN = re.compile(r"answers again after ([\d.e+-]+) s")
_INSTRUMENT = re.compile(
    r"^(?:state unknown: )?(?:[\w.-]+: )?(?P<name>[\w.-]+?)(?: at \S+?)?(?: reports)?(?:: | (?=did not answer))(?P<said>.+)$",
    re.S,
)
_ADDRESS = re.compile(r" at [A-Za-z]+\d*::\S+(?=[: ])")
_FOLDERS = re.compile(r"(?<!\S)/\S*/(?=[^\s/])")
_NUMBER = re.compile(r"Step (\d+)")
_STUCK = re.compile(r"^(?P<name>.+?) repeats itself to the last bit")
_CHANGED = re.compile(r"from .+ to \S+")
_QUIET = ("If this computer dies now", "A tick takes ")
_AT_SESSION = re.compile(r"(?P<who>[^:]+) (?P<did>froze the device|made the device safe) at its session: (?P<why>.*)", re.S)
_LATE = re.compile(r"its client (?P<who>.+?) (?:was silent for [\d.]+ s|is gone without a word)")
_PAST = {
    "pause": "paused",
    "stop": "stopped",
    "abort": "aborted",
    "freeze": "frozen",
    "safe": "made safe",
    "skip": "stage skipped",
}
_VAGUE = frozenset({"comms", "disturbed", "not held", "hold lost", "not safe"})
_OF_ALARMS = {"idle knob": "moved nothing", "drift": "drifts", "oscillation": "oscillates"}


def of_instrument(text: str) -> tuple[str, str] | None:
    """Get the instrument that a sentence is about and what was wrong with it, in a few words; None: it is about none."""
    found = _INSTRUMENT.match(text)
    if found is None:
        return None
    said = found["said"]
    known = next((words for part, words in _FAULTS if part in said), None)
    return found["name"], known or f"reports: {clause(said)}"


def clause(text: str, most: int = 80) -> str:
    """Get the beginning of a sentence, as far as it says what is the matter."""
    text = _FOLDERS.sub("", _ADDRESS.sub("", text))
    first = re.split(r"(?<=[a-z)])[.;] |\. |; | \(", " ".join(text.split()), maxsplit=1)[0].rstrip(".")
    return first if len(first) <= most else f"{first[: most - 3].rstrip()}..."


def step_named(text: str) -> int | None:
    """Get the training step that a sentence names at its begin."""
    found = _NUMBER.match(text)
    return None if found is None else int(found[1])


def rig_mark(at: float, text: str, step: int | None) -> Mark | None:
    """Make the mark of a sentence that a rig told; None for what is normal."""
    if (stuck := _STUCK.match(text)) is not None:
        return Mark(at, Part.CAUSE, f"{stuck['name']} is stuck", text, stuck["name"], step, ALARM, lasts=True)
    if text.startswith(_QUIET):
        return None
    found = of_instrument(text)
    if found is None:
        return Mark(at, Part.WARNING, clause(text), text, "", step, SMALL)
    name, what = found
    if (again := _AGAIN.search(text)) is not None:
        seconds = float(again[1])
        reveals = f"{name} was off for a while, or its settings changed" if "it was off meanwhile" in text else ""
        return Mark(at, Part.MEND, "", text, name, step, until=at, seconds=seconds, reveals=reveals)
    if "it was armed again" in text:
        return Mark(at, Part.DONE, "armed again", text, name, step)
    if what.startswith("reports: ") and " reports" not in text.split(": ")[0] and _CHANGED.search(text):
        return None  # arming says what it changed
    down = not text.endswith(("It is asked again.", "The reading was left out."))  # those are over with the sentence
    return Mark(at, Part.CAUSE, f"{name} {what}", text, name, step, TOLD, lasts=down)


def alarm_mark(at: float, kind: str, text: str, step: int | None, until: float | None = None) -> Mark:
    """Make the mark of an alarm; `until` is when it was over, None: it was not, or nobody said."""
    text = re.sub(r" \(follows alarm \d+\)$", "", text)
    known = kind in _VAGUE
    if kind in ("jump", "disturbed", "disk"):  # it happened, and is over
        until = at
    lasts = until is None
    if kind == "comms" and (found := of_instrument(text)) is not None:
        return Mark(at, Part.CAUSE, f"{found[0]} {found[1]}", text, found[0], step, ALARM, until, lasts)
    if kind == "disturbed":
        found = of_instrument(text)
        key = "" if found is None else found[0]
        what = f"{key or 'the device'} was disturbed in the middle of a step"
        return Mark(at, Part.EFFECT, what, text, key, step, ALARM, until, short="")
    if kind == "not held":
        why = re.search(r"hold (\w+)( \([^)]*\))?", text)
        said = "" if why is None else f" ({why[1]}{'' if why[2] is None else ', ' + why[2].strip(' ()')})"
        what = f"theta was not held{said}"
        return Mark(at, Part.EFFECT, what, text, kind, step, LOST, until, lasts, short="theta was not held")
    if kind == "saturated" and "learning asks" in text:
        knobs = re.search(r"more than (.+?) can give", text)
        what = f"learning went to the limit of {'a knob' if knobs is None else knobs[1]}"
        return Mark(at, Part.EFFECT, what, text, kind, step, ALARM, until, lasts)
    if kind == "saturated":
        return Mark(at, Part.CAUSE, "the source of the nudge was held back", text, kind, step, ALARM, until, lasts)
    if kind in _OF_ALARMS:
        knobs = re.match(r"([^:]{1,60}):", text)
        name = kind if knobs is None else knobs[1]
        return Mark(at, Part.CAUSE, f"{name} {_OF_ALARMS[kind]}", text, f"{kind} {name}", step, ALARM, until, lasts)
    if kind.startswith("interlock "):
        return Mark(at, Part.CAUSE, f"{kind} tripped", text, kind, step, LOST, until, lasts)
    if kind == "jump":
        jumped = re.search(r"(parameter \d+|an output) went much further", text)
        what = f"a jump: {clause(text)}" if jumped is None else f"{jumped[1]} jumped"
        return Mark(at, Part.CAUSE, what, text, kind, step, ALARM, until)
    what = {
        "comms": "readings were lost or stale",
        "hold lost": "theta was not held any more",
        "not safe": "not all of it could be made safe",
        "disk": "the disk is nearly full",
    }.get(kind, f"{kind}: {clause(text)}")
    weight = UNSURE if kind == "not safe" else ALARM
    short = "" if kind == "comms" else None
    return Mark(at, Part.EFFECT if known else Part.CAUSE, what, text, kind, step, weight, until, lasts, short=short)


def standing_mark(at: float, state: str, text: str, step: int | None, who: str = "") -> Mark | None:
    """Make the mark of a device that stands, FROZEN, SAFE or UNKNOWN; None where a run that finished left it so."""
    if re.match(rf"{re.escape(RUN)}\S+ {RunState.FINISHED}\b", text):
        return None
    words = {"frozen": "frozen", "safe": "made safe"}.get(state, "state unknown")
    if re.match(rf"{re.escape(RUN)}\S+ ({'|'.join(RunState)})\b", text):
        return Mark(at, Part.DONE, words, text, "", step)
    weight = {"frozen": FROZEN, "safe": SAFE}.get(state, UNSURE)
    if (late := _LATE.search(text)) is not None:
        name = "the run" if late["who"].startswith(RUN) else late["who"]
        what = f"{name} was not heard, so the device was frozen"
        return Mark(at, Part.CAUSE, what, text, "client", step, weight, lasts=True, short="frozen by its session")
    if who and who != "session" and not who.startswith((RUN, "interlock")):
        return Mark(at, Part.PERSON, f"{words} by {who}", text, "standing", step, ASKED, lasts=True)
    what = f"{words}: {clause(text.removeprefix('state unknown: '))}"
    return Mark(at, Part.EFFECT, what, text, "standing", step, weight, lasts=True, short=words)


def command_mark(at: float, word: str, text: str, step: int | None) -> Mark | None:
    """Make the mark of what a person asked of a run, or of a step that was left."""
    if word == "partial":
        number = _NUMBER.match(text)
        what = "a step was left in its middle" if number is None else f"step {int(number[1]):,} left in its middle"
        return Mark(at, Part.EFFECT, what, text, "partial", step, LOST)
    if word == "continue":
        return Mark(at, Part.MEND, "", text, "standing", step, until=at)
    if (asked := _AT_SESSION.search(text)) is not None:
        return _asked_at_session(at, asked, step, lasts=False)
    if word not in _PAST:
        return None
    by = text.partition(": ")[0].removeprefix(f"{word} by ")
    stands = word in ("pause", "freeze")
    weight = SMALL if word in ("pause", "stop", "skip") else ASKED
    return Mark(at, Part.PERSON, f"{_PAST[word]} by {by}", text, "standing" if stands else word, step, weight, lasts=stands)


def _asked_at_session(at: float, asked: re.Match[str], step: int | None, *, lasts: bool) -> Mark:
    words = "frozen" if asked["did"].startswith("froze") else "made safe"
    who = asked["who"].removeprefix("Aborted: ").strip()
    return Mark(at, Part.PERSON, f"{words} by {who}", asked["why"], "standing", step, ASKED, lasts=lasts)


def state_mark(at: float, state: str, text: str, step: int | None) -> Mark | None:
    """Make the mark of a change of a run's state; None where nothing is wrong with it."""
    if (asked := _AT_SESSION.search(text)) is not None and state in (RunState.PAUSED, RunState.ABORTED):
        return _asked_at_session(at, asked, step, lasts=state == RunState.PAUSED)
    if state == RunState.RUNNING:
        return Mark(at, Part.MEND, "", text, "standing", step, until=at)
    if state == RunState.PAUSED:
        return Mark(at, Part.EFFECT, "paused", text, "standing", step, SMALL)
    if state in (RunState.FAILED, RunState.DIVERGED):
        found = of_instrument(text)
        key, what = ("", f"{state}: {clause(text)}") if found is None else (found[0], f"{found[0]} {found[1]}")
        return Mark(at, Part.EFFECT, what, text, key, step, ENDED, short=f"the run {state}")
    if state in (RunState.ABORTED, RunState.STOPPED):
        what = f"{state}: {clause(text.partition(': ')[2] or text)}"
        return Mark(at, Part.EFFECT, what, text, state, step, SMALL, short=f"the run {state}")
    return None


def marks_of_session(events: Iterable[SessionEvent]) -> Iterator[Mark]:
    """Make the marks of a session's own events, in their order."""
    over = {}
    kept = list(events)
    for event in kept:
        if event.kind == "alarm over":
            over[event.text.partition(": ")[0]] = event.t
    for event in kept:
        mark = _mark_of_session(event, over)
        if mark is not None:
            yield mark


def _mark_of_session(event: SessionEvent, over: dict[str, float]) -> Mark | None:
    t, text = event.t, event.text
    match event.kind:
        case "rig":
            return rig_mark(t, text, None)
        case "alarm":
            number, _, rest = text.partition(": ")
            kind, _, said = rest.partition(": ")
            return alarm_mark(t, kind, said, None, over.get(number))
        case "frozen" | "safe" | "unknown":
            return standing_mark(t, event.kind, text, None, event.who)
        case "continue":
            return Mark(t, Part.MEND, f"continued by {event.who}", text, "standing", until=t)
        case "holding" if "held again" in text:
            return Mark(t, Part.MEND, "", text, "hold lost", until=t)
        case "guardian":
            return Mark(t, Part.CAUSE, "the guardian was gone", text, "guardian", weight=TOLD)
        case "lost":  # of a guardian, as those below
            return Mark(t, Part.CAUSE, "the session's process died", text, "session", weight=ENDED)
        case "opened" | "safe by guardian":
            return Mark(
                t, Part.DONE, "made safe by its guardian" if event.kind != "opened" else "opened again by its guardian", text
            )
        case "failed" | "lease" | "unwritten":
            return Mark(t, Part.EFFECT, clause(text), text, "session", weight=UNSURE if event.kind == "failed" else SMALL)
        case "end" if "failed" in text or "not confirmed" in text or "unknown" in text:
            return Mark(t, Part.EFFECT, clause(text), text, "end", weight=UNSURE)
    return None
