"""Data set `table`: named columns of a CSV or NPZ file of the user's. Reading one never runs code."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from aeqlab.backends.streams import stream
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.places import resolve
from aeqlab.protocols.samples import Data, Samples, Source

Array = NDArray[Any]
T = TypeVar("T")

#: Largest file and largest contents this reader takes, in bytes.
MAX_BYTES = 2**31
#: Up to so many bytes of a file, what was read last is kept: a check reads a table that the run after it needs again.
KEPT_BYTES = 20_000_000
_RANGE = re.compile(r"(.*)\[(\d{1,9})-(\d{1,9})\](.*)", re.DOTALL)
_MAX_COLUMNS = 100_000


class TableSettings(BaseModel):
    """Columns of a CSV file with a line of names, or arrays of an NPZ file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["table"] = Field(default="table", description="columns of a CSV or NPZ file")
    path: str = Field(min_length=1, description="The file, .csv or .npz; relative to the experiment file.")
    inputs: list[str] = Field(min_length=1, description="Columns of the inputs, in order; x[0-9] stands for x0 to x9.")
    targets: list[str] = Field(min_length=1, description="Columns of the targets, in order; likewise.")
    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="Share of the rows kept for evaluation, by the seed.")
    delimiter: Literal[",", ";", "\t"] = Field(default=",", description="What stands between the columns of a CSV file.")


@dataclass(frozen=True, slots=True)
class _Read:
    inputs: Array
    targets: Array


_kept: tuple[tuple[Any, ...], _Read] | None = None  # what was read last, and of which bytes by which columns


def table_widths(settings: TableSettings, base: Path) -> tuple[int, int]:
    """Get the numbers of inputs and of targets from the head of the file alone.

    Raises:
        DataError: it is missing, is no such file, or lacks a column.
    """
    path = table_file(settings, base)
    if path.suffix.lower() == ".npz":
        arrays = _guarded(path, lambda: _npz_shapes(path, path))
        return tuple(  # type: ignore[return-value]
            sum(arrays[name][1] if len(arrays[name]) == 2 else 1 for name in _wanted(path, names, tuple(arrays)))
            for names in (settings.inputs, settings.targets)
        )

    def head() -> list[str]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _csv_names(path, csv.reader(io.StringIO(file.readline(2**22)), delimiter=settings.delimiter, strict=True))

    there = tuple(_guarded(path, head))
    return len(_wanted(path, settings.inputs, there)), len(_wanted(path, settings.targets, there))


def load_table(settings: TableSettings, base: Path, seed: int) -> Data:
    """Read the table; which rows are kept for evaluation is drawn from the seed.

    Raises:
        DataError: it is missing, damaged, lacks a column, or holds something that is not a finite number.
    """
    path = table_file(settings, base)
    raw = _guarded(path, path.read_bytes)
    sha256 = hashlib.sha256(raw).hexdigest()
    table = _read(settings, path, raw, sha256)
    rows = len(table.inputs)
    n_test = round(settings.test_fraction * rows)
    if rows - n_test < 1:
        raise DataError(f"{path}: {rows} rows leave none for training at test_fraction {settings.test_fraction:g}. Lower it.")
    order = stream(seed, "data split").permutation(rows)
    test, train = np.sort(order[:n_test]), np.sort(order[n_test:])
    return Data(
        name=f"table {path.name}",
        train=Samples(table.inputs[train], table.targets[train]),
        test=Samples(table.inputs[test], table.targets[test]) if n_test else None,
        sources=(Source(str(path), sha256),),
    )


def _read(settings: TableSettings, path: Path, raw: bytes, sha256: str) -> _Read:
    """Read the columns from the bytes of a file, or take what was read last if that was of the very same bytes."""
    global _kept
    kind = path.suffix.lower()
    key = (sha256, kind, tuple(settings.inputs), tuple(settings.targets), settings.delimiter)
    kept = _kept
    if kept is not None and kept[0] == key:
        return kept[1]
    read = _read_npz if kind == ".npz" else _read_csv
    table = _guarded(path, lambda: read(settings, path, raw))
    _kept = (key, table) if len(raw) <= KEPT_BYTES else None
    return table


def table_file(settings: TableSettings, base: Path) -> Path:
    """Get the file of a table.

    Raises:
        DataError: it is missing, too large, or neither .csv nor .npz.
    """
    path = resolve(base, settings.path)
    if path.suffix.lower() not in (".csv", ".npz"):
        raise DataError(f"{path}: a table is a .csv or an .npz file. Save it as one of these.")
    try:
        size = path.stat().st_size
        regular = path.is_file()
    except FileNotFoundError:
        near = did_you_mean(path.name, sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else [])
        raise DataError(f"{path}: no such file.{near}") from None
    except (OSError, ValueError) as exc:
        raise DataError(f"{path}: cannot be read: {exc}.") from exc
    if not regular:
        raise DataError(f"{path}: not a file.")
    if size > MAX_BYTES:
        raise DataError(f"{path}: {size} bytes, more than the {MAX_BYTES} this program reads. Split it.")
    return path


def expand_columns(names: list[str]) -> list[str]:
    """Write out ranges of column names: `x[0-2]` is x0, x1, x2, and `x[00-02]` is x00, x01, x02."""
    out: list[str] = []
    for name in names:
        match = _RANGE.fullmatch(name)
        if match is None:
            out.append(name)
            continue
        before, first, last, after = match.groups()
        if int(last) < int(first) or len(out) + int(last) - int(first) >= _MAX_COLUMNS:
            raise DataError(f"columns {name!r}: a range goes up, and to at most {_MAX_COLUMNS} columns in all.")
        out += [f"{before}{i:0{len(first)}d}{after}" for i in range(int(first), int(last) + 1)]
    return out


def _guarded(path: Path, read: Callable[[], T]) -> T:
    """Read something from a foreign file; whatever is wrong with it becomes a sentence."""
    try:
        return read()
    except DataError:
        raise
    except MemoryError as exc:
        raise DataError(f"{path}: its contents do not fit into memory.") from exc
    except UnicodeDecodeError as exc:
        raise DataError(f"{path}: not text in UTF-8 (byte {exc.start}). Save it as CSV in UTF-8.") from exc
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}.") from exc
    except Exception as exc:  # a damaged zip or npy makes its readers raise almost anything
        raise DataError(f"{path}: damaged: {exc}. Save it again.") from exc


def _wanted(path: Path, names: list[str], there: tuple[str, ...]) -> list[str]:
    wanted = expand_columns(names)
    for name in wanted:
        if name not in there:
            hint = _other_delimiter(there) or did_you_mean(name, there)
            raise DataError(f"{path}: no column {name!r}.{hint} It has {_listed(there)}.")
    return wanted


def _other_delimiter(there: tuple[str, ...]) -> str:
    """Say what delimiter to set where the whole line of names was read as one."""
    for sign, written in ((";", '";"'), ("\t", r'"\t"'), (",", '","')):
        if len(there) == 1 and sign in there[0]:
            return f" Its columns seem to be parted by {written}: set delimiter: {written}."
    return ""


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown or "none"


# CSV


def _csv_names(path: Path, reader: Any) -> list[str]:
    names = [name.strip() for name in next(reader, [])]
    if not any(names):
        raise DataError(f"{path}: its first line must name the columns; it is empty.")
    double = sorted({name for name in names if name and names.count(name) > 1})
    if double:
        raise DataError(f"{path}, line 1: the column name {double[0]!r} stands there twice. Rename one.")
    return names


def _read_csv(settings: TableSettings, path: Path, raw: bytes) -> _Read:
    reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), delimiter=settings.delimiter, strict=True)
    names = _csv_names(path, reader)
    inputs, targets = _wanted(path, settings.inputs, tuple(names)), _wanted(path, settings.targets, tuple(names))
    columns = [names.index(name) for name in inputs + targets]
    rows: list[list[float]] = []
    for row in reader:
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        if len(row) != len(names):
            raise DataError(f"{path}, line {reader.line_num}: {len(row)} values for {len(names)} columns. Mend the line.")
        rows.append([_number(path, reader.line_num, names[c], row[c]) for c in columns])
    if not rows:
        raise DataError(f"{path}: no rows below the line of names.")
    table = np.array(rows)
    return _Read(table[:, : len(inputs)], table[:, len(inputs) :])


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value) or "_" in text:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise DataError(f"{path}, line {line}, column {column}: {shown!r} is not a finite number. Mend it or take the line out.")
    return value


# NPZ


def _npz_shapes(path: Path, content: Path | io.BytesIO) -> dict[str, tuple[int, ...]]:
    """Read the shapes of the arrays; each is checked against what the archive holds, so that nothing huge is made room for."""
    shapes: dict[str, tuple[int, ...]] = {}
    with zipfile.ZipFile(content) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                raise DataError(f"{path}: {info.filename!r} in it is not an array. Save it with numpy.savez.")
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
                at = member.tell()
            if dtype.hasobject or dtype.kind not in "fiu":
                raise DataError(f"{path}: the array {name!r} holds {dtype}, not real numbers. Save it as floats.")
            if len(shape) not in (1, 2):
                raise DataError(
                    f"{path}: the array {name!r} has {len(shape)} dimensions; one (rows) or two (rows, columns) are read."
                )
            size = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
            if size > MAX_BYTES or at + size != info.file_size:
                raise DataError(
                    f"{path}: the array {name!r} is {size} bytes by its header, {info.file_size - at} are there: damaged."
                )
            shapes[name] = tuple(int(n) for n in shape)
    return shapes


def _read_npz(settings: TableSettings, path: Path, raw: bytes) -> _Read:
    shapes = _npz_shapes(path, io.BytesIO(raw))
    wanted = [_wanted(path, names, tuple(shapes)) for names in (settings.inputs, settings.targets)]
    rows = {shapes[name][0] for names in wanted for name in names}
    if len(rows) != 1 or 0 in rows:
        raise DataError(
            f"{path}: the arrays have different numbers of rows ({', '.join(map(str, sorted(rows)))}). Save them alike."
        )
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        parts = [[np.asarray(arrays[name], dtype=np.float64).reshape(shapes[name][0], -1) for name in names] for names in wanted]
    read = _Read(*(np.concatenate(part, axis=1) for part in parts))
    if not (np.isfinite(read.inputs).all() and np.isfinite(read.targets).all()):
        raise DataError(f"{path}: some values are not finite numbers. Take these rows out.")
    return read
