"""A served session carries out interlocks by itself: while nothing is asked, in a client's loop, and with time for the ramp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import client_of, eventually, inputs_of, served

from aeqlab.backends.device import Clock, Grade, SafetyLine, SafetyReport
from aeqlab.backends.interlocks import Action, Interlock, Reading, interlock
from aeqlab.backends.plant import Plant
from aeqlab.backends.slow import Inside, SlowDevice
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.errors import FrozenError, NotAllowedError
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.status import SessionState

LONG = HomeostasisSettings(controller="integral", accept=Ticks(ticks=1_000_000))
SHORT = HomeostasisSettings(controller="integral", accept=Ticks(ticks=20))


class Guarded(SlowDevice):
    """A slow device with a thermometer and an interlock on it."""

    hot = False
    seen = 0  # how often its thermometer was looked at
    server: SessionServer | None = None
    patience_s = 0.0  # of its server, when it was made safe
    fails = False

    def __init__(self, action: Action) -> None:
        settings = SlowSettings(energy="linear", options={"frequencies": 3}, clock=Clock.WALL, tick_s=0.005)
        super().__init__(Inside(Plant(settings, seed=1, base=Path())))
        self._guard = interlock("cooling", "temperature > 300", action, 5.0, ["temperature"])

    def monitored(self) -> dict[str, Reading]:
        self.seen += 1
        return {"temperature": Reading(310.0 if self.hot else 290.0, "K", 0.0)}

    def guards(self) -> tuple[Interlock, ...]:
        return (self._guard,)

    def take_told(self) -> list[str]:
        return []

    def _make_safe(self) -> SafetyReport:
        if self.server is not None:
            self.patience_s = self.server.patience_s
        report = super()._make_safe()
        return SafetyReport((*report.lines, SafetyLine("heater", Grade.FAILED))) if self.fails else report


def kinds(server: SessionServer, client: Any) -> list[str]:
    return [event.kind for event in client.events if event.kind in ("alarm", "frozen", "safe")]


def test_while_nothing_is_asked_it_freezes_once_and_says_why() -> None:
    device = Guarded("freeze")
    with served(device, homeostasis=SHORT) as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.hold(np.zeros(client.info.n_parameters))
        assert client.status().state is SessionState.HOLDING
        device.hot = True
        eventually(lambda: client.status().state is SessionState.FROZEN)
        seen = device.seen
        eventually(lambda: device.seen > seen + 10)  # reading goes on
        status = client.status()
        assert (status.by, status.alarms) == ("interlock", 1)
        assert status.reason == "interlock cooling: temperature > 300, and temperature = 310 K"
        with pytest.raises(NotAllowedError, match="stays frozen: interlock cooling: temperature > 300, and temperature = 310 K"):
            client.continue_()
        assert kinds(server, client) == ["alarm", "frozen"]
        device.hot = False
        eventually(lambda: not any(one.active for one in client.alarms()))
        client.continue_()
        client.advance()


def test_in_the_middle_of_a_clients_loop_it_makes_safe_and_takes_its_time_for_it() -> None:
    device = Guarded("safe")
    with served(device, homeostasis=LONG) as server, client_of(server) as client:
        device.server = server
        client.present(inputs_of(client))
        client.point_interrupt = lambda: setattr(device, "hot", True)  # in the middle of the loop
        with pytest.raises(FrozenError, match="is safe: interlock cooling"):
            client.hold(np.full(client.info.n_parameters, 0.2))
        assert client.status().state is SessionState.SAFE
        assert device.patience_s >= 30.0  # its guardian does not take the ramp for a hang
        assert server.patience_s == 0.0
        assert kinds(server, client) == ["alarm", "safe"]


def test_one_that_cannot_be_made_safe_is_an_alarm_of_its_own() -> None:
    device = Guarded("safe")
    device.fails = True
    with served(device, homeostasis=SHORT) as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.advance()
        device.hot = True
        eventually(lambda: client.status().state is SessionState.UNKNOWN)
        first, second = eventually(lambda: client.alarms()[:2] if len(client.alarms()) > 1 else ())
        assert (first.kind, second.kind, second.cause) == ("interlock cooling", "not safe", first.number)
        assert "heater (failed)" in second.text
