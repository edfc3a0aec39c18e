"""A run from beginning to end: what it leaves behind, every way of ending, signals, errors of others' code."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_helpers import SMALL, experiment, only_run, read_steps, start_worker, wait_for

from aeqlab.backends.device import Device
from aeqlab.backends.kinds import open_device
from aeqlab.protocols import load_run
from aeqlab.protocols import run as run_module
from aeqlab.protocols.control import send
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.session import Session

LONG = SMALL.replace("beta: 0.2", "beta: 0.2, samples: 1000000")


def ended_well(folder: Path, state: str) -> None:
    """Assert what every end leaves: a closed record of one file, the state in all places, the lock free."""
    run = load_run(folder)
    assert run.missing == []
    assert run.state == state
    assert not run.alive
    assert not (folder / "record.sqlite-wal").exists()
    assert not (folder / "control.json").exists()
    assert not (folder / ".reserve").exists()
    assert run.attempts["state"][-1] == state
    assert run.attempts["ended_at"][-1] >= run.attempts["started_at"][-1]
    assert run.provenance["attempts"][-1]["state"] == state
    assert run.provenance["attempts"][-1]["reason"] == run.reason
    last = run.events["word"][-1]
    assert last == state
    assert "end" in run.events["word"]


def test_a_run_leaves_a_whole_folder(tmp_path: Path) -> None:
    shown: list[Progress] = []
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs", on_progress=shown.append)
    assert (result.state, result.exit_code) == (RunState.FINISHED, 0)
    assert result.device.startswith("Device frozen: nudge off (read back), 7 control knobs read back")
    ended_well(result.folder, "finished")
    names = {path.name for path in result.folder.iterdir()}
    assert names == {"experiment.yaml", "inputs", "provenance.json", "record.sqlite", "checkpoints", "log.txt", ".lock"}
    run = load_run(result.folder)
    assert run.steps["step"].tolist() == list(range(1, 61))
    assert run.steps["theta"].shape == (60, 7)
    assert run.steps["cost_free"][-20:].mean() < run.steps["cost_free"][:20].mean()
    assert run.evaluations["samples"].tolist() == [12]
    assert run.evaluations["cost_free"][0] == result.summary["test_cost_free"]
    assert run.summary["held_rate"] == 1.0
    assert result.summary["best"]["step"] == 60
    assert [state for state, kind in zip(run.events["word"], run.events["kind"], strict=True) if kind == "state"] == [
        "running",
        "finished",
    ]
    assert shown[0].state is RunState.PREPARING
    assert shown[-1].state is RunState.FINISHED
    facts = run.provenance
    assert facts["seed"] == 5
    assert facts["attempts"][0]["versions"]["numpy"] == version("numpy")
    assert facts["data"]["train_samples"] == 60


def test_the_folder_runs_again_and_gives_the_same(tmp_path: Path) -> None:
    first = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    again = run_experiment(load_experiment(first.folder / "experiment.yaml"), runs=tmp_path / "again")
    one, other = load_run(first.folder), load_run(again.folder)
    assert one.theta.tolist() == other.theta.tolist()
    assert one.steps["cost_2"].tolist() == other.steps["cost_2"].tolist()
    full = yaml.safe_load((first.folder / "experiment.yaml").read_text())
    assert full["sequence"][0]["train"]["update"] == "after"  # a default, filled in
    assert full == yaml.safe_load((again.folder / "experiment.yaml").read_text())


def test_methods_with_one_seed_see_the_same_samples(tmp_path: Path) -> None:
    text = SMALL.replace("method: centered, beta: 0.2", "method: centered, beta: 0.2, epochs: 2")
    one = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    other = run_experiment(
        experiment(tmp_path, text.replace("method: centered, beta: 0.2", "method: spsa, learning_rate: 0.02")),
        runs=tmp_path / "runs",
    )
    assert load_run(one.folder).steps["sample"].tolist() == load_run(other.folder).steps["sample"].tolist()


# other people's code ------------------------------------------------------------------------------------------------


class Faulty(Session):
    """A session whose device obeys, and that raises where a test says."""

    where = ""

    def _raise(self, place: str) -> None:
        if self.where == place:
            raise ZeroDivisionError(f"planted in {place}")

    def settle(self) -> Any:
        """Settle, or raise in the tenth nudged phase."""
        self.settled = getattr(self, "settled", 0) + 1
        if self.settled == 10:
            self._raise("settle")
        return super().settle()

    def freeze(self, reason: str, late: bool = False, by: str = "") -> None:
        """Freeze, or raise."""
        self._raise("freeze")
        super().freeze(reason, late, by)

    def close(self) -> None:
        """Close, or raise."""
        self._raise("close")
        super().close()


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Faulty]]:
    """Make every run get a session that raises at a place; returns the sessions made."""

    def plant(where: str) -> list[Faulty]:
        made: list[Faulty] = []

        def opened(settings: Any, *, base: Path, folder: Path) -> Faulty:
            device: Device = open_device(settings.device, seed=settings.seed, base=base)
            session = Faulty(device, homeostasis=settings.homeostasis, settling=settings.settling)
            session.where = where
            made.append(session)
            return session

        monkeypatch.setattr(run_module, "open_operator", opened)
        return made

    return plant


def test_an_error_in_the_middle_leaves_the_device_frozen(tmp_path: Path, faulty: Callable[[str], list[Faulty]]) -> None:
    made = faulty("settle")
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert result.reason == "Unexpected error, ZeroDivisionError: planted in settle. log.txt has the details."
    assert result.device.startswith("Device frozen")
    assert str(made[0].status().state) == "frozen"
    assert made[0].device.closed
    ended_well(result.folder, "failed")
    log = (result.folder / "log.txt").read_text()
    assert "Traceback" in log
    assert "planted in settle" in log
    assert len(load_run(result.folder).steps) == 9


@pytest.mark.parametrize("where", ["freeze", "close"])
def test_a_clean_up_that_raises_is_no_finish(tmp_path: Path, faulty: Callable[[str], list[Faulty]], where: str) -> None:
    made = faulty(where)
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert f"planted in {where}" in result.reason
    ended_well(result.folder, "failed")
    assert len(load_run(result.folder).steps) == 60
    if where == "freeze":  # what is declared could not be done: the next safer thing was
        assert str(made[0].status().state) == "safe"
        assert "Not left as declared (freeze: ZeroDivisionError: planted in freeze)" in result.device


@pytest.mark.parametrize(("then", "said", "state"), [("safe", "Device safe", "safe"), ("hold", "Device holds theta", "holding")])
def test_the_device_is_left_as_declared(
    tmp_path: Path, faulty: Callable[[str], list[Faulty]], then: str, said: str, state: str
) -> None:
    made = faulty("")
    result = run_experiment(experiment(tmp_path, SMALL.replace("then: freeze", f"then: {then}")), runs=tmp_path / "runs")
    assert result.exit_code == 0
    assert said in result.device
    assert str(made[0].status().state) == state


def test_a_device_that_does_not_hold_at_the_end_is_frozen_and_that_is_no_finish(tmp_path: Path) -> None:
    text = SMALL.replace("then: freeze", "then: hold").replace(
        "accept: {ticks: 12}}\nsett", "tolerance: 1.0e-300, max_ticks: 30}\nsett"
    )
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert "Not left as declared (hold: theta is not held (timeout; parameter" in result.device
    assert "Device frozen: nudge off" in result.device
    assert result.device in result.reason
    ended_well(result.folder, "failed")


def test_divergence_is_a_result(tmp_path: Path) -> None:
    text = SMALL.replace("method: centered, beta: 0.2", "method: sgd, learning_rate: 2")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == (RunState.DIVERGED, 5)
    ended_well(result.folder, "diverged")


def test_bad_input_found_in_preparing_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Energy:\n    def __init__(self, **options):\n        raise OSError('no licence')\n")
    text = SMALL.replace("energy: linear", "energy: 'mine.py:Energy'").replace(", options: {frequencies: 3}", "")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == (RunState.FAILED, 2)
    assert "mine.py" in result.reason
    assert "no licence" in result.reason
    assert result.device == "No device was opened."
    ended_well(result.folder, "failed")
    assert (result.folder / "inputs" / "mine.py").exists()


def test_a_runs_folder_that_cannot_be_is_an_error_before_anything(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RecordError, match="is a file"):
        run_experiment(experiment(tmp_path), runs=tmp_path / "runs")


# signals ------------------------------------------------------------------------------------------------------------


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other processes are a matter of POSIX")
def test_ctrl_c_once_stops_and_says_what_the_next_one_does(tmp_path: Path) -> None:
    path = experiment(tmp_path, LONG).path
    assert path is not None
    process = start_worker("run", path, tmp_path / "runs")
    read_steps(process, 20)
    process.send_signal(signal.SIGINT)
    code, said = _ended(process)
    assert code == 3
    assert "Press Ctrl-C again to abort" in said
    assert "stopped: Stopped at a sample boundary: Ctrl-C." in said
    assert "Device frozen" in said
    assert "Traceback" not in said
    run = only_run(tmp_path / "runs")
    ended_well(run.path, "stopped")
    assert not run.steps["partial"].any()
    assert "stopping" in run.events["word"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other processes are a matter of POSIX")
def test_ctrl_c_twice_aborts_at_a_tick(tmp_path: Path) -> None:
    endless = LONG.replace("{ticks: 12}}\nsettling: {accept: {ticks: 12}}", "{ticks: 12}}\nsettling: {accept: {ticks: 1000000}}")
    path = experiment(tmp_path, endless).path
    assert path is not None
    process = start_worker("run", path, tmp_path / "runs")
    runs = tmp_path / "runs"
    wait_for(lambda: any(runs.glob("*/record.sqlite")) and len(only_run(runs).stages) > 0, "the stage to begin")
    for number in (1, 2):  # the second note that arrives after the stage began can only have been taken within the sample
        send(only_run(runs).path, "note", "are you there?")
        wait_for(lambda number=number: len(only_run(runs).notes) == number, "a note to be written down")  # type: ignore[misc]
    process.send_signal(signal.SIGINT)  # the sample would take minutes to end
    assert process.stderr is not None
    assert b"Press Ctrl-C again" in process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, said = _ended(process)
    assert code == 4
    assert "Aborting at the next tick" in said
    assert "Traceback" not in said
    run = only_run(tmp_path / "runs")
    ended_well(run.path, "aborted")
    assert run.steps["partial"].tolist() == [1]  # left in its nudged phase: what it did so far is written down
    assert run.steps["theta"].shape == (1, 7)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other processes are a matter of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_being_terminated_stops(tmp_path: Path, name: str) -> None:
    process = _started_under(tmp_path, signal.SIG_DFL)
    process.send_signal(signal.Signals[name])
    code, said = _ended(process)
    assert code == 3
    assert f"{name}: stopping at the end of this sample" in said
    ended_well(only_run(tmp_path / "runs").path, "stopped")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other processes are a matter of POSIX")
def test_under_nohup_a_run_outlives_its_terminal(tmp_path: Path) -> None:
    process = _started_under(tmp_path, signal.SIG_IGN)
    process.send_signal(signal.SIGHUP)
    steps = read_steps(process, 1)
    read_steps(process, steps + 100)
    process.send_signal(signal.SIGTERM)
    code, said = _ended(process)
    assert code == 3
    assert "SIGHUP" not in said


def _started_under(folder: Path, at_hangup: signal.Handlers) -> subprocess.Popen[bytes]:
    """Start a run as a terminal or as nohup does, and wait until it trains."""
    path = experiment(folder, LONG).path
    assert path is not None
    before = signal.signal(signal.SIGHUP, at_hangup)
    try:
        process = start_worker("run", path, folder / "runs")
    finally:
        signal.signal(signal.SIGHUP, before)
    read_steps(process, 20)
    return process


# a full disk --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """Mount a disk of 20 MB, where this is allowed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_a_disk_that_fills_ends_the_run_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    path = experiment(tmp_path, LONG).path
    assert path is not None
    process = start_worker("run", path, small_disk / "runs")
    last = read_steps(process, 5)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            pass
    out, errors = process.communicate(timeout=120)
    last = max([last, *map(int, out.split())])
    said = errors.decode()
    assert process.returncode == 1
    assert "the disk is full" in said
    assert "Device frozen" in said
    assert "Traceback" not in said
    run = only_run(small_disk / "runs")
    assert run.steps["step"].tolist() == list(range(1, last + 1))
    assert run.state == "failed"  # written into the room that was kept for it
    ballast.unlink()
    resumed = start_worker("resume", run.path)
    read_steps(resumed, last + 50)
    resumed.send_signal(signal.SIGINT)
    assert _ended(resumed)[0] == 3
    assert run.steps["step"].tolist() == list(range(1, len(run.steps) + 1))


# resume that is refused ---------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    with pytest.raises(RecordError, match="finished; there is nothing to go on with"):
        resume_run(result.folder)


def test_meta_holds_json(tmp_path: Path) -> None:
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    connection = sqlite3.connect(result.folder / "record.sqlite")
    facts = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")}
    connection.close()
    assert facts["state"] == "finished"
    assert facts["units"] == {"theta": "1", "u": "1", "x": "1", "s": "1"}


def test_who_watches_may_fall_over(tmp_path: Path) -> None:
    def broken(progress: Progress) -> None:
        raise BrokenPipeError("the terminal is gone")

    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs", on_progress=broken)
    assert result.exit_code == 0
    assert any("the terminal is gone" in text for text in result.warnings)
