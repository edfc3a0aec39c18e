"""Experiment files: every mistake at its line and all at once, presets, `--set`, and what the parts say of one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.experiment import Experiment, LoadedExperiment, load_experiment, preset_names, preset_text, to_yaml
from aeqlab.protocols.stages.train_options import TrainOptions

GOOD = """\
name: mine
device: {kind: simulated, energy: linear, epsilon: 0.1}
data: {kind: legendre}
homeostasis: {controller: integral, accept: {ticks: 50}}
sequence:
  - train: {method: centered, beta: 0.1}
  - evaluate
"""


def load(folder: Path, text: str, overrides: Sequence[str] = ()) -> LoadedExperiment:
    (folder / "f.yaml").write_text(text, encoding="utf-8")
    return load_experiment(folder / "f.yaml", overrides)


def problems_of(folder: Path, text: str, overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    with pytest.raises(FileErrors) as caught:
        load(folder, text, overrides)
    return caught.value.problems


def only_problem(folder: Path, text: str, overrides: Sequence[str] = ()) -> Problem:
    found = problems_of(folder, text, overrides)
    assert len(found) == 1, found
    return found[0]


def with_line(before: str, after: str) -> str:
    assert before in GOOD
    return GOOD.replace(before, after)


# one mistake each


@pytest.mark.parametrize(
    ("before", "after", "line", "key", "words"),
    [
        ("name: mine", "name: mi ne", 1, "name", "Letters, digits"),
        ("name: mine", "name: 007", 1, "name", "Put it in quotes: '007'"),
        ("name: mine\n", "name: mine\nsed: 1\n", 2, "sed", "Did you mean 'seed'?"),
        ("name: mine\n", "", 1, "name", "'name' is missing"),
        ("name: mine\n", "name: mine\nseed: 1.0\n", 2, "seed", "Write 1."),
        ("name: mine\n", "name: mine\nseed: -1\n", 2, "seed", "at least 0"),
        ("kind: simulated", "kind: simulatd", 2, "device.kind", "Did you mean 'simulated'?"),
        ("kind: simulated, ", "", 2, "device", "'kind' is missing"),
        ("energy: linear", "energy: liner", 2, "device.energy", "Did you mean linear?"),
        ("energy: linear", "enrgy: linear", 2, "device.enrgy", "Did you mean 'energy'?"),
        ("kind: legendre", "kind: legendre, samples: 1,000", 3, "data.000", "without a comma"),
        ("epsilon: 0.1", "epsilon: '0.1'", 2, "device.epsilon", "Take the quotes away"),
        ("epsilon: 0.1", "epsilon: 0", 2, "device.epsilon", "above 0"),
        ("epsilon: 0.1", "epsilon: high", 2, "device.epsilon", "a number or a list"),
        ("epsilon: 0.1", "epsilon: [0.1, 0.2]", 2, "device.epsilon", "21 knobs"),
        ("epsilon: 0.1", "options: {frequencis: 3}", 2, "device.options.frequencis", "Did you mean 'frequencies'?"),
        ("kind: legendre", "kind: legendr", 3, "data.kind", "Did you mean 'legendre'?"),
        ("kind: legendre", "kind: legendre, samples: 1e3", 3, "data.samples", "Write 1000."),
        ("integral", "integrl", 4, "homeostasis.controller", "Did you mean 'integral'?"),
        ("{ticks: 50}", "setled", 4, "homeostasis.accept", "Did you mean 'settled'?"),
        ("{ticks: 50}", "{ticks: 0}", 4, "homeostasis.accept.ticks", "at least 1"),
        ("{ticks: 50}", "50", 4, "homeostasis.accept", "a mapping {ticks: ...} or the word settled"),
        ("method: centered", "method: centred", 6, "sequence.0.train.method", "Did you mean 'centered'?"),
        ("beta: 0.1}", "beta: 0.1, shuffle: no}", 6, "sequence.0.train.shuffle", "Write false."),
        ("beta: 0.1}", "beta: 0.1, epochs: 1, samples: 9}", 6, "sequence.0.train", "not both"),
        ("beta: 0.1}", "bta: 0.1}", 6, "sequence.0.train.bta", "Did you mean 'beta'?"),
        ("- train:", "- trian:", 6, "sequence.0.trian", "Did you mean 'train'?"),
        ("- evaluate", "- evalute", 7, "sequence.1", "Did you mean 'evaluate'?"),
        ("- evaluate", "- 7", 7, "sequence.1", "a stage is expected here"),
        ("- evaluate", "- hold", 7, "sequence.1.hold.seconds", "'seconds' is missing"),
        ("- evaluate", "- {evaluate: , train: {beta: 1}}", 7, "sequence.1", "one stage per entry"),
        ("- evaluate\n", "- evaluate\nthen: frieze\n", 8, "then", "Did you mean 'freeze'?"),
        ("- evaluate\n", "- evaluate\ntags: nice\n", 8, "tags", "a list is expected"),
    ],
)
def test_a_mistake_is_said_with_its_line_and_how_to_mend_it(
    tmp_path: Path, before: str, after: str, line: int, key: str, words: str
) -> None:
    problem = only_problem(tmp_path, with_line(before, after))
    assert (problem.line, problem.key) == (line, key)
    assert words in str(problem)
    assert problem.file.endswith("f.yaml")


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("device.widths=784, 2048", "device.widths", "a list is expected"),
        ("device.gains=[1]", "device.gains", "one value per layer"),
        ("device.intervals=[[0, 1], [2, 1]]", "device.intervals", "the smaller one"),
        ("device.torch_device=gpu", "device.torch_device", "cpu, cuda"),
        ("device.stop=adaptiv", "device.stop", "Did you mean 'adaptive'?"),
        ("train.batch=100000", "sequence.0.train.batch", "60000 training samples"),
        ("data.kind=fashion", "data.kind", "Did you mean 'fashion-mnist'?"),
        ("data.flips=2", "data.flips", "at most 1"),
        ("train.method=null", "sequence.0.train.method", "not an empty value"),
    ],
)
def test_mistakes_about_the_network(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, override: str, key: str, words: str
) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    with pytest.raises(FileErrors) as caught:
        load_experiment("mnist-dense", [override])
    assert [(p.file, p.key) for p in caught.value.problems] == [(f"--set {override}", key)]
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("device.control_limits=[0]", "device.control_limits.1", "entry 2 is missing"),
        ("device.control_limits=[-20, 20]", "device.control_limits", "DAC"),
        ("device.batch=2", "device.batch", "1 is expected, not 2"),
        ("device.clock=real", "device.clock", "virtual, wall"),
        ("limits={controls: [-20, 1]}", "limits.controls", "-20 to 1 is not inside -10 to 10 V of every knob"),
        ("limits={controls: [1, 2]}", "limits.controls", "leaves its rest value 0 out"),
        ("limits={controls: [2, 1]}", "limits.controls", "the lower one first"),
        ("limits={inputs: [-2, 2]}", "limits.inputs", "not inside -1 to 1"),
        ("limits={inputs: [-0.5, 0.5]}", "data", "limits.inputs allows -0.5 to 0.5"),
        ("limits={beta: [-0.1, 2]}", "limits.beta", "not inside -1 to 1"),
        ("limits={beta: [0, 0.01]}", "sequence.0.train.beta", "limits.beta allows 0 to 0.01"),
        ("limits={slew: 1}", "limits.slew", "Known here: controls, inputs, beta, slew_per_s"),
        ("device.dac_bit=8", "device.dac_bit", "Did you mean 'dac_bits'?"),
        ("device.zzz=8", "device.zzz", "more."),
        ("data={kind: table, path: t.csv, inputs: [a], targets: [b], delimiter: x}", "data.delimiter", "',', ';'"),
    ],
)
def test_mistakes_about_the_slow_device(override: str, key: str, words: str) -> None:
    with pytest.raises(FileErrors) as caught:
        load_experiment("linear-slow", [override])
    assert [p.key for p in caught.value.problems] == [key]
    assert words in str(caught.value)


def test_limits_of_a_device_in_virtual_time_are_checked_too() -> None:
    with pytest.raises(FileErrors, match=r"limits\.slew_per_s: the simulated device chooses its own ticks"):
        load_experiment("linear-regression", ["limits.slew_per_s=1"])
    with pytest.raises(FileErrors, match=r"limits\.beta: even with the parameters held the energy has a minimum only above -1"):
        load_experiment("linear-regression", ["limits={beta: [-1.5, 1]}"])


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = """\
name: mine
name: yours
sed: 3
device: {kind: simulated, energy: linear, epsilon: "0.1"}
data: {kind: table, path: nowhere.csv, inputs: [a], targets: [b]}
sequence:
  - train: {method: cenered, beta: 0.1}
  - repeat:
      times: 3
      sequence:
        - train: {beta: 0.1, epochs: 1e3}
        - evaluate: {samples: 0}
  - evalute
then: frieze
"""
    found = problems_of(tmp_path, text)
    assert [p.line for p in found] == [2, 3, 4, 5, 7, 11, 12, 13, 14]
    assert found[5].key == "sequence.1.repeat.sequence.0.train.epochs"
    assert "nowhere.csv: no such file" in found[3].message


def test_a_flood_of_mistakes_is_cut(tmp_path: Path) -> None:
    found = problems_of(tmp_path, GOOD + "".join(f"k{i}: 1\n" for i in range(500)))
    assert len(found) == 101
    assert "400 more" in found[-1].message


@pytest.mark.parametrize(
    "text", ["", "- a\n", "just words\n", "3\n", "{}\n", "sequence: 3\ndevice: x\n", "device: {kind: [1]}\n"]
)
def test_files_that_are_no_experiment(tmp_path: Path, text: str) -> None:
    assert problems_of(tmp_path, text)


# presets and names


def test_presets_load_but_for_data_that_are_not_there(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    assert set(preset_names()) == {
        "linear-regression",
        "linear-slow",
        "compare-methods",
        "xor",
        "digits",
        "mnist-dense",
        "fashion-dense",
        "scan-knob",
        "tour",
        "tour-slow",
        "tour-engine",
    }
    for name in preset_names():
        loaded = load_experiment(name)
        assert loaded.experiment.name == name
        assert loaded.path is None
        assert loaded.text == preset_text(name)
        assert not loaded.warnings


def test_presets_hold_the_values_of_the_paper(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    regression, dense = load_experiment("linear-regression").experiment, load_experiment("mnist-dense").experiment
    assert regression.data is not None
    assert regression.data.model_dump()["degree"] == 10
    assert regression.device.model_dump()["epsilon"] == 0.1
    assert regression.homeostasis.model_dump()["accept"] == regression.settling.model_dump()["accept"] == {"ticks": 50}
    network = dense.device.model_dump()
    assert network["widths"] == (784, 2048, 10)
    assert (network["weight_couplings"], network["bias_couplings"]) == ((0.1, 0.05), (0.02, 0.01))
    train = dense.sequence[0].options
    assert isinstance(train, TrainOptions)
    assert (train.method, train.beta, train.batch, train.epochs, train.epsilon_decay) == ("centered", 0.5, 32, 200, 0.99)


def test_mnist_without_its_files_says_where_it_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileErrors, match="nowhere") as caught:
        load_experiment("mnist-dense")
    assert "AEQLAB_DATA" in str(caught.value)
    assert caught.value.problems[0].line == preset_text("mnist-dense").splitlines().index("data: {kind: mnist}") + 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("linear-regresion", "Did you mean 'linear-regression'?"),
        ("nope.yaml", "no such file"),
        ("nul\0", "neither"),
        ("x" * 5000, "neither"),
        (".", "folder"),
    ],
)
def test_names_that_are_neither_a_file_nor_a_preset(name: str, words: str) -> None:
    with pytest.raises(FileErrors) as caught:
        load_experiment(name)
    assert words in str(caught.value)


def test_a_file_goes_before_a_preset_of_its_name(tmp_path: Path) -> None:
    Path("linear-slow").write_text(GOOD, encoding="utf-8")
    assert load_experiment("linear-slow").experiment.name == "mine"


# there and back


def test_what_is_written_with_defaults_loads_to_an_equal_experiment(tmp_path: Path) -> None:
    text = GOOD + "notes: |\n  no\n  1e-3: ä\ntags: ['1e-3', 'no', 'null', '007']\noperator: 'true'\n"
    text = text.replace("- evaluate", "- evaluate\n  - repeat: {times: 2, sequence: [evaluate, {hold: {seconds: 1}}]}")
    first = load(tmp_path, text).experiment
    again = load(tmp_path, to_yaml(first)).experiment
    assert again == first
    assert to_yaml(again) == to_yaml(first)
    assert Experiment.model_validate(first.model_dump(mode="json")) == first


def test_presets_are_written_back(data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    for name in preset_names():
        experiment = load_experiment(name).experiment
        assert load(tmp_path, to_yaml(experiment)).experiment == experiment


# --set


def test_set_changes_values_and_the_first_stage_of_a_name(tmp_path: Path) -> None:
    overrides = ["seed=7", "device.epsilon=0.05", "train.epochs=3", "evaluate.samples=5", "homeostasis.accept.ticks=20"]
    overrides += ["device.options.frequencies=2", "settling={accept: {ticks: 9}}", "sequence.0.train.beta=1e-2", "notes=no"]
    experiment = load(tmp_path, GOOD, overrides).experiment
    train, evaluate = (entry.options.model_dump() for entry in experiment.sequence)
    assert (experiment.seed, train["epochs"], train["beta"], evaluate["samples"]) == (7, 3, 0.01, 5)
    assert experiment.device.model_dump()["epsilon"] == 0.05
    assert experiment.homeostasis.model_dump()["accept"] == {"ticks": 20}
    assert experiment.settling.model_dump()["accept"] == {"ticks": 9}
    assert experiment.notes == "no"


def test_set_finds_a_stage_within_a_repeat(tmp_path: Path) -> None:
    text = GOOD.replace("- evaluate", "- repeat: {times: 2, sequence: [{hold: {seconds: 1}}]}")
    assert load(tmp_path, text, ["hold.seconds=4"]).experiment.sequence[1].repeat is not None
    assert "seconds: 4.0" in to_yaml(load(tmp_path, text, ["hold.seconds=4"]).experiment)


def test_set_does_not_change_what_an_alias_repeats(tmp_path: Path) -> None:
    text = GOOD.replace("- train: {method: centered, beta: 0.1}", "- train: &t {beta: 0.1}\n  - train: *t")
    one, two = (e.options.model_dump()["beta"] for e in load(tmp_path, text, ["train.beta=0.2"]).experiment.sequence[:2])
    assert (one, two) == (0.2, 0.1)


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("train.epochs=abc", "sequence.0.train.epochs", "a whole number is expected"),
        ("train.epoch=1", "sequence.0.train.epoch", "Did you mean 'epochs'?"),
        ("sed=1", "sed", "Did you mean 'seed'?"),
        ("trian.beta=1", "trian.beta", "Did you mean 'train'?"),
        ("hold.seconds=1", "hold", "has no stage hold"),
        ("train.beta", "", "key=value"),
        ("=3", "", "key=value"),
        ("a..b=3", "", "key=value"),
        ("sequence.9.train.beta=1", "sequence.9.train.beta", "list of 2"),
        ("sequence.x.train.beta=1", "sequence.x.train.beta", "list of 2"),
        ("device.epsilon=[1,", "", "missing here"),
        ("seed=!!python/object/apply:os.system [ls]", "", "tag"),
        ("device.epsilon=1e999", "", "too large"),
    ],
)
def test_mistakes_in_set_point_at_set(tmp_path: Path, override: str, key: str, words: str) -> None:
    problem = next(p for p in problems_of(tmp_path, GOOD, [override]) if p.file == f"--set {override}")
    assert (problem.line, problem.column, problem.key) == (None, None, key)
    assert words in str(problem)


# the parts against one another


@pytest.mark.parametrize(
    ("before", "after", "key", "words"),
    [
        ("kind: legendre", "kind: legendre, samples: 5", "sequence.0.train.batch", "5 training samples"),
        ("energy: linear", "energy: hopfield", "data", "input"),
        ("data: {kind: legendre}\n", "", "sequence.0", "has no data"),
        ("beta: 0.1", "beta: 2.0", "sequence.0.train.beta", "Choose beta below 2."),
        ("centered, beta: 0.1", "pessimistic, beta: 1", "sequence.0.train.beta", "Choose beta below 1."),
        ("integral", "integral, ki: [1, 2]", "homeostasis.ki", "2 values for 21 knobs"),
        ("energy: linear", "energy: none.py:Net", "device.energy", "no file"),
        ("kind: legendre", "kind: function, function: 'none.py:make'", "data.function", "no file"),
        ("kind: legendre", "kind: function, function: none", "data.function", "file.py:function"),
        ("- evaluate", "- restore: {theta: none.npy}", "sequence.1.restore.theta", "no file"),
        ("- evaluate", "- hold: {seconds: 1, sample: 1000}", "sequence.1.hold.sample", "1000 training samples"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, before: str, after: str, key: str, words: str) -> None:
    text = with_line(before, after)
    if "batch" in key:
        text = text.replace("energy: linear", "energy: linear, batch: 8").replace("beta: 0.1", "beta: 0.1, batch: 8")
    problem = next(p for p in problems_of(tmp_path, text) if p.key == key)
    assert words in str(problem)
    assert problem.line is not None


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("integral", "ideal", "homeostasis.controller"),
        ("centered, beta: 0.1", "sgd, learning_rate: 0.1", "sequence.0.train.method"),
        ("beta: 0.1", "beta: 2.1", "sequence.0.train.beta"),
        ("beta: 0.1", "beta: 0.1, batch: 2", "sequence.0.train.batch"),
    ],
)
def test_what_a_slow_device_cannot_do(tmp_path: Path, before: str, after: str, key: str) -> None:
    text = with_line(before, after).replace("kind: simulated", "kind: slow")
    assert key in [p.key for p in problems_of(tmp_path, text)]


def test_mistakes_of_one_part_do_not_hide_those_between_others(tmp_path: Path) -> None:
    found = problems_of(tmp_path, with_line("beta: 0.1", "beta: 2.5") + "nots: x\n")
    assert [p.key for p in found] == ["sequence.0.train.beta", "nots"]


def test_a_nudge_bounded_only_with_parameters_held_is_a_warning(tmp_path: Path) -> None:
    loaded = load(tmp_path, with_line("beta: 0.1", "beta: 1.0"))
    assert [w.key for w in loaded.warnings] == ["sequence.0.train.beta"]
    assert loaded.warnings[0].line == 6
    assert "-0.4762" in loaded.warnings[0].message  # 1 / (1 + epsilon |phi|^2) with |phi|^2 = 11


def test_batches_of_a_table_are_checked_when_it_is_loaded_and_widths_before(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,3\n", encoding="utf-8")
    text = with_line("{kind: legendre}", "{kind: table, path: t.csv, inputs: [a, b], targets: [y]}")
    assert "table has 2 inputs per sample" in only_problem(tmp_path, text).message


def test_paths_resolve_from_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    np.savez(folder / "t.npz", x=np.zeros(5), y=np.zeros(5))
    text = with_line("{kind: legendre}", "{kind: table, path: t.npz, inputs: [x], targets: [y]}")
    (folder / "f.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_experiment("elsewhere/f.yaml").base == folder.resolve()


def test_code_that_a_file_names_is_not_run_by_loading(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("open('canary', 'w').close()\nclass Net: pass\ndef make(): pass\n", encoding="utf-8")
    text = with_line("energy: linear", "energy: mine.py:Net, coupling: mine.py:Net, cost: mine.py:Net")
    text = text.replace("{kind: legendre}", "{kind: function, function: mine.py:make}")
    load(tmp_path, text)
    assert not list(tmp_path.rglob("canary"))


def test_a_problem_found_later_has_its_place(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD)
    problem = loaded.problem("sequence.0.train.beta", "too strong", "Lower it.")
    assert (problem.line, problem.column) == (6, 37)
    assert loaded.problem("data.path", "missing").line == 3


@pytest.mark.parametrize("value", ["1e400", ".nan"])
def test_a_value_no_computer_holds_is_one_mistake(value: str, tmp_path: Path) -> None:
    with pytest.raises(FileErrors) as by_override:
        load_experiment("linear-regression", [f"train.beta={value}"])
    path = tmp_path / "e.yaml"
    text = "device: {kind: simulated, energy: linear}\ndata: {kind: legendre}\nsequence:\n"
    path.write_text(f"name: e\n{text}  - train: {{method: centered, beta: {value}}}\n", encoding="utf-8")
    with pytest.raises(FileErrors) as in_file:
        load_experiment(path)
    for raised in (by_override, in_file):
        assert len(raised.value.problems) == 1
        assert "number" in raised.value.problems[0].message
