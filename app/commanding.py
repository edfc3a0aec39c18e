"""The commands pause, continue, stop, abort, freeze, safe: to a run, to a session, or to a rig that nobody owns any more."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path

from aeqlab.app.exits import ExitCode, say
from aeqlab.app.running import DEFAULT_RUNS
from aeqlab.backends.device import SafetyLine, SafetyReport
from aeqlab.protocols.client import FoundSession, attach, find_sessions, lost_sessions, make_lost_safe
from aeqlab.protocols.control import send
from aeqlab.protocols.errors import NotAllowedError, RecordError
from aeqlab.protocols.lost import LostSession
from aeqlab.protocols.run_folder import find_run, is_alive

#: Commands that a session without a run understands too.
FOR_SESSIONS = ("continue", "stop", "abort", "freeze", "safe")


def send_command(command: str, target: str | None, runs: Path | None) -> int:
    """Send a command to one run or session and print what is done; returns the exit code."""
    where = runs or DEFAULT_RUNS
    sessions = find_sessions() if command in FOR_SESSIONS else []
    lost = lost_sessions() if command == "safe" else []
    alive = [path.parent for path in sorted(where.glob("*/record.sqlite")) if is_alive(path.parent)]
    if target is None:
        return _to_the_only_one(command, where, alive, sessions, lost)
    if named := [session for session in sessions if target in _names(session)]:
        return to_session(command, named[0])
    if left := [session for session in lost if target in (session.device, session.address, session.folder.name)]:
        return to_lost(left[0])
    return to_run(command, find_run(target, where))


def _to_the_only_one(
    command: str, where: Path, alive: Sequence[Path], sessions: Sequence[FoundSession], lost: Sequence[LostSession]
) -> int:
    """Send to the one run that is going on; without a run to the one session; without a session make what was lost safe.

    A session that serves a run is reached through its run, so it counts only where no run is going on.
    """
    if len(alive) == 1:
        return to_run(command, alive[0])
    if alive:
        names = ", ".join(path.name for path in alive)
        raise RecordError(f"{len(alive)} runs are going on in {where}: {names}. Name one of them.")
    if len(sessions) == 1:
        return to_session(command, sessions[0])
    if sessions:
        names = ", ".join(session.name for session in sessions)
        raise NotAllowedError(f"{len(sessions)} sessions are open: {names}. Name one of them.")
    if lost:
        return max(to_lost(session) for session in lost)
    raise RecordError(f"No run is going on in {where}. Name a run, or its folder with --runs.")


def to_run(command: str, folder: Path) -> int:
    """Send a command to a run and print its answer."""
    print(f"{folder.name}: {send(folder, command)['text']}")
    return ExitCode.OK


def to_session(command: str, session: FoundSession) -> int:
    """Do a command at a session and print what came of it."""
    if command not in FOR_SESSIONS:
        raise NotAllowedError(f"{session.name}: a session cannot {command}; that is for runs. It can {', '.join(FOR_SESSIONS)}.")
    reason = f"{command} by {_person()}"
    with attach(session, name=_person(), control=command == "continue") as client:
        report: SafetyReport | None = None
        match command:
            case "freeze":
                client.freeze(reason)
            case "safe":
                report = client.make_safe(reason)
            case "abort":
                client.abort(reason)
            case "stop":
                report = client.end_session(reason)
            case _:
                client.continue_()
        if command == "stop":
            print(f"{session.name}: the session ends.")
        elif command != "safe":
            print(f"{session.name}: {client.status().state}.")
    return tell(session.name, report) if report is not None else ExitCode.OK


def to_lost(session: LostSession) -> int:
    """Make the device of a session safe that died without anyone seeing to it."""
    say(session.sentence())
    return tell(session.device, make_lost_safe(session))


def tell(name: str, report: SafetyReport) -> int:
    """Print a safety report line by line; returns 0 only if every line was confirmed."""
    print(f"{name}: {'SAFE' if report.safe else 'NOT CONFIRMED SAFE'}")
    for line in report.lines:
        print(f"  {line_in_words(line)}")
    return ExitCode.OK if report.safe else ExitCode.FAILED


def line_in_words(line: SafetyLine) -> str:
    """Say one line of a safety report: what, asked, read back, and how it was confirmed."""
    unit = "" if line.unit == "1" else f" {line.unit}"
    asked = "" if line.setpoint is None else f" set to {line.setpoint:.4g}{unit},"
    back = " nothing read back," if line.readback is None else f" reads {line.readback:.4g}{unit},"
    return f"{line.what}:{asked}{back} {line.grade}{f' ({line.note})' if line.note else ''}"


def _names(session: FoundSession) -> tuple[str, ...]:
    return session.name, session.device, session.address, Path(session.folder).name


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "someone"
