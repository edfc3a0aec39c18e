"""Judging a bench by its own journal: what the hardware saw, not what an application believes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeqlab.backends.journal import Journal, read_journal

ROOM = 1e-3  #: of a limit or a slew, for the grid of a converter and the times of two rows


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a journal shows of the control knobs, in V, and of the nudge.

    Attributes:
        lowest, highest: of all knobs, ever.
        fastest: change of any knob, in V/s.
        end_low, end_high: where they stand at the end.
        end_current: largest current into an output at the end, in A as it was driven.
        wrong: what must not be, in sentences; empty where all is well.
    """

    lowest: float
    highest: float
    fastest: float
    end_low: float
    end_high: float
    end_current: float
    wrong: tuple[str, ...]


def judge(folder: Path, *, limit_V: float, slew_V_per_s: float, rest_V: float | None = 0.0) -> Judgement:
    """Judge a journal.

    Args:
        folder: of the journal.
        limit_V: no knob may ever be further from 0.
        slew_V_per_s: no knob may ever move faster.
        rest_V: where all knobs must stand at the end, with no nudge on; None: anywhere.
    Raises:
        JournalError: there is no journal.
    """
    journal = read_journal(folder)
    applied, wrong = journal.applied.values, []
    lowest, highest = float(applied.min(initial=0.0)), float(applied.max(initial=0.0))
    fastest = float(np.max(journal.fastest(), initial=0.0))
    end = applied[-1] if len(applied) else np.zeros(1)
    current = _last_current(journal)
    if max(-lowest, highest) > limit_V * (1 + ROOM):
        wrong.append(f"a knob was at {max(-lowest, highest):.6g} V, beyond {limit_V:g} V")
    if fastest > slew_V_per_s * (1 + ROOM):
        wrong.append(f"a knob moved at {fastest:.6g} V/s, faster than {slew_V_per_s:g} V/s")
    if rest_V is not None:
        if (off := float(np.max(np.abs(end - rest_V)))) > 1e-3:
            wrong.append(f"a knob stands {off:.4g} V from rest at the end")
        if current or journal.last_beta():
            wrong.append("a nudge is on at the end")
    return Judgement(lowest, highest, fastest, float(end.min()), float(end.max()), current, tuple(wrong))


def _last_current(journal: Journal) -> float:
    values = journal.currents.values
    return float(np.abs(values[-1]).max(initial=0.0)) if len(values) else 0.0
