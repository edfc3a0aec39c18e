"""Skipping a stage: it ends at a sample boundary, the next one begins, and a resumed run does not begin it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_helpers import SMALL, experiment

from aeqlab.protocols import load_run
from aeqlab.protocols.control import obey
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.run_status import RunStatus

pytestmark = pytest.mark.usefixtures("shown_at_every_sample")


def _run(folder: Path, sequence: str, skip_at: dict[str, int], *, stop_in: str = "nowhere") -> tuple[Requests, list[str], Path]:
    """Run, and ask to skip each stage of `skip_at` once so much of it is done."""
    requests, seen, left = Requests(), [], dict(skip_at)

    def watch(now: Progress) -> None:
        if now.stage and (not seen or seen[-1] != now.path):
            seen.append(now.path)
        if now.path in left and now.done >= left[now.path]:
            del left[now.path]
            requests.ask_skip("skip by a test")
        if now.path == stop_in:
            requests.ask_stop("stop by a test")

    entries = "".join(f"  - {line}\n" for line in sequence.strip().splitlines())
    text = f"{SMALL[: SMALL.index('sequence:')]}sequence:\n{entries}{SMALL[SMALL.index('then:') :]}"
    result = run_experiment(experiment(folder, text), runs=folder / "runs", on_progress=watch, requests=requests)
    assert result.state in (RunState.FINISHED, RunState.STOPPED), result.reason
    return requests, seen, result.folder


def test_the_next_stage_begins_and_the_record_says_why(tmp_path: Path) -> None:
    requests, seen, folder = _run(tmp_path, "train: {method: centered, beta: 0.2, epochs: 50}\nevaluate", {"0": 5})
    run = load_run(folder)
    assert run.state == "finished"
    assert seen == ["0", "1"]
    assert not requests.skip
    assert 5 <= len(run.steps["step"]) < 3000
    assert run.stages["outcome"].tolist() == ["skipped: skip by a test", "finished"]
    assert json.loads(run.stages["result"][0]) == {"skipped": True}
    assert "skip by a test" in run.events["text"][run.events["word"] == "skip"]


def test_within_a_repeat_only_the_innermost_stage_is_left(tmp_path: Path) -> None:
    sequence = "repeat: {times: 2, sequence: [{train: {method: centered, beta: 0.2, epochs: 50}}, evaluate]}"
    _, _, folder = _run(tmp_path, sequence, {"0.0.0": 2, "0.1.0": 2})
    outcomes = dict(zip(load_run(folder).stages["path"], load_run(folder).stages["outcome"], strict=True))
    assert outcomes["0"] == outcomes["0.0.1"] == outcomes["0.1.1"] == "finished"
    assert outcomes["0.0.0"] == outcomes["0.1.0"] == "skipped: skip by a test"


def test_a_wish_that_comes_too_late_skips_nothing_else(tmp_path: Path) -> None:
    requests = Requests()
    requests.ask_skip("skip by a test, before anything began")
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs", requests=requests)
    run = load_run(result.folder)
    assert run.stages["outcome"].tolist() == ["finished", "finished"]
    assert len(run.steps["step"]) == 60


def test_a_resumed_run_does_not_begin_it_again(tmp_path: Path) -> None:
    sequence = "train: {method: centered, beta: 0.2, epochs: 50}\ntrain: {method: centered, beta: 0.2, epochs: 40}\nevaluate"
    _, _, folder = _run(tmp_path, sequence, {"0": 5}, stop_in="1")
    before = len(load_run(folder).steps["step"])
    requests = Requests()
    result = resume_run(
        folder, requests=requests, on_progress=lambda now: requests.ask_skip("enough") if now.path == "1" else None
    )
    run = load_run(folder)
    assert result.state is RunState.FINISHED, result.reason
    assert before <= len(run.steps["step"]) < 3000
    assert run.stages["path"].tolist() == ["0", "1", "1", "2"]


@pytest.mark.parametrize(
    ("state", "stage", "ok"), [("running", "train", True), ("paused", "train", True), ("preparing", "", False)]
)
def test_what_the_command_answers(state: str, stage: str, ok: bool) -> None:
    requests, status = Requests(), RunStatus(Requests())
    answer = obey(requests, lambda: {**status.answer(), "state": state, "stage": stage}, "skip", "ada")
    assert answer["ok"] is ok
    assert requests.skip is ok
    assert ("train" in answer["text"]) is ok
