"""Tables: which rows are kept for evaluation, and scaling onto the device and back to the user's units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aeqlab.backends.device import knobs
from aeqlab.protocols import load_run
from aeqlab.protocols.check import check
from aeqlab.protocols.data import Data, data_widths, load_data
from aeqlab.protocols.errors import DataError, FileErrors
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.samples import Samples
from aeqlab.protocols.scaling import ScaleSettings, scaled
from aeqlab.protocols.table import TableSettings

ROWS = "p,q,use,y\n" + "".join(f"{i},{-i * i},{'test' if i % 4 == 3 else 'train'},{2 * i}\n" for i in range(12))


def table(folder: Path, text: str = ROWS, **more: Any) -> TableSettings:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return TableSettings(path="t.csv", **{"inputs": ["p", "q"], "targets": ["y"], **more})


def both(data: Data) -> tuple[Samples, Samples]:
    assert data.test is not None
    return data.train, data.test


# splits


def test_the_last_rows_are_kept_in_their_order(tmp_path: Path) -> None:
    train, test = both(load_data(table(tmp_path, split="last", test_fraction=0.25), seed=1, base=tmp_path))
    np.testing.assert_array_equal(train.inputs[:, 0], np.arange(9))
    np.testing.assert_array_equal(test.inputs[:, 0], [9, 10, 11])


@pytest.mark.parametrize(
    ("train_word", "test_word"), [("train", "test"), ("0", "1"), ("Training", " TEST "), ("0.0", "1.0"), ("0", "test")]
)
def test_a_column_says_which_rows_are_for_the_test(tmp_path: Path, train_word: str, test_word: str) -> None:
    text = ROWS.replace("train", train_word).replace("test", test_word)
    settings = table(tmp_path, text, split="column", split_column="use")
    train, test = both(load_data(settings, seed=1, base=tmp_path))
    np.testing.assert_array_equal(test.inputs[:, 0], [3, 7, 11])
    np.testing.assert_array_equal(train.inputs[:, 0], [0, 1, 2, 4, 5, 6, 8, 9, 10])
    widths = data_widths(settings, tmp_path)
    assert widths is not None
    assert (widths.inputs, widths.outputs) == (2, 1)


@pytest.mark.parametrize(
    "marks", [np.array([0, 1, 1, 0]), np.array([False, True, True, False]), np.array([[0.0], [1], [1], [0]])]
)
def test_an_array_says_which_rows_are_for_the_test(tmp_path: Path, marks: np.ndarray) -> None:
    np.savez(tmp_path / "t.npz", x=np.arange(8.0).reshape(4, 2), y=np.arange(4), use=marks)
    settings = TableSettings(path="t.npz", inputs=["x"], targets=["y"], split="column", split_column="use")
    train, test = both(load_data(settings, seed=1, base=tmp_path))
    np.testing.assert_array_equal(train.targets[:, 0], [0, 3])
    np.testing.assert_array_equal(test.targets[:, 0], [1, 2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "column"}, "needs split_column"),
        ({"split": "column", "split_column": "use", "test_fraction": 0.2}, "test_fraction is for split: random and last"),
        ({"split": "last", "split_column": "use"}, "this has split: last"),
        ({"split": "first"}, "random"),
    ],
)
def test_a_split_said_twice_or_by_halves_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        table(tmp_path, **change)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        (ROWS.replace("7,-49,test", "7,-49,maybe"), "use", "line 9, column use: 'maybe' is neither train nor test"),
        (ROWS.replace("7,-49,test", "7,-49,2"), "use", "line 9, column use: '2' is neither"),
        (ROWS.replace("train", "test"), "use", "makes every row a test row"),
        (ROWS, "uses", "no column 'uses'. Did you mean 'use'"),
        (ROWS, "y", "cannot be an input or a target"),
    ],
)
def test_a_split_column_that_is_not_right(tmp_path: Path, text: str, column: str, words: str) -> None:
    settings = table(tmp_path, text, split="column", split_column=column)
    with pytest.raises(DataError) as caught:
        load_data(settings, seed=1, base=tmp_path)
    assert words in str(caught.value)


def test_an_array_that_marks_anything_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.arange(4.0), y=np.arange(4), use=np.array([0, 1, 2, 0]))
    settings = TableSettings(path="t.npz", inputs=["x"], targets=["y"], split="column", split_column="use")
    with pytest.raises(DataError, match=r"'use' must say 0 \(train\) or 1 \(test\)"):
        load_data(settings, seed=1, base=tmp_path)


# scaling

KNOBS = knobs(("a", "b"), unit="V", low=np.array([-1.0, 0.0]), high=np.array([1.0, 5.0]))


def prepared(folder: Path, text: str = ROWS, **scale: Any) -> tuple[Data, Data, list[str]]:
    raw = load_data(table(folder, text, split="last", test_fraction=0.25, scale=ScaleSettings(**scale)), seed=1, base=folder)
    return raw, *scaled(raw, KNOBS)


def test_the_training_rows_fill_the_limits_and_come_back(tmp_path: Path) -> None:
    raw, data, _ = prepared(tmp_path, inputs="limits", targets=(0.0, 1.0), ranges={"p": (0, 11), "q": (-121, 0), "y": (0, 22)})
    assert data.to_scale is None
    assert data.scaling is not None
    for part, before in zip(both(data), both(raw), strict=True):
        np.testing.assert_allclose(part.inputs[:, 0], -1 + 2 * before.inputs[:, 0] / 11)
        np.testing.assert_allclose(part.inputs[:, 1], 5 * (1 + before.inputs[:, 1] / 121))
        np.testing.assert_allclose(part.targets[:, 0], before.targets[:, 0] / 22)
        np.testing.assert_allclose(data.scaling.inputs.invert(part.inputs), before.inputs, atol=1e-12)
        np.testing.assert_allclose(data.scaling.targets.invert(part.targets), before.targets, atol=1e-12)
    assert data.describe()["scaling"] == {
        "inputs": [
            {"column": "p", "range": [0.0, 11.0], "onto": [-1.0, 1.0]},
            {"column": "q", "range": [-121.0, 0.0], "onto": [0.0, 5.0]},
        ],
        "targets": [{"column": "y", "range": [0.0, 22.0], "onto": [0.0, 1.0]}],
    }


def test_the_range_is_that_of_the_training_rows_alone(tmp_path: Path) -> None:
    _, data, told = prepared(tmp_path, targets=(-1.0, 1.0))
    assert data.scaling is not None
    assert (data.train.targets.min(), data.train.targets.max()) == (-1, 1)
    assert both(data)[1].targets.max() == pytest.approx(-1 + 2 * 22 / 16)  # told, not clipped
    np.testing.assert_array_equal(data.train.inputs[:, 0], np.arange(9))  # inputs as they were
    assert told == [
        f"{tmp_path / 't.csv'}: 3 rows lie outside the training range of column y; first line 11: 18, range 0 to 16. "
        "Scaled along with the others, not clipped."
    ]


def test_a_row_that_would_land_outside_a_knob_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, inputs="limits")
    said = str(caught.value)
    assert "t.csv, line 11, column p: 9 would be 1.25 V on knob a, which takes -1 to 1 V. So do 2 more rows." in said
    with pytest.raises(DataError, match=r"line 8, column p: 6 would be 1\.125 V on knob a"):
        prepared(tmp_path, inputs=(0.0, 1.5))
    prepared(tmp_path, inputs=(0.3, 0.5))  # here the test rows fit


@pytest.mark.parametrize(
    ("text", "scale", "words"),
    [
        ("p,q,y\n1,2,3\n1,4,5\n9,4,9\n", {"inputs": "limits"}, "column p is 1 in every training row"),
        ("p,q,y\n-1e308,2,3\n1e308,4,5\n0,2,4\n", {"inputs": "limits"}, "column p lie too far apart"),
        (ROWS, {"targets": (0.0, 1.0), "ranges": {"y": (-1e308, 1e308)}}, "column y lie too far apart"),
        ("p,q,y\n0,2,0\n5e-324,4,5e-324\n1,2,1\n", {"targets": (0.0, 1.0)}, "column y lie too far apart"),
        (ROWS, {"targets": (0.0, 1.0), "ranges": {"p": (0, 9)}}, "'p' is no column that is scaled"),
        (ROWS, {"inputs": "limits", "ranges": {"pp": (0, 9)}}, "'pp' is no column that is scaled. Did you mean 'p'"),
    ],
)
def test_what_cannot_be_scaled_is_said(tmp_path: Path, text: str, scale: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, text, **scale)
    assert words in str(caught.value)


def test_a_knob_without_limits_gives_nothing_to_scale_onto(tmp_path: Path) -> None:
    raw = load_data(table(tmp_path, scale=ScaleSettings(inputs="limits")), seed=1, base=tmp_path)
    with pytest.raises(DataError, match=r"input knob x1 has no limits to scale q onto\. Say inputs: \[low, high\]"):
        scaled(raw, knobs(("x0", "x1"), low=-1.0, high=np.array([1.0, np.inf])))


@pytest.mark.parametrize("wrong", [{}, {"inputs": (1.0, 0.0)}, {"inputs": "limit"}, {"targets": (0, 1), "ranges": {"y": (3, 3)}}])
def test_scaling_onto_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScaleSettings(**wrong)


def test_the_columns_of_an_array_are_scaled_one_by_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([[0.0, 10], [1, 30], [2, 20]]), y=np.arange(3))
    settings = TableSettings(path="t.npz", inputs=["x"], targets=["y"], test_fraction=0, scale=ScaleSettings(inputs=(0.0, 1.0)))
    data, _ = scaled(load_data(settings, seed=1, base=tmp_path), KNOBS)
    np.testing.assert_array_equal(data.train.inputs, [[0, 0], [0.5, 1], [1, 0.5]])
    assert [row["column"] for row in data.describe()["scaling"]["inputs"]] == ["x[0]", "x[1]"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8, unique=True), st.floats(-100, 100), st.floats(1e-3, 100))
@settings(max_examples=50, deadline=None)
def test_there_and_back_is_where_it_began(values: list[float], low: float, width: float) -> None:
    column = np.array(values)
    if np.ptp(column) < 1e-6 * np.abs(column).max():
        return
    here = Path.cwd()
    np.savez(here / "t.npz", x=column, y=column)
    scale = ScaleSettings(inputs="limits", targets=(low, low + width))
    data, told = scaled(
        load_data(TableSettings(path="t.npz", inputs=["x"], targets=["y"], test_fraction=0, scale=scale), seed=1, base=here),
        knobs(("a",), low=low, high=low + width),
    )
    assert not told
    assert data.scaling is not None
    assert (data.train.inputs.min(), data.train.inputs.max()) == (low, low + width)  # the ends exactly: no limit is passed
    np.testing.assert_allclose(data.scaling.targets.invert(data.train.targets)[:, 0], column, atol=1e-9 * np.ptp(column))


# through an experiment

FILE = """\
name: scaled
seed: 4
device: {kind: simulated, energy: linear, epsilon: 0.1}
data:
  kind: table
  path: walls.csv
  inputs: [length_mm]
  targets: [mass_g]
  scale: {inputs: limits, targets: [-1, 1]}
homeostasis: {accept: {ticks: 20}}
settling: {accept: {ticks: 20}}
sequence:
  - train: {method: centered, beta: 0.1, samples: 3, evaluate_every: {samples: 3}}
  - evaluate: {}
"""


def write(folder: Path, *, far: bool = False) -> Path:
    rng = np.random.default_rng(0)
    rows = [f"{length:.3f},{2000 + 30 * length:.3f}\n" for length in rng.uniform(100, 200, 30)]
    rows[0], rows[1] = "100,5000\n", "200,8000\n"
    if far:
        rows.append("250,9500\n")
    (folder / "walls.csv").write_text("length_mm,mass_g\n" + "".join(rows), encoding="utf-8")
    (folder / "f.yaml").write_text(FILE, encoding="utf-8")
    return folder / "f.yaml"


def test_a_run_learns_in_the_units_of_the_device_and_tells_in_those_of_the_user(tmp_path: Path) -> None:
    file = write(tmp_path)
    result = run_experiment(load_experiment(file, ["data.scale.ranges={length_mm: [50, 250]}"]), runs=tmp_path / "runs")
    assert result.state == "finished", result.reason
    run = load_run(result.folder)
    mapping = run.provenance["data"]["scaling"]
    assert mapping["inputs"] == [{"column": "length_mm", "range": [50.0, 250.0], "onto": [-1.0, 1.0]}]
    low, high = mapping["targets"][0]["range"]
    rms = result.summary["test_rms_error"]["mass_g"]
    # one output and C = |s - y|^2 / 2: the mean cost gives the error in the device's unit, half the range the user's
    assert rms == pytest.approx(np.sqrt(2 * result.summary["test_cost_free"]) * (high - low) / 2, rel=1e-9)
    assert rms > 10


def test_a_check_says_what_the_run_will_say(tmp_path: Path) -> None:
    file = write(tmp_path, far=True)
    last = ["data.split=last", "data.test_fraction=0.1"]
    with pytest.raises(FileErrors) as caught:
        load_experiment(file, last)
    assert [problem.key for problem in caught.value.problems] == ["data.scale"]
    assert "line 32, column length_mm: 250 would be 2 on knob" in str(caught.value)
    loaded = load_experiment(file, [*last, "data.scale={inputs: [-0.5, 0], targets: [-1, 1]}"])
    assert [problem.key for problem in loaded.warnings] == ["data.scale", "data.scale"]
    assert "1 row lies outside the training range of column length_mm; first line 32" in str(loaded.warnings[0])
    result = run_experiment(loaded, runs=tmp_path / "runs")
    assert result.state == "finished"
    assert [text for text in result.warnings if "length_mm" in text] == [str(loaded.warnings[0])]  # said once


def test_a_check_counts_the_rows(tmp_path: Path) -> None:
    file = write(tmp_path)
    loaded = load_experiment(file, ["data.scale.ranges={length_mm: [50, 250]}", "sequence=[{train: {beta: 0.1, epochs: 2}}]"])
    found = check(loaded).estimate
    assert found is not None
    assert found.steps == 2 * 24
    with pytest.raises(FileErrors) as caught:
        load_experiment(
            file, ["data.test_fraction=0", "data.scale=null", "data.scale={targets: [0, 1]}", "sequence=[{evaluate: {on: test}}]"]
        )
    assert "sequence.0.evaluate.on" in [problem.key for problem in caught.value.problems]
