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
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeqlab.backends.named_files import Names
from aeqlab.backends.user_code import original
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.places import resolve
from aeqlab.protocols.samples import Data, Samples, Source
from aeqlab.protocols.scaling import ScaleSettings, ToScale
from aeqlab.protocols.splits import marks_test, split_by_fraction, split_by_mask

Array = NDArray[Any]
T = TypeVar("T")

#: Largest file and largest contents this reader takes, in bytes.
MAX_BYTES = 2**31
#: Up to so many bytes of a file, what was read last is kept: a check reads a table that the run after it needs again.
KEPT_BYTES = 20_000_000
_RANGE = re.compile(r"(.*)\[(\d{1,9})-(\d{1,9})\](.*)", re.DOTALL)
_MAX_COLUMNS = 100_000
TEST_FRACTION = 0.2


class TableSettings(BaseModel):
    """Columns of a CSV file with a line of names, or arrays of an NPZ file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["table"] = Field(default="table", description="columns of a CSV or NPZ file")
    path: Annotated[str, Names.PATH] = Field(min_length=1, description="The file, .csv or .npz; relative to the experiment file.")
    inputs: list[str] = Field(min_length=1, description="Columns of the inputs, in order; x[0-9] stands for x0 to x9.")
    targets: list[str] = Field(min_length=1, description="Columns of the targets, in order; likewise.")
    split: Literal["random", "last", "column"] = Field(
        default="random",
        description="Which rows are kept for evaluation: random draws them by the seed, last takes the last ones (for series in "
        "time), column those that split_column marks.",
    )
    test_fraction: float | None = Field(
        default=None, ge=0, lt=1, description="Share of the rows kept for evaluation (default: 0.2); not with split: column."
    )
    split_column: str | None = Field(
        default=None, min_length=1, description="Column that says train or test, or 0 or 1 (test), for split: column."
    )
    scale: ScaleSettings | None = Field(
        default=None, description="Scale columns linearly, such as {inputs: limits, targets: [0, 1]}; undone on read-out."
    )
    delimiter: Literal[",", ";", "\t"] = Field(default=",", description="What stands between the columns of a CSV file.")

    @model_validator(mode="after")
    def _split_is_said_once(self) -> TableSettings:
        if self.split == "column" and self.split_column is None:
            raise ValueError("split: column needs split_column, the name of the column that says train or test")
        if self.split == "column" and self.test_fraction is not None:
            raise ValueError("test_fraction is for split: random and last; here the column says which rows are for the test")
        if self.split != "column" and self.split_column is not None:
            raise ValueError(f"split_column is for split: column; this has split: {self.split}")
        return self


@dataclass(frozen=True, slots=True)
class _Read:
    """A table as read.

    Attributes:
        inputs, targets: the columns, shape (rows, columns).
        widths: number of columns of each array that has two dimensions.
        is_test: which rows the split column marks, shape (rows,); None without one.
        places: where each row stands in the file, shape (rows,); `place` says what these numbers are.
    """

    inputs: Array
    targets: Array
    widths: dict[str, int]
    is_test: Array | None
    places: Array
    place: str


_kept: tuple[tuple[Any, ...], _Read] | None = None  # what was read last, and of which bytes by which columns


def table_widths(settings: TableSettings, base: Path) -> tuple[int, int]:
    """Get the numbers of inputs and of targets from the head of the file alone.

    Raises:
        DataError: it is missing, is no such file, or lacks a column.
    """
    path = table_file(settings, base)
    widths = _head(path, settings.delimiter)
    inputs, targets = _wanted(settings, path, tuple(widths))
    return sum(widths[name] for name in inputs), sum(widths[name] for name in targets)


def read_columns(file: str, columns: list[str], delimiter: Literal[",", ";", "\t"], base: Path) -> tuple[Array, list[str]]:
    """Read columns of a CSV or NPZ file that is no data set, such as inputs to predict for.

    Args:
        file: the file; `columns`: as `inputs` of a table, empty for all that the file has; `base`: where its path begins.
    Returns:
        The columns, shape (rows, columns), and the names that were read.
    Raises:
        DataError: it is missing, damaged, lacks a column, or holds something that is no finite number.
    """
    settings, names = _columns_alone(file, columns, delimiter, base)
    path = table_file(settings, base)
    raw = _guarded(path, path.read_bytes)
    read = _read_npz if path.suffix.lower() == ".npz" else _read_csv
    return _guarded(path, lambda: read(settings, path, raw)).inputs, names


def width_of_columns(file: str, columns: list[str], delimiter: Literal[",", ";", "\t"], base: Path) -> int:
    """Count the columns that `read_columns` would read, from the head of the file alone. Raises as it does."""
    settings, names = _columns_alone(file, columns, delimiter, base)
    widths = _head(table_file(settings, base), delimiter)
    return sum(widths[name] for name in names)


def _columns_alone(
    file: str, columns: list[str], delimiter: Literal[",", ";", "\t"], base: Path
) -> tuple[TableSettings, list[str]]:
    """Make the settings of a table without targets: for its reader the first column stands for them."""
    unnamed = TableSettings(path=file, inputs=["-"], targets=["-"], delimiter=delimiter)
    path = table_file(unnamed, base)
    names = expand_columns(columns) or list(_head(path, delimiter))
    settings = TableSettings(path=file, inputs=names, targets=names[:1], delimiter=delimiter)
    _wanted(settings, path, tuple(_head(path, delimiter)))
    return settings, names


def _head(path: Path, delimiter: str) -> dict[str, int]:
    """Read the names of the columns or arrays in the head of a file, and how many columns each is."""
    if path.suffix.lower() == ".npz":
        shapes = _guarded(path, lambda: _npz_shapes(path, path))
        return {name: _widths(shapes).get(name, 1) for name in shapes}

    def head() -> list[str]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _csv_names(path, csv.reader(io.StringIO(file.readline(2**22)), delimiter=delimiter, strict=True))

    return dict.fromkeys(_guarded(path, head), 1)


def load_table(settings: TableSettings, base: Path, seed: int) -> Data:
    """Read the table, in its own units: what is to be scaled is scaled by `scaled`, once the device is open.

    Raises:
        DataError: it is missing, damaged, lacks a column, holds something that is no finite number, or leaves no training row.
    """
    file = table_file(settings, base)
    raw = _guarded(file, file.read_bytes)
    path = original(file)  # whoever reads a message mends his own file, not the copy of a run
    sha256 = hashlib.sha256(raw).hexdigest()
    table = _read(settings, path, raw, sha256)
    if table.is_test is not None:
        train, test = split_by_mask(table.is_test, path, str(settings.split_column))
    else:
        fraction = TEST_FRACTION if settings.test_fraction is None else settings.test_fraction
        train, test = split_by_fraction(len(table.inputs), fraction, path, last=settings.split == "last", seed=seed)
    return Data(
        name=f"table {path.name}",
        train=Samples(table.inputs[train], table.targets[train]),
        test=Samples(table.inputs[test], table.targets[test]) if len(test) else None,
        sources=(Source(str(path), sha256),),
        to_scale=_to_scale(settings, path, table, train, test),
        columns=tuple(expand_columns(settings.inputs)),
    )


def _to_scale(settings: TableSettings, path: Path, table: _Read, train: Array, test: Array) -> ToScale | None:
    if settings.scale is None:
        return None

    def labels(name: str) -> list[str]:
        """Name the columns that a name stands for: one, or those of an array by their numbers."""
        return [f"{name}[{i}]" for i in range(table.widths[name])] if name in table.widths else [name]

    return ToScale(
        settings.scale,
        str(path),
        inputs=tuple(label for name in expand_columns(settings.inputs) for label in labels(name)),
        targets=tuple(label for name in expand_columns(settings.targets) for label in labels(name)),
        ranges={
            label: interval
            for names, interval in settings.scale.ranges.items()
            for name in expand_columns([names])
            for label in labels(name)
        },
        train_places=table.places[train],
        test_places=table.places[test],
        place=table.place,
    )


def _read(settings: TableSettings, path: Path, raw: bytes, sha256: str) -> _Read:
    """Read the columns from the bytes of a file, or take what was read last if that was of the very same bytes."""
    global _kept
    kind = path.suffix.lower()
    key = (sha256, kind, tuple(settings.inputs), tuple(settings.targets), settings.split_column, settings.delimiter)
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


def _wanted(settings: TableSettings, path: Path, there: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Write out the columns of inputs and targets, and see that every column that settings name is there."""
    inputs, targets = expand_columns(settings.inputs), expand_columns(settings.targets)
    column = settings.split_column
    for name in (*inputs, *targets, *([] if column is None else [column])):
        if name not in there:
            hint = _other_delimiter(there) or did_you_mean(name, there)
            raise DataError(f"{path}: no column {name!r}.{hint} It has {_listed(there)}.")
    if column in (*inputs, *targets):
        raise DataError(f"{path}: column {column} says which rows are for the test; it cannot be an input or a target as well.")
    _check_ranges(settings, inputs, targets)
    return inputs, targets


def _check_ranges(settings: TableSettings, inputs: list[str], targets: list[str]) -> None:
    """See that each range given for scaling is of a column that is scaled."""
    scale = settings.scale
    if scale is None:
        return
    sides = [names for wish, names in ((scale.inputs, inputs), (scale.targets, targets)) if wish is not None]
    known = [name for names in sides for name in names]
    for name in expand_columns(list(scale.ranges)):
        if name not in known:
            near = did_you_mean(name, known)
            raise DataError(f"scale.ranges: {name!r} is no column that is scaled.{near} Scaled are {_listed(tuple(known))}.")


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
    inputs, targets = _wanted(settings, path, tuple(names))
    columns = [names.index(name) for name in inputs + targets]
    split = None if settings.split_column is None else names.index(settings.split_column)
    rows: list[list[float]] = []
    lines: list[int] = []
    is_test: list[bool] = []
    for row in reader:
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        if len(row) != len(names):
            raise DataError(f"{path}, line {reader.line_num}: {len(row)} values for {len(names)} columns. Mend the line.")
        rows.append([_number(path, reader.line_num, names[c], row[c]) for c in columns])
        lines.append(reader.line_num)
        if split is not None:
            is_test.append(_mark(path, reader.line_num, names[split], row[split]))
    if not rows:
        raise DataError(f"{path}: no rows below the line of names.")
    table = np.array(rows)
    return _Read(
        inputs=table[:, : len(inputs)],
        targets=table[:, len(inputs) :],
        widths={},
        is_test=None if split is None else np.array(is_test),
        places=np.array(lines),
        place="line",
    )


def _mark(path: Path, line: int, column: str, text: str) -> bool:
    said = marks_test(text)
    if said is None:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise DataError(f"{path}, line {line}, column {column}: {shown!r} is neither train nor test, 0 nor 1. Mend it.")
    return said


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
            if dtype.hasobject or dtype.kind not in "fiub":
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
    inputs, targets = _wanted(settings, path, tuple(shapes))
    marks = [] if settings.split_column is None else [settings.split_column]
    rows = {shapes[name][0] for name in (*inputs, *targets, *marks)}
    if len(rows) != 1 or 0 in rows:
        raise DataError(
            f"{path}: the arrays have different numbers of rows ({', '.join(map(str, sorted(rows)))}). Save them alike."
        )
    n = rows.pop()
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        x, y, marked = (
            [np.asarray(arrays[name], dtype=np.float64).reshape(n, -1) for name in names] for names in (inputs, targets, marks)
        )
    read = _Read(
        inputs=np.concatenate(x, axis=1),
        targets=np.concatenate(y, axis=1),
        widths=_widths(shapes),
        is_test=_marked(path, marks[0], marked[0]) if marks else None,
        places=np.arange(n),
        place="row",
    )
    if not (np.isfinite(read.inputs).all() and np.isfinite(read.targets).all()):
        raise DataError(f"{path}: some values are not finite numbers. Take these rows out.")
    return read


def _widths(shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    return {name: shape[1] for name, shape in shapes.items() if len(shape) == 2}


def _marked(path: Path, name: str, marks: Array) -> Array:
    if marks.shape[1] != 1 or not np.isin(marks, (0.0, 1.0)).all():
        raise DataError(f"{path}: the array {name!r} must say 0 (train) or 1 (test) for each row, and nothing else.")
    is_test: Array = marks[:, 0] == 1
    return is_test
