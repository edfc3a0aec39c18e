"""The file of an emulated bench: what the system is, which instruments there are, and which channel is wired to what.

physics: {energy: linear, options: {frequencies: 7}}
profile: bench
clock: lockstep
instruments:
  dac: {kind: qdac2, serial: "121"}
  adc: {kind: daq970a}
  smu: {kind: keithley2450}
wiring:
  "dac[1-15]": "u[0-14]"        # channels on the left, quantities on the right, one to one in this order
  "dac[16]": "x[0]"
  "adc[101-115]": "theta[0-14]"
  "adc[116]": "s[0]"
  "smu[1]": "i[0]"
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aeqlab.backends.bench_faults import Fault
from aeqlab.backends.bench_profiles import PROFILES, Profile
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.settings import Dimensions, UnknownUntilPreparing
from aeqlab.backends.simulated_settings import SimulatedSettings

#: What an output of an instrument may drive, and what an input may sense.
DRIVEN = frozenset({"u", "x", "i"})
SENSED = frozenset({"theta", "s", "u", "x", "temperature"})
#: What must be wired, and so that it can be driven (True) or read (False).
NEEDED = {"u": True, "x": True, "theta": False, "s": False}
_PLACE = re.compile(r"([A-Za-z_][\w-]*)\[(\d+)(?:-(\d+))?\]")
OF_PHYSICS = ("energy", "options", "epsilon", "coupling")


@dataclass(frozen=True, slots=True)
class Port:
    """A channel of an instrument: whether it drives, its unit, and the quantities it can be wired to."""

    drives: bool
    unit: str
    takes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wire:
    """A channel that is wired: which quantity, which of them, and what the wire makes of it: 1, or what a fault makes of that."""

    port: Port
    quantity: str
    index: int
    gain: float = 1.0


Wiring = Mapping[str, Mapping[str, Wire]]  # by instrument and channel


class InstrumentSettings(BaseModel):
    """What all instruments of a bench have."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    serial: str = Field(default="", description="its serial number; empty: the usual one of its kind")
    serve: Literal["tcp", "serial"] = Field(default="tcp", description="a TCP port of loopback, or a pseudo-terminal")
    port: int = Field(default=0, ge=0, le=65535, description="TCP port; 0: any that is free")
    sockets: int = Field(default=16, ge=1, le=64, description="links over TCP that it takes at the same time")
    keeps_dead_s: float = Field(
        default=0.0, ge=0, le=3600, description="a link over TCP that broke takes its place for so much longer, in s of the bench"
    )
    message_s: float = Field(default=0.5e-3, ge=0, le=10, description="what every message costs, in s of the bench")
    noise_V: float | None = Field(default=None, ge=0, le=10, description="its read noise; null: that of the profile")
    hum_V: float | None = Field(default=None, ge=0, le=10, description="hum on its readings; null: that of the profile")
    gain_error: float | None = Field(default=None, ge=0, lt=1, description="of its outputs; null: that of the profile")
    offset_V: float | None = Field(default=None, ge=0, le=10, description="of its outputs; null: that of the profile")
    reading_gain_error: float = Field(default=0.0, ge=0, lt=1, description="error of the gain of its readings, at most")
    reading_offset_V: float = Field(default=0.0, ge=0, le=10, description="offset of its readings, at most, in V")

    def ports(self) -> dict[str, Port]:
        """Get its channels by key."""
        raise NotImplementedError


class Qdac2Settings(InstrumentSettings):
    """A QDAC-II: outputs 1 to 24."""

    kind: Literal["qdac2"]

    def ports(self) -> dict[str, Port]:
        """Get its channels by key; its currents are wired to nothing."""
        return {str(k): Port(True, "V", DRIVEN) for k in range(1, 25)}


class Daq970aSettings(InstrumentSettings):
    """A 34970A or DAQ970A: inputs 101 and so on."""

    kind: Literal["daq970a"]
    model: Literal["DAQ970A", "34970A"] = "DAQ970A"
    modules: tuple[int, int, int] = Field(default=(20, 20, 0), description="channels of the module in each slot; 0: none")
    switching_s: float = Field(default=0.0, ge=0, le=10, description="what closing a relay costs, besides the delay")

    @field_validator("modules")
    @classmethod
    def _of_modules(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if not all(0 <= count <= 40 for count in value):
            raise ValueError("a module has 0 to 40 channels")
        return value

    def ports(self) -> dict[str, Port]:
        """Get its channels by key."""
        known = [100 * slot + k for slot, count in enumerate(self.modules, 1) for k in range(1, count + 1)]
        return {str(number): Port(False, "V", SENSED) for number in known}


class Keithley2450Settings(InstrumentSettings):
    """A Keithley 2450: its output 1 as a current, its measurement 2."""

    kind: Literal["keithley2450"]

    def ports(self) -> dict[str, Port]:
        """Get its channels by key."""
        return {"1": Port(True, "A", frozenset({"i"})), "2": Port(False, "V", SENSED)}


class BoardSettings(InstrumentSettings):
    """The open board: outputs from 1, inputs from 1001, terminals that it nudges by itself from 2001."""

    kind: Literal["board"]
    outputs: int = Field(default=16, ge=1, le=1000)
    inputs: int = Field(default=16, ge=1, le=1000)
    nudges: int = Field(default=1, ge=0, le=1000)
    bits: Literal[12, 16] = Field(default=16, description="of its DAC")
    adc_bits: int | None = Field(default=None, ge=8, le=32, description="of its ADC; null: as many")
    range_V: float = Field(default=10.0, gt=0, le=1000, description="both of its ranges, either way")
    beta_max: float = Field(default=1.0, gt=0, le=1e3, description="largest nudge, either way")
    conversion_s: float = Field(default=100e-6, gt=0, le=1, description="one conversion of all inputs")
    starts_s: float = Field(default=0.0, ge=0, le=60, description="after a reset it hears nothing for so long")
    resets_when_opened: bool = Field(default=False, description="whether it is reset by opening its serial port")

    def ports(self) -> dict[str, Port]:
        """Get its channels by key."""
        outs = {str(k): Port(True, "V", DRIVEN) for k in range(1, self.outputs + 1)}
        ins = {str(1000 + k): Port(False, "V", SENSED) for k in range(1, self.inputs + 1)}
        return outs | ins | {str(2000 + k): Port(True, "V", frozenset({"y"})) for k in range(1, self.nudges + 1)}


AnyInstrument = Annotated[
    Qdac2Settings | Daq970aSettings | Keithley2450Settings | BoardSettings, Field(discriminator="kind")
]  # fmt: skip


class BenchSettings(BaseModel):
    """An emulated bench."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    physics: SimulatedSettings = Field(description="energy, options, epsilon and coupling, as of a simulated device")
    profile: Literal["ideal", "bench", "bad"] | Profile = Field(default="bench", description="how imperfect it is")
    clock: Literal["wall", "lockstep"] = Field(
        default="wall", description="lockstep: its time moves only by what messages and conversions cost, and when it is told to"
    )
    speed: float = Field(default=1.0, gt=0, le=1e3, description="seconds of the bench in a second of the wall, with clock: wall")
    seed: int = Field(default=0, ge=0, description="of everything that is drawn")
    force_V_per_A: float = Field(
        default=1000.0, gt=0, le=1e12, description="how a current pushes an output: 1 mA as much as 1 V of misfit does"
    )
    clamp_conductance: float = Field(
        default=100.0, gt=0, le=1e4, description="how stiffly a source of voltage holds an output, as a nudge of this beta does"
    )
    instruments: dict[str, AnyInstrument] = Field(min_length=1)
    wiring: dict[str, str] = Field(
        description="channels, such as dac[1-16], and the quantities they are wired to, such as u[0-15]"
    )
    gains: dict[str, float] = Field(
        default_factory=dict, description="faults of wires, by channel: 0 is broken, -1 has its two ends swapped, 0.5 is half"
    )
    faults: tuple[Fault, ...] = Field(default=(), description="a script of what goes wrong, and when")
    open: tuple[str, ...] = Field(default=(), description="quantities that are left unwired on purpose, such as u[3]")

    @field_validator("physics", mode="before")
    @classmethod
    def _only_physics(cls, value: Any) -> Any:
        if isinstance(value, dict) and (more := [str(key) for key in value if key not in OF_PHYSICS]):
            raise ValueError(f"{', '.join(more)}: the physics of a bench are {', '.join(OF_PHYSICS)}; see profile for the rest")
        return value

    @model_validator(mode="after")
    def _is_wired(self) -> BenchSettings:
        try:
            dims = self.physics.dimensions(Path())
        except (UnknownUntilPreparing, DeviceConfigError):
            return self  # only the user's class can tell; `wired` says it when the bench starts
        try:
            self.wired(dims)
        except DeviceConfigError as exc:
            raise ValueError(str(exc)) from exc
        return self

    @property
    def imperfections(self) -> Profile:
        """Get how imperfect it is, in numbers."""
        return self.profile if isinstance(self.profile, Profile) else PROFILES[self.profile]

    def wired(self, dims: Dimensions) -> Wiring:
        """Work out which channel is wired to what.

        Raises:
            DeviceConfigError: everything that is wrong with it, line by line.
        """
        found = _Wiring(self, dims)
        if found.problems:
            raise DeviceConfigError("the bench cannot be wired so:\n" + "\n".join(f"  {one}" for one in found.problems))
        return found.wires


class _Wiring:
    """The wiring as it is worked out, and all that is wrong with it."""

    def __init__(self, settings: BenchSettings, dims: Dimensions) -> None:
        self.problems: list[str] = []
        self.counts = {"u": dims.parameters, "x": dims.inputs, "i": dims.outputs, "y": dims.outputs}
        self.counts |= {"theta": dims.parameters, "s": dims.outputs, "temperature": 1}
        self.ports = {name: one.ports() for name, one in settings.instruments.items()}
        self.wires: dict[str, dict[str, Wire]] = {name: {} for name in settings.instruments}
        self._drivers: dict[tuple[str, int], str] = {}
        self._sensed: set[tuple[str, int]] = set()
        self._meant: set[tuple[str, int]] = set()  # named, though perhaps with something wrong
        for channels, quantities in settings.wiring.items():
            self._line(channels, quantities)
        self._complete({place for text in settings.open for place in self._quantities(text, "open")})
        for text, gain in settings.gains.items():
            self._fault(text, gain)
        self.problems += [said for fault in settings.faults if (said := fault.wrong(self.ports, self.wires)) is not None]
        for fault in settings.faults:
            one = settings.instruments.get(fault.instrument)
            if fault.kind == "dropped" and one is not None and one.serve == "serial":
                self.problems.append(f"fault dropped: {fault.instrument} is on a serial port, which has no link that breaks.")
        self._of_boards(settings)
        taken: dict[int, str] = {}
        for name, one in settings.instruments.items():
            if one.port and one.serve == "tcp" and (other := taken.setdefault(one.port, name)) != name:
                self.problems.append(f"{name}: port {one.port} is that of {other}. Give each its own, or 0.")

    def _line(self, channels: str, quantities: str) -> None:
        where = f"{channels}: {quantities}"
        left, right = list(self._channels(channels, where)), list(self._quantities(quantities, where))
        self._meant |= set(right)
        if left and right and len(left) != len(right):
            self.problems.append(f"{where}: {len(left)} channels are wired to {len(right)} quantities. Name as many of either.")
            return
        for (name, key), (quantity, index) in zip(left, right, strict=False):
            self._join(name, key, quantity, index)

    def _join(self, name: str, key: str, quantity: str, index: int) -> None:
        port, channel, place = self.ports[name][key], f"{name}[{key}]", f"{quantity}[{index}]"
        if key in self.wires[name]:
            before = self.wires[name][key]
            self.problems.append(f"{channel} is wired twice, to {before.quantity}[{before.index}] and to {place}.")
            return
        if quantity not in port.takes:
            does = "drives" if port.drives else "senses"
            self.problems.append(f"{channel} {does} {port.unit} and cannot be wired to {place}; it takes {_or(port.takes)}.")
            return
        if port.drives:
            other = self._drivers.setdefault((quantity, index), channel)
            if other != channel:
                self.problems.append(f"{place} is driven twice, by {other} and by {channel}.")
                return
        else:
            self._sensed.add((quantity, index))
        self.wires[name][key] = Wire(port, quantity, index)

    def _fault(self, text: str, gain: float) -> None:
        for name, key in self._channels(text, f"gains: {text}"):
            wire = self.wires[name].get(key)
            if wire is None or wire.quantity == "y":
                why = "is not wired" if wire is None else "is a target, which a board knows as a number"
                self.problems.append(f"gains: {text}: {name}[{key}] {why}; it has no gain.")
            else:
                self.wires[name][key] = replace(wire, gain=gain)

    def _complete(self, left_open: set[tuple[str, int]]) -> None:
        """See that every knob is driven, and every parameter and output sensed."""
        for quantity, driven in NEEDED.items():
            has = {index for name, index in (self._drivers if driven else self._sensed) if name == quantity}
            has |= {index for name, index in self._meant | left_open if name == quantity and not (driven and index in has)}
            if missing := [index for index in range(self.counts[quantity]) if index not in has]:
                what = "is driven by no channel" if driven else "is sensed by no channel"
                self.problems.append(f"{quantity}[{_ranges(missing)}] {what}. Wire it, or name it under open.")

    def _of_boards(self, settings: BenchSettings) -> None:
        """See that one strength of a nudge is enough for the system: those of two boards could differ."""
        nudging = [name for name, wires in self.wires.items() if any(wire.quantity == "y" for wire in wires.values())]
        if len(nudging) > 1:
            self.problems.append(f"{' and '.join(nudging)} both nudge; a bench has one board that does.")
        for name in nudging:
            self.wires[name]["beta"] = Wire(Port(True, "", frozenset({"beta"})), "beta", 0)

    def _channels(self, text: str, where: str) -> Iterator[tuple[str, str]]:
        name, numbers = self._numbers(text, where)
        if numbers and name not in self.ports:
            self.problems.append(f"{where}: there is no instrument {name!r}.{_meant(name, self.ports)}")
            return
        for number in numbers:
            if str(number) in self.ports[name]:
                yield name, str(number)
            else:
                self.problems.append(f"{where}: {name} has no channel {number}.")

    def _quantities(self, text: str, where: str) -> Iterator[tuple[str, int]]:
        name, numbers = self._numbers("temperature[0]" if text == "temperature" else text, where)
        if numbers and name not in self.counts:
            self.problems.append(f"{where}: there is no quantity {name!r}: {_or(self.counts)}.{_meant(name, self.counts)}")
            return
        if beyond := [number for number in numbers if number >= self.counts[name]]:
            self.problems.append(
                f"{where}: there are {self.counts[name]} {name}, counted from 0, and no {name}[{_ranges(beyond)}]."
            )
            return
        for number in numbers:
            yield name, number

    def _numbers(self, text: str, where: str) -> tuple[str, range]:
        match = _PLACE.fullmatch(text.strip())
        if match is None or (match[3] is not None and int(match[3]) < int(match[2])):
            self.problems.append(f"{where}: {text!r} is no name with a number or a range, such as dac[3] or u[0-15].")
            return "", range(0)
        return match[1], range(int(match[2]), int(match[3] or match[2]) + 1)


def _meant(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {near[0]}?" if near else ""


def _or(names: Any) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} or {last}" if most else last


def _ranges(numbers: list[int]) -> str:
    """Write ascending numbers as ranges, such as 0-3,7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
