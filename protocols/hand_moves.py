"""Moving some knobs by hand: in steps no faster than their slew, taken over from the loop for all to see, and left where they are
when someone aborts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.checks import within_limits
from aeqlab.backends.device import Flag, Knobs
from aeqlab.protocols.errors import NotAllowedError

if TYPE_CHECKING:
    from aeqlab.protocols.session import Session

Array = NDArray[Any]
Row = Literal["control", "input"]
LARGE = 0.1  #: a window should ask before a move of more than this share of a knob's range
PATIENCE, MORE_TICKS = 1.5, 20  #: a move may take so many times what its slew needs, and so many ticks more


@dataclass(frozen=True, slots=True)
class Moved:
    """A move that came to its end.

    Attributes:
        names: of the knobs.
        before, asked, after: where they stood, where they were sent, and where the device says they are (None: it does not say,
            as of input knobs), shape (knobs,), in `unit`.
        seconds: what it took of the device's time.
        reached: whether all are there, as far as the device says.
    """

    names: tuple[str, ...]
    unit: str
    before: Array
    asked: Array
    after: Array | None
    seconds: float
    reached: bool


@dataclass(frozen=True, slots=True)
class Jump:
    """How large a move would be.

    Attributes:
        share: of its range that the knob goes which goes furthest; nan for knobs without a range.
        large: whether a window should ask first.
        seconds: how long it takes at least, in s of the device.
        sentence: which knob goes how far, and how fast.
    """

    share: float
    large: bool
    seconds: float
    sentence: str


def large_jump(session: Session, row: Row, knobs: Sequence[int], values: Sequence[float]) -> Jump:
    """Tell whether a move is so large that whoever asks for it should be asked first. Moves nothing.

    Raises:
        NotAllowedError: a knob that is not there, or as many values as knobs are needed.
        LimitError: a value outside the limits of its knob.
    """
    which, asked, described, before = _understood(session, row, knobs, values)
    way = np.abs(asked - before[which])
    span = (described.high - described.low)[which]
    with np.errstate(invalid="ignore"):
        share = np.where(np.isfinite(span) & (span > 0), way / span, np.nan)
    slew = described.slew_per_s[which]
    seconds = float(np.max(way / slew, initial=0.0))
    k = int(np.argmax(np.nan_to_num(share) if np.isfinite(share).any() else way))
    unit = "" if described.unit == "1" else f" {described.unit}"
    pace = f", {seconds:.3g} s at {slew[k]:g}{unit}/s" if np.isfinite(slew[k]) else ", at once"
    part = f", {share[k]:.0%} of its range" if np.isfinite(share[k]) else ""
    others = f" and {len(which) - 1} more" if len(which) > 1 else ""
    sentence = f"{described.names[which[k]]}{others}: from {before[which[k]]:.4g} to {asked[k]:.4g}{unit}{part}{pace}."
    most = float(np.nanmax(share)) if np.isfinite(share).any() else float("nan")
    return Jump(most, most > LARGE, seconds, sentence)


def move_knobs(session: Session, row: Row, knobs: Sequence[int], values: Sequence[float]) -> Moved:
    """Move some knobs; the others stay where they are. Called under the session's lock by the thread that owns the device.

    Raises:
        NotAllowedError, LimitError: as `large_jump`; nothing was moved.
        AbortRequested, FrozenError: someone asked for it; the knobs stay where they had come to.
    """
    which, asked, described, before = _understood(session, row, knobs, values)
    info = session.info
    goal = before.copy()
    goal[which] = asked
    if not session.device.presented:  # time passes only then
        session.present(_batch(session, info.inputs.rest))
    slew = np.where(np.isfinite(described.slew_per_s), described.slew_per_s, np.inf)
    tick = info.tick_s or 0.01
    session.taken_by_hand(row, which)
    goal = np.clip(goal, described.low, described.high)
    at, passed, began = np.clip(before, described.low, described.high), 0.0, None
    need = float(np.max(np.abs(goal - before) / slew, initial=0.0))
    most = PATIENCE * need + MORE_TICKS * tick
    while True:
        room = slew * tick
        at = np.where(np.abs(goal - at) <= room, goal, at + np.clip(goal - at, -room, room))
        _set(session, row, at)
        readout = session.one_tick()
        began = readout.t - readout.dt if began is None else began
        passed = readout.t - began
        there = bool(np.array_equal(at, goal)) and not readout.flags & Flag.SLEWING
        after = np.array(session.device.controls()) if row == "control" else None
        away = 0.0 if after is None else np.abs(after - goal)[which] - 0.51 * described.step[which]
        arrived = bool((away <= 1e-9 * (1.0 + np.abs(asked))).all()) if after is not None else True
        if (there and arrived) or passed > most:
            break
    return Moved(
        tuple(described.names[k] for k in which), described.unit, before[which], asked, None if after is None else after[which],
        passed, there and arrived,
    )  # fmt: skip


def _understood(session: Session, row: str, knobs: Any, values: Any) -> tuple[list[int], Array, Knobs, Array]:
    """Get indices, values, the row of knobs and where all of them stand."""
    info = session.info
    if row not in ("control", "input"):
        raise NotAllowedError(f"move: there are control knobs and input knobs, no {str(row)[:40]!r}.")
    described = info.controls if row == "control" else info.inputs
    which = np.asarray(knobs).ravel().tolist()
    if not which or len(set(which)) != len(which) or not all(float(k).is_integer() and 0 <= k < len(described) for k in which):
        raise NotAllowedError(f"move: {row} knobs are indices from 0 to {len(described) - 1}, each once.")
    which = [int(k) for k in which]
    asked = np.asarray(values, dtype=np.float64).ravel()
    if asked.shape != (len(which),) or not np.isfinite(asked).all():
        raise NotAllowedError(f"move: one finite number for each of the {len(which)} knobs is needed.")
    before = session.knobs_now() if row == "control" else _inputs_now(session)
    whole = np.where(np.isfinite(before), before, described.rest)
    whole = np.clip(whole, described.low, described.high)  # of the others nothing is asked
    whole[which] = asked
    within_limits(f"{row} knob", whole, described)
    return which, asked, described, np.array(before, dtype=np.float64)


def _inputs_now(session: Session) -> Array:
    """Get the input knobs of the first sample; at rest where nothing was presented."""
    inputs = session.inputs
    return np.array(session.info.inputs.rest if inputs is None else inputs[0], dtype=np.float64)


def _batch(session: Session, row: Array) -> Array:
    info = session.info
    inputs = session.inputs
    samples = len(inputs) if inputs is not None else (info.samples or 1)
    return np.tile(row, (samples, 1)).astype(info.dtype)


def _set(session: Session, row: Row, at: Array) -> None:
    if row == "control":
        session.device.set_controls(at.astype(session.info.dtype))
    else:
        session.present(_batch(session, at))
