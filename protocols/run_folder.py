"""The folder of one run: its name, its files, who works in it.

runs/20261123-062105-linear-regression-k3f9/
  experiment.yaml  inputs/  provenance.json  record.sqlite  checkpoints/  log.txt  .lock
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import sys
import time
import traceback
from pathlib import Path

from aeqlab.protocols.errors import RecordError, UnknownRunError
from aeqlab.protocols.local_disk import Disk, check_runs_folder
from aeqlab.protocols.run_lock import RunLock, is_held

DEFAULT_RUNS = Path("runs")  #: folder of the run folders where none is named
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that are taken for one another
_RESERVE_BYTES = 1024 * 1024


class RunFolder:
    """The folder of one run, taken by this process from `create` or `take` to `release`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.experiment = path / "experiment.yaml"
        self.inputs = path / "inputs"
        self.provenance = path / "provenance.json"
        self.record = path / "record.sqlite"
        self.checkpoints = path / "checkpoints"
        self.log_file = path / "log.txt"
        self.control = path / "control.json"
        self.disk = Disk(0)
        self._reserve = path / ".reserve"
        self._lock = RunLock(path / ".lock")

    @classmethod
    def create(cls, runs: Path, name: str) -> RunFolder:
        """Make a fresh folder under `runs`, named by the time and the experiment, and take it.

        Raises:
            RecordError: `runs` cannot keep a run (read-only, on a network, synced, full).
        """
        disk = check_runs_folder(runs)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        try:
            runs.mkdir(parents=True, exist_ok=True)
            while True:
                path = runs.absolute() / f"{stamp}-{slug(name)}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    break
            folder = cls(path)
            folder.inputs.mkdir()
            folder.checkpoints.mkdir()
        except OSError as exc:
            raise RecordError(f"{runs} cannot be written: {exc.strerror or exc}. Choose another folder with --runs.") from exc
        folder.disk = disk
        folder._lock.take()
        folder._keep_room()
        return folder

    @classmethod
    def take(cls, path: Path) -> RunFolder:
        """Take the folder of a run that ended.

        Raises:
            RecordError: it is no run folder, cannot be written, or another process works in it.
        """
        folder = cls(path.absolute())
        if not folder.record.exists():
            raise RecordError(f"{path}: there is no record.sqlite here, so this is not the folder of a run.")
        folder._lock.take()
        try:
            folder.disk = check_runs_folder(path)
        except RecordError:
            folder.release()
            raise
        folder._keep_room()
        return folder

    def release(self) -> None:
        """Give the folder back."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.control.unlink(missing_ok=True)
        self._lock.release()

    # the log
    def log(self, text: str) -> None:
        """Add a line to log.txt; a disk without room loses the line and nothing else."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError), self.log_file.open("a", encoding="utf-8") as file:
            file.write(f"{stamp} {text}\n")

    def log_traceback(self, what: str, exc: BaseException) -> None:
        """Add an error with its traceback to log.txt, the only place where one is shown."""
        self.log(what + "\n" + "".join(traceback.format_exception(exc)).rstrip())

    # room for the end
    def _keep_room(self) -> None:
        """Keep some room on the disk, so that even a run that fills it can write down how it ended."""
        with contextlib.suppress(OSError):
            self._reserve.write_bytes(os.urandom(_RESERVE_BYTES))

    def give_room(self) -> None:
        """Give up the room kept for the end."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)


def slug(name: str) -> str:
    """Make the part of a folder's name that tells the experiment: lower case, digits, hyphens, at most 40 letters."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "run"


def is_alive(path: Path) -> bool:
    """Find out whether a process works in a run folder now."""
    return is_held(path / ".lock")


def find_run(word: str, runs: Path, but: Path | None = None) -> Path:
    """Find a run folder by its path, its name, the end of its name, or the word `last`.

    Args:
        word: what names it.
        runs: folder that holds the run folders.
        but: a run that `last` does not mean: one that looks for the one before itself.
    Raises:
        UnknownRunError: none is meant by the word, or more than one.
    """
    direct = Path(word)
    if (direct / "record.sqlite").exists():
        return direct
    folders = sorted(path.parent for path in runs.glob("*/record.sqlite"))
    others = [path for path in folders if but is None or path.name != but.name]
    if word == "last" and others:
        return others[-1]
    found = [path for path in folders if path.name == word or path.name.endswith(f"-{word}")]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found[:5])
        raise UnknownRunError(f"{word!r} may be {names}. Give more of the name.")
    known = f"The last one there is {folders[-1].name}." if folders else "There are no runs there."
    raise UnknownRunError(f"No run {word!r} in {runs}. {known}")


def is_disk_full(exc: OSError) -> bool:
    """Tell whether an error says that the disk, or this person's share of it, is full."""
    full = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
    return exc.errno in full or (sys.platform == "win32" and getattr(exc, "winerror", None) in (39, 112))
