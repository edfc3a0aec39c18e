"""The stage `compare`: the same start and samples for every method, spans in the record, budgets, files, skip and resume."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import SMALL, experiment

from aeqlab.protocols import load_run
from aeqlab.protocols.comparing import _Span
from aeqlab.protocols.comparison import Curve, Spread, summarise, write_csv
from aeqlab.protocols.comparison_figure import draw
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import RunResult
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.train_options import TrainOptions

STAGE = """compare:
      methods:
        aeqprop: {method: centered, beta: 0.5}
        probing: {method: spsa, learning_rate: 0.01, perturbation: 0.01}
      seeds: 2
      start: {theta: random, spread: 0.3}
      samples: 20
      evaluate_every: 10
      target: cost < 0.2"""
TEXT = SMALL.replace("train: {method: centered, beta: 0.2}\n  - evaluate: {}", STAGE)


def compared(folder: Path, text: str = TEXT, **more: Any) -> tuple[RunResult, Run]:
    result = run_experiment(experiment(folder, text), runs=folder / "runs", **more)
    return result, load_run(result.folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Run]:
    """Run the comparison of TEXT once for all tests that only look at it."""
    return compared(tmp_path_factory.mktemp("tiny"))


def spans(run: Run) -> dict[str, dict[str, Any]]:
    """Get what each span found, by its place."""
    rows = run.stages
    return {rows["path"][i]: json.loads(rows["result"][i] or "{}") for i in range(len(rows)) if rows["path"][i].count(".") == 2}


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Get the names in the legend of the figure."""
    from matplotlib.figure import Figure

    names: list[str] = []
    legend = Figure.legend
    monkeypatch.setattr(
        Figure, "legend", lambda self, handles, given, **more: names.extend(given) or legend(self, handles, given, **more)
    )
    return names


def test_a_tiny_comparison_has_spans_files_and_a_table(tiny: tuple[RunResult, Run]) -> None:
    result, run = tiny
    assert result.state is RunState.FINISHED, result.reason
    found = spans(run)
    assert list(found) == ["0.0.0", "0.0.1", "0.1.0", "0.1.1"]
    assert list(run.stages["kind"]) == ["compare", "train", "train", "train", "train"]
    assert [found[place]["seed"] for place in found] == [5, 5, 6, 6]
    png = (result.folder / "comparison.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert 5_000 < len(png) < 300_000
    rows = list(csv.DictReader((result.folder / "comparison.csv").open(encoding="utf-8")))
    assert [(row["name"], row["method"], row["seeds"]) for row in rows] == [
        ("aeqprop", "centered", "2"), ("probing", "spsa", "2"),
    ]  # fmt: skip
    assert all(float(row["cost_at_equal_samples_lowest"]) <= float(row["cost_at_equal_samples_median"]) for row in rows)
    assert rows[0]["equal_samples"] == "20"
    assert result.summary["figure"] == "comparison.png"
    assert set(result.summary["methods"]) == {"aeqprop", "probing"}
    assert result.summary["steps"] == 80
    assert len(run.steps) == 80


def test_every_method_has_the_same_start_samples_and_evaluations(tiny: tuple[RunResult, Run]) -> None:
    _, run = tiny
    found = spans(run)
    stage_of = {run.stages["path"][i]: run.stages["id"][i] for i in range(len(run.stages))}
    orders = {place: run.steps["sample"][run.steps["stage"] == stage_of[place]] for place in found}
    for turn in (0, 1):
        ours, theirs = (found[f"0.{turn}.{index}"]["points"] for index in (0, 1))
        assert [p["samples"] for p in ours] == [p["samples"] for p in theirs] == [*range(20), 20][: len(ours)]
        assert ours[0]["samples"] == ours[0]["reads"] == ours[0]["seconds"] == 0
        assert ours[0]["cost_free"] == pytest.approx(theirs[0]["cost_free"], rel=0.05)  # both held at the same theta, by 12 ticks
        np.testing.assert_array_equal(orders[f"0.{turn}.0"], orders[f"0.{turn}.1"])
    theta = {place: run.steps["theta"][run.steps["stage"] == stage_of[place]][0] for place in found}
    assert np.abs(theta["0.0.0"] - theta["0.0.1"]).max() < 0.15  # one step from the same start
    assert np.abs(theta["0.0.0"] - theta["0.1.0"]).max() > 0.3  # another seed


def test_readouts_and_time_are_those_of_the_training_alone(tiny: tuple[RunResult, Run]) -> None:
    _, run = tiny
    for result in spans(run).values():
        last = result["points"][-1]
        assert last["reads"] == 20 * 2 * 12  # two phases of 12 ticks each: no free phase, no evaluation, no way to the start
        assert last["seconds"] > 0
        assert (np.diff([p["seconds"] for p in result["points"]]) > 0).all()


@pytest.mark.parametrize(("budget", "done"), [("reads: 120", 5), ("samples: 7", 7), ("samples: 40\n      reads: 240", 10)])
def test_a_budget_ends_a_span(tmp_path: Path, budget: str, done: int) -> None:
    _, run = compared(tmp_path, TEXT.replace("samples: 20\n      evaluate_every", f"{budget}\n      evaluate_every"))
    for result in spans(run).values():
        assert result["points"][-1]["samples"] == result["steps"] == done


@pytest.mark.slow
def test_a_budget_of_device_time_ends_a_span(tmp_path: Path, tiny: tuple[RunResult, Run]) -> None:
    _, whole = tiny
    spent = spans(whole)["0.0.0"]["points"]
    limit = spent[10]["seconds"] * 0.999
    folder = tmp_path / "timed"
    folder.mkdir()
    _, run = compared(folder, TEXT.replace("samples: 20\n      evaluate_every", f"seconds: {limit:.9f}\n      evaluate_every"))
    assert spans(run)["0.0.0"]["points"] == spent[:11]


def test_samples_of_a_method_go_before_those_of_all(tmp_path: Path) -> None:
    _, run = compared(tmp_path, TEXT.replace("beta: 0.5}", "beta: 0.5, samples: 4}"))
    assert [result["steps"] for result in spans(run).values()] == [4, 20, 4, 20]


def test_theta_of_now_is_the_start_of_every_span(tmp_path: Path) -> None:
    text = TEXT.replace("      start: {theta: random, spread: 0.3}\n", "").replace(
        "  - compare:", "  - train: {method: centered, beta: 0.5, samples: 10}\n  - compare:"
    )
    _, run = compared(tmp_path, text)
    first = [result["points"][0]["cost_free"] for place, result in spans(run).items() if place.startswith("1.0.")]
    assert first[0] == pytest.approx(first[1], rel=0.05)


def test_a_resume_goes_on_between_spans_and_ends_like_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: tuple[RunResult, Run]
) -> None:
    whole, _ = tiny
    requests, look = Requests(), _Span._look

    def stop_in_the_third(self: _Span) -> None:
        look(self)
        if self.session.sequencer.path == (0, 1, 0) and self.done == 6:
            requests.ask_stop("a test")

    monkeypatch.setattr(_Span, "_look", stop_in_the_third)
    folder = tmp_path / "halves"
    folder.mkdir()
    halves, before = compared(folder, requests=requests)
    assert halves.state is RunState.STOPPED
    assert not (halves.folder / "comparison.csv").exists()
    assert spans(before)["0.0.1"]["points"]
    monkeypatch.undo()
    ended = resume_run(halves.folder)
    assert ended.state is RunState.FINISHED, ended.reason
    assert (ended.folder / "comparison.csv").read_bytes() == (whole.folder / "comparison.csv").read_bytes()
    ours, theirs = load_run(whole.folder), load_run(ended.folder)
    assert {place: result["points"] for place, result in spans(ours).items()} == {
        place: result["points"] for place, result in spans(theirs).items()
    }
    np.testing.assert_array_equal(ours.steps["theta"], theirs.steps["theta"])
    assert "stage 0.1.0 (aeqprop)" in " ".join(theirs.events["text"])
    assert ended.summary["steps"] == 80


def test_a_span_can_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, look = Requests(), _Span._look

    def skip_the_second(self: _Span) -> None:
        look(self)
        if self.session.sequencer.path == (0, 0, 1) and self.done == 3:
            requests.ask_skip("a test")

    monkeypatch.setattr(_Span, "_look", skip_the_second)
    result, run = compared(tmp_path, requests=requests)
    assert result.state is RunState.FINISHED, result.reason
    outcomes = dict(zip(run.stages["path"], run.stages["outcome"], strict=True))
    assert outcomes["0.0.1"].startswith("skipped")
    assert outcomes["0.1.1"] == "finished"
    rows = list(csv.DictReader((result.folder / "comparison.csv").open(encoding="utf-8")))
    assert [row["seeds"] for row in rows] == ["2", "1"]


@pytest.mark.parametrize("rate", ["1000", "1e150"])
def test_a_method_that_runs_away_ends_its_span_and_spoils_no_other(tmp_path: Path, rate: str, labels: list[str]) -> None:
    text = TEXT.replace(
        "probing: {method: spsa, learning_rate: 0.01, perturbation: 0.01}", f"wild: {{method: sgd, learning_rate: {rate}}}"
    )
    result, run = compared(tmp_path, text)
    assert result.state is RunState.FINISHED, result.reason
    found = spans(run)
    assert "diverged" in found["0.0.1"]
    assert "diverged" not in found["0.1.0"]
    assert len(found["0.1.0"]["points"]) == 21
    healthy, wild = csv.DictReader((result.folder / "comparison.csv").open(encoding="utf-8"))
    assert (healthy["equal_samples"], wild["equal_samples"]) == ("20", "20")
    assert (healthy["diverged"], wild["diverged"]) == ("0", "2")
    assert float(healthy["cost_at_equal_seconds_highest"]) < 1
    assert wild["cost_at_equal_samples_lowest"] == wild["cost_at_equal_seconds_median"] == "inf"
    said = result.summary["methods"]
    assert said["wild"] == "ran away in 2 of 2 seeds; cost infinite at equal time"
    assert "ran away" not in said["aeqprop"]
    assert labels == ["aeqprop", "wild (ran away in 2 of 2 seeds)"]


def test_where_every_method_runs_away_no_cost_is_told(tmp_path: Path) -> None:
    wild = "{method: sgd, learning_rate: 1e150}"
    text = TEXT.replace("{method: spsa, learning_rate: 0.01, perturbation: 0.01}", wild).replace(
        "{method: centered, beta: 0.5}", wild
    )
    result, run = compared(tmp_path, text)
    assert result.state is RunState.FINISHED, result.reason
    assert np.abs(run.theta).max() < 10  # not where it ran to
    assert all("2 of 2 seeds; cost infinite at equal time" in said for said in result.summary["methods"].values())
    assert (result.folder / "comparison.png").stat().st_size > 5_000
    assert {row["equal_seconds"] for row in csv.DictReader((result.folder / "comparison.csv").open(encoding="utf-8"))} == {""}


def test_what_the_run_keeps_is_not_touched_by_other_seeds(tmp_path: Path) -> None:
    text = TEXT.replace("- compare:", "- evaluate: {}\n  - compare:").replace(
        "then:", "  - train: {method: centered, beta: 0.2, samples: 5}\nthen:"
    )
    _, run = compared(tmp_path, text)
    assert run.best["step"] == 0  # that of the evaluation before: costs of other targets are no better or worse
    assert run.steps["epoch"][-1] == 0


def test_coupled_learning_is_labelled_in_table_and_figure(tmp_path: Path, labels: list[str]) -> None:
    text = TEXT.replace("probing: {method: spsa, learning_rate: 0.01, perturbation: 0.01}",
                        "clamped: {method: coupled, beta: 0.5, learning_rate: 0.05}")  # fmt: skip
    result, _ = compared(tmp_path, text)
    rows = list(csv.DictReader((result.folder / "comparison.csv").open(encoding="utf-8")))
    assert [row["follows"] for row in rows] == ["the gradient", "not the gradient"]
    assert labels == ["aeqprop", "clamped (not the gradient)"]
    assert "not the gradient" in result.summary["methods"]["clamped"]


@pytest.mark.parametrize(
    ("before", "after", "key", "words"),
    [
        ("samples: 20\n", "target: cost < 0.1\n", "", "would never end"),
        ("target: cost < 0.2", "target: loss < 0.2", "target", "cost"),
        ("target: cost < 0.2", "target: cost < 1.2.3", "target", "cost"),
        ("beta: 0.5", "beta: 0.5, epochs: 3", "", "epochs and evaluate_every are not for compare"),
        ("method: spsa, learning_rate: 0.01, perturbation: 0.01", "method: centered, beta: 2.5", "methods.probing.beta",
         "nudges with -1.25"),
        ("method: spsa, learning_rate: 0.01, perturbation: 0.01", "method: autodiff, learning_rate: 1, through: unrolled",
         "methods.probing.through", "needs Unrolls"),
        ("theta: random", "theta: none.npy", "start.theta", "no file none.npy"),
        ("evaluate_every: 10", "evaluate: {on: test}", "evaluate.on", "no test samples"),
    ],
)  # fmt: skip
def test_a_check_finds_what_is_wrong(tmp_path: Path, before: str, after: str, key: str, words: str) -> None:
    text = TEXT.replace(before, after)
    if "on: test" in after:
        (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i / 9},{i}\n" for i in range(10)), encoding="utf-8")
        text = text.replace(
            "{kind: legendre, degree: 4, samples: 60, test_samples: 12}",
            "{kind: table, path: t.csv, inputs: [a], targets: [y], test_fraction: 0}",
        )
    with pytest.raises(FileErrors) as caught:
        experiment(tmp_path, text)
    wanted = [p for p in caught.value.problems if words in str(p)]
    assert wanted, str(caught.value)
    assert wanted[0].key.endswith(key)
    assert wanted[0].line is not None


def curve(
    name: str, seed: int, samples: list[float], costs: list[float], seconds: float = 1.0, *, diverged: bool = False
) -> Curve:
    points = [
        {"samples": n, "reads": 10 * n, "seconds": seconds * n, "cost_free": c} for n, c in zip(samples, costs, strict=True)
    ]
    return Curve.of(name, "the gradient", TrainOptions(method="sgd", learning_rate=1), seed, points, diverged=diverged)


def test_the_table_takes_medians_at_equal_samples_reads_and_time(tmp_path: Path) -> None:
    curves = [
        curve("fast", 1, [0, 10, 20], [4.0, 1.0, 0.5]), curve("fast", 2, [0, 10, 20], [4.0, 2.0, 0.7]),
        curve("fast", 3, [0, 10, 20], [4.0, 3.0, 0.9]),
        curve("dear", 1, [0, 10], [4.0, 0.4], 5.0), curve("dear", 2, [0, 10], [4.0, 0.6], 5.0),
        curve("dear", 3, [0, 10], [4.0, 5.0], 5.0),
    ]  # fmt: skip
    summary = summarise(curves, ("cost_free", 0.8))
    fast, dear = summary.rows
    assert summary.equal == {"samples": 10, "reads": 100, "seconds": 20}
    assert fast.cost_at["samples"] == Spread(2.0, 1.0, 3.0)
    assert fast.cost_at["seconds"] == Spread(0.7, 0.5, 0.9)
    assert dear.cost_at["seconds"] == Spread(4.0, 4.0, 4.0)  # its next point came after 50 s
    assert fast.to_target["samples"] == Spread(20, 20, math.inf)
    assert fast.reached == dear.reached == 2
    assert dear.to_target["seconds"] == Spread(50, 50, math.inf)
    write_csv(tmp_path / "c.csv", summary)
    rows = list(csv.DictReader((tmp_path / "c.csv").open(encoding="utf-8")))
    assert (rows[1]["seconds_to_target_median"], rows[1]["seconds_to_target_highest"]) == ("50", "")
    assert rows[0]["target"] == "cost_free < 0.8"


def test_one_seed_that_runs_away_leaves_equal_and_the_others_as_they_are() -> None:
    curves = [
        curve("steady", 1, [0, 10, 20], [4.0, 1.0, 0.5]), curve("steady", 2, [0, 10, 20], [4.0, 2.0, 0.7]),
        curve("wild", 1, [0, 5, 20], [4.0, 0.3, 0.2]), curve("wild", 2, [0, 5], [4.0, 0.4], diverged=True),
    ]  # fmt: skip
    summary = summarise(curves, ("cost_free", 0.45))
    assert summary.equal == {"samples": 20, "reads": 200, "seconds": 20}
    steady, wild = summary.rows
    assert (steady.diverged, wild.diverged) == (0, 1)
    assert wild.cost_at["samples"] == Spread(math.inf, 0.2, math.inf)
    assert wild.to_target["samples"] == Spread(5, 5, 5)  # before it ran away
    said = wild.in_words("cost < 0.45")
    assert said.startswith("ran away in 1 of 2 seeds; cost infinite (0.2 to infinite) at equal time; cost < 0.45 after 5 samples")
    assert list(curves[3].at("samples", np.array([0, 5, 5.1]))) == [4.0, 0.4, math.inf]


def test_a_figure_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def full(self: Figure, file: Path, **more: Any) -> None:
        file.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Figure, "savefig", full)
    options = CompareOptions(methods={"steady": TrainOptions(beta=1)}, samples=20)
    with pytest.raises(OSError, match="full"):
        draw(tmp_path / "comparison.png", [curve("steady", 1, [0, 10, 20], [4.0, 1.0, 0.5])], options, cost_unit="V²")
    assert not list(tmp_path.iterdir())


def test_what_is_not_known_is_no_number_in_a_spread() -> None:
    assert str(Spread.of([math.nan, 1.0, 2.0])) == str(Spread(2.0, 1.0, math.nan))
    assert Spread.of([math.nan, 1.0]).in_words("infinite") == "not known (1 to not known)"


def test_a_target_that_is_not_reached_is_infinitely_far() -> None:
    assert Spread.of([1.0, math.inf]) == Spread(math.inf, 1.0, math.inf)
    assert Spread.of([math.inf, math.inf]).in_words("never") == "never"
    assert Spread.of([1.0, 2.0, math.inf]).in_words("never") == "2 (1 to never)"
    assert CompareOptions(methods={"a": TrainOptions(beta=1)}, samples=1, target="error<1e-2").goal == ("error_rate", 0.01)


@pytest.mark.slow
def test_the_preset_runs_every_method_on_the_slow_device(tmp_path: Path) -> None:
    names = ["aeqprop", "spsa", "finite differences", "sgd", "autodiff", "eqprop"]
    few = [f"compare.methods.{name}.samples=1" for name in names]
    loaded = load_experiment("compare-methods", ["compare.seeds=1", "device.options.frequencies=2", *few])
    assert not loaded.warnings
    result = run_experiment(loaded, runs=tmp_path)
    assert result.state is RunState.FINISHED, result.reason
    found = spans(load_run(result.folder))
    assert [one["name"] for one in found.values()] == names
    first, last = ([one["points"][i] for one in found.values()] for i in (0, -1))
    assert len({round(point["cost_free"], 12) for point in first}) == 1  # evaluated by the equations at the very same theta
    assert last[4]["cost_free"] == pytest.approx(last[3]["cost_free"], rel=1e-3)  # autodiff at an equilibrium is sgd
    reads = dict(zip(names, [point["reads"] for point in last], strict=True))
    assert reads["finite differences"] > 3 * reads["spsa"] > 3 * reads["sgd"] > 0
