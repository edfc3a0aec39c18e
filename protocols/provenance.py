"""Where a run comes from: versions, commit, computer, person, seed, threads, begin and end of every attempt.

Kept in provenance.json of the run folder, written anew as a whole at each change.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.run_folder import is_disk_full

_PACKAGES = ("aeqlab", "numpy", "torch", "pydantic", "PyYAML", "pyvisa", "pyvisa-py")


class Provenance:
    """The facts of one run folder, in memory and on disk."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.facts = facts

    @classmethod
    def begin(cls, path: Path, *, seed: int, operator: str, source: Path | None, base: Path) -> Provenance:
        """Collect what is known before anything starts; the first attempt begins now."""
        facts: dict[str, Any] = {
            "seed": seed,
            "operator": operator or _person(),
            "experiment": None if source is None else str(source),
            "commit": commit_of(base),
            "attempts": [],
        }
        provenance = cls(path, facts)
        provenance.begin_attempt()
        return provenance

    @classmethod
    def read(cls, path: Path) -> Provenance:
        """Read the facts of a run.

        Raises:
            RecordError: the file is missing or damaged.
        """
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise RecordError(f"{path}: cannot be read: {exc.strerror or exc}.") from exc
        except ValueError as exc:
            raise RecordError(f"{path}: damaged, not JSON: {exc}.") from exc
        if not isinstance(facts, dict) or not isinstance(facts.get("attempts"), list):
            raise RecordError(f"{path}: damaged, the attempts are missing.")
        return cls(path, facts)

    def begin_attempt(self) -> None:
        """Note that a process begins to work on the run, with what it runs on."""
        self.facts["attempts"].append(
            {
                "started": _now(),
                "ended": None,
                "state": "running",
                "reason": "",
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "platform": platform.platform(),
                "python": sys.version.split()[0],
                "versions": versions(),
                "command": sys.argv,
                "cores": os.cpu_count(),
            }
        )
        self.write()

    def end_attempt(self, state: str, reason: str) -> None:
        """Note how the process ended."""
        self.facts["attempts"][-1].update(ended=_now(), state=state, reason=reason)
        self.write()

    def set(self, **facts: Any) -> None:
        """Add facts of the run."""
        self.facts.update(facts)
        self.write()

    def write(self) -> None:
        """Write the file whole.

        Raises:
            RecordError: the disk is full or cannot be written.
        """
        try:
            write_whole(self.path, json.dumps(self.facts, indent=2, ensure_ascii=False, default=str).encode())
        except OSError as exc:
            full = "the disk is full" if is_disk_full(exc) else f"{exc.strerror or exc}"
            raise RecordError(f"{self.path} cannot be written: {full}.") from exc


def versions() -> dict[str, str]:
    """Get the versions of what matters, as installed; nothing is imported for it."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = _version(importlib.metadata.distribution(package))
    return found


def _version(package: importlib.metadata.Distribution) -> str:
    """Read the version from the head of the metadata: `version` parses all of it, the README of numpy included."""
    head = (package.read_text("METADATA") or "").partition("\n\n")[0]
    named = (line.partition(":") for line in head.splitlines())
    return next((value.strip() for name, _, value in named if name == "Version"), None) or package.version


def commit_of(folder: Path) -> dict[str, Any] | None:
    """Find the git commit a folder stands at and whether files differ from it; None without git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no"],
            capture_output=True, text=True, timeout=2.0, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    commit = next((line.split()[2] for line in done.stdout.splitlines() if line.startswith("# branch.oid")), None)
    changed = any(not line.startswith("#") for line in done.stdout.splitlines())
    return None if commit is None else {"commit": commit, "changed": changed}


def threads() -> dict[str, Any]:
    """Get the thread counts that sums in floating point may depend on; torch is asked only if it is loaded."""
    torch = sys.modules.get("torch")
    return {
        "torch": None if torch is None else int(torch.get_num_threads()),
        "environment": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
    }


def restore_threads(recorded: dict[str, Any]) -> list[str]:
    """Set the thread counts that a checkpoint recorded; returns a warning where that cannot be done any more."""
    torch = sys.modules.get("torch")
    count = recorded.get("torch")
    if torch is not None and isinstance(count, int) and count > 0:
        torch.set_num_threads(count)
    now = threads()["environment"]
    before = recorded.get("environment", {})
    if now == before:
        return []
    return [
        f"Threads were set by {before or 'no variable'} when the run began and are by {now or 'no variable'} now: "
        "the last digits may differ from an uninterrupted run."
    ]


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
