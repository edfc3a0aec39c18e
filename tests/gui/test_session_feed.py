"""What the window learns of a session, and how its commands reach it: real session processes, killed and stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from shell_helpers import LONG_MS

from aeqlab.app.window.models.commander import Answer, Commander
from aeqlab.app.window.models.offers import offer_of
from aeqlab.app.window.models.session_feed import SessionFeed, SessionList, SessionView
from aeqlab.app.window.models.world import World
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import FoundSession, find_sessions, open_session
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.status import SessionState


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionClient]:
    """Start a session of a slow device, as a run does, and control it."""
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    settings = SlowSettings(energy="linear", options={"frequencies": 2}, tick_s=0.01)
    client = open_session(settings, seed=1, base=tmp_path, folder=tmp_path / "session", who="run of the test")
    yield client
    client.close()


def the_session() -> FoundSession:
    (found,) = find_sessions()
    return found


def watched(feed: SessionFeed) -> list[SessionView]:
    found: list[SessionView] = []
    feed.changed.connect(found.append)
    return found


def test_state_reading_events_and_alarms_arrive(qtbot: QtBot, client: SessionClient) -> None:
    listed = SessionList()
    with qtbot.waitSignal(listed.changed, timeout=LONG_MS):
        listed.start()
    (found,) = listed.running
    feed = SessionFeed()
    views = watched(feed)
    feed.follow(found)
    qtbot.waitUntil(lambda: bool(views) and views[-1].status is not None, timeout=LONG_MS)
    assert views[-1].info is not None
    assert views[-1].info.controls.names == client.info.controls.names
    client.present(np.full((1, 1), 0.3))
    readout = client.advance(0.05)
    qtbot.waitUntil(lambda: views[-1].readout is not None and views[-1].readout.t == readout.t, timeout=LONG_MS)
    assert any("connected" in event.text for event in views[-1].events)
    client.freeze("the test says so", by="ada")
    feed.look()
    qtbot.waitUntil(lambda: views[-1].state is SessionState.FROZEN, timeout=LONG_MS)
    assert "the test says so" in views[-1].reason
    feed.close()
    listed.close()


def test_freeze_arrives_within_a_tenth_of_a_second_and_safe_brings_its_report(qtbot: QtBot, client: SessionClient) -> None:
    commander = Commander()
    commander.serve(None, the_session())
    qtbot.waitUntil(lambda: commander._urgent is not None, timeout=LONG_MS)
    told: list[Answer] = []
    commander.answered.connect(told.append)
    began = time.monotonic()
    commander.freeze()
    qtbot.waitUntil(lambda: bool(told), timeout=LONG_MS)
    assert time.monotonic() - began < 2.0  # how fast it is tells benchmarks/window.py
    assert told[0].done
    assert client.status().state is SessionState.FROZEN
    commander.make_safe()
    qtbot.waitUntil(lambda: len(told) == 2, timeout=LONG_MS)
    assert told[1].report is not None
    assert told[1].report.safe
    assert client.status().state is SessionState.SAFE
    commander.let_move()
    qtbot.waitUntil(lambda: len(told) == 3, timeout=LONG_MS)
    commander.close()


def test_a_refusal_comes_back_as_a_sentence(qtbot: QtBot, client: SessionClient) -> None:
    commander = Commander()
    with qtbot.waitSignal(commander.answered, timeout=LONG_MS) as told:
        commander.to_run("pause")
    assert told.args == [Answer("pause", "No run is shown that could pause.", done=False)]
    commander.serve(None, the_session())
    u = np.full(5, 1e3)
    with qtbot.waitSignal(commander.answered, timeout=LONG_MS) as told:
        commander.take_control(client.who)
    assert told.args[0].done
    with qtbot.waitSignal(commander.answered, timeout=LONG_MS) as told:
        commander.at_session("move", lambda c: c.set_controls(u), control=True)
    assert not told.args[0].done
    assert "1000" in told.args[0].text
    commander.close()


def test_a_session_that_hangs_is_unknown_within_two_seconds_and_one_that_died_says_what_was_done(
    qtbot: QtBot, client: SessionClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeqlab.protocols.greeting.ANSWER_S", 0.5)
    client.present(np.full((1, 1), 0.3))
    client.advance(0.05)
    found = the_session()
    world = World(tmp_path / "runs")
    world.start()
    views = watched(world.session_feed)
    world.show_session(found)
    qtbot.waitUntil(lambda: bool(views) and views[-1].status is not None and bool(world.sessions.running), timeout=LONG_MS)
    os.kill(found.guardian, signal.SIGSTOP)  # it would see to it before anybody can look
    os.kill(found.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        qtbot.waitUntil(lambda: views[-1].state is SessionState.UNKNOWN, timeout=4000)
        assert time.monotonic() - stopped < 3.0  # 2 s, on a machine that does nothing else
        assert "not answered since" in views[-1].reason
        qtbot.waitUntil(lambda: any(one.hung for one in world.lost), timeout=LONG_MS)  # so that it can be made safe
        assert offer_of(None, world.session, world.lost) is not None
    finally:
        os.kill(found.pid, signal.SIGKILL)
        os.kill(found.guardian, signal.SIGCONT)
    qtbot.waitUntil(lambda: views[-1].verdict is not None, timeout=LONG_MS)
    assert views[-1].state is SessionState.SAFE
    assert "the guardian said: the device is SAFE" in views[-1].reason
    world.close()
