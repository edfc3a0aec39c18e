"""Wiggle one knob to find its cable: step it up and down around where it stands, and tell which readouts move, largest first.

It needs no identification. Over an `Operator`, here or at a distance: it works with the control token only, and without a nudge.
The knob goes back to where it stood also where something fails, unless the device was frozen meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, Flag, Knobs, Readout
from aeqlab.backends.errors import BackendError, LimitError
from aeqlab.protocols.errors import NotAllowedError, ProtocolError
from aeqlab.protocols.hand_moves import Row

Array = NDArray[Any]
READS = 5  #: of each half of a wiggle
LAGS = 3.0  #: waited after each step, where they are known
WAIT_TICKS, WAIT_S = 3, 0.3  #: waited where they are not: so many ticks, and so long
MOVES = 5.0  #: a readout moves that changes by more than so many of its noises


@dataclass(frozen=True, slots=True)
class WiggledReadout:
    """How one readout followed.

    Attributes:
        name, unit: of the readout; `what`: parameter, output or monitor.
        change: of its mean from down to up, in its unit.
        noise: standard deviation of that change, from its readings; at least what its resolution or rounding makes.
        noises: |change| / noise.
        moves: whether that is more than 5.
    """

    name: str
    what: str
    unit: str
    change: float
    noise: float
    noises: float
    moves: bool


@dataclass(frozen=True, slots=True)
class Wiggled:
    """What a wiggle found: its knob, where it stood and by how much it went up and down, and the readouts, largest first.

    `back` tells whether the knob was brought back to where it stood.
    """

    knob: str
    unit: str
    stood: float
    size: float
    readouts: tuple[WiggledReadout, ...]
    back: bool

    @property
    def sentence(self) -> str:
        """Say it for a person."""
        moved = [f"{one.name} ({one.noises:.0f} times its noise)" for one in self.readouts if one.moves]
        if not moved:
            return f"{self.knob}: nothing that is read moved with it. It may be unconnected, or the step too small."
        return f"{self.knob} moves {', '.join(moved[:4])}{f' and {len(moved) - 4} more' if len(moved) > 4 else ''}."


def wiggle(
    operator: Any,
    row: Row,
    knob: int,
    size: float,
    times: int = 3,
    *,
    wait_s: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Wiggled:
    """Wiggle a knob.

    Args:
        operator: `Session` or `SessionClient`.
        row, knob: control or input, and the index of the knob.
        size: how far up and how far down from where it stands, in its unit.
        times: how often up and down.
        wait_s: wait after each step, in s of the device; None: by what is known of how it answers.
        progress: told how much is done, 0 to 1; may raise to leave.
    Raises:
        NotAllowedError: without the control token, with a nudge on, or with a knob, a size or a number that cannot be.
        LimitError: the limits leave no room for the step.
        Interrupted, FrozenError: someone asked for it.
    """
    info: DeviceInfo = operator.info
    described: Knobs = info.controls if row == "control" else info.inputs
    status = operator.status()
    if status.beta or status.state == "nudged":
        raise NotAllowedError(f"wiggle: a nudge is on at {info.name}. Take it off first.")
    if row not in ("control", "input") or not 0 <= knob < len(described):
        raise NotAllowedError(f"wiggle: {row} knobs are indices from 0 to {len(described) - 1}.")
    if not (np.isfinite(size) and size > 0.0) or not 1 <= times <= 100:
        raise NotAllowedError("wiggle: a size above 0 is needed, and 1 to 100 times.")
    inputs = operator.watch().inputs
    if inputs is None:
        inputs = info.inputs_at_rest
    operator.present(inputs)
    if row == "control":
        operator.advance()  # so that the knobs are as they stand
    stood = float(operator.controls()[knob] if row == "control" else inputs[0, knob])
    _room(described, knob, stood, size)
    wait = _wait(info) if wait_s is None else wait_s
    halves: dict[int, list[Array]] = {1: [], -1: []}
    back = False
    try:
        for k in range(2 * times):
            side = 1 if k % 2 == 0 else -1
            operator.move_knobs(row, [knob], [stood + side * size])
            operator.advance(wait)
            halves[side].append(_readings(operator))
            if progress is not None:
                progress((k + 1) / (2 * times))
    finally:
        with contextlib.suppress(ProtocolError, BackendError):  # what ended it is told; a device that was frozen stays so
            back = operator.move_knobs(row, [knob], [stood]).reached
    return Wiggled(described.names[knob], described.unit, stood, size, _followed(operator, halves), back)


def _room(described: Knobs, knob: int, stood: float, size: float) -> None:
    low, high = float(described.low[knob]), float(described.high[knob])
    if low <= stood - size and stood + size <= high:
        return
    most = min(stood - low, high - stood)
    unit = "" if described.unit == "1" else f" {described.unit}"
    hint = f"At most {most:.4g}{unit} is possible there." if most > 0 else "Move it away from its limit first."
    raise LimitError(
        f"wiggle: {described.names[knob]} stands at {stood:.4g}{unit}, and {size:.4g}{unit} up and down is outside {low:g} to "
        f"{high:g}{unit}. {hint}"
    )


def _wait(info: DeviceInfo) -> float:
    """Say how long a step takes to be seen, in s of the device."""
    tick = info.tick_s or 0.0
    if info.response is not None:
        known = LAGS * float(np.max(info.response.lag_s)) + float(np.max(info.response.dead_time_s))
        return max(known, tick, 1e-6)
    return max(WAIT_TICKS * tick, WAIT_S)


def _readings(operator: Any) -> Array:
    """Read so often, shape (READS, readouts); nan for what was not read anew."""
    rows = []
    for _ in range(READS):
        readout: Readout = operator.advance()
        row = np.concatenate([
            np.zeros(0) if readout.parameters is None else np.asarray(readout.parameters, dtype=np.float64),
            np.asarray(readout.outputs, dtype=np.float64).mean(axis=0),
            _monitors(operator, readout.dt),
        ])  # fmt: skip
        rows.append(np.full_like(row, np.nan) if readout.flags & (Flag.LOST | Flag.AWAY) else row)
    return np.stack(rows)


def _monitors(operator: Any, dt: float) -> Array:
    """Get the monitors; nan for those that were not read in the last tick."""
    found = operator.watch().monitors
    return np.array([value if age <= 1.01 * dt + 1e-9 else np.nan for value, _, age in found.values()])


def _followed(operator: Any, halves: dict[int, list[Array]]) -> tuple[WiggledReadout, ...]:
    """Work out how every readout followed: the mean of up less that of down, and its noise from the readings within halves."""
    info: DeviceInfo = operator.info
    names = [(f"{block.name}[{k}]", "parameter", block.unit) for block in info.parameters for k in range(block.size)]
    if halves[1][0].shape[1] < len(names) + len(info.outputs):  # theta is kept inside, and not read
        names = []
    names += [(name, "output", info.outputs.unit) for name in info.outputs.names]
    names += [(name, "monitor", unit) for name, (_, unit, _) in operator.watch().monitors.items()]
    up, down = (np.concatenate(halves[side]) for side in (1, -1))
    found = []
    for k, (name, what, unit) in enumerate(names):
        a, b = up[np.isfinite(up[:, k]), k], down[np.isfinite(down[:, k]), k]
        if not len(a) or not len(b):
            continue
        within = [half[np.isfinite(half[:, k]), k] for side in (1, -1) for half in halves[side]]
        freedom = sum(len(one) - 1 for one in within if len(one) > 1)
        square = sum(float(((one - one.mean()) ** 2).sum()) for one in within if len(one) > 1) / max(freedom, 1)
        floor = 1e-9 * (1.0 + max(abs(float(a.mean())), abs(float(b.mean()))))
        noise = max(float(np.sqrt(square * (1.0 / len(a) + 1.0 / len(b)))), floor)
        change = float(a.mean() - b.mean())
        found.append(WiggledReadout(name, what, unit, change, noise, abs(change) / noise, abs(change) > MOVES * noise))
    return tuple(sorted(found, key=lambda one: -one.noises))
