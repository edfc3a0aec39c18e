"""How a rig file names many things at once: `u[00-15]` are sixteen names, `dac[1-16]` sixteen channels of `dac`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_PART = re.compile(r"(?P<low>\d+)-(?P<high>\d+)")
_NAMES = re.compile(r"(?P<head>[^\[\]]*)\[(?P<inside>[^\[\]]+)\](?P<tail>[^\[\]]*)")
_CHANNEL = re.compile(r"(?P<instrument>[A-Za-z][A-Za-z0-9_-]*?)(?P<key>\d+)")
_CHANNELS = re.compile(r"(?P<instrument>[A-Za-z][A-Za-z0-9_-]*)\[(?P<inside>[^\[\]]+)\]")
MOST = 100_000  #: names in one range


class Place(NamedTuple):
    """A channel: the instrument's name in the rig file, and the channel's key, as the instrument counts it."""

    instrument: str
    key: str

    def __str__(self) -> str:
        return f"{self.instrument}[{self.key}]"


def spread(inside: str) -> list[str]:
    """Spread what stands in brackets: `1-3,7` are 1, 2, 3 and 7; `00-15` keeps its zeros.

    Raises:
        ValueError: a range that runs backwards, or an empty part.
    """
    found: list[str] = []
    for part in (text.strip() for text in inside.split(",")):
        if not part:
            raise ValueError(f"[{inside}] has an empty part. Write numbers, ranges such as 1-16, or words, with commas between.")
        match = _PART.fullmatch(part)
        if match is None:
            found.append(part)
            continue
        low, high = int(match["low"]), int(match["high"])
        if high < low or high - low >= MOST:
            raise ValueError(f"[{inside}]: the range {part} runs backwards or is too long. Write the lower number first.")
        width = len(match["low"]) if match["low"].startswith("0") else 0
        found += [f"{number:0{width}d}" for number in range(low, high + 1)]
    return found


def names_of(text: str | Sequence[str]) -> tuple[str, ...]:
    """Get the names that a text, or a list of texts, stands for.

    Raises:
        ValueError: as `spread`; or a name is there twice, or empty.
    """
    found: list[str] = []
    for one in [text] if isinstance(text, str) else text:
        match = _NAMES.fullmatch(one)
        found += [f"{match['head']}{part}{match['tail']}" for part in spread(match["inside"])] if match else [one]
    if not all(found) or any("[" in name or "]" in name for name in found):
        raise ValueError(f"{text!r}: a name is empty or has a bracket of its own. Write names such as u[00-15].")
    if twice := sorted({name for name in found if found.count(name) > 1}) if len(set(found)) < len(found) else []:
        raise ValueError(f"the name {twice[0]} is there twice. Give each its own.")
    return tuple(found)


def places_of(text: str | Sequence[str], instruments: Iterable[str] = ()) -> tuple[Place, ...]:
    """Get the channels that a text, or a list of texts, stands for: `dac[1-16]`, `dac17`, `motor[x,y]`.

    Args:
        text: one or many.
        instruments: those there are; `k24501` is channel 1 of `k2450` where that is one.
    Raises:
        ValueError: as `spread`; or it names no channel.
    """
    found: list[Place] = []
    known = sorted(instruments, key=len, reverse=True)
    for one in [text] if isinstance(text, str) else text:
        if match := _CHANNELS.fullmatch(one.strip()):
            found += [Place(match["instrument"], part) for part in spread(match["inside"])]
        elif name := next((name for name in known if one.strip().startswith(name) and one.strip()[len(name) :].isdigit()), ""):
            found.append(Place(name, one.strip()[len(name) :]))
        elif match := _CHANNEL.fullmatch(one.strip()):
            found.append(Place(match["instrument"], match["key"]))
        else:
            raise ValueError(f"{one!r} names no channel. Write the instrument and its channels, such as dac17 or dac[1-16].")
    return tuple(found)


def some(names: Sequence[str]) -> str:
    """Name a few of many: what is wrong with all of them is said once."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} and {len(names) - 2} more"
