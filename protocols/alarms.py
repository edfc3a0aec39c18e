"""Alarms: they latch, bear the time, hang under their first cause, and are acknowledged by name.

An alarm is raised by a kind and a sentence. The same kind raised again counts up and changes nothing else, so one cause makes one
alarm. What comes within a few seconds of the first that nobody has acknowledged hangs under it: a cable that is pulled makes a
row of complaints, and the first one tells of the cable. Acknowledging says who has seen it; one whose cause is still there stays.
"""

from __future__ import annotations

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

    @property
    def over(self) -> bool:
        """Whether nobody has to look at it any more."""
        return not self.active and bool(self.by)


class Alarms:
    """The alarms of one session, oldest first."""

    def __init__(self) -> None:
        self._alarms: dict[int, Alarm] = {}
        self._next = 1

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
        for alarm in reversed(self.all()):
            if alarm.kind == kind and not alarm.over:
                if alarm.active:
                    self._alarms[alarm.number] = replace(alarm, text=text, times=alarm.times + 1)
                    return None
                if not alarm.by:  # it came back before anybody saw it
                    self._alarms[alarm.number] = replace(alarm, text=text, times=alarm.times + 1, active=True)
                    return None
        first = next((one for one in self.all() if not one.cause and one.active and not one.by), None)
        cause = first.number if first is not None and now - first.t <= TOGETHER_S else 0
        made = Alarm(self._next, now, kind, text, cause)
        self._alarms[made.number] = made
        self._next += 1
        self._tidy()
        return made

    def clear(self, kind: str) -> Alarm | None:
        """Note that what a kind of alarm is about is over; returns the alarm, None where there was none."""
        for alarm in reversed(self.all()):
            if alarm.kind == kind and alarm.active:
                done = self._alarms[alarm.number] = replace(alarm, active=False)
                return done
        return None

    def acknowledge(self, by: str, number: int | None = None, now: float | None = None) -> list[Alarm]:
        """Acknowledge one alarm with what hangs under it, or all; returns those that were not before.

        Raises:
            KeyError: there is no such alarm.
        """
        if number is not None and number not in self._alarms:
            raise KeyError(number)
        now = time.time() if now is None else now
        done = []
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

    def _tidy(self) -> None:
        while len(self._alarms) > MOST:
            oldest = next((number for number, alarm in self._alarms.items() if alarm.over), next(iter(self._alarms)))
            del self._alarms[oldest]
