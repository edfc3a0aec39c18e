"""Exporting a run: all its tables as CSV, HDF5 or NetCDF, as they stand at one moment, whole or not at all.

An export is written beside its place and moved there when it is complete. It is a copy for other programs; the record is
not touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.atomic import file_beside, folder_beside
from aeqlab.protocols.errors import ExportError
from aeqlab.protocols.load import Run, load_run
from aeqlab.protocols.run_folder import is_disk_full
from aeqlab.protocols.scans import Scan

FORMATS = {"csv": "-csv", "hdf5": ".h5", "netcdf": ".nc"}  #: format, and what it adds to the name of the run
_RAW = "points"  #: points of all scans, for whom each scan by itself is not enough
#: Tables of arrays; what is left out says what they are, or comes as one table for each scan.
TABLES = tuple(name for name in schema.BY_NAME if name not in ("meta", "columns", _RAW))
_FILE = re.compile(rf"({'|'.join(schema.BY_NAME)}|scan_\d+)\.csv")
INSTALL = 'Install it with: pip install "aeqlab[export]"'


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: its files, rows by table, and what could not be read, in sentences."""

    files: tuple[Path, ...]
    rows: dict[str, int]
    missing: tuple[str, ...]


def export_run(
    path: str | Path, format: str = "csv", to: str | Path | None = None, tables: Sequence[str] = (), *, force: bool = False
) -> Exported:
    """Export a run, live or ended, whole or damaged.

    Args:
        path: the run folder.
        format: `csv` (a folder with a file per table), `hdf5` or `netcdf` (one file with a group per table); likewise for every
            scan, `scan_0` and so on, with the table `scans`.
        to: the folder, or the file; None: where you stand, named after the run. It may be a folder to put it in.
        tables: names of tables; none: all, but for `points`, which come with each scan.
        force: replace an earlier export, or a file.
    Returns:
        What was written. Rows that a resume superseded are left out.
    Raises:
        RecordError: the folder is not that of a run, or its record cannot be read at all.
        ExportError: a table or format is unknown, something is there already, a package is not installed, or the disk is full;
            nothing was left behind.
    """
    if format not in FORMATS:
        raise ExportError(f"There is no format {format!r}; there are {', '.join(FORMATS)}.")
    plain = [*TABLES, "meta", "columns"] if format == "csv" else list(TABLES)
    known = [*plain, _RAW]
    for name in tables:
        if name not in known:
            raise ExportError(f"There is no table {name!r} to export as {format}; there are {', '.join(known)}.")
    chosen = [name for name in known if name in tables] or plain
    run = open_record(path)
    writer = _writer(format)
    target = _place(run.path.absolute().name + FORMATS[format], to, folder=format == "csv")
    refuse_to_overwrite(target, force=force)
    with run.snapshot():
        scans = run.scans if "scans" in chosen else []
        if "scans" in chosen and len(scans) < len(run.rows("scans")) and _RAW not in chosen:
            chosen.append(_RAW)  # what cannot be told apart is given as it stands
        if format == "csv":
            return _into_folder(run, target, chosen, scans)
        with written_beside(target) as beside:
            rows = writer(run, beside, chosen, scans)
    return Exported((target,), rows, tuple(run.missing))


def open_record(path: str | Path) -> Run:
    """Open a run that has a record of its own to read.

    Raises:
        RecordError: there is none, or the file is another program's.
    """
    run = load_run(path)
    if not (run.path / "record.sqlite").is_file():
        raise ExportError(f"{run.path}: there is no record.sqlite here, so there is nothing to read.")
    if not run.is_record:
        said = f" ({run.missing[0]})" if run.missing else ""
        raise ExportError(f"{run.path / 'record.sqlite'}: this is not the record of a run{said}.")
    return run


def facts_of(run: Run) -> dict[str, str | int | float]:
    """Get what an export says of the run as a whole: numbers and words as they are, all else in JSON."""
    facts: dict[str, str | int | float] = {}
    for key, value in run.meta.items():
        plain = isinstance(value, str | int | float) and not isinstance(value, bool) and not _too_large(value)
        facts[key] = value if plain else json.dumps(value, ensure_ascii=False)
    return facts


def _too_large(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _writer(format: str) -> Any:
    """Get what writes a file; what it needs is imported now, before anything is touched."""
    if format == "csv":
        return None
    from aeqlab.protocols.export_hdf5 import write_hdf5, write_netcdf

    package = {"hdf5": "h5py", "netcdf": "h5netcdf"}[format]
    try:
        __import__(package)
    except ImportError as exc:
        raise ExportError(f"An export as {format} needs {package}. {INSTALL}") from exc
    return {"hdf5": write_hdf5, "netcdf": write_netcdf}[format]


def _into_folder(run: Run, folder: Path, tables: list[str], scans: list[Scan]) -> Exported:
    from aeqlab.protocols.export_csv import write_csv
    from aeqlab.protocols.export_scans import write_scan_csv

    with _in_sentences(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_beside(folder) as beside:
            rows = {name: write_csv(run.rows(name), beside / f"{name}.csv") for name in tables}
            for index, scan in enumerate(scans):
                rows[f"scan_{index}"] = write_scan_csv(scan, beside / f"scan_{index}.csv")
    return Exported(tuple(folder / f"{name}.csv" for name in rows), rows, tuple(run.missing))


def _place(name: str, to: str | Path | None, *, folder: bool) -> Path:
    """Choose where it goes: where it is told to; inside of that where it is a folder, and not an earlier export to replace."""
    place = Path(name if to is None else to)
    if to is not None and place.is_dir() and not (folder and _is_export(place)):
        place = place / name
    if folder and place.exists() and not place.is_dir():
        raise ExportError(f"{place}: this is a file; CSV files go into a folder, one per table. Choose another with --to.")
    if folder and place.exists() and not _is_export(place):
        raise ExportError(
            f"{place}: is there already and is no earlier export, which could be replaced. Choose another with --to."
        )
    return place


def _is_export(folder: Path) -> bool:
    """Tell whether a folder holds files that an export wrote and nothing else, so that it may be replaced."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return bool(names) and all(_FILE.fullmatch(name) for name in names)


# writing whole or not at all
def refuse_to_overwrite(place: Path, *, force: bool) -> None:
    """Raise an ExportError where something is there already, unless it may be replaced."""
    if place.exists() and not force:
        raise ExportError(f"{place}: is there already. Choose another place with --to, or replace it with --force.")


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Give the path of a file beside its place; it is moved there at the end, or removed where something went wrong."""
    if target.is_dir():
        raise ExportError(f"{target}: this is a folder; it is not replaced by a file.")
    with _in_sentences(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_beside(target) as beside:
            yield beside


@contextmanager
def _in_sentences(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if is_disk_full(exc) or "No space left" in str(exc):  # HDF5 says it in its own words
            raise ExportError(
                f"{target}: the disk is full; nothing was left there. Make room, or choose another with --to."
            ) from exc
        what = exc.strerror or str(exc)
        raise ExportError(f"{target}: cannot be written ({what}); nothing was left there. Choose another with --to.") from exc
