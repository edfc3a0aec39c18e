"""What a session leaves behind: the last commanded knobs, so that the next start after a double death can say what it finds.

While it runs, a session keeps one small file per address, written beside and renamed. A session that ends cleanly removes it,
and a guardian that made the device safe marks it as ended; one that is not marked and whose lease is free tells of a death that
nobody saw to: the state of the device is unknown. So does one that cannot be read.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Device, SafetyReport
from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import NotAllowedError, SessionError
from aeqlab.protocols.lease import held_for_safety, holder_of, last_holder, slug, state_folder
from aeqlab.protocols.left_standing import stands_no_more
from aeqlab.protocols.status import STANDING

Array = NDArray[Any]
#: Shortest time between two writes of the file: while a loop moves the knobs, and when the state or the nudge changed.
EVERY_S, CHANGED_S = 0.2, 0.02
#: So long it is told that a device was made safe after its session died, in seconds.
TOLD_S = 86_400.0
#: So many knobs are told by name.
SHOWN = 4


@dataclass(frozen=True, slots=True)
class LostSession:
    """A session that ended without anyone bringing its device to a stated end.

    `t` is when it last wrote, in seconds since 1970; `u` the control knobs as last commanded, shape (controls,), in `unit`;
    `names` are those of the first few. `hung`: its process is still there, but does not answer. `damaged`: what it wrote cannot
    be read, so what it commanded is unknown; the address and the folder are those of its lease, where that is left. `taken` says
    who took the device as it is, and when; empty where nobody did.
    """

    address: str
    device: str
    pid: int
    t: float
    state: str
    beta: float
    u: Array | None
    names: tuple[str, ...]
    unit: str
    folder: Path
    hung: bool = False
    damaged: bool = False
    taken: str = ""

    def sentence(self) -> str:
        """Say it for a person: state unknown, last commanded, and what can be done."""
        when = _clock(self.t)
        todo = "Make it safe with `aeqlab safe`, or take it as it is with `aeqlab continue`."
        if self.hung:
            todo = "Make it safe with `aeqlab safe`, which ends that process first."
        elif self.taken:
            todo = f"Taken as it is by {self.taken}; `aeqlab safe` still makes it safe."
        if self.damaged:
            unread = f"last commands unknown: what its session wrote down at {when} cannot be read"
            return f"{self.device}: state unknown, {unread}. {todo}"
        now = "which is there but does not answer" if self.hung else "now gone"
        return (
            f"{self.device}: state unknown, last commanded {self._knobs()}, nudge {self.beta:g}, {self.state} at {when} by "
            f"process {self.pid}, {now}. {todo}"
        )

    def _knobs(self) -> str:
        if self.u is None:
            return "no control knob"
        shown = ", ".join(f"{name} = {value:.6g} {self.unit}" for name, value in zip(self.names, self.u[:SHOWN], strict=False))
        return (
            shown
            if len(self.u) <= SHOWN
            else f"{shown} and {len(self.u) - SHOWN} more ({self.u.min():.4g} to {self.u.max():.4g})"
        )


@dataclass(frozen=True, slots=True)
class SeenTo:
    """A device whose session ended, and which was made safe by someone else afterwards: `by` whom, and when (since 1970)."""

    address: str
    device: str
    t: float
    by: str
    folder: Path

    def sentence(self) -> str:
        """Say it for a person."""
        since = f"already SAFE since {_clock(self.t)}, by {self.by}, after its session died"
        return f"{self.device} at {self.address}: {since}. Nobody owns it now."


class LastCommands:
    """The file of one address, kept up to date by the session that owns it."""

    def __init__(self, address: str, device: str, names: Sequence[str], unit: str, folder: Path) -> None:
        self._path = _path(address)
        self._fixed: dict[str, Any] = {
            "address": address, "device": device, "names": list(names[:SHOWN]), "unit": unit, "folder": str(folder),
            "pid": os.getpid(),
        }  # fmt: skip
        self._written = -np.inf
        self._said: tuple[Any, ...] = ()

    def note(self, state: str, beta: float, u: Array | None, at_once: bool = False) -> None:
        """Write what was commanded, at once or if it is time to: 20 ms after the last write where the state or the nudge changed.

        Where the device comes to stand or begins to move it is synced; a loop does not wait for the disk.
        """
        at = time.monotonic()
        said = (state, beta)
        if not at_once and at - self._written < (EVERY_S if said == self._said else CHANGED_S):
            return
        stood = not self._said or self._said[0] in STANDING or state in STANDING
        sync = stood and said != self._said
        self._written, self._said = at, said
        self._put({**self._fixed, "t": time.time(), "state": state, "beta": beta, "u": u, "ended": False}, sync)

    def end(self) -> None:
        """Remove the file: the device was left in a state that was declared and reported, so nobody has to know more."""
        self._path.unlink(missing_ok=True)

    def _put(self, tree: dict[str, Any], sync: bool) -> None:
        if sync:
            write_whole(self._path, pack(tree))
            return
        new = self._path.with_suffix(f".last-{os.getpid()}")
        new.write_bytes(pack(tree))
        new.replace(self._path)


def last_commands(address: str) -> LostSession | None:
    """Get what the session of an address last commanded, whether it lives or not; None where it ended cleanly."""
    return _lost(_path(address), True, address)


def lost_session(address: str, held: bool = False) -> LostSession | None:
    """Get what the last session of an address left behind, if it was lost and nobody has seen to it since.

    Args:
        address: the device's.
        held: we hold the lease ourselves, so it does not tell of a living session.
    """
    return _lost(_path(address), held, address)


def lost_sessions() -> list[LostSession]:
    """List every lost session of this user, latest first."""
    found = (_lost(path) for path in sorted(state_folder().glob("*.last")))
    return sorted((lost for lost in found if lost is not None), key=lambda lost: -lost.t)


def recover(address: str, open_device: Callable[[], Device], wait_s: float = 0.5) -> SafetyReport:
    """Bring the device of a lost session to SAFE, and mark it as seen to if every line was confirmed.

    Args:
        address: the address of the lost session.
        open_device: opens the device again.
        wait_s: how long to wait for the lease.
    Returns:
        What was done, line by line. If it could not be written down, the address is still told as lost.
    Raises:
        NotAllowedError: a session owns the address; ask that session instead.
        BackendError: the device cannot be opened or does not answer; its state stays unknown.
    """
    with held_for_safety(address, "", "recovery", wait_s), open_device() as device:
        report = device.make_safe()
        if report.safe:
            with contextlib.suppress(OSError, NotAllowedError):  # it is safe all the same, and still told as lost
                mark_ended(address, "safe", by="`aeqlab safe`")
    return report


def mark_ended(address: str, state: str, by: str = "the guardian") -> None:
    """Mark what was left behind at an address as seen to; the port and the key of the session that is gone are removed.

    Where the disk has no room for another file, this one is written where it lies; as a last resort it is removed.

    Raises:
        OSError: none of it is possible, as on a disk that may only be read.
        NotAllowedError: there is no state folder.
    """
    path = _path(address)
    path.with_suffix(".session").unlink(missing_ok=True)
    if not path.exists():
        return
    tree = _tree(path) or {"address": address}
    kept = {name: tree[name] for name in ("address", "device", "folder", "pid") if name in tree}
    content = pack({**kept, "state": state, "beta": 0.0, "t": time.time(), "ended": True, "by": by})
    try:
        write_whole(path, content)
    except OSError:
        try:
            _overwrite(path, content)
        except OSError:
            path.unlink(missing_ok=True)


def is_over(path: Path) -> bool:
    """Tell whether a file left behind concerns nobody any more: its device was seen to, and that was told long enough."""
    tree = _tree(path)
    if tree is None or tree.get("ended") is not True:
        return False
    return tree.get("state") != "safe" or not tree.get("by") or time.time() - float(tree.get("t", 0.0)) > TOLD_S


def seen_to() -> list[SeenTo]:
    """List the devices of this user that were made safe after their session died and have had no owner since, latest first."""
    found = []
    for path in state_folder().glob("*.last"):
        tree = _tree(path) or {}
        if tree.get("ended") is True and tree.get("state") == "safe" and tree.get("by") and not last_holder(path)[1]:
            address = str(tree.get("address", path.stem))
            found.append(
                SeenTo(
                    address,
                    str(tree.get("device", address)),
                    float(tree["t"]),
                    str(tree["by"]),
                    Path(str(tree.get("folder", ""))),
                )
            )
    return sorted(found, key=lambda seen: -seen.t)


def take_as_it_is(lost: LostSession, who: str) -> LostSession:
    """Take the device of a lost session as it is: the next session on it says so and does not wait for anyone.

    Raises:
        NotAllowedError: its session is still there, or another owns the device.
        SessionError: it cannot be written down.
    """
    if lost.hung:
        raise NotAllowedError(f"{lost.sentence()} It cannot be taken as it is before.")
    path = left_behind(lost)
    taken = f"{who} at {_clock(time.time())}"
    with held_for_safety(lost.address, "", "recovery", 0.5):
        tree = _tree(path) or {"address": lost.address, "device": lost.device, "t": lost.t}
        try:
            write_whole(path, pack({**tree, "ended": False, "taken": taken}))
        except OSError as exc:
            raise SessionError(f"{path} cannot be written: {exc.strerror or exc}. Make room there, and continue again.") from exc
        with contextlib.suppress(OSError):
            stands_no_more(lost.address)
            path.with_suffix(".session").unlink(missing_ok=True)
    return replace(lost, taken=taken)


def forget(address: str) -> None:
    """Remove what was left behind at an address: the hardware itself is gone, as an emulated one may be.

    Raises:
        NotAllowedError: a session owns the address.
    """
    held = holder_of(address)
    if held is not None:
        raise NotAllowedError(f"{address} belongs to the {held.sentence()}. End it first.")
    _path(address).unlink(missing_ok=True)
    stands_no_more(address)


def left_behind(lost: LostSession) -> Path:
    """Get the file that tells of a lost session."""
    path = _path(lost.address)
    return path if path.exists() else state_folder() / f"{lost.address}.last"  # damaged, and its address is not known


def _clock(t: float) -> str:
    return datetime.fromtimestamp(t).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _path(address: str) -> Path:
    return state_folder() / f"{slug(address)}.last"


def _overwrite(path: Path, content: bytes) -> None:
    """Write a file in the room that it has."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _tree(path: Path) -> dict[str, Any] | None:
    try:
        tree = unpack(path.read_bytes())
    except (OSError, WireError):
        return None
    return tree if isinstance(tree, dict) else None


def _lost(path: Path, held: bool = False, address: str | None = None) -> LostSession | None:
    if not path.exists():
        return None
    tree = _tree(path)
    if tree is not None and tree.get("ended") is True:
        return None
    lost = (_told(tree) if tree is not None else None) or _untold(path, address)
    if lost is not None and tree is not None:
        lost = replace(lost, taken=str(tree.get("taken", "")))
    return lost if lost is not None and (held or not last_holder(path)[1]) else None


def _told(tree: dict[str, Any]) -> LostSession | None:
    try:
        u = tree["u"]
        return LostSession(
            str(tree["address"]), str(tree["device"]), int(tree["pid"]), float(tree["t"]), str(tree["state"]),
            float(tree["beta"]), None if u is None else np.asarray(u, dtype=np.float64).ravel(), tuple(map(str, tree["names"])),
            str(tree["unit"]), Path(tree["folder"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None


def _untold(path: Path, address: str | None) -> LostSession | None:
    """Say of a file that cannot be read what is known without it; None where it went away meanwhile."""
    try:
        t = path.stat().st_mtime
    except OSError:
        return None
    held, _ = last_holder(path)
    named = address or (held.address if held is not None else path.stem)
    folder = Path(held.folder) if held is not None else Path()
    return LostSession(named, named, held.pid if held is not None else 0, t, "unknown", 0.0, None, (), "", folder, damaged=True)
