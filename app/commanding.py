"""The commands that go to a run, or to the session of a rig: pause, continue, stop, abort, freeze, safe."""

from __future__ import annotations

from pathlib import Path

from aeqlab.app.exits import ExitCode
from aeqlab.app.running import DEFAULT_RUNS
from aeqlab.protocols.control import send
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.run_folder import find_run, is_alive


def send_command(command: str, target: str | None, runs: Path | None) -> int:
    """Send a command to one run and print its answer; returns the exit code."""
    folder = find_run(target, runs or DEFAULT_RUNS) if target is not None else the_one_going_on(runs or DEFAULT_RUNS)
    answer = send(folder, command)
    print(f"{folder.name}: {answer['text']}")
    return ExitCode.OK


def the_one_going_on(runs: Path) -> Path:
    """Find the one run that a process works in now.

    Raises:
        RecordError: there is none, or more than one.
    """
    alive = [path.parent for path in sorted(runs.glob("*/record.sqlite")) if is_alive(path.parent)]
    if len(alive) == 1:
        return alive[0]
    if alive:
        names = ", ".join(path.name for path in alive)
        raise RecordError(f"{len(alive)} runs are going on in {runs}: {names}. Name one of them.")
    raise RecordError(f"No run is going on in {runs}. Name a run, or its folder with --runs.")
