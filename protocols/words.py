"""Costs, counts and times in words, the same in the progress line and wherever else a run is told of."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: Which cost a number is; a cost read under a nudge is never called anything that could be taken for the free one.
COSTS = {
    "cost_free": "cost",
    "cost_1": "cost under beta_1",
    "cost_2": "cost under beta_2",
    "cost_probe": "cost of a probe",
}


def cost_in_words(name: str) -> str:
    """Say which cost it is."""
    return COSTS.get(name, name.replace("_", " "))


def count_in_words(done: float, total: float | None, unit: str = "") -> str:
    """Say how much is done, of how much: 12/1,000, or 3.5/60 s."""
    said = "/".join(f"{n:,}" if isinstance(n, int) else f"{n:,.4g}" for n in (done, total) if n is not None)
    return f"{said} {unit}".rstrip()


def duration_in_words(seconds: float) -> str:
    """Say how long something takes: 0.4 s, 12 s, 3 min 20 s, 5 h 07 min, 2 d 3 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def range_in_words(values: Iterable[float]) -> str:
    """Say from where to where numbers go, in three digits: 0.2 to 0.5, or 0.2; what is nan is left out."""
    known = [f"{value:.3g}" for value in sorted(float(value) for value in values if not math.isnan(value))]
    return " to ".join(dict.fromkeys((known[0], known[-1]))) if known else "not known"


def square_in_words(unit: str) -> str:
    """Say a unit as a record has it: (V)^2 is V², and what is no unit is nothing."""
    plain = f"{unit[1:-3]}²" if unit.startswith("(") and unit.endswith(")^2") else unit
    return "" if plain in ("1", "1²") else plain


def in_unit(unit: str) -> str:
    """Get what follows a number: a blank and its unit, or nothing for a plain number."""
    return "" if unit == "1" else f" {unit}"
