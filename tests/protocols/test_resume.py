"""Killed at any moment: every acknowledged step is there, and a resumed run is the uninterrupted one, bit for bit."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from run_helpers import SMALL, experiment, only_run, read_steps, same_runs, start_worker, wait_for

from aeqlab.protocols import load_run
from aeqlab.protocols.client import find_sessions
from aeqlab.protocols.errors import CheckpointError, RecordError
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.record import Record, StepRow
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_folder import RunFolder
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.sequence import place_in_words

# three epochs, a decaying coupling, sham steps, evaluations on the way, a sequence within the sequence
RICH = """
name: rich
seed: 11
device: {kind: simulated, energy: linear, epsilon: 0.2, options: {frequencies: 3}}
data: {kind: legendre, degree: 4, samples: 40, test_samples: 6}
homeostasis: {controller: integral, accept: {ticks: 10}}
settling: {accept: {ticks: 10}}
sequence:
  - restore: {theta: random, spread: 0.2}
  - train: {method: centered, beta: 0.2, epochs: 3, epsilon_decay: 0.8, sham_every: 7, evaluate_every: {epochs: 1}}
  - repeat:
      times: 2
      sequence:
        - train: {method: optimistic, beta: 0.3, samples: 25, update: difference}
        - evaluate: {samples: 4}
  - train: {method: spsa, learning_rate: 0.02, samples: 20}
  - restore: {theta: best}
  - evaluate: {}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the rich experiment once without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    result = run_experiment(experiment(folder, RICH), runs=folder / "runs")
    assert result.state is RunState.FINISHED
    return load_run(result.folder)


def _kill_and_resume(folder: Path, whole: Run, moments: list[int], every_s: str) -> None:
    """Kill a run each time so many steps more are acknowledged, resume, and compare with the whole one."""
    path = experiment(folder, RICH).path
    assert path is not None
    words: list[str | Path] = ["run", path, folder / "runs"]
    acknowledged, last = 0, int(whole.steps["step"][-1])
    for moment in moments:
        process = start_worker(*words, CHECKPOINT_EVERY_S=every_s, STAYS_AT=last)
        acknowledged = max(acknowledged, read_steps(process, moment))
        process.kill()
        out, _ = process.communicate()
        acknowledged = max([acknowledged, *map(int, out.split())])
        run = only_run(folder / "runs")
        assert run.state == "interrupted"
        assert run.missing == []
        assert set(range(1, acknowledged + 1)) <= set(run.all_steps["step"].tolist())
        words = ["resume", run.path]
    before = len(run.all_steps)
    result = resume_run(run.path)
    assert result.state is RunState.FINISHED, result.reason
    same_runs(only_run(folder / "runs"), whole)
    assert len(run.all_steps) > before  # nothing was deleted
    assert run.attempts["attempt"].tolist() == list(range(1, len(moments) + 2))


@pytest.mark.parametrize(
    ("moments", "every_s"),
    [([3, 60, 130], "0.05"), pytest.param([170, 150, 185], "30", marks=pytest.mark.slow), ([45], "0")],
)
def test_killed_and_resumed_is_the_same_bit_for_bit(tmp_path: Path, whole: Run, moments: list[int], every_s: str) -> None:
    _kill_and_resume(tmp_path, whole, moments, every_s)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path: Path, whole: Run) -> None:
    rng = random.Random(20261123)
    last = int(whole.steps["step"][-1])
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        _kill_and_resume(folder, whole, [rng.randrange(1, last - 1)], rng.choice(["0", "0.02", "0.2", "30"]))


def test_what_an_attempt_found_is_not_told_once_the_next_one_begins(tmp_path: Path) -> None:
    requests = Requests()
    result = run_experiment(
        experiment(tmp_path), runs=tmp_path / "runs", requests=requests,
        on_progress=lambda now: requests.ask_stop("the test") if now.state is RunState.RUNNING else None,
    )  # fmt: skip
    assert "seconds" in load_run(result.folder).summary
    told: list[dict[str, object]] = []
    resume_run(result.folder, on_progress=lambda now: told.append(load_run(result.folder).summary))
    assert told[0] == {}  # as it is when a kill ends this attempt
    assert load_run(result.folder).summary["steps"] == 60


def test_stopped_and_resumed_is_the_same_bit_for_bit(tmp_path: Path, whole: Run) -> None:
    requests = Requests()
    stops = iter([7, 77, 155])
    folder: Path | None = None
    state = None
    while state is not RunState.FINISHED:
        requests = Requests()
        at = next(stops, 10**9)

        def watch(progress: Progress, requests: Requests = requests, at: int = at) -> None:
            if progress.state is RunState.RUNNING and len(only_run(tmp_path / "runs").steps) >= at:
                requests.ask_stop("the test")

        if folder is None:
            result = run_experiment(experiment(tmp_path, RICH), runs=tmp_path / "runs", requests=requests, on_progress=watch)
            folder = result.folder
        else:
            result = resume_run(folder, requests=requests, on_progress=watch)
        state = result.state
        assert state in (RunState.STOPPED, RunState.FINISHED), result.reason
    same_runs(load_run(folder), whole)
    assert len(load_run(folder).attempts) >= 2


def test_a_stop_before_a_resumed_stage_goes_on_loses_nothing_of_it(
    tmp_path: Path, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, commit = Requests(), Record.step

    def commit_and_stop(self: Record, row: StepRow) -> None:
        commit(self, row)
        if row.step == 130:  # in the sequence within the sequence
            requests.ask_stop("the test")

    monkeypatch.setattr(Record, "step", commit_and_stop)
    result = run_experiment(experiment(tmp_path, RICH), runs=tmp_path / "runs", requests=requests)
    assert result.state is RunState.STOPPED
    assert load_run(result.folder).stages["path"][-1] == "2.0.0"
    for _ in range(2):
        again = Requests()

        def at_once(progress: Progress, requests: Requests = again) -> None:
            if progress.state is RunState.RUNNING:
                requests.ask_stop("the test")

        assert resume_run(result.folder, requests=again, on_progress=at_once).state is RunState.STOPPED
    assert resume_run(result.folder).state is RunState.FINISHED
    same_runs(load_run(result.folder), whole)


def folder_of(folder: Path) -> Path | None:
    """Find the run folder in a test's folder, if its record is there."""
    return next((path.parent for path in (folder / "runs").glob("*/record.sqlite")), None)


def _stopped(folder: Path, text: str = SMALL.replace("beta: 0.2", "beta: 0.2, samples: 100000")) -> Path:
    """Make a run that was stopped after some steps and has two checkpoints."""
    requests = Requests()

    def watch(progress: object) -> None:
        run = folder_of(folder)
        if run is not None and len(load_run(run).steps) >= 10:
            requests.ask_stop("the test")

    result = run_experiment(experiment(folder, text), runs=folder / "runs", requests=requests, on_progress=watch)
    assert result.state is RunState.STOPPED
    assert len(list((result.folder / "checkpoints").glob("checkpoint-*"))) == 2
    return result.folder


def test_a_damaged_newest_checkpoint_is_stepped_over(tmp_path: Path) -> None:
    folder = _stopped(tmp_path)
    newest = max((folder / "checkpoints").glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:100])
    requests = Requests()
    requests.ask_stop("at once")
    requests.stop = False

    def watch(progress: Progress) -> None:
        if progress.state is RunState.RUNNING and len(load_run(folder).steps) >= 3:
            requests.ask_stop("the test")

    result = resume_run(folder, requests=requests, on_progress=watch)
    assert result.state is RunState.STOPPED
    assert any(newest.name in text and "damaged" in text for text in result.warnings)
    assert load_run(folder).steps["attempt"].tolist() == [2] * len(load_run(folder).steps)


def test_two_damaged_checkpoints_are_a_sentence(tmp_path: Path) -> None:
    folder = _stopped(tmp_path)
    for path in (folder / "checkpoints").glob("checkpoint-*"):
        path.write_bytes(b"")
    before = (folder / "record.sqlite").read_bytes()
    with pytest.raises(CheckpointError, match="cannot be resumed; its record can"):
        resume_run(folder)
    assert (folder / "record.sqlite").read_bytes() == before
    assert np.isfinite(load_run(folder).theta).all()


def test_a_changed_experiment_is_not_resumed(tmp_path: Path) -> None:
    folder = _stopped(tmp_path)
    path = folder / "experiment.yaml"
    path.write_text(path.read_text().replace("beta: 0.2", "beta: 0.3"))
    with pytest.raises(CheckpointError, match="was changed since the run began"):
        resume_run(folder)


def test_a_run_in_use_is_not_resumed(tmp_path: Path) -> None:
    folder = _stopped(tmp_path)
    held = RunFolder.take(folder)
    with pytest.raises(RecordError, match="is in use by process"):
        resume_run(folder)
    held.release()


def test_changed_data_are_not_resumed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    table = tmp_path / "points.csv"
    np.savetxt(table, rng.uniform(-1, 1, (40, 2)), delimiter=",", header="x,y", comments="")
    text = SMALL.replace("{kind: legendre, degree: 4, samples: 60, test_samples: 12}",
                         "{kind: table, path: points.csv, inputs: [x], targets: [y]}")  # fmt: skip
    folder = _stopped(tmp_path, text.replace("beta: 0.2", "beta: 0.2, samples: 100000"))
    kept = folder / "inputs" / "points.csv"
    kept.write_text(table.read_text() + "0.5,0.5\n")
    result = resume_run(folder)
    assert (result.state, result.exit_code) == (RunState.FAILED, 2)
    assert f"{kept}: not the data this run began with" in result.reason


def test_a_resume_that_fails_in_preparing_supersedes_nothing(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    points = "x,y\n" + "".join(f"{k / 50:g},{k % 7 / 7:g}\n" for k in range(40))
    table.write_text(points)
    text = SMALL.replace("{kind: legendre, degree: 4, samples: 60, test_samples: 12}",
                         "{kind: table, path: points.csv, inputs: [x], targets: [y]}")  # fmt: skip
    folder = _stopped(tmp_path, text.replace("beta: 0.2", "beta: 0.2, samples: 100000"))
    newest = max((folder / "checkpoints").glob("checkpoint-*"))
    newest.write_bytes(b"")  # the one before is from the beginning: every row came after it
    table = folder / "inputs" / "points.csv"
    table.write_text(points + "0.5,0.5\n")
    before = load_run(folder).steps["step"].tolist()
    result = resume_run(folder)
    assert (result.state, result.exit_code) == (RunState.FAILED, 2)
    assert load_run(folder).steps["step"].tolist() == before
    table.write_text(points)
    requests = Requests()

    def watch(progress: Progress) -> None:
        if load_run(folder).steps["attempt"].tolist().count(3) >= 3:
            requests.ask_stop("the test")

    assert resume_run(folder, requests=requests, on_progress=watch).state is RunState.STOPPED
    assert set(load_run(folder).steps["attempt"].tolist()) == {3}


SERVED = """
name: served
seed: 2
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}}
data: {kind: legendre, degree: 3, samples: 100, test_samples: 5}
homeostasis: {controller: integral, accept: settled}
settling: {accept: settled}
sequence:
  - train: {method: centered, beta: 0.1, samples: 6}
  - evaluate: {samples: 2}
"""


@pytest.mark.slow
def test_a_run_on_a_served_device_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = run_experiment(experiment(tmp_path / "whole", SERVED), runs=tmp_path / "whole" / "runs")
    assert whole.state is RunState.FINISHED, whole.reason
    path = experiment(tmp_path, SERVED).path
    assert path is not None
    process = start_worker("run", path, tmp_path / "runs", CHECKPOINT_EVERY_S=0.2, STAYS_AT=6)
    read_steps(process, 3)
    process.kill()  # the session, a process of its own, is left to itself
    process.communicate()
    run = only_run(tmp_path / "runs")
    wait_for(lambda: not any(Path(s.folder).parent == run.path for s in find_sessions()), "the end of the session")
    result = resume_run(run.path)
    assert result.state is RunState.FINISHED, result.reason
    assert "frozen" in result.device
    same_runs(run, load_run(whole.folder))


def test_the_place_from_which_a_run_goes_on_is_said_in_words(tmp_path: Path) -> None:
    entries = experiment(tmp_path, RICH).experiment.sequence
    for path, words in (
        ([1], "stage 1 (train)"), ([2], "stage 2 (repeat)"), ([2, 1, 0], "stage 2.1.0 (train)"),
        ([2, 0, 1], "stage 2.0.1 (evaluate)"), ([2, 1, 2], "after the last stage of round 1"), ([6], "after the last stage"),
    ):  # fmt: skip
        assert place_in_words(entries, path) == words
