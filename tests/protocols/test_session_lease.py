"""Leases, and what a session leaves behind."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from session_helpers import KEY, served, simulated

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import DeviceLostError
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols import lease as lease_module
from aeqlab.protocols import lost as lost_module
from aeqlab.protocols.client import FoundSession, hung_sessions, make_lost_safe, start_session
from aeqlab.protocols.errors import NotAllowedError, SessionError
from aeqlab.protocols.lease import acquire, held_for_safety, holder_of, slug, state_folder
from aeqlab.protocols.lost import (
    LastCommands,
    forget,
    lost_session,
    lost_sessions,
    mark_ended,
    recover,
    seen_to,
    take_as_it_is,
)
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.tidying import tidy

HOLDER = """
import sys
from aeqlab.protocols.lease import acquire
lease = acquire(sys.argv[1], "/a/folder")
print("held", flush=True)
sys.stdin.read()
"""


def holder(address: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def looks(address: str) -> int:
    """Count how often somebody is told to hold a lease, of many looks."""
    return sum(holder_of(address) is not None for _ in range(200))


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))


def test_a_second_owner_is_refused_by_the_name_of_the_first_and_a_killed_one_leaves_nothing() -> None:
    process = holder("TCPIP::127.0.0.1::5025::SOCKET")
    with pytest.raises(NotAllowedError, match=rf"process {process.pid}, since 20\d\d.*folder /a/folder"):
        acquire("TCPIP::127.0.0.1::5025::SOCKET", "here")
    held = holder_of("TCPIP::127.0.0.1::5025::SOCKET")
    assert held is not None
    assert held.pid == process.pid
    process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    process.communicate()
    assert holder_of("TCPIP::127.0.0.1::5025::SOCKET") is None
    with acquire("TCPIP::127.0.0.1::5025::SOCKET", "here") as lease:
        assert lease.holder.folder == "here"
        with pytest.raises(NotAllowedError):
            acquire("TCPIP::127.0.0.1::5025::SOCKET", "there")
    assert holder_of("TCPIP::127.0.0.1::5025::SOCKET") is None


@pytest.mark.skipif(sys.platform == "win32", reason="whoever looks holds it for an instant there")
def test_many_may_look_at_once_who_holds_a_lease() -> None:
    process = holder("a bench")
    process.kill()  # its name stays
    process.communicate()
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(looks, ["a bench"] * 8)) == 0


def test_a_lease_leaves_no_file_and_a_lock_on_a_removed_one_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = acquire("a bench", "here")
    real = lease_module._lock

    def lock(file: IO[bytes]) -> bool:
        monkeypatch.setattr(lease_module, "_lock", real)
        first.release()  # between the opening of the file and its lock
        return real(file)

    monkeypatch.setattr(lease_module, "_lock", lock)
    with acquire("a bench", "there") as second:
        assert second.holder.folder == "there"
        with pytest.raises(NotAllowedError, match="folder there"):
            acquire("a bench", "elsewhere")
    assert list(state_folder().iterdir()) == []


def test_what_killed_sessions_left_is_tidied_unless_someone_must_see_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(address: str) -> set[str]:
        return {path.suffix for path in state_folder().glob(f"{slug(address)}.*")}

    for address in ("seen to", "never used", "lost", "alive"):
        process = holder(address)
        if address != "never used":
            leave_behind(address, tmp_path)
        if address != "alive":
            process.kill()
            process.communicate()
    mark_ended("seen to", "safe")
    tidy()
    assert left("never used") == set()
    assert left("lost") == {".last", ".holder"}
    assert left("alive") == {".last", ".holder", ".lock"}
    assert left("seen to") == {".last", ".holder"}  # `aeqlab safe` tells of it for a day
    assert [lost.address for lost in lost_sessions()] == ["lost"]
    day = lost_module.TOLD_S
    now = time.time()
    monkeypatch.setattr(lost_module.time, "time", lambda: now + day + 1.0)
    tidy()
    assert left("seen to") == set()
    assert left("lost") == {".last", ".holder"}
    process.kill()
    process.communicate()


def test_other_addresses_have_other_leases() -> None:
    with acquire("a:b", "x"), acquire("a-b", "x"), acquire("a/b", "x"):
        assert len({slug(address) for address in ("a:b", "a-b", "a/b", "a" * 500)}) == 4
    assert all(len(slug(address)) < 100 for address in ("", "a" * 500, "../../etc", "äöü"))


def test_a_state_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(NotAllowedError, match="Set AEQLAB_STATE"):
        state_folder()


def leave_behind(address: str, folder: Path, knobs: int = 6) -> LastCommands:
    last = LastCommands(address, "bench", tuple(f"u{k}" for k in range(knobs)), "V", folder)
    last.note("nudged", 0.2, np.linspace(0.0, 1.0, knobs))
    return last


def test_what_is_left_behind_says_what_was_last_commanded(tmp_path: Path) -> None:
    last = leave_behind("a bench", tmp_path)
    [lost] = lost_sessions()
    assert lost.sentence().startswith(
        "bench: state unknown, last commanded u0 = 0 V, u1 = 0.2 V, u2 = 0.4 V, u3 = 0.6 V and 2 more (0 to 1)"
    )
    assert "nudge 0.2" in lost.sentence()
    with acquire("a bench", str(tmp_path)):  # someone sees to it
        assert lost_sessions() == []
        assert lost_session("a bench") is None
        assert lost_session("a bench", held=True) is not None
        with pytest.raises(NotAllowedError):
            forget("a bench")
    last.end()
    assert lost_sessions() == []


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: b"junk", lambda whole: whole[:-3], lambda whole: whole[:20]])
def test_a_damaged_file_is_a_lost_session_whose_last_commands_are_unknown(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    leave_behind("a bench", tmp_path)
    [path] = state_folder().glob("*.last")
    path.write_bytes(damage(path.read_bytes()))
    for found in (lost_sessions(), [lost_session("a bench", held=True)]):
        [lost] = found
        assert lost is not None
        assert lost.damaged
        assert "state unknown, last commands unknown" in lost.sentence()
    with pytest.raises(SessionError, match=rf"names no session file.*delete {re.escape(str(path))}"):
        make_lost_safe(lost_sessions()[0])
    mark_ended("a bench", "safe")  # as `aeqlab safe` does, or a session on that device
    assert lost_sessions() == []


@pytest.mark.parametrize("wrong", [{"u": "no numbers"}, {"t": None}, {"names": 3}, {"ended": "perhaps"}], ids=str)
def test_a_file_of_another_form_is_damaged_too(tmp_path: Path, wrong: dict[str, Any]) -> None:
    leave_behind("a bench", tmp_path)
    [path] = state_folder().glob("*.last")
    path.write_bytes(pack({**unpack(path.read_bytes()), **wrong}))
    [lost] = lost_sessions()
    assert "state unknown" in lost.sentence()


def test_damage_of_a_killed_session_is_known_by_its_lease(tmp_path: Path) -> None:
    process = holder("a bench")
    leave_behind("a bench", tmp_path)
    [path] = state_folder().glob("*.last")
    path.write_bytes(b"")
    assert lost_sessions() == []  # it lives
    process.kill()
    process.communicate()
    [lost] = lost_sessions()
    assert (lost.address, lost.folder, lost.pid) == ("a bench", Path("/a/folder"), process.pid)


def test_what_stands_is_on_the_disk_and_a_loop_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(lost_module.time, "monotonic", lambda: now)
    synced: list[bool] = []
    monkeypatch.setattr(LastCommands, "_put", lambda self, tree, sync: synced.append(sync))
    last = LastCommands("a bench", "bench", ("u0",), "V", tmp_path)
    for state in ("idle", "holding", "nudged", "holding", "frozen", "frozen", "idle", "holding"):
        now += 1.0
        last.note(state, 0.0, np.zeros(1))
    assert synced == [True, False, False, False, True, False, True, False]


def test_the_file_is_written_at_a_bounded_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(lost_module.time, "monotonic", lambda: now)
    last = LastCommands("a bench", "bench", ("u0",), "V", tmp_path)
    written: list[float] = []
    monkeypatch.setattr(last, "_put", lambda tree, sync: written.append(now))
    for _ in range(1000):
        now += 0.001
        last.note("holding", 0.0, np.zeros(1))
    assert 4 <= len(written) <= 6
    written.clear()
    now += 0.03
    last.note("nudged", 0.1, np.zeros(1))
    assert written == [now]


def test_recover_makes_safe_and_marks_it_only_if_all_was_confirmed(tmp_path: Path) -> None:
    settings = SlowSettings(energy="linear", options={"frequencies": 3}, clock=Clock.VIRTUAL)
    leave_behind("a bench", tmp_path)

    def gone() -> object:
        raise DeviceLostError("nothing answers")

    with pytest.raises(DeviceLostError):
        recover("a bench", gone)  # type: ignore[arg-type]
    assert lost_session("a bench") is not None
    report = recover("a bench", lambda: settings.open(seed=1, base=tmp_path))
    assert report.safe
    assert lost_session("a bench") is None
    assert holder_of("a bench") is None


FULL = Path("/dev/full")  # whatever is written to it finds the disk full


def fill(name: str) -> None:
    """Let a file of the state folder be one that cannot be written, because the disk is full."""
    (state_folder() / name).symlink_to(FULL)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_lease_is_held_without_a_name_where_the_disk_is_full_and_safety_asks_for_it() -> None:
    name = f"{slug('a bench')}.holder-{os.getpid()}"
    fill(name)
    with pytest.raises(OSError, match="No space left"):
        acquire("a bench", "here")
    assert holder_of("a bench") is None  # and nobody is locked out by the attempt
    fill(name)
    with held_for_safety("a bench", "here", "recovery", 0.1) as why:
        assert why == ""
        with pytest.raises(NotAllowedError, match="belongs to another"):
            acquire("a bench", "there")
    assert holder_of("a bench") is None


def test_a_lock_that_cannot_be_opened_keeps_nobody_from_making_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state_folder() / f"{slug('a bench')}.lock").mkdir()
    with held_for_safety("a bench", "here", "recovery", 0.1) as why:
        assert "a-bench" in why
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "file" / "state"))
    with held_for_safety("a bench", "here", "recovery", 0.1) as why:
        assert "cannot be made" in why


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("no_room_at_all", [False, True])
def test_what_was_made_safe_on_a_full_disk_is_lost_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_room_at_all: bool
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    settings = SlowSettings(energy="linear", options={"frequencies": 3}, clock=Clock.VIRTUAL)
    leave_behind("a bench", tmp_path, 600)
    [path] = state_folder().glob("*.last")
    path.with_suffix(".session").write_text("port and key", encoding="utf-8")
    fill(f".{path.name}.{os.getpid()}.part")
    if no_room_at_all:
        monkeypatch.setattr(lost_module, "_overwrite", refuse)
    assert [lost.address for lost in lost_sessions()] == ["a bench"]
    assert recover("a bench", lambda: settings.open(seed=1, base=tmp_path)).safe
    assert lost_sessions() == []
    assert [(one.address, one.device) for one in seen_to()] == ([] if no_room_at_all else [("a bench", "bench")])
    assert not path.with_suffix(".session").exists()


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_who_takes_a_device_as_it_is_hears_that_it_cannot_be_written_down(tmp_path: Path) -> None:
    leave_behind("a bench", tmp_path)
    [lost] = lost_sessions()
    [path] = state_folder().glob("*.last")
    fill(f".{path.name}.{os.getpid()}.part")
    with pytest.raises(SessionError, match=rf"{re.escape(str(path))} cannot be written: No space left.*Make room"):
        take_as_it_is(lost, "ada")
    path.with_suffix(".session").write_text("port and key", encoding="utf-8")
    assert take_as_it_is(lost, "ada").taken
    assert not path.with_suffix(".session").exists()


def test_a_session_that_refuses_is_not_hung(tmp_path: Path) -> None:
    with served(simulated()) as server:
        for key in (KEY, b"another"):
            found = FoundSession("a device", "rig", "rig", os.getpid(), str(tmp_path), server.port, key.hex())
            assert hung_sessions([found]) == []


def test_a_killed_session_is_not_taken_for_the_one_that_starts_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    FoundSession("a bench", "rig", "rig", dead.pid, str(folder), 9, "00").write()
    lock = state_folder() / f"{slug('a bench')}.lock"
    left = {"address": "a bench", "pid": dead.pid, "user": "me", "since": 0.0, "folder": str(folder)}
    lock.with_suffix(".holder").write_text(json.dumps(left), encoding="utf-8")
    real, file = subprocess.Popen, lock.open("ab")

    def popen(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        assert lease_module._lock(file)  # the lock is the next owner's, the name still that of the dead one
        return real(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    session = SessionFile(device=SimulatedSettings(energy="linear", options={"frequencies": 3}), seed=1, address="a bench")
    with file, pytest.raises(SessionError, match="a bench belongs to another"):
        start_session(session, folder)
