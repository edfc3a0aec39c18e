"""Starting processes that outlive the window: runs, the demo on the emulated bench, sessions.

Each is what the command line would start, detached, with its words in a log file; the window then finds its folder and reads it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aeqlab.app.launch import is_rig_file, read
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.client import FoundSession, detached, find_sessions, owner_of
from aeqlab.protocols.errors import ProtocolError, RecordError, SessionError

WAIT_S = 60.0  #: longest wait for a folder, or for a session


@dataclass(frozen=True, slots=True)
class Started:
    """What was started: the run folder, or the session; and where its words go."""

    log: Path
    run: Path | None = None
    session: FoundSession | None = None


@dataclass(frozen=True, slots=True)
class AsShown:
    """An experiment as it stands in the window: its text, and the folder from which its paths count."""

    text: str
    base: Path


def start_run(experiment: str | Path | AsShown, runs: Path, overrides: Sequence[str] = ()) -> Started:
    """Start an experiment and wait until its run folder is there.

    Args:
        experiment: a file, the name of a preset, or what no file says as it is shown.
        runs: where run folders are.
        overrides: `KEY=VALUE` each.
    Raises:
        RecordError: it ended before that; the message is what it said.
        OSError: a text could not be written down.
    """
    if isinstance(experiment, AsShown):
        handle, name = tempfile.mkstemp(".yaml", ".experiment-", experiment.base)
        os.close(handle)
        path = Path(name)
        try:
            path.write_text(experiment.text, encoding="utf-8")
            return start_run(path, runs, overrides)
        finally:
            path.unlink(missing_ok=True)  # the run folder has what was asked
    words = ["run", str(experiment), "--runs", str(runs), *(part for text in overrides for part in ("--set", text))]
    return _run(words, runs)


def resume_run(folder: Path) -> Started:
    """Go on with a run whose process ended.

    Raises:
        RecordError: it cannot be resumed; the message is what it said.
    """
    process, log = _start(["resume", str(folder.absolute()), "--quiet"], folder.parent, "resume")
    _wait_for(process, log, lambda: _works_in(folder, process.pid))
    return Started(log, folder)


def start_demo(folder: Path, samples: int = 600, seed: int = 1) -> Started:
    """Start the emulated bench and its training, and wait until its run folder is there.

    Raises:
        RecordError: it ended before that; the message is what it said.
    """
    words = ["demo", "--folder", str(folder), "--samples", str(samples), "--seed", str(seed)]
    return _run(words, folder / "runs")


def start_session(experiment: str | Path, logs: Path) -> Started:
    """Start a session that serves the device of an experiment until someone ends it, and wait until it is there.

    One that owns the rig of a rig file already is what is wanted, and nothing is started.

    Raises:
        SessionError: it could not be started; the message is what it said.
    """
    if (owner := session_of_rig(Path(experiment))) is not None:
        return Started(Path(owner.folder) / "log.txt", session=owner)
    before = {session.pid for session in find_sessions()}
    process, log = _start(["session", str(experiment)], logs, "session")
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SessionError(_said(log, process.returncode))
        found = next((one for one in find_sessions() if one.pid not in before and one.guardian == process.pid), None)
        if found is not None:
            return Started(log, session=found)
        time.sleep(0.05)
    raise SessionError(f"the session was not ready after {WAIT_S:g} s; see {log}.")


def session_of_rig(path: Path) -> FoundSession | None:
    """Find the session that owns the rig of a rig file; None where nobody does, or it is no rig file that can be read."""
    try:
        file = read(path) if is_rig_file(path) else None
        return None if file is None else owner_of(file.device, seed=file.seed, base=file.base)[0]
    except (BackendError, ProtocolError, ValueError, OSError):  # what is wrong with it whoever starts it will say
        return None


def start_bench(preset: str, folder: Path) -> Path:
    """Serve an emulated bench until its rig has left it, and wait until its rig file is there; returns that.

    Raises:
        RecordError: it ended before that; the message is what it said.
    """
    rig = folder / "rig.yaml"
    process, log = _start(
        ["bench", preset, "--rig", str(rig), "--journal", str(folder / "journal"), "--linger", "60"], folder, "bench"
    )
    _wait_for(process, log, rig.exists)
    return rig


def _run(words: list[str], runs: Path) -> Started:
    runs.mkdir(parents=True, exist_ok=True)
    before = set(runs.iterdir())
    process, log = _start([*words, "--quiet"], runs, words[0])
    found: list[Path] = []

    def there() -> bool:
        found.extend(path for path in runs.iterdir() if path.is_dir() and _works_in(path, process.pid))
        return bool(found)

    _wait_for(process, log, there)
    if not found:  # it was quicker than we looked
        new = (path.parent for path in runs.glob("*/record.sqlite") if path.parent not in before)
        found += sorted(new, key=lambda path: path.stat().st_mtime)[-1:]
    if not found:
        raise RecordError(f"it ended, and left no run in {runs}; see {log}.")
    return Started(log, found[0])


def _start(words: list[str], folder: Path, name: str) -> tuple[subprocess.Popen[bytes], Path]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    command = [sys.executable, "-P", "-m", "aeqlab.app.cli", *words]
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **detached())
    return process, log


def _works_in(folder: Path, pid: int) -> bool:
    try:
        return int(json.loads((folder / "control.json").read_text(encoding="utf-8"))["pid"]) == pid
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _wait_for(process: subprocess.Popen[bytes], log: Path, there: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if there():
            return
        code = process.poll()
        if code is not None:
            if code == 0:
                return
            raise RecordError(_said(log, code))
        time.sleep(0.05)
    raise RecordError(f"nothing is to be seen of it after {WAIT_S:g} s; see {log}.")


def _said(log: Path, code: int | None) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    return text[-4000:] or f"it ended with code {code} and said nothing; see {log}."
