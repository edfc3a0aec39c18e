"""The session, its guardian, or both die or stop at random moments, judged by the hardware's own journal."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from fault_bench import (
    DEVICE,
    HOLD,
    SEED,
    SETTLE,
    eventually,
    gone,
    journal_of,
    lines,
    nudge_on_at,
    processes_of,
    session_file,
    session_of,
    strike,
    train,
    wait_a_random_while,
)  # fmt: skip

from aeqlab.backends.journal import Journal
from aeqlab.protocols.client import SessionClient, find_sessions, lost_sessions, make_lost_safe, open_session, start_session
from aeqlab.protocols.errors import FrozenError, LateError, SessionError, SessionLostError
from aeqlab.protocols.lease import holder_of
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.status import SessionState

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"), pytest.mark.timeout(900),
    pytest.mark.usefixtures("own_state"),
]  # fmt: skip
SIGNALS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["kill", "stop"])
KILLED = pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)], ids=["kill", "stop"]
)
MOMENTS = pytest.mark.parametrize("moments", [1, pytest.param(20, marks=pytest.mark.slow)])
WITHIN_NS = 2_000_000_000


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(tmp_path: Path) -> Iterator[None]:
    """End what a failed test leaves behind."""
    yield
    for pid in processes_of(tmp_path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def training(folder: Path) -> Iterator[SessionClient]:
    """Open a session of its own for this process and train on it in a thread, until it is gone or the test is over."""
    client = open_session(DEVICE, seed=1, base=folder, folder=folder, homeostasis=HOLD, settling=SETTLE, who="a run")
    over, began = threading.Event(), threading.Event()

    def work() -> None:
        with suppress(SessionLostError):
            while not over.is_set():
                try:
                    train(client, 1)
                    began.set()
                except LateError:
                    client.continue_()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert began.wait(60)
        yield client
    finally:
        over.set()
        worker.join(60)
        client.close()


def guardian_of(session: int) -> int:
    parent = psutil.Process(session).parent()
    assert parent is not None
    assert "aeqlab.app.launch" in parent.cmdline()
    return parent.pid


def made_safe(folder: Path, at: int) -> Journal:
    """Wait until the guardian of a session folder has reported, and check what the hardware says of it."""
    report = eventually(lambda: (all_ := lines(folder / "guardian.jsonl")) and all_[-1]["kind"] in ("safe", "failed") and all_)
    assert report[-1]["kind"] == "safe"
    assert [line["kind"] for line in report[:2]] == ["lost", "opened"]
    eventually(lambda: not processes_of(folder))
    journal = journal_of(folder)
    [ramp] = journal.happened("make_safe", at)
    assert ramp.wall_ns - at < WITHIN_NS
    assert not nudge_on_at(journal, ramp.wall_ns)
    at_rest = journal.last_applied()
    assert at_rest is not None
    np.testing.assert_allclose(at_rest, DEVICE.rest_V, atol=1e-3)
    assert (journal.fastest() <= DEVICE.slew_V_per_s * 1.001).all()
    told = [line["text"].split(":")[0] for line in report if line["kind"] == "line"]
    assert told == ["nudge", *journal.header["knobs"]]
    return journal


@SIGNALS
@MOMENTS
def test_the_guardian_of_a_session_that_is_gone_makes_safe(tmp_path: Path, number: signal.Signals, moments: int) -> None:
    rng = np.random.default_rng([SEED, 1, number])
    for n in range(moments):
        session_dies(tmp_path / f"{n}" / "session", number, rng)


def session_dies(folder: Path, number: signal.Signals, rng: np.random.Generator) -> None:
    with training(folder.parent) as client:
        pid = session_of(folder).pid
        wait_a_random_while(rng)
        at = strike(pid, number)
        made_safe(folder, at)
        assert gone(pid)
        with pytest.raises(SessionLostError, match="unknown"):
            client.status()
    assert not [lost for lost in lost_sessions() if lost.folder == folder]  # somebody saw to it


@KILLED
@MOMENTS
def test_a_session_whose_guardian_is_gone_starts_another(tmp_path: Path, number: signal.Signals, moments: int) -> None:
    rng = np.random.default_rng([SEED, 2, number])
    for n in range(moments):
        guardian_dies(tmp_path / f"{n}" / "session", number, rng, then_the_session=n % 2 == 0)


def guardian_dies(folder: Path, number: signal.Signals, rng: np.random.Generator, then_the_session: bool) -> None:
    with training(folder.parent) as client:
        session = session_of(folder)
        assert guardian_of(session.pid) == session.guardian
        wait_a_random_while(rng)
        strike(session.guardian, number)
        second = eventually(lambda: (pid := session_of(folder).guardian) != session.guardian and pid)
        eventually(lambda: gone(session.guardian))
        eventually(lambda: any(f"process {second} guards from now on" in event.text for event in client.log()[0]))
        if then_the_session:  # the other one is as good as the first
            made_safe(folder, strike(session.pid, signal.SIGKILL))
    eventually(lambda: not processes_of(folder))
    eventually(lambda: gone(second))


@KILLED
@MOMENTS
def test_after_the_death_of_both_the_next_start_says_what_was_last_commanded(
    tmp_path: Path, number: signal.Signals, moments: int
) -> None:
    rng = np.random.default_rng([SEED, 3, number])
    for n in range(moments):
        folder = tmp_path / f"{n}" / "session"
        with training(folder.parent):
            session = session_of(folder)
            wait_a_random_while(rng)
            strike(session.guardian, number)
            strike(session.pid, number)
            if number is signal.SIGSTOP:
                with pytest.raises(SessionError, match=r"state unknown, last commanded u0 = .* does not answer"):
                    start_session(session_file(with_client=True), folder, who="the next one")
            else:
                eventually(lambda address=session.address: holder_of(address) is None)
                next_start(folder, take_the_offer=n % 2 == 0)
            for lost in lost_sessions():
                assert "last commanded" in lost.sentence()
                assert make_lost_safe(lost).safe
        assert lost_sessions() == []
        eventually(lambda pids=(session.pid, session.guardian): all(gone(pid) for pid in pids))
        eventually(lambda folder=folder: not processes_of(folder))
        assert journal_of(folder).last_beta() == 0.0


def next_start(folder: Path, take_the_offer: bool) -> None:
    """Start a session on the hardware that is still there."""
    with start_session(session_file(with_client=True), folder, who="the next one") as client:
        status = client.status()
        assert status.state is SessionState.UNKNOWN
        assert "state unknown, last commanded u0 = " in status.reason
        assert "aeqlab safe" in status.reason
        with pytest.raises(FrozenError, match="last commanded"):
            client.present(np.zeros((1, len(client.info.inputs))))
        if take_the_offer:
            assert client.make_safe("offered, and taken").safe
            client.continue_()
            train(client, 1)
    assert bool(lost_sessions()) is not take_the_offer  # where nobody looked, it stays lost


@pytest.mark.parametrize(
    ("whom", "number"),
    [
        ("session", signal.SIGINT),
        ("guardian", signal.SIGTERM),
        pytest.param("session", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("guardian", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_polite_signal_ends_all_cleanly(tmp_path: Path, whom: str, number: signal.Signals) -> None:
    folder = tmp_path / "session"
    client = start_session(session_file(), folder)
    client.present(np.zeros((1, len(client.info.inputs))))
    client.nudge(np.zeros((1, 1)), 0.1)
    client.advance()
    at = strike(session_of(folder).pid if whom == "session" else session_of(folder).guardian, number)
    client.on_close = None
    eventually(lambda: not processes_of(folder))
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    client.close()
    assert lines(folder / "events.jsonl")[-1]["kind"] == "end"
    assert "frozen" in lines(folder / "events.jsonl")[-1]["text"]
    assert not (folder / "guardian.jsonl").exists()
    assert not nudge_on_at(journal_of(folder), journal_of(folder).happened("freeze", at)[0].wall_ns)
    assert not [s for s in find_sessions() if Path(s.folder) == folder]
    assert not [lost for lost in lost_sessions() if lost.folder == folder]
    assert holder_of(SessionFile.read(folder).address) is None


def test_a_second_session_is_refused_by_the_name_of_the_holder(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    with start_session(session_file(with_client=True), folder):
        pid = session_of(folder).pid
        with pytest.raises(SessionError, match=f"process {pid}, since .*Attach to that session"):
            start_session(session_file(with_client=True, plant=SessionFile.read(folder).plant), tmp_path / "other")
        loaded = [library.path for library in psutil.Process(pid).memory_maps()]
        assert not [path for path in loaded if {"torch", "PySide6", "shiboken6"} & set(Path(path).parts)]
    eventually(lambda: not processes_of(folder))


def test_a_device_that_cannot_be_built_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    device = DEVICE.model_copy(update={"energy": "missing.py:Energy"})
    with pytest.raises(SessionError, match=r"missing\.py"):
        start_session(session_file(with_client=True).changed(device=device), tmp_path / "session")
    assert not processes_of(tmp_path / "session")
