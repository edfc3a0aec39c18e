"""Runs side by side: only what differs, and mean and spread over seeds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from run_helpers import SMALL, experiment

from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_differences import ABSENT, compare_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make runs of one experiment with three seeds, and of another one."""
    folder = tmp_path_factory.mktemp("runs")
    made = [run_experiment(experiment(folder, SMALL, f"seed={seed}"), runs=folder / "runs").folder for seed in (1, 2, 3)]
    other = SMALL.replace("method: centered, beta: 0.2", "method: spsa, learning_rate: 0.02")
    return [*made, run_experiment(experiment(folder, other), runs=folder / "runs").folder]


def test_only_keys_that_differ_are_listed(runs: list[Path]) -> None:
    found = compare_runs(runs[:3])
    assert [(one.key, one.values) for one in found.differences] == [("seed", ("1", "2", "3"))]
    both = {one.key: one.values for one in compare_runs(runs[2:]).differences}
    assert both["sequence.0.train.method"] == ("centered", "spsa")
    assert both["sequence.0.train.learning_rate"][1] == "0.02"
    assert not any(key.startswith("data") for key in both)
    assert found.missing == ()


def test_seeds_of_one_experiment_have_a_mean_and_a_spread(runs: list[Path]) -> None:
    found = compare_runs(runs)
    assert [group.runs for group in found.groups] == [(0, 1, 2), (3,)]
    values = [line.summary["test_cost_free"] for line in found.lines[:3]]
    (spread,) = (one for one in found.groups[0].found if one.name == "test_cost_free")
    assert spread.count == 3
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.spread == pytest.approx(np.std(values, ddof=1))
    (alone,) = (one for one in found.groups[1].found if one.name == "test_cost_free")
    assert np.isnan(alone.spread)


def test_one_that_cannot_be_read_stands_there_with_what_is_wrong(runs: list[Path], tmp_path: Path) -> None:
    broken = Path(shutil.copytree(runs[0], tmp_path / "broken"))
    (broken / "experiment.yaml").write_text("name: [", encoding="utf-8")
    found = compare_runs([*runs[:2], broken])
    assert [one.key for one in found.differences] == ["seed"]
    assert found.differences[0].values == ("1", "2", ABSENT)
    assert any(said.startswith("broken: ") for said in found.missing)
    assert [group.runs for group in found.groups] == [(0, 1), (2,)]
