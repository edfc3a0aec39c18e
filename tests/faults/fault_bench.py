"""What the fault tests share: a slow device on the wall clock behind real processes, a worker that trains on it, its journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from aeqlab.backends.device import Clock
from aeqlab.backends.journal import Journal, read_journal
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import FoundSession, SessionClient, find_sessions
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings, Ticks
from aeqlab.protocols.session_file import SessionFile

WORKER = Path(__file__).with_name("fault_worker.py")
DEVICE = SlowSettings(energy="linear", options={"frequencies": 3}, clock=Clock.WALL, tick_s=0.01, rest_V=0.1, slew_V_per_s=1.0)
HOLD = HomeostasisSettings(accept=Ticks(ticks=15))
SETTLE = SettlingSettings(accept=Ticks(ticks=15))
#: What is killed at which moment is the same in every run of the tests.
SEED = 20221108


def session_file(**values: Any) -> SessionFile:
    """Make the session file of the bench."""
    return SessionFile(device=DEVICE, seed=1, homeostasis=HOLD, settling=SETTLE, **values)


def start_worker(folder: Path) -> subprocess.Popen[str]:
    """Start a process that takes control of the session of a folder and trains; wait until it does."""
    process = subprocess.Popen([sys.executable, str(WORKER), str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    return process


def train(client: SessionClient, steps: int) -> None:
    """Take some training steps with the nudge on in both phases, so that a random moment mostly meets it."""
    from aeqlab.protocols.aeqprop import train_step

    rng = np.random.default_rng(3)
    theta = np.full(client.info.n_parameters, 0.5)
    for _ in range(steps):
        x, y = rng.uniform(-1, 1, (1, len(client.info.inputs))), rng.uniform(-1, 1, (1, len(client.info.outputs)))
        train_step(client, x, y, theta=theta, pair=(-0.1, 0.1), free_phase=False)


def wait_a_random_while(rng: np.random.Generator) -> None:
    """Let a random part of a training step pass: the moment is what these tests are about."""
    time.sleep(rng.uniform(0.0, 0.6))


def strike(pid: int, number: signal.Signals) -> int:
    """Send a signal; returns the wall time in ns."""
    at = time.time_ns()
    os.kill(pid, number)
    return at


def eventually(what: Callable[[], Any], within_s: float = 20.0) -> Any:
    """Wait until something is so; fail where it never is."""
    until = time.monotonic() + within_s
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < until, "it never was so"
        time.sleep(0.01)


def session_of(folder: Path) -> FoundSession:
    """Find the session of a folder."""
    found: FoundSession = eventually(lambda: next((s for s in find_sessions() if Path(s.folder) == folder.resolve()), None))
    return found


def journal_of(folder: Path) -> Journal:
    """Read the journal of the hardware of a session folder."""
    plant = SessionFile.read(folder).plant
    assert plant is not None
    return read_journal(plant / "journal")


def lines(path: Path) -> list[dict[str, Any]]:
    """Read what is written of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def nudge_on_at(journal: Journal, wall_ns: int) -> bool:
    """Tell whether the nudge was on at a wall time, or at any time after it."""
    rows, betas = journal.nudges.wall_ns, journal.nudges.values[:, 0]
    standing = int(np.searchsorted(rows, wall_ns, side="right")) - 1
    return bool((betas[max(standing, 0) :] != 0.0).any())


def gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_of(folder: Path) -> list[int]:
    """List the processes that have to do with a session folder: session, guardian, hardware."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        told = " ".join(process.info["cmdline"] or [])
        if str(folder) in told and "aeqlab." in told and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found
