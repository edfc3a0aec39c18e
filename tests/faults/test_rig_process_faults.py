"""A rig behind its session, on a bench on the wall clock: its worker, its session and the bench itself die, one at a time.

By the bench's journal the nudge is off within 0.2 s after the loss of a worker; after that of the session, killed or stopped, the
ramp to rest begins within 2 s and is over after distance by slew. A bench that is gone is told instrument by instrument in 2 s.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fault_bench import eventually, lines, processes_of, strike

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import settings_of, tree_for

from aeqlab.backends.bench_judge import judge
from aeqlab.backends.bench_link import BenchLink, start_bench
from aeqlab.backends.errors import BackendError
from aeqlab.backends.journal import Journal, read_journal
from aeqlab.backends.kinds import RigSettings
from aeqlab.protocols.client import SessionClient, attach, find_sessions, start_session
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings, Ticks
from aeqlab.protocols.identify import Identifying
from aeqlab.protocols.lost import forget
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.status import SessionState

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"), pytest.mark.timeout(300)]
SIGNALS = pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGKILL, id="kill"), pytest.param(signal.SIGSTOP, id="stop", marks=pytest.mark.slow)]
)
SLEW_V_PER_S = 1.0
KNOBS = 3
WORKER = """
import sys
from pathlib import Path
import numpy as np
from aeqlab.protocols.aeqprop import train_step
from aeqlab.protocols.client import attach, find_sessions
client = attach(next(s for s in find_sessions() if Path(s.folder) == Path(sys.argv[1])), name="worker")
rng = np.random.default_rng(3)
theta = np.full(3, 0.4)
def step():
    x, y = rng.uniform(-1, 1, (1, 1)), rng.uniform(-1, 1, (1, 1))
    train_step(client, x, y, theta=theta, pair=(-0.2, 0.2), free_phase=False)
step()
print("training", flush=True)
while True:
    step()
"""


@dataclass
class Set:
    """A bench, and a session of the rig on it."""

    link: BenchLink
    client: SessionClient
    folder: Path
    bench: Path

    def journal(self) -> Journal:
        return read_journal(self.bench / "journal")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Set]:
    """Start a bench on the wall clock and a session on it, identified."""
    bench, folder = tmp_path / "bench", tmp_path / "session"
    link = start_bench(settings_of(frequencies=1, clock="wall"), bench, tmp_path, linger_s=None)
    tree = tree_for(link.addresses, KNOBS, tick_s=0.12, bench=link.address)
    tree["controls"]["slew_V_per_s"] = SLEW_V_PER_S
    device = RigSettings.model_validate({"rig": tree})
    file = SessionFile(
        device=device,
        address=device.lease_address,
        homeostasis=HomeostasisSettings(controller="quasi-static", accept=Ticks(ticks=3)),
        settling=SettlingSettings(accept=Ticks(ticks=4)),
    )
    client = start_session(file, folder, who="watcher")
    try:
        found = Identifying(client, fingerprint=client.device_call("fingerprint")).run()
        assert found.faults == ()
        client.device_call("take_identification", found.made.tree())
        yield Set(link, client, folder, bench)
    finally:
        for pid in processes_of(tmp_path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for found in find_sessions():
            if Path(found.folder) == folder.resolve():
                with suppress(ProtocolError, BackendError):
                    attach(found, name="the end of the test", control=False).end_session("the test is over", "safe")
        link.stop()
        for pid in processes_of(tmp_path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ProtocolError, BackendError):
            client.close()
        forget(device.lease_address)  # nothing of it is left for other tests to find


def currents_after(journal: Journal, wall_ns: int) -> bool:
    """Tell whether a current was on at a wall time, or at any time after it."""
    rows, values = journal.currents.wall_ns, np.abs(journal.currents.values).max(axis=1)
    standing = int(np.searchsorted(rows, wall_ns, side="right")) - 1
    return bool((values[max(standing, 0) :] != 0.0).any())


@pytest.mark.slow
@SIGNALS
def test_after_the_loss_of_a_worker_the_nudge_is_off_within_a_fifth_of_a_second(rig: Set, number: signal.Signals) -> None:
    rig.client.give_control()
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(rig.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "training\n"
        eventually(lambda: any(rig.link.state()["i"]))
        at = strike(worker.pid, number)
        status = eventually(lambda: (s := rig.client.status()).state is SessionState.FROZEN and s)
        assert "worker" in status.reason
        time.sleep(0.3)
        assert not currents_after(rig.journal(), at + 200_000_000)
    finally:
        worker.kill()
        worker.wait()


@SIGNALS
def test_after_the_loss_of_the_session_the_guardian_ramps_to_rest(rig: Set, number: signal.Signals) -> None:
    rig.client.present(np.zeros((1, 1)))
    rig.client.set_controls(np.full(KNOBS, 0.5))
    rig.client.nudge(np.ones((1, 1)), 0.2)
    rig.client.advance(1.0)
    assert np.allclose(rig.link.state()["u"], 0.5, atol=0.02)
    session = next(s for s in find_sessions() if Path(s.folder) == rig.folder.resolve())
    at = strike(session.pid, number)
    eventually(lambda: any(line["kind"] in ("safe", "failed") for line in lines(rig.folder / "guardian.jsonl")))
    said = lines(rig.folder / "guardian.jsonl")
    assert said[-1]["kind"] == "safe", said
    journal = rig.journal()
    began = journal.applied.wall_ns[journal.applied.wall_ns > at][0]
    assert began - at < 2_000_000_000
    ended = journal.applied.wall_ns[-1]
    assert ended - began < 1e9 * (0.5 / SLEW_V_PER_S + 0.5)
    assert not currents_after(journal, at + 2_500_000_000)
    assert judge(rig.bench / "journal", limit_V=1.5, slew_V_per_s=SLEW_V_PER_S).wrong == ()


@pytest.mark.slow
def test_a_bench_that_is_gone_is_told_instrument_by_instrument(rig: Set) -> None:
    rig.client.present(np.zeros((1, 1)))
    rig.client.advance(0.3)
    pid = json.loads((rig.bench / "served.json").read_text(encoding="utf-8"))["pid"]
    os.kill(pid, signal.SIGKILL)
    at = time.monotonic()
    told: set[str] = set()
    while time.monotonic() - at < 2.0 and len(told) < 3:
        events = lines(rig.folder / "events.jsonl")
        told = {
            name
            for name in ("dac", "adc", "smu")
            for event in events
            if event["text"].startswith(f"{name} at") and "unknown" in event["text"]
        }
        time.sleep(0.02)
    assert told == {"dac", "adc", "smu"}
    with attach(next(s for s in find_sessions() if Path(s.folder) == rig.folder.resolve()), name="a look", control=False) as look:
        eventually(lambda: any(alarm.kind == "comms" for alarm in look.alarms()))
