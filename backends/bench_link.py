"""A bench that runs in a process of its own: starting one, and its control channel from the other side."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aeqlab.backends.bench_file import BenchSettings
from aeqlab.backends.errors import DeviceConfigError, DeviceLostError

SETTINGS, SERVED, FAILED, LOG = "bench.json", "served.json", "failed.txt", "log.txt"
START_S = 30.0  #: a bench is ready within this time, on the wall


class BenchLink:
    """The control channel of a bench. Make it by `connect`; calls may come from any thread.

    Attributes:
        address: of the channel, host and port.
        addresses: VISA address of each instrument.
        lockstep: its time moves only by what messages cost, and by `spend`.
        speed: seconds of the bench in a second on the wall, where it runs on that clock.
        journal: folder of its journal; None for none.
    """

    def __init__(self, link: socket.socket, address: str) -> None:
        self.address = address
        self._link, self._lines = link, link.makefile("rwb")
        self._lock = threading.Lock()
        described = self._ask({"do": "describe"})
        self.addresses: dict[str, str] = described["addresses"]
        self.lockstep = described["clock"] == "lockstep"
        self.speed = float(described["speed"])
        self.journal = None if described["journal"] is None else Path(described["journal"])

    @classmethod
    def connect(cls, address: str, timeout_s: float = 10.0) -> BenchLink:
        """Connect to a bench.

        Raises:
            OSError: nothing listens there.
            DeviceLostError: it is no bench.
        """
        host, _, port = address.rpartition(":")
        link = socket.create_connection((host, int(port)), timeout_s)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return cls(link, address)
        except BaseException:
            link.close()
            raise

    def now(self) -> float:
        """Get the time of the bench, in s."""
        return float(self._ask({"do": "now"}))

    def spend(self, seconds: float) -> float:
        """Let time pass: in lockstep at once, on the wall by waiting. Returns the time of the bench after it, in s."""
        return float(self._ask({"do": "spend", "seconds": float(seconds)}))

    def fault(self, kind: str, instrument: str, **details: Any) -> None:
        """Let a fault begin; see `bench_faults`."""
        self._ask({"do": "fault", "fault": {"kind": kind, "instrument": instrument, **details}})

    def mend(self, kind: str, instrument: str, **details: Any) -> None:
        """Let a fault end."""
        self._ask({"do": "mend", "fault": {"kind": kind, "instrument": instrument, **details}})

    def state(self) -> dict[str, Any]:
        """Get the true state: t, theta, outputs, and every knob as it stands; what no rig can tell."""
        found: dict[str, Any] = self._ask({"do": "state"})
        return found

    def stop(self) -> None:
        """End the bench, if it is still there, and wait until it lets go."""
        with contextlib.suppress(DeviceLostError, OSError):
            self._ask({"do": "stop"})
            while self._lines.readline():
                continue

    def close(self) -> None:
        """Let it go; it runs on."""
        with contextlib.suppress(OSError):
            self._lines.close()
            self._link.close()

    def _ask(self, asked: dict[str, Any]) -> Any:
        try:
            with self._lock:
                self._lines.write(json.dumps(asked).encode("ascii") + b"\n")
                self._lines.flush()
                answer = json.loads(self._lines.readline() or b"null")
        except (OSError, ValueError) as exc:
            raise DeviceLostError(f"the bench at {self.address} does not answer: {exc}") from exc
        if answer is None:
            raise DeviceLostError(f"the bench at {self.address} is gone.")
        if "error" in answer:
            raise DeviceConfigError(f"the bench at {self.address}: {answer['error']}")
        return answer["ok"]


def start_bench(settings: BenchSettings, folder: Path, base: Path, *, linger_s: float | None = 10.0) -> BenchLink:
    """Start a bench in a process of its own, and connect to it.

    Args:
        settings: its file.
        folder: for its settings, its log and its journal; made if it is not there.
        base: folder from which paths in the file count.
        linger_s: it ends by itself so long after the last control client has left; None: it stays.
    Raises:
        DeviceConfigError: it cannot be built or served; the message says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (SERVED, FAILED):
        (folder / name).unlink(missing_ok=True)
    asked = {"settings": settings.model_dump(mode="json", exclude_unset=True), "base": str(base.resolve()), "linger_s": linger_s}
    (folder / SETTINGS).write_text(json.dumps(asked), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "aeqlab.backends.bench_process", str(folder)]
    with (folder / LOG).open("ab") as log:
        apart: dict[str, Any] = {"start_new_session": True} if sys.platform != "win32" else {}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **apart)
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if (folder / SERVED).exists():
            return BenchLink.connect(json.loads((folder / SERVED).read_text(encoding="utf-8"))["control"])
        if process.poll() is not None:
            failed = folder / FAILED
            said = failed.read_text(encoding="utf-8") if failed.exists() else f"it ended with code {process.returncode}"
            raise DeviceConfigError(said.strip() or f"the bench did not start; see {folder / LOG}")
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise DeviceConfigError(f"the bench was not ready after {START_S:g} s; see {folder / LOG}")
