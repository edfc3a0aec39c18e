"""What the tests of the slow device share: one opened with chosen imperfections, and time that passes on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Readout
from aeqlab.backends.plant import Plant
from aeqlab.backends.slow import Inside, SlowDevice, SlowSettings

Array = NDArray[np.float64]
CLEAN: dict[str, Any] = {
    "noise_V": 0.0, "output_noise_V": 0.0, "drift_V": 0.0, "stale_rate": 0.0, "lost_rate": 0.0, "dac_bits": 0,
}  # fmt: skip


def described(**changes: Any) -> SlowSettings:
    return SlowSettings.model_validate({"energy": "linear", "epsilon": 0.1, **changes})


def opened(tmp_path: Path, seed: int = 1, *, journal: bool = False, **changes: Any) -> SlowDevice:
    return described(**changes).open(seed=seed, base=tmp_path, journal=tmp_path / "journal" if journal else None)


def plant_of(device: SlowDevice) -> Plant:
    port = device._port
    assert isinstance(port, Inside)
    return port.plant


def run(device: SlowDevice, seconds: float, u: Array | None = None, tick_s: float | None = None) -> Readout:
    if u is not None:
        device.set_controls(u)
    readout = device.advance(tick_s)
    end = readout.t + seconds
    while readout.t < end - 1e-9:
        readout = device.advance(tick_s)
    return readout
