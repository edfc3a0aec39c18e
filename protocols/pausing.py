"""Pauses of a run: standing still until someone goes on, and going on by itself after it was late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import DisturbedError
from aeqlab.protocols.errors import AbortRequested, FrozenError, Interrupted, LateError, NotAllowedError
from aeqlab.protocols.status import MAKING_SAFE, SESSION, STANDING, SessionState

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession

HOLD_AGAIN_S = 0.05  #: wall time between two holds of a pause; the device's session goes on holding meanwhile
MOST_DISTURBED = 10  #: samples in a row that may be left because something of the device broke, before the run gives up
STANDS_S = 2.0  #: wall time in which a device stands after its loops were told to leave, unless it is on its way to rest
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
    while True:
        seen = _stand_still(session, frozen)
        if requests.stop or requests.abort:
            return
        if seen is None or _lifted(session, seen):
            break
        frozen = True
    status.change(record, session.steps, "running", requests.why)


def _stand_still(session: RunSession, frozen: bool) -> int | None:
    """Hold theta on a real device until someone says how it goes on; the number of the standing if it is frozen by then."""
    requests = session.requests
    seen = _look(session)[1] if frozen else None
    while requests.pause and not (requests.stop or requests.abort):
        frozen = _freeze_if_asked(session, frozen)
        session.look(time.monotonic())
        why, number = _look(session)  # someone may even have made it safe: then this is the end
        frozen = bool(why) or frozen
        seen = number if frozen else None
        if session.info.clock is Clock.WALL and session.presented and not frozen:
            try:
                session.left_by_freeze(lambda: session.operator.hold(session.target))
            except FreezeRequested:
                continue
            except DisturbedError as exc:  # it was mended, and there is no sample that it could spoil
                session.say("warning", "disturbed", str(exc))
                continue
            except LateError as exc:  # this computer slept, perhaps: nobody asked for a freeze
                _lift_late(session, f"Frozen by its session, goes on being held: {exc}")
                continue
            except FrozenError:
                if not frozen_by_someone(session):
                    raise
                continue
            requests.wait(HOLD_AGAIN_S)
        else:
            requests.wait(0.25)
    return seen


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
    if isinstance(exc, FrozenError) and not isinstance(exc, LateError):
        _wait_until_it_stands(session)
    why = frozen_by_someone(session)
    late = isinstance(exc, LateError) and not asked and not why
    if not (asked or why or late):
        raise exc
    if on_left is not None:
        on_left(str(exc))
    session.clamped = session.presented = False  # an input that was only staged is dropped by a freeze
    if isinstance(exc, LateError) and late:
        session.late += 1
        why = go_on_after(session, exc, session.late)
        if not why:
            return
    if why and not asked:
        requests.ask_pause(why)
        pause(session, frozen=True)
    else:
        pause(session)


def drop_sample(session: RunSession, exc: DisturbedError, on_left: Callable[[str], None] | None) -> None:
    """Drop a sample in whose middle something of the device broke: theta goes back to where it was to be held, and it goes on.

    Args:
        session: the run's.
        exc: what happened.
        on_left: called with the reason; what theta reads now is no result of this step.
    Raises:
        DisturbedError: too many samples in a row were left so.
    """
    session.clamped = session.presented = False
    session.disturbed.append(session.record.alarm("disturbed", str(exc)))
    if len(session.disturbed) > MOST_DISTURBED:
        raise exc
    if on_left is not None:
        on_left(str(exc))
    else:
        session.point_for_retry()


def _wait_until_it_stands(session: RunSession) -> None:
    """Wait for whoever stops the device: loops leave at once; the way to rest takes its time, and tells why at its end."""
    until = time.monotonic() + STANDS_S
    while time.monotonic() < until:
        status = _operator(session).status()
        if status.state in STANDING:
            return
        if status.doing == MAKING_SAFE:
            until = time.monotonic() + STANDS_S
        time.sleep(0.01)


def frozen_by_someone(session: RunSession) -> str:
    """Say why the device is frozen if another client of its session asked for it; empty if not.

    What the session froze by itself for an error is none of this: the run ends by that error.

    Raises:
        AbortRequested: another client made the device safe. Whatever theta is now, it is not what the run left.
    """
    return _look(session)[0]


def go_on_after(session: RunSession, late: LateError, in_a_row: int) -> str:
    """Let the device move again after its session froze it because this process was not heard in time, and for nothing else.

    Args:
        session: the run's.
        late: what the session said.
        in_a_row: samples in a row that were left for this, the present one included.
    Returns:
        Why it stays frozen, where another client asked for that meanwhile; empty if it may move.
    Raises:
        LateError: so many that there is no getting on.
        FrozenError: the session froze it for an error meanwhile.
        AbortRequested: another client made the device safe meanwhile.
    """
    if in_a_row > LATE_IN_A_ROW:
        raise LateError(
            f"{in_a_row} samples in a row could not be done, because this process was not heard in time. This computer is too "
            f"busy, or its disk too slow: end other programs, then `aeqlab resume`. The last time: {late}"
        ) from late
    if _lift_late(session, f"Frozen by its session, goes on with the next sample: {late}"):
        return ""
    why = frozen_by_someone(session)
    if not why:
        status = _operator(session).status()
        raise FrozenError(f"{status.device} is {status.state}: {status.reason}. The freeze before it was for being late.")
    return why


def _look(session: RunSession) -> tuple[str, int]:
    """Get why another client stopped the device (see `frozen_by_someone`), and the number of the standing."""
    operator = _operator(session)
    status = operator.status()
    if status.by in (SESSION, operator.who):
        return "", status.standing
    if status.state is SessionState.SAFE:
        session.clamped = False
        session.requests.ask_abort(f"{status.by} made the device safe at its session: {status.reason}", safe=True, by=status.by)
        raise AbortRequested(session.requests.why)
    if status.state is not SessionState.FROZEN:
        return "", status.standing
    why = f"{status.by} froze the device at its session: {status.reason}. Go on: aeqlab continue {session.folder.name}"
    return why, status.standing


def _lifted(session: RunSession, seen: int) -> bool:
    """Let the device move again, because someone said so; goes on pausing where it was stopped anew after they could see it."""
    try:
        _operator(session).continue_(seen)
    except NotAllowedError as exc:
        session.requests.ask_pause(frozen_by_someone(session) or f"{exc} Go on: aeqlab continue {session.folder.name}")
        for state in ("pausing", "paused"):  # anew, for the reason is another
            session.status.change(session.record, session.steps, state, session.requests.why)
        return False
    return True


def _lift_late(session: RunSession, text: str) -> bool:
    """Lift a freeze for being late, whether it still stands or someone lifted it already; False where it is another by now.

    Nobody looks at what a run lifts by itself, so it names what it means: what comes between its look and that is left alone.
    """
    operator = _operator(session)
    status = operator.status()
    if status.state in STANDING:
        if not (status.state is SessionState.FROZEN and status.late):
            return False
        try:
            operator.continue_(status.standing)
        except NotAllowedError:
            return False
    session.say("device", "late", text)
    return True


def _freeze_if_asked(session: RunSession, frozen: bool) -> bool:
    if session.requests.freeze and not frozen:
        session.freeze(session.requests.standing[:500], by=session.requests.by)
        session.presented = False
        session.say("device", "frozen", f"Device frozen: {session.requests.why}.")
        return True
    return frozen


def _operator(session: RunSession) -> Any:
    """Get the session of the device as what it is: more than the interface `Operator`."""
    return session.operator
