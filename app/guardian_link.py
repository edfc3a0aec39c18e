"""The session's side of its guardian: dots to it and from it, and another guardian when it dies.

Dots are sent only while the thread that owns the device shows life, so a session that hangs falls silent and is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from aeqlab.protocols.reaction import owner_silence_s
from aeqlab.protocols.server import SessionServer

#: A guardian that was silent for this long is dead; a new one has longer to start. A dot is sent this often. In seconds.
DEADLINE_S, START_S, BEAT_S = 1.5, 30.0, 0.1


class GuardianLink:
    """Keeps one guardian alive for a session, and tells it when the session is over.

    Args:
        server: the session.
        folder: session folder.
        pid: process of the first guardian.
        from_guardian, to_guardian: pipes to it.
    """

    def __init__(self, server: SessionServer, folder: Path, pid: int, from_guardian: IO[bytes], to_guardian: IO[bytes]) -> None:
        self.server = server
        self.folder = folder
        self.on_change: Callable[[int], None] | None = None  #: called with the process of another guardian
        self._pid = pid
        self._from, self._to = from_guardian, to_guardian
        self._child: subprocess.Popen[bytes] | None = None
        self._heard = time.monotonic() + START_S
        self._over = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="guardian", daemon=True)
        self._owner_s = owner_silence_s(server.session.info)

    def start(self) -> None:
        """Begin to beat and to listen."""
        self._listen_to(self._from)
        self._thread.start()

    def bye(self) -> None:
        """Tell the guardian that the session ended cleanly, and wait for it where it is our child."""
        self._over.set()
        self._thread.join(2.0)
        with contextlib.suppress(OSError, ValueError):
            self._to.write(b"q")
            self._to.flush()
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(5.0)

    def shows_life(self, now: float) -> bool:
        """Tell whether the thread that owns the device showed life lately: what it waits for takes its time."""
        return now - self.server.alive < self._owner_s + self.server.patience_s

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            now = time.monotonic()
            if self._lost.is_set() or now - self._heard > DEADLINE_S:
                self._replace("it ended" if self._lost.is_set() else f"it was silent for {DEADLINE_S:g} s")
            if self.shows_life(now):
                try:
                    self._to.write(b".")
                    self._to.flush()
                except (OSError, ValueError):
                    self._lost.set()

    def _replace(self, why: str) -> None:
        """The guardian is gone: say so, end what is left of it, start another."""
        if not self._lost.is_set():
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        if self._child is not None:
            self._child.wait()
        for pipe in (self._from, self._to):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
        guard = ["-m", "aeqlab.app.launch", "guard", "--folder", str(self.folder), "--pid", str(os.getpid())]
        command = [sys.executable, "-P", *guard]
        dead, self._lost = self._pid, threading.Event()
        self._heard = time.monotonic() + START_S
        try:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as exc:
            self.server.say("guardian", f"the guardian (process {dead}) is gone, and no other could be started: {exc}")
            return
        assert child.stdin is not None
        assert child.stdout is not None
        self._child, self._pid, self._from, self._to = child, child.pid, child.stdout, child.stdin
        self._listen_to(self._from)
        if self.on_change is not None:
            self.on_change(child.pid)
        self.server.say("guardian", f"the guardian (process {dead}) is gone: {why}; process {child.pid} guards from now on")

    def _listen_to(self, pipe: IO[bytes]) -> None:
        lost = self._lost

        def listen() -> None:
            with contextlib.suppress(OSError, ValueError):
                while said := pipe.read(64):
                    self._heard = max(time.monotonic(), self._heard) if b"." not in said else time.monotonic()
                    if b"e" in said:
                        self.server.request_end("its guardian was asked to end it")
            lost.set()

        threading.Thread(target=listen, name="guardian's dots", daemon=True).start()
