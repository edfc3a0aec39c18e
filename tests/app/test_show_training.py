"""What `aeqlab show` and the end of `aeqlab run` say of training: which cost was read, and what a method does not do at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aeqlab.app.looking import show_run
from aeqlab.app.running import found_in_words
from aeqlab.protocols import Experiment, run
from aeqlab.protocols.load import Run

PROBING = {"method": "spsa", "learning_rate": 0.005, "perturbation": 0.01, "free_phase": False, "samples": 5}
NUDGING = {"method": "pessimistic", "beta": 0.2, "free_phase": False, "samples": 5}


def trained(folder: Path, *stages: dict[str, object]) -> Run:
    experiment = Experiment(
        name="small", device={"kind": "simulated", "energy": "linear", "options": {"frequencies": 3}},
        data={"kind": "legendre", "samples": 30, "test_samples": 4}, homeostasis={"accept": {"ticks": 12}},
        settling={"accept": {"ticks": 12}}, sequence=[{"train": stage} for stage in stages],
    )  # fmt: skip
    return run(experiment, runs=folder, quiet=True)


def shown(found: Run, capsys: pytest.CaptureFixture[str]) -> str:
    assert show_run(str(found.path), None) == 0
    return capsys.readouterr().out


def test_a_cost_with_theta_moved_to_probe_is_none_under_a_nudge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probing = shown(trained(tmp_path, PROBING), capsys)
    assert "cost of a probe" in probing
    assert "under beta_1" not in probing
    nudging = shown(trained(tmp_path, NUDGING), capsys)
    assert "cost under beta_1" in nudging
    assert "probe" not in nudging


def test_cost_rose_is_said_of_methods_with_a_nudged_phase_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = trained(tmp_path, PROBING)
    assert "cost_rose" not in baseline.summary
    assert not any("rose" in name for name in found_in_words(baseline.summary))
    assert "rose" not in shown(baseline, capsys)
    both = trained(tmp_path, NUDGING, PROBING)
    results = [json.loads(result) for result in both.stages["result"]]
    assert ["cost_rose" in result for result in results] == [True, False]
    assert found_in_words(both.summary)["cost rose under the nudge"] == "0"
