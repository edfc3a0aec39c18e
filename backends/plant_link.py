"""The client's end of a plant in a process of its own: connect, start one, find one again, ask how one stands.

A plant that does not answer raises DeviceLostError after PATIENCE_S at most; nothing here waits for ever.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends import plant_messages as messages
from aeqlab.backends import wire
from aeqlab.backends.errors import BackendError, DeviceConfigError, DeviceLostError, WireError
from aeqlab.backends.journal import JournalError, read_journal
from aeqlab.backends.plant import Order, Reading
from aeqlab.backends.slow import SlowDevice, slow_device
from aeqlab.backends.slow_settings import SlowSettings

Array = NDArray[np.float64]

START_S = 30.0
_started: dict[int, subprocess.Popen[bytes]] = {}  # plants this process started, so that their end is noticed


@dataclass(frozen=True, slots=True)
class PlantHandle:
    """A plant that runs: its address, which is its folder, and its process."""

    address: str
    pid: int


class PlantLink:
    """A plant at the other end of a loopback connection. May be used by several threads, one exchange at a time."""

    def __init__(self, connection: Connection, folder: Path, about: dict[str, Any]) -> None:
        self._connection: Connection | None = connection
        self._folder = folder
        self.description: dict[str, Any] = about["description"]
        self.settings: dict[str, Any] = about["settings"]
        self.pid = int(about["pid"])
        self._sizes = (
            len(self.description["inputs"]["names"]),
            len(self.description["controls"]["names"]),
            len(self.description["outputs"]["names"]),
        )
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    @classmethod
    def connect(cls, folder: Path, *, take_over: bool = False) -> PlantLink:
        """Connect to the plant of a folder.

        Args:
            folder: the plant's address.
            take_over: push a client out that is still connected.
        Raises:
            DeviceLostError: no plant answers there.
            DeviceStateError: it is in use by another process.
        """
        connection, about = _hello(folder, {"role": "client", "pid": os.getpid(), "take_over": take_over})
        return cls(connection, folder, about)

    def exchange(self, order: Order) -> Reading:
        """Give an order, wait until it is due, read one frame."""
        row = self._request("exchange", messages.pack_order(order))
        return messages.unpack_reading(row, self._sizes[2], self._sizes[1])

    def freeze(self) -> None:
        """Take the nudge off and stop every control knob where it is."""
        self._request("freeze")

    def begin_safe(self) -> float:
        """Freeze and start on the way to rest; returns the device time of arrival."""
        return float(self._request("begin_safe"))

    def note(self, event: str) -> None:
        """Write an event into the plant's journal."""
        self._request("note", event)

    def monitor(self) -> dict[str, Any]:
        """Measure the control outputs, with the plant's status."""
        status: dict[str, Any] = self._request("monitor")
        return status

    def status(self) -> dict[str, Any]:
        """Get what stands on the knobs."""
        status: dict[str, Any] = self._request("status")
        return status

    def truth(self) -> Array:
        """Get theta itself."""
        theta: Array = self._request("truth")
        return theta

    def states(self) -> Array:
        """Get the state of the physics itself."""
        states: Array = self._request("states")
        return states

    def state(self) -> dict[str, Any]:
        """Get the plant's state."""
        state: dict[str, Any] = self._request("state")
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        self._request("restore", state)

    def end(self) -> None:
        """Tell the plant's process to end."""
        self._request("end")
        self._forget()

    def close(self) -> None:
        """Say goodbye; the plant holds its outputs."""
        with self._lock:
            if self._connection is not None:
                try:
                    self._connection.send_bytes(wire.pack([next(self._numbers), "bye", None]))
                except (OSError, ValueError):
                    pass
                self._forget()

    def _request(self, operation: str, payload: Any = None) -> Any:
        with self._lock:
            number = next(self._numbers)
            connection = self._connection
            if connection is None:
                raise DeviceLostError(f"{self._name}: the connection is gone; what it does now is unknown. Reopen it.")
            try:
                connection.send_bytes(wire.pack([number, operation, payload]))
                while True:
                    message = connection.recv_bytes()
                    if message == messages.STILL_AT_IT:
                        continue
                    answer = wire.unpack(message)
                    if answer[0] == number:
                        break  # an earlier number: the answer to an exchange that was interrupted here
            except (OSError, EOFError, WireError) as exc:
                self._forget()
                why = "it closed the connection" if isinstance(exc, EOFError | ConnectionError) else "it does not answer"
                raise DeviceLostError(f"{self._name}: {why}; what it does now is unknown. Is process {self.pid} alive?") from exc
        if answer[1] == "error":
            raise messages.as_error(*answer[2])
        return answer[2]

    @property
    def _name(self) -> str:
        return f"{self.description['name']} at {self._folder}"

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def start_plant(settings: SlowSettings, *, seed: int, base: Path, folder: Path) -> PlantHandle:
    """Start a plant in a process of its own, which outlives this one, and wait until it is ready.

    Args:
        settings: of the plant.
        seed: of its noise, drift, faults and spread.
        base: folder from which paths in the settings count.
        folder: where its address, key, log and journal go; made if it is not there.
    Raises:
        DeviceConfigError: it cannot be built; the sentence is the plant's own.
        DeviceStateError: a plant runs in this folder already.
        DeviceLostError: it did not become ready.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        PlantLink.connect(folder).close()
    except DeviceLostError:
        pass
    else:
        raise messages.as_error("DeviceStateError", f"{folder}: a device runs here already. Connect to it, or end it first.")
    (folder / messages.ADDRESS_FILE).unlink(missing_ok=True)
    settings_file = folder / messages.SETTINGS_FILE
    settings_file.write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    command = [
        sys.executable, "-P", "-m", "aeqlab.backends.plant_process",
        "--settings-file", str(settings_file), "--folder", str(folder), "--seed", str(seed), "--base", str(base.resolve()),
    ]  # fmt: skip
    log = folder / messages.LOG_FILE
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file, env=environment, **_detached()
        )  # fmt: skip
    _started[process.pid] = process
    deadline = time.monotonic() + START_S
    while not (folder / messages.ADDRESS_FILE).exists():
        if process.poll() is not None:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise DeviceConfigError(said[-1] if said else f"the device's process ended with code {process.returncode}")
        if time.monotonic() > deadline:
            process.kill()
            raise DeviceLostError(f"the device's process was not ready after {START_S:g} s; see {log}")
        time.sleep(0.01)
    return PlantHandle(str(folder), process.pid)


def reopen(folder: Path, settings: SlowSettings | None = None, base: Path | None = None) -> SlowDevice:
    """Open the plant of a folder, whoever held it.

    Args:
        folder: of the plant.
        settings: with which it was started, and base, from which paths in them count; None: not known, and not needed but for
            the equations.
    Raises:
        DeviceLostError: it does not answer.
    """
    link = PlantLink.connect(folder, take_over=True)
    return SlowDevice(link) if settings is None else slow_device(link, settings, base or Path())


def end_plant(folder: Path) -> None:
    """End the process of a plant, if there is one, and wait until it is gone."""
    try:
        link = PlantLink.connect(folder, take_over=True)
        link.end()
    except BackendError:
        return
    process = _started.pop(link.pid, None)
    if process is not None:
        process.wait(10)


def plant_status(folder: Path) -> dict[str, Any]:
    """Ask how a plant stands without disturbing its client; of a plant that does not answer, what its journal says last.

    Returns:
        answers, setpoints (last commanded) and applied in V, beta, t; of one that answers also frozen, slewing, inputs, pid.
    Raises:
        DeviceLostError: it does not answer and has no journal.
    """
    try:
        connection, about = _hello(folder, {"role": "observer", "pid": os.getpid()})
    except DeviceLostError as lost:
        try:
            journal = read_journal(folder / messages.JOURNAL_FOLDER)
        except JournalError as exc:
            raise lost from exc
        t = max((float(rows.t[-1]) for rows in (journal.setpoints, journal.applied, journal.nudges) if len(rows)), default=0.0)
        return {
            "answers": False,
            "t": t,
            "setpoints": journal.last_setpoints(),
            "applied": journal.last_applied(),
            "beta": journal.last_beta(),
        }
    connection.close()
    return {"answers": True, "pid": about["pid"], **about["status"]}


def _hello(folder: Path, hello: dict[str, Any]) -> tuple[Connection, dict[str, Any]]:
    connection: Connection | None = None
    try:
        where = json.loads((folder / messages.ADDRESS_FILE).read_bytes())
        key = (folder / messages.KEY_FILE).read_bytes()
        host, port = where["address"]
        connection = Client((str(host), int(port)))
        messages.tune(connection, messages.PATIENCE_S)
        answer_challenge(connection, key)
        deliver_challenge(connection, key)
        connection.send_bytes(wire.pack([0, "hello", hello]))
        _, verdict, payload = wire.unpack(connection.recv_bytes())
    except (OSError, EOFError, ValueError, KeyError, TypeError, AuthenticationError, WireError) as exc:
        if connection is not None:
            connection.close()
        sentence = f"{folder}: no slow device answers here ({type(exc).__name__}). Start one, or correct the address."
        raise DeviceLostError(sentence) from exc
    if verdict == "error":
        connection.close()
        raise messages.as_error(*payload)
    return connection, payload


def _detached() -> dict[str, Any]:
    """Options by which a process outlives this one and hears no Ctrl-C meant for it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    return {"start_new_session": True}
