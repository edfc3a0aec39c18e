"""Numbers as a person reads them: sensible digits, a prefix where the unit takes one, never one where it does not."""

from __future__ import annotations

import math

#: Units that are read with a prefix (mV, us); "mtol" or "mdeg C" would only puzzle.
PREFIXED = frozenset({"V", "A", "s", "Hz", "W", "Ohm", "Ω", "F", "H", "J", "V/s", "m"})
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))
NONE = "no value"


def written(value: float, unit: str = "", digits: int = 3) -> str:
    """Write a number with its unit, such as "12.3 mV", "0.42 tol" or "1.2e-05".

    Args:
        value: what to write; nan becomes "no value".
        unit: as on the axis; "" or "1" is a number without unit.
        digits: how many count.
    """
    if math.isnan(value):
        return NONE
    unit = "" if unit == "1" else unit
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}∞ {unit}".rstrip()
    if unit in PREFIXED and value:
        size, prefix = _prefix(abs(float(f"{value:.{digits}g}")))
        return f"{_plain(value / size, digits)} {prefix}{unit}"
    return f"{_plain(value, digits)} {unit}".rstrip()


def labelled(name: str, unit: str) -> str:
    """Write a name with its unit in brackets, as in the head of a column."""
    return f"{name} ({unit})" if unit and unit != "1" else name


def span_of_seconds(seconds: float) -> str:
    """Write a span of time: "0.3 s", "4 min 10 s", "3 h 20 min"."""
    if seconds < 60:
        return written(seconds, "s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _prefix(size: float) -> tuple[float, str]:
    for factor, prefix in _PREFIXES:
        if size >= factor:
            return factor, prefix
    return _PREFIXES[-1]


def _plain(value: float, digits: int) -> str:
    """Write without an exponent where that stays short."""
    if value == 0:
        return "0"
    decade = math.floor(math.log10(abs(float(f"{value:.{digits}g}"))))
    if -4 <= decade < 6:
        return f"{value:.{max(digits - 1 - decade, 0)}f}"
    return f"{value:.{digits}g}"
