"""Letting a long time pass in pieces, between which requests are looked at."""

from __future__ import annotations

from collections.abc import Callable

from aeqlab.backends.device import Clock, Device, Readout

#: Longest wall time between two looks at a request to freeze or abort.
LOOK_S = 0.05
#: Longest time of the device's own clock between two such looks, where that is virtual; and the longest advance, in seconds.
LOOK_VIRTUAL_S, LONGEST_S = 1.0, 1e6


def is_long(device: Device, seconds: float | None) -> bool:
    """Tell whether a time is passed in pieces."""
    return seconds is not None and seconds > _piece_s(device)


def advance_in_pieces(device: Device, seconds: float, tick: Callable[[], None]) -> Readout:
    """Let time pass and read at its end, as one `advance`.

    Args:
        device: the device.
        seconds: how long, in s of the device's clock.
        tick: called between two pieces; raises to leave.
    Raises:
        ValueError: longer than one call may take.
    """
    if seconds > LONGEST_S:
        raise ValueError(f"{device.info.name}: advance({seconds:g}): at most {LONGEST_S:g} s pass in one call. Call it again.")
    piece = _piece_s(device)
    last = device.advance(piece)
    began, passed = last.t - last.dt, last.dt  # time goes on between two exchanges too
    while passed < seconds - 1e-9:
        tick()
        last = device.advance(min(piece, seconds - passed))
        passed = last.t - began
    return last._replace(dt=passed)


def _piece_s(device: Device) -> float:
    info = device.info
    return LOOK_S * info.speed if info.clock is Clock.WALL else LOOK_VIRTUAL_S
