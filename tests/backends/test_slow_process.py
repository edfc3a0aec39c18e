"""The slow device in a process of its own: the same numbers, and what happens when one of the two sides dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aeqlab.backends import plant_link, plant_messages, wire
from aeqlab.backends.device import Flag, Readout
from aeqlab.backends.errors import DeviceConfigError, DeviceLostError, DeviceStateError, DivergedError, LimitError
from aeqlab.backends.journal import read_journal
from aeqlab.backends.plant import Order
from aeqlab.backends.plant_link import PlantHandle, PlantLink, end_plant, plant_status, reopen, start_plant
from aeqlab.backends.slow import SlowDevice, SlowSettings

Start = Callable[..., tuple[PlantHandle, SlowDevice]]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


def described(**changes: Any) -> SlowSettings:
    return SlowSettings.model_validate({"energy": "linear", "epsilon": 0.1, "options": {"frequencies": 2}, **changes})


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process wait long for a plant that is held up, but where a test is about one that does not answer."""
    if "hung" not in request.node.name:
        monkeypatch.setattr(plant_messages, "PATIENCE_S", 60.0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    handles: list[PlantHandle] = []

    def begin(**changes: Any) -> tuple[PlantHandle, SlowDevice]:
        settings = described(**changes)
        handle = start_plant(settings, seed=7, base=tmp_path, folder=tmp_path / f"plant-{len(handles)}")
        handles.append(handle)
        return handle, settings.open(seed=7, base=tmp_path, address=handle.address)

    yield begin
    for handle in handles:
        process = plant_link._started.get(handle.pid)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(60)


def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def drive(device: SlowDevice, ticks: range) -> list[Readout]:
    table = np.random.default_rng(9).normal(scale=0.3, size=(1000, 7))
    readouts = []
    for i in ticks:
        if i % 13 == 0:
            device.present(np.clip(table[i, :1], -1, 1)[None])
        if i % 3 == 0:
            device.set_controls(table[i, 2:])
        if i % 13 == 7:
            device.nudge(table[i, 1:2][None], 0.2)
        if i % 13 == 12:
            device.release()
        readouts.append(device.advance(0.05 if i % 10 == 9 else None))
    return readouts


def same(a: Readout, b: Readout) -> bool:
    return (a.t, a.dt, a.flags) == (b.t, b.dt, b.flags) and all(
        np.array_equal(np.asarray(x), np.asarray(y))
        for x, y in ((a.outputs, b.outputs), (a.parameters, b.parameters), (a.parameter_ages_s, b.parameter_ages_s))
    )


def client_process(handle: PlantHandle, script: str) -> subprocess.Popen[bytes]:
    """Start a client that does something, says so, and then waits for ever."""
    program = f"""
import sys, time, numpy as np
from pathlib import Path
from aeqlab.backends import plant_messages
from aeqlab.backends.plant_link import PlantLink
from aeqlab.backends.slow import SlowDevice
plant_messages.PATIENCE_S = 60.0
device = SlowDevice(PlantLink.connect(Path({handle.address!r})))
{script}
print("ready", flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_inside_and_in_a_process_are_one_device(start: Start, tmp_path: Path) -> None:
    handle, far = start(stale_rate=0.1, lost_rate=0.1)
    near = described(stale_rate=0.1, lost_rate=0.1).open(seed=7, base=tmp_path)
    assert all(same(a, b) for a, b in zip(drive(far, range(150)), drive(near, range(150)), strict=True))
    assert np.array_equal(far.true_parameters(), near.true_parameters())
    assert np.array_equal(far.controls(), near.controls())
    assert repr(far.info) == repr(near.info)
    state = wire.unpack(wire.pack(far.state()))  # one's state in the other
    ahead = drive(far, range(150, 180))
    drive(near, range(9))
    near.restore(state)
    assert all(same(a, b) for a, b in zip(drive(near, range(150, 180)), ahead, strict=True))
    far.restore(state)
    assert all(same(a, b) for a, b in zip(drive(far, range(150, 180)), ahead, strict=True))
    assert far.make_safe() == near.make_safe()
    far.close()
    far.close()
    with pytest.raises(DeviceStateError, match="closed"):
        far.advance()
    journal = read_journal(Path(handle.address) / "journal")
    until(lambda: bool(read_journal(Path(handle.address) / "journal").happened("leave")))
    assert journal.fastest().max() <= 10 * (1 + 1e-9)


def test_errors_cross_the_socket(start: Start) -> None:
    _, device = start(epsilon=0.5)
    device.present(np.array([[0.3]]))
    device.advance()
    link = device._port
    with pytest.raises(LimitError, match="Nothing was set"):
        link.exchange(Order(0.02, controls=np.full(5, 11.0)))
    with pytest.raises(DeviceConfigError, match="not a state"):
        link.restore({"a": 1})
    device.nudge(np.array([[1.0]]), -0.9)
    device.advance()
    with pytest.raises(DivergedError):
        device.advance(60.0)
    device.freeze()
    assert Flag.FROZEN in device.advance(0.5).flags


@posix
def test_a_killed_client_leaves_the_plant_holding_and_the_next_makes_it_safe(start: Start) -> None:
    handle, device = start()
    device.close()
    client = client_process(
        handle,
        "device.present(np.array([[0.3]])); device.set_controls(np.full(5, 0.5)); device.nudge(np.array([[1.0]]), 0.1)\n"
        "device.advance(0.5); device.set_controls(np.full(5, -1.0)); device.advance()",
    )
    client.kill()
    client.wait(60)
    folder = Path(handle.address)
    until(lambda: bool([e for e in read_journal(folder / "journal").happened("leave") if e.details["pid"] == client.pid]))
    status = plant_status(folder)
    assert status["answers"]
    assert status["beta"] == 0.1  # instruments hold
    assert status["setpoints"] == pytest.approx(np.full(5, -1.0), abs=2e-5)
    assert status["applied"] == pytest.approx(np.full(5, 0.3), abs=2e-5)  # on its way, at 10 V/s
    with reopen(folder) as guardian:
        assert guardian.make_safe().safe
    journal = read_journal(folder / "journal")
    killed = journal.happened("leave")[-1]
    off = journal.nudge_off_after(journal.happened("connect")[-1].wall_ns)
    (safe,) = journal.happened("make_safe")
    assert off is not None
    assert off >= killed.wall_ns or safe.wall_ns >= off
    assert journal.fastest().max() <= 10 * (1 + 1e-9)
    last = journal.last_applied()
    assert last is not None
    assert np.abs(last).max() < 1e-4


@posix
def test_a_killed_plant_is_lost_soon_and_its_journal_remembers(start: Start) -> None:
    handle, device = start()
    device.present(np.array([[0.3]]))
    device.set_controls(np.full(5, 0.125))
    device.nudge(np.array([[1.0]]), 0.1)
    device.advance()
    os.kill(handle.pid, signal.SIGKILL)
    plant_link._started[handle.pid].wait(60)
    began = time.monotonic()
    with pytest.raises(DeviceLostError, match="alive"):
        device.advance()
    with pytest.raises(DeviceLostError, match="Reopen"):
        device.freeze()
    with pytest.raises(DeviceLostError, match="answers here"):
        reopen(Path(handle.address))
    assert time.monotonic() - began < 30.0  # nobody waited for an answer
    status = plant_status(Path(handle.address))
    assert not status["answers"]
    assert status["setpoints"] == pytest.approx(np.full(5, 0.125), abs=2e-5)
    assert status["beta"] == 0.1
    device.close()


@posix
def test_a_hung_plant_is_lost_soon(start: Start) -> None:
    handle, device = start()
    folder = Path(handle.address)
    for _ in range(5):  # what else this computer does counts, too, so the quickest one must be in time
        device.present(np.array([[0.3]]))
        device.advance()
        os.kill(handle.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(DeviceLostError, match="does not answer"):
                device.advance()
            lost = time.monotonic()
            with pytest.raises(DeviceLostError):
                reopen(folder)
            refused = time.monotonic()
            assert not plant_status(folder)["answers"]
        finally:
            os.kill(handle.pid, signal.SIGCONT)
        until(lambda: plant_status(folder)["answers"])
        device = reopen(folder)
        if lost - began < 2.0 and refused - lost < 2.0:
            break
    else:
        pytest.fail(f"lost after {lost - began:.2f} s, refused after {refused - lost:.2f} s, and no sooner before")
    with device:
        assert device.make_safe().safe


def test_one_client_at_a_time_unless_taken_over(start: Start, tmp_path: Path) -> None:
    handle, device = start()
    device.present(np.array([[0.3]]))
    device.advance()
    with pytest.raises(DeviceStateError, match=f"in use by process {os.getpid()}"):
        described().open(seed=7, base=tmp_path, address=handle.address)
    assert plant_status(Path(handle.address))["answers"]  # an observer does not disturb
    device.advance()
    with reopen(Path(handle.address)) as guardian:
        guardian.freeze()
        with pytest.raises(DeviceLostError, match="closed the connection"):
            device.advance()
    with pytest.raises(DeviceStateError, match="runs here already"):
        start_plant(described(), seed=1, base=tmp_path, folder=Path(handle.address))


def test_an_answer_nobody_waited_for_is_not_taken_for_the_next(start: Start) -> None:
    _, device = start(clock="wall", speed=10.0)
    device.present(np.array([[0.3]]))
    first = device.advance()
    link = device._port
    assert isinstance(link, PlantLink)
    assert link._connection is not None
    link._connection.send_bytes(wire.pack([next(link._numbers), "status", None]))  # as if Ctrl-C came before the answer
    assert device.advance().t > first.t
    assert device.status()["t"] > first.t


def test_strangers_are_turned_away_and_do_not_disturb(start: Start) -> None:
    handle, device = start()
    device.present(np.array([[0.3]]))
    device.advance()
    address = tuple(json.loads((Path(handle.address) / "plant.json").read_bytes())["address"])
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        Client(address, authkey=b"a guess")
    silent = socket.create_connection(address)
    noisy = socket.create_connection(address)
    noisy.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
    for _ in range(20):
        device.advance()
    silent.close()
    noisy.close()
    assert device.advance().t == pytest.approx(22 * 0.02)
    if sys.platform != "win32":
        assert (Path(handle.address) / "plant.key").stat().st_mode & 0o077 == 0


def test_nonsense_from_a_client_ends_the_client_and_not_the_plant(start: Start) -> None:
    handle, device = start()
    device.present(np.array([[0.3]]))
    device.nudge(np.array([[1.0]]), 0.1)
    device.advance()
    device.close()
    rng = np.random.default_rng(4)
    answered = 0
    for message in (
        b"",
        rng.bytes(200),
        wire.pack(None),
        wire.pack([1, 2]),
        wire.pack([1, "exchange", None]),
        wire.pack([1, "exchange", np.array([1.0, 0.0, 99.0])]),
        wire.pack([1, "exchange", np.array([np.inf, 0.0, 0.0])]),
        wire.pack([1, "exchange", np.array([0.02, 0.0, 1.0])]),
        wire.pack([1, "exchange", np.array([0.02, 5.0, 0.0])]),
        wire.pack([{"a": [1]}, ["b"], {"c": np.zeros(3)}]),
        wire.pack([1, "restore", {"format": "aeqlab-plant-1", "dac": 3}]),
        wire.pack([1, "note", {"event": [1]}]),
        wire.pack([1, "__init__", None]),
    ):
        until(lambda: plant_status(Path(handle.address))["answers"])
        link = PlantLink.connect(Path(handle.address), take_over=True)
        assert link._connection is not None
        link._connection.send_bytes(message)
        try:
            answer = wire.unpack(link._connection.recv_bytes())
            assert answer[1] in ("ok", "error")
            answered += 1
        except EOFError:
            pass  # turned out
        link.close()
    assert answered >= 8
    status = plant_status(Path(handle.address))
    assert status["beta"] == 0.1
    assert status["t"] == pytest.approx(0.02)
    assert "Traceback" not in (Path(handle.address) / "plant.log").read_text()


@posix
def test_ctrl_c_does_not_reach_the_plant(start: Start) -> None:
    handle, device = start()
    os.kill(handle.pid, signal.SIGINT)
    device.present(np.array([[0.3]]))
    assert device.advance().t == pytest.approx(0.02)
    assert plant_link._started[handle.pid].poll() is None


def test_the_watchdog_takes_the_nudge_off_a_silent_client(start: Start) -> None:
    handle, device = start(watchdog_s=0.3)
    device.present(np.array([[0.3]]))
    device.nudge(np.array([[1.0]]), 0.1)
    device.set_controls(np.full(5, 0.1))
    device.advance(0.5)
    folder = Path(handle.address)
    assert 0.1 in read_journal(folder / "journal").nudges.values  # it may be off by now
    until(lambda: plant_status(folder)["beta"] == 0.0)
    assert read_journal(folder / "journal").happened("watchdog")
    assert plant_status(folder)["setpoints"] == pytest.approx(np.full(5, 0.1), abs=2e-5)  # it holds the rest


@pytest.mark.parametrize("linger_s", [0.0, 0.2])
def test_the_process_ends_by_itself_when_nobody_comes_back(start: Start, linger_s: float) -> None:
    handle, device = start(linger_s=linger_s)  # and not before the first one comes
    device.present(np.array([[0.3]]))
    device.advance()
    device.close()
    assert plant_link._started[handle.pid].wait(60) == 0
    assert read_journal(Path(handle.address) / "journal").events[-1].name == "end"


def test_end_plant_ends_it(start: Start) -> None:
    handle, _ = start()
    process = plant_link._started[handle.pid]
    end_plant(Path(handle.address))
    assert process.poll() == 0
    end_plant(Path(handle.address))  # and does not mind that it is gone


def test_time_on_the_wall_goes_on_by_itself(start: Start) -> None:
    handle, device = start(clock="wall", speed=20.0, slew_V_per_s=2.0, tau_theta_s=0.02, stale_rate=0, lost_rate=0)
    folder = Path(handle.address)
    device.present(np.array([[0.3]]))
    device.set_controls(np.full(5, 1.0))
    first = device.advance()
    assert Flag.SLEWING in first.flags or first.dt > 0.5  # 1 V at 2 V/s takes so long; a machine that was held up looks later
    assert first.dt >= 0.02
    until(lambda: not plant_status(folder)["slewing"])  # the ramp goes on while its client is silent
    journal = read_journal(folder / "journal")
    assert len(journal.applied) > 4  # and the journal has company on the way
    assert journal.fastest().max() <= 2.0 * (1 + 1e-6)  # a tick that the clock cuts short is known to its rounding
    wall = [time.monotonic()]  # each time of the device is read between two of these
    times = []
    for read in (lambda: device.status()["t"], lambda: device.advance(10.0).t, lambda: device.status()["t"]):
        times.append(read())
        wall.append(time.monotonic())
    assert 10.0 <= times[1] - times[0] <= 20.0 * (wall[2] - wall[0]) + 1e-6
    assert times[2] - times[0] >= 20.0 * (wall[2] - wall[1]) - 1e-6
    assert wall[2] - wall[1] < 60.0
    assert device.true_parameters() == pytest.approx(np.full(5, 1.0), abs=0.01)
    device.set_controls(np.full(5, -0.5))
    device.nudge(np.array([[0.0]]), 0.1)
    device.advance()
    report = device.make_safe()
    assert report.safe
    assert read_journal(folder / "journal").fastest().max() <= 2.0 * (1 + 1e-6)


def test_wall_clock_inside_a_process(tmp_path: Path) -> None:
    device = described(clock="wall", speed=50.0).open(seed=1, base=tmp_path)
    device.present(np.array([[0.3]]))
    wall = time.monotonic()
    first = device.advance()
    last = device.advance(5.0)
    assert last.t - first.t >= 5.0
    assert time.monotonic() - wall >= 0.09


def test_a_plant_that_cannot_be_built_says_why(tmp_path: Path) -> None:
    settings = described(energy="missing.py:Net", options={})
    with pytest.raises(DeviceConfigError, match=r"missing\.py"):
        start_plant(settings, seed=1, base=tmp_path, folder=tmp_path / "plant")


def test_an_address_where_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(DeviceLostError, match="no slow device answers here"):
        described(address="nowhere").open(seed=1, base=tmp_path)
    with pytest.raises(DeviceLostError):
        plant_status(tmp_path)
