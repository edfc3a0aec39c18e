"""A rig: what a tick of homeostasis costs beside the bare exchange, and how many samples an hour has beside its floor.

    python benchmarks/rig.py [samples]

A tick of 16 knobs is timed on the wall against an emulated board in a process of its own, which converts in no time: the floor
sends the same bytes over a raw socket and reads as many back. Samples per hour are counted in the time of the emulated bench,
which moves only by conversions, messages and waiting. Their floor is what tau, dead time and conversions alone demand of a step:
after its input changed, and again after the clamp, three lags and the dead time pass, and four readings make a window.
"""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _bench import Bench, machine

from aeqlab.backends.bench_link import start_bench
from aeqlab.backends.kinds import RigSettings
from aeqlab.drivers.blocks import encode
from aeqlab.drivers.emulated.board import Board
from aeqlab.drivers.emulated.server import TcpServed
from aeqlab.protocols.aeqprop import train_step
from aeqlab.protocols.bench_loading import load_bench
from aeqlab.protocols.conformance import identified_first
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.session import Session

KNOBS, TICKS = 16, 100


class NoTime:
    """A clock on which nothing takes time."""

    def now(self) -> float:
        """Get the time on the wall."""
        return time.monotonic()

    def spend(self, seconds: float) -> None:
        """Take no time."""


def serve() -> None:
    """Serve a board without physics."""
    clock = NoTime()
    board = Board(KNOBS + 1, KNOBS + 1, 1, bits=16, low=-10, high=10, clock=clock)
    served = TcpServed(board.front, clock, 0.0)
    print(served.address, flush=True)
    sys.stdin.read()


def rig_of(address: str) -> Any:
    """Open a rig on the board, with a response as an identification would find it."""
    n = KNOBS
    tree = {
        "name": "bare",
        "instruments": {"b": {"driver": "board", "address": address, "when_silent": "holds"}},
        "controls": {"names": f"u[1-{n}]", "channels": f"b[1-{n}]", "limits_V": [-1, 1]},
        "parameters": {"names": f"theta[1-{n}]", "channels": f"b[1001-{1000 + n}]"},
        "inputs": [{"name": "z", "channel": f"b{n + 1}", "limits_V": [-1, 1]}],
        "outputs": [{"name": "s", "channel": f"b{1001 + n}"}],
        "nudge": {"realisation": "coupling", "channels": "b[2001]", "beta_max": 0.5},
        "tick_s": 1e-6,
    }  # fmt: skip
    return RigSettings.model_validate({"rig": tree}).open(seed=1, base=Path())


def ticks() -> None:
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    port = int(re.findall(r"::(\d+)::SOCKET", address)[0])
    bare = socket.create_connection(("127.0.0.1", port))
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keys = f"(@1:{KNOBS})"
    write = f"SOURce:BLOCk {keys},".encode() + encode(np.zeros(KNOBS), "<f4") + b"\n*TRG\n*ESR?\n"
    read = f"SENSe:BLOCk? (@1001:{1001 + KNOBS})\n".encode()
    size = len(encode(np.zeros(KNOBS + 2), "<f4")) + 1

    def floor() -> None:
        for _ in range(TICKS):
            bare.sendall(write)
            while not bare.recv(64).endswith(b"\n"):
                pass
            bare.sendall(read)
            got = 0
            while got < size:
                got += len(bare.recv(4096))

    rig = rig_of(address)
    settings = HomeostasisSettings(controller="integral", ki=0.1, accept=Ticks(ticks=TICKS))
    session = Session(rig, homeostasis=settings)
    session.present(np.zeros((1, 1)))
    session.advance()
    target = np.full(KNOBS, 0.1)
    bench = Bench(f"a tick of homeostasis with {KNOBS} knobs")
    bench.compare(
        ("raw socket, the same bytes", floor), ("hold, session and rig included", lambda: session.hold(target), "1.5"),
        repeats=40, per=TICKS,
    )  # fmt: skip
    bench.show()
    rig.close()
    server.kill()
    server.wait()


def samples_per_hour(name: str, samples: int, **changes: Any) -> None:
    """Train on an emulated bench and count."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        link = start_bench(load_bench(name).settings, base / "bench", base)
        try:
            rig = RigSettings.model_validate({"rig": tree_of(name, link.addresses) | {"bench": link.address} | changes}).open(
                seed=1, base=base
            )
            identified_first(rig)
            session = Session(rig, homeostasis=HomeostasisSettings(controller="quasi-static"))
            rng = np.random.default_rng(1)
            theta = np.zeros(rig.info.n_parameters)
            session.hold(theta)
            rig.periods.clear()
            late, begin, used = rig.late, link.now(), 0
            for _ in range(samples):
                x, y = rng.uniform(-1, 1, (1, 1)), rng.uniform(-1, 1, (1, 1))
                report = train_step(session, x, y, theta=theta, pair=(-0.1, 0.1), free_phase=False)
                used += report.used
                theta = report.theta_target_next
            seconds = (link.now() - begin) / samples
            response, tick = rig.info.response, rig.info.tick_s
            wait = float(np.max(response.lag_s) * 3 + np.max(response.dead_time_s))
            floor = 2 * (np.ceil(wait / tick) + 4) * tick
            periods = np.array(rig.periods)
            print(
                f"{name}: {3600 / seconds:.0f} samples/h, floor {3600 / floor:.0f}: {floor / seconds:.0%} of it (goal 85 %); "
                f"{used} of {samples} used; tick {tick:g} s, period p50 {statistics.median(periods):.4g} s, "
                f"p99 {np.quantile(periods, 0.99):.4g} s; {rig.late - late} late of {len(periods)}"
            )
            rig.close()
        finally:
            link.stop()
            link.close()


def tree_of(name: str, a: dict[str, str]) -> dict[str, Any]:
    """Write the rig file of a bench that ships with aeqlab."""
    smu = {"driver": "keithley2450", "address": a["smu"], "source": "current", "source_range": 1e-3, "limit": 10.0}
    nudge = {"realisation": "one-shot", "channels": "smu[1]", "beta_max": 0.5, "force_per_unit": 1e-3, "settle_s": 0.03}
    common = {"name": name, "nudge": {**nudge, "limits_A": [-1e-3, 1e-3]}}
    limits = {"limits_V": [-1, 1], "absolute_V": [-2, 2], "slew_V_per_s": 10}
    scanner = {"driver": "daq970a", "range_V": 10.0, "nplc": 1.0, "delay_s": 0.0}
    if name == "bench-16":
        return common | {
            "instruments": {"dac": {"driver": "qdac2", "address": a["dac"]}, "adc": {**scanner, "address": a["adc"]}, "smu": smu},
            "controls": {"names": "u[0-15]", "channels": "dac[1-16]", **limits},
            "parameters": {"names": "theta[0-15]", "channels": "adc[101-116]"},
            "inputs": [{"name": "z", "channel": "dac17", "limits_V": [-1, 1]}],
            "outputs": [{"name": "s", "channel": "adc117"}],
            "tick_s": 0.345,
        }  # fmt: skip
    dacs = [f"dac{k}[1-24]" for k in range(1, 11)] + ["dac11[1-16]"]
    adcs = [f"adc{k}[101-137]" for k in range(1, 7)] + ["adc7[101-134]"]
    return common | {
        "instruments": {
            **{f"dac{k}": {"driver": "qdac2", "address": a[f"dac{k}"]} for k in range(1, 12)},
            **{f"adc{k}": {**scanner, "address": a[f"adc{k}"]} for k in range(1, 8)},
            "smu": smu,
        },
        "controls": {"names": "u[0-255]", "channels": dacs, **limits},
        "parameters": {"names": "theta[0-255]", "channels": adcs},
        "inputs": [{"name": "z", "channel": "dac11[17]", "limits_V": [-1, 1]}],
        "outputs": [{"name": "s", "channel": "adc7[135]"}],
        "tick_s": 0.8,
    }  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
        print(machine())
        ticks()
        samples_per_hour("bench-16", count)
        samples_per_hour("bench-256", max(4, count // 4))
