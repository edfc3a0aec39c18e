"""What a session looks at after every tick: interlocks of its device, and what the device tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aeqlab.backends.device import Flag, Readout
from aeqlab.protocols.errors import FrozenError

if TYPE_CHECKING:
    from aeqlab.protocols.session import Session

LOST_READS = 3  #: readings in a row that were lost or stale before that is an alarm


class Watched:
    """A device that tells what is read, and what stops it.

    Args:
        device: with the ability Monitored.
        session: its owner, which freezes and makes safe, and keeps the alarms.
    """

    def __init__(self, device: Any, session: Session) -> None:
        self._device, self._session = device, session
        self.guards = device.guards()
        self._heard: Readout | None = None  # the last reading that was looked at: a loop looks before it reads anew
        self._unread = 0
        self._busy = False

    def tripped(self) -> str:
        """Say which interlock that freezes or makes safe is tripped now; empty where none is, or nothing was read yet."""
        if self._device.newest is None:
            return ""
        readings = self._device.monitored()
        return next((why for one in self.guards if one.action != "warn" and (why := one.tripped(readings))), "")

    def look(self) -> None:
        """Look at everything once; called between two ticks, by the thread that owns the device.

        Raises:
            FrozenError: an interlock froze the device or made it safe.
        """
        if self._busy or self._device.newest is None:  # making safe reads too; and nothing was read before the first tick
            return
        self._busy = True
        try:
            self._hear()
            stopped = self._guard()
        finally:
            self._busy = False
        if stopped:
            raise FrozenError(f"{self._session.info.name} is {self._session.standing[0]}: {stopped}. Continue to go on.")

    def _hear(self) -> None:
        session = self._session
        for sentence in self._device.take_told():
            session.note("rig", sentence)
        newest: Readout = self._device.newest
        if newest is self._heard:
            return
        self._heard = newest
        flags = newest.flags
        lost = flags is not Flag.NONE and bool(flags & (Flag.LOST | Flag.STALE))
        self._unread = self._unread + 1 if lost else 0
        if self._unread >= LOST_READS:
            session.alarm("comms", f"{LOST_READS} readings in a row were lost or stale")
        elif not lost:
            session.clear_alarm("comms")
        if flags is not Flag.NONE and flags & Flag.SATURATED:
            session.alarm("saturated", "a source of the nudge is held back by a limit of its own, or a watchdog has bitten")
        else:
            session.clear_alarm("saturated")

    def _guard(self) -> str:
        """Carry out what is tripped; returns why the device stands still because of it now, empty where it does not."""
        if not self.guards:
            return ""
        readings = self._device.monitored()
        stopped = ""
        for one in self.guards:
            why = one.tripped(readings)
            kind = f"interlock {one.name}"
            if not why:
                self._session.clear_alarm(kind)
                continue
            self._session.alarm(kind, why)
            if one.action != "warn" and self._session.stands_still_for(one.action):
                continue
            if one.action != "warn":
                self._session.stop_for(why, one.action)
                stopped = stopped or why
        return stopped
