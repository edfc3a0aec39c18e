"""The examples run from beginning to end as scripts, and leave what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aeqlab.protocols import load_experiment, load_run
from aeqlab.protocols.load import Run

pytestmark = pytest.mark.usefixtures("own_state")
EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


def runs_of(example: str, folder: Path) -> tuple[list[Run], str]:
    """Run an example in a folder; its runs in the order they were begun, and what it printed."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / example)],
        cwd=folder, env={**os.environ, "MPLBACKEND": "Agg"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = [load_run(path.parent) for path in (folder / "runs").glob("*/record.sqlite")]
    return sorted(runs, key=lambda run: float(run.attempts["started_at"][0])), done.stdout


def test_first_training(tmp_path: Path) -> None:
    (first, bolder), said = runs_of("first_training.py", tmp_path)
    assert [first.state, bolder.state] == ["finished", "finished"]
    assert first.path.name.split("-", 2)[2].startswith("first-training")
    assert f"cost on the test set: {round(first.summary['test_cost_free'], 4)}\n" in said
    early, late = np.nanmean(first.steps["cost_free"][:50]), np.nanmean(first.steps["cost_free"][-50:])
    assert late < 0.5 * early
    assert (tmp_path / "cost.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert load_experiment(tmp_path / "first-training.yaml").experiment.name == "first-training"


def test_live_rig(tmp_path: Path) -> None:
    (first, second, held), said = runs_of("live_rig.py", tmp_path)
    assert {run.state for run in (first, second, held)} == {"finished"}
    assert list(second.steps["sample"]) == [4, 5, 6, 7]
    assert second.provenance["after"] == first.path.name
    assert list(held.stages["kind"]) == ["hold"]
    assert "frozen - a cell was interrupted by Ctrl-C during advance; rig.continue_() goes on" in said
    assert said.splitlines()[-1] == "Device frozen: done for today."


def test_look_back(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    (one, other), said = runs_of("look_back.py", tmp_path)
    assert "('step', 'parameter')" in said
    with xarray.open_dataset(tmp_path / "theta.nc", engine="h5netcdf") as dataset:
        np.testing.assert_array_equal(dataset["theta"], one.steps["theta"])
    assert (tmp_path / "evaluations.csv").read_text(encoding="utf-8").count("\n") == 2
    assert np.nanmean(other.steps["moved"]) < np.nanmean(one.steps["moved"])


def test_every_example_is_tested_and_readable_as_a_notebook() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    for path in sorted(EXAMPLES.glob("*.py")):
        assert f'"{path.name}"' in here
        assert path.read_text(encoding="utf-8").startswith("# %% [markdown]\n# # ")
