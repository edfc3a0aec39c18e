"""The console of a session: a question to one of its instruments, in that instrument's own words, written down with its answer.

Questions alone: what sets something goes through the session, which keeps limits, slew and order. While a loop or a person owns
the knobs, or a nudge is on, only questions that the driver's own table knows to change nothing are sent, between two commands.
Others are sent for the client with the control token while nothing owns the knobs; the instrument's settings are compared after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.limits import bare
from aeqlab.protocols.status import SessionState

if TYPE_CHECKING:
    from aeqlab.backends.rig import Rig
    from aeqlab.protocols.session import Session

LONGEST = 8000  #: letters of an answer that are told
WRITTEN = 500  #: and of one that is written down


def listed(session: Session) -> list[dict[str, Any]]:
    """List the instruments of a session's device; empty where it has none."""
    from aeqlab.backends.rig_console import instruments

    rig = _rig_of(session)
    return [] if rig is None else instruments(rig)


def console(session: Session, instrument: str, text: str, by: str, token: bool) -> str:
    """Ask an instrument; called by the thread that owns the device.

    Args:
        session: whose instrument it is.
        instrument: its name in the rig file.
        text: the question.
        by: who asks.
        token: whether that is the client with the control token.
    Raises:
        NotAllowedError: the question may not be asked now.
        DeviceStateError: it may not be asked at all, or the instrument does not answer.
    """
    from aeqlab.backends.rig_console import converse, is_harmless

    rig = _rig_of(session)
    if rig is None:
        raise NotAllowedError(f"console: {session.info.name} has no instruments to talk to.")
    harmless = is_harmless(rig, instrument, text)
    if not harmless:
        state, owner = session.standing[0], session.owner
        if owner != "nobody" or state in (SessionState.HOLDING, SessionState.NUDGED):
            who = f"{owner} owns the knobs" if owner != "nobody" else f"the device is {state}"
            raise NotAllowedError(
                f"console: {who}, so only questions for settings that the driver knows are sent; {text.strip()[:60]!r} is none."
            )
        if not token:
            raise NotAllowedError(f"console: {text.strip()[:60]!r} is none the driver knows; it needs the control token.")
    reply = converse(rig, instrument, text, look=not harmless)
    session.tell("console", f"{instrument}: {text.strip()} -> {reply.text[:WRITTEN]}", by)
    if reply.changed:
        session.alarm("settings", f"{instrument}: after {text.strip()!r} {', '.join(reply.changed[:4])}. Arm it again.")
    return reply.text[:LONGEST]


def _rig_of(session: Session) -> Rig | None:
    """Get the rig of a session; None for another device, for which nothing of instruments need be loaded."""
    if session.info.kind != "rig":
        return None
    from aeqlab.backends.rig import Rig

    rig = bare(session.device)
    return rig if isinstance(rig, Rig) else None
