"""The end of a run: why it ended, in which state, and how the device is left, confirmed by readback."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from aeqlab.backends.device import Clock, Grade, SafetyReport
from aeqlab.backends.errors import BackendError, DeviceConfigError, DivergedError, UserCodeError
from aeqlab.protocols.errors import (
    AbortRequested,
    CapabilityError,
    CheckpointError,
    DataError,
    FileErrors,
    HoldError,
    Interrupted,
    NotAllowedError,
    ProtocolError,
    SessionLostError,
    StopRequested,
)
from aeqlab.protocols.reports import HoldReport
from aeqlab.protocols.run_state import EXIT_CODES, RunState
from aeqlab.protocols.status import SessionState
from aeqlab.protocols.verdict import WAIT_S, guardian_verdict
from aeqlab.protocols.words import in_unit

BAD_INPUT = 2
#: How the sentence begins that says of a device that every line of its way to rest was confirmed.
MADE_SAFE = "Device safe: "


@dataclass(slots=True)
class End:
    """How a run ends: state, reason in a sentence, exit code; `unforeseen` asks for a traceback in the log."""

    state: RunState
    reason: str
    exit_code: int
    unforeseen: bool = False

    def fail(self, why: str) -> None:
        """Something went wrong while ending: a finish is none any more, and the reason says both."""
        if self.state is RunState.FINISHED:
            self.state, self.reason = RunState.FAILED, why
        else:
            self.reason = f"{self.reason} {why}"
        self.exit_code = self.exit_code or EXIT_CODES[RunState.FAILED]


def end_of(exc: BaseException | None, *, preparing: bool) -> End:
    """Tell from what ended the work in which state the run ends."""
    match exc:
        case None:
            return _end(RunState.FINISHED, "Did everything it was asked to.")
        case StopRequested() if preparing:
            return _end(RunState.STOPPED, f"Stopped before it began: {exc}.")
        case StopRequested():
            return _end(RunState.STOPPED, f"Stopped at a sample boundary: {exc}.")
        case AbortRequested() | Interrupted():
            return _end(RunState.ABORTED, f"Aborted: {exc}.")
        case KeyboardInterrupt():
            return _end(RunState.ABORTED, "Aborted by Ctrl-C, three times.")
        case DivergedError():
            return _end(RunState.DIVERGED, str(exc))
        case DataError() | FileErrors() | CheckpointError() | DeviceConfigError() | CapabilityError() | UserCodeError():
            code = BAD_INPUT if preparing else EXIT_CODES[RunState.FAILED]
            return End(RunState.FAILED, str(exc), code, unforeseen=isinstance(exc, UserCodeError))
        case BackendError() | ProtocolError():
            return End(RunState.FAILED, str(exc), EXIT_CODES[RunState.FAILED], unforeseen=True)
        case MemoryError():
            return _end(RunState.FAILED, "The memory of this computer is used up. A smaller batch or network may fit.")
        case _:
            said = f"{type(exc).__name__}: {exc}".rstrip(": ")
            return End(RunState.FAILED, f"Unexpected error, {said}. log.txt has the details.", 1, unforeseen=True)


def _end(state: RunState, reason: str) -> End:
    return End(state, reason, EXIT_CODES[state])


@dataclass(frozen=True, slots=True)
class Left:
    """How the device was left: one sentence, whether that is as declared, and further lines for the record."""

    text: str
    as_declared: bool
    lines: tuple[str, ...] = ()


def leave_device(operator: Any, then: str, reason: str, target: Any, by: str = "") -> Left:
    """Bring the device to its declared end and read back that it is there.

    Args:
        operator: the device's session.
        then: freeze, safe or hold; or stand, for a device that others go on with. Where it cannot be done the next safer thing
            is: stand, hold -> freeze -> safe.
        reason: why, for the session's own record.
        target: theta to hold.
        by: the person who asked for it, where it is not the run itself that declares it so.
    """
    wrong: list[str] = []
    for way in _INSTEAD[then]:
        try:
            left = _WAYS[way](operator, reason, target, by)
        except SessionLostError as exc:
            return _lost(operator, exc)
        except (BackendError, ProtocolError) as exc:
            wrong.append(f"{way}: {exc}")
        except KeyboardInterrupt:  # code of the user's own does not return
            wrong.append(f"{way}: broken off by Ctrl-C")
        except Exception as exc:  # a device of the user's own may raise anything; the next way is tried all the same
            wrong.append(f"{way}: {type(exc).__name__}: {exc}")
        else:
            if not wrong:
                return left
            return Left(f"Not left as declared ({'; '.join(wrong)}). {left.text}", False, left.lines)
    return Left(f"State of the device unknown. {'; '.join(wrong)}", False)


def _lost(operator: Any, exc: SessionLostError) -> Left:
    """Say of a device whose session is gone what its guardian says, which may take it a moment."""
    folder = getattr(operator, "folder", None)
    with contextlib.suppress(BackendError, ProtocolError):
        operator.status()  # the session is there, and it is the device that does not answer: no guardian has a part in that
        return Left("State of the device unknown. `aeqlab safe` makes it safe once it answers again.", False)
    verdict = None if folder is None else guardian_verdict(folder, WAIT_S)
    if verdict is None:
        told = str(exc) if folder is None else "Its guardian is not done yet; `aeqlab show` and `aeqlab safe` say when it is."
        return Left(f"State of the device unknown. {told}", False)
    return Left(f"{'' if verdict.safe else 'State of the device unknown. '}{verdict.sentence()}", False, verdict.lines)


def _freeze(operator: Any, reason: str, target: Any, by: str) -> Left:
    operator.freeze(reason, by=by)
    status = operator.status()
    if status.state not in (SessionState.FROZEN, SessionState.SAFE):
        raise NotAllowedError(f"the session says that the device is {status.state}, {status.reason}")
    nudge = "nudge commanded off, not read back" if status.nudge_read is None else "nudge off (read back)"
    return Left(f"Device {status.state}: {nudge}, {_knobs(operator)}.", True)


def _safe(operator: Any, reason: str, target: Any, by: str) -> Left:
    report: SafetyReport = operator.make_safe(reason, by=by)
    lines = tuple(
        f"{line.what}: {line.grade}"
        + ("" if line.readback is None else f", reads {line.readback:g}{in_unit(line.unit)}")
        + (f" ({line.note})" if line.note else "")
        for line in report.lines
    )
    counts = {grade: sum(line.grade is grade for line in report.lines) for grade in Grade}
    said = ", ".join(f"{n} {grade}" for grade, n in counts.items() if n) or "nothing was reported"
    failed = counts[Grade.FAILED] > 0 or not report.lines
    if report.safe:
        return Left(f"{MADE_SAFE}{said}.", True, lines)
    return Left(f"Device made safe as far as it can be confirmed: {said}.", not failed, lines)


def _stand(operator: Any, reason: str, target: Any, by: str) -> Left:
    operator.release()
    return Left("Device as it stands, nudge off.", True)


def _hold(operator: Any, reason: str, target: Any, by: str) -> Left:
    operator.release()
    operator.point_interrupt = None
    report: HoldReport = operator.hold(target)
    if not report.accepted:
        k, worst = report.worst
        where = "" if k < 0 else f"; parameter {k} is {worst:.3g} tolerances off"
        raise HoldError(f"theta is not held ({report.verdict}{where})")
    if operator.info.clock is Clock.VIRTUAL:
        return Left(f"Device holds theta ({report.verdict}), nudge off; its time stands still.", True)
    if not getattr(operator, "outlives", False):
        return Left(f"Theta held ({report.verdict}), nudge off; from the end of this program on the knobs stand still.", True)
    ends = ""
    if operator.ends_session:
        operator.ends_session = False
        ends = f" until `aeqlab stop {operator.folder.parent.name}`"
    return Left(f"Device holds theta ({report.verdict}), nudge off; its session goes on holding it{ends}.", True)


def _knobs(operator: Any) -> str:
    u = operator.controls()
    if not len(u):
        return "no control knobs"
    unit = operator.info.controls.unit
    unit = "" if unit == "1" else f" {unit}"
    return f"{len(u)} control knobs read back, {np.min(u):.4g} to {np.max(u):.4g}{unit}"


_WAYS = {"freeze": _freeze, "safe": _safe, "hold": _hold, "stand": _stand}
#: What is tried, in order, where a device is to be left in a way.
_INSTEAD = {
    "stand": ("stand", "freeze", "safe"),
    "hold": ("hold", "freeze", "safe"),
    "freeze": ("freeze", "safe"),
    "safe": ("safe", "freeze"),
}
