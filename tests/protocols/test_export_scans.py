"""Exports of scans: each by itself, under the names and units of what it set and read."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from run_helpers import run_sequence
from scan_helpers import SLOW, slow_device_here

from aeqlab.protocols import load_run
from aeqlab.protocols.export import export_run
from aeqlab.protocols.load import Run

GRID = "[{quantity: theta1, values: [0.1, 0.3]}, {quantity: z, from: -1, to: 1, points: 5}]"
SEQUENCE = f"""
scan: {{over: {GRID}, read: [s, theta1, t], order: snake}}
ramp: {{quantity: u2, to: 0.4, seconds: 1, every_s: 0.25, read: [theta2, u2]}}
step-response: {{quantity: u3, size: 0.2, repeats: 1}}
set: {{u0: 0.25, u1: 0.5}}
scan: {{over: [{{quantity: u3, from: -0.5, to: 0.5, points: 3}}]}}
"""


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Make a run with a stage of every kind that sets and reads."""
    with pytest.MonkeyPatch.context() as patch:
        slow_device_here(patch)
        _, run = run_sequence(tmp_path_factory.mktemp("scanned"), SEQUENCE, SLOW)
    assert [scan.kind for scan in run.scans] == ["scan", "ramp", "step-response", "set", "scan"]
    return run


def columns(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    assert len(set(head)) == len(head)
    return dict(zip(head, map(list, zip(*lines, strict=True)), strict=True))


def numbers(words: list[str]) -> list[float]:
    return [float(word) if word else np.nan for word in words]


def test_as_csv_each_has_a_file_with_names_and_units(scanned: Run) -> None:
    done = export_run(scanned.path, to="out")
    assert sorted(path.name for path in Path("out").glob("scan_*.csv")) == [f"scan_{k}.csv" for k in range(5)]
    assert not Path("out/points.csv").exists()
    first = columns(Path("out/scan_0.csv"))
    assert list(first)[:8] == [
        "theta1 [V]", "z [V]", "s[0] [V]", "theta[1] [V]", "t_read [s]", "s[0]_deviation [V]", "theta[1]_deviation [V]",
        "t_read_deviation [s]",
    ]  # fmt: skip
    scan = scanned.scans[0]
    assert done.rows["scan_0"] == len(scan.points) == 10
    np.testing.assert_array_equal(numbers(first["theta1 [V]"]), [0.1] * 5 + [0.3] * 5)
    np.testing.assert_array_equal(numbers(first["z [V]"]), [-1, -0.5, 0, 0.5, 1, 1, 0.5, 0, -0.5, -1])
    np.testing.assert_array_equal(numbers(first["s[0] [V]"]), [*scan.values["s[0]"][0], *scan.values["s[0]"][1][::-1]])
    np.testing.assert_array_equal(numbers(first["t [s of the device]"]), scan.points["t"])
    assert first["z_readback [V]"] == [""] * 10  # no device reports its inputs
    assert set(first["verdict"]) == {"settled"}
    ramp = columns(Path("out/scan_1.csv"))
    np.testing.assert_array_equal(numbers(ramp["u2 [V]"]), scanned.scans[1].setpoints["u2"])
    np.testing.assert_array_equal(numbers(ramp["u[2] [V]"]), scanned.scans[1].values["u[2]"])
    assert (Path("out/scan_3.csv")).read_text().startswith("u0 [V],u1 [V],")


@pytest.mark.parametrize("format", ["hdf5", "netcdf"])
def test_in_one_file_each_has_a_group(scanned: Run, format: str) -> None:
    (path,) = export_run(scanned.path, format, "out.x").files
    unit = {"hdf5": "unit", "netcdf": "units"}[format]
    with h5py.File(path) as file:
        assert "points" not in file
        for index, scan in enumerate(scanned.scans):
            group = file[f"scan_{index}"]
            assert (group.attrs["stage"], group.attrs["kind"]) == (scan.path, scan.kind)
            for name, grid in scan.values.items():
                found = group[name if name in group and name not in ("t",) else f"{name}_read"]
                np.testing.assert_array_equal(found[:].ravel(), grid.ravel())
                assert found.attrs[unit] == scan.units[name]
            for axis in scan.axes:
                np.testing.assert_array_equal(group[f"{axis.name}_readback"][:].ravel(), scan.readbacks[axis.name].ravel())
        assert file["scan_0/s[0]"].shape == (2, 5)
        if format == "hdf5":
            assert [dimension.label for dimension in file["scan_0/s[0]"].dims] == ["theta1", "z"]
            assert file["scan_0/verdict"].asstr()[:].tolist() == [["settled"] * 5] * 2


def test_xarray_reads_a_scan_as_a_grid(scanned: Run) -> None:
    export_run(scanned.path, "netcdf", "out.nc", ["scans"])
    with xarray.open_dataset("out.nc", group="scan_0") as found:
        scan = scanned.scans[0]
        assert dict(found.sizes) == {"theta1": 2, "z": 5}
        assert found["s[0]"].sel(theta1=0.3, z=-0.5).item() == scan.values["s[0]"][1, 1]
        assert found["z"].attrs["units"] == "V"
        assert found["at"].dtype.kind == "M"
        assert found["direction"].values.tolist() == [[1.0] * 5, [-1.0] * 5]
    with xarray.open_dataset("out.nc", group="scan_1") as found:
        assert dict(found.sizes) == {"point": len(scanned.scans[1].points)}
        np.testing.assert_array_equal(found["u2"], scanned.scans[1].setpoints["u2"])


def test_the_points_as_they_are_stored_can_be_asked_for(scanned: Run) -> None:
    done = export_run(scanned.path, to="out", tables=["points"])
    assert [file.name for file in done.files] == ["points.csv"]
    assert done.rows["points"] == sum(len(scan.points) for scan in scanned.scans)


def test_scans_that_cannot_be_told_apart_come_as_they_are_stored(scanned: Run, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "record.sqlite").write_bytes((scanned.path / "record.sqlite").read_bytes())
    with closing(sqlite3.connect(folder / "record.sqlite")) as connection:
        connection.execute("UPDATE scans SET axes = 'no JSON' WHERE id = 2")
        connection.commit()
    done = export_run(folder, to="out")
    assert done.rows["points"] == len(load_run(folder).rows("points"))
    assert any(sentence.startswith("record.sqlite, scans: ") for sentence in done.missing)
