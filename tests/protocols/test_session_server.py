"""A session at a distance: the same calls over the socket, the control token, liveness of clients, hostile ones."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from session_helpers import HOLD, KEY, SETTLE, client_of, eventually, inputs_of, served, simulated, slow, targets_of

from aeqlab.backends.device import Clock, Grade, Readout, SafetyLine, SafetyReport
from aeqlab.backends.errors import ArrayRefusedError, DivergedError, LimitError
from aeqlab.backends.plant import Plant
from aeqlab.backends.slow import Inside, SlowDevice
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.aeqprop import train_step
from aeqlab.protocols.errors import (
    AbortRequested,
    CapabilityError,
    FrozenError,
    LateError,
    NotAllowedError,
    SessionError,
    SessionLostError,
)
from aeqlab.protocols.greeting import PROTOCOL
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.limits import LimitedDevice
from aeqlab.protocols.lost import LastCommands, lost_session
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.session import Session
from aeqlab.protocols.session_record import SessionRecord
from aeqlab.protocols.status import SessionState

LONG = HomeostasisSettings(controller="integral", accept=Ticks(ticks=1_000_000))
pytestmark = pytest.mark.usefixtures("own_state")


@pytest.fixture(autouse=True)
def _late_only_while_nudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no session freeze because a thread of this process was held up, but where the nudge is on."""
    monkeypatch.setattr("aeqlab.protocols.clients.SILENCE_S", 60.0)


def state_of(client: SessionClient) -> SessionState:
    return client.status().state


def test_a_step_at_a_distance_is_the_same_step_bit_for_bit() -> None:
    here = Session(slow(Clock.VIRTUAL), homeostasis=HOLD, settling=SETTLE)
    theta = np.full(here.info.n_parameters, 0.1)
    near = train_step(here, inputs_of(here), targets_of(here), theta=theta, pair=(-0.05, 0.05))
    with served(slow(Clock.VIRTUAL)) as server, client_of(server) as there:
        far = train_step(there, inputs_of(there), targets_of(there), theta=theta, pair=(-0.05, 0.05))
        assert there.info.parameters == here.info.parameters
        assert there.abilities == here.abilities
    assert near.theta_after is not None
    np.testing.assert_array_equal(near.theta_after, far.theta_after)
    assert near.cost_2 == far.cost_2
    assert far.hold.verdict == near.hold.verdict


def test_courses_of_phases_are_kept_while_a_client_asks_for_them() -> None:
    with served(simulated()) as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.hold()
        assert client.last_traces() == []
        client.traces = True
        client.hold()
        (trace,) = client.last_traces()
        assert trace["phase"] == "hold"
        assert trace["error"].shape == (len(trace["t"]), client.info.n_parameters)
        client.traces = False
        client.hold()
        assert client.last_traces() == []


def test_errors_cross_the_socket_as_what_they_are() -> None:
    with served(simulated()) as server, client_of(server) as client:
        with pytest.raises(ArrayRefusedError, match="shape"):
            client.present(np.zeros((2, 77)))
        with pytest.raises(ArrayRefusedError, match="finite"):
            client.set_controls(np.full(len(client.info.controls), np.nan))
        with pytest.raises(CapabilityError, match="end_epoch"):
            client.device_call("end_epoch")
        client.present(inputs_of(client))
        with pytest.raises(LimitError, match="beta"):
            client.nudge(targets_of(client), -1e9)
        assert state_of(client) is SessionState.IDLE


def test_one_client_controls_and_the_others_watch() -> None:
    with served(simulated()) as server, client_of(server, "first") as first, client_of(server, "second") as second:
        assert first.controls_device
        assert not second.controls_device
        assert second.control_by == first.who
        with pytest.raises(NotAllowedError, match="first"):
            second.present(inputs_of(second))
        first.present(inputs_of(first))
        readout = first.advance()
        seen, setpoints = second.last()
        assert seen is not None
        assert seen.t == readout.t
        assert setpoints is None
        status = second.status()
        assert status.control == first.who
        assert set(status.clients) == {first.who, second.who}


def test_the_token_is_taken_visibly_and_drops_the_nudge() -> None:
    with served(simulated()) as server, client_of(server, "first") as first, client_of(server, "second") as second:
        first.present(inputs_of(first))
        first.nudge(targets_of(first), 0.1)
        assert second.take_control() == first.who
        with pytest.raises(NotAllowedError, match="second"):
            first.settle()
        assert state_of(first) is SessionState.FROZEN
        assert "took control" in "".join(event.text for event in second.log()[0])
        second.continue_()
        second.give_control()
        assert first.take_control() == ""
        first.present(inputs_of(first))  # the first one was dropped with the nudge
        first.advance()


def test_control_that_is_taken_between_the_question_and_the_lock_leaves_no_nudge_of_the_old_client() -> None:
    class Between:
        """The session's lock; the first who asks for it without waiting finds that control was taken meanwhile."""

        def __init__(self, lock: Any) -> None:
            self.lock, self.taken = lock, False

        def acquire(self, blocking: bool = True) -> bool:
            if not blocking and not self.taken:
                self.taken = True
                second.take_control()
            return bool(self.lock.acquire(blocking))

        def release(self) -> None:
            self.lock.release()

        def __enter__(self) -> None:
            self.acquire()

        def __exit__(self, *exc: object) -> None:
            self.release()

    with served(simulated()) as server, client_of(server, "first") as first, client_of(server, "second") as second:
        first.present(inputs_of(first))
        first.advance()
        between = server.session.lock = Between(server.session.lock)  # type: ignore[assignment]
        with pytest.raises(NotAllowedError, match="nudge: the control token is needed, and second"):
            first.nudge(targets_of(first), 0.1)
        assert between.taken
        status = second.status()
        assert (status.state, status.beta, status.control) == (SessionState.IDLE, 0.0, second.who)


def test_taking_control_ends_a_running_loop() -> None:
    with served(slow(Clock.VIRTUAL), homeostasis=LONG) as server, client_of(server) as first, client_of(server) as second:
        first.present(inputs_of(first))
        caught: list[BaseException] = []
        worker = in_thread(lambda: first.hold(np.zeros(first.info.n_parameters)), caught)
        eventually(lambda: second.status().doing == "hold")
        second.take_control()
        worker.join(60)
        assert isinstance(caught[0], NotAllowedError)


def in_thread(work: Any, caught: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except Exception as exc:
            caught.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("keyed", [True, False], ids=["another client", "another account"])
def test_freeze_works_from_anyone_in_the_middle_of_a_hold(keyed: bool) -> None:
    with served(slow(Clock.VIRTUAL), homeostasis=LONG) as server, client_of(server) as client:
        other = SessionClient(server.port, KEY if keyed else None, name="a neighbour")
        client.present(inputs_of(client))
        caught: list[BaseException] = []
        worker = in_thread(lambda: client.hold(np.zeros(client.info.n_parameters)), caught)
        eventually(lambda: other.status().doing == "hold")
        other.freeze("I smell smoke")
        worker.join(60)
        assert "I smell smoke" in str(caught[0])
        assert state_of(other) is SessionState.FROZEN
        assert other.make_safe("better be sure").safe
        assert state_of(other) is SessionState.SAFE
        other.close()


def test_another_account_may_do_nothing_else() -> None:
    with served(simulated()) as server, client_of(server) as client:
        stranger = SessionClient(server.port, None, name="a stranger")
        for call in (stranger.last, stranger.log, stranger.take_control, stranger.advance, lambda: stranger.end_session("no")):
            with pytest.raises(NotAllowedError, match="only clients of the user"):
                call()
        with pytest.raises(NotAllowedError):
            _ = stranger.info
        stranger.close()
        client.present(inputs_of(client))


def test_a_wrong_key_is_refused_and_a_false_session_is_noticed() -> None:
    with served(simulated()) as server, pytest.raises(NotAllowedError, match="key"):
        SessionClient(server.port, b"w" * 32)
    with pytest.raises(SessionLostError, match="no session answers"):
        SessionClient(server.port, KEY)


def test_a_client_that_vanishes_with_the_nudge_on_freezes_the_device() -> None:
    with served(simulated()) as server, client_of(server, "watcher", control=False) as watcher:
        client = client_of(server, "the run")
        client.present(inputs_of(client))
        client.nudge(targets_of(client), 0.1)
        client.settle()
        assert state_of(watcher) is SessionState.NUDGED
        client._channel.drop()  # as the end of its process would
        status = eventually(lambda: (s := watcher.status()).state is SessionState.FROZEN and s)
        assert "the run" in status.reason
        assert "gone without a word" in status.reason
        assert status.beta == 0.0
        assert status.control == ""
        client.close()


def test_a_client_that_vanishes_in_the_middle_of_a_hold_ends_it() -> None:
    with served(slow(Clock.VIRTUAL), homeostasis=LONG) as server, client_of(server, control=False) as watcher:
        client = client_of(server, "the run")
        client.present(inputs_of(client))
        client._send({"n": 99, "c": "hold", "a": [np.zeros(client.info.n_parameters)]})
        eventually(lambda: watcher.status().doing == "hold")
        client._channel.drop()
        eventually(lambda: state_of(watcher) is SessionState.FROZEN)
        client.close()


def test_goodbye_leaves_a_hold_going_on_and_a_nudge_not() -> None:
    with served(simulated()) as server, client_of(server, control=False) as watcher:
        with client_of(server, "first") as first:
            first.present(inputs_of(first))
            first.hold()
        assert state_of(watcher) is SessionState.HOLDING
        with client_of(server, "second") as second:
            second.nudge(targets_of(second), 0.1)
        assert state_of(watcher) is SessionState.FROZEN
        assert "left while the nudge was on" in watcher.status().reason


class Mute(SessionClient):
    """A client whose heartbeat can be stopped, as SIGSTOP would stop it."""

    mute = False

    def _send(self, tree: dict[str, Any]) -> None:
        if not (self.mute and "beat" in tree):
            super()._send(tree)


def test_silence_with_the_nudge_on_freezes_and_a_client_that_was_late_goes_on() -> None:
    with served(slow()) as server, client_of(server, control=False) as watcher:
        client = Mute(server.port, KEY, name="the run")

        def nudged() -> None:
            client.present(inputs_of(client))
            client.hold()
            client.nudge(targets_of(client), 0.1)
            client.settle()

        def stays() -> None:
            nudged()
            began = time.monotonic()
            eventually(lambda: time.monotonic() - began > 0.4)  # heard all the time, so it stays on
            status = watcher.status()
            if status.late:
                raise LateError(status.reason)
            assert status.state is SessionState.NUDGED

        def again_if_late(work: Callable[[], None]) -> None:
            for _ in range(20):  # a thread of this process may be held up for as long as a client may be silent
                try:
                    return work()
                except LateError:
                    client.continue_()
            pytest.fail("it was late twenty times")

        again_if_late(stays)
        client.mute = True
        eventually(lambda: state_of(watcher) is SessionState.FROZEN)
        with pytest.raises(LateError, match=r"silent for \d+\.\d+ s while the nudge was on"):
            client.settle()
        client.mute = False
        client.continue_()
        again_if_late(lambda: (nudged(), client.release())[0])
        client.close()


def test_silence_counts_for_nothing_in_virtual_time() -> None:
    with served(slow(Clock.VIRTUAL)) as server:
        client = Mute(server.port, KEY, name="the run")
        client.present(inputs_of(client))
        client.nudge(targets_of(client), 0.1)
        client.advance()
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 0.4)
        client.settle()
        client.close()


def test_in_virtual_time_nothing_moves_between_commands_and_on_the_wall_it_goes_on_holding() -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server) as client:
        client.present(inputs_of(client))
        t = client.hold(np.zeros(client.info.n_parameters)).readout.t
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 0.3)
        readout, _ = client.last()
        assert readout is not None
        assert readout.t == t
    with served(slow()) as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.hold(np.full(client.info.n_parameters, 0.2))
        before = client.last()[1]
        assert before is not None
        eventually(lambda: not np.array_equal(client.last()[1], before))  # the loop moves the knobs by itself
        assert client.status().knobs == "loop"
        client.set_controls(before)  # and a person takes them over
        assert client.status().knobs == client.who
        assert state_of(client) is SessionState.IDLE


def test_an_abort_of_the_client_ends_its_hold_at_the_next_tick() -> None:
    with served(slow(Clock.VIRTUAL), homeostasis=LONG) as server, client_of(server) as client:
        client.present(inputs_of(client))

        def stop() -> None:
            raise AbortRequested("Ctrl-C, twice")

        client.point_interrupt = stop
        with pytest.raises(AbortRequested, match="Ctrl-C"):
            client.hold(np.zeros(client.info.n_parameters))
        client.point_interrupt = None
        assert client.status().doing == ""
        assert client.advance().dt > 0  # the session is ready for the next command


def test_an_abort_by_another_client_ends_the_hold() -> None:
    with served(slow(Clock.VIRTUAL), homeostasis=LONG) as server, client_of(server) as client, client_of(server) as other:
        client.present(inputs_of(client))
        caught: list[BaseException] = []
        worker = in_thread(lambda: client.hold(np.zeros(client.info.n_parameters)), caught)
        eventually(lambda: other.status().doing == "hold")
        other.abort("the window asks for it")
        worker.join(60)
        assert isinstance(caught[0], AbortRequested)
        other.abort("nothing runs any more")
        client.advance()


def test_the_end_leaves_the_device_as_declared() -> None:
    for then, state in (("freeze", "frozen"), ("safe", "safe"), ("hold", "idle")):
        device = slow(Clock.VIRTUAL)
        with served(device) as server:
            client = client_of(server)
            client.present(inputs_of(client))
            client.set_controls(np.full(len(client.info.controls), 0.3))
            client.advance(0.5)
            report = client.end_session("enough", then)
            assert (report is not None) == (then == "safe")
            client.close()
            eventually(lambda device=device: device.closed)
            assert server.session.status().state == state


@pytest.mark.parametrize("fails", [False, True], ids=["it reads", "it does not"])
def test_an_end_that_holds_takes_the_nudge_off_the_hardware(tmp_path: Path, fails: bool) -> None:
    class Failing(SlowDevice):
        def _advance(self, seconds: float | None) -> Readout:
            if fails and ending:
                raise DivergedError("it ran away")
            return super()._advance(seconds)

    ending: list[bool] = []
    plant = Plant(SlowSettings(energy="linear", clock=Clock.VIRTUAL), seed=1, base=tmp_path, journal=None)
    with served(Failing(Inside(plant)), then="hold") as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.set_controls(np.full(len(client.info.controls), 0.3))
        client.nudge(targets_of(client), 0.1)
        client.advance(0.5)
        assert plant.motion.beta == 0.1
        ending.append(True)
        server.request_end("a signal asked for it")
        eventually(lambda: server.device.closed)
    assert plant.motion.beta == 0.0
    np.testing.assert_allclose(plant.dac.output, 0.3, atol=1e-3)
    assert server.session.status().state == ("frozen" if fails else "idle")


class Stuck(LimitedDevice):
    """A device whose make safe reports grades as told."""

    grades: tuple[Grade, ...] = ()

    def _make_safe(self) -> SafetyReport:
        super()._make_safe()
        return SafetyReport(tuple(SafetyLine(f"u{k}", grade, 0.0, 1.0, "V") for k, grade in enumerate(self.grades)))


@pytest.mark.parametrize(
    ("grades", "state", "said", "lost"),
    [
        ((Grade.MEASURED, Grade.ECHOED), SessionState.SAFE, "", False),
        ((Grade.MEASURED, Grade.SENT), SessionState.SAFE, "not confirmed: u1 (only sent)", True),
        ((Grade.MEASURED, Grade.FAILED), SessionState.UNKNOWN, "not safe: u1 (failed)", True),
        ((), SessionState.UNKNOWN, "nothing was reported", True),
    ],
    ids=["confirmed", "sent", "failed", "nothing"],
)
def test_only_a_confirmed_make_safe_is_a_clean_end(
    tmp_path: Path, grades: tuple[Grade, ...], state: SessionState, said: str, lost: bool
) -> None:
    address = f"bench {grades}"
    inner = simulated()
    last = LastCommands(address, inner.info.name, inner.info.controls.names, "1", tmp_path)
    device = Stuck(inner, inner.info, np.inf)
    device.grades = grades
    with served(device, last=last, then="safe") as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.set_controls(np.full(len(client.info.controls), 0.125))
        client.advance()
        client.make_safe("asked for")
        assert state_of(client) is state
        assert said in client.status().reason
        with pytest.raises(FrozenError):
            client.advance()
    left = lost_session(address)
    assert (left is not None) is lost
    if left is not None:
        assert left.u is not None
        assert not left.u.any()  # at rest, as was commanded
        assert left.state == state


def test_a_session_that_goes_on_after_a_make_safe_that_failed_ends_cleanly(tmp_path: Path) -> None:
    inner = simulated()
    device = Stuck(inner, inner.info, np.inf)
    device.grades = (Grade.FAILED,)
    last = LastCommands("bench", inner.info.name, inner.info.controls.names, "1", tmp_path)
    with served(device, last=last) as server, client_of(server) as client:
        client.make_safe("asked for")
        client.continue_()  # taken as it is
        client.present(inputs_of(client))
        client.advance()
    assert lost_session("bench") is None


def test_a_loop_that_does_not_hold_any_more_says_so_and_says_when_it_does_again() -> None:
    settings = HomeostasisSettings(controller="integral", tolerance=0.01, timeout=20.0)
    with served(slow(), homeostasis=settings) as server, client_of(server) as client:
        client.present(inputs_of(client))
        target = np.full(client.info.n_parameters, 0.1)
        assert client.hold(target).accepted
        assert client.status().reason == ""
        client.configure(homeostasis=settings.model_copy(update={"tolerance": 1e-12}))
        eventually(lambda: "theta is not held (" in client.status().reason)
        assert state_of(client) is SessionState.HOLDING
        client.configure(homeostasis=settings)
        eventually(lambda: client.status().reason == "")
        told = eventually(lambda: len(said := [event.text for event in client.log()[0] if event.kind == "holding"]) > 1 and said)
    assert told[0].startswith("theta is not held (")
    assert "tolerances off" in told[0]
    assert told[1] == "theta is held again"


def test_a_session_that_lives_with_its_client_ends_with_it() -> None:
    with served(simulated(), with_client=True) as server:
        watcher, client = client_of(server, control=False), client_of(server)
        watcher.close()
        assert state_of(client) is SessionState.IDLE
        client.close()
        eventually(lambda: server.why_ended)
        assert "its client left" in server.why_ended


def test_a_session_does_not_live_on_for_those_who_only_watch() -> None:
    with served(simulated(), with_client=True) as server:
        client, helper, window = (
            client_of(server),
            client_of(server, control=False),
            client_of(server, control=False, watches=True),
        )
        client.close()
        assert state_of(helper) is SessionState.IDLE  # this one may have work for it
        window.status()
        helper.close()
        eventually(lambda: server.why_ended)
        window.close()


def test_a_failure_inside_the_session_is_a_sentence_and_freezes(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(LimitedDevice):
        def _advance(self, seconds: float | None) -> Readout:
            raise ZeroDivisionError("a fault of this program")

    inner = simulated()
    with caplog.at_level(logging.CRITICAL), served(Broken(inner, inner.info, np.inf)) as server, client_of(server) as client:
        client.present(inputs_of(client))
        with pytest.raises(SessionError, match="advance failed in the session"):
            client.advance()
        with pytest.raises(FrozenError, match="ZeroDivisionError"):
            client.advance()
        client.continue_()


def test_events_reach_every_client_and_the_record(tmp_path: Path) -> None:
    with served(simulated(), record=SessionRecord(tmp_path)) as server, client_of(server, "first") as first:
        with client_of(server, "second") as second:
            second.freeze("a reason")
        first.continue_()
        eventually(lambda: first.status() and any(event.text == "a reason" for event in first.events))
        first.present(inputs_of(first))
        first.advance()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines][-1] == "end"
    assert "a reason" in [line["text"] for line in lines]
    [reading] = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    assert len(reading["parameters"]) == first.info.n_parameters


def test_last_commands_are_kept_until_a_clean_end(tmp_path: Path) -> None:
    device = simulated()
    last = LastCommands("a bench", device.info.name, device.info.controls.names, device.info.controls.unit, tmp_path)
    with served(device, last=last) as server, client_of(server) as client:
        client.present(inputs_of(client))
        client.set_controls(np.full(len(client.info.controls), 0.125))
        client.nudge(targets_of(client), 0.1)

        def told() -> bool:
            lost = lost_session("a bench")
            return lost is not None and lost.u is not None and lost.beta == 0.1

        eventually(told)
        lost = lost_session("a bench")
        assert lost is not None
        assert (lost.u == 0.125).all()
        assert "state unknown, last commanded" in lost.sentence()
        assert "aeqlab safe" in lost.sentence()
        client.release()
    assert lost_session("a bench") is None


def test_a_session_after_a_double_death_moves_nothing_before_someone_looked() -> None:
    device = slow(Clock.VIRTUAL)
    server = SessionServer(device, key=KEY)
    server.stand_unknown("state unknown, last commanded u0 = 0.5 V", np.full(len(device.info.controls), 0.5))
    owner = threading.Thread(target=server.serve)
    owner.start()
    with client_of(server) as client:
        with pytest.raises(FrozenError, match="last commanded u0"):
            client.present(inputs_of(client))
        client.freeze("still nobody looked")
        assert state_of(client) is SessionState.UNKNOWN
        assert client.make_safe("asked for").safe
        client.continue_()
        client.present(inputs_of(client))
        client.end_session("enough")
    owner.join(60)


@pytest.mark.parametrize("then", ["safe", "freeze", "hold"])
def test_a_session_that_nobody_let_decide_leaves_a_lost_device_as_it_found_it(then: Literal["safe", "freeze", "hold"]) -> None:
    device = slow(Clock.VIRTUAL)
    with device:
        device.present(np.zeros((1, len(device.info.inputs))))
        device.set_controls(np.full(len(device.info.controls), 0.3))
        device.advance(1.0)
        told: list[str] = []
        device.make_safe = lambda: told.append("safe")  # type: ignore[assignment, method-assign, return-value]
        device.freeze = lambda: told.append("freeze")  # type: ignore[method-assign]
        server = SessionServer(device, key=KEY, then=then)
        server.stand_unknown("state unknown, last commanded u0 = 0.3 V", np.full(len(device.info.controls), 0.3))
        owner = threading.Thread(target=server.serve)
        owner.start()
        with client_of(server) as client:
            client.end_session("nobody looked")
        owner.join(60)
        assert told == []
        assert "the device is left unknown" in server._events[-1][1].text


def test_a_large_answer_to_a_client_that_does_not_read_holds_nobody_up() -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server) as client, client_of(server) as deaf:
        deaf.take_control()
        for n in range(100, 140):
            deaf._send({"n": n, "c": "state"})
        client.freeze("still served")
        assert state_of(client) is SessionState.FROZEN
        deaf._channel.drop()


@pytest.mark.parametrize(
    "first", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x04junk", b"\xff\xff\xff\xff" * 4, b"\x7f\xff\xff\xff"]
)
def test_whoever_does_not_greet_is_dropped_and_others_are_served(first: bytes) -> None:
    with served(simulated()) as server, socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(first)
        with client_of(server) as client:
            assert state_of(client) is SessionState.IDLE


def test_a_version_that_differs_is_told_so() -> None:
    from aeqlab.backends.wire import pack, unpack

    with served(simulated()) as server:
        connection = Client(("127.0.0.1", server.port), family="AF_INET")
        hello = unpack(connection.recv_bytes())
        assert hello["protocol"] == PROTOCOL
        connection.send_bytes(pack({"program": "aeqlab-session", "protocol": PROTOCOL + 1, "name": "x", "nonce": "n"}))
        assert "same version" in unpack(connection.recv_bytes())["refused"]
        connection.close()


def test_whoever_asks_for_days_and_leaves_keeps_nobody_waiting() -> None:
    with served(simulated()) as server, client_of(server, control=False) as watcher:
        client = client_of(server)
        client.present(inputs_of(client))
        with pytest.raises(ValueError, match="at most 1e\\+06 s"):
            client.advance(1e300)
        client._send({"n": 99, "c": "advance", "a": [1e6]})
        eventually(lambda: watcher.status().doing == "advance")
        client._channel.drop()
        eventually(lambda: state_of(watcher) is SessionState.FROZEN)
        client.close()
