"""What the tests of sessions share: a session served by a thread of this process, and small devices of both clocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aeqlab.backends.device import Clock, Device
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings, Ticks
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.server import SessionServer

KEY = b"k" * 32
HOLD = HomeostasisSettings(accept=Ticks(ticks=50))
SETTLE = SettlingSettings(accept=Ticks(ticks=50))


def simulated() -> Device:
    """Open the paper's regression, with few frequencies."""
    return SimulatedSettings(energy="linear", options={"frequencies": 3}).open(seed=1, base=Path())


def slow(clock: Clock = Clock.WALL, **settings: Any) -> Device:
    """Open a slow device inside this process, with ticks of 5 ms."""
    made = SlowSettings(energy="linear", options={"frequencies": 3}, clock=clock, tick_s=0.005, **settings)
    return made.open(seed=1, base=Path())


@contextmanager
def served(device: Device, **options: Any) -> Iterator[SessionServer]:
    """Serve a device by a thread; at the end the session has ended and its threads are gone."""
    options.setdefault("homeostasis", HOLD)
    options.setdefault("settling", SETTLE)
    server = SessionServer(device, key=KEY, **options)
    owner = threading.Thread(target=server.serve, name="owner")
    owner.start()
    try:
        yield server
    finally:
        server.request_end("the test is over")
        owner.join(60)
        assert not owner.is_alive()


def client_of(server: SessionServer, name: str = "someone", **options: Any) -> SessionClient:
    """Connect to a served session."""
    return SessionClient(server.port, KEY, name=name, **options)


def inputs_of(client: Any) -> np.ndarray:
    """Make one input within every limit."""
    return np.full((1, len(client.info.inputs)), 0.3)


def targets_of(client: Any) -> np.ndarray:
    """Make one target."""
    return np.full((1, len(client.info.outputs)), 0.7)


def eventually(what: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Wait until something is so; fail where it never is."""
    until = time.monotonic() + within_s
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < until, "it never was so"
        time.sleep(0.005)
