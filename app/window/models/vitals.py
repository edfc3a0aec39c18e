"""The one-second line: held, step, sham, room to the rails, skipped, age; each measured, or said to be unknown."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.status import STANDING
from aeqlab.protocols.words import in_unit

Array = NDArray[np.float64]
LAST = 20  #: steps over which means are taken
LONGEST = 20  #: letters of a knob's name in the line


class Mood(Enum):
    """How a figure is meant: as it should be, to be looked at, wrong, or not known."""

    GOOD = "good"
    WATCH = "watch"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Vital:
    """One figure: a short text such as "worst u07 0.4 tol", what it means in a sentence, and how it is meant."""

    name: str
    text: str
    meaning: str
    mood: Mood = Mood.UNKNOWN


def vitals_of(run: RunView | None, session: SessionView | None, now: float | None = None) -> tuple[Vital, ...]:
    """Work out the figures of the line.

    Args:
        run, session: that are shown.
        now: by time.monotonic; left out: now.
    """
    now = time.monotonic() if now is None else now
    return (
        held(run, session), step_size(run), sham(run), to_rail(run, session), skipped(run), oldest(run, session, now),
    )  # fmt: skip


def held(run: RunView | None, session: SessionView | None) -> Vital:
    """Say how well theta was held at the last clamp: the worst knob, in tolerances."""
    meaning = "The knob that was farthest from its target when the knobs were clamped last, in units of its tolerance."
    if run is None or not run.rows("steps"):
        return Vital("held", "held: not known", meaning)
    error, verdicts = run.column("steps", "hold_error"), run.column("steps", "hold_verdict")
    at = _last_number(error)
    if at is None and len(verdicts) and str(verdicts[-1]) == Verdict.EXACT:
        return Vital(
            "held", "held: by the device itself", "The device holds theta exactly; there is no error to measure.", Mood.GOOD
        )
    if at is None:
        return Vital("held", "held: not measured", f"{meaning} None of the last {LAST} steps has such an error.")
    worst = run.column("steps", "hold_worst")
    k = int(worst[at]) if len(worst) > at and math.isfinite(float(worst[at])) else 0
    verdict = str(verdicts[at])
    value = float(error[at])
    mood = Mood.GOOD if value <= 1.0 else Mood.WRONG
    word = "held" if value <= 1.0 else "not held"
    stands = not run.alive if session is None else bool(session.lost) or session.state in STANDING
    if stands:  # nothing holds theta now, or nobody knows
        mood, word = Mood.UNKNOWN, f"at the last clamp {word}"
    name = _knob(run, session, k)
    return Vital("held", f"{word}, worst {_short(name)} {value:.2g} tol ({verdict})", f"{meaning} It is {name}.", mood)


def step_size(run: RunView | None) -> Vital:
    """Say how large a step is against what theta moves in a sham step, which is noise alone."""
    meaning = f"How far theta moves in a step, by how far it moves in a sham step (noise alone); means of the last {LAST}."
    real, false = _moves(run)
    if not len(real):
        return Vital("step", "step: not known", meaning)
    if not len(false):
        return Vital("step", f"step {real.mean():.2g}, noise not measured", f"{meaning} No sham step was done: train.sham_every.")
    if not false.mean() > 0:
        return Vital("step", "step without noise", meaning, Mood.GOOD)
    ratio = float(real.mean() / false.mean())
    return Vital(
        "step", f"step {ratio:.2g} x noise", meaning, Mood.GOOD if ratio >= 3 else Mood.WATCH if ratio >= 1 else Mood.WRONG
    )


def sham(run: RunView | None) -> Vital:
    """Say how far a sham step moves theta, by a real step: it should be nothing."""
    meaning = f"How far theta moves although nothing is nudged, by a real step; mean and its error over the last {LAST}."
    real, false = _moves(run)
    if not len(real) or not len(false) or not real.mean() > 0:
        return Vital("sham", "sham: not measured", f"{meaning} Sham steps are done where train.sham_every says so.")
    share = false / real.mean()
    spread = f" ± {share.std(ddof=1) / math.sqrt(len(share)):.2g}" if len(share) > 1 else ""
    return Vital("sham", f"sham {share.mean():.2g}{spread}", meaning, Mood.GOOD if share.mean() < 0.3 else Mood.WATCH)


def to_rail(run: RunView | None, session: SessionView | None) -> Vital:
    """Say how much room is left to the limit of the control knob that has least: now, or when a trace was written last."""
    meaning = "The least room a control knob has to the limit that it is nearest to"
    if session is not None and session.info is not None and session.setpoints is not None:
        knobs = session.info.controls
        u, low, high = (np.asarray(one, dtype=np.float64) for one in (session.setpoints, knobs.low, knobs.high))
        when = "were heard last" if session.lost else "are now"
        names, unit, meaning = knobs.names, knobs.unit, f"{meaning}, by the setpoints as they {when}."
    elif run is not None and "knobs" in run.facts and (last := _last_knobs(run)) is not None:
        facts = run.facts["knobs"]
        u, n = last, len(last)
        low, high = (np.array([np.nan if one is None else one for one in facts[end][:n]]) for end in ("low", "high"))
        names, unit, meaning = facts["names"], facts["unit"], f"{meaning}, at the end of the last trace that was written."
    else:
        return Vital("rail", "to rail: not known", f"{meaning}.")
    room = np.fmin(u - low, high - u)
    if not np.isfinite(room).any():
        return Vital("rail", "to rail: no limits", "The control knobs of this device have no limits.", Mood.GOOD)
    share = room / np.where(np.isfinite(high - low), high - low, np.inf)
    k = int(np.nanargmin(np.where(np.isfinite(high - low), share, room)))
    mood = (
        Mood.GOOD if not share[k] <= 0.1 or not np.isfinite(high[k] - low[k]) else Mood.WATCH if share[k] > 0.01 else Mood.WRONG
    )
    if session is not None and session.lost:
        mood = Mood.UNKNOWN
    return Vital("rail", f"to rail {room[k]:.2g}{in_unit(unit)} {_short(str(names[k]))}", f"{meaning} It is {names[k]}.", mood)


def _last_knobs(run: RunView) -> Array | None:
    """Get the control knobs at the end of the last trace that has them, the first 64; None where none has."""
    for trace in reversed(run.column("traces", "u")[-4:]):
        if trace is not None and getattr(trace, "ndim", 1) == 2 and len(trace):
            return np.asarray(trace[-1], dtype=np.float64)
    return None


def skipped(run: RunView | None) -> Vital:
    """Say how many samples were presented and not learned from."""
    meaning = "Samples that were presented and not used, because theta was not held or something disturbed the step."
    used, false = (np.empty(0), np.empty(0)) if run is None else (run.column("steps", "used"), run.column("steps", "sham"))
    if not len(used) or run is None:
        return Vital("skipped", "skipped: not known", meaning)
    if run.part < 1.0 and not run.steps_read:
        return Vital("skipped", "skipped: being counted", meaning)
    whole = run.part == 1.0
    count = int(((used == 0) & (false == 0)).sum()) if whole else run.skipped
    share = count / (len(used) if whole else run.steps_read)
    return Vital(
        "skipped", f"skipped {count:,}", meaning, Mood.GOOD if share < 0.01 else Mood.WATCH if share < 0.1 else Mood.WRONG
    )


def oldest(run: RunView | None, session: SessionView | None, now: float) -> Vital:
    """Say how old the oldest reading is."""
    meaning = "Age of the oldest of the values that were read last: measured by the device, and since then by this computer."
    if session is not None and session.readout is not None and session.info is not None:
        ages = [
            np.max(part, initial=0.0)
            for part in (session.readout.output_ages_s, session.readout.parameter_ages_s)
            if part is not None
        ]
        age = float(max(ages, default=0.0)) / session.info.speed
        age += max(0.0, now - session.heard_at) + (session.seen.since_s if session.seen is not None else 0.0)
        limit = 5 * (session.info.tick_s or 0.1) / session.info.speed
        return Vital("age", f"oldest reading {age:.1f} s", meaning, Mood.GOOD if age <= max(limit, 1.0) else Mood.WRONG)
    if run is not None and run.alive and run.rows("steps"):
        age = max(0.0, time.time() - float(run.column("steps", "at")[-1]))
        return Vital("age", f"last step {age:.1f} s ago", "Since the last training step was written down.", Mood.GOOD)
    return Vital("age", "oldest reading: none", meaning)


def _moves(run: RunView | None) -> tuple[Array, Array]:
    """Get how far theta moved in the last real and in the last sham steps."""
    if run is None or not run.rows("steps"):
        return np.empty(0), np.empty(0)
    moved, used, false = (run.column("steps", name) for name in ("moved", "used", "sham"))
    if not len(moved) == len(used) == len(false):
        return np.empty(0), np.empty(0)
    fine = np.isfinite(moved)
    real, sham_ = moved[fine & (used == 1) & (false == 0)], moved[fine & (false == 1)]
    return np.asarray(real[-LAST:], dtype=np.float64), np.asarray(sham_[-LAST:], dtype=np.float64)


def _last_number(values: Array) -> int | None:
    """Get the place of the last number among the last steps; None where all are empty."""
    tail = values[-LAST:]
    places = np.flatnonzero(np.isfinite(tail))
    return None if not len(places) else len(values) - len(tail) + int(places[-1])


def _short(name: str) -> str:
    """Cut a long name, which would leave the other figures no room."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _knob(run: RunView | None, session: SessionView | None, k: int) -> str:
    names: Any = session.info.controls.names if session is not None and session.info is not None else ()
    if not len(names) and run is not None:
        names = run.facts.get("knobs", {}).get("names", ())
    return str(names[k]) if k < len(names) else f"u{k:02}"
