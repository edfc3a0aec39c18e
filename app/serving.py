"""The session process: takes the lease, opens the device, serves it, and leaves it as declared. Imports no torch and no Qt."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from aeqlab.app.guardian_link import GuardianLink
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.client import FoundSession
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.lease import acquire, no_room
from aeqlab.protocols.left_standing import Stands, left_standing
from aeqlab.protocols.lost import LastCommands, lost_session
from aeqlab.protocols.notify import Notifier
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.session_record import SessionRecord
from aeqlab.protocols.tidying import tidy


def serve(folder: Path, guardian_pid: int) -> int:
    """Serve the session of a folder until it ends; returns the exit code. Standard input and output are the guardian's pipes."""
    if sys.platform != "win32":  # who owns the hardware goes before what trains on it, where we are allowed to say so
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -10)
    from_guardian, to_guardian = _pipes()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("aeqlab.protocols.server").addFilter(_only_who_controls())
    failed = folder / "failed.txt"
    try:
        file = SessionFile.read(folder)
        lease = acquire(file.address, str(folder))
    except (ProtocolError, OSError) as exc:
        return _give_up(failed, no_room(exc, folder) if isinstance(exc, OSError) else str(exc), to_guardian)
    with lease, contextlib.ExitStack() as leases:
        try:
            for instrument in file.leased:
                leases.enter_context(acquire(instrument, str(folder)))
            lost = lost_session(file.address, held=True)
            device = file.open()
        except (BackendError, ProtocolError, OSError) as exc:
            return _give_up(failed, str(exc), to_guardian)
        controls = device.info.controls
        key = secrets.token_bytes(32)
        try:
            server = SessionServer(
                device,
                key=key,
                homeostasis=file.homeostasis,
                settling=file.settling,
                limits=file.limits,
                notifier=Notifier(file.notify, f"session of {device.info.name}") if file.notify else None,
                record=SessionRecord(folder),
                stands=Stands(file.address, device.info.name) if file.outlives and not file.switch_off else None,
                last=LastCommands(file.address, device.info.name, controls.names, controls.unit, folder),
                gains=file.gains_place(folder),
                with_client=file.with_client,
                then=file.then,
            )
        except BackendError as exc:  # limits that are outside the device's own
            device.close()
            return _give_up(failed, str(exc), to_guardian)
        stands = left_standing(file.address)
        if lost is None and stands is not None:
            server.session.stand_for(stands.state, stands.by, stands.reason)
        if lost is not None:
            server.stand_unknown(lost.sentence(), lost.u)
            if lost.taken:
                server.session.who = lost.taken
                server.session.continue_()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.request_end("a signal asked for it"))
        link = GuardianLink(server, folder, guardian_pid, from_guardian, to_guardian)
        found = FoundSession(
            file.address, device.info.name, file.name, os.getpid(), str(folder), server.port, key.hex(), guardian_pid
        )
        found.write()
        tidy()
        link.on_change = lambda pid: replace(found, guardian=pid).write()
        link.start()
        try:
            server.serve()
        finally:
            found.remove()
            link.bye()
    return 0


def _only_who_controls() -> Callable[[logging.LogRecord], bool]:
    """Keep those who only look out of what is printed; events.jsonl has them all."""
    controlling: set[str] = set()

    def shown(record: logging.LogRecord) -> bool:
        kind, text = record.args if isinstance(record.args, tuple) and len(record.args) == 2 else ("", "")
        if kind != "client":
            return True
        who, _, controls = str(text).partition(" connected")
        if controls:
            controlling.add(who)
            return True
        name = who.removesuffix(" left")
        known = name in controlling
        controlling.discard(name)
        return known

    return shown


def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Get the guardian's pipes away from standard input and output, where a stray print would speak to it."""
    reader, writer = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return reader, writer


def _give_up(failed: Path, why: str, to_guardian: IO[bytes]) -> int:
    try:
        failed.write_text(why + "\n", encoding="utf-8")
    except OSError:
        print(why, file=sys.stderr)
    to_guardian.write(b"q")
    return 2
