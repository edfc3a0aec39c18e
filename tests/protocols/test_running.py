"""Running from Python: the same record as from YAML, with --set and resumed, bit for bit; ends that are runs, and that raise."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import SMALL

from aeqlab.protocols import Experiment, load_experiment, load_run, resume, run
from aeqlab.protocols.errors import FileErrors, RecordError, RunFailedError, UnknownRunError
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.progress_line import ProgressLine, in_words
from aeqlab.protocols.record_schema import TABLES
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import Requests, RunState

SLOW = """
name: small
seed: 5
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}}
data: {kind: legendre, degree: 3, samples: 6, test_samples: 2}
homeostasis: {controller: integral, accept: {ticks: 12}}
settling: {accept: {ticks: 12}}
sequence:
  - train: {method: centered, beta: 0.2}
  - evaluate: {}
  - hold: {seconds: 0.5}
"""
ENGINE = """
name: small
seed: 5
device: {kind: hopfield, widths: [2, 8, 1], stop: residual, dtype: float64}
data: {kind: xor, repeats: 3}
sequence:
  - train: {method: centered, beta: 0.2}
  - scan: {over: [{quantity: theta0, values: [-0.1, 0.1]}], read: [s], sample: 0}
  - infer: {samples: 3}
"""
TEXTS = {"simulated": SMALL, "slow": SLOW, "engine": ENGINE}
#: What depends on the computer, on the time of day, or on how often a run was resumed; `stage` is compared by its path.
OTHER = {"id", "attempt", "at", "started_at", "ended_at", "after_row", "stage", "outcome"}
#: Tables of the run itself, not of one process that worked on it.
COMPARED = [table.name for table in TABLES if table.superseded]


def same_records(one: Run, other: Run) -> None:
    """Assert that all tables hold the same, bit for bit, besides what `OTHER` names."""
    for table in COMPARED:
        a, b = one.rows(table), other.rows(table)
        if table == "stages":  # a resumed stage has a row of each attempt; the last one says what it found
            assert _found(one) == _found(other)
            continue
        if table == "traces":  # kept once a second of the computer's: those of the same phase are the same
            left, right = _courses(one), _courses(other)
            shared = left.keys() & right.keys()
            assert shared or not (left or right)
            assert {key: left[key] for key in shared} == {key: right[key] for key in shared}
            continue
        # what training read is kept a few times a second of the computer's: what evaluations read must be the same
        of_a, of_b = (np.isfinite(rows["evaluation"]) if table == "evaluated" else slice(None) for rows in (a, b))
        if table != "evaluated":
            assert len(a) == len(b), table
        for column in a.schema.columns:
            if column.name in OTHER or (table, column.name) == ("evaluations", "seconds"):
                continue
            left, right = a[column.name][of_a], b[column.name][of_b]
            if left.dtype == object:
                left, right = np.array([repr(x) for x in left]), np.array([repr(x) for x in right])
            np.testing.assert_array_equal(left, right, err_msg=f"{table}.{column.name}")
        if table != "evaluated" and "stage" in [column.name for column in a.schema.columns]:
            assert _paths(one, table) == _paths(other, table), table
    np.testing.assert_array_equal(one.theta, other.theta)


def _courses(run: Run) -> dict[int, list[tuple[str, str, str, str]]]:
    """Get the courses of phases, those of each step in their order."""
    found: dict[int, list[tuple[str, str, str, str]]] = {}
    columns = [run.traces[name] for name in ("step", "phase", "t", "error", "u")]
    with np.printoptions(threshold=100_000, floatmode="unique"):
        for step, phase, *parts in zip(*columns, strict=True):
            t, error, u = map(repr, parts)
            found.setdefault(int(step), []).append((phase, t, error, u))
    return found


def _paths(run: Run, table: str) -> list[str]:
    by_id = dict(zip(run.rows("stages")["id"], run.rows("stages")["path"], strict=True))
    return [by_id.get(stage, "") for stage in run.rows(table)["stage"]]


def _found(run: Run) -> dict[str, Any]:
    stages = run.stages
    last = dict(zip(stages["path"], zip(stages["kind"], stages["options"], stages["result"], strict=True), strict=True))
    return {path: (kind, options, _without_wall_time(kind, result)) for path, (kind, options, result) in last.items()}


def _without_wall_time(kind: str, result: str) -> dict[str, Any]:
    found = json.loads(result)
    if kind != "hold":  # there it is time of the device
        found.pop("seconds", None)
    return found


def _stopped(path: Path, runs: Path) -> Path:
    """Run a file until some steps are done, and stop it."""
    requests = Requests()

    def watch(progress: Progress) -> None:
        if progress.stage == "train" and progress.done >= 2:
            requests.ask_stop("the test")

    with pytest.MonkeyPatch.context() as patch:  # looked at, and shown, at every sample
        patch.setattr("aeqlab.protocols.run_session.LOOK_S", 0.0)
        patch.setattr("aeqlab.protocols.run_status.SHOW_S", 0.0)
        result = run_experiment(load_experiment(path), runs=runs, requests=requests, on_progress=watch)
    assert result.state is RunState.STOPPED, result.reason
    return result.folder


@pytest.mark.parametrize("kind", ["simulated", "engine", pytest.param("slow", marks=pytest.mark.slow)])
def test_yaml_python_set_and_resumed_give_the_same_record(kind: str, tmp_path: Path) -> None:
    if kind == "engine":
        pytest.importorskip("torch")
    path = tmp_path / "small.yaml"
    path.write_text(TEXTS[kind], encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(TEXTS[kind].replace("beta: 0.2", "beta: 0.3").replace("seed: 5", "seed: 6"), encoding="utf-8")
    device: dict[str, Any] = {"kind": kind, "energy": "linear", "epsilon": 0.1, "options": {"frequencies": 3}}
    data: dict[str, Any] = {"kind": "legendre", "degree": 4, "samples": 60, "test_samples": 12}
    sequence: list[Any] = [{"train": {"method": "centered", "beta": 0.2}}, "evaluate"]
    if kind == "slow":
        device["options"]["frequencies"] = 2
        data = {"kind": "legendre", "degree": 3, "samples": 6, "test_samples": 2}
        sequence.append({"hold": {"seconds": 0.5}})
    loops: dict[str, Any] = {
        "homeostasis": {"controller": "integral", "accept": {"ticks": 12}},
        "settling": {"accept": {"ticks": 12}},
    }
    if kind == "engine":
        device = {"kind": "hopfield", "widths": [2, 8, 1], "stop": "residual", "dtype": "float64"}
        data = {"kind": "xor", "repeats": 3}
        scan = {"over": [{"quantity": "theta0", "values": np.array([-0.1, 0.1])}], "read": ["s"], "sample": 0}
        sequence[1:] = [{"scan": scan}, {"infer": {"samples": 3}}]
        loops = {}
    in_python = Experiment(name="small", seed=5, device=device, data=data, sequence=sequence, **loops)
    from_yaml = load_run(run_experiment(load_experiment(path), runs=tmp_path / "runs").folder)
    assert from_yaml.state == "finished", from_yaml.reason
    assert len(from_yaml.steps) == data.get("samples", 12)
    same_records(from_yaml, run(in_python, quiet=True))
    same_records(from_yaml, run(other, "train.beta=0.2", "seed=5", quiet=True))
    resumed = resume(_stopped(path, tmp_path / "runs"), quiet=True)
    assert len(resumed.attempts) == 2
    same_records(from_yaml, resumed)
    if kind == "simulated":
        same_records(from_yaml, run(from_yaml.path / "experiment.yaml", quiet=True))
        with pytest.raises(AssertionError):  # it can tell a difference
            same_records(from_yaml, run(path, "train.beta=0.20001", quiet=True))


def test_a_run_is_given_back_however_a_person_ended_it(tmp_path: Path) -> None:
    requests = Requests()
    requests.ask_stop("the test")
    stopped = run("linear-regression", "data.samples=4", runs=tmp_path / "mine", requests=requests, quiet=True)
    assert (stopped.state, stopped.path.parent.name) == ("stopped", "mine")
    assert "the test" in stopped.reason


def test_a_run_that_fails_raises_and_gives_its_record() -> None:
    Path("mine.py").write_text("def look(session, options):\n    raise RuntimeError('no light')\n", encoding="utf-8")
    experiment = Experiment(
        name="dark", device={"kind": "simulated", "energy": "linear"}, data={"kind": "legendre"}, sequence=["mine.py:look"]
    )
    with pytest.raises(RunFailedError, match=r"no light.*Device frozen.*The record: .*runs/") as failed:
        run(experiment, quiet=True)
    assert failed.value.run.state == "failed"


def test_what_is_wrong_is_said_before_anything_begins() -> None:
    with pytest.raises(FileErrors, match="neither a file nor a preset"):
        run("linear-regresion")
    with pytest.raises(FileErrors, match=r"^--set train.betta=1: sequence.0.train.betta: there is no key"):
        run(load_experiment("linear-regression"), "train.betta=1")
    with pytest.raises(UnknownRunError, match="No run 'k3f9'"):
        resume("k3f9")
    assert not Path("runs").exists()


def test_a_finished_run_is_not_resumed() -> None:
    done = run("linear-regression", "data.samples=2", quiet=True)
    for word in (done, done.path, done.path.name, "last"):
        with pytest.raises(RecordError, match="finished; there is nothing to go on with"):
            resume(word, quiet=True)


@pytest.mark.parametrize(
    "first",
    [
        "import aeqlab.protocols.run",
        pytest.param("from aeqlab.protocols import run", marks=pytest.mark.slow),
        pytest.param("import aeqlab.protocols.rig", marks=pytest.mark.slow),
    ],
)
def test_the_name_run_can_be_called_whatever_was_imported_before(first: str, tmp_path: Path) -> None:
    code = f"{first}\nfrom aeqlab.protocols import run\nprint(run('linear-regression', 'data.samples=2', quiet=True).state)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("finished", "")


def test_progress_is_told_on_stderr_and_not_if_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    run("linear-regression", "data.samples=4")
    told = capsys.readouterr()
    assert any(line.startswith(("running: train  ", "running: evaluate  ")) for line in told.err.splitlines())
    assert "finished: Did everything" in told.err
    assert not told.out
    run("linear-regression", "data.samples=4", quiet=True)
    assert capsys.readouterr() == ("", "")


def test_the_line_is_redrawn_and_wiped_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    first = Progress(RunState.RUNNING, "", stage="train", path="0", done=5, total=1000, cost=0.25, cost_name="cost_free")
    second = Progress(RunState.RUNNING, "", stage="train", path="0", done=6, total=1000, remaining_s=3.0)
    now = 0.0
    with ProgressLine(clock=lambda: now) as line:
        line(first)
        line(second)  # too soon
        now = 1.0
        line(second)
        line.say("a sentence")
    written = capsys.readouterr().err
    assert written == (
        f"\r{in_words(first)}\r{in_words(second):{len(in_words(first))}}\r{' ' * len(in_words(second))}\ra sentence\n"
    )
    assert in_words(first) == "running: train  5/1,000  cost 0.25"


def test_a_question_is_shown_once_with_how_to_answer_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asking = Experiment(
        name="asking", device={"kind": "simulated", "energy": "linear"},
        sequence=[{"ask": {"text": "Is the lamp on?", "timeout_s": 0.5, "then": "continue"}}],
    )  # fmt: skip
    assert run(asking).state == "finished"
    told = capsys.readouterr().err
    assert told.count("waiting for an answer: Is the lamp on? (continue, stop)\n") == 1
    assert "\nAnswer it in a terminal: aeqlab answer TEXT\n" in told
    run(asking, runs=tmp_path / "mine")
    assert f'aeqlab answer TEXT --runs "{tmp_path / "mine"}"\n' in capsys.readouterr().err


def test_nothing_is_drawn_over_a_question_and_afterwards_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    asked = Progress(RunState.RUNNING, "", stage="ask", path="0", done=1, question="Well? (a text)")
    after = Progress(RunState.RUNNING, "", stage="ask", path="0", done=2)
    with ProgressLine(clock=itertools.count().__next__) as line:
        for _ in range(3):
            line(asked)
        assert capsys.readouterr().err == "waiting for an answer: Well? (a text)\nAnswer it in a terminal: aeqlab answer TEXT\n"
        line(after)
        assert capsys.readouterr().err == f"\r{in_words(after)}"
