"""The commands `alarms` and `acknowledge`: what went wrong at the sessions that run, and who has seen it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator

from aeqlab.app.exits import ExitCode, say
from aeqlab.protocols.alarms import Alarm
from aeqlab.protocols.client import FoundSession, attach, find_sessions
from aeqlab.protocols.errors import SessionError


def show_alarms(target: str | None) -> int:
    """Print the alarms of one session or of all; returns the exit code."""
    sessions = list(_meant(target))
    if not sessions:
        say(f"there is no session {target!r}." if target else "No session is open.")
        return ExitCode.BAD_INPUT if target else ExitCode.OK
    for session in sessions:
        with attach(session, name="aeqlab alarms", control=False) as client:
            alarms = client.alarms()
        open_ones = [one for one in alarms if not one.over]
        print(f"{session.device}: {f'{len(open_ones)} open' if alarms else 'no alarms'}")
        for alarm in alarms:
            if not alarm.cause:
                _tell(alarm, "  ")
                for one in alarms:
                    if one.cause == alarm.number:
                        _tell(one, "    ")
    return ExitCode.OK


def acknowledge(target: str | None, number: int | None, by: str | None) -> int:
    """Acknowledge alarms of one session, or of the only one; returns the exit code."""
    sessions = list(_meant(target))
    if len(sessions) != 1:
        names = ", ".join(session.device for session in sessions)
        say(f"{len(sessions)} sessions are meant{f': {names}' if names else ''}. Name one.")
        return ExitCode.BAD_INPUT
    try:
        with attach(sessions[0], name="aeqlab acknowledge", control=False) as client:
            done = client.acknowledge(by or getpass.getuser(), number)
    except SessionError as exc:
        say(str(exc))
        return ExitCode.BAD_INPUT
    for alarm in done:
        _tell(alarm, "")
    if not done:
        print("Nothing was left to acknowledge.")
    return ExitCode.OK


def _meant(target: str | None) -> Iterator[FoundSession]:
    for session in find_sessions():
        if target in (None, session.name, session.device, session.address, session.folder):
            yield session


def _tell(alarm: Alarm, indent: str) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(alarm.t))
    often = f", {alarm.times} times" if alarm.times > 1 else ""
    if alarm.since > alarm.t:
        often += f", again from {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(alarm.since))}"
    state = "active" if alarm.active else "over"
    seen = f", acknowledged by {alarm.by}" if alarm.by else ""
    print(f"{indent}{alarm.number}  {when}  {alarm.kind}: {alarm.text} [{state}{often}{seen}]")
