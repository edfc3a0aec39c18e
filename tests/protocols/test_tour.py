"""Every stage there is, from presets and from a notebook, on the simulated device, the slow one and the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aeqlab.protocols import load_run, open_rig
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.load import Run
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.stages.registry import stage_kinds

TOURS = ["tour", "tour-slow", "tour-engine"]
FEW = ("compare.samples=2", "ask.timeout_s=0.1")
#: A window in which the whole task is learned to; the targets of the regression have a mean square near 0.4, those of xor 0.25.
COST = {"tour": 0.1, "tour-slow": 0.1, "tour-engine": 0.13}


def stages_of(tour: str) -> list[tuple[str, dict[str, Any]]]:
    """Get the stages of a preset in the order they stand, those within others left to these."""
    for_rig = json.loads(load_experiment(tour, FEW).experiment.model_dump_json(exclude_defaults=True))["sequence"]
    return [(name, options or {}) for entry in for_rig for name, options in entry.items()]


def kinds_of(sequence: list[dict[str, Any]]) -> Iterator[str]:
    """List the kinds of a sequence and of what is within it."""
    for entry in sequence:
        for name, options in entry.items():
            yield name
            yield from kinds_of((options or {}).get("sequence", []))


def results(run: Run) -> dict[str, list[Any]]:
    """Get what the stages of a run found, by kind; all of them finished."""
    assert run.state == "finished", run.reason
    assert set(run.stages["outcome"]) == {"finished"}
    found: dict[str, list[Any]] = {}
    for kind, result in zip(run.stages["kind"], run.stages["result"], strict=True):
        found.setdefault(kind, []).append(json.loads(result))
    return found


def check(tour: str, found: dict[str, list[Any]], scanned: int) -> None:
    """See that each stage did its work, by numbers."""
    assert found["set"][0]["reached"]
    assert found["step-response"][0]["came_back"]
    assert all(abs(fit["gain"]) > 0.01 for fit in found["step-response"][0]["fits"].values())
    assert (found["scan"][0]["points"], found["scan"][0]["unsettled"], found["scan"][0]["came_back"]) == (scanned, 0, True)
    assert found["ramp"][0]["points"] >= 2
    assert found["repeat"][0]["reached"]
    assert found["train"][0]["steps"] == 40
    assert found["evaluate"][-1]["cost_free"] < COST[tour]
    assert set(found["compare"][0]["methods"]) == {"aeqprop", "spsa"}
    assert found["call"][0]["visits"] == 3
    assert found["call"][0]["spread"] < 0.01
    assert found["hold"][0]["held_rate"] == 1.0
    assert found["infer"][0]["samples"] == 4
    assert found["infer"][0]["cost_free"] < COST[tour]
    assert (found["ask"][0]["answer"], found["ask"][0]["by"]) == ("continue", "time-out")


@pytest.mark.parametrize("tour", TOURS)
def test_the_tour_has_every_stage(tour: str) -> None:
    sequence = json.loads(load_experiment(tour).experiment.model_dump_json())["sequence"]
    assert set(kinds_of(sequence)) == set(stage_kinds())


@pytest.mark.parametrize("tour", ["tour", pytest.param("tour-slow", marks=pytest.mark.slow), "tour-engine"])
def test_every_stage_runs_from_the_preset(tour: str, tmp_path: Path) -> None:
    if tour == "tour-engine":
        pytest.importorskip("torch")
    result = run_experiment(load_experiment(tour, FEW), runs=tmp_path / "runs")
    assert result.exit_code == 0, result.reason
    run = load_run(result.folder)
    check(tour, results(run), 9)
    assert len(run.predictions["sample"]) == 4
    assert "nudge off" in result.device


@pytest.mark.parametrize(
    "tour", ["tour", pytest.param("tour-slow", marks=pytest.mark.slow), pytest.param("tour-engine", marks=pytest.mark.slow)]
)
def test_every_stage_runs_from_a_notebook(tour: str, tmp_path: Path) -> None:
    if tour == "tour-engine":
        pytest.importorskip("torch")
    found: dict[str, list[Any]] = {}
    with open_rig(tour, *FEW, runs=tmp_path / "runs", quiet=True) as rig:
        for name, options in stages_of(tour):
            run = getattr(rig.stage, name.replace("-", "_"))(**options)
            for kind, values in results(run).items():
                found.setdefault(kind, []).extend(values)
        assert not rig.status().beta
    assert "nudge off" in rig.left
    check(tour, found, 9)
