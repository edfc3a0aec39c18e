"""Bump: step the targets of some knobs up and down under homeostasis, and follow what theta does, beside what it should do.

Over an `Operator`, here or at a distance, with the control token and without a nudge. The targets go back to where they were also
where somebody stops it; a device that was frozen meanwhile stays as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.errors import NotAllowedError, ProtocolError
from aeqlab.protocols.gains import Gains
from aeqlab.protocols.predicted import first_correction, step_answer, tick_for
from aeqlab.protocols.reports import HoldReport
from aeqlab.protocols.words import range_in_words

Array = NDArray[Any]
TOLERANCES = 20.0  #: a bump is so many tolerances high where nobody says how high
ROOM = 0.9  #: of the way to the nearest limit of a knob that a bump may need
WAYS = ("up", "back", "down", "back")


@dataclass(frozen=True, slots=True)
class Course:
    """One step of the targets.

    Attributes:
        way: up, down or back.
        t: s since the step, shape (ticks,).
        error: theta less its new target, in tolerances, shape (ticks, parameters); all knobs, not only the bumped ones.
        u: control knobs, shape (ticks, controls).
        step: by how much each bumped target went, shape (bumped,).
        measured, predicted: of the bumped ones, theta less where it was held before the bump, shape (ticks, bumped), in the unit
            of theta; nan in what is predicted where a knob is not known.
        held: whether theta was held at the end; `verdict`: how that hold ended.
    """

    way: str
    t: Array
    error: Array
    u: Array
    step: Array
    measured: Array
    predicted: Array
    held: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Bumped:
    """A bump.

    Attributes:
        knobs, names: the bumped ones.
        unit: of theta.
        size: of each step, shape (bumped,).
        tolerance: of every parameter, shape (parameters,).
        courses: up, back, down, back.
        settle_s: when each bumped theta came within its tolerance to stay, the longest of its courses, shape (bumped,); nan: not.
        overshoot: largest share of a step that it went beyond its target, shape (bumped,).
    """

    knobs: tuple[int, ...]
    names: tuple[str, ...]
    unit: str
    size: Array
    tolerance: Array
    courses: tuple[Course, ...]
    settle_s: Array
    overshoot: Array

    @property
    def sentence(self) -> str:
        """Say it for a person."""
        late = np.flatnonzero(np.isnan(self.settle_s))
        if len(late):
            more = f" and {len(late) - 1} more" if len(late) > 1 else ""
            return f"{self.names[late[0]]}{more} did not come within tolerance after a bump."
        k, over = int(np.argmax(self.settle_s)), 100.0 * float(np.max(self.overshoot, initial=0.0))
        return (
            f"{len(self.knobs)} bumped by {range_in_words(self.size)} {self.unit}: within tolerance after "
            f"{self.settle_s[k]:.3g} s at most ({self.names[k]}), overshoot at most {over:.0f} %."
        )


def bump(
    operator: Any,
    knobs: Sequence[int],
    size: float | None = None,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> Bumped:
    """Bump the targets of some knobs, all at once, and hold theta where it was again.

    Args:
        operator: `Session` or `SessionClient`.
        knobs: indices of control knobs, which are those of their parameters.
        size: of the step, in the unit of theta; None: 20 tolerances of each, as far as the knobs have room.
        progress: told what is done and how much of it, 0 to 1; may raise to leave.
    Raises:
        NotAllowedError: a nudge is on, somebody else has the control token, nothing is known of the gains, or there is no room.
        Interrupted, FrozenError: someone asked for it.
    """
    info: DeviceInfo = operator.info
    gains: Gains = operator.gains()
    which = _checked(info, gains, knobs, size, operator.status())
    tell = progress if progress is not None else lambda what, part: None
    seen = operator.watch()
    if seen.inputs is None:
        operator.present(info.inputs_at_rest)
    tell("holding theta where it is", 0.0)
    first: HoldReport = operator.hold()
    if not first.accepted or first.tolerance is None:
        raise NotAllowedError(
            f"bump: {first.why_not_held or 'theta is not held'}, so nothing can be told from a step. Hold it first."
        )
    base = np.array(operator.watch().target, dtype=np.float64)
    tolerance = np.array(first.tolerance, dtype=np.float64)
    way = _size(info, gains, which, size, tolerance, np.asarray(operator.controls(), dtype=np.float64))
    courses: list[Course] = []
    kept, operator.traces = operator.traces, True
    operator.last_traces()
    at = np.zeros(len(which))
    try:
        for k, name in enumerate(WAYS):
            tell(f"targets {name}", (k + 1) / (len(WAYS) + 1))
            to = {"up": way, "down": -way, "back": np.zeros_like(way)}[name]
            courses.append(_course(operator, info, gains, which, base, tolerance, at, to, name))
            at = to
    except BaseException:
        if hasattr(operator, "point_interrupt"):
            operator.point_interrupt = None  # whoever asked to leave was heard
        with contextlib.suppress(ProtocolError, BackendError):  # what ended it is told; a device that was frozen stays so
            operator.hold_at(base.astype(info.dtype))
        raise
    finally:
        with contextlib.suppress(ProtocolError, BackendError):
            operator.traces = kept
    settle, over = _figures(courses, tolerance[which])
    names = tuple(info.controls.names[k] for k in which)
    return Bumped(tuple(which), names, info.parameters[0].unit, way, tolerance, tuple(courses), settle, over)


def _checked(info: DeviceInfo, gains: Gains, knobs: Sequence[int], size: float | None, status: Any) -> list[int]:
    if gains.why:
        raise NotAllowedError(f"bump: {gains.why}")
    if status.beta or status.state == "nudged":
        raise NotAllowedError(f"bump: a nudge is on at {info.name}. Take it off first.")
    which = [int(k) for k in knobs]
    n = min(len(info.controls), info.n_parameters)
    if not which or len(set(which)) != len(which) or not all(0 <= k < n for k in which):
        raise NotAllowedError(f"bump: choose knobs, by indices from 0 to {n - 1}, each once.")
    if size is not None and not (np.isfinite(size) and size > 0.0):
        raise NotAllowedError("bump: a size above 0 is needed.")
    return which


def _size(
    info: DeviceInfo, gains: Gains, which: list[int], size: float | None, tolerance: Array, u: Array
) -> Array:  # fmt: skip
    """Choose the size of each step: as asked, or as many tolerances as the knobs have room for."""
    knobs = info.controls
    answer = np.abs(np.where(np.isfinite(gains.gain), gains.gain, 1.0))[which]
    room = ROOM * (np.minimum(knobs.high - u, u - knobs.low)[which] * answer)
    wanted = TOLERANCES * tolerance[which] if size is None else np.full(len(which), size)
    least = 3.0 * tolerance[which] if size is None else wanted
    tight = room < least
    if tight.any():
        k = int(np.argmax(tight))
        raise NotAllowedError(
            f"bump: {knobs.names[which[k]]} stands at {u[which[k]]:.4g} {knobs.unit}, which leaves room for "
            f"{max(room[k], 0.0):.3g} {info.parameters[0].unit} of theta, and {least[k]:.3g} are needed. Move it away from its "
            "limit, or bump by less."
        )
    return np.asarray(np.minimum(wanted, room))


def _course(
    operator: Any, info: DeviceInfo, gains: Gains, which: list[int], base: Array, tolerance: Array, at: Array, to: Array, way: str
) -> Course:
    """Step the targets from one place to another, and take the course of that hold."""
    target = base.copy()
    target[which] += to
    before = operator.watch().readout.t
    report: HoldReport = operator.hold_at(target.astype(info.dtype))
    phase = next((one for one in operator.last_traces() if one["phase"] == "hold" and one["error"] is not None), None)
    if phase is None:
        raise NotAllowedError(f"bump: the session of {info.name} gives no courses of a hold.")
    times, error = np.asarray(phase["t"], dtype=np.float64), np.asarray(phase["error"], dtype=np.float64)
    t = times - (before if info.tick_s is None else times[0] - info.tick_s)  # a session ticks by itself between commands
    step = to - at
    return Course(
        way, t, error / tolerance, np.asarray(phase["u"], dtype=np.float64), step, error[:, which] + to,
        at + predicted(gains, info, which, step, t), report.accepted, str(report.verdict),
    )  # fmt: skip


def predicted(gains: Gains, info: DeviceInfo, which: Sequence[int], step: Array, t: Array) -> Array:
    """Foretell theta less where it was, at times t (s, shape (ticks,)) after its target went by `step`; shape (ticks, chosen)."""
    rows = (gains.kp, gains.ki, gains.kd, gains.gain, gains.lag_s, gains.dead_time_s, gains.share)
    kp, ki, kd, gain, lag_s, dead_s, share = (np.asarray(row, dtype=np.float64)[list(which)] for row in rows)
    slew = np.asarray(info.controls.slew_per_s, dtype=np.float64)[list(which)]
    if gains.law == "quasi-static":
        return first_correction(gain, lag_s, dead_s, share, t=t - t[0], step=step, slew_per_s=slew)
    tick = tick_for(info.tick_s, lag_s, dead_s)
    readings = int(np.ceil(float(t[-1]) / tick)) + 1
    found = step_answer(kp, ki, kd, gain, lag_s, dead_s, tick_s=tick, readings=readings, step=step, slew_per_s=slew)
    times = tick * np.arange(1, readings + 1)
    return np.stack([np.interp(t, times, found[:, k]) for k in range(len(which))], axis=1)


def _figures(courses: Sequence[Course], tolerance: Array) -> tuple[Array, Array]:
    """Read off when every bumped theta was within its tolerance to stay, and how far it went beyond its target."""
    settle, over = [], []
    gone: Array = np.zeros(len(tolerance))
    for one in courses:
        gone = gone + one.step
        error = one.measured - gone
        outside = np.abs(error) > tolerance
        last = np.where(outside.any(axis=0), len(outside) - np.argmax(outside[::-1], axis=0), 0)
        settle.append(np.where(last < len(one.t), one.t[np.minimum(last, len(one.t) - 1)], np.nan))
        beyond = (error * np.sign(one.step)).max(axis=0) - tolerance  # within tolerance it is no overshoot
        over.append(np.maximum(beyond, 0.0) / np.abs(one.step))
    return np.max(settle, axis=0), np.max(over, axis=0)
