"""Finding, starting and attaching to sessions; `open_session` does it for a run, and for the rig of a notebook.

A session that owns the device's address, or one that a person started on the same device and seed, is attached to; else one is
started by the command `python -m aeqlab.app.launch session`, whose process is the guardian, and lives as long as its client.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aeqlab.backends.device import Clock, SafetyReport
from aeqlab.backends.kinds import DeviceSettings
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.errors import NotAllowedError, SessionError, SessionLostError
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.lease import holder_of, no_room, slug, state_folder
from aeqlab.protocols.limits import SessionLimits
from aeqlab.protocols.lost import LostSession, forget, last_commands, left_behind, lost_session, recover
from aeqlab.protocols.lost import lost_sessions as dead_sessions
from aeqlab.protocols.notify import NotifyEntry
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.session_file import SessionFile, write_private

__all__ = [
    "FoundSession", "LostSession", "SessionClient", "attach", "find_sessions", "hung_sessions", "lost_session", "lost_sessions",
    "make_lost_safe", "open_session", "owner_of", "start_session",
]  # fmt: skip

_END_IT = "End that session and start it with these: aeqlab session FILE."

#: How long a session may take to become ready, in seconds.
START_S = 60.0


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session that runs now: what one needs to attach to it, and what a person wants to know."""

    address: str
    device: str
    name: str
    pid: int
    folder: str
    port: int
    key: str = field(repr=False)
    guardian: int = 0

    def write(self) -> None:
        """Write it where `find_sessions` looks, readable for this user only."""
        write_private(_path(self.address), json.dumps(asdict(self)).encode("utf-8"))

    def remove(self) -> None:
        """Remove it: the session ends."""
        _path(self.address).unlink(missing_ok=True)


def find_sessions() -> list[FoundSession]:
    """List the sessions of this user that run now."""
    found = (_read(path) for path in sorted(state_folder().glob("*.session")))
    return [session for session in found if session is not None]


def attach(session: FoundSession, *, name: str = "a client", control: bool = True, watches: bool = False) -> SessionClient:
    """Attach to a session that runs.

    Args:
        session: which one.
        name: how this client is called in the session's events.
        control: ask for the control token, which is given where nobody holds it.
        watches: only look on: a session that lives as long as its clients does not live on for this one.
    Raises:
        SessionLostError: it does not answer.
        NotAllowedError: it refuses.
    """
    client = SessionClient(session.port, bytes.fromhex(session.key), name=name, control=control, watches=watches)
    client.folder = Path(session.folder)
    return client


def open_session(
    settings: DeviceSettings,
    *,
    seed: int,
    base: Path,
    folder: Path | None = None,
    homeostasis: HomeostasisSettings | None = None,
    settling: SettlingSettings | None = None,
    limits: SessionLimits | None = None,
    notify: Sequence[NotifyEntry] = (),
    who: str = "a client",
    then: str = "freeze",
) -> SessionClient:
    """Attach to the session that owns the device, or start one that lives as long as this client.

    One started with `then: hold` on the wall clock goes on holding after the client, where that clears `ends_session`.

    Args:
        settings: of the device.
        seed, base: as for `open_device`.
        folder: run folder; the folder of a session that is started is `session` in it. None: in the user's state folder.
        homeostasis, settling: settings of the loops; None leaves those of a running session as they are.
        limits: session limits of a session that is started; one that runs must have the same. None: those it has.
        notify: whom a session that is started tells of alarms.
        who: how this client is called in the session's events.
        then: how a session that is started leaves the device at its end: freeze, safe or hold.
    Returns:
        A client that holds the control token. If the last owner of the device died, its `status().state` is UNKNOWN and the
        reason says what was last commanded. `client.events` begins with the session attached to, or with those that were not used
        and why, and with other lost sessions of this user.
    Raises:
        NotAllowedError: another client controls the device, or its session has other limits; the message says which.
        SessionError: the session could not be started; the message says why.
    """
    others = lost_sessions()
    running, passed = owner_of(settings, seed=seed, base=base, limits=limits)
    if running is not None:
        if why := _other_limits(running, limits):
            raise NotAllowedError(f"{running.device}: the session {running.folder} owns it, and {why}. {_END_IT}")
        try:
            client = attach(running, name=who)
        except SessionLostError as exc:
            raise SessionLostError(refusal(running.address)) from exc
        if not client.controls_device:
            by = client.control_by
            client.close()
            raise NotAllowedError(
                f"{running.device}: {by} controls it, in the session {running.folder}. Wait, or take control first."
            )
        if homeostasis is not None or settling is not None:
            client.configure(homeostasis=homeostasis, settling=settling)
        client.outlives = True
        client.tells = _told_by(running)
        client.notice("attached", f"attached to the session {running.name} ({running.address})")
        return client
    on_wall = isinstance(settings, SlowSettings | RigSettings) and settings.clock is Clock.WALL  # else no time passes in it
    stays = then == "hold" and on_wall
    folder = _new_folder(folder).resolve()
    file = SessionFile(
        device=settings,
        seed=seed,
        base=base.resolve(),
        name=who,
        homeostasis=homeostasis or HomeostasisSettings(),
        settling=settling or SettlingSettings(),
        limits=limits,
        notify=list(notify),
        plant=folder / "device" if stays and device_address(settings, base) is None else None,
        with_client=not stays,
        then=then,  # type: ignore[arg-type]
    )
    client = start_session(file, folder, who=who)
    client.tells = tuple(notify)
    client.outlives = client.ends_session = stays  # until the run has left theta held
    for why in passed:
        client.notice("other", why)
    for lost in others:
        if lost.folder != client.folder:
            client.notice("lost", lost.sentence())
    return client


def owner_of(
    settings: DeviceSettings, *, seed: int, base: Path, limits: SessionLimits | None = None
) -> tuple[FoundSession | None, list[str]]:
    """Find the session that a device belongs to: by its address, else one that serves the same device with the same seed.

    Only a session that does not end with its client counts, and without an address only one that nobody controls and that has the
    limits that are asked for.

    Returns:
        The session, or None; and a sentence for every session of such a device that is not used.
    """
    address = device_address(settings, base)
    if address is not None:
        return _read(_path(address)), []
    passed: list[str] = []
    for session in find_sessions():
        try:
            file = SessionFile.read(Path(session.folder))
        except SessionError:
            continue
        if file.with_client or file.device.kind != settings.kind:
            continue
        why = file.difference(settings, seed, base) or _other_limits(session, limits) or _taken(session)
        if not why:
            return session, []
        passed.append(
            f"The session {session.name} is not used: {why}. This device gets a session of its own; "
            f"`--set device.address={session.address}` uses that one all the same."
        )
    return None, passed


def _told_by(session: FoundSession) -> tuple[NotifyEntry, ...]:
    """Get whom a session that runs tells of its alarms."""
    try:
        return tuple(SessionFile.read(Path(session.folder)).notify)
    except SessionError:
        return ()


def start_session(file: SessionFile, folder: Path, *, who: str = "a client") -> SessionClient:
    """Start the processes of a session, detached from this one, and attach to it.

    Raises:
        SessionError: it could not be started; the message says why.
    """
    folder = folder.resolve()
    asked = folder / "asked.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_private(asked, file.model_dump_json(indent=1).encode("utf-8"))
        (folder / "failed.txt").unlink(missing_ok=True)
    except OSError as exc:
        raise SessionError(no_room(exc, folder)) from exc
    before = _told_of(folder)
    command = [sys.executable, "-P", "-m", "aeqlab.app.launch", "session", "--file", str(asked), "--folder", str(folder)]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **detached())
    found = _ready(process, folder, before)
    client = attach(found, name=who)
    client.folder = folder
    client.on_close = lambda left: None if left.outlives and not left.ends_session else _reap(process)
    return client


def _ready(process: subprocess.Popen[bytes], folder: Path, before: list[FoundSession]) -> FoundSession:
    """Wait until a session that was started is there; `before` are those of this folder that were told of already.

    A killed session may be among them: for the moment between the lease and the name of the next owner it seems to live.
    """
    failed = folder / "failed.txt"
    until = time.monotonic() + START_S
    while True:
        found = _session_of(folder)
        if found is not None and found not in before:
            return found
        code = process.poll()
        if code is not None:
            said = (
                failed.read_text(encoding="utf-8").strip() if failed.exists() else f"it ended with code {code}, see its log.txt"
            )
            raise SessionError(said)
        if time.monotonic() > until:
            process.kill()
            process.wait()
            raise SessionError(f"{folder}: the session was not ready after {START_S:g} s; see log.txt in it.")
        time.sleep(0.01)


def lost_sessions() -> list[LostSession]:
    """List the lost sessions of this user: those that died with their guardians, and those that are there but do not answer."""
    return hung_sessions(find_sessions()) + dead_sessions()


def hung_sessions(sessions: Sequence[FoundSession]) -> list[LostSession]:
    """List those of some sessions that are there but do not answer. Each is attached to, which it notes down."""
    hung = [last_commands(session.address) for session in sessions if not _answers(session)]
    return [replace(lost, hung=True) for lost in hung if lost is not None]


def refusal(address: str) -> str:
    """Say why the device at an address cannot be had now: who holds it, or what its hung holder last commanded."""
    held, session = holder_of(address), _read(_path(address))
    lost = last_commands(address) if session is not None and not _answers(session) else None
    if lost is not None:
        return replace(lost, hung=True).sentence()
    return f"{address} belongs to another: {held.sentence() if held else 'nobody'}. Attach to that session, or end it first."


def make_lost_safe(lost: LostSession) -> SafetyReport:
    """Bring the device of a lost session to SAFE by its session file; emulated hardware is switched off then.

    A session that is there but does not answer is killed first, and its guardian if that is stopped too.

    Returns:
        The safety report, line by line.
    Raises:
        SessionError: the session file is gone, or a session owns the device again.
        BackendError: the device does not answer; its state stays unknown.
    """
    if lost.damaged and not lost.folder.name:
        raise SessionError(
            f"{lost.device}: what its last session left behind names no session file. Start a session on that device and make "
            f"it safe there; if the device is gone, delete {left_behind(lost)}."
        )
    file = SessionFile.read(lost.folder)
    if lost.hung:
        session = _read(_path(lost.address))
        for pid in (lost.pid, session.guardian if session is not None else 0):
            if _is_ours(pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    if file.plant is not None:
        from aeqlab.backends.errors import DeviceLostError
        from aeqlab.backends.plant_link import end_plant

        try:
            report = recover(lost.address, file.open, wait_s=3.0)
        except DeviceLostError as exc:
            forget(lost.address)
            raise SessionLostError(
                f"{lost.device}: the emulated hardware is gone too, nothing is left to make safe. ({exc})"
            ) from exc
        if report.safe:
            end_plant(file.plant)
        return report
    return recover(lost.address, file.open, wait_s=3.0)


def device_address(settings: DeviceSettings, base: Path) -> str | None:
    """Get what the lease of a device is taken on; None for emulated hardware that is made new for each session."""
    if isinstance(settings, SlowSettings) and settings.address is not None:
        return str((base / settings.address).resolve())
    return settings.lease_address if isinstance(settings, RigSettings) else None


def detached() -> dict[str, Any]:
    """Get the options by which a process outlives this one and hears no Ctrl-C meant for it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    return {"start_new_session": True}


def _taken(session: FoundSession) -> str:
    """Say why a session cannot be controlled now; empty where it can."""
    try:
        with attach(session, name="a look", control=False) as client:
            return f"{client.control_by} controls it" if client.control_by else ""
    except SessionError as exc:
        return str(exc).rstrip(".")


def _other_limits(session: FoundSession, limits: SessionLimits | None) -> str:
    """Say that a session has other limits than are asked for; empty where it has these, or where none are asked for."""
    if limits is None:
        return ""
    has = SessionFile.read(Path(session.folder)).limits or SessionLimits()
    return "" if has == limits else f"its limits are {has.sentence()}, here they are {limits.sentence()}"


def _answers(session: FoundSession) -> bool:
    try:
        attach(session, name="a look", control=False).close()
    except SessionLostError:
        return False
    except NotAllowedError:
        pass  # it answers, if only to refuse
    return True


def _is_ours(pid: int) -> bool:
    """Whether a process is one of a session's, as far as this system tells: its number may be another's by now."""
    try:
        return pid > 0 and b"aeqlab.app.launch" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return pid > 0 and not Path("/proc/self").exists()


def _new_folder(folder: Path | None) -> Path:
    if folder is not None:
        return folder / "session"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return state_folder() / "sessions" / f"{stamp}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}"


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait until the session we started has ended, so that nothing is left behind."""
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:  # it has other clients now, or makes safe; it ends by itself
        return


def _session_of(folder: Path) -> FoundSession | None:
    for session in find_sessions():
        if Path(session.folder) == folder:
            return session
    return None


def _told_of(folder: Path) -> list[FoundSession]:
    """List what is told of sessions of a folder, whether they live or not."""
    told = (_told(path) for path in state_folder().glob("*.session"))
    return [session for session in told if session is not None and Path(session.folder) == folder]


def _path(address: str) -> Path:
    return state_folder() / f"{slug(address)}.session"


def _read(path: Path) -> FoundSession | None:
    session = _told(path)
    held = holder_of(session.address) if session is not None else None
    return session if session is not None and held is not None and held.pid == session.pid else None  # not that of a killed one


def _told(path: Path) -> FoundSession | None:
    try:
        return FoundSession(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
