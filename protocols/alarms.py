"""Alarms: they latch, bear the time, hang under their first cause, and are acknowledged by name.

An alarm is raised by a kind and a sentence. The same kind raised again counts up and changes nothing else, so one cause makes one
alarm. What comes within a few seconds of a first cause hangs under it: a cable that is pulled makes a row of complaints, and the
first one tells of the cable, also where it was over at once. Acknowledging says who has seen it; it stays while its cause does.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

TOGETHER_S = 5.0  #: what is raised so soon after a first cause is taken for a consequence
MOST = 500  #: older ones that are over and acknowledged are let go


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm.

    Attributes:
        number: by which it is named.
        t: when it was first raised, in s since 1970.
        kind: a word or two, such as `hold lost`, `comms`, `interlock temperature`.
        text: what happened, when it was raised last.
        cause: number of the alarm that it hangs under; 0: it is a first cause itself.
        times: how often it was raised.
        active: what it is about is still there.
        by, at: who acknowledged it, and when; empty and 0: nobody has.
        since: when it began last, in s since 1970: later than `t` where it was over and came back before anybody saw it.
    """

    number: int
    t: float
    kind: str
    text: str
    cause: int = 0
    times: int = 1
    active: bool = True
    by: str = ""
    at: float = 0.0
    since: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nobody has to look at it any more."""
        return not self.active and bool(self.by)


class Alarms:
    """The alarms of one session, oldest first. Whoever acknowledges may do so from another thread."""

    def __init__(self) -> None:
        self._alarms: dict[int, Alarm] = {}
        self._by_kind: dict[str, int] = {}  # the newest of each kind: what is looked at every tick
        self._next = 1
        self._lock = threading.Lock()

    def all(self) -> list[Alarm]:
        """Get every alarm that is kept."""
        return list(self._alarms.values())

    @property
    def open(self) -> list[Alarm]:
        """Get those that are active or that nobody has acknowledged."""
        return [alarm for alarm in self.all() if not alarm.over]

    def raise_(self, kind: str, text: str, now: float | None = None) -> Alarm | None:
        """Raise an alarm; returns it if it is a new one, None where it was there already."""
        now = time.time() if now is None else now
        with self._lock:
            there = self._newest(kind)
            if there is not None and not there.over:  # it is still there, or came back before anybody saw it
                since = there.since if there.active else now
                self._alarms[there.number] = replace(there, text=text, times=there.times + 1, active=True, since=since)
                return None
            first = max((one for one in self.all() if not one.cause), key=lambda one: one.since, default=None)
            cause = first.number if first is not None and 0.0 <= now - first.since <= TOGETHER_S else 0
            made = Alarm(self._next, now, kind, text, cause, since=now)
            self._alarms[made.number] = made
            self._by_kind[kind] = made.number
            self._next += 1
            self._tidy()
            return made

    def clear(self, kind: str) -> Alarm | None:
        """Note that what a kind of alarm is about is over; returns the alarm, None where there was none, or that was told before.

        A reading that hovers about a limit comes and goes with every tick: that it is over is told once.
        """
        if kind not in self._by_kind:  # asked at every tick
            return None
        with self._lock:
            there = self._newest(kind)
            if there is None or not there.active:
                return None
            done = self._alarms[there.number] = replace(there, active=False)
            return done if there.since == there.t else None

    def acknowledge(self, by: str, number: int | None = None, now: float | None = None) -> list[Alarm]:
        """Acknowledge one alarm with what hangs under it, or all; returns those that were not before.

        Raises:
            KeyError: there is no such alarm.
        """
        now = time.time() if now is None else now
        done = []
        with self._lock:
            if number is not None and number not in self._alarms:
                raise KeyError(number)
            for alarm in self.all():
                if not alarm.by and number in (None, alarm.number, alarm.cause):
                    self._alarms[alarm.number] = replace(alarm, by=by, at=now)
                    done.append(self._alarms[alarm.number])
        return done

    def sentence(self) -> str:
        """Say how many there are and what the first cause was; empty where there are none."""
        waiting = [alarm for alarm in self.open if not alarm.by] or self.open
        if not waiting:
            return ""
        first = next((alarm for alarm in waiting if not alarm.cause), waiting[0])
        more = f", and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        return f"{first.kind}: {first.text}{more}"

    def _newest(self, kind: str) -> Alarm | None:
        return self._alarms.get(self._by_kind.get(kind, 0))

    def _tidy(self) -> None:
        while len(self._alarms) > MOST:
            oldest = next((number for number, alarm in self._alarms.items() if alarm.over), next(iter(self._alarms)))
            gone = self._alarms.pop(oldest)
            if self._by_kind.get(gone.kind) == oldest:
                del self._by_kind[gone.kind]
            for number, alarm in self._alarms.items():  # what hung under it stands for itself
                if alarm.cause == oldest:
                    self._alarms[number] = replace(alarm, cause=0)
