"""Keithley 2450 source-measure unit: a current with a voltage limit, or a voltage with a current limit; and what it measures.

Its output is `1`, its measurement is `2`. Commands: RIGS section 2.4 (from the drivers of PyMeasure and QCoDeS). It must be set
to the SCPI command set at its front; this is asked for before anything else. "Output off is not a safe state" (its manual, page
33): what guards people is its interlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar

import numpy as np

from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import IdentityError, NotArmedError, RefusedError, ReplyError, SettingError
from aeqlab.drivers.identity import Identity, check_identity
from aeqlab.drivers.instrument import Array, Change, Channel, Direction, Silence
from aeqlab.drivers.readings import numbers
from aeqlab.drivers.visa import Setting, Step, Value, VisaInstrument, same

OUT, IN = "1", "2"
STEPS = 40000  #: steps of a source range: not checked on hardware
OVER = 1.05  #: how far beyond its range it measures: not checked on hardware


class Function(StrEnum):
    """What it sources, in the words of its commands."""

    VOLTAGE = "VOLTage"
    CURRENT = "CURRent"


UNIT = {Function.VOLTAGE: "V", Function.CURRENT: "A"}
OTHER = {Function.VOLTAGE: Function.CURRENT, Function.CURRENT: Function.VOLTAGE}
RANGES: Mapping[Function, tuple[float, ...]] = {
    Function.VOLTAGE: (0.02, 0.2, 2.0, 20.0, 200.0),
    Function.CURRENT: (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
}
KINDS = {"0": "note", "1": "error", "2": "warning", "4": "information"}  #: of entries of its event log: not checked on hardware

OUTPUT = Setting("output", "OUTPut?", "OUTPut {value}", "Whether its terminals are driven.", ("OFF", "ON"))
SOURCE = Setting("source", "SOURce:FUNCtion?", "SOURce:FUNCtion {value}", "What it drives.", ("VOLTage", "CURRent"))
SENSE = Setting(
    "measurement", "SENSe:FUNCtion?", 'SENSe:FUNCtion "{value}"', "What it measures.", ("VOLTage:DC", "CURRent:DC")
)  # fmt: skip


class Keithley2450(VisaInstrument):
    """A 2450. It measures what it does not source.

    Arming sets function, ranges, limit and aperture; then, where the output is off, a level of 0, and switches it on.

    Args:
        wire: how it is reached.
        name: how the rig calls it.
        serial: its serial number; empty: any.
        source: what it sources.
        source_range: in its unit, one of `RANGES`; None: as it stands.
        limit: of the other quantity, in its unit; None: as it stands.
        sense_range: of what it measures, one of `RANGES`; None: as it stands.
        nplc: aperture in power-line cycles, 0.01 to 10; None: as it stands.
        off_state: what its terminals are with the output off: HIMP (open), ZERO, NORM or GUAR; None: as it stands.
        stays_off: arming leaves its output off; `on` switches it on.
    Raises:
        SettingError: a setting that it does not have.
    """

    maker: ClassVar[str] = "KEITHLEY"
    models: ClassVar[tuple[str, ...]] = ("MODEL 2450",)
    when_silent: ClassVar[Silence] = Silence.HOLDS
    #: What `off` does, for people.
    off_means: ClassVar[str] = "switches its output off and reads that back"
    sentences: ClassVar[Mapping[int, str]] = {
        -221: "A setting does not go with another one, or it was to measure with its output off. Compare its settings; arm it.",
        -222: "A level, range or limit is outside what it can do; the old value stays. Choose a value within, or another range.",
        802: "Its output is blocked by the interlock. Close the interlock, then arm it again: closing alone is not enough.",
        803: "It was to measure with its output off. Arm it first.",
        824: "A level or a measurement range goes beyond its limit. Raise the limit or choose a smaller range.",
        826: "Level and limit together are beyond its power. Lower one of them.",
    }

    def __init__(
        self, wire: Wire, name: str = "", *, serial: str = "", source: Function | str = Function.CURRENT,
        source_range: float | None = None, limit: float | None = None, sense_range: float | None = None,
        nplc: float | None = None, off_state: str | None = None, stays_off: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(wire, name, serial=serial)
        self._stays_off = stays_off
        self.source = self._function(source)
        self.sensed = OTHER[self.source]
        f, other = self.source, self.sensed
        unit, other_unit = UNIT[f], UNIT[other]
        head = f"SOURce:{f}:{'V' if f is Function.CURRENT else 'I'}LIMit"
        most = OVER * RANGES[other][-1]
        self._level = Setting("level", f"SOURce:{f}?", f"SOURce:{f} {{value}}", "What it drives.", unit=unit)
        self._range = Setting("source range", f"SOURce:{f}:RANGe?", f"SOURce:{f}:RANGe {{value}}", "", unit=unit)
        self._limit = Setting("limit", f"{head}?", f"{head} {{value}}", "", unit=other_unit, low=0.0, high=most)
        self._trip = f"{head}:TRIPped?"
        self._sense = Setting("sense range", f"SENSe:{other}:RANGe?", f"SENSe:{other}:RANGe {{value}}", "", unit=other_unit)
        self._nplc = Setting(
            "aperture", f"SENSe:{other}:NPLCycles?", f"SENSe:{other}:NPLCycles {{value}}", "Whole cycles keep hum out.",
            unit="PLC", low=0.01, high=10.0,
        )  # fmt: skip
        self._off_state = Setting(
            "off state", f"OUTPut:{f}:SMODe?", f"OUTPut:{f}:SMODe {{value}}", "What its terminals are with the output off.",
            ("HIMPedance", "ZERO", "NORMal", "GUARd"),
        )  # fmt: skip
        for setting, value, function in ((self._range, source_range, f), (self._sense, sense_range, other)):
            if value is not None and not any(same(value, one) for one in RANGES[function]):
                ranges = ", ".join(f"{one:g}" for one in RANGES[function])
                raise SettingError(
                    f"{self.name}: there is no {setting.name} {value:g} {setting.unit}; it has {ranges} {setting.unit}."
                )
        asked: list[tuple[Setting, Value | None]] = [
            (SOURCE, _short(f)), (SENSE, f"{_short(other)}:DC"), (self._off_state, off_state), (self._range, source_range),
            (self._limit, limit), (self._sense, sense_range), (self._nplc, nplc),
        ]  # fmt: skip
        self._wanted = [(setting, value) for setting, value in asked if value is not None]
        for setting, wanted in self._wanted:
            setting.check(wanted, self.name)
        self._present: dict[Setting, Value] = {}
        self._channels: dict[str, Channel] = {}

    def _function(self, source: Function | str) -> Function:
        for one in Function:
            if str(source).upper() in (one.value.upper(), _short(one)):
                return one
        raise SettingError(f"{self.name}: it sources voltage or current, not {source!r}.")

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Get its output `1` and its measurement `2`, with the ranges that are set now."""
        return self._channels

    def _known(self, identity: Identity) -> Identity:
        """See that it is the one that is meant and speaks SCPI, before it is asked anything else."""
        try:
            check_identity(identity, self.where, maker=self.maker, models=self.models, serial=self.serial)
            if (language := self.ask("*LANG?").strip()) != "SCPI":
                raise IdentityError(
                    f"{self.where}: it is set to the command set {language}. Choose SCPI at its front (Menu, System, Settings, "
                    "Command Set) and restart it."
                )
        except BaseException:
            self.close()
            raise
        return super()._known(identity)

    def _adopt(self) -> None:
        settings = (
            SOURCE, SENSE, OUTPUT, self._level, self._range, self._limit, self._sense, self._nplc, self._off_state,
        )  # fmt: skip
        present = {setting: setting.read(self.ask(setting.ask), self.where) for setting in settings}
        reach, sensed = float(present[self._range]), OVER * float(present[self._sense])
        self._present = present
        self._channels = {
            OUT: Channel(OUT, Direction.OUT, UNIT[self.source], -reach, reach, reach / STEPS),
            IN: Channel(IN, Direction.IN, UNIT[self.sensed], -sensed, sensed),
        }

    def questions(self) -> tuple[str, ...]:
        """List the questions for its settings."""
        own = (self._level, self._range, self._limit, self._sense, self._nplc, self._off_state)
        return tuple(one.ask for one in (OUTPUT, SOURCE, SENSE, *own))

    def settings(self) -> dict[str, str]:
        """Get function, level, ranges, limit, aperture, off state and whether the output is on."""
        self._adopt()
        return {setting.name: setting.show(value) for setting, value in self._present.items()}

    def _steps(self) -> list[Step]:
        present = self._present
        on = present[OUTPUT] == "ON"
        wanted = list(self._wanted)
        steps = []
        if on and not same(present[SOURCE], wanted[0][1]):
            steps, on = (
                [Step(OUTPUT.command("", "OFF"), (Change(OUT, OUTPUT.name, "ON", "OFF"),))],
                False,
            )  # never another function on a driven terminal
        if not on:
            # the level before its range, for a smaller range refuses a larger level
            wanted = [wanted[0], (self._level, 0.0), *wanted[1:]]
        for setting, value in wanted:
            if not same(present[setting], value):
                change = Change(OUT, setting.name, setting.show(present[setting]), setting.show(value))
                steps.append(Step(setting.command("", value), (change,)))
        if not on and not self._stays_off:
            steps.append(Step(OUTPUT.command("", "ON"), (Change(OUT, OUTPUT.name, "OFF", "ON"),), stage=1))
        return steps

    def _sentence(self, code: int, text: str) -> str:
        words = text.split(";")
        if len(words) != 3:
            return super()._sentence(code, text)
        said, kind, when = words
        return super()._sentence(code, said).removesuffix(")") + f", {KINDS.get(kind, 'entry')} of {when})"

    # what it does
    def _ready(self, setting: Setting, wanted: str) -> None:
        """See that it sources or measures what the unit of this channel says."""
        if (present := self._present[setting]) != wanted:
            raise NotArmedError(f"{self.where}: it is not armed: its {setting.name} is {present}, not {wanted}. Arm it first.")

    def _write(self, keys: Sequence[str], values: Array) -> None:
        self._ready(SOURCE, _short(self.source))
        level = float(values[-1])
        # in one packet, on two lines: a level that is refused does not keep the echo from coming
        both = self.connection.wire.write_end.join((self._level.command("", level), self._level.ask))
        found = float(numbers(self.told(both), 1, self.where)[0])
        if abs(found - level) > 0.51 * self._channels[OUT].step:
            self.check()
            unit = self._level.unit
            raise RefusedError(self.where, [f"Its level was set to {level:.9g} {unit} and is {found:.9g} {unit}."], [])

    def _written(self, keys: Sequence[str]) -> Array:
        return np.full(len(keys), numbers(self.told(self._level.ask), 1, self.where)[0])

    def _measure(self, keys: Sequence[str]) -> Array:
        self._ready(SENSE, f"{_short(self.sensed)}:DC")
        return np.repeat(numbers(self.told("READ?"), 1, self.where), len(keys))

    def on(self, keys: Sequence[str]) -> None:
        """Switch its output on, at the level it is set to, and read that back."""
        self._ready(SOURCE, _short(self.source))
        self.connection.write(OUTPUT.command("", "ON"))
        if OUTPUT.read(self.ask(OUTPUT.ask), self.where) != "ON":
            self._refuse("Its output was switched on and says that it is off. Look at its interlock.")

    def is_on(self) -> bool:
        """Ask whether its output is on."""
        return OUTPUT.read(self.ask(OUTPUT.ask), self.where) == "ON"

    def tripped(self) -> tuple[str, ...]:
        """Get its output, where its limit holds it: what it drives is less than it was set to then."""
        said = self.ask(self._trip).strip()
        if said not in ("0", "1"):
            raise ReplyError(f"{self.where}: whether its limit holds is said to be {said[:20]!r}")
        return (OUT,) if said == "1" else ()

    def _off(self, keys: Sequence[str]) -> None:
        self.connection.write(OUTPUT.command("", "OFF"))
        self._present[OUTPUT] = "OFF"  # whatever it was, it has to be armed again
        if OUTPUT.read(self.ask(OUTPUT.ask), self.where) != "OFF":
            self.check()
            raise RefusedError(
                self.where, ["Its output was switched off and says that it is on. Switch it off at its front."], []
            )


def _short(function: Function) -> str:
    return "".join(c for c in function.value if not c.islower())
