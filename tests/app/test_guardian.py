"""The guardian: what passes while it stands still itself is no silence; no full disk keeps it from making safe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aeqlab.app import guardian as guardian_module
from aeqlab.app.guardian import BEAT_S, DEADLINE_S, LATE_S, Guardian
from aeqlab.backends.device import Clock
from aeqlab.backends.plant_link import end_plant, start_plant
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import FoundSession
from aeqlab.protocols.lease import acquire, slug, state_folder
from aeqlab.protocols.lost import LastCommands, lost_session
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.verdict import guardian_verdict


class Bench:
    """A guardian between two pipes, whose time passes only where it waits."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        from_session, self.session = os.pipe()
        self.sink, to_session = os.pipe()
        self.guardian = Guardian(
            folder, os.fdopen(from_session, "rb", buffering=0), os.fdopen(to_session, "wb", buffering=0), lambda: None
        )
        self.guardian._heard = self.now
        self.looks = 0
        self.waits: Callable[[int], float] = lambda look: BEAT_S
        self.guardian._changed.wait = self._wait  # type: ignore[method-assign, assignment]

    def _wait(self, seconds: float) -> bool:
        self.looks += 1
        self.now += self.waits(self.looks)
        return False


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path)
    monkeypatch.setattr(guardian_module.time, "monotonic", lambda: made.now)
    yield made
    os.close(made.session)
    os.close(made.sink)


def test_a_guardian_that_was_stopped_itself_looks_again_before_it_ends_a_session(bench: Bench) -> None:
    def waits(look: int) -> float:
        if look == 2:
            return 5.0  # it was stopped, with the session's dots in the pipe
        if look == 3:
            bench.guardian._bye = True  # what it finds there as soon as it looks
        return BEAT_S

    bench.waits = waits
    assert bench.guardian.watch()


@pytest.mark.parametrize("pause_s", [BEAT_S, BEAT_S + LATE_S + 0.2, 5.0])
def test_a_session_that_says_nothing_is_dead_however_slowly_it_is_looked_at(bench: Bench, pause_s: float) -> None:
    bench.waits = lambda look: pause_s
    assert not bench.guardian.watch()
    assert bench.looks <= DEADLINE_S / BEAT_S + 1
    assert bench.now - 1000.0 > DEADLINE_S


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionFile]:
    """Emulated hardware that goes on after its session died, and the session's files; the folder is `tmp_path`."""
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    settings = SlowSettings(energy="linear", options={"frequencies": 3}, clock=Clock.VIRTUAL)
    start_plant(settings, seed=1, base=tmp_path, folder=tmp_path / "plant")
    file = SessionFile(device=settings, seed=1, plant=tmp_path / "plant", address="a bench")
    file.write(tmp_path)
    LastCommands(file.address, "bench", ("u0",), "V", tmp_path).note("nudged", 0.2, np.ones(7))
    FoundSession(file.address, "bench", "bench", os.getpid(), str(tmp_path), 1, "00").write()
    yield file
    end_plant(tmp_path / "plant")


@pytest.fixture
def guardian(tmp_path: Path) -> Iterator[Guardian]:
    """A guardian of the session of that hardware, which is gone."""
    from_session, session = os.pipe()
    nobody, to_session = os.pipe()
    yield Guardian(tmp_path, os.fdopen(from_session, "rb", buffering=0), os.fdopen(to_session, "wb", buffering=0), lambda: None)
    os.close(session)
    os.close(nobody)


def test_a_session_that_was_killed_may_take_its_time_to_be_gone(
    guardian: Guardian, plant: SessionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = acquire(plant.address, str(guardian.folder))
    gone = threading.Timer(3.0, dying.release)  # a killed process lets go of all when it comes to run once more
    gone.start()
    assert guardian.make_safe()
    gone.join()
    said = (guardian.folder / "guardian.jsonl").read_text(encoding="utf-8")
    assert "which was killed, has not gone yet" in said
    # whoever else holds it by now is the one to ask, and is not waited for
    monkeypatch.setattr(guardian_module, "GOING_S", 1e9)
    other = acquire(plant.address, str(guardian.folder / "another"))
    assert not guardian.make_safe()
    other.release()
    verdict = guardian_verdict(guardian.folder)
    assert verdict is not None
    assert "belongs to another" in verdict.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("full", ["no", "yes", "no lock can be opened"])
def test_no_file_that_cannot_be_written_keeps_it_from_making_safe(guardian: Guardian, plant: SessionFile, full: str) -> None:
    name = slug(plant.address)
    if full == "yes":
        for written in (f"{name}.holder-{os.getpid()}", f".{name}.last.{os.getpid()}.part"):
            (state_folder() / written).symlink_to("/dev/full")
    elif full != "no":
        (state_folder() / f"{name}.lock").mkdir()
    assert guardian.make_safe()
    verdict = guardian_verdict(guardian.folder)
    assert verdict is not None
    assert verdict.safe
    assert verdict.text == "the device is SAFE"
    assert len(verdict.lines) == 8
    assert lost_session(plant.address) is None
    assert not (state_folder() / f"{name}.session").exists()  # nobody answers at that port any more


def test_a_state_folder_that_is_gone_keeps_the_guardian_from_nothing(
    guardian: Guardian, plant: SessionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    (guardian.folder / "file").write_text("")
    monkeypatch.setenv("AEQLAB_STATE", str(guardian.folder / "file" / "state"))
    assert guardian.make_safe()
    verdict = guardian_verdict(guardian.folder)
    assert verdict is not None
    assert verdict.safe
    said = (guardian.folder / "guardian.jsonl").read_text(encoding="utf-8")
    assert "goes on telling of a lost session" in said
    assert "made safe without it" in said
