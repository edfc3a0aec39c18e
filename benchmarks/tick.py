"""One tick of a simulated device: advance, control law (16), set_controls. Its floor: the vector operations it needs.

python benchmarks/tick.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _bench import Bench

from aeqlab.backends.kinds import SimulatedSettings, open_device

TICKS = 2000


def held_ticks(**settings: Any) -> Callable[[], None]:
    """Hold theta against a nudge by eqs. 16-17, as a controller does."""
    device = open_device(SimulatedSettings(**settings), seed=0, base=Path())
    rng = np.random.default_rng(0)
    info = device.info
    n = info.samples or 1
    device.present(rng.uniform(0, 1, (n, len(info.inputs))))
    device.nudge(rng.normal(size=(n, len(info.outputs))), 0.1)
    assert info.response is not None
    rate = 1 / (4 * float(info.response.lag_s.min()))
    readout = device.advance()
    assert readout.parameters is not None
    theta = readout.parameters + 0.01

    def run() -> None:
        u = device.controls()
        for _ in range(TICKS):
            readout = device.advance()
            u = u + readout.dt * rate * (theta - readout.parameters)
            device.set_controls(u)

    return run


def floor() -> Callable[[], None]:
    """Ten operations on vectors of 21: three of (15), four of its energies, three of (16)."""
    a, b = np.ones(21), np.ones(21)

    def run() -> None:
        for _ in range(TICKS):
            for _ in range(6):
                a + b
            for _ in range(4):
                a.dot(b)

    return run


if __name__ == "__main__":
    bench = Bench("one tick of a simulated device, held")
    bench.compare(
        ("ten vector operations", floor()),
        ("linear, 21 parameters", held_ticks(energy="linear"), "< 20 us"),
        ("linear, batch of 8", held_ticks(energy="linear", batch=8), ""),
        ("linear, cosh coupling", held_ticks(energy="linear", coupling="cosh"), ""),
        ("spring, 14 parameters", held_ticks(energy="spring"), ""),
        ("hopfield 6-4-2, 38 parameters", held_ticks(energy="hopfield"), ""),
        per=TICKS,
    )
    bench.show()
