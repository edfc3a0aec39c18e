"""What a session says of itself: its state, what happened to it, and who holds it.

Plain frozen data, so that it crosses a socket and goes into a record as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SessionState(StrEnum):
    """What a session is doing with its device."""

    IDLE = "idle"  #: no nudge, loops standing still, ready
    HOLDING = "holding"  #: a homeostatic loop owns the control knobs
    NUDGED = "nudged"  #: a nudge other than zero is on
    FROZEN = "frozen"  #: nudge off, knobs frozen, loops stopped; reading goes on; nothing moves until `continue`
    SAFE = "safe"  #: frozen, knobs at rest, outputs off; nothing moves until `continue`
    #: the device does not answer, its last owner died, or making it safe failed: make it safe, or take it as it is by `continue`
    UNKNOWN = "unknown"


#: States in which every call that would move something is refused.
STANDING = frozenset({SessionState.FROZEN, SessionState.SAFE, SessionState.UNKNOWN})

#: What it does on the way to SAFE, as its status tells.
MAKING_SAFE = "make safe"

#: What the session calls itself in its events, and how the names of runs begin; everyone else is a person.
SESSION, RUN = "session", "run "


def is_person(who: str) -> bool:
    """Tell whether a name in the events of a session is a person's: of a command, a notebook, a window."""
    return bool(who) and who != SESSION and not who.startswith(RUN)


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something that happened: wall time in seconds since 1970 (UTC), a word for its kind, a sentence, and who caused it."""

    t: float
    kind: str
    text: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """Where a session stands.

    Attributes:
        state, reason: what it is doing, and why it stands still where it does, or why theta is not held.
        knobs: who owns the control knobs: "nobody", "loop", or the name of a person or a run.
        control: client that holds the control token ("" : nobody does).
        clients: everyone connected.
        beta: nudge that is on, or staged.
        device, t: name of the device, and its time in seconds at the last readout (nan: none yet).
        doing: command being carried out ("" : none).
        by: who brought it to stand, in FROZEN, SAFE and UNKNOWN ("" otherwise).
        late: it is frozen only because a client was not heard in time; that client may go on by itself.
        nudge_read: the nudge that the device itself told after the last freeze; None where it cannot tell, or was not frozen.
        alarms, alarm: how many are active or not acknowledged, and the first cause in a sentence.
        standing: number of the standing; it counts up whenever someone, or the session, asks for one. `continue` may name it.
    """

    state: SessionState
    reason: str
    knobs: str
    control: str
    clients: tuple[str, ...]
    beta: float
    device: str
    t: float
    doing: str = ""
    by: str = ""
    late: bool = False
    standing: int = 0
    nudge_read: float | None = None
    alarms: int = 0
    alarm: str = ""
