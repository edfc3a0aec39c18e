"""The worker dies or stops at random moments: by the hardware's own journal the nudge is off within 0.2 s, and it is frozen."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from fault_bench import (
    SEED,
    eventually,
    journal_of,
    nudge_on_at,
    processes_of,
    session_file,
    start_worker,
    strike,
    wait_a_random_while,
)

from aeqlab.protocols.client import SessionClient, start_session
from aeqlab.protocols.status import SessionState

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
WITHIN_NS = 200_000_000


@pytest.fixture(scope="module")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionClient]:
    """Start a session that outlives workers, and watch it."""
    folder = tmp_path_factory.mktemp("bench") / "session"
    client = start_session(session_file(with_client=True), folder, who="watcher")
    client.give_control()
    yield client
    client.close()
    eventually(lambda: not processes_of(folder))


@pytest.mark.parametrize("moments", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["kill", "stop"])
@pytest.mark.timeout(900)
def test_the_nudge_is_off_within_a_fifth_of_a_second(watcher: SessionClient, number: signal.Signals, moments: int) -> None:
    assert watcher.folder is not None
    rng = np.random.default_rng([SEED, number])
    met = late = 0
    while met < moments:
        worker = start_worker(watcher.folder)
        try:
            wait_a_random_while(rng)
            at = strike(worker.pid, number)
            status = eventually(lambda: (s := watcher.status()).state is SessionState.FROZEN and s)
            assert "worker" in status.reason
            assert status.beta == 0.0
            journal = journal_of(watcher.folder)
            assert journal.happened("freeze", at)
            if nudge_on_at(journal, at + WITHIN_NS):
                late += 1  # the computer itself may stand still for a moment, but not each time
            else:
                met += 1
            assert late <= 1, f"{late} times later than {WITHIN_NS / 1e9:g} s, {met} times in time"
        finally:
            worker.kill()
            worker.wait()
        eventually(lambda: watcher.status().control == "")


def test_a_worker_that_was_only_late_goes_on_by_itself(watcher: SessionClient) -> None:
    assert watcher.folder is not None
    worker = start_worker(watcher.folder)
    try:
        strike(worker.pid, signal.SIGSTOP)
        eventually(lambda: watcher.status().state is SessionState.FROZEN)
        strike(worker.pid, signal.SIGCONT)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "late\n"
        eventually(lambda: watcher.status().state is SessionState.NUDGED)
    finally:
        worker.kill()
        worker.wait()
    eventually(lambda: watcher.status().state is SessionState.FROZEN)
