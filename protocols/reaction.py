"""How soon a device on the wall clock is stopped after what drives it fell silent; one exchange with it sets the pace.

A session cannot be heard while it waits for its device, so whoever watches it has to allow for the longest such wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aeqlab.backends.device import Clock, DeviceInfo
from aeqlab.protocols.passing import LOOK_S

#: So long may the owner of the device be busy without a sign of life, besides its exchange: on the wall clock, in virtual time.
OWNER_WALL_S, OWNER_VIRTUAL_S = 0.6, 60.0
#: A session is dead after this long without a dot to its guardian, in seconds.
DEADLINE_S = 1.0
#: How long the controlling client may be silent while the nudge is on, and otherwise, in seconds. The nudge must be off 0.2 s
#: after the client stopped, and between the two lie a tick, an exchange with the device, and what else the computer is busy with.
SILENCE_NUDGED_S, SILENCE_S = 0.13, 2.0
#: Between a silence that is long enough and whoever looks for it, at most, in seconds.
_LOOKED_S = 0.05


@dataclass(frozen=True, slots=True)
class Reaction:
    """Longest wall times, in s: exchange with the device, nudge off after a silent run, make safe begun after a hung session."""

    exchange_s: float
    nudge_off_s: float
    safe_s: float


def exchange_s(tick_s: float | None, dead_time_s: float, speed: float) -> float:
    """Compute how long an exchange keeps whoever waits for it, in s of the wall: a tick or a piece of a long time, and dead time.

    Args:
        tick_s: shortest exchange, in s of the device.
        dead_time_s: how old what it brings is by then, in s of the device.
        speed: seconds of the device per second on the wall.
    """
    return max((tick_s or 0.0) / speed, LOOK_S) + dead_time_s / speed


def owner_silence_s(info: DeviceInfo) -> float:
    """Say how long the owner of a device may be busy without a sign of life, in s of the wall."""
    if info.clock is not Clock.WALL:
        return OWNER_VIRTUAL_S
    dead = 0.0 if info.response is None else float(info.response.dead_time_s.max(initial=0.0))
    return OWNER_WALL_S + exchange_s(info.tick_s, dead, info.speed) + info.waits_s


def reaction_of(settings: Any) -> Reaction | None:
    """Say it for the settings of a device; None for one in virtual time, where nothing moves while nobody asks."""
    if not settings.served or getattr(settings, "clock", Clock.VIRTUAL) is not Clock.WALL:
        return None
    waits = exchange_s(settings.tick_s, settings.dead_time_s, settings.speed)
    return Reaction(waits, SILENCE_NUDGED_S + _LOOKED_S + waits, OWNER_WALL_S + waits + DEADLINE_S + _LOOKED_S)
