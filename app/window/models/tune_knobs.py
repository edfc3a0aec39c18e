"""What the table of knobs shows: of each, how well it is held, how fast it settles, its gains and what was identified of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.app.window.models.rig_now import OLD_S, OLD_TICKS
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.protocols.gains import Gains

Array = NDArray[Any]
COLUMNS: tuple[tuple[str, str, str], ...] = (  # name, title, tip
    ("settle", "Settles (s)", "When theta came within its tolerance to stay, in the newest trace; nothing: it was not measured"),
    ("error", "Error (tol)", "Theta less its target, in units of its tolerance, as it was read last; grey where that is old"),
    ("factor", "Speed", "How many times the standard gains, which follow from k, tau and d; nothing: gains were given"),
    ("room", "Gain margin", "Factor on all gains at which theta begins to swing for good; by k, tau and d of the knob alone"),
    ("phase", "Phase (°)", "Phase margin, by k, tau and d of the knob alone"),
    ("kp", "Kp", "Proportional gain in use, u per theta"),
    ("ki", "Ki (1/s)", "Integral gain in use, u per theta and second"),
    ("kd", "Kd (s)", "Derivative gain in use, u per theta times seconds"),
    ("gain", "k", "How far theta goes with its knob, as identified or as the device says"),
    ("lag_ms", "tau (ms)", "Lag with which theta follows its knob, as identified or as the device says"),
    ("dead_ms", "d (ms)", "Dead time before theta follows, as identified or as the device says"),
)


@dataclass(frozen=True, slots=True)
class Knobs:
    """The knobs of a device at one moment.

    Attributes:
        names: of the control knobs.
        rows: by the names of `COLUMNS`, shape (knobs,); nan for what is not known.
        states: of each: held, not held, saturated, slewing, oscillating, unknown.
        old: the errors were read too long ago.
    """

    names: tuple[str, ...] = ()
    rows: dict[str, Array] | None = None
    states: tuple[str, ...] = ()
    old: bool = True


def knobs_of(view: SessionView | None, gains: Gains | None, settle: Array | None, now: float | None = None) -> Knobs:
    """Make the table's numbers.

    Args:
        view: of the session as it was heard last.
        gains: in use; None: not told yet.
        settle: when each knob settled in the newest trace, s; None: none is there.
        now: by time.monotonic; left out: now.
    """
    info = None if view is None else view.info
    if view is None or info is None:
        return Knobs()
    n, seen = len(info.controls), view.seen
    rows = {name: np.full(n, np.nan) for name, _, _ in COLUMNS}
    if settle is not None and len(settle) == n:
        rows["settle"] = settle
    old = True
    if seen is not None and seen.error is not None and seen.tolerance is not None and len(seen.error) == n:
        rows["error"] = np.asarray(seen.error) / np.asarray(seen.tolerance)
        late = (time.monotonic() if now is None else now) - view.heard_at
        old = bool(view.lost) or not seen.since_s + late <= max(OLD_S, OLD_TICKS * (info.tick_s or 0.0) / info.speed)
    if gains is not None and len(gains.names) == n:
        rows |= {name: getattr(gains, name) for name in ("factor", "kp", "ki", "kd", "gain")}
        rows |= {"room": gains.gain_margin, "phase": gains.phase_margin_deg}
        rows |= {"lag_ms": 1e3 * gains.lag_s, "dead_ms": 1e3 * gains.dead_time_s}
    states = seen.verdicts if seen is not None and len(seen.verdicts) == n else ("",) * n
    return Knobs(tuple(info.controls.names), rows, tuple(states), old)


def in_few_words(names: tuple[str, ...], chosen: list[int]) -> str:
    """Name some knobs: all of them, a few by name, or the first and how many more."""
    if not chosen:
        return f"all {len(names)} knobs"
    said = ", ".join(names[k] for k in chosen[:4] if k < len(names))
    return f"{said} and {len(chosen) - 4} more" if len(chosen) > 4 else said
