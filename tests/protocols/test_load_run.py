"""load_run: arrays with units, live runs, and folders that were damaged."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from run_helpers import SMALL, experiment

from aeqlab.protocols import load_run
from aeqlab.protocols.errors import CheckpointError, RecordError
from aeqlab.protocols.record import Record
from aeqlab.protocols.run import run_experiment


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run of a good many steps."""
    folder = tmp_path_factory.mktemp("run")
    text = SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 10, sham_every: 10")
    return run_experiment(experiment(folder, text), runs=folder / "runs").folder


def test_columns_are_arrays_with_units(finished: Path) -> None:
    run = load_run(str(finished))
    steps = run.steps
    assert len(steps) == 660
    assert steps["cost_free"].dtype == np.float64
    assert steps["step"].dtype == np.int64
    assert steps["hold_verdict"][0] == "ticks"
    assert np.isnan(steps["wrong"]).all()
    assert steps["theta"].shape == (660, 7)
    assert steps.units["theta"] == "1"
    assert steps.units["t"] == "s of the device"
    assert steps.row(3)["step"] == 4
    with pytest.raises(KeyError, match="there is no column 'loss'; there are id, attempt, step"):
        steps["loss"]


def test_theta_is_the_last_one_and_can_be_had_at_any_step(finished: Path) -> None:
    run = load_run(finished)
    steps = run.steps
    np.testing.assert_array_equal(run.theta, steps["theta"][-1])
    np.testing.assert_array_equal(run.theta_at(100), steps["theta"][steps["step"] == 100][-1])
    with pytest.raises(CheckpointError, match="theta of step 9999 was not kept; checkpoints are of step 600"):
        run.theta_at(9999)
    assert run.best["step"] == 600
    np.testing.assert_array_equal(run.best["theta"], run.theta)


def test_sham_steps_are_marked(finished: Path) -> None:
    steps = load_run(finished).steps
    sham = steps["sham"] == 1
    assert sham.sum() == 60
    np.testing.assert_array_equal(steps["beta_1"][sham], steps["beta_2"][sham])
    assert not steps["used"][sham].any()
    assert (steps["moved"][sham] < steps["moved"][~sham].mean()).all()


def test_traces_have_a_row_per_point(finished: Path) -> None:
    traces = load_run(finished).traces
    assert len(traces) >= 1
    assert set(traces["phase"]) <= {"hold", "settle"}
    for t, error, u in zip(traces["t"], traces["error"], traces["u"], strict=True):
        for part in (error, u):
            assert part is None or part.shape == (len(t), 7)


@pytest.mark.parametrize("lengths", [(5, 5, 5), (5, 3, 1), (1,)])
def test_traces_of_any_length_come_back(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    record = Record.create(tmp_path / "record.sqlite", durable=False, facts={})
    for n in lengths:
        record.trace(1, 1, "hold", np.arange(n), np.full((n, 70), float(n)), None)
    record.close()
    traces = load_run(tmp_path).traces
    assert [part.shape for part in traces["error"]] == [(n, 64) for n in lengths]
    assert traces["u"].tolist() == [None] * len(lengths)
    for n, t in zip(lengths, traces["t"], strict=True):
        np.testing.assert_array_equal(t, np.arange(n))


def test_a_damaged_record_is_read_as_far_as_it_goes(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    path = folder / "record.sqlite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    run = load_run(folder)
    steps = run.steps
    assert 0 < len(steps) <= 660
    assert len(run.traces) + len(run.events) > 0  # in the middle of the file are steps or traces
    assert any("record.sqlite" in sentence for sentence in run.missing)
    assert run.provenance["seed"] == 5
    assert run.theta.shape == (7,)


def test_what_is_missing_is_said(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / "record.sqlite").unlink()
    (folder / "provenance.json").write_text("{")
    run = load_run(folder)
    assert run.state == "unknown"
    assert run.provenance == {}
    assert len(run.steps) == 0
    assert run.theta.shape == (7,)  # from the checkpoint
    assert any("provenance.json" in sentence for sentence in run.missing)
    assert any("record.sqlite" in sentence for sentence in run.missing)
    assert "small" in run.experiment


def test_a_folder_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such folder"):
        load_run(tmp_path / "nothing")
    with pytest.raises(RecordError, match="nothing here that a run leaves behind"):
        load_run(tmp_path)


def test_a_newer_record_is_read_with_a_word(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    connection = sqlite3.connect(folder / "record.sqlite")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    run = load_run(folder)
    assert len(run.steps) == 660
    assert "version 7" in run.missing[0]


def test_reading_executes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best-test-cost_free-of-12.aeq").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    (folder / "checkpoints" / "checkpoint-000001-step-1.aeq").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    run = load_run(folder)
    for read in (lambda: run.theta, lambda: run.best):
        with pytest.raises(CheckpointError):
            read()
    assert not (tmp_path / "pwned").exists()


def test_a_schema_whose_names_are_damaged_is_said_too(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    content = bytearray((folder / "record.sqlite").read_bytes())
    place = content.index(b"CREATE TABLE columns")
    content[place - 20 : place + 20] = b"\xcb" * 40
    (folder / "record.sqlite").write_bytes(content)
    run = load_run(folder)
    assert len(run.steps) == 0
    assert any("malformed" in sentence for sentence in run.missing)
