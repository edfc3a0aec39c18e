"""What every instrument can do, over VISA or in a user's own way: say who it is, set outputs, measure, say what is wrong, go off.

Connecting is passive: opening asks for the name and reads the present settings, and sends nothing that changes one. `plan` says
what arming will change, `arm` changes it and reads it back. A value outside a channel's range is refused before anything is sent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from aeqlab.drivers.errors import RebootedError, RefusedError, SettingError
from aeqlab.drivers.identity import Identity

Array = NDArray[Any]
ROUNDING = 1e-9  #: so far past an end, relative to the range, a value may lie by rounding alone


class Direction(StrEnum):
    """Whether a channel drives the rig or senses it."""

    OUT = "out"
    IN = "in"


class Silence(StrEnum):
    """What an instrument does when nobody speaks to it any more."""

    HOLDS = "holds"
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Channel:
    """One output or input of an instrument.

    Attributes:
        key: as the instrument counts it, such as `3` or `101`.
        direction: whether it drives or senses.
        unit: of its values.
        low, high: its range as it is set now, in this unit.
        step: resolution in this unit; 0 where it is not known.
        slew_per_s: fastest change of an output by itself, in units per s; inf: at once.
    """

    key: str
    direction: Direction
    unit: str
    low: float
    high: float
    step: float = 0.0
    slew_per_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Change:
    """What arming changes: a setting of a channel (empty: of the instrument), as it stands and as it is wanted."""

    channel: str
    setting: str
    present: str
    wanted: str

    def __str__(self) -> str:
        where = f"channel {self.channel}: " if self.channel else ""
        return f"{where}{self.setting} from {self.present} to {self.wanted}"


@dataclass(frozen=True, slots=True)
class Complaint:
    """An entry of an instrument's error queue: its number and a sentence."""

    code: int
    text: str


class _Row(NamedTuple):
    """Some channels, and their ranges as arrays."""

    channels: list[Channel]
    twice: bool  # one is there twice
    low: Array
    high: Array

    @classmethod
    def of(cls, channels: list[Channel], twice: bool) -> Self:
        low, high = np.array([c.low for c in channels]), np.array([c.high for c in channels])
        return cls(channels, twice, low, high)


class Instrument(ABC):
    """One instrument. Subclasses fill in the methods that begin with `_`; calls are made by one thread at a time.

    Attributes:
        name: how the rig calls it; messages begin with it.
        identity: who it says it is, once it is open.
    """

    #: What it does when it hears nothing any more, where that is known of every one of its kind.
    when_silent: ClassVar[Silence] = Silence.UNKNOWN
    #: The serial number that a rig file gives to one whose class does not compare it by itself; empty: any.
    meant: str = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity: Identity | None = None
        self._rows: dict[Direction, _Row] = {}  # of outputs and of inputs, as they were asked for last

    # what a driver fills in
    @abstractmethod
    def open(self) -> Identity:
        """Open it, see that it is the one that is meant, read its present settings; changes nothing."""

    @abstractmethod
    def close(self) -> None:
        """Let it go; it stays as it is. May be called twice."""

    @property
    @abstractmethod
    def channels(self) -> Mapping[str, Channel]:
        """Get its channels by key, with the ranges that are set now."""

    def _write(self, keys: Sequence[str], values: Array) -> None:
        """Set outputs, all at once where the instrument can."""
        raise NotImplementedError

    def _written(self, keys: Sequence[str]) -> Array:
        """Get what the instrument says its outputs are set to."""
        raise NotImplementedError

    def _measure(self, keys: Sequence[str]) -> Array:
        """Measure inputs; raises ReplyError for what is no measurement, such as an overload."""
        raise NotImplementedError

    def _off(self, keys: Sequence[str]) -> None:
        """Bring outputs to their safe end: off, or at zero where there is nothing to switch."""
        raise NotImplementedError

    def begin(self) -> None:  # noqa: B027  # most instruments measure when they are asked
        """Begin to measure and do not wait for it, so that several instruments measure at the same time."""

    def tripped(self) -> tuple[str, ...]:
        """Get the keys of outputs that deliver less than they were set to: held by a limit of their own, or by a watchdog."""
        return ()

    def holds_limits(self, key: str) -> bool:
        """Tell whether the instrument itself refuses what lies beyond the limits that arming gave this output."""
        return False

    def on(self, keys: Sequence[str]) -> None:
        """Switch outputs on that arming left off, and read that back."""
        raise NotImplementedError(f"{self.name} cannot switch its outputs on by themselves.")

    def is_on(self) -> bool:
        """Ask whether its outputs are on."""
        raise NotImplementedError(f"{self.name} does not tell whether its outputs are on.")

    # a nudge of its own, where it has one
    @property
    def nudged(self) -> list[str]:
        """Keys of the terminals that it can pull to targets by itself; empty for most instruments."""
        return []

    def nudge(self, targets: Array, beta: float) -> None:
        """Pull each of `nudged` to its target, shape (nudged,), with strength beta: the energy beta/2 (s - y)^2."""
        raise NotImplementedError(f"{self.name} has no nudge of its own.")

    def release(self) -> None:
        """Switch its own nudge off, and read that back."""
        raise NotImplementedError(f"{self.name} has no nudge of its own.")

    def nudge_stands(self) -> float:
        """Ask for the strength of its own nudge; 0 where it is off."""
        raise NotImplementedError(f"{self.name} has no nudge of its own.")

    def complaints(self) -> list[Complaint]:
        """Empty its error queue; oldest first."""
        return []

    def settings(self) -> dict[str, str]:
        """Get every setting that decides what its values mean, as they stand now; for the record and for comparison."""
        return {}

    def plan(self) -> list[Change]:
        """List what `arm` will change."""
        return []

    def arm(self) -> None:  # noqa: B027  # not every instrument has something to arm
        """Bring it into the state in which it is used, and read that back.

        Raises:
            RefusedError: it complains, or says that a setting is not as it was set.
        """

    def watch(self, seconds: float | None) -> bool:
        """Let it switch off by itself when it hears nothing for so long, or no longer; False where it cannot."""
        return False

    def rebooted(self) -> bool:
        """Tell whether it was switched off and on since this was last asked; False where it cannot tell."""
        return False

    def healthy(self) -> None:
        """See that it was not switched off and on, and does not complain: as few short questions as it takes, for every tick.

        Writing and measuring see to it by themselves where the instrument can say it in the same exchange.

        Raises:
            RebootedError: it was switched off and on since; `rebooted` still tells it.
            RefusedError: it complains.
        """
        if self.rebooted():
            raise RebootedError(f"{self.where}: it was switched off and on; its settings are gone. Arm it again.")
        self.check()

    # what everybody calls
    def write(self, keys: Sequence[str], values: Array) -> None:
        """Set outputs, shape (keys,), in the unit of each.

        Raises:
            SettingError: a channel that is not there, no output or there twice, or a value outside its range; nothing was sent.
        """
        self._write(keys, self._within(keys, values))

    def _within(self, keys: Sequence[str], values: Array) -> Array:
        """See that outputs may be set to these values; returns them, without what rounding put beyond a range."""
        wanted = np.asarray(values, dtype=np.float64)
        row = self._these(keys, Direction.OUT)
        if row.twice:
            raise SettingError(
                f"{self.name}: a channel is there twice in {', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}."
            )
        if wanted.shape != (len(keys),):
            raise SettingError(f"{self.name}: {len(keys)} channels, and values of shape {wanted.shape}")
        inside: Array = np.minimum(np.maximum(wanted, row.low), row.high)
        if (inside == wanted).all():  # false for nan
            return inside
        room = ROUNDING * (row.high - row.low)
        within = (wanted >= row.low - room) & (wanted <= row.high + room)
        if not within.all():
            k = int(np.argmin(within))
            channel = row.channels[k]
            raise SettingError(
                f"{self.name}, channel {channel.key}: {wanted[k]:.9g} {channel.unit} is outside {channel.low:g} to "
                f"{channel.high:g} {channel.unit}, the range of this output. Choose a value within, or another range."
            )
        return inside

    def written(self, keys: Sequence[str]) -> Array:
        """Get what the instrument says its outputs are set to, shape (keys,): an echo, not a measurement."""
        self._these(keys, Direction.OUT)
        return self._written(keys)

    def measure(self, keys: Sequence[str]) -> Array:
        """Measure inputs, shape (keys,), in the unit of each.

        Raises:
            SettingError: a channel that is not there, or no input.
            ReplyError: a value is no measurement. None of this block counts.
        """
        self._these(keys, Direction.IN)
        return self._measure(keys)

    def off(self, keys: Sequence[str]) -> None:
        """Bring outputs to their safe end, as it is declared for this kind of instrument."""
        self._these(keys, Direction.OUT)
        self._off(keys)

    def check(self) -> None:
        """Empty the error queue, and raise what is in it.

        Raises:
            RefusedError: there was something in it.
        """
        if complaints := self.complaints():
            raise RefusedError(self.name, [one.text for one in complaints], [one.code for one in complaints])

    @property
    def where(self) -> str:
        """How messages call it; over VISA with its address."""
        return self.name

    def _refuse(self, what: str) -> NoReturn:
        """Raise why something is not as it was set: what the instrument says, or else what was read back."""
        self.check()
        raise RefusedError(self.where, [what], [])

    def _these(self, keys: Sequence[str], direction: Direction) -> _Row:
        """Find channels; the row that was found last is kept for as long as its channels are what they were."""
        channels = self.channels
        present = [channels.get(key) for key in keys]
        row = self._rows.get(direction)
        if row is not None and present == row.channels:  # quick, as they are the very same objects
            return row
        found = []
        for key, channel in zip(keys, present, strict=True):
            if channel is None or channel.direction is not direction:
                which = [k for k, c in channels.items() if c.direction is direction]
                ends = f"{which[0]} to {which[-1]}" if which else "none"
                word = "output" if direction is Direction.OUT else "input"
                raise SettingError(f"{self.name}: there is no {word} {key!r}; its {word}s are {ends}.")
            found.append(channel)
        row = self._rows[direction] = _Row.of(found, len(set(keys)) < len(keys))
        return row

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
