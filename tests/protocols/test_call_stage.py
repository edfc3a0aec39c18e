"""A stage that is a function of the user's own: what it gets, what becomes of what it returns, and how it may fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_helpers import SMALL, run_sequence

from aeqlab.protocols.check import check
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.stages.entry import StageEntry

STAGE = '''
import numpy as np

def look(session, options):
    """Let time pass on a sample, report what is read."""
    sample = session.data.train.take(slice(0, 1))
    session.present(sample.inputs)
    for tick in range(options["ticks"]):
        session.point()
        readout = session.advance()
        session.report(output=float(readout.outputs[0, 0]))
    return {"theta": session.parameters(), "t": np.float64(readout.t)}

def nudges(session, options):
    sample = session.data.train.take(slice(0, 1))
    session.present(sample.inputs)
    session.nudge(sample.targets, 0.1)
    session.advance()

def raises(session, options):
    session.advance(1 / 0)

def wrong(session, options):
    return {1: "one"}

number = 3
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(STAGE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("written", ["mine.py:look: {ticks: 5}", "call: {function: 'mine.py:look', options: {ticks: 5}}"])
def test_it_works_with_the_device_and_its_result_is_recorded(folder: Path, written: str) -> None:
    result, run = run_sequence(folder, written)
    assert result.state is RunState.FINISHED, result.reason
    found = json.loads(run.stages["result"][0])
    assert run.stages["kind"].tolist() == ["call"]
    assert len(found["theta"]) == 7
    assert found["t"] > 0
    assert len(run.reports["report"]) == 5
    assert (result.folder / "inputs" / "mine.py").read_text(encoding="utf-8") == STAGE


def test_the_run_folder_runs_again(folder: Path) -> None:
    result, _ = run_sequence(folder, "mine.py:look: {ticks: 2}")
    loaded = load_experiment(result.folder / "experiment.yaml")
    assert loaded.experiment.sequence[0].kind == "call"
    assert check(loaded).user_code == ("inputs/mine.py:look",)
    assert check(loaded).estimate is None


def test_no_nudge_is_left_on(folder: Path) -> None:
    result, _ = run_sequence(folder, "mine.py:nudges\nevaluate")
    assert result.state is RunState.FINISHED, result.reason
    assert "nudge off" in result.device


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "mine.py:21: ZeroDivisionError"),
        ("wrong", "cannot be recorded: its keys are not words. Return None"),
        ("number", "is not a function"),
        ("nothing", "has no nothing"),
    ],
)
def test_it_is_blamed_by_file_and_line(folder: Path, name: str, said: str) -> None:
    result, run = run_sequence(folder, f"mine.py:{name}")
    assert result.state is RunState.FAILED
    assert said in result.reason
    assert "nudge off" in result.device
    assert run.stages["outcome"][0] == result.reason


def test_a_check_runs_none_of_it_and_misses_a_file(folder: Path) -> None:
    (folder / "experiment.yaml").write_text(
        SMALL.replace("  - evaluate: {}", "  - gone.py:stage\n  - mine.py:look: {ticks: 1}"), encoding="utf-8"
    )
    with pytest.raises(FileErrors, match=r"line 10.*there is no file .*gone\.py"):
        load_experiment(folder / "experiment.yaml")


def test_entries_there_and_back() -> None:
    entry = StageEntry.model_validate({"lab.stages:sweep": {"n": 3}})
    assert (entry.kind, entry.options.function) == ("call", "lab.stages:sweep")  # type: ignore[attr-defined]
    assert StageEntry.model_validate(entry.model_dump(mode="json")) == entry
    assert StageEntry.model_validate("mine.py:look").options == StageEntry.model_validate({"mine.py:look": None}).options
