"""QDevil QDAC-II: 24 voltage outputs of 25 bits, set all at once by a trigger; each can tell the current it delivers.

It has no output relay and holds its outputs when nobody speaks to it any more. It cannot measure its voltages: what it says of
them is what it was told. Commands: RIGS section 2.2, from the public driver of QCoDeS (Qcodes_contrib_drivers, QDevil/QDAC2.py).
Several commands go out in one packet, each on a line of its own, in long form: firmware up to 0.17.5 took some short forms
wrongly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import RebootedError, RefusedError, ReplyError, SettingError
from aeqlab.drivers.instrument import Change, Channel, Direction, Silence
from aeqlab.drivers.visa import Setting, Step, Value, VisaInstrument, same

Array = NDArray[Any]
OUTPUTS = tuple(str(k) for k in range(1, 25))
BITS = 25
FASTEST_V_PER_S = 2e7
AT_ONCE_V_PER_S = 1000.0  #: with more than this, an output is at its voltage before it can be asked
#: `*TRG`, the trigger over the bus, also sets off whatever else of the box waits for it, such as lists; this one is ours.
OWN_TRIGGER, TRIGGER_NOW = "INT14", "TINT 14"
SLOWEST_LINE_HZ = 50.0  #: so long may a power-line cycle be where the mains are not known


class Range(StrEnum):
    """Ranges of an output (nominally 2 V and 10 V; its limits are asked) and of a current (200 nA and 10 mA)."""

    LOW = "LOW"
    HIGH = "HIGH"


class Filter(StrEnum):
    """Filters of an output: 10 Hz, 10 kHz, 300 kHz."""

    DC = "DC"
    MED = "MED"
    HIGH = "HIGH"


CURRENT_A = {Range.LOW: 200e-9, Range.HIGH: 10e-3}  #: ranges of a current, nominal: not checked on hardware


@dataclass(frozen=True, slots=True)
class Output:
    """How an output is to be set up; None: as it stands."""

    range: Range | None = None
    filter: Filter | None = None
    slew_V_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Current:
    """How the current of an output is to be read; None: as it stands. Its channel is `i` and the number of the output."""

    range: Range | None = None
    nplc: int | None = None


MODE = Setting(
    "mode", "SOURce{key}:VOLTage:MODE?", "SOURce{key}:VOLTage:MODE {value}", "A steady voltage, a list or a sweep.",
    ("FIXed", "LIST", "SWEep"),
)  # fmt: skip
TRIGGER = Setting(
    "trigger", "SOURce{key}:DC:TRIGger:SOURce?", "SOURce{key}:DC:TRIGger:SOURce {value}", "What applies a staged voltage.",
    ("BUS", "IMMediate", "FREEze", *(f"INT{k}" for k in range(1, 15)), *(f"EXT{k}" for k in range(1, 5))),
)  # fmt: skip
RANGE = Setting(
    "range", "SOURce{key}:RANGe?", "SOURce{key}:RANGe {value}", "The low range is finer, the high one reaches further.",
    ("LOW", "HIGH"),
)  # fmt: skip
FILTER = Setting(
    "filter", "SOURce{key}:FILTer?", "SOURce{key}:FILTer {value}", "10 Hz, 10 kHz or 300 kHz behind the converter.",
    ("DC", "MEDium", "HIGH"),
)  # fmt: skip
SLEW = Setting(
    "slew", "SOURce{key}:VOLTage:SLEW?", "SOURce{key}:VOLTage:SLEW {value}", "The box itself changes its output no faster.",
    unit="V/s", low=0.01, high=FASTEST_V_PER_S,
)  # fmt: skip
CURRENT_RANGE = Setting(
    "current range", "SENSe{key}:RANGe?", "SENSe{key}:RANGe {value}", "200 nA or 10 mA.", ("LOW", "HIGH"),
)  # fmt: skip
CURRENT_NPLC = Setting(
    "current aperture", "SENSe{key}:NPLCycles?", "SENSe{key}:NPLCycles {value}", "Whole power-line cycles keep hum out.",
    unit="PLC", low=1, high=1000,  # the upper end is not checked on hardware
)  # fmt: skip
OF_OUTPUT = (MODE, TRIGGER, RANGE, FILTER, SLEW)
OF_CURRENT = (CURRENT_RANGE, CURRENT_NPLC)


class Qdac2(VisaInstrument):
    """A QDAC-II.

    Arming gives the outputs that are used a steady voltage that an internal trigger applies, which nothing else of the box should
    wait for (`OWN_TRIGGER`), and the range, filter and slew that were asked for. It
    never changes a range while the output is away from 0 V: that makes a spike (QCoDeS issue 1613).

    Args:
        wire: how it is reached: `TCPIP::ADDRESS::5025::SOCKET`, or a serial port at 921600 baud.
        name: how the rig calls it.
        serial: its serial number; empty: any.
        outputs: the outputs that are used, and how; None: all 24, as they stand.
        currents: outputs whose current is read, by their number; each is an input `i` and the number, in A.
    Raises:
        SettingError: an output that is not there, or a setting outside its range.
    """

    maker: ClassVar[str] = "QDevil"
    models: ClassVar[tuple[str, ...]] = ("QDAC-II",)
    all_errors: ClassVar[bool] = True
    when_silent: ClassVar[Silence] = Silence.HOLDS
    #: What `off` does, for people: there is nothing to switch.
    off_means: ClassVar[str] = "sets its outputs to 0 V; they have no relay and stay connected"
    sentences: ClassVar[Mapping[int, str]] = {
        # that out-of-range voltages give -222 is not checked on hardware
        -222: "A voltage or setting is outside what the output can do in its range; the old value stays. "
        "Choose a value within, or the high range.",
    }

    def __init__(
        self, wire: Wire, name: str = "", *, serial: str = "", outputs: Mapping[str, Output] | None = None,
        currents: Mapping[str, Current] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(wire, name, serial=serial)
        self._outputs = dict.fromkeys(OUTPUTS, Output()) if outputs is None else dict(outputs)
        self._currents = dict(currents or {})
        for key in (*self._outputs, *self._currents):
            if key not in OUTPUTS:
                raise SettingError(f"{self.name}: there is no output {key!r}; its outputs are 1 to 24.")
        for setting, key, value in self._wanted():
            setting.check(value, f"{self.name}, output {key}")
        self._present: dict[tuple[Setting, str], Value] = {}
        self._ends: dict[str, tuple[float, float]] = {}
        self._channels: dict[str, Channel] = {}

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Get the outputs that are used, in V, and the currents that are read, in A, with the ranges that are set now."""
        return self._channels

    def questions(self) -> tuple[str, ...]:
        """List the questions for its settings."""
        return tuple(one.ask for one in (*OF_OUTPUT, *OF_CURRENT))

    def settings(self) -> dict[str, str]:
        """Get mode, trigger, range, filter and slew of every output that is used, and how its current is read."""
        self._adopt()
        return {f"output {key}: {setting.name}": setting.show(value) for (setting, key), value in self._present.items()}

    def arm(self) -> None:
        """Change what is not as it is wanted, and read everything back.

        Raises:
            SettingError: a range would change while its output is away from 0 V; nothing was sent.
            RefusedError: it complains, or says that a setting is not as it was set.
        """
        for step in self._steps():
            for change in step.changes:
                if change.setting == RANGE.name and (volts := self._away(change.channel)):
                    raise SettingError(
                        f"{self.where}, output {change.channel}: it is at {volts:.6g} V, and its range changes only at 0 V, "
                        "because the change makes a spike. Bring it to 0 V first."
                    )
        super().arm()
        self._stage_present()

    def _stage_present(self) -> None:
        """Stage what is set: an output whose next voltage is refused stays then, and does not go to what was staged before."""
        if not (keys := list(self._outputs)):
            return
        present, which = self._written(keys), f"(@{','.join(keys)})"
        staged = self.readings(self.ask(f"SOURce:VOLTage:TRIGgered? {which}"), keys)
        for key, value, old in zip(keys, present.tolist(), staged.tolist(), strict=True):
            if old != value:
                self.connection.write(f"SOURce{key}:VOLTage:TRIGgered {value:.10g}")
        self.check()

    # settings
    def _wanted(self) -> list[tuple[Setting, str, Value]]:
        """List every setting that is asked for, in the order in which it is set."""
        found: list[tuple[Setting, str, Value]] = []
        for key, out in self._outputs.items():
            # slew and filter before the mode, so that an output that a list was driving gets to its steady voltage gently
            asked: list[tuple[Setting, Value | None]] = [(SLEW, out.slew_V_per_s), (FILTER, out.filter), (RANGE, out.range)]
            asked += [(MODE, "FIX"), (TRIGGER, OWN_TRIGGER)]
            found += [(setting, key, value) for setting, value in asked if value is not None]
        for key, current in self._currents.items():
            senses: list[tuple[Setting, Value | None]] = [(CURRENT_RANGE, current.range), (CURRENT_NPLC, current.nplc)]
            found += [(setting, key, value) for setting, value in senses if value is not None]
        return found

    def _adopt(self) -> None:
        present: dict[tuple[Setting, str], Value] = {}
        ends: dict[str, tuple[float, float]] = {}
        for keys, settings in ((self._outputs, OF_OUTPUT), (self._currents, OF_CURRENT)):
            for key in keys:
                for setting in settings:
                    present[setting, key] = setting.read(self.ask(setting.ask.format(key=key)), self.where)
        for key in self._outputs:
            head = f"SOURce{key}:RANGe:{present[RANGE, key]}"
            ends[key] = (self._number(f"{head}:MINimum?"), self._number(f"{head}:MAXimum?"))
        self._present, self._ends = present, ends
        self._channels = {key: self._output(key) for key in self._outputs}
        for key in self._currents:
            most = CURRENT_A[Range(str(present[CURRENT_RANGE, key]))]
            self._channels[f"i{key}"] = Channel(f"i{key}", Direction.IN, "A", -most, most)

    def _output(self, key: str) -> Channel:
        low, high = self._ends[key]
        if not low < high:
            raise ReplyError(f"{self.where}, output {key}: its range is said to be {low:g} to {high:g} V")
        return Channel(key, Direction.OUT, "V", low, high, (high - low) / 2**BITS, float(self._present[SLEW, key]))

    def _steps(self) -> list[Step]:
        steps = []
        for setting, key, wanted in self._wanted():
            present = self._present[setting, key]
            if not same(present, wanted):
                change = Change(key, setting.name, setting.show(present), setting.show(wanted))
                steps.append(Step(setting.command(key, wanted), (change,)))
        return steps

    def _away(self, key: str) -> float:
        """Get the voltage an output is set to, or is at by a ramp, a list or a sweep; 0 where both are 0."""
        # that LAST tells where the output is now, and not what it was set to, is not checked on hardware
        return self._number(f"SOURce{key}:VOLTage?") or self._number(f"SOURce{key}:VOLTage:LAST?")

    def _number(self, question: str) -> float:
        return float(self.readings(self.ask(question), [question])[0])

    # outputs
    def _write(self, keys: Sequence[str], values: Array) -> None:
        """Stage all, trigger once, and ask for errors, in one exchange: it answers when all of it was carried out.

        A voltage that is refused stays where it is, the others move: on the way to safety one bad output must not stop the rest.
        An output that is not armed is set by itself.

        Raises:
            RefusedError: a voltage was refused.
            RebootedError: the box was off meanwhile; its settings, slew and ranges among them, were not those that were armed.
        """
        lines, staged = [], []
        for key, value in zip(keys, values.tolist(), strict=True):
            if (self._present[MODE, key], self._present[TRIGGER, key]) == ("FIX", OWN_TRIGGER):
                lines.append(f"SOURce{key}:VOLTage:TRIGgered {value:.10g}")
                staged.append(key)
            else:
                lines += self._by_itself(key, value)
        if staged:
            lines += [f"SOURce:DC:INITiate (@{','.join(staged)})", TRIGGER_NOW]
        lines.append("SYSTem:ERRor:ALL?")
        self._sound(self.connection.wire.write_end.join(lines))

    def _by_itself(self, key: str, value: float) -> list[str]:
        """List the commands that set an output that is not armed.

        One that a list or a sweep drives gets its slew and its voltage before its mode: the mode lets it go to the voltage it was
        last given, which would be a detour. That a voltage is taken in such a mode is not checked on hardware.
        """
        lines = [f"SOURce{key}:VOLTage {value:.10g}"]
        slew = self._outputs[key].slew_V_per_s
        if slew is not None and not same(self._present[SLEW, key], slew):
            lines.insert(0, SLEW.command(key, slew))
        return lines if self._present[MODE, key] == "FIX" else [*lines, f"SOURce{key}:VOLTage:MODE FIXed"]

    def _written(self, keys: Sequence[str]) -> Array:
        # a list in this question is not checked on hardware; that of READ? is
        return self.readings(self.told(f"SOURce:VOLTage? (@{','.join(keys)})"), keys)

    def _off(self, keys: Sequence[str]) -> None:
        """Set outputs to 0 V, and see that the box says so: there is nothing to switch off.

        It says what they are set to and where they are now. One that ramps is on its way and not there yet; without a slew worth
        the name it has to be there. That LAST tells where an output is, and not what it was set to, is not checked on hardware.
        """
        with contextlib.suppress(RebootedError):  # it is at 0 V all the more; `rebooted` still tells it
            self._write(keys, np.zeros(len(keys)))
        steps = np.array([self._channels[key].step for key in keys])
        slews = np.array([float(self._present[SLEW, key]) for key in keys])
        now = self.readings(self.told(f"SOURce:VOLTage:LAST? (@{','.join(keys)})"), keys)
        away = (np.abs(self._written(keys)) > steps) | ((np.abs(now) > steps) & (slews > AT_ONCE_V_PER_S))
        if any(away):
            which = ", ".join(key for key, far in zip(keys, away, strict=True) if far)
            raise RefusedError(self.where, [f"It was told, and does not say that output {which} is at 0 V."], [])

    def _measure(self, keys: Sequence[str]) -> Array:
        outputs = [key.removeprefix("i") for key in keys]
        longest = max((float(self._present[CURRENT_NPLC, key]) for key in outputs), default=0.0) / SLOWEST_LINE_HZ
        if longest > 0.8 * self.connection.wire.timeout_s:
            raise SettingError(
                f"{self.where}: reading these currents takes about {longest:.3g} s, and timeout_s is "
                f"{self.connection.wire.timeout_s:g} s. Choose a longer timeout or a shorter aperture."
            )
        return self.readings(self.told(f"READ? (@{','.join(outputs)})"), keys)
