"""Exports: the same numbers in every format, whole or not at all, also of live and damaged runs."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from record_helpers import make_record, steps, write_steps
from run_helpers import SMALL, experiment

from aeqlab.protocols import export_csv, load_run, record_table
from aeqlab.protocols.errors import ExportError, RecordError
from aeqlab.protocols.export import TABLES, export_run
from aeqlab.protocols.record_reader import Rows
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.scans import PointRows, Scan

FILES = {"csv": Path("out"), "hdf5": Path("out.h5"), "netcdf": Path("out.nc")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run with traces and an evaluation."""
    folder = tmp_path_factory.mktemp("run")
    return run_experiment(experiment(folder, SMALL), runs=folder / "runs").folder


def cells(path: Path) -> dict[str, list[str]]:
    """Read a CSV file as columns of words."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    return dict(zip(head, (list(column) for column in zip(*lines, strict=True)) if lines else [[] for _ in head], strict=True))


def numbers(words: list[str]) -> np.ndarray:
    return np.array([float(word) if word else np.nan for word in words])


# the same numbers -----------------------------------------------------------------------------------------------------


def test_csv_holds_what_the_record_holds(finished: Path) -> None:
    done = export_run(finished, to="out")
    assert sorted(file.name for file in Path("out").iterdir()) == sorted(f"{name}.csv" for name in [*TABLES, "meta", "columns"])
    assert not done.missing
    rows, found = load_run(finished).steps, cells(Path("out/steps.csv"))
    assert done.rows["steps"] == len(rows) == len(found["step"])
    assert found["step"][:3] == ["1", "2", "3"]
    assert found["wrong"][:2] == ["", ""]
    assert found["hold_verdict"] == rows["hold_verdict"].tolist()
    np.testing.assert_array_equal(numbers(found["cost_1 [(1)^2]"]), rows["cost_1"])
    theta = np.stack([numbers(found[f"theta_{k}"]) for k in range(7)], axis=1)
    np.testing.assert_array_equal(theta, rows["theta"])
    traces, courses = load_run(finished).traces, cells(Path("out/traces.csv"))
    assert done.rows["traces"] == traces["points"].sum()
    np.testing.assert_array_equal(numbers(courses["t [s of the device]"]), np.concatenate(traces["t"].tolist()))
    assert courses["point"][: int(traces["points"][0])] == [str(k) for k in range(int(traces["points"][0]))]
    last = traces["error"][-1]
    if last is not None:
        np.testing.assert_array_equal(numbers(courses["error_6"])[-len(last) :], last[:, 6])
    assert "state" in cells(Path("out/meta.csv"))["key"]


def test_hdf5_holds_what_the_record_holds(finished: Path) -> None:
    done = export_run(finished, "hdf5", "out.h5")
    run = load_run(finished)
    with h5py.File("out.h5") as file:
        assert set(file) == {*TABLES, "meta"}
        assert file.attrs["experiment"] == run.experiment
        assert '"seed": 5' in file.attrs["provenance"]
        assert file["meta"].attrs["seed"] == 5
        assert file["meta"].attrs["state"] == "finished"
        assert file["meta"].attrs["parameters"] == 7
        assert file.attrs["missing"] == ""
        assert file["steps/t"].attrs["unit"] == "s of the device"
        assert file["steps/t"].attrs["text"] == "time of the device at the end of the step"
        for name in TABLES:
            rows = run.rows(name)
            for column, made in file[name].items():
                assert len(made) == len(rows) == done.rows[name]
                if rows.schema.column(column).sql.startswith("TEXT"):
                    assert made.asstr()[:].tolist() == rows[column].tolist()
                elif rows[column].dtype != object:
                    np.testing.assert_array_equal(made[:], rows[column])
        traces = run.traces
        for index, u in enumerate(traces["u"]):
            if u is not None:
                np.testing.assert_array_equal(file["traces/u"][index, : len(u)], u)
                assert np.isnan(file["traces/u"][index, len(u) :]).all()


def test_netcdf_is_what_xarray_makes_of_the_run(finished: Path) -> None:
    export_run(finished, "netcdf", "out.nc")
    run = load_run(finished)
    for name in ("steps", "evaluations", "traces", "events"):
        expected = run.to_xarray(name)
        with xarray.open_dataset("out.nc", group=name, decode_times=False) as found:
            assert dict(found.sizes) == dict(expected.sizes)
            assert set(found.variables) == set(expected.variables)
            for column, variable in expected.variables.items():
                assert found[column].dims == variable.dims
                assert found[column].attrs == variable.attrs
                np.testing.assert_array_equal(found[column].values, variable.values)
    with xarray.open_dataset("out.nc", group="steps") as found:
        assert found["at"].dtype.kind == "M"
        assert found.sizes["parameter"] == 7


def test_xarray_and_pandas_have_units(finished: Path) -> None:
    run = load_run(finished)
    dataset = run.to_xarray()
    assert dataset["theta"].dims == ("step", "parameter")
    assert dataset["cost_1"].attrs["units"] == "(1)^2"
    assert dataset["cost_1"].sel(step=7).item() == run.steps["cost_1"][6]
    assert run.to_xarray("traces")["error"].dims == ("row", "point", "parameter")
    frame = run.to_dataframe()
    assert frame.attrs["units"]["cost_1"] == "(1)^2"
    np.testing.assert_array_equal(frame["theta_3"], run.steps["theta"][:, 3])
    with pytest.raises(RecordError, match="no table 'losses' in a record; there are meta, columns, attempts"):
        run.to_xarray("losses")


@pytest.mark.parametrize("format", FILES)
def test_a_large_table_is_written_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(record_table, "BLOCK", 70)
    record = make_record(tmp_path / "run", 400, close=False)
    record.event(1, "warning", "quote", 'a "word", a\nline, [a],[b] null Infinity \\ NaN')
    record.close()
    export_run(tmp_path / "run", format, FILES[format])
    rows = load_run(tmp_path / "run").steps
    text = load_run(tmp_path / "run").events["text"][0]
    if format == "csv":
        found = cells(Path("out/steps.csv"))
        assert found["sample"] == ["" if value != value else str(int(value)) for value in rows["sample"]]
        np.testing.assert_array_equal(numbers(found["cost_2 [cost]"]), rows["cost_2"])
        np.testing.assert_array_equal(numbers(found["theta_1 [parameter unit]"]), rows["theta"][:, 1])
        assert cells(Path("out/events.csv"))["text"] == [text]
        return
    with h5py.File(FILES[format]) as file:
        np.testing.assert_array_equal(file["steps/cost_2"][:], rows["cost_2"])
        np.testing.assert_array_equal(file["steps/theta"][:], rows["theta"])
        assert file["steps/hold_verdict"].asstr()[:].tolist() == rows["hold_verdict"].tolist()
        assert file["events/text"].asstr()[0] == text


@pytest.mark.parametrize("format", ["hdf5", "netcdf"])
def test_a_short_run_makes_a_small_file(finished: Path, format: str) -> None:
    (file,) = export_run(finished, format, FILES[format]).files
    assert file.stat().st_size < 500_000


def test_what_is_odd_among_the_values_keeps_its_lines() -> None:
    odd = ["a, b", "[1],[2]", 'say "so"', "null NaN Infinity", "line\nand line", "\\", "Æ", ""]
    lines = [(k, word, value) for word in odd for k, value in enumerate((0.1, float("nan"), float("inf"), -float("inf"), "", 7))]
    lines += [("among, numbers", "word", b"\xff"), (b"text", "word", 1e-300)]
    export_csv.write_lines(Path("odd.csv"), ["k", "word", "value [V]"], [[line] for line in lines])
    export_csv.write_lines(Path("same.csv"), ["k", "word", "value [V]"], [lines[:-2], [], lines[-2:]])
    assert Path("same.csv").read_bytes() == Path("odd.csv").read_bytes()
    found = cells(Path("odd.csv"))
    assert found["word"] == [line[1] for line in lines]
    assert found["k"][-3:] == ["5", "among, numbers", "text"]
    assert found["value [V]"] == ["0.1", "", "inf", "-inf", "", "7"] * len(odd) + ["\N{REPLACEMENT CHARACTER}", "1e-300"]


# which run -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FILES)
def test_a_live_run_is_exported_as_it_is_now(tmp_path: Path, format: str) -> None:
    record = make_record(tmp_path / "run", 30, close=False)
    assert export_run(tmp_path / "run", format, FILES[format]).rows["steps"] == 30
    write_steps(record, steps(5, begin=31))
    assert export_run(tmp_path / "run", format, FILES[format], force=True).rows["steps"] == 35
    record.close()


def damage_steps(path: Path) -> None:
    """Spoil the page in the middle of the table steps, as its root names it ("Database File Format" of sqlite.org)."""
    with sqlite3.connect(path) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'steps'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    at = (root - 1) * size
    assert content[at] == 5, "the table is too small to have an inner page"
    cells = int.from_bytes(content[at + 3 : at + 5], "big")
    pointer = at + 12 + 2 * (cells // 2)
    cell = at + int.from_bytes(content[pointer : pointer + 2], "big")
    leaf = (int.from_bytes(content[cell : cell + 4], "big") - 1) * size
    content[leaf : leaf + size] = b"\xff" * size
    path.write_bytes(content)


@pytest.mark.parametrize("format", FILES)
def test_of_a_damaged_record_comes_what_can_be_read(tmp_path: Path, format: str) -> None:
    make_record(tmp_path / "run", 400)
    path = tmp_path / "run" / "record.sqlite"
    damage_steps(path)
    done = export_run(tmp_path / "run", format, FILES[format])
    assert 0 < done.rows["steps"] < 400
    assert any("steps: only" in sentence and "rows" in sentence for sentence in done.missing)
    if format == "csv":
        assert len(cells(Path("out/steps.csv"))["step"]) == done.rows["steps"]


def test_chosen_tables_alone_are_written(finished: Path) -> None:
    done = export_run(finished, to="out", tables=["notes", "evaluations"])
    assert [file.name for file in done.files] == ["evaluations.csv", "notes.csv"]
    assert len(list(Path("out").iterdir())) == 2
    with pytest.raises(ExportError, match="no table 'losses' to export as csv; there are attempts, stages, steps"):
        export_run(finished, tables=["losses"])
    with pytest.raises(ExportError, match="no format 'xlsx'; there are csv, hdf5, netcdf"):
        export_run(finished, "xlsx")


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nothing here that a run leaves behind"):
        export_run(tmp_path)
    (tmp_path / "experiment.yaml").write_text("name: none")
    with pytest.raises(ExportError, match=r"there is no record\.sqlite here"):
        export_run(tmp_path)
    connection = sqlite3.connect(tmp_path / "record.sqlite")
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    with pytest.raises(ExportError, match="this is not the record of a run"):
        export_run(tmp_path)
    (tmp_path / "record.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(
        ExportError, match=r"this is not the record of a run \(record\.sqlite cannot be read: file is not a database"
    ):
        export_run(tmp_path)


# whole or not at all -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FILES)
def test_nothing_is_overwritten_in_silence(finished: Path, format: str) -> None:
    target = FILES[format]
    export_run(finished, format, target)
    kept = target / "steps.csv" if format == "csv" else target
    kept.write_text("mine")
    with pytest.raises(ExportError, match=r"is there already\. Choose another place with --to, or replace it with --force"):
        export_run(finished, format, target)
    assert kept.read_text() == "mine"
    export_run(finished, format, target, force=True)
    assert kept.read_bytes() != b"mine"


def test_a_folder_that_is_there_gets_it_inside(finished: Path) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    inside = Path("out") / f"{finished.name}-csv"
    for force in (False, True):
        assert {file.parent for file in export_run(finished, to="out", force=force).files} == {inside}
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(["mine.txt", inside.name])
    (inside / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"is there already and is no earlier export, which could be replaced\. Choose another"):
        export_run(finished, to="out", force=True)
    Path(f"{finished.name}-csv").mkdir()
    with pytest.raises(ExportError, match=r"is there already and is no earlier export, which could be replaced\. Choose another"):
        export_run(finished)
    Path("file").write_text("mine")
    with pytest.raises(ExportError, match="this is a file; CSV files go into a folder"):
        export_run(finished, to="file", force=True)


def test_csv_files_appear_together_or_not_at_all(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[bool] = []
    write = export_csv.write_csv

    def breaks(rows: Rows, path: Path) -> int:
        there.append(Path("new").exists())
        if rows.schema.name == "events":
            raise OSError("the disk is gone")
        return write(rows, path)

    export_run(finished, to="old", tables=["notes"])
    for name in ("new", "old"):
        with monkeypatch.context() as patch:
            patch.setattr(export_csv, "write_csv", breaks)
            with pytest.raises(ExportError, match="the disk is gone"):
                export_run(finished, to=name, force=True)
    assert [path.name for path in Path.cwd().iterdir()] == ["old"]
    assert [path.name for path in Path("old").iterdir()] == ["notes.csv"]
    assert not any(there)
    export_run(finished, to="old", tables=["events"], force=True)
    assert [path.name for path in Path("old").iterdir()] == ["events.csv"]
    assert [path.name for path in Path.cwd().iterdir()] == ["old"]


@pytest.mark.parametrize("format", FILES)
def test_it_is_on_the_disk_before_it_bears_its_name(finished: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    synced: list[int] = []
    sync, rename, replace = os.fsync, Path.rename, Path.replace

    def moved(way: Callable[[Path, Path], Path], path: Path, target: Path) -> Path:
        files = list(path.iterdir()) if path.is_dir() else [path]
        assert {file.stat().st_ino for file in files} <= set(synced)
        return way(path, target)

    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_ino), sync(handle)))
    monkeypatch.setattr(Path, "rename", lambda path, target: moved(rename, path, target))
    monkeypatch.setattr(Path, "replace", lambda path, target: moved(replace, path, target))
    export_run(finished, format, FILES[format])
    assert synced[-1] == Path.cwd().stat().st_ino  # and then the name itself


def test_without_the_library_a_sentence_says_what_to_install(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("h5py", "h5netcdf", "xarray", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    scan = Scan("0", "scan", (), (1,), {}, {}, {}, {}, {}, PointRows({"point": np.zeros(1)}, {}))
    for call, package in (
        (scan.to_xarray, "xarray"),
        (lambda: export_run(finished, "hdf5"), "h5py"),
        (lambda: export_run(finished, "netcdf"), "h5netcdf"),
        (lambda: load_run(finished).to_xarray(), "xarray"),
        (lambda: load_run(finished).to_dataframe(), "pandas"),
    ):
        with pytest.raises(ExportError, match=rf'needs {package}\. Install it with: pip install "aeqlab\[export\]"'):
            call()
    assert not list(Path.cwd().glob("*.h5"))
    export_run(finished, "csv", "out")


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("unshare") is None, reason="needs a small disk of its own")
@pytest.mark.parametrize("words", ["csv", "hdf5", "netcdf", "bundle"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, words: str) -> None:
    make_record(tmp_path / "run", 3_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    arguments = ["bundle", str(tmp_path / "run"), "--to", str(disk / "x" / "out")]
    if words != "bundle":
        arguments = ["export", str(tmp_path / "run"), "--format", words, "--to", str(disk / "x" / "out")]
    script = 'mount -t tmpfs -o size=300k none "$1" || exit 77; shift; "$@"; code=$?; find "$0"/x -mindepth 1; exit $code'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, str(disk), str(disk), sys.executable, "-m", "aeqlab.app.cli", *arguments],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("no small disk can be mounted here")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the disk is full; nothing was left there" in done.stderr
    assert done.stdout == ""
