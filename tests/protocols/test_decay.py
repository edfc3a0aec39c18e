"""The decay of couplings and learning rates: by the epochs of a stage, through the rounds of a repetition, and no further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_helpers import SMALL, run_sequence

from aeqlab.protocols.load import Run

INSIDE = SMALL.replace("controller: integral, ", "")


def _rate(run: Run, steps: slice) -> float:
    """Get how far a step goes for its cost, in the middle."""
    rows = run.steps
    return float(np.median((rows["moved"] / np.sqrt(rows["cost_free"]))[steps]))


def test_the_decay_goes_on_through_the_rounds_of_a_repetition(tmp_path: Path) -> None:
    train = "{beta: 0.2, epochs: 1, epsilon_decay: 0.1, shuffle: false}"
    _, run = run_sequence(tmp_path, f"repeat: {{times: 3, sequence: [train: {train}, evaluate: {{samples: 2}}]}}")
    rate = [_rate(run, slice(60 * k, 60 * k + 60)) for k in range(3)]
    assert rate[1] == pytest.approx(0.1 * rate[0], rel=0.35)
    assert rate[2] == pytest.approx(0.1 * rate[1], rel=0.35)


def test_rounds_shorter_than_an_epoch_decay_by_epochs(tmp_path: Path) -> None:
    train = "{beta: 0.2, samples: 30, epsilon_decay: 0.1, shuffle: false}"
    _, run = run_sequence(tmp_path, f"repeat: {{times: 4, sequence: [train: {train}]}}")
    rate = [_rate(run, slice(30 * k, 30 * k + 30)) for k in range(4)]
    assert rate[1] == pytest.approx(rate[0], rel=0.5)
    assert rate[2] == pytest.approx(0.1 * rate[0], rel=0.5)


def test_a_stage_without_decay_does_not_inherit_one(tmp_path: Path) -> None:
    first = "train: {beta: 0.2, epochs: 3, epsilon_decay: 0.1, shuffle: false}"
    _, run = run_sequence(tmp_path, f"{first}\ntrain: {{beta: 0.2, epochs: 1, shuffle: false}}")
    assert _rate(run, slice(180, 240)) == pytest.approx(_rate(run, slice(0, 60)), rel=0.35)


def test_the_learning_rate_of_a_baseline_decays(tmp_path: Path) -> None:
    _, run = run_sequence(
        tmp_path, "train: {method: sgd, learning_rate: 0.02, epochs: 2, epsilon_decay: 0.01, shuffle: false}", INSIDE
    )
    assert _rate(run, slice(60, 120)) == pytest.approx(0.01 * _rate(run, slice(0, 60)), rel=0.35)
