"""A session looks at the interlocks of its rig at every tick, acts by itself, and does not go on while one is tripped."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import KnowingRig, rig_on

from aeqlab.backends.errors import DeviceLostError, DisturbedError
from aeqlab.backends.interlocks import Reading
from aeqlab.protocols.conformance import identified_first
from aeqlab.protocols.errors import FrozenError, NotAllowedError, SessionLostError
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import SessionState

X = np.zeros((1, 1))


def guarded(action: str, when: str = "s > 1") -> list[dict[str, Any]]:
    return [{"name": "output", "when": when, "action": action, "stale_s": 60}]


def ramp(session: Session, to: float = 0.4, ticks: int = 8) -> None:
    session.present(X)
    session.set_controls(np.full(7, to))
    for _ in range(ticks):
        session.advance()


def test_a_tripped_interlock_freezes_and_cannot_be_continued_from() -> None:
    with rig_on(interlocks=guarded("freeze")) as rig:
        session = Session(rig)
        with pytest.raises(FrozenError, match=r"interlock output: s > 1, and s = 1.\d+ V"):
            ramp(session)
        status = session.status()
        assert (status.state, status.alarms) == (SessionState.FROZEN, 1)
        assert status.alarm.startswith("interlock output: interlock output: s > 1")
        assert status.by == "interlock"
        with pytest.raises(NotAllowedError, match="stays frozen: interlock output"):
            session.continue_()
        assert [event.kind for event in session.events if event.kind in ("alarm", "frozen")] == ["alarm", "frozen"]
        for _ in range(5):
            session.read()  # reading goes on, and nothing is said twice
        assert [event.kind for event in session.events if event.kind in ("alarm", "frozen")] == ["alarm", "frozen"]


def test_one_that_makes_safe_does_so_in_the_middle_of_a_loop_and_lets_go_on_afterwards() -> None:
    with rig_on(interlocks=guarded("safe")) as rig:
        identified_first(rig)
        session = Session(rig, homeostasis=HomeostasisSettings(controller="quasi-static"))
        session.present(X)
        with pytest.raises(FrozenError, match="is safe: interlock output"):
            session.hold(np.full(7, 0.4))
        assert session.status().state is SessionState.SAFE
        np.testing.assert_allclose(rig.bench.truth()["u"], 0.0, atol=0.01)
        for _ in range(4):
            session.read()
        session.continue_()  # s is low again
        assert session.status().state is SessionState.IDLE
        ramp(session, 0.1, 3)
        assert [one.active for one in session.alarms.open] == [False]
        assert session.acknowledge("ada")[0].by == "ada"
        assert session.alarms.open == []


def test_a_warning_stops_nothing_and_is_told_once() -> None:
    with rig_on(interlocks=guarded("warn")) as rig:
        session = Session(rig)
        ramp(session, ticks=12)
        assert session.status().state is SessionState.IDLE
        (alarm,) = session.alarms.open
        assert (alarm.kind, alarm.times > 3) == ("interlock output", True)
        assert sum(event.kind == "alarm" for event in session.events) == 1


def test_limits_of_a_readout_make_safe_without_an_interlock_of_their_own() -> None:
    with rig_on(outputs=[{"name": "s", "channel": "adc108", "limits_V": [-1, 1]}]) as rig:
        session = Session(rig)
        with pytest.raises(FrozenError, match="limits of the outputs: s reads"):
            ramp(session)
        assert session.status().state is SessionState.SAFE


def test_what_the_rig_tells_is_an_event_and_lost_readings_an_alarm() -> None:
    with rig_on() as rig:
        session = Session(rig)
        ramp(session, 0.1, 3)
        assert any(event.kind == "rig" and "If this computer dies now" in event.text for event in session.events)
        rig.bench.served["adc"].faults.spoil = lambda reply: reply[: (len(reply) - 1) // 2] + reply[-1:]
        for _ in range(4):
            session.advance()
        assert any(one.kind == "comms" for one in session.alarms.open)
        rig.bench.served["adc"].faults.spoil = None
        for _ in range(3):
            session.advance()
        assert not any(one.active for one in session.alarms.all())


def test_nobody_acknowledges_without_a_name() -> None:
    with rig_on() as rig:
        session = Session(rig)
        with pytest.raises(NotAllowedError, match="by name"):
            session.acknowledge(" ")
        with pytest.raises(NotAllowedError, match="no alarm 7"):
            session.acknowledge("ada", 7)


def held(rig: KnowingRig) -> Session:
    """Hold a rig in a session, so that it can go on holding."""
    identified_first(rig)
    session = Session(rig, homeostasis=HomeostasisSettings(controller="quasi-static"))
    session.present(X)
    session.hold(np.full(7, 0.1))
    assert session.status().state is SessionState.HOLDING
    return session


@pytest.mark.parametrize("action", ["freeze", "safe"])
def test_while_it_goes_on_holding_an_interlock_is_looked_at_in_every_tick(action: str) -> None:
    with rig_on(interlocks=guarded(action)) as rig:
        session = held(rig)
        ticks: list[float] = []
        told = rig.monitored

        def monitored() -> dict[str, Reading]:
            hot = Reading(2.0 if len(ticks) >= 2 else 0.0, "V", 0.0)
            return told() | {"s": hot}

        rig.monitored = monitored  # type: ignore[method-assign]
        with pytest.raises(FrozenError, match="interlock output"):
            session.keep_holding(lambda: ticks.append(rig.clock.now()))
        assert len(ticks) == 2  # not at the end of the round
        assert session.status().by == "interlock"


def test_one_reading_that_was_lost_before_a_loop_is_not_counted_at_every_tick_of_it() -> None:
    with rig_on() as rig:
        session = held(rig)
        rig.bench.served["adc"].faults.spoil = lambda reply: reply[: (len(reply) - 1) // 2] + reply[-1:]
        session.advance()
        rig.bench.served["adc"].faults.spoil = None
        with suppress(DisturbedError):
            session.hold()
        session.hold()
        assert [one.kind for one in session.alarms.all() if one.kind == "comms"] == []


def test_readings_that_are_lost_in_the_middle_of_a_loop_are_an_alarm() -> None:
    with rig_on() as rig:
        session = held(rig)
        ticks = iter(range(1000))

        def spoil_later() -> None:
            if next(ticks) == 2:
                rig.bench.served["adc"].faults.spoil = lambda reply: reply[: (len(reply) - 1) // 2] + reply[-1:]

        session.point_interrupt = spoil_later
        with suppress(DisturbedError, DeviceLostError, SessionLostError):
            session.hold(np.full(7, 0.2))
        assert any(one.kind == "comms" for one in session.alarms.all())


def test_a_hold_that_is_lost_is_an_alarm_until_theta_is_held_again_or_nothing_is_held_any_more() -> None:
    with rig_on() as rig:
        session = held(rig)

        def active() -> list[str]:
            return [one.kind for one in session.alarms.all() if one.active]

        def lose() -> None:
            session.configure(homeostasis=HomeostasisSettings(controller="quasi-static", timeout=1))
            session.set_target(np.full(7, 1.2))  # too far for the time there is
            session.keep_holding(lambda: None)

        lose()
        assert active() == ["hold lost"]
        session.set_target(rig.true_parameters())
        session.configure(homeostasis=HomeostasisSettings(controller="quasi-static"))
        for _ in range(3):
            session.keep_holding(lambda: None)
        assert active() == []
        lose()
        assert active() == ["hold lost"]
        session.freeze("that is enough")
        assert active() == []
        assert len(session.alarms.open) == 1  # nobody acknowledged it; the second counts with the first


def test_a_hold_right_after_a_move_by_hand_begins_where_that_move_ends() -> None:
    with rig_on() as rig:
        session = held(rig)
        target, least = rig.true_parameters(), []
        session.point_interrupt = lambda: least.append(min(rig.bench.truth()["u"]))
        session.set_controls(np.full(7, 0.9))  # no time has passed: the knobs still read as before
        report = session.hold(target)
        session.point_interrupt = None
        assert report.accepted
        assert not session.alarms.all()
        assert min(least) > -0.2  # from 0.9 back to 0.1: no further
