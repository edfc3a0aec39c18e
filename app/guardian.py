"""The guardian: the smallest program here. It watches one session, and when that is gone it brings the device to SAFE.

Two pipes join the two: each side sends a dot now and then, a session that ends cleanly sends a `q`, and a pipe that ends without
one, or goes silent, means death: a hung process is the usual one. A hung session is killed first. The guardian then takes the
lease, opens the device again and reports line by line in the session folder (guardian.jsonl).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from aeqlab.backends.errors import BackendError
from aeqlab.protocols.errors import NotAllowedError, ProtocolError
from aeqlab.protocols.lease import acquire, held_for_safety, holder_of
from aeqlab.protocols.lost import lost_session, mark_ended
from aeqlab.protocols.reaction import DEADLINE_S
from aeqlab.protocols.session_file import SessionFile, append_line
from aeqlab.protocols.words import in_unit

#: While the session starts, it has longer than `DEADLINE_S` to send a dot. A dot is sent this often. In seconds.
START_S, BEAT_S = 60.0, 0.2
#: A look that comes this much later than it should was late itself: what was not looked at counts as no silence. In seconds.
LATE_S = 0.3
#: The device is tried again after these pauses before its state is called unknown.
PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0)
#: A session that was killed may take so long to be gone, on a computer that is busy with other things. In seconds.
GOING_S = 60.0


class Guardian:
    """Watches one session.

    Args:
        folder: session folder.
        from_session, to_session: the two pipes.
        kill: kills the session's process, and waits for it where it is our child.
    """

    def __init__(self, folder: Path, from_session: IO[bytes], to_session: IO[bytes], kill: Callable[[], None]) -> None:
        self.folder = folder
        self.ending = False
        self._from, self._to, self._kill = from_session, to_session, kill
        self._heard = time.monotonic() + START_S
        self._bye = False
        self._changed = threading.Event()
        self._gone = False

    def watch(self) -> bool:
        """Watch until the session is gone. Returns whether it said goodbye."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        looked = time.monotonic()
        while not self._gone and not self._bye:
            before, looked = looked, time.monotonic()
            self._forgive(looked - before - BEAT_S - LATE_S, looked)
            if time.monotonic() - self._heard > DEADLINE_S:
                break
            try:
                self._to.write(b"e" if self.ending else b".")
                self._to.flush()
            except (OSError, ValueError):
                self._changed.wait(0.2)  # what it said last may still be on its way
                break
            self._changed.wait(BEAT_S)
        return self._bye

    def make_safe(self) -> bool:
        """Kill what is left of the session, and bring the device to SAFE. Returns whether every line of it was confirmed."""
        why = "it is dead" if self._gone else f"it was silent for {DEADLINE_S:g} s"
        self._kill()
        self.say("lost", f"the session is gone: {why}")
        try:
            file = SessionFile.read(self.folder)
            if not file.outlives:
                self._mark(file.address, "gone")
                self.say("end", "the device lived in the session, so nothing is left to make safe")
                return True
            self._wait_until_gone(file.address)
            with held_for_safety(file.address, str(self.folder), "guardian", wait_s=2.0) as why_not:
                if why_not:
                    self.say("lease", f"the lease cannot be taken, the device is made safe without it: {why_not}")
                safe = self._safe(file)
        except (ProtocolError, BackendError, OSError) as exc:
            self.say("failed", f"state unknown: {exc}")
            return False
        if safe:
            with contextlib.suppress(ProtocolError, OSError):
                switch_off(self.folder)
        return safe

    def _wait_until_gone(self, address: str) -> None:
        """Wait while the session that was killed still holds its lease: its device may not be touched, nor be given up."""
        began, said = time.monotonic(), False
        while time.monotonic() - began < GOING_S:
            try:
                holder = holder_of(address)
            except (ProtocolError, OSError):  # who holds it cannot be known, so nobody is waited for
                return
            if holder is None or holder.what != "session" or Path(holder.folder).resolve() != self.folder.resolve():
                return
            if not said and time.monotonic() - began > 1.0:
                said = True
                self.say("waits", f"process {holder.pid}, which was killed, has not gone yet")
            time.sleep(0.02)

    def _mark(self, address: str, state: str) -> None:
        """Write down that somebody saw to it. What was done stays done where that cannot be written."""
        try:
            mark_ended(address, state)
        except (OSError, NotAllowedError) as exc:
            self.say("unwritten", f"the state folder goes on telling of a lost session, because it cannot be written: {exc}")

    def _forgive(self, late_s: float, now: float) -> None:
        """Take what passed while this process itself stood still for no silence: dots may lie in the pipe."""
        if late_s > 0.0:
            self._heard = max(self._heard, min(now, self._heard + late_s))

    def say(self, kind: str, text: str) -> None:
        """Report one line, in the session folder and on standard error."""
        append_line(
            self.folder / "guardian.jsonl", {"t": time.time(), "kind": kind, "text": text, "who": f"guardian {os.getpid()}"}
        )
        try:
            print(f"guardian: {text}", file=sys.stderr, flush=True)
        except OSError:
            return

    def _safe(self, file: SessionFile) -> bool:
        for pause in PAUSES_S:
            time.sleep(pause)
            try:
                with file.open() as device:
                    self.say("opened", f"{device.info.name} is open again; the ramp to rest begins")
                    report = device.make_safe()
                break
            except BackendError as exc:
                failure = exc
        else:
            self.say("failed", f"state unknown: {failure}")
            return False
        for line in report.lines:
            back = "nothing came back" if line.readback is None else f"{line.readback:.6g}{in_unit(line.unit)}"
            asked = "" if line.setpoint is None else f"{line.setpoint:g}{in_unit(line.unit)} asked, "
            self.say("line", f"{line.what}: {asked}{back}, {line.grade}{', ' + line.note if line.note else ''}")
        if report.safe:
            self._mark(file.address, "safe")
        self.say("safe" if report.safe else "failed", "the device is SAFE" if report.safe else "the device is not confirmed safe")
        return report.safe

    def _listen(self) -> None:
        try:
            while said := self._from.read(64):
                self._heard = time.monotonic()
                if b"q" in said:
                    self._bye = True
                    break
            else:
                self._gone = True
        except (OSError, ValueError):
            self._gone = True
        self._changed.set()


def guard_other(folder: Path, pid: int) -> int:
    """Guard a session that is not our child, by standard input and output: one whose first guardian died."""

    def kill() -> None:
        if guardian._gone:  # its pipe ended: the process is gone, and its number may be another's by now
            try:
                acquire(SessionFile.read(folder).address, str(folder), "guardian", 0.3, must_be_named=False).release()
                return
            except OSError:
                return
            except ProtocolError:
                pass  # it still holds its lease, so it is still there
        try:
            os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        except OSError:
            return

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with the session, not before
    guardian = Guardian(folder, os.fdopen(0, "rb", buffering=0), os.fdopen(1, "wb", buffering=0), kill)
    if guardian.watch():
        switch_off(folder)
        return 0
    return 1 if guardian.make_safe() else 3


def switch_off(folder: Path) -> None:
    """End the emulated hardware of a session that is over, if it was started for it and nobody needs to see to it any more."""
    try:
        file = SessionFile.read(folder)
    except ProtocolError:
        return
    if file.switch_off and file.plant is not None and lost_session(file.address) is None:
        from aeqlab.backends.plant_link import end_plant

        end_plant(file.plant)
