"""Data sets: the polynomial of the paper, tables, functions of the user's, and what is said when one is not right."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import eval_legendre

from aeqlab.backends.errors import UserCodeError
from aeqlab.protocols import table
from aeqlab.protocols.check import check
from aeqlab.protocols.data import Data, DataWidths, data_widths, load_data
from aeqlab.protocols.digits import DigitsSettings
from aeqlab.protocols.errors import DataError, FileErrors
from aeqlab.protocols.experiment import load_experiment, preset_text
from aeqlab.protocols.function_data import FunctionSettings
from aeqlab.protocols.legendre import LegendreSettings
from aeqlab.protocols.table import TableSettings, expand_columns
from aeqlab.protocols.xor import XorSettings

# legendre


def test_legendre_is_the_sum_of_the_polynomials() -> None:
    data = load_data(LegendreSettings(degree=10), seed=3, base=Path())
    assert data.facts is not None
    weights = data.facts["legendre_weights"]
    z = data.train.inputs[:, 0]
    expected = sum(w * eval_legendre(i, z) for i, w in enumerate(weights))
    np.testing.assert_allclose(data.train.targets[:, 0], expected, atol=1e-12)
    assert len(weights) == 11
    assert data.train.inputs.shape == data.train.targets.shape == (1000, 1)
    assert (z.min() >= -1) & (z.max() <= 1)
    assert abs(z.mean()) < 0.1
    assert data.test is not None
    assert len(data.test) == 201


def test_legendre_depends_on_the_seed_alone() -> None:
    one, same, other = (load_data(LegendreSettings(), seed=s, base=Path()) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.train.targets, same.train.targets)
    assert not np.array_equal(one.train.targets, other.train.targets)
    longer = load_data(LegendreSettings(samples=2000), seed=1, base=Path())
    np.testing.assert_array_equal(longer.train.inputs[:1000], one.train.inputs)


# table


def csv(folder: Path, text: str, name: str = "t.csv") -> TableSettings:
    (folder / name).write_text(text, encoding="utf-8")
    return TableSettings(path=name, inputs=["a", "b"], targets=["y"], test_fraction=0.25)


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = "".join(f"{i},{10 * i},{i / 10},x\n" for i in range(20))
    settings = csv(tmp_path, "a,y,b,remark\n" + rows)
    data = load_data(settings, seed=1, base=tmp_path)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (15, 5)
    everything = np.vstack([np.hstack([s.inputs, s.targets]) for s in (data.train, data.test)])
    np.testing.assert_allclose(everything[np.argsort(everything[:, 0])], [[i, i / 10, 10 * i] for i in range(20)])
    assert data_widths(settings, tmp_path) is not None
    assert len(data.sources[0].sha256) == 64


@pytest.mark.parametrize("name", ["t.csv", "t.npz"])
def test_a_table_is_read_once_for_check_and_run_and_anew_where_its_bytes_or_columns_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read = "_read_csv" if name == "t.csv" else "_read_npz"
    reads: list[Path] = []
    before = getattr(table, read)

    def counted(settings: TableSettings, path: Path, raw: bytes) -> Any:
        reads.append(path)
        return before(settings, path, raw)

    def write(value: int) -> None:
        path = tmp_path / name
        at = path.stat().st_mtime_ns if path.exists() else None
        column = np.arange(10.0) + value
        if name == "t.csv":
            path.write_text("a,y\n" + "".join(f"{v:.0f},{v:.0f}\n" for v in column), encoding="utf-8")
        else:
            np.savez(path, a=column, y=column)
        if at is not None:
            os.utime(path, ns=(at, at))  # the same length and time say nothing

    monkeypatch.setattr(table, read, counted)
    monkeypatch.setattr(table, "_kept", None)
    write(10)
    text = preset_text("linear-regression").replace(
        "{kind: legendre, degree: 10, samples: 1000}", f"{{kind: table, path: {name}, inputs: [a], targets: [y]}}"
    )
    assert name in text
    (tmp_path / "f.yaml").write_text(text, encoding="utf-8")
    loaded = load_experiment(tmp_path / "f.yaml")
    assert check(loaded).ok
    assert loaded.experiment.data is not None
    moved = loaded.experiment.data.model_copy(update={"path": str(tmp_path / name)})  # as the run folder names it
    first = load_data(moved, seed=1, base=Path())
    assert len(reads) == 1
    assert first.sources[0].sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    write(20)
    second = load_data(moved, seed=1, base=Path())
    assert len(reads) == 2
    np.testing.assert_array_equal(second.train.inputs, first.train.inputs + 10.0)
    assert second.sources[0].sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    load_data(moved.model_copy(update={"targets": ["a"]}), seed=1, base=Path())
    assert len(reads) == 3


def test_the_rows_kept_for_the_test_depend_on_the_seed(tmp_path: Path) -> None:
    settings = csv(tmp_path, "a,b,y\n" + "".join(f"{i},0,0\n" for i in range(40)))

    def test_rows(seed: int) -> list[float]:
        test = load_data(settings, seed=seed, base=tmp_path).test
        assert test is not None
        return [float(v) for v in test.inputs[:, 0]]

    assert test_rows(1) == test_rows(1) != test_rows(2)


def test_an_npz_is_read_by_the_names_of_its_arrays(tmp_path: Path) -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    settings = TableSettings(path="t.npz", inputs=["x"], targets=["y"], test_fraction=0)
    data = load_data(settings, seed=1, base=tmp_path)
    np.testing.assert_array_equal(data.train.inputs, x)
    np.testing.assert_array_equal(data.train.targets[:, 0], y)
    assert data.test is None
    widths = data_widths(settings, tmp_path)
    assert widths is not None
    assert (widths.inputs, widths.outputs) == (2, 1)


def test_ranges_of_columns() -> None:
    assert expand_columns(["x[8-11]", "y", "z[08-10]_V"]) == ["x8", "x9", "x10", "x11", "y", "z08_V", "z09_V", "z10_V"]
    for bad in ("x[3-1]", "x[0-999999999]"):
        with pytest.raises(DataError, match="range"):
            expand_columns([bad])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line must name"),
        ("a,b,y\n", "no rows"),
        ("a,b\n1,2\n", "no column 'y'"),
        ("a,B,y\n1,2,3\n", "Did you mean 'B'"),
        ("a,a,y\n1,2,3\n", "stands there twice"),
        ("a,b,y\n1,2,3\n1,2\n", "line 3: 2 values for 3 columns"),
        ("a,b,y\n1,x,3\n", "line 2, column b: 'x' is not a finite number"),
        ("a,b,y\n1,=cmd|'/c calc'!A0,3\n", "is not a finite number"),
        ("a,b,y\n1,nan,3\n", "column b"),
        ("a,b,y\n1,inf,3\n", "column b"),
        ("a,b,y\n1,1_0,3\n", "column b"),
        ("a,b,y\n1,,3\n", "column b"),
        ('a,b,y\n1,"2,3\n', "damaged"),
        ("a,b,y\n1,2,3\0\n", "t.csv"),
        ("a,b,y\n1,2,3\n", None),
    ],
)
def test_what_is_said_of_a_table_that_is_not_right(tmp_path: Path, text: str, words: str | None) -> None:
    settings = csv(tmp_path, text)
    if words is None:
        assert len(load_data(settings, seed=1, base=tmp_path).train) == 1
        return
    with pytest.raises(DataError) as caught:
        load_data(settings, seed=1, base=tmp_path)
    assert words in str(caught.value)
    assert "t.csv" in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        TableSettings(path="missing.csv", inputs=["a"], targets=["y"]),
        TableSettings(path="t.xlsx", inputs=["a"], targets=["y"]),
        TableSettings(path="folder.csv", inputs=["a"], targets=["y"]),
        TableSettings(path="nul\0.csv", inputs=["a"], targets=["y"]),
        TableSettings(path="x" * 5000 + ".csv", inputs=["a"], targets=["y"]),
    ],
)
def test_tables_that_are_not_there(tmp_path: Path, settings: TableSettings) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "t.xlsx").write_bytes(b"")
    for look in (lambda: load_data(settings, seed=1, base=tmp_path), lambda: data_widths(settings, tmp_path)):
        with pytest.raises(DataError):
            look()


def test_text_that_is_not_utf8_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a,b,y\n1,2,µ\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        load_data(TableSettings(path="t.csv", inputs=["a"], targets=["y"]), seed=1, base=tmp_path)


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.file = str(folder / "canary")

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.file, "w")


def test_a_pickle_in_an_npz_is_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([Canary(tmp_path)], dtype=object), y=np.zeros(1))
    settings = TableSettings(path="t.npz", inputs=["x"], targets=["y"])
    for look in (lambda: load_data(settings, seed=1, base=tmp_path), lambda: data_widths(settings, tmp_path)):
        with pytest.raises(DataError, match="not real numbers"):
            look()
    (tmp_path / "t.npz").write_bytes(pickle.dumps(Canary(tmp_path)))
    with pytest.raises(DataError, match="damaged"):
        load_data(settings, seed=1, base=tmp_path)
    assert not (tmp_path / "canary").exists()


def test_an_npz_that_promises_more_than_it_holds_takes_no_memory(tmp_path: Path) -> None:
    import zipfile

    header = np.lib.format.magic(1, 0)
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }".ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x.npy", header + len(text).to_bytes(2, "little") + text.encode() + bytes(80))
    with pytest.raises(DataError, match="bytes by its header"):
        load_data(TableSettings(path="t.npz", inputs=["x"], targets=["x"]), seed=1, base=tmp_path)


# function


def function(folder: Path, body: str, **options: Any) -> FunctionSettings:
    (folder / "mine.py").write_text(body, encoding="utf-8")
    return FunctionSettings(function="mine.py:make", options=options)


def load(settings: FunctionSettings, base: Path) -> Data:
    return load_data(settings, seed=7, base=base)


def test_a_function_makes_samples_from_options_and_seed(tmp_path: Path) -> None:
    body = "import numpy as np\ndef make(n, seed):\n    x = np.full((n, 2), seed)\n    return x, x[:, :1] * 2\n"
    data = load(function(tmp_path, body, n=5), tmp_path)
    assert data.train.inputs.shape == (5, 2)
    assert data.train.inputs[0, 0] == 7
    assert data.train.inputs.dtype == np.float64
    assert data.test is None


def test_a_function_may_return_a_mapping_with_test_samples(tmp_path: Path) -> None:
    body = "def make():\n    return dict(inputs=[[0.], [1.]], targets=[1., 2.], test_inputs=[[3.]], test_targets=[4.],\n"
    body += "                labels=[0, 1])\n"
    data = load(function(tmp_path, body), tmp_path)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (2, 1)
    assert data.train.labels is not None


def test_a_function_is_not_run_to_find_widths(tmp_path: Path) -> None:
    settings = function(tmp_path, "open('canary', 'w')\ndef make(): return [[1.]], [[1.]]\n")
    assert data_widths(settings, tmp_path) is None
    assert not (tmp_path / "canary").exists()


def test_an_error_in_a_function_names_file_and_line(tmp_path: Path) -> None:
    settings = function(tmp_path, "def make():\n    x = 1\n    return x / 0\n")
    with pytest.raises(UserCodeError, match=r"mine\.py:3: ZeroDivisionError"):
        load(settings, tmp_path)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("3", "returned int"),
        ("None", "returned NoneType"),
        ("([[1.]], [[1.], [2.]])", "1 inputs for 2 targets"),
        ("([[1.]], [[float('nan')]])", "not finite"),
        ("([['a']], [[1.]])", "real numbers"),
        ("([[1.], [1., 2.]], [[1.], [1.]])", "not an array"),
        ("([], [])", "real numbers"),
        ("{'inputs': [[1.]]}", "targets was not returned"),
        ("{'input': [[1.]], 'targets': [[1.]]}", "Did you mean 'inputs'"),
        ("{'inputs': [[1.]], 'targets': [[1.]], 'test_inputs': [[1.]]}", "only one"),
        ("([[1.]], [[1.]], [[1., 2.]], [[1.]])", "other widths"),
        ("{'inputs': [[1.]], 'targets': [[1.]], 'labels': [0.5]}", "labels must be"),
    ],
)
def test_what_a_function_returns_is_checked(tmp_path: Path, returned: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(function(tmp_path, f"def make():\n    return {returned}\n"), tmp_path)


def test_a_function_that_is_not_there(tmp_path: Path) -> None:
    for spec, words in (("none.py:make", "no file"), ("mine.py:made", "has no made"), ("mine.py:value", "not a function")):
        (tmp_path / "mine.py").write_text("value = 3\n", encoding="utf-8")
        with pytest.raises(DataError, match=words):
            load(FunctionSettings(function=spec), tmp_path)


@pytest.mark.parametrize(
    ("signature", "options", "said"),
    [
        ("n=3, seed=0", {"m": 5}, r"mine\.py:make takes n, seed; there is no option m\."),
        ("n", {}, r"mine\.py:make takes n; n is missing\."),
        ("samples=3", {"sampels": 5}, r"there is no option sampels\..*samples"),
    ],
)
def test_options_a_function_does_not_take_are_named(tmp_path: Path, signature: str, options: dict[str, Any], said: str) -> None:
    settings = function(tmp_path, f"def make({signature}):\n    return [[0.0]], [[0.0]]\n", **options)
    with pytest.raises(DataError, match=said):
        load(settings, tmp_path)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_another_delimiter_is_proposed(tmp_path: Path, sign: str) -> None:
    (tmp_path / "t.csv").write_text(f"x{sign}y\n1{sign}2\n", encoding="utf-8")
    settings = TableSettings(path="t.csv", inputs=["x"], targets=["y"])
    with pytest.raises(DataError, match="set delimiter: " + ('";"' if sign == ";" else r'"\\t"')):
        data_widths(settings, tmp_path)


# xor


def test_xor_is_the_four_patterns_round_after_round() -> None:
    data = load_data(XorSettings(repeats=3), seed=1, base=Path())
    assert data.test is not None
    np.testing.assert_array_equal(data.test.inputs, [[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(data.test.targets, [[0], [1], [1], [0]])
    np.testing.assert_array_equal(data.train.inputs, np.tile(data.test.inputs, (3, 1)))
    np.testing.assert_array_equal(data.train.targets, np.tile(data.test.targets, (3, 1)))
    assert data.train.labels is None


def test_xor_at_the_levels_of_a_device_and_one_hot() -> None:
    settings = XorSettings(inputs=(-0.5, 0.25), targets=(0.1, 0.9), outputs=2, repeats=1)
    data = load_data(settings, seed=1, base=Path())
    np.testing.assert_array_equal(data.train.inputs, [[-0.5, -0.5], [-0.5, 0.25], [0.25, -0.5], [0.25, 0.25]])
    np.testing.assert_array_equal(data.train.targets, [[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]])
    np.testing.assert_array_equal(data.train.labels, [0, 1, 1, 0])
    assert data_widths(settings, Path()) == DataWidths(2, 2, 4, 4, (-0.5, 0.25))


@pytest.mark.parametrize("wrong", [{"inputs": (1.0, 0.0)}, {"targets": (0.5, 0.5)}, {"targets": (0.0, np.inf)}, {"outputs": 3}])
def test_levels_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        XorSettings(**wrong)


# digits


def test_digits_are_those_of_scikit_learn_split_by_the_seed() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    one, same, other = (load_data(DigitsSettings(), seed=seed, base=Path()) for seed in (1, 1, 2))
    assert data_widths(DigitsSettings(), Path()) == DataWidths(64, 10, 1438, 359, (0.0, 1.0))
    for data in (one, other):
        assert data.test is not None
        assert data.train.labels is not None
        assert data.test.labels is not None
        assert (len(data.train), len(data.test)) == (1438, 359)
        both = np.concatenate([data.train.inputs, data.test.inputs])
        classes = np.concatenate([data.train.labels, data.test.labels])
        assert (both.min(), both.max()) == (0, 1)
        shown = sorted((*row, int(label)) for row, label in zip((both * 16).tolist(), classes, strict=True))
        assert shown == sorted((*row, int(label)) for row, label in zip(pixels.tolist(), labels, strict=True))
        np.testing.assert_array_equal(data.train.targets.argmax(axis=1), data.train.labels)
        np.testing.assert_array_equal(data.train.targets.sum(axis=1), 1)
    np.testing.assert_array_equal(one.train.inputs, same.train.inputs)
    assert not np.array_equal(one.train.inputs, other.train.inputs)
    assert one.sources == other.sources


def test_digits_without_scikit_learn_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # as where it is not installed
    file = tmp_path / "f.yaml"
    file.write_text("name: f\ndevice: {kind: hopfield, widths: [64, 8, 10]}\ndata: {kind: digits}\nsequence: [evaluate]\n")
    with pytest.raises(FileErrors, match=r"scikit-learn, which is not installed.* pip install scikit-learn") as caught:
        load_experiment(file)
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [(3, "data")]
    with pytest.raises(DataError, match="pip install scikit-learn"):
        load_data(DigitsSettings(), seed=1, base=Path())
