"""Repetitions with a condition: ended by it, bounded without it, nested, resumed, and every mistake in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inside import Watched, in_this_process, watched
from run_helpers import SMALL, experiment, run_sequence, same_runs

from aeqlab.backends.wire import pack
from aeqlab.protocols import checkpoint, load_run
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.sequence import Sequencer
from aeqlab.protocols.stages.condition import condition

TRAIN = "train: {method: centered, beta: 0.2, samples: 20}"
COUNTS = """
def count(session, options):
    n = session.counted = getattr(session, "counted", -1) + 1
    if n >= options.get("from", 0):
        session.report(level=10.0 / (n + 1))
    return {"n": n, "word": "x", "flag": True, "nothing": None}
"""


def test_it_ends_after_the_round_in_which_it_is_so(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, f"repeat: {{until: test_cost_free < 0.15, sequence: [{TRAIN}, evaluate]}}")
    assert result.state is RunState.FINISHED, result.reason
    costs = run.evaluations["cost_free"].tolist()
    assert len(costs) > 1
    assert costs[-1] < 0.15 <= min(costs[:-1])
    found = result.summary["stages"]["0"]
    assert found == {"stage": "repeat", "times": len(costs), "reached": True, "value": pytest.approx(costs[-1])}


@pytest.mark.parametrize("until", ["cost < 0.3", "running_cost_free <= 0.3", "held_rate >= 1", "steps > 59", "cost_free < 1e9"])
def test_names_of_what_was_found(tmp_path: Path, until: str) -> None:
    result, _ = run_sequence(tmp_path, f"repeat: {{until: '{until}', times: 40, sequence: [{TRAIN}, evaluate: {{samples: 3}}]}}")
    found = result.summary["stages"]["0"]
    assert found["reached"], found
    assert condition(until).holds({condition(until).name: found["value"]})


@pytest.mark.parametrize("of", ["test", "train"])
def test_what_training_evaluates_on_the_way_is_found(tmp_path: Path, of: str) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i / 30},{i / 60}\n" for i in range(30)), encoding="utf-8")
    table = "{kind: table, path: t.csv, inputs: [a], targets: [y], test_fraction: 0}"
    text = SMALL if of == "test" else SMALL.replace("{kind: legendre, degree: 4, samples: 60, test_samples: 12}", table)
    train = TRAIN.replace("samples: 20", "samples: 20, evaluate_every: {samples: 10}")
    result, _ = run_sequence(tmp_path, f"repeat: {{until: {of}_cost_free < 1e9, times: 2, sequence: [{train}]}}", text)
    assert result.summary["stages"]["0"]["reached"]
    with pytest.raises(FileErrors, match=f"no stage within finds '{of}_cost_free'"):
        run_sequence(tmp_path, f"repeat: {{until: {of}_cost_free < 1e9, times: 2, sequence: [{TRAIN}]}}", text)


def test_training_looks_at_the_test_set_so_that_the_training_set_has_no_number(tmp_path: Path) -> None:
    train = TRAIN.replace("samples: 20", "samples: 20, evaluate_every: {samples: 10}")
    repeat = "repeat: {until: train_cost_free < 1e9, times: 2, sequence: [%s]}"
    with pytest.raises(FileErrors, match=r"until: train_cost_free is found by no stage within: these data have a test set"):
        run_sequence(tmp_path, repeat % train)
    result, _ = run_sequence(tmp_path, repeat % f"{train}, evaluate: {{on: train, samples: 2}}")
    assert result.summary["stages"]["0"]["reached"]


def test_what_never_comes_true_ends_at_the_bound_and_is_said(tmp_path: Path) -> None:
    result, _ = run_sequence(tmp_path, f"repeat: {{until: cost < -1, times: 3, sequence: [{TRAIN}]}}")
    assert result.state is RunState.FINISHED
    found = result.summary["stages"]["0"]
    assert (found["times"], found["reached"]) == (3, False)
    (warning,) = result.warnings
    assert warning.startswith("cost < -1 did not come true in 3 rounds; it is ")


def test_reports_of_a_stage_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COUNTS, encoding="utf-8")
    result, _ = run_sequence(tmp_path, "repeat: {until: level < 3, sequence: [mine.py:count: {}]}")
    assert result.summary["stages"]["0"] == {"stage": "repeat", "times": 4, "reached": True, "value": 2.5}


def test_nested_ones_count_for_themselves_and_tell_the_outer_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COUNTS, encoding="utf-8")
    inner = "repeat: {until: n >= 2, times: 3, sequence: [mine.py:count: {}]}"
    result, run = run_sequence(tmp_path, f"repeat: {{until: n > 4, sequence: [{inner}]}}")
    assert result.state is RunState.FINISHED, result.reason
    stages = result.summary["stages"]
    assert (stages["0"]["times"], stages["0"]["value"]) == (4, 5.0)
    found = dict(zip(run.stages["path"], run.stages["result"], strict=True))
    assert [json.loads(found[f"0.{turn}.0"])["times"] for turn in range(4)] == [3, 1, 1, 1]
    assert run.stages["path"].tolist()[:4] == ["0", "0.0.0", "0.0.0.0.0", "0.0.0.1.0"]


def test_a_name_that_nothing_finds_is_said_after_the_first_round(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COUNTS, encoding="utf-8")
    sequence = "evaluate: {samples: 2}\nrepeat: {times: 2, sequence: [repeat: {until: levle < 3, sequence: [mine.py:count: {}]}]}"
    result, run = run_sequence(tmp_path, sequence)
    assert result.state is RunState.FAILED
    assert "sequence.1.repeat.sequence.0.repeat.until: no stage within found 'levle'" in result.reason
    assert "They found level, n." in result.reason
    assert len(run.reports) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{until: costs < 1, ", "Did you mean 'cost'?"),
        ("{until: level < 1, ", "They find beta, cost, cost_rose"),
        ("{until: cost == 1, ", "is no condition"),
        ("{until: __import__('os') < 1, ", "is no condition"),
        ("{until: cost < nan, ", "is no condition"),
        ("{until: 0.1 > cost, ", "is no condition"),
        ("{", "say how often with `times`, or until when with `until`"),
        ("{times: 0, ", "above 0"),
    ],
)
def test_mistakes_are_found_in_the_file(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(FileErrors) as caught:
        run_sequence(tmp_path, f"repeat: {options}sequence: [{TRAIN}]}}")
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert problem.key.startswith("sequence.0.repeat")
    assert problem.line == 9


@pytest.mark.usefixtures("shown_at_every_sample")
def test_the_round_is_shown_and_a_skip_leaves_its_stage_alone(tmp_path: Path) -> None:
    seen: list[Progress] = []
    requests = Requests()
    skipped: list[str] = []

    def watch(now: Progress) -> None:
        seen.append(now)
        if now.stage == "evaluate" and not skipped:
            skipped.append(now.path)
            requests.ask_skip("a test")

    stages = "[train: {beta: 0.2, samples: 20}, evaluate: {on: train, batch: 1}]"
    repeat = f"repeat: {{until: running_cost_free < 1e-9, times: 2, sequence: {stages}}}"
    text = SMALL.replace("train: {method: centered, beta: 0.2}", repeat)
    text = text.replace("  - evaluate: {}\n", "")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests, on_progress=watch)
    assert result.state is RunState.FINISHED, result.reason
    assert {now.rounds for now in seen if now.path.startswith("0.1.") and now.state == "running"} == {((2, 2),)}
    outcome = dict(zip(load_run(result.folder).stages["path"], load_run(result.folder).stages["outcome"], strict=True))
    assert [path for path, said in outcome.items() if said.startswith("skipped")] == skipped


def test_a_resumed_one_ends_where_a_whole_one_does(tmp_path: Path) -> None:
    inner = f"{{repeat: {{until: test_cost_free < 0.12, times: 2, sequence: [{TRAIN}, evaluate: {{samples: 6}}]}}}}"
    stage = f"repeat: {{until: test_cost_free < 0.1, times: 30, sequence: [{inner}]}}"
    text = SMALL.replace("train: {method: centered, beta: 0.2}", stage)
    with in_this_process(Watched) as opened:
        whole = run_experiment(experiment(tmp_path, text), runs=tmp_path / "whole")
    assert whole.summary["stages"]["0"]["reached"]
    assert whole.summary["stages"]["0"]["times"] > 2
    total = opened[0].moments
    for number, at in enumerate((total // 9, total // 3, 2 * total // 3)):
        requests = Requests()
        with in_this_process(watched(at, lambda requests=requests: requests.ask_stop("a test"))):  # type: ignore[misc]
            parts = run_experiment(experiment(tmp_path, text), runs=tmp_path / f"parts{number}", requests=requests)
        assert parts.state is RunState.STOPPED
        parts = resume_run(parts.folder)
        same_runs(load_run(whole.folder), load_run(parts.folder))
        assert json.dumps(parts.summary["stages"]) == json.dumps(whole.summary["stages"])


def test_checkpoints_and_summary_do_not_grow_with_the_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    save = checkpoint.save
    monkeypatch.setattr(
        checkpoint, "save", lambda folder, tree, step: sizes.append(len(pack(tree["sequence"]))) or save(folder, tree, step)
    )
    inner = "repeat: {times: 2, sequence: [evaluate: {samples: 1}]}"
    result, run = run_sequence(tmp_path, f"repeat: {{times: 40, sequence: [{inner}, evaluate: {{samples: 1}}]}}")
    assert result.state is RunState.FINISHED, result.reason
    assert len(run.stages) == 1 + 40 * 4
    assert set(result.summary["stages"]) == {"0", "0.39.0", "0.39.0.1.0", "0.39.1"}
    assert max(sizes[len(sizes) // 2 :]) < 1.1 * max(sizes[: len(sizes) // 4])


@pytest.mark.usefixtures("shown_at_every_sample")
def test_a_checkpoint_with_every_round_is_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the program before this one wrote it."""
    text = SMALL.replace("train: {method: centered, beta: 0.2}", f"repeat: {{times: 8, sequence: [{TRAIN}, evaluate]}}")
    whole = run_experiment(experiment(tmp_path, text), runs=tmp_path / "whole")
    requests = Requests()
    monkeypatch.setattr(Sequencer, "forget", lambda self, before=None: None)
    parts = run_experiment(
        experiment(tmp_path, text), runs=tmp_path / "parts", requests=requests,
        on_progress=lambda now: requests.ask_stop("a test") if now.path.startswith("0.5") else None,
    )  # fmt: skip
    assert parts.state is RunState.STOPPED
    assert "0.0.0" in parts.summary["stages"]
    monkeypatch.undo()
    parts = resume_run(parts.folder)
    same_runs(load_run(whole.folder), load_run(parts.folder))
    assert parts.summary["stages"] == whole.summary["stages"]
    assert set(whole.summary["stages"]) == {"0", "0.7.0", "0.7.1", "1"}
