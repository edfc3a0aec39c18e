"""What MAKE SAFE will do to the session that is shown, in a sentence: how many knobs go to rest, how fast, how long it takes."""

from __future__ import annotations

import numpy as np

from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.protocols.words import duration_in_words, in_unit

WHATEVER = "Freeze, ramp every knob to rest within its slew, then outputs off"  #: where nothing more is known


def making_safe(session: SessionView | None) -> str:
    """Say what MAKE SAFE will do, by the setpoints as they were heard last."""
    info = None if session is None or session.lost else session.info
    if session is None or info is None or session.setpoints is None or len(session.setpoints) != len(info.controls):
        return WHATEVER
    knobs = info.controls
    way = np.abs(np.asarray(session.setpoints, dtype=np.float64) - knobs.rest)
    if not len(way) or not np.isfinite(way).all():
        return WHATEVER
    slew = np.asarray(knobs.slew_per_s, dtype=np.float64)
    seconds = float(np.max(way / slew)) / info.speed
    pace = f" at {slew[0]:g}{in_unit(knobs.unit)}/s" if np.isfinite(slew).all() and (slew == slew[0]).all() else ""
    what = f"{len(way)} knobs" if len(way) > 1 else knobs.names[0]
    return f"Freeze, ramp {what} to rest{pace}, then outputs off: {duration_in_words(seconds)} for the ramp"
