"""The session's side of its guardian: what the device itself takes its time for is no silence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aeqlab.app.guardian_link import GuardianLink
from aeqlab.backends.device import Clock
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import start_session
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.session_file import SessionFile


@pytest.mark.parametrize(
    ("settings", "exchange_s"),
    [({}, 0.05), ({"tick_s": 3.0}, 3.0), ({"tick_s": 3.0, "speed": 0.5}, 6.0), ({"speed": 100.0}, 0.05)],
)
def test_an_owner_that_waits_for_its_device_is_alive(tmp_path: Path, settings: dict[str, Any], exchange_s: float) -> None:
    made = SlowSettings(energy="linear", clock=Clock.WALL, dead_time_s=0.0, filter_s=0.0, **settings)
    device = made.open(seed=1, base=tmp_path)
    server = SessionServer(device, key=b"k" * 32)
    link = GuardianLink(server, tmp_path, 0, io.BytesIO(), io.BytesIO())
    assert link.shows_life(server.alive + exchange_s + 0.55)
    assert not link.shows_life(server.alive + exchange_s + 0.65)
    server.clients.stop()


@pytest.mark.slow
def test_a_session_of_a_slow_exchange_outlives_it(tmp_path: Path) -> None:
    file = SessionFile(device=SlowSettings(energy="linear", clock=Clock.WALL, tick_s=2.0), with_client=True)
    with start_session(file, tmp_path / "session") as client:
        client.present(np.full((1, 1), 0.3))
        for _ in range(3):
            assert client.advance().dt >= 2.0
    assert not (tmp_path / "session" / "guardian.jsonl").exists()
