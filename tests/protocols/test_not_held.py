"""Presentations in which theta was not held: no cost counts them, no best and no comparison is about too few of the others."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inside import in_this_process
from numpy.typing import NDArray
from run_helpers import SMALL, run_sequence

from aeqlab.app.looking import show_run
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import RunResult
from aeqlab.protocols.reports import HoldReport
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.session import Session

FAR = 1e3  #: what is read where theta is not held


class Slipping(Session):
    """Does not hold theta at some input, or in some hold, and then reads outputs of quite another theta."""

    slips: Callable[[float, int], bool] = staticmethod(lambda x, number: False)
    number = -1

    def present(self, inputs: NDArray[Any]) -> None:
        self.x = float(inputs[0, 0])
        super().present(inputs)

    def hold(self, theta: NDArray[Any] | None = None) -> HoldReport:
        self.number += 1
        report = super().hold(theta)
        if not self.slips(self.x, self.number):
            return report
        return replace(report, accepted=False, readout=report.readout._replace(outputs=report.readout.outputs + FAR))


def slipping(slips: Callable[[float, int], bool]) -> type[Slipping]:
    return type("SlippingAt", (Slipping,), {"slips": staticmethod(slips)})


def run_slipping(
    folder: Path, slips: Callable[[float, int], bool], sequence: str = "evaluate: {}", text: str = SMALL
) -> tuple[RunResult, Run]:
    folder.mkdir(exist_ok=True)
    with in_this_process(slipping(slips)):
        result, run = run_sequence(folder, sequence, text)
    assert result.state is RunState.FINISHED, result.reason
    return result, run


@pytest.mark.parametrize("stage", ["evaluate", "infer"])
def test_the_cost_is_that_of_the_presentations_in_which_theta_was_held(tmp_path: Path, stage: str) -> None:
    result, run = run_slipping(tmp_path, lambda x, number: number in (3, 7, 8), f"{stage}: {{batch: 1}}")
    found = result.summary["stages"]["0"]
    assert found["cost_free"] < 10
    assert (found["samples"], found["samples_held"], found["held_rate"]) == (12, 9, 0.75)
    others = "infer: {indices: [0, 1, 2, 4, 5, 6, 9, 10, 11], batch: 1}"
    whole, _ = run_slipping(tmp_path / "whole", lambda x, number: False, others)
    assert found["cost_free"] == pytest.approx(whole.summary["stages"]["0"]["cost_free"], rel=0.05)
    if stage == "evaluate":
        assert run.evaluations["cost_free"].tolist() == [found["cost_free"]]
        assert (run.evaluations["samples"].tolist(), run.evaluations["held_rate"].tolist()) == ([12], [0.75])


@pytest.mark.parametrize("stage", ["evaluate", "infer"])
def test_where_it_was_held_in_none_the_cost_is_not_known(tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    stages = f"repeat: {{times: 2, until: test_cost_free < 1e9, sequence: [{stage}]}}"
    result, run = run_slipping(tmp_path, lambda x, number: True, stages)
    found = result.summary["stages"]["0.1.0"]
    assert np.isnan(found["cost_free"])
    assert (found["held_rate"], found["samples_held"]) == (0.0, 0)
    assert not result.summary["stages"]["0"]["reached"]
    assert "it is not known at the end" in " ".join(result.warnings)
    with closing(sqlite3.connect(run.path / "record.sqlite")) as record:  # JSON for others, too
        assert record.execute("SELECT json_extract(result, '$.cost_free') FROM stages WHERE path = '0.1.0'").fetchone() == (None,)
        assert record.execute("SELECT json_extract(value, '$.steps') FROM meta WHERE key = 'summary'").fetchone() == (0,)
    if stage == "evaluate":
        assert np.isnan(run.evaluations["cost_free"]).tolist() == [True, True]
        assert np.isnan(run.evaluations["error_rate"]).all()
        assert not list(run.path.glob("checkpoints/best*"))
        assert show_run(str(run.path), None) == 0
        shown = capsys.readouterr().out
        assert "cost not known" in shown
        assert ["0", "test", "12", "0", "%", "not", "known"] in [line.split() for line in shown.splitlines()]


def test_a_best_is_of_an_evaluation_with_theta_held_and_the_others_are_told_once(tmp_path: Path) -> None:
    evaluations = "\n".join(["evaluate: {batch: 1}"] * 4)
    result, run = run_slipping(tmp_path, lambda x, number: number < 24 and number % 12 > 1, evaluations)
    assert run.evaluations["held_rate"].tolist() == pytest.approx([2 / 12, 2 / 12, 1, 1])
    assert [one["best"] for one in result.summary["stages"].values()] == [False, False, True, False]
    (warning,) = result.warnings
    assert warning.startswith("evaluate: theta was not held often enough on the test set: in 2 of 12 presentations. Cost and")
    told = [word for word, text in zip(run.events["word"], run.events["text"], strict=True) if "not held often enough" in text]
    assert told == ["not held"] * 2  # the text itself says that it was an evaluation


def test_a_comparison_takes_no_cost_with_theta_not_held(tmp_path: Path) -> None:
    text = SMALL.replace("ticks: 12", "ticks: 6")
    stage = (
        "compare: {{seeds: 1, start: {{theta: random}}, samples: {}, target: cost < 1e3, evaluate: {{batch: 1, samples: 5}}, "
        "methods: {{aeqprop: {{method: centered, beta: 0.2}}}}}}"
    )
    for samples, cost_known in ((4, True), (1, False)):
        folder = tmp_path / str(samples)
        result, run = run_slipping(folder, lambda x, number: 8 < number < 12, stage.format(samples), text)  # in the second one
        points = json.loads(run.stages["result"][1])["points"]
        known = [True, False, True, True, True]
        assert [point["cost_free"] is not None for point in points] == known[: samples + 1]
        assert result.summary["methods"]["aeqprop"].startswith("cost not known") is not cost_known
        assert (result.folder / "comparison.png").exists()


def test_a_record_of_before_that_must_have_a_cost_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aeqlab.protocols import record_schema

    made = record_schema.statements()
    before = [sql.replace("start TEXT NOT NULL, cost_free REAL", "start TEXT NOT NULL, cost_free REAL NOT NULL") for sql in made]
    assert before != made
    monkeypatch.setattr(record_schema, "statements", lambda: before)
    _, run = run_slipping(tmp_path, lambda x, number: number < 12, "evaluate: {batch: 1}\nevaluate: {batch: 1}")
    assert run.evaluations["held_rate"].tolist() == [1.0]
