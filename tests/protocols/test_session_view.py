"""One cheap look at a session: everything that a window shows, within milliseconds, without a word to the device."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import HOLD, SETTLE, client_of, eventually, inputs_of, served, simulated, slow, targets_of

from aeqlab.backends.device import Clock
from aeqlab.protocols.errors import FrozenError
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import SessionState

sys.path.append(str(Path(__file__).parents[1] / "backends"))
from rig_helpers import rig_on

LONG = HomeostasisSettings(controller="integral", accept=Ticks(ticks=1_000_000))
LOOP = HomeostasisSettings(controller="integral", accept=Ticks(ticks=60))
QUIET: dict[str, Any] = {"noise_V": 1e-5, "drift_V": 0.0, "stale_rate": 0.0, "lost_rate": 0.0}


def test_before_anything_happened_nothing_is_invented() -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server, "window", control=False) as window:
        view = window.watch()
        assert view.readout is None
        assert np.isnan(view.since_s)
        assert (view.setpoints, view.inputs, view.target, view.error, view.skipped) == (None, None, None, None, None)
        assert np.isnan([view.period_s, view.jitter_s]).all()
        assert set(view.verdicts) == {"unknown"}
        assert set(view.owners) == {"nobody"}
        assert (view.interlocks, view.monitors) == ((), {})
        assert view.units == {"controls": "V", "inputs": "V", "outputs": "V", "parameters": "V"}
        view = eventually(lambda: (seen := window.watch()).events and seen)
        assert [event.kind for event in view.events] == ["client"]
        assert window.watch(view.next_event).events == ()


def test_held_floating_and_standing_still_are_told_apart() -> None:
    with served(slow(Clock.VIRTUAL, **QUIET), homeostasis=LOOP) as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.hold(np.full(client.info.n_parameters, 0.1))
        for _ in range(5):
            client.hold()
        view = client.watch()
        assert view.status.state is SessionState.HOLDING
        assert set(view.verdicts) == {"held"}
        assert set(view.owners) == {"loop"}
        np.testing.assert_array_equal(view.target, np.full(client.info.n_parameters, 0.1))
        assert view.tolerance is not None
        assert view.error is not None
        assert (np.abs(view.error) < 1e-3).all()
        np.testing.assert_allclose(view.readbacks, client.controls())
        np.testing.assert_array_equal(view.inputs, inputs_of(client))
        client.set_target(np.full(client.info.n_parameters, 0.2))
        assert set(client.watch().verdicts) == {"not held"}
        client.nudge(targets_of(client), 0.1)
        client.settle()
        assert set(client.watch().verdicts) == {"unknown"}
        client.try_gains({"factor": 1.1}, "ada")
        trial = client.watch().trial
        assert trial is not None
        assert (trial.by, trial.knobs) == ("ada", tuple(range(7)))
        client.freeze("a look")
        after = client.watch(view.next_event)
        assert set(after.verdicts) == {"unknown"}
        assert {"frozen", "gains"} <= {event.kind for event in after.events}


def test_a_knob_at_its_limit_is_saturated_and_only_that_one() -> None:
    device = slow(Clock.VIRTUAL, control_limits=(-0.5, 0.5), **QUIET)
    with Session(device, homeostasis=LOOP, settling=SETTLE) as session:
        session.present(inputs_of(session))
        target = np.zeros(session.info.n_parameters)
        target[2] = 2.0
        for _ in range(6):
            session.hold(target)
        verdicts = session.watch().verdicts
        assert verdicts[2] == "saturated"
        assert set(verdicts[:2] + verdicts[3:]) == {"held"}


def test_monitors_interlocks_and_periods_of_a_rig() -> None:
    wiring = {
        "dac[1-7]": "u[0-6]", "dac[8]": "x[0]", "adc[101-107]": "theta[0-6]", "adc[108]": "s[0]", "adc[109]": "u[0]",
        "smu[1]": "i[0]",
    }  # fmt: skip
    more: dict[str, Any] = {
        "monitors": [{"name": "supply", "unit": "V", "channel": "adc109", "period_s": 1.0}],
        "interlocks": [{"name": "high", "when": "supply > 5", "action": "freeze"}],
    }
    with rig_on(bench={"wiring": wiring}, **more) as rig, served(rig, homeostasis=HOLD) as server, client_of(server) as client:
        assert client.watch().interlocks[0].tripped is None
        client.present(np.zeros((1, 1)))
        for _ in range(8):
            client.advance()
        view = client.watch()
        high = next(one for one in view.interlocks if one.name == "high")
        assert (high.tripped, high.why, high.action) == (False, "", "freeze")
        value, unit, age = high.values["supply"]
        assert np.isfinite(value)
        assert (unit, list(view.monitors)) == ("V", ["supply"])
        assert 0.0 <= age <= 2.0
        assert view.skipped == rig.late
        assert view.period_s == pytest.approx(rig.info.tick_s, rel=0.05)
        assert view.jitter_s >= 0.0


def _hold(client: Any, done: list[Any]) -> None:
    try:
        client.hold(np.zeros(client.info.n_parameters))
    except FrozenError as exc:
        done.append(exc)


@pytest.mark.parametrize("clock", [Clock.WALL, Clock.VIRTUAL])
def test_it_is_answered_while_a_loop_runs_and_does_not_slow_it(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty looks a second, each within milliseconds; the loop goes on at its pace."""
    monkeypatch.setattr("aeqlab.protocols.clients.SILENCE_S", 60.0)  # a thread of this process may be held up
    with served(slow(clock, **QUIET), homeostasis=LONG) as server, client_of(server) as client:
        with client_of(server, "window", control=False) as window:
            client.present(inputs_of(client))
            done: list[Any] = []
            worker = threading.Thread(target=_hold, args=(client, done))
            worker.start()
            try:
                eventually(lambda: window.status().doing == "hold" and server.device.newest is not None)
                window.watch()

                def ticks(looking: bool, seconds: float = 0.8) -> tuple[float, list[float]]:
                    newest = server.device.newest
                    assert newest is not None
                    t, began, took, ages = newest.t, time.monotonic(), [], []
                    until = began + seconds
                    while time.monotonic() < until:
                        asked = time.monotonic()
                        if looking:
                            view = window.watch()
                            took.append(time.monotonic() - asked)
                            assert view.readout is not None
                            ages.append(view.readbacks_s)
                        time.sleep(max(0.0, 1 / 30 - (time.monotonic() - asked)))
                    assert not looking or sorted(ages)[len(ages) // 2] < 0.5 or len(ages) < 12
                    assert server.device.newest is not None
                    return (server.device.newest.t - t) / (time.monotonic() - began), took

                share = 0.97 if clock is Clock.WALL else 0.75  # virtual time shares one processor with us
                alone: list[float] = []
                looked: list[float] = []
                took: list[float] = []
                for _ in range(8):  # what else this computer does may fall on either
                    alone.append(ticks(looking=False)[0])
                    rate, needed = ticks(looking=True)
                    looked.append(rate)
                    took += needed
                    if max(looked) > share * sorted(alone)[len(alone) // 2] and sorted(took)[len(took) // 2] < 0.03:
                        break
                else:
                    pytest.fail(f"{alone} ticks a second alone, {looked} while somebody looks, which took {sorted(took)} s")
                assert window.status().doing == "hold"
            finally:
                server.freeze_soon("enough", False)
                worker.join(60)
        assert done


def test_a_look_sends_nothing_to_the_instruments(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with rig_on(bench={"journal": journal}) as rig, Session(rig, homeostasis=HOLD) as session:
        session.present(np.zeros((1, 1)))
        session.advance()
        t = rig.bench.clock.now()
        talked = rig.bus.spoken.copy()
        rig.bus.spoken.clear()
        for _ in range(100):
            session.watch()
        assert not rig.bus.spoken
        assert rig.bench.clock.now() == t
        assert talked


def test_large_devices_leave_their_rows_out() -> None:
    with Session(simulated(), homeostasis=HOLD, settling=SETTLE) as session:
        session.present(inputs_of(session))
        session.hold()
        view = session.watch()
        assert set(view.verdicts) <= {"held", "not held", "unknown"}
        assert len(view.owners) == len(session.info.controls)
