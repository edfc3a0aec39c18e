"""Numbers as an instrument says them: as many as asked for, each finite, none of them an overload."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.drivers.errors import OverloadError, ReplyError

Array = NDArray[Any]
#: Instruments say 9.9E37 for more than they can measure and 9.91E37 for no number (SCPI 1999, 7.2.1); less in single precision.
OVERLOAD = 9.8e37


def numbers(reply: str, count: int, where: str) -> Array:
    """Read the numbers of a reply that has them with commas between, shape (count,).

    Raises:
        OverloadError: some are beyond what the instrument can measure.
        ReplyError: another count, something that is no number, or not finite.
    """
    fields = reply.split(",") if reply.strip() else []
    if len(fields) != count:
        raise ReplyError(f"{where}: {len(fields)} numbers came, {count} were asked for")
    try:
        if "_" in reply:  # Python reads 1_0 as 10; no instrument writes it
            raise ValueError
        values = np.array([float(field) for field in fields])
    except ValueError:
        raise ReplyError(f"{where}: the reply has something that is no number: {reply[:60]!r}") from None
    return finite(values, where)


def finite(values: Array, where: str) -> Array:
    """Get the same numbers, if an integrator may have them.

    Raises:
        OverloadError: some are beyond what the instrument can measure.
        ReplyError: some are not finite.
    """
    if values.dtype.kind != "f" or float(np.vdot(values, values)) < OVERLOAD**2:  # false for NaN; much faster than what follows
        return values
    over = np.flatnonzero(np.abs(values) >= OVERLOAD)
    missing = np.flatnonzero(~np.isfinite(values) | (np.abs(np.abs(values) - 9.91e37) < 5e34))
    if len(missing):
        raise ReplyError(f"{where}: {_places(missing, len(values))} no finite number. Nothing of this reply was taken.")
    if not len(over):  # large numbers, whose squares no float holds
        return values
    raise OverloadError(
        f"{where}: {_places(over, len(values))} an overload, more than the range measures. Choose a larger range or "
        "see what drives it; nothing of this reply was taken.",
        tuple(int(place) for place in over),
    )


def _places(places: Array, count: int) -> str:
    first = ", ".join(str(place + 1) for place in places[:5]) + (", ..." if len(places) > 5 else "")
    return f"number {first} of {count} is" if len(places) == 1 else f"numbers {first} of {count} are each"
