"""Pauses of a run: standing still until someone goes on, and going on by itself after it was late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aeqlab.backends.device import Clock
from aeqlab.protocols.errors import AbortRequested, FrozenError, Interrupted, LateError
from aeqlab.protocols.status import SESSION, SessionState

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession

HOLD_AGAIN_S = 0.05  #: wall time between two holds of a pause; the device's session goes on holding meanwhile
LATE_IN_A_ROW = 10  #: samples in a row that may be left because this process was late, before the run gives up


class FreezeRequested(Interrupted):
    """Leave the phase at this tick; the run freezes the device and pauses."""


def pause(session: RunSession, frozen: bool = False) -> None:
    """Stand still until someone goes on. In virtual time nothing passes; on a real device theta goes on being held.

    Args:
        session: the run's.
        frozen: the device is frozen already.
    """
    requests, status, record = session.requests, session.status, session.record
    frozen = _freeze_if_asked(session, frozen)
    if not frozen:
        session.release()
    status.change(record, session.steps, "pausing", requests.why)
    session.checkpoint()
    status.change(record, session.steps, "paused", requests.why)
    while requests.pause and not (requests.stop or requests.abort):
        frozen = _freeze_if_asked(session, frozen)
        session.look(time.monotonic())
        frozen = bool(frozen_by_someone(session)) or frozen  # or even made safe: then this is the end
        if session.info.clock is Clock.WALL and session.presented and not frozen:
            try:
                session.operator.hold(session.target)
            except FreezeRequested:
                continue
            except LateError as exc:  # this computer slept, perhaps: nobody asked for a freeze
                _continue(session, f"Frozen by its session, goes on being held: {exc}")
                continue
            except FrozenError:
                frozen = bool(frozen_by_someone(session))
                if not frozen:
                    raise
                continue
            requests.wait(HOLD_AGAIN_S)
        else:
            requests.wait(0.25)
    if requests.stop or requests.abort:
        return
    if frozen:
        _operator(session).continue_()
    status.change(record, session.steps, "running", requests.why)


def leave_sample(session: RunSession, exc: Interrupted | FrozenError, on_left: Callable[[str], None] | None) -> None:
    """Stand still until someone goes on, where a sample was left by a freeze; go on at once where this process was only late.

    Args:
        session: the run's.
        exc: what left the sample.
        on_left: called with the reason before anything else happens.
    Raises:
        FrozenError: nobody asked for it, so the run ends by it; or so many samples in a row were late that it gives up.
        AbortRequested: someone made the device safe at its session.
    """
    requests = session.requests
    asked = isinstance(exc, FreezeRequested) or requests.freeze
    why = frozen_by_someone(session)
    late = isinstance(exc, LateError) and not asked and not why
    if not (asked or why or late):
        raise exc
    if on_left is not None:
        on_left(str(exc))
    session.clamped = False
    if isinstance(exc, LateError) and late:
        session.late += 1
        go_on_after(session, exc, session.late)
    elif why and not asked:
        requests.ask_pause(why)
        pause(session, frozen=True)
    else:
        pause(session)


def frozen_by_someone(session: RunSession) -> str:
    """Say why the device is frozen if another client of its session asked for it; empty if not.

    What the session froze by itself for an error is none of this: the run ends by that error.

    Raises:
        AbortRequested: another client made the device safe. Whatever theta is now, it is not what the run left.
    """
    operator = _operator(session)
    status = operator.status()
    if status.by in (SESSION, operator.who):
        return ""
    if status.state is SessionState.SAFE:
        session.clamped = False
        session.requests.ask_abort(f"{status.by} made the device safe at its session: {status.reason}", safe=True, by=status.by)
        raise AbortRequested(session.requests.why)
    if status.state is not SessionState.FROZEN:
        return ""
    return f"{status.by} froze the device at its session: {status.reason}. Go on: aeqlab continue {session.folder.name}"


def go_on_after(session: RunSession, late: LateError, in_a_row: int) -> None:
    """Let the device move again after its session froze it because this process was not heard in time.

    Args:
        session: the run's.
        late: what the session said.
        in_a_row: samples in a row that were left for this, the present one included.
    Raises:
        LateError: so many that there is no getting on.
    """
    if in_a_row > LATE_IN_A_ROW:
        raise LateError(
            f"{in_a_row} samples in a row could not be done, because this process was not heard in time. This computer is too "
            f"busy, or its disk too slow: end other programs, then `aeqlab resume`. The last time: {late}"
        ) from late
    _continue(session, f"Frozen by its session, goes on with the next sample: {late}")


def _continue(session: RunSession, text: str) -> None:
    session.say("device", "late", text)
    _operator(session).continue_()


def _freeze_if_asked(session: RunSession, frozen: bool) -> bool:
    if session.requests.freeze and not frozen:
        session.freeze(session.requests.why[:500], by=session.requests.by)
        session.say("device", "frozen", f"Device frozen: {session.requests.why}.")
        return True
    return frozen


def _operator(session: RunSession) -> Any:
    """Get the session of the device as what it is: more than the interface `Operator`."""
    return session.operator
