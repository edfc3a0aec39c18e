"""The rig file: instruments, which channel plays which role, limits, slew, rest, nudge, order, and what watches over it.

instruments:
  dac: {driver: qdac2, address: "TCPIP::192.168.1.20::5025::SOCKET", serial: "121", when_silent: holds}
  adc: {driver: daq970a, address: "TCPIP::192.168.1.21::5025::SOCKET", when_silent: holds}
controls:   {names: "u[00-15]", channels: "dac[1-16]", limits_V: [-1, 1], absolute_V: [-2, 2], slew_V_per_s: 5, rest_V: 0}
parameters: {names: "theta[00-15]", channels: "adc[101-116]", limits_V: [-1.5, 1.5]}
inputs:     [{name: z, channel: dac17, limits_V: [-1, 1]}]
outputs:    [{name: s, channel: adc117}]
nudge:      {realisation: one-shot, channels: [dac18], beta_max: 0.2, limits_V: [-1, 1]}
order:      [dac, adc]

A number stands for all knobs of its entry, a list has one per knob. Keys that bear a unit, such as `limits_V` or
`slew_mm_per_s`, say the unit of their entry. What is wrong in a file is found by `rig_plan`; here are only its words.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aeqlab.backends.named_files import Names
from aeqlab.backends.rig_names import names_of

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Pair = tuple[Number, Number]
PerKnob = Number | Annotated[list[Number], Field(min_length=1)]
PairPerKnob = Pair | Annotated[list[Pair], Field(min_length=1)]
Text = str | Annotated[list[str], Field(min_length=1)]
_WITH_UNIT = re.compile(r"(limits|absolute|rest|tolerance|slew|max_step)_([A-Za-z%µΩ/]+?)(_per_s)?")
_SILENT = re.compile(r"holds|unknown|off after (\d+(\.\d*)?) s")


def plain_key(key: str) -> tuple[str, str]:
    """Take the unit out of a key: `limits_V` is ("limits", "V"), `slew_mm_per_s` ("slew_per_s", "mm"), `name` ("name", "")."""
    match = _WITH_UNIT.fullmatch(key)
    if match is None or (match[1] == "slew") != bool(match[3]):
        return key, ""
    return "slew_per_s" if match[3] else match[1], match[2]


def _pairs(value: Any) -> Any:
    """Make pairs of lists of two numbers: a file has lists only, and what comes after does not take these for pairs."""
    if isinstance(value, list) and len(value) == 2 and not any(isinstance(part, list) for part in value):
        return tuple(value)
    return [_pairs(part) for part in value] if isinstance(value, list) else value


class InstrumentEntry(BaseModel):
    """One instrument. Keys that are not listed here are those of its driver; see docs/drivers.md."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    driver: Annotated[str, Names.FILES] = Field(
        min_length=1, description="qdac2, daq970a, keithley2450, board, scpi, pymeasure, or your own file.py:Class"
    )
    address: str = Field(default="", max_length=300, description="VISA address, such as TCPIP::192.168.1.20::5025::SOCKET")
    serial: str = Field(default="", max_length=100, description="its serial number; empty: any")
    when_silent: str = Field(
        default="unknown", description="what its outputs do when nobody speaks to it: holds, unknown, or off after N s"
    )
    watchdog_s: float | None = Field(
        default=None, gt=0, le=3600, description="after so long a silence it switches off by itself, where it can; null: never"
    )
    safe: Literal["rest", "off"] | None = Field(
        default=None, description="SAFE leaves its outputs at rest, or switches them off; null: off only for nudges and supplies"
    )
    dangerous: bool = Field(default=False, description="whether its outputs could do damage when left as they are")
    visa: str = Field(default="@py", description="VISA library: @py, @ivi for a vendor's, or the path of one")
    timeout_s: float = Field(default=1.0, gt=0, le=60, description="longest wait for a reply")
    baud_rate: int = Field(default=115200, ge=300, le=10_000_000, description="of a serial line")
    wakes_s: float = Field(default=0.0, ge=0, le=60, description="after so long it answers, where opening its port resets it")

    @field_validator("when_silent")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if not _SILENT.fullmatch(value):
            raise ValueError("holds, unknown, or off after N s, such as: off after 2 s")
        return value

    @property
    def options(self) -> dict[str, Any]:
        """Get the keys of its driver."""
        return dict(self.model_extra or {})

    @property
    def off_after_s(self) -> float | None:
        """Get after how long a silence its outputs go off by themselves; None where they do not, or nobody knows."""
        match = _SILENT.fullmatch(self.when_silent)
        return float(match[1]) if match is not None and match[1] else None


class _WithUnits(BaseModel):
    """An entry whose keys may bear their unit."""

    model_config = _STRICT
    unit: str = Field(default="V", min_length=1, max_length=20, description="of its values; also part of keys, as in limits_V")

    @model_validator(mode="before")
    @classmethod
    def _units_out_of_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found: dict[str, Any] = {}
        units: dict[str, str] = {}
        for key, item in value.items():
            plain, unit = plain_key(str(key))
            if unit:
                units[str(key)] = unit
            if plain in found:
                raise ValueError(f"{key}: {plain} is there twice. Give it once.")
            found[plain] = _pairs(item) if plain in ("limits", "absolute", "alarm") else item
        if len(set(units.values())) > 1:
            raise ValueError(f"{' and '.join(units)} bear different units. One entry has one unit; make two entries.")
        if units:
            unit = next(iter(units.values()))
            if found.setdefault("unit", unit) != unit:
                raise ValueError(f"unit is {found['unit']}, and {next(iter(units))} says {unit}. Say it once.")
        return found


class _Row(_WithUnits):
    """Knobs or readouts of one kind: a name and a channel each."""

    names: Text = Field(description="names, such as u[00-15]; `name` does for one")
    channels: Text = Field(description="channels, such as dac[1-16]; `channel` does for one")
    table: Annotated[str, Names.PATH] | None = Field(
        default=None, description="a CSV or Excel table with a column `name` and any of the others; it goes before the keys here"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if isinstance(value, dict):
            value = dict(value)
            for one, many in (("name", "names"), ("channel", "channels")):
                if one in value:
                    if many in value:
                        raise ValueError(f"{one} and {many}: give one of the two.")
                    value[many] = value.pop(one)
        return value

    @field_validator("names")
    @classmethod
    def _are_names(cls, value: Text) -> Text:
        names_of(value)
        return value


class KnobRow(_Row):
    """Knobs: controls or inputs."""

    limits: PairPerKnob = Field(description="lowest and highest value that a session may set")
    absolute: PairPerKnob | None = Field(
        default=None, description="what the hardware behind it bears; pushed into instruments that hold limits. null: limits"
    )
    rest: PerKnob = Field(default=0.0, description="where it is at rest and under SAFE")
    slew_per_s: PerKnob | None = Field(default=None, description="fastest change per second; null: none")


class ReadRow(_Row):
    """Readouts: parameters, outputs or monitors."""

    limits: PairPerKnob | None = Field(default=None, description="outside of these the rig is made safe; null: none")
    tolerance: Literal["auto"] | PerKnob = Field(
        default="auto", description="allowed |theta - target|; see homeostasis.tolerance"
    )
    nplc: float | None = Field(default=None, gt=0, le=200, description="aperture in power-line cycles; null: as it stands")
    max_step: float | None = Field(
        default=None,
        gt=0,
        description="a larger change in a tick is a jump: an alarm, and no step counts; null: none is",
    )


class NudgeEntry(_WithUnits):
    """How beta C is put on the outputs; RIGS of docs/rigs.md has what speaks for and against each."""

    realisation: Literal["coupling", "feedback", "one-shot", "output-clamp"] = Field(
        description="coupling: an instrument pulls the outputs to the targets; feedback: a force -beta (s - y), renewed each "
        "tick; one-shot: that force from s as it was; output-clamp: outputs fixed at s + beta (y - s), which is no nudge"
    )
    channels: Text = Field(description="one per output, in their order")
    beta_max: float = Field(gt=0, le=1e6, description="largest nudge")
    beta_min: float | None = Field(
        default=None, le=0, description="lowest nudge; null: minus the largest, and 0 for a coupling and an output-clamp"
    )
    force_per_unit: float = Field(
        default=1.0, description="value of the channel that pushes as hard as a misfit s - y of 1 at beta = 1 does"
    )
    limits: Pair | None = Field(
        default=None, description="lowest and highest value of the channels; needed for a force or a clamp"
    )
    slew_per_s: float | None = Field(default=None, gt=0, description="fastest change of them per second; null: none")
    settle_s: float = Field(default=0.0, ge=0, le=60, description="one-shot: outputs settle so long before they are read for it")


class MonitorEntry(_WithUnits):
    """Something else that is read: a temperature, a supply's current, a knob by another channel."""

    name: str = Field(min_length=1, max_length=60, description="what it is called")
    channel: str = Field(description="its channel")
    period_s: float = Field(default=10.0, gt=0, le=86_400, description="it is read this often")
    alarm: Pair | None = Field(default=None, description="outside of these there is an alarm; null: none")
    measures: str | None = Field(default=None, description="name of the knob whose true value it is; SAFE is confirmed by it")
    nplc: float | None = Field(default=None, gt=0, le=200, description="aperture in power-line cycles; null: as it stands")


class SupplyEntry(_WithUnits):
    """A supply: it is brought to its value when the rig is armed, and goes off under SAFE."""

    name: str = Field(min_length=1, max_length=60, description="what it is called")
    channel: str = Field(description="its channel")
    value: Number = Field(description="what it is set to when the rig is armed")
    limits: Pair = Field(description="lowest and highest value")
    slew_per_s: float | None = Field(default=None, gt=0, description="fastest change per second; null: none")
    dangerous: bool = Field(default=True, description="whether it could do damage when left on")


class SumEntry(BaseModel):
    """A limit on many knobs together, such as the power of all heaters."""

    model_config = _STRICT
    name: str = Field(min_length=1, max_length=60, description="what it is called")
    of: Text = Field(description="names of control or input knobs, such as u[00-15]")
    kind: Literal["sum", "absolute", "squares"] = Field(
        default="sum", description="of the values, of their absolute values, or of their squares"
    )
    scale: float = Field(default=1.0, gt=0, description="factor on it, such as 1/R for a power")
    limit: float = Field(gt=0, description="it may be no larger than this")


class InterlockEntry(BaseModel):
    """A condition that stops the rig."""

    model_config = _STRICT
    name: str = Field(min_length=1, max_length=60, description="what it is called")
    when: str = Field(min_length=1, max_length=500, description="such as: temperature > 300 or abs(s) > 2")
    action: Literal["warn", "freeze", "safe"] = Field(default="safe", description="what happens then")
    stale_s: float | None = Field(
        default=None, gt=0, le=1e6, description="older data than this counts as tripped; null: 5 s, or 3 periods of what it reads"
    )


class RigFile(BaseModel):
    """A rig."""

    model_config = _STRICT
    name: str = Field(default="", max_length=64, description="what people call it")
    instruments: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")], InstrumentEntry] = Field(
        min_length=1, description="the instruments, by the names that channels begin with"
    )
    controls: list[KnobRow] = Field(
        min_length=1, description="control knobs, one per parameter, in their order; one entry, or a list of them"
    )
    parameters: list[ReadRow] = Field(min_length=1, description="where theta is read; one entry, or a list of them")
    inputs: list[KnobRow] = Field(min_length=1, description="input knobs; one entry, or a list of them")
    outputs: list[ReadRow] = Field(min_length=1, description="where the outputs s are read; one entry, or a list of them")
    nudge: NudgeEntry = Field(description="how the outputs are nudged")
    monitors: list[MonitorEntry] = Field(default=[], description="what else is read")
    supplies: list[SupplyEntry] = Field(default=[], description="what is switched on when the rig is armed")
    order: list[str] | None = Field(
        default=None, description="order in which instruments are armed; SAFE goes the other way round. null: as listed"
    )
    sums: list[SumEntry] = Field(default=[], description="limits on many knobs together")
    interlocks: list[InterlockEntry] = Field(default=[], description="conditions that stop the rig")
    tick_s: float = Field(
        default=0.1, gt=0, le=10, description="period of a tick: all knobs are set, and all is read, this often"
    )
    line_Hz: Literal[50, 60] = Field(default=50, description="frequency of the mains, for apertures in power-line cycles")
    lost_after_s: float = Field(
        default=10.0, gt=0, le=600, description="an instrument that cannot be reached for so long is lost"
    )
    identification: Annotated[str, Names.PATH] | None = Field(
        default=None, description="folder of identifications; null: `NAME-identified` beside the rig file"
    )
    fresh_h: float = Field(default=24.0, gt=0, le=87_600, description="an identification is stale after so many hours")
    bench: str | None = Field(
        default=None, description="host:port of the emulated bench it runs on, whose clock it then follows; null: a real rig"
    )

    @field_validator("controls", "parameters", "inputs", "outputs", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    def rows(self, role: str) -> list[Any]:
        """Get the entries of a role: controls, parameters, inputs or outputs."""
        return list(getattr(self, role))

    def read_every_s(self, names: Collection[str]) -> float:
        """Get the time between two readings of what is read least often among some readouts and monitors, in s."""
        return max([self.tick_s, *(one.period_s for one in self.monitors if one.name in names)])
