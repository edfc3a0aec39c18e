"""Writing whole or not at all: beside, synced, renamed. A power cut leaves the old content or the new one."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that a reader finds the old content or the new one.

    Raises:
        OSError: it cannot be written; the old content stands.
    """
    with file_beside(path) as beside:
        beside.write_bytes(content)


@contextmanager
def file_beside(path: Path) -> Iterator[Path]:
    """Give the path of a file to write beside its place; it is moved there at the end, or removed where something went wrong.

    Raises:
        OSError: it cannot be written; the old content stands.
    """
    beside = part_of(path)
    try:
        yield beside
        _sync(beside)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a folder to fill beside its place, as `file_beside`; what is there already is replaced, with all that is in it.

    For a moment there is no folder then: what was there stands beside as `.NAME.PROCESS.old`.

    Raises:
        OSError: it cannot be written; the old content stands.
    """
    beside = part_of(path)
    old = beside.with_suffix(".old")
    try:
        beside.mkdir()
        yield beside
        for file in beside.iterdir():
            _sync(file)
        _sync_folder(beside)
        if path.exists():
            path.rename(old)
        try:
            beside.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def part_of(path: Path) -> Path:
    """Get the hidden place beside a path in which this process writes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Sync the rename itself; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
