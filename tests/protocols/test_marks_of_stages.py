"""Stages that are switched off, and pauses that the experiment itself asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_helpers import SMALL, experiment, run_sequence

from aeqlab.protocols import load_run
from aeqlab.protocols.check import check
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import Experiment, load_experiment, to_yaml
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState

HEAD, TAIL = SMALL[: SMALL.index("sequence:")], SMALL[SMALL.index("then:") :]


def _text(*entries: str) -> str:
    return f"{HEAD}sequence:\n" + "".join(f"  - {entry}\n" for entry in entries) + TAIL


def test_a_stage_that_is_off_is_passed_over_and_keeps_its_place(tmp_path: Path) -> None:
    _, run = run_sequence(tmp_path, "{train: {method: centered, beta: 0.2, samples: 5}, off: true}\nevaluate")
    assert run.state == "finished"
    assert run.stages["path"].tolist() == ["1"]
    assert len(run.steps["step"]) == 0


def test_what_is_off_is_neither_cross_checked_nor_counted(tmp_path: Path) -> None:
    bad = "restore: {theta: there-is-none.npy}"
    with pytest.raises(FileErrors, match=r"there-is-none\.npy"):
        experiment(tmp_path, _text(bad, "train: {method: centered, beta: 0.2, samples: 7}"))
    off = _text(f"{{{bad}, off: true}}", "train: {method: centered, beta: 0.2, samples: 7}", "{train: {beta: 1}, off: true}")
    found = check(experiment(tmp_path, off)).estimate
    assert found is not None
    assert found.steps == 7


def test_marks_are_written_where_they_are_set_and_read_again(tmp_path: Path) -> None:
    loaded = experiment(
        tmp_path,
        _text(
            "{evaluate: {}, off: true}",
            "{aeqlab.protocols.presets.own_stage:repeatability: {visits: 3}, pause_after: true}",
            "evaluate",
        ),
    )
    first, second, third = loaded.experiment.sequence
    assert (first.kind, first.off, first.pause_after) == ("evaluate", True, False)
    assert (second.kind, second.off, second.pause_after) == ("call", False, True)
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(loaded.experiment), encoding="utf-8")
    assert load_experiment(again).experiment == loaded.experiment
    assert third.model_dump() == {"evaluate": third.options.model_dump(mode="json")}
    assert any("pauses after this stage" in str(warning) for warning in check(loaded).warnings)


@pytest.mark.parametrize("entry", ["{off: true}", "{evaluate: {}, infer: {}, off: true}", "{evaluate: {}, off: maybe}"])
def test_a_mark_is_no_stage(tmp_path: Path, entry: str) -> None:
    with pytest.raises(FileErrors) as caught:
        experiment(tmp_path, _text(entry))
    assert all(problem.line for problem in caught.value.problems)


def test_a_word_that_is_no_stage_is_told_the_stages_and_not_the_marks() -> None:
    with pytest.raises(FileErrors) as caught:
        Experiment(name="x", device={"kind": "simulated", "energy": "linear"}, sequence=["sleep"])
    assert "evaluate" in str(caught.value)
    assert "pause_after" not in str(caught.value)


def test_the_run_pauses_after_the_stage_and_goes_on_with_the_next_one(tmp_path: Path) -> None:
    requests, reasons = Requests(), []

    def watch(now: Progress) -> None:
        if now.state == "paused" and requests.pause:
            reasons.append(requests.why)
            requests.ask_continue("continue by a test")

    text = _text("{train: {method: centered, beta: 0.2, samples: 5}, pause_after: true}", "{evaluate: {}, pause_after: true}")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", on_progress=watch, requests=requests)
    assert result.state is RunState.FINISHED, result.reason
    assert [reason.split(".")[0] for reason in reasons] == ["pause_after of stage 0 (train)", "pause_after of stage 1 (evaluate)"]
    assert load_run(result.folder).stages["path"].tolist() == ["0", "1"]


def test_a_run_that_ends_in_that_pause_goes_on_with_the_next_stage(tmp_path: Path) -> None:
    requests = Requests()

    def stop(now: Progress) -> None:
        if now.state == "paused":
            requests.ask_stop("stop by a test")

    text = _text("{train: {method: centered, beta: 0.2, samples: 5}, pause_after: true}", "evaluate")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", on_progress=stop, requests=requests)
    assert result.state is RunState.STOPPED
    again = resume_run(result.folder)
    assert again.state is RunState.FINISHED, again.reason
    assert load_run(result.folder).stages["path"].tolist() == ["0", "1"]
