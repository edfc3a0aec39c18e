"""One exchange with a session in another process: 4,096 floats there or back.

    python benchmarks/session_exchange.py [repeats]

The floor is a bare socket between two processes of this interpreter: a request of 64 bytes, and 4,096 float64 as the answer.
Beside the medians of whole repeats it prints quantiles of single exchanges, in turns of 200: the fastest twentieth are those that
no other program of the machine interrupted.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _bench import Bench, in_units, repeats_from

from aeqlab.backends.device import Device, DeviceInfo, ParameterBlock, Readout, SafetyReport, channels, knobs
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.server import SessionServer

KNOBS, EXCHANGES, KEY = 4096, 2000, b"k" * 32


class Echo(Device):
    """A device that costs nothing: it answers at once with the same readout."""

    def __init__(self) -> None:
        names = tuple(f"u{k}" for k in range(KNOBS))
        block = ParameterBlock("theta", (KNOBS,), 0)
        self._info = DeviceInfo(
            "bench", "benchmark", knobs(("x",)), knobs(names, low=-10.0, high=10.0), channels(("s",)), (block,), (-1.0, 1.0)
        )
        self._u = np.zeros(KNOBS)

    @property
    def info(self) -> DeviceInfo:
        return self._info

    def _present(self, inputs: np.ndarray) -> None: ...

    def _set_controls(self, u: np.ndarray) -> None:
        self._u = u

    def _controls(self) -> np.ndarray:
        return self._u

    def _nudge(self, targets: np.ndarray, beta: float) -> None: ...

    def _release(self) -> None: ...

    def _advance(self, seconds: float | None) -> Readout:
        return Readout(0.0, 0.001, np.zeros((1, 1)), self._u, np.zeros(1), np.zeros(KNOBS))

    def _freeze(self) -> None: ...

    def _make_safe(self) -> SafetyReport:
        return SafetyReport()


def bare() -> None:
    """Answer requests of 64 bytes with 32 kB, as the floor."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answer = np.zeros(KNOBS).tobytes()
    while connection.recv(64):
        connection.sendall(answer)


def session() -> None:
    """Serve the echo."""
    server = SessionServer(Echo(), key=KEY)
    print(server.port, flush=True)
    server.serve()


def singly(calls: dict[str, Callable[[], object]], turns: int) -> None:
    """Time every exchange by itself, 200 of each kind in turn, and print what the undisturbed ones and the median take."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            for _ in range(200):
                begin = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - begin)
    print(f"{'single exchanges':44} {'5 %':>10} {'x floor':>8} {'median':>10}")
    floor = 0.0
    for name, values in seconds.items():
        values.sort()
        fast, median = values[len(values) // 20], values[len(values) // 2]
        floor = floor or fast
        print(f"{name:44} {in_units(fast):>10} {fast / floor:8.2f} {in_units(median):>10}")


def start(word: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen([sys.executable, str(Path(__file__)), word], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def main(repeats: int) -> None:
    floor_process, port = start("bare")
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request, size = b"?" * 64, 8 * KNOBS
    session_process, port = start("session")
    client = SessionClient(port, KEY)
    client.present(np.zeros((1, 1)))
    u = np.full(KNOBS, 0.5)

    def once() -> None:
        sock.sendall(request)
        got = 0
        while got < size:
            got += len(sock.recv(size - got))

    def floor() -> None:
        for _ in range(EXCHANGES):
            once()

    def read() -> None:
        for _ in range(EXCHANGES):
            client.controls()

    def write() -> None:
        for _ in range(EXCHANGES):
            client.set_controls(u)

    def advance() -> None:
        for _ in range(EXCHANGES):
            client.advance()

    bench = Bench("one exchange with a session")
    bench.compare(
        ("bare socket, 32 kB", floor),
        ("4,096 floats from the session (controls)", read, "under 0.1 ms"),
        ("4,096 floats to it (set_controls)", write, "under 0.1 ms"),
        ("advance: a readout with 8,192 floats", advance, ""),
        repeats=repeats,
        per=EXCHANGES,
    )
    bench.show()
    one = {
        "bare socket": once,
        "controls": client.controls,
        "set_controls": lambda: client.set_controls(u),
        "advance": client.advance,
    }
    singly(one, 4 * repeats)
    client.end_session("the benchmark is over")
    client.close()
    sock.close()
    session_process.wait()
    floor_process.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["bare"]:
        bare()
    elif sys.argv[1:] == ["session"]:
        session()
    else:
        main(repeats_from(sys.argv, 5))
