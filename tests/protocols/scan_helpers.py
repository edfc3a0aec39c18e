"""Small experiments for the stages that set and read by name, one on each kind of device."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeqlab.backends.slow_settings import SlowSettings

SIMULATED = """
name: small
seed: 5
device: {kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 2}, control_limits: [-2, 2]}
data: {kind: legendre, degree: 4, samples: 60, test_samples: 12}
homeostasis: {controller: integral}
sequence:
  - evaluate: {samples: 1}
then: freeze
"""
INSIDE = SIMULATED.replace("{controller: integral}", "{controller: ideal}")
SLOW = SIMULATED.replace("kind: simulated", "kind: slow")
ENGINE = """
name: small
seed: 5
device: {kind: hopfield, widths: [4, 6, 2], stop: residual, dtype: float64}
data: {kind: function, function: "data_of_mine.py:make"}
sequence:
  - evaluate: {samples: 1}
then: freeze
"""
DATA = """
import numpy as np

def make(seed):
    x = np.random.default_rng(seed).uniform(0, 1, (20, 4))
    return x, x[:, :2]
"""


def slow_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open the slow device in the run's own process, which saves starting a session each time; `behind_its_session` undoes it."""
    monkeypatch.setattr(SlowSettings, "served", False)


def behind_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the slow device belong to a session process, as it does for everyone else."""
    monkeypatch.setattr(SlowSettings, "served", True)


def with_data(folder: Path) -> None:
    """Write the data of the engine's experiment beside it."""
    (folder / "data_of_mine.py").write_text(DATA, encoding="utf-8")
