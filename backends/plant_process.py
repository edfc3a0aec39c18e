"""A plant in a process of its own: it stands in for hardware, so it outlives its clients and obeys one at a time.

    python -m aeqlab.backends.plant_process --settings-file F --folder D --seed N --base B

The address appears in D/plant.json when it is ready. A client that vanishes leaves everything as it is, as instruments do;
the next one takes over from a vanished one, and from a living one only if it says so (a guardian does). Observers get the
status and leave. Ctrl-C in the terminal does not reach it; `end`, SIGTERM and, if asked, `linger_s` end it.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import secrets
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

from aeqlab.backends import plant_messages as messages
from aeqlab.backends import wire
from aeqlab.backends.device import Clock
from aeqlab.backends.errors import BackendError, DeviceStateError, WireError
from aeqlab.backends.plant import Plant
from aeqlab.backends.slow_settings import SlowSettings

#: One that ends by itself waits so much longer for its first client, in s: whoever started it may be held up.
FIRST_S = 60.0


@dataclass(slots=True)
class _Pending:
    """An exchange on the wall clock that is not due yet."""

    number: int
    due: float
    since: float


class PlantServer:
    """Serves one plant; everything but the handshakes happens in the thread that calls `serve`."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self._plant = plant
        self._settings = plant.settings
        self._sizes = (
            len(plant.description["inputs"]["names"]),
            len(plant.description["controls"]["names"]),
            len(plant.description["outputs"]["names"]),
        )
        self._key = secrets.token_bytes(32)
        self._listener = Listener(("127.0.0.1", 0))
        self._wake, self._bell = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._newcomers: queue.SimpleQueue[tuple[Connection, dict[str, Any]]] = queue.SimpleQueue()
        self._client: Connection | None = None
        self._client_pid = 0
        self._pending: _Pending | None = None
        self._heard = self._beat = time.monotonic()
        self._left = self._heard + FIRST_S  # nobody left yet
        self._ended = False
        wall = self._settings.clock is Clock.WALL
        self._wall = wall
        self._clocks = wall or self._settings.watchdog_s is not None or self._settings.linger_s is not None
        messages.write_private(folder / messages.KEY_FILE, self._key)
        about = {"address": list(self._listener.address), "pid": os.getpid(), "seed": plant.seed, "started_ns": time.time_ns()}
        messages.write_private(folder / messages.ADDRESS_FILE, json.dumps(about).encode("utf-8"))

    def serve(self) -> None:
        """Serve until told to end, or until nobody came back for `linger_s`."""
        threading.Thread(target=self._accept, daemon=True).start()
        while not self._ended:
            ready = [key.fileobj for key, _ in self._selector.select(self._until_next())]
            if self._client in ready:  # a client that left is noticed before the next one is let in
                self._receive()
            if self._wake in ready:
                self._wake.recv(1)
                self._admit(*self._newcomers.get())
            if self._clocks:
                self._look_at_clocks()
        self._listener.close()

    # time
    def _until_next(self) -> float | None:
        """Seconds until something has to be done although nobody says a word."""
        if not self._clocks:
            return None
        waits = []
        now = time.monotonic()
        if self._pending is not None:
            waits += [self._plant.wait_s(self._pending.due), messages.BEAT_S]
        if self._plant.unattended:
            waits.append(0.02)
        if self._wall:
            waits.append(0.5)
        if self._settings.watchdog_s is not None and self._plant.motion.beta:
            waits.append(self._heard + self._settings.watchdog_s - now)
        if self._settings.linger_s is not None and self._client is None:
            waits.append(self._left + self._settings.linger_s - now)
        return max(0.0, min(waits)) if waits else None

    def _look_at_clocks(self) -> None:
        now = time.monotonic()
        pending = self._pending
        if pending is not None:
            if self._plant.wait_s(pending.due) <= 0:
                self._pending = None
                self._answer(pending.number, lambda: self._finish(pending))
            elif now - self._beat > messages.BEAT_S:
                self._still_at_it()
        elif self._wall:
            try:
                self._plant.catch_up()
            except BackendError:  # it ran away; the next client will be told
                pass
        watchdog_s = self._settings.watchdog_s
        if watchdog_s is not None and now - self._heard >= watchdog_s:
            self._plant.drop_nudge("watchdog")
        linger_s = self._settings.linger_s
        if linger_s is not None and self._client is None and now - self._left >= linger_s:
            self._plant.note("end", why="nobody came back")
            self._ended = True

    # clients
    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _greet(self, connection: Connection) -> None:
        """Let a newcomer prove that it knows the key and say what it wants; in a thread of its own, for it may never answer."""
        try:
            messages.tune(connection, messages.PATIENCE_S)
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            number, operation, hello = wire.unpack(connection.recv_bytes())
            if operation != "hello" or not isinstance(hello, dict) or number != 0:
                raise WireError("a newcomer must say hello first")
        except Exception:
            connection.close()
            return
        self._newcomers.put((connection, hello))
        self._bell.send(b"!")

    def _admit(self, connection: Connection, hello: dict[str, Any]) -> None:
        about = {"description": self._plant.description, "settings": self._settings.model_dump(mode="json"), "pid": os.getpid()}
        try:
            if hello.get("role") == "observer":
                connection.send_bytes(wire.pack([0, "ok", {**about, "status": self._plant.status()}]))
                connection.close()
                return
            pid = int(hello.get("pid", 0))
            if self._client is not None and not hello.get("take_over"):
                sentence = f"the device is in use by process {self._client_pid}. End that session first, or take over from it."
                connection.send_bytes(wire.pack([0, "error", [DeviceStateError.__name__, sentence]]))
                connection.close()
                return
            if self._client is not None:
                self._drop("taken over")
            self._client = connection
            self._selector.register(connection, selectors.EVENT_READ)
            self._heard, self._client_pid = time.monotonic(), pid
            self._plant.note("connect", pid=self._client_pid)
            connection.send_bytes(wire.pack([0, "ok", about]))
        except (OSError, ValueError, TypeError, BackendError):
            connection.close()

    def _drop(self, why: str) -> None:
        """Let the client go. The outputs and the nudge stay as they are."""
        if self._client is not None:
            self._selector.unregister(self._client)
            self._client.close()
            self._client = None
            self._pending = None
            self._left = time.monotonic()
            self._plant.note("leave", pid=self._client_pid, why=why)

    def _receive(self) -> None:
        assert self._client is not None
        try:
            message = self._client.recv_bytes()
        except (EOFError, OSError):
            self._drop("vanished")
            return
        self._heard = self._beat = time.monotonic()
        self._pending = None  # a client that speaks again no longer waits for its last answer
        try:
            number, operation, payload = wire.unpack(message)
        except (WireError, ValueError, TypeError):
            self._drop("spoke another language")
            return
        if operation == "exchange":
            self._answer(number, lambda: self._exchange(number, payload))
        elif operation == "bye":
            self._drop("said goodbye")
        elif operation == "end":
            self._plant.note("end", why="told to")
            self._answer(number, lambda: None)
            self._ended = True
        else:
            self._answer(number, lambda: self._operation(operation, payload))

    def _operation(self, operation: Any, payload: Any) -> Any:
        plant = self._plant
        match operation:
            case "freeze":
                return plant.freeze()
            case "begin_safe":
                return plant.begin_safe()
            case "note":
                return plant.note(str(payload)[:80])
            case "monitor":
                return plant.monitor()
            case "status":
                return plant.status()
            case "truth":
                return plant.truth()
            case "states":
                return plant.states()
            case "state":
                return plant.state()
            case "restore":
                return plant.restore(payload)
        raise WireError(f"there is no operation {str(operation)[:40]!r}")

    def _exchange(self, number: int, row: Any) -> Any:
        plant = self._plant
        due = plant.take(messages.unpack_order(row, self._sizes))
        pending = _Pending(number, due, plant.t)
        if plant.wait_s(due) > 0:
            self._pending = pending
            return _LATER
        return self._finish(pending)

    def _finish(self, pending: _Pending) -> Any:
        self._plant.run_until(pending.due, self._beat_if_late)
        return messages.pack_reading(self._plant.read(pending.since))

    def _answer(self, number: Any, work: Any) -> None:
        try:
            payload = work()
            if payload is _LATER:
                return
            reply = [number, "ok", payload]
        except BackendError as exc:
            reply = [number, "error", [type(exc).__name__, str(exc)]]
        except Exception as exc:  # the plant must outlive whatever a client sent
            traceback.print_exc()
            reply = [number, "error", [BackendError.__name__, f"the device cannot do this: {type(exc).__name__}: {exc}"]]
        if self._client is None:
            return
        try:
            self._client.send_bytes(wire.pack(reply))
        except (OSError, ValueError):
            self._drop("vanished")

    def _beat_if_late(self) -> None:
        if time.monotonic() - self._beat > messages.BEAT_S:
            self._still_at_it()

    def _still_at_it(self) -> None:
        self._beat = time.monotonic()
        if self._client is not None:
            try:
                self._client.send_bytes(messages.STILL_AT_IT)
            except (OSError, ValueError):
                pass  # noticed when it is next read from


_LATER = object()


def main(argv: list[str] | None = None) -> int:
    """Run a plant process; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(description="Run an emulated slow device in a process of its own.")
    parser.add_argument("--settings-file", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--base", type=Path, default=Path())
    options = parser.parse_args(argv)
    try:
        settings = SlowSettings.model_validate_json(options.settings_file.read_bytes())
        journal = options.folder / messages.JOURNAL_FOLDER if settings.journal else None
        plant = Plant(settings, seed=options.seed, base=options.base, journal=journal)
        server = PlantServer(plant, options.folder)
    except (BackendError, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 2
    try:
        server.serve()
    finally:
        plant.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
