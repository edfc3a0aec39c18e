"""A device that a person froze or made safe stays so beyond the session it was asked of, until someone continues it.

One small file per address in the state folder, written by the session as soon as it stands for a person and removed as soon as
somebody continues; the next session of that address stands for the same.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.lease import holder_of, slug, state_folder
from aeqlab.protocols.status import SessionState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeftStanding:
    """A device that stands because a person asked for it: FROZEN or SAFE, by whom, why, since when (seconds since 1970)."""

    address: str
    device: str
    state: SessionState
    by: str
    reason: str
    t: float

    def sentence(self) -> str:
        """Say it for a person."""
        since = datetime.fromtimestamp(self.t).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"{self.device} at {self.address}: {self.state} since {since}, by {self.by}: {self.reason}."


class Stands:
    """The file of one address, kept up to date by the session that owns it."""

    def __init__(self, address: str, device: str) -> None:
        self._address, self._device = address, device
        self._path = _path(address)
        found = left_standing(address)
        self._said = None if found is None else (found.state, found.by, found.reason)

    def note(self, said: tuple[SessionState, str, str] | None) -> None:
        """Write down state, person and reason where they changed; None where it stands for nobody.

        A disk that is full costs this and nothing else: the device stands as long as its session lives.
        """
        if said == self._said:
            return
        self._said = said
        try:
            if said is None:
                self._path.unlink(missing_ok=True)
                return
            state, by, reason = said
            tree = {"address": self._address, "device": self._device, "state": str(state), "by": by, "reason": reason}
            write_whole(self._path, pack({**tree, "t": time.time()}))
        except OSError as exc:
            log.warning("%s cannot be written, so the next session will not know that the device stands: %s", self._path, exc)


def left_standing(address: str) -> LeftStanding | None:
    """Get for what person a device stands, as its last session wrote down; None for nobody."""
    return _read(_path(address))


def all_left_standing() -> list[LeftStanding]:
    """List the devices of this user that stand for a person and have no session now."""
    found = (_read(path) for path in sorted(state_folder().glob("*.stands")))
    return [one for one in found if one is not None and holder_of(one.address) is None]


def stands_no_more(address: str) -> None:
    """Let the next session of an address move its device again: someone continued it."""
    with contextlib.suppress(FileNotFoundError):
        _path(address).unlink()


def _path(address: str) -> Path:
    return state_folder() / f"{slug(address)}.stands"


def _read(path: Path) -> LeftStanding | None:
    try:
        tree = unpack(path.read_bytes())
        return LeftStanding(
            str(tree["address"]), str(tree["device"]), SessionState(tree["state"]), str(tree["by"]), str(tree["reason"]),
            float(tree["t"]),
        )  # fmt: skip
    except (OSError, WireError, KeyError, TypeError, ValueError):
        return None
