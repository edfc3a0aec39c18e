"""Checkpoints: everything that decides the future of a run, in files that are whole or not there, the last two kept.

bytes 0-7    b"AEQCHK01"
bytes 8-39   SHA-256 of the rest
rest         a tree in the form of `backends/wire.py`; never pickle
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import CheckpointError, RecordError
from aeqlab.protocols.run_folder import is_disk_full

MAGIC = b"AEQCHK01"
KEPT = 2
_NAME = re.compile(r"^checkpoint-(\d{6,})-step-(\d+)\.aeq$")
_BEST = re.compile(r"^best-(train|test)-(\w+)-of-(\d+)\.aeq$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint as read, the file it came from, and what was wrong with newer ones, in sentences."""

    tree: dict[str, Any]
    path: Path
    warnings: tuple[str, ...] = ()


def save(folder: Path, tree: dict[str, Any], step: int) -> Path:
    """Write a checkpoint and remove all but the last two.

    Args:
        folder: `checkpoints/` of a run folder.
        tree: everything that decides the future, for `wire.pack`.
        step: training steps done.
    Raises:
        RecordError: the disk is full or cannot be written; the checkpoints before stand.
        WireError: the tree holds something that does not travel.
    """
    standing = _listed(folder)
    number = standing[-1][0] + 1 if standing else 1
    path = folder / f"checkpoint-{number:06d}-step-{step}.aeq"
    write(path, tree)
    for _, old in [*standing, (number, path)][:-KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path


def write(path: Path, tree: dict[str, Any]) -> None:
    """Write one file in the form of a checkpoint, whole or not at all. Raises as `save`."""
    body = pack(tree)
    try:
        write_whole(path, MAGIC + hashlib.sha256(body).digest() + body)
    except OSError as exc:
        if is_disk_full(exc):
            raise RecordError(
                f"{path.parent}: the disk is full, so no checkpoint could be written; the ones before stand. "
                "Make room, then continue with `aeqlab resume`."
            ) from exc
        raise RecordError(f"{path}: the checkpoint cannot be written: {exc.strerror or exc}.") from exc


def read(path: Path) -> dict[str, Any]:
    """Read one file in the form of a checkpoint.

    Raises:
        CheckpointError: it is missing, truncated, changed, or of another version.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise CheckpointError(f"{path}: cannot be read: {exc.strerror or exc}.") from exc
    if content[: len(MAGIC)] != MAGIC:
        raise CheckpointError(f"{path}: this is not a checkpoint, or one of another version.")
    body = content[len(MAGIC) + 32 :]
    if hashlib.sha256(body).digest() != content[len(MAGIC) : len(MAGIC) + 32]:
        raise CheckpointError(f"{path}: the checkpoint is damaged (its checksum does not fit its {len(content)} bytes).")
    try:
        tree = unpack(body)
    except WireError as exc:
        raise CheckpointError(f"{path}: the checkpoint is damaged: {exc}.") from exc
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path}: the checkpoint is damaged: it holds no names.")
    return tree


def best_file(folder: Path, name: str, samples: int) -> Path:
    """Name the file of the best theta by one measure.

    Args:
        folder: `checkpoints/` of a run folder.
        name: set and measure, such as `test error_rate`.
        samples: on how many samples it was evaluated; fewer are another measure.
    """
    return folder / f"best-{name.replace(' ', '-')}-of-{samples}.aeq"


def find_best(folder: Path) -> Path | None:
    """Find the best theta of a run: on the test set if it was evaluated there, by most samples; None if there is none."""
    found = [(match, path) for path in (folder.iterdir() if folder.is_dir() else ()) if (match := _BEST.match(path.name))]
    return max(found, key=lambda one: best_rank(one[0][1], int(one[0][3])))[1] if found else None


def best_rank(name: str, samples: int) -> tuple[bool, int]:
    """Rank measures by what they say of a theta: the test set before the training set, then more samples."""
    return name.startswith("test"), samples


def load_newest(folder: Path) -> Loaded:
    """Read the newest checkpoint that is whole.

    Raises:
        CheckpointError: there is none, or all of them are damaged; the message says how each.
    """
    listed = _listed(folder)
    if not listed:
        raise CheckpointError(f"{folder}: there is no checkpoint, so the run cannot be resumed. Start it anew.")
    wrong: list[str] = []
    for _, path in reversed(listed):
        try:
            return Loaded(read(path), path, tuple(wrong))
        except CheckpointError as exc:
            wrong.append(str(exc))
    raise CheckpointError(
        f"{folder}: no checkpoint can be read, so the run cannot be resumed; its record can. " + " ".join(wrong)
    )


def _listed(folder: Path) -> list[tuple[int, Path]]:
    """List the checkpoints of a folder by number, oldest first."""
    found = []
    if folder.is_dir():
        for path in folder.iterdir():
            match = _NAME.match(path.name)
            if match:
                found.append((int(match[1]), path))
    return sorted(found)


def listed_steps(folder: Path) -> dict[int, Path]:
    """List the checkpoints of a folder by the training steps done at each."""
    return {int(_NAME.match(path.name)[2]): path for _, path in _listed(folder)}  # type: ignore[index]
