"""One word for every parameter: whether its loop holds it now.

held          within its tolerance, as far as one reading tells: three times read noise are allowed on top
not held      further away
saturated     further away, with its knob at a limit that it would pass
slewing       further away, with its knob still on its way
oscillating   its knob was seen to swing, and theta was not held since
unknown       no loop has the knobs now, nothing says where theta should be, or its reading is missing or too old
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Flag, Readout
from aeqlab.protocols.settling import parameter_noise
from aeqlab.protocols.status import SessionState

if TYPE_CHECKING:
    from aeqlab.protocols.session import Session

Array = NDArray[Any]
WORDS = ("unknown", "held", "not held", "slewing", "saturated", "oscillating")
NOISES = 3.0
OLD_TICKS, OLD_S = 3.0, 1.0  #: a reading is too old after so many ticks and so many s, in s of the device


def knob_verdicts(
    session: Session,
    newest: Readout | None,
    older_s: float,
    target: Array | None,
    tolerance: Array | None,
    readbacks: Array | None,
) -> tuple[str, ...]:
    """Say of every parameter whether it is held.

    Args:
        session: whose loop it is.
        newest: the last reading.
        older_s: how much older it has become since it came, in s of the device.
        target, tolerance: where theta should be.
        readbacks: control knobs as the device reports them; None: not known.
    """
    n, info = session.info.n_parameters, session.info
    if session.owner != "loop" or newest is None or newest.flags & (Flag.LOST | Flag.AWAY):
        return (WORDS[0],) * n
    if session.holds_inside:
        held = session.standing[0] is SessionState.HOLDING and not session.not_held
        return (WORDS[1 if held else 0],) * n
    if target is None or tolerance is None or newest.parameters is None:
        return (WORDS[0],) * n
    controller = session.controller
    error = target - np.asarray(newest.parameters, dtype=np.float64)
    off = ~(np.abs(error) <= tolerance + NOISES * parameter_noise(info))
    found = np.where(off, 2, 1)
    if len(controller.u) == n:
        if readbacks is not None and newest.flags & Flag.SLEWING:
            found[off & (np.abs(readbacks - controller.u) > 0.51 * info.controls.step + 1e-9)] = 3
        rails = (controller.u <= controller.low) | (controller.u >= controller.high)
        wanted_back = (error * controller.gain < 0) == (controller.u >= controller.high)
        found[off & rails & ~wanted_back] = 4
    swings = session.swinging
    if swings is not None and len(swings) == n:
        found[swings] = 5
    ages = newest.parameter_ages_s
    age = older_s + (0.0 if ages is None else np.asarray(ages))
    found[np.broadcast_to(age > OLD_TICKS * (info.tick_s or 0.0) + OLD_S, found.shape)] = 0
    return tuple(WORDS[k] for k in found.tolist())
