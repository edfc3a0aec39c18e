"""What can be read by name: outputs, theta, control knobs, the cost, how the last phase ended, the energy.

`cost` is C at the outputs as they are, under whatever nudge; `cost_free` is that at beta = 0 alone, and not a number elsewhere:
a cost that was read under a nudge is never the loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Readout
from aeqlab.protocols.aeqprop import cost
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.outline import Described
from aeqlab.protocols.quantity_names import ROWS, is_numbered, places
from aeqlab.protocols.reports import HoldReport, SettleReport

Array = NDArray[Any]
MOST_READS = 4096  #: numbers read at one point
#: What is read that is no row of the device: unit, and what it is.
WORDS = {
    "cost": "cost",
    "cost_free": "cost",
    "energy": "1",
    "t": "s",
    "ticks": "1",
    "duration_s": "s",
    "settled": "1",
    "held": "1",
    "hold_error": "tolerances",
}
_HELD = ("held", "hold_error")


@dataclass(frozen=True, slots=True)
class Readable:
    """One number that is read at every point: `s[0]`, `theta[3]`, or one of `WORDS`; `place` is where it stands in its row."""

    name: str
    what: str
    unit: str
    place: int = 0


@dataclass(slots=True)
class Moment:
    """What is there to be read at one moment.

    Attributes:
        readout: of the device.
        theta, controls: vectors, where something asks for them; None elsewhere.
        targets: of the sample presented, shape (samples, outputs); None without one.
        beta: the nudge that is on.
        report: how the phase before it ended; None where nothing was waited for.
        ticks, duration_s: calls of `advance` and time of the device since the point began.
        energy: E at the equilibrium for this theta; nan where nobody asks.
    """

    readout: Readout
    theta: Array | None = None
    controls: Array | None = None
    targets: Array | None = None
    beta: float = 0.0
    report: HoldReport | SettleReport | None = None
    ticks: int = 0
    duration_s: float = 0.0
    energy: float = math.nan


def readables(names: Sequence[str], device: Described) -> list[Readable]:
    """Find what names mean that are to be read; `theta`, `u`, `s` and a block of theta are all of their places.

    Raises:
        CapabilityError: the device has nothing of that name, a name comes twice, or there are too many numbers.
    """
    found = [one for name in names for one in _readable(name, device)]
    twice = next((one.name for k, one in enumerate(found) if one.name in {other.name for other in found[:k]}), None)
    if twice is not None:
        raise CapabilityError(f"{twice} is read twice. Name it once.")
    if len(found) > MOST_READS:
        raise CapabilityError(f"{len(found):,} numbers at every point are too many; at most {MOST_READS:,}. Read some of them.")
    return found


def needs(readable: Readable, *, sample: bool, held: bool) -> str:
    """Say what a reading lacks in this stage; empty where it lacks nothing.

    Args:
        sample: whether a sample is presented, and so a target known.
        held: whether theta is held by homeostasis.
    """
    if readable.what in ("cost", "cost_free") and not sample:
        return f"{readable.name} is counted from the target of a sample, and none is presented. Say which: sample: 0."
    if readable.what in _HELD and not held:
        return f"{readable.name} is of homeostasis, and theta is not held by it here. Leave it out, or parameters: homeostasis."
    return ""


def _readable(name: str, device: Described) -> Iterator[Readable]:
    info, word = device.info, name.strip()
    if word in WORDS:
        if word == "energy" and "KnowsEnergy" not in device.abilities:
            raise CapabilityError(f"energy: {info.name} does not know its energy. Leave it out.")
        unit = WORDS[word]
        yield Readable(word, word, f"({info.outputs.unit})^2" if unit == "cost" else unit)
        return
    found = places(name, info, ("s", "theta", "u"), WORDS)
    units = {"s": info.outputs.unit, "u": info.controls.unit}
    if len(found.index) > MOST_READS:
        raise CapabilityError(f"{name}: {len(found.index):,} {ROWS[found.row]} are too many to read; at most {MOST_READS:,}.")
    for k in found.index.tolist():
        unit = units.get(found.row) or next(b.unit for b in info.parameters if b.start <= k < b.start + b.size)
        own = len(found.index) == 1 and word not in ROWS and not is_numbered(word)  # a name of the device's own stays
        yield Readable(word if own else f"{found.row}[{k}]", found.row, unit, k)


def values(reads: Sequence[Readable], moment: Moment, info: Any) -> Array:
    """Get the numbers of one moment, shape (reads,); nan for what is not there. Outputs are means over the samples."""
    read, report = moment.readout, moment.report
    outputs = np.asarray(read.outputs, dtype=np.float64).mean(axis=0)
    made = np.full(len(reads), np.nan)
    price = math.nan
    if moment.targets is not None and any(one.what in ("cost", "cost_free") for one in reads):
        price = cost(info, read.outputs, moment.targets)
    held = report if isinstance(report, HoldReport) else None
    plain = {
        "cost": price,
        "cost_free": price if moment.beta == 0.0 else math.nan,
        "energy": moment.energy,
        "t": read.t,
        "ticks": float(moment.ticks),
        "duration_s": moment.duration_s,
        "settled": math.nan if report is None else float(report.accepted),
        "held": math.nan if held is None else float(held.accepted),
        "hold_error": math.nan if held is None else held.worst[1],
    }
    rows = {"s": outputs, "theta": moment.theta, "u": moment.controls}
    for k, one in enumerate(reads):
        if one.what in plain:
            made[k] = plain[one.what]
        elif (row := rows[one.what]) is not None:
            made[k] = row[one.place]
    return made


def wants(reads: Sequence[Readable], what: str) -> bool:
    """Tell whether something of a row, or a word, is read."""
    return any(one.what == what for one in reads)
