"""What a driver offers before anything is opened: whom it fits, and which channels its kind of instrument has."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aeqlab.drivers.errors import DriverError, IdentityError
from aeqlab.drivers.identity import Identity, check_identity
from aeqlab.drivers.instrument import Channel, Direction
from aeqlab.drivers.making import CLASSES, HIGH_RANGE_V, LOW_RANGE_V, Spec, make_instrument
from aeqlab.drivers.rig_keys import keys_of

SHOWN = 32  #: channels of a board that are offered: how many it has, only the board itself can say
MOST_V = 300.0  #: the largest voltage of a scanner


@dataclass(frozen=True, slots=True)
class Offer:
    """The channels of one kind of instrument, and what is to be said about them.

    Attributes:
        channels: in the order in which the instrument counts them; their ranges are nominal.
        note: what only the instrument itself can tell; empty where there is nothing.
    """

    channels: tuple[Channel, ...]
    note: str = ""


def drivers_for(identity: Identity) -> list[str]:
    """List the drivers that are made for an instrument by what it answers to `*IDN?`; those that take any kind are left out."""
    found = []
    for name, (module, kind) in CLASSES.items():
        about = getattr(importlib.import_module(f"aeqlab.drivers.{module}"), kind)
        maker, models = getattr(about, "maker", ""), getattr(about, "models", ())
        if not (maker or models):
            continue
        try:
            check_identity(identity, name, maker=maker, models=models)
        except IdentityError:
            continue
        found.append(name)
    return found


def offer_of(driver: str, options: Mapping[str, Any], base: Path) -> Offer:
    """Say which channels an instrument has, as far as that is known without opening it.

    Args:
        driver: one of `DRIVERS`, or the user's own, which is not imported for it.
        options: the keys of its driver.
        base: folder from which its paths count.
    """
    if driver not in CLASSES:
        return Offer((), "Which channels it has, only its own code can tell. Write them as name[channel].")
    keys, wrong = keys_of(driver, options)
    if keys is None:
        return Offer((), " ".join(wrong))
    match driver:
        case "qdac2":
            most = LOW_RANGE_V if keys.range == "LOW" else HIGH_RANGE_V
            outs = [Channel(str(k), Direction.OUT, "V", -most, most) for k in range(1, 25)]
            reads = [Channel(f"i{k}", Direction.IN, "A", -0.01, 0.01) for k in range(1, 25)]
            return Offer((*outs, *reads))
        case "daq970a":
            most = keys.range_V or MOST_V
            ins = [Channel(str(100 * slot + k), Direction.IN, "V", -most, most) for slot in (1, 2, 3) for k in range(1, 41)]
            return Offer(tuple(ins), "A module of 20 channels ends at 120, 220 or 320.")
        case "keithley2450":
            return Offer(_source_meter(keys))
        case "board":
            most, note = 10.0, "How many channels a board has, and its range, it says itself once it is connected."
            outs = [Channel(str(k), Direction.OUT, "V", -most, most) for k in range(1, SHOWN + 1)]
            reads = [Channel(str(1000 + k), Direction.IN, "V", -most, most) for k in range(1, SHOWN + 1)]
            nudges = [Channel(str(2000 + k), Direction.OUT, "V", -most, most) for k in range(1, 9)]
            return Offer((*outs, *reads, *nudges), note)
    return _described(driver, options, base)


def _source_meter(keys: Any) -> tuple[Channel, ...]:
    from aeqlab.drivers.keithley2450 import OTHER, RANGES, UNIT, Function

    function = Function[keys.source.upper()]
    other = OTHER[function]
    most = keys.source_range or RANGES[function][-1]
    sensed = keys.sense_range or RANGES[other][-1]
    return (
        Channel("1", Direction.OUT, UNIT[function], -most, most),
        Channel("2", Direction.IN, UNIT[other], -sensed, sensed),
    )


def _described(driver: str, options: Mapping[str, Any], base: Path) -> Offer:
    """List the channels that a description has."""
    try:
        made = make_instrument(Spec("it", driver, "TCPIP::127.0.0.1::5025::SOCKET", options=options), (), base)
    except (DriverError, ValidationError, OSError, ImportError) as exc:
        return Offer((), str(exc).removeprefix("it: "))
    return Offer(tuple(made.channels.values()))


def in_words(channel: Channel) -> str:
    """Say what a channel is: its key, its direction and its range."""
    word = "output" if channel.direction is Direction.OUT else "input"
    if not (math.isfinite(channel.low) and math.isfinite(channel.high)):
        return f"{channel.key}: {word}, {channel.unit}"
    return f"{channel.key}: {word}, {channel.low:g} to {channel.high:g} {channel.unit}"
