"""What a drawing needs of a record: what an evaluation read, the tolerances of traces, the knobs among the facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_helpers import SMALL, run_sequence

SETTLED = SMALL.replace("homeostasis: {controller: integral, accept: {ticks: 12}}", "homeostasis: {controller: integral}")


def test_an_evaluation_keeps_what_it_read_with_inputs_and_targets(tmp_path: Path) -> None:
    stages = "evaluate: {}\ntrain: {method: centered, beta: 0.2, samples: 5}\nevaluate: {on: train, samples: 7}"
    _, run = run_sequence(tmp_path, stages)
    rows = run.rows("evaluated")
    assert rows.units["inputs"] == rows.units["outputs"] == "1"
    assert rows["held"].all()
    cost = 0.5 * ((rows["outputs"] - rows["target"]) ** 2).sum(axis=1)
    for number, count in ((1, 12), (2, 7)):
        of = rows["evaluation"] == number
        assert rows["sample"][of].tolist() == list(range(count))
        assert rows["inputs"][of].shape == (count, 1)
        assert cost[of].mean() == pytest.approx(run.evaluations["cost_free"][number - 1], rel=1e-12)
    trained = np.isnan(rows["evaluation"])
    assert trained.any()
    steps = run.steps
    for step, sample, price in zip(rows["step"][trained], rows["sample"][trained], cost[trained], strict=True):
        at = int(np.flatnonzero(steps["step"] == step)[0])
        assert steps["sample"][at] == sample
        assert steps["cost_free"][at] == pytest.approx(price, rel=1e-12)


def test_no_more_than_the_first_are_kept_and_nothing_of_large_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aeqlab.protocols.readouts_kept.MOST", 4)
    _, run = run_sequence(tmp_path, "evaluate: {}")
    assert run.rows("evaluated")["sample"].tolist() == [0, 1, 2, 3]
    monkeypatch.setattr("aeqlab.protocols.readouts_kept.FEW", 0)
    _, run = run_sequence(tmp_path / "..", "evaluate: {}")
    assert len(run.rows("evaluated")) == 0


def test_traces_tell_the_tolerance_at_the_clamp_and_the_facts_tell_the_knobs(tmp_path: Path) -> None:
    _, run = run_sequence(tmp_path, "train: {method: centered, beta: 0.2, samples: 5}", SETTLED)
    traces, steps = run.traces, run.steps
    holds = np.flatnonzero(traces["phase"] == "hold")
    assert len(holds)
    for k in holds:
        assert traces["tolerance"][k].shape == (7,)
        assert traces["error"][k].shape[1] == 7
        step = int(np.flatnonzero(steps["step"] == traces["step"][k])[0])
        assert steps["hold_error"][step] <= 1.0
        worst = int(steps["hold_worst"][step])
        assert abs(traces["error"][k][-1, worst]) < 3 * traces["tolerance"][k][worst]
    assert all(traces["tolerance"][k] is None for k in np.flatnonzero(traces["phase"] == "settle"))
    knobs = run.meta["knobs"]
    assert knobs["count"] == 7
    assert knobs["names"][3] == "u3"
    assert len(knobs["low"]) == len(knobs["high"]) == 7
    assert run.meta["inputs"]["names"] == ["z"]
    assert run.meta["outputs"] == ["s"]
