"""The commands pause, continue, stop, abort, freeze, safe: to a run, to a session, or to a rig that nobody owns any more.

A run does what it is asked at a tick. One that hangs does not, so freeze and safe are seen through to the session of its device.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from aeqlab.app.exits import ExitCode, say
from aeqlab.backends.device import SafetyLine, SafetyReport
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.client import FoundSession, SessionClient, attach, find_sessions, lost_sessions, make_lost_safe
from aeqlab.protocols.control import send
from aeqlab.protocols.ending import MADE_SAFE
from aeqlab.protocols.errors import NotAllowedError, ProtocolError, RecordError, SessionError, SessionLostError
from aeqlab.protocols.left_standing import LeftStanding, all_left_standing, stands_no_more
from aeqlab.protocols.load import load_run
from aeqlab.protocols.lost import LostSession, left_behind, lost_session, seen_to, take_as_it_is
from aeqlab.protocols.run_folder import DEFAULT_RUNS, find_run, is_alive
from aeqlab.protocols.status import MAKING_SAFE, SessionState
from aeqlab.protocols.words import in_unit

#: Commands that a session without a run understands too.
FOR_SESSIONS = ("continue", "stop", "abort", "freeze", "safe")
#: Commands that must reach the device, and go to everything there is where no name is given.
URGENT = ("freeze", "safe")
#: Where a command goes, in words, and doing it there; returns an exit code.
Todo = tuple[str, Callable[[], int]]
#: So long may a run take to answer an urgent command, and then to begin with it, before its session is asked itself, in seconds.
ANSWER_S, BEGIN_S = 1.0, {"freeze": 1.0, "safe": 2.0}
#: So long is waited for the end of a run that was told to make safe a device that lives in it, in seconds.
END_S = 5.0


def send_command(command: str, target: str | None, runs: Path | None) -> int:
    """Send a command to one run or session and print what is done; returns the exit code."""
    where = runs or DEFAULT_RUNS
    sessions = find_sessions() if command in FOR_SESSIONS else []
    lost = lost_sessions() if command in ("safe", "continue") else []
    alive = [path.parent for path in sorted(where.glob("*/record.sqlite")) if is_alive(path.parent)]
    if target is None and command in URGENT:
        return _to_all(command, where, alive, sessions, lost)
    if target is None:
        return _to_the_only_one(command, where, alive, sessions, lost)
    if named := _named(command, target, alive, sessions, lost):
        return _do(command, named, f"{target!r} means {len(named)}")
    if command == "safe" and (seen := [one for one in seen_to() if target in _words(one.device, one.address, one.folder)]):
        for one in seen:
            print(one.sentence())
        return ExitCode.OK
    if command == "continue" and (stand := [one for one in all_left_standing() if target in (one.device, one.address)]):
        return _let_move(stand)
    folder = find_run(target, where)
    if not is_alive(folder) and (holding := session_of_run(folder, sessions)):  # a run that ended with `then: hold`
        return to_session(command, holding)
    return to_run(command, folder)


def _let_move(stand: Sequence[LeftStanding]) -> int:
    """Continue a device without a session that a person froze or made safe: the next session may move it."""
    if len(stand) > 1:
        lines = "".join(f"\n  {one.sentence()}" for one in stand)
        raise NotAllowedError(f"{len(stand)} devices stand, and continue is for one. Name it by its address:{lines}")
    stands_no_more(stand[0].address)
    print(f"{stand[0].sentence()} Continued by {_person()}: the next session may move it.")
    return ExitCode.OK


def _named(
    command: str, target: str, alive: Sequence[Path], sessions: Sequence[FoundSession], lost: Sequence[LostSession]
) -> list[Todo]:
    """List the sessions and the lost devices that a word means; for freeze and safe the runs that are going on as well.

    Raises:
        NotAllowedError: more than one, and the command is for one at a time.
    """
    hung = {session.address for session in lost}
    meant = [session for session in sessions if target in _names(session) and session.address not in hung]
    left = [session for session in lost if target in _words(session.device, session.address, session.folder)]
    todo = [*map(partial(_at_session, command), meant), *map(partial(_at_lost, command), left)]
    if todo and command in URGENT:
        runs = [run for run in alive if run.name == target or run.name.endswith(f"-{target}")]
        todo += [_at_run(command, run) for run in runs if session_of_run(run, sessions) not in meant]
    if len(todo) > 1 and command not in URGENT:
        lines = "".join(f"\n  {name}" for name, _ in todo)
        raise NotAllowedError(f"{target!r} means {len(todo)}, and {command} is for one. Name it by its address:{lines}")
    return todo


def _to_the_only_one(
    command: str, where: Path, alive: Sequence[Path], sessions: Sequence[FoundSession], lost: Sequence[LostSession]
) -> int:
    """Send to the one run that is going on; without a run to the one session, and without one to the one that was lost.

    A session that serves a run is reached through its run, so it counts only where no run is going on; it ends by name alone.
    """
    if len(alive) == 1:
        return to_run(command, alive[0])
    if alive:
        names = ", ".join(path.name for path in alive)
        raise RecordError(f"{len(alive)} runs are going on in {where}: {names}. Name one of them.")
    hung = {session.address for session in lost}
    sessions = [session for session in sessions if session.address not in hung]
    names = ", ".join(session.name for session in sessions)
    if sessions and command == "stop":
        raise RecordError(f"No run is going on in {where}. To end a session, name it: {names}.")
    if len(sessions) == 1:
        return to_session(command, sessions[0])
    if sessions:
        raise NotAllowedError(f"{len(sessions)} sessions are open: {names}. Name one of them.")
    waiting = [session for session in lost if not session.taken]
    if len(waiting) == 1:
        return to_lost(command, waiting[0])
    if waiting:
        lines = "".join(f"\n  {session.address}" for session in waiting)
        raise NotAllowedError(f"The state of {len(waiting)} devices is unknown. Name one of them by its address:{lines}")
    if command == "continue" and (stand := all_left_standing()):
        return _let_move(stand)
    raise RecordError(f"No run is going on in {where}. Name a run, or its folder with --runs.")


def _to_all(
    command: str, where: Path, alive: Sequence[Path], sessions: Sequence[FoundSession], lost: Sequence[LostSession]
) -> int:
    """Send to every run that is going on, every session that serves none of them, and what was lost, whichever of them fails."""
    serving = [session_of_run(run, sessions) for run in alive]
    hung = {session.address for session in lost}
    others = [session for session in sessions if session not in serving and session.address not in hung]
    todo = [
        *map(partial(_at_run, command), alive),
        *map(partial(_at_session, command), others),
        *map(partial(_at_lost, command), lost),
    ]
    if todo:
        return _do(command, todo, "No name was given")
    nothing = f"No run is going on in {where}, and no session is open. Name a run, or its folder with --runs."
    if command == "safe" and (seen := seen_to()):
        lines = "".join(f"\n  {one.sentence()}" for one in seen)
        nothing += f" Nothing was made safe now. What was made safe before:{lines}"
    raise RecordError(nothing)


def _do(command: str, todo: Sequence[Todo], why: str) -> int:
    """Do a command wherever it is meant to go, whichever of them fails; the worst exit code of all."""
    if len(todo) == 1:
        return todo[0][1]()
    print(f"{why}, so {command} goes to all {len(todo)}: {', '.join(name for name, _ in todo)}.")
    worst: int = ExitCode.OK
    for name, do in todo:
        try:
            worst = max(worst, do())
        except (ProtocolError, BackendError) as exc:
            say(f"{name}: {exc}")
            worst = max(worst, ExitCode.FAILED)
    return worst


def _at_run(command: str, run: Path) -> Todo:
    return run.name, lambda: to_run(command, run)


def _at_session(command: str, session: FoundSession) -> Todo:
    return f"{session.name} at {session.address}", lambda: to_session(command, session)


def _at_lost(command: str, left: LostSession) -> Todo:
    return f"{left.device} at {left.address}", lambda: to_lost(command, left)


def to_run(command: str, folder: Path) -> int:
    """Send a command to a run and print its answer; freeze and safe are seen through, at its session where it does not act."""
    session = session_of_run(folder, find_sessions()) if command in URGENT else None
    if session is None:
        print(f"{folder.name}: {send(folder, command)['text']}")
        return _ended_safe(folder) if command == "safe" else ExitCode.OK
    with ExitStack() as stack:
        client: SessionClient | None = None
        with suppress(SessionError):  # one that lives with its client does not end before we have seen to it
            client = stack.enter_context(attach(session, name=_person(), control=False))
        try:
            print(f"{folder.name}: {send(folder, command, timeout_s=ANSWER_S)['text']}")
            if client is not None and (done := _seen_through(command, client, session.name)) is not None:
                return done
            say(f"{folder.name}: the run does not act. Its session is asked itself.")
        except (RecordError, SessionLostError, NotAllowedError) as exc:
            say(f"{exc} Its session is asked itself.")
        return to_session(command, session)


def _ended_safe(folder: Path) -> int:
    """Wait for the end of a run whose device lives in it, and print how it left that."""
    until = time.monotonic() + END_S
    while is_alive(folder):
        if time.monotonic() > until:
            say(f"{folder.name}: it has not ended yet, so nothing is confirmed. `aeqlab show {folder.name}` says how it goes on.")
            return ExitCode.FAILED
        time.sleep(0.02)
    events = load_run(folder).events
    ends = [str(text) for kind, word, text in zip(events["kind"], events["word"], events["text"], strict=True) if word == "end"]
    print(f"{folder.name}: {ends[-1] if ends else 'nothing is told of its device'}")
    return ExitCode.OK if ends and MADE_SAFE in ends[-1] else ExitCode.FAILED


def session_of_run(folder: Path, sessions: Sequence[FoundSession]) -> FoundSession | None:
    """Find the session of the device that a run works with: its own, or one that it controls; None where it has none."""
    own = folder.resolve() / "session"
    for session in sessions:
        if Path(session.folder) == own:
            return session
    for session in sessions:
        with suppress(SessionError), attach(session, name=_person(), control=False) as client:
            if client.control_by.startswith(f"run {folder.name} ("):
                return session
    return None


def _seen_through(command: str, client: SessionClient, name: str) -> int | None:
    """Wait until a session does what its run was asked; a ramp to rest is seen to its end. None if it never begins."""
    until = time.monotonic() + BEGIN_S[command]
    while time.monotonic() < until:
        status = client.status()
        if command == "freeze" and status.state in (SessionState.FROZEN, SessionState.SAFE):
            return ExitCode.OK
        if status.doing == MAKING_SAFE:
            until = time.monotonic() + BEGIN_S[command]
        elif command == "safe" and (report := client.safety()) is not None:
            return tell(name, report)
        time.sleep(0.02)
    return None


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
                if client.control_by.startswith("run "):
                    run = client.control_by.removeprefix("run ").partition(" (")[0]
                    raise NotAllowedError(f"{session.name}: the run {run} works with it. Continue that: aeqlab continue {run}")
                client.continue_()
        if command == "stop":
            print(f"{session.name}: the session ends.")
        elif command != "safe":
            status = client.status()
            print(f"{session.name}: {status.state}.")
            if status.state is SessionState.UNKNOWN:
                say(f"{session.name}: {status.reason}")
                return ExitCode.FAILED
    return tell(session.name, report) if report is not None else ExitCode.OK


def to_lost(command: str, session: LostSession) -> int:
    """Make the device of a session safe that died without anyone seeing to it, or take it as it is."""
    if command == "continue":
        print(take_as_it_is(session, _person()).sentence())
        return ExitCode.OK
    say(session.sentence())
    report = make_lost_safe(session)
    if report.safe and lost_session(session.address) is not None:
        say(f"{left_behind(session)} cannot be written, so it goes on telling of a lost session. Make room there.")
    return tell(session.device, report)


def tell(name: str, report: SafetyReport) -> int:
    """Print a safety report line by line; returns 0 only if every line was confirmed."""
    print(f"{name}: {'SAFE' if report.safe else 'NOT CONFIRMED SAFE'}")
    for line in report.lines:
        print(f"  {line_in_words(line)}")
    return ExitCode.OK if report.safe else ExitCode.FAILED


def line_in_words(line: SafetyLine) -> str:
    """Say one line of a safety report: what, asked, read back, and how it was confirmed."""
    unit = in_unit(line.unit)
    asked = "" if line.setpoint is None else f" set to {line.setpoint:.4g}{unit},"
    back = " nothing read back," if line.readback is None else f" reads {line.readback:.4g}{unit},"
    return f"{line.what}:{asked}{back} {line.grade}{f' ({line.note})' if line.note else ''}"


def _words(device: str, address: str, folder: Path) -> tuple[str, ...]:
    """The words that mean a device nobody owns: its own, and the names of its session's folder and of the run that has it."""
    return device, address, folder.name, folder.parent.name


def _names(session: FoundSession) -> tuple[str, ...]:
    return session.name, session.device, session.address, Path(session.folder).name


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "someone"
