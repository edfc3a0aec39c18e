"""Keysight 34970A and DAQ970A: one voltmeter behind multiplexers, which scans a list of channels, one after another.

A scan costs, per channel, NPLC over the line frequency and the channel delay; relays wear with every scan. The box scans in
ascending order, whatever the order of the list. `CONFigure` and `MEASure?` redefine the scan list and reset range and delay, so
they are never sent. An overload is 9.9E37, with no error in the queue: it never becomes a number here.
Commands: RIGS section 2.3; the 34970A manual (pages 73, 182, 228, 280); the DAQ970A programming guide (139, 149, 205, 215).
Forms in `SENSe:`, their lists in questions, `ROUTe:CHANnel:DELay:AUTO` and `SYSTem:LFRequency?` are not checked on hardware.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aeqlab.drivers import blocks
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import NotArmedError, OverloadError, RefusedError, ReplyError, SettingError
from aeqlab.drivers.identity import Identity
from aeqlab.drivers.instrument import Change, Channel, Direction
from aeqlab.drivers.visa import Setting, Step, Value, VisaInstrument, listed, same

Array = NDArray[Any]
KEY = re.compile(r"[123](0[1-9]|[1-3]\d|40)")  #: slot and channel; the largest module has 40
LONGEST_SCAN = 120
RANGES_V = (0.1, 1.0, 10.0, 100.0, 300.0)
OVERRANGE = 1.2  #: a range measures so far beyond its name, but for that of 300 V: not checked on hardware
WHOLE_NPLC = (1.0, 2.0, 10.0, 20.0, 100.0, 200.0)
#: Resolution relative to the range by NPLC: not checked on hardware.
RESOLUTION = {
    0.02: 1e-4, 0.06: 3e-5, 0.2: 1e-5, 1.0: 3e-6, 2.0: 2.2e-6, 10.0: 1e-6, 20.0: 8e-7, 100.0: 3e-7, 200.0: 2.2e-7,
}  # fmt: skip
ALREADY_RUNNING = -213  #: the error for a scan that is started while another one is under way
SCANNING = 16  #: bit of the operation register: a scan is under way


@dataclass(frozen=True, slots=True)
class Input:
    """How a channel is to be measured; None: as it stands.

    Attributes:
        range_V: one of `RANGES_V`; the box never chooses it by itself then.
        nplc: aperture in whole power-line cycles, one of `WHOLE_NPLC`.
        delay_s: from closing the relay to measuring, 0 to 60 s in whole milliseconds.
    """

    range_V: float | None = None
    nplc: float | None = None
    delay_s: float | None = None


def _of_channels(
    name: str, header: str, says: str, words: tuple[str, ...] = (), unit: str = "", low: float = -np.inf, high: float = np.inf
) -> Setting:
    return Setting(name, header + "? {key}", header + " {value},{key}", says, words, unit, low, high)


def _of_box(name: str, header: str, says: str, words: tuple[str, ...] = (), unit: str = "") -> Setting:
    return Setting(name, header + "?", header + " {value}", says, words, unit)


# fmt: off
FUNCTION = Setting("function", "SENSe:FUNCtion? {key}", 'SENSe:FUNCtion "{value}",{key}', "DC voltage.", unit="text")
AUTORANGE = _of_channels("autorange", "SENSe:VOLTage:DC:RANGe:AUTO", "Changing ranges takes time.", ("OFF", "ON"))
RANGE = _of_channels("range", "SENSe:VOLTage:DC:RANGe", "It is 0.1, 1, 10, 100 or 300 V.", unit="V", low=0.1, high=300)
NPLC = _of_channels("aperture", "SENSe:VOLTage:DC:NPLCycles", "Whole line cycles keep hum out.", unit="PLC", low=0.02, high=200)
AUTODELAY = _of_channels("automatic delay", "ROUTe:CHANnel:DELay:AUTO", "The box finds the delay itself.", ("OFF", "ON"))
DELAY = _of_channels("delay", "ROUTe:CHANnel:DELay", "Time to settle, in whole milliseconds.", unit="s", low=0, high=60)
SCAN = _of_box("scan list", "ROUTe:SCAN", "Channels that are measured, in ascending order.", unit="text")
TRIGGER = _of_box("trigger", "TRIGger:SOURce", "What starts a scan.",
                  ("IMMediate", "BUS", "EXTernal", "TIMer", "ALARm1", "ALARm2", "ALARm3", "ALARm4"))
SWEEPS = _of_box("scans per start", "TRIGger:COUNt", "More than one would put several scans into a reply.")
WITH_CHANNEL = _of_box("channel in replies", "FORMat:READing:CHANnel", "Replies hold readings and nothing else.", ("OFF", "ON"))
WITH_TIME = _of_box("time in replies", "FORMat:READing:TIME", "Replies hold readings and nothing else.", ("OFF", "ON"))
WITH_UNIT = _of_box("unit in replies", "FORMat:READing:UNIT", "Replies hold readings and nothing else.", ("OFF", "ON"))
WITH_ALARM = _of_box("alarm in replies", "FORMat:READing:ALARm", "Replies hold readings and nothing else.", ("OFF", "ON"))
# fmt: on
OF_CHANNEL = (FUNCTION, AUTORANGE, RANGE, NPLC, AUTODELAY, DELAY)
#: Settings of the box, and how they must stand for a reply to be one scan.
OF_BOX: Mapping[Setting, Value] = {
    TRIGGER: "IMM", SWEEPS: 1.0, WITH_CHANNEL: "OFF", WITH_TIME: "OFF", WITH_UNIT: "OFF", WITH_ALARM: "OFF",
}  # fmt: skip


class Daq970a(VisaInstrument):
    """A 34970A or DAQ970A, for DC voltages.

    Arming stops a scan that is under way, gives the channels that are used range, aperture and delay, makes them the scan list,
    and lets a reply hold one scan and nothing else. Without `inputs` the scan list that stands is taken, as it is.

    Args:
        wire: how it is reached.
        name: how the rig calls it.
        serial: its serial number; empty: any. A 34970A may say 0 (not checked on hardware).
        inputs: the channels that are used, such as `101`, and how; None: the scan list as it stands.
    Raises:
        SettingError: a channel that no module has, more than 120, or a setting outside its range.
    """

    models: ClassVar[tuple[str, ...]] = ("34970A", "DAQ970A")  # the maker was Hewlett-Packard, Agilent, Keysight
    #: Positive numbers are not checked on hardware.
    sentences: ClassVar[Mapping[int, str]] = {
        111: "A channel list names a slot that is not there; slots are 1, 2 and 3.",
        112: "A channel list names a channel that the module in that slot does not have. Correct the channels of the rig file.",
        113: "The scan list is empty. Arm it again.",
        261: "It cannot do that while it scans. Stop the scan first.",
        301: "A module is busy with a scan. Stop the scan first.",
        302: "There is no module in a slot. Put it in, or correct the channels of the rig file.",
        303: "A module cannot do what was asked of it. See that it is a multiplexer.",
        305: "A module cannot do what was asked of it. See that it is a multiplexer.",
        308: "A channel cannot do what was asked of it; some measure currents only. Correct the channels of the rig file.",
    }

    def __init__(self, wire: Wire, name: str = "", *, serial: str = "", inputs: Mapping[str, Input] | None = None) -> None:
        super().__init__(wire, name, serial=serial)
        self._inputs = None if inputs is None else {key: inputs[key] for key in sorted(inputs)}
        for key, wanted in (self._inputs or {}).items():
            self._check(key, wanted)
        if len(self._inputs or {}) > LONGEST_SCAN:
            raise SettingError(f"{self.name}: {len(inputs or {})} channels; it scans no more than {LONGEST_SCAN}.")
        self._scan: tuple[str, ...] = ()
        self._box: dict[Setting, Value] = {}
        self._present: dict[tuple[Setting, str], Value] = {}
        self._channels: dict[str, Channel] = {}
        self._line_Hz = 50.0
        self._scanning = self._begun = False

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Get the channels that are used, in V, with the ranges that are set now."""
        return self._channels

    @property
    def scan_s(self) -> float:
        """Get how long a scan takes, in s: apertures and delays of the scan list that stands."""
        return sum(
            float(self._present[NPLC, key]) / self._line_Hz + float(self._present[DELAY, key])
            for key in self._scan
            if (NPLC, key) in self._present
        )

    def questions(self) -> tuple[str, ...]:
        """List the questions for its settings."""
        return tuple(one.ask for one in (*OF_CHANNEL, *OF_BOX, SCAN))

    def settings(self) -> dict[str, str]:
        """Get how every channel that is used is measured, the scan list, its trigger, and the line frequency."""
        self._adopt()
        found = {"line frequency": f"{self._line_Hz:g} Hz", SCAN.name: listed(self._scan)}
        found |= {setting.name: setting.show(value) for setting, value in self._box.items()}
        return found | {f"channel {key}: {setting.name}": setting.show(value) for (setting, key), value in self._present.items()}

    def begin(self) -> None:
        """Start a scan and do not wait for it: the next `measure` fetches it. So several boxes scan at the same time.

        Raises:
            SettingError: it is not armed, or a scan takes longer than a reply is waited for; nothing was sent.
            RefusedError: it complains; the scan is not taken for begun.
        """
        self._ready(self._scan)
        if not self._begun:
            # the question tells that the scan has begun; *OPC? would wait for its end
            said, _ = self._parted(self.ask("INITiate;:SYSTem:ERRor?;*ESR?"))
            if complaints := self._entries(said):
                complaints += self.complaints()
                codes = [one.code for one in complaints]
                if ALREADY_RUNNING not in codes:
                    self.connection.write("ABORt")  # nobody will fetch what was begun
                raise RefusedError(self.where, [one.text for one in complaints], codes)
            self._begun = True

    # settings
    def _check(self, key: str, wanted: Input) -> None:
        where = f"{self.name}, channel {key}"
        if not KEY.fullmatch(key):
            raise SettingError(f"{where}: channels are slot and number, 101 to 140, 201 to 240 and 301 to 340.")
        if wanted.range_V is not None and wanted.range_V not in RANGES_V:
            raise SettingError(f"{where}: range {wanted.range_V:g} V is none it has. {RANGE.says}")
        if wanted.nplc is not None and wanted.nplc not in WHOLE_NPLC:
            raise SettingError(
                f"{where}: an aperture of {wanted.nplc:g} PLC lets hum through or is none it has. It is 1, 2, 10, 20, 100 or 200."
            )
        if wanted.delay_s is not None:
            DELAY.check(wanted.delay_s, where)
            if abs(wanted.delay_s - round(wanted.delay_s, 3)) > 1e-9:
                raise SettingError(f"{where}: delay {wanted.delay_s:g} s is not in whole milliseconds.")

    def _known(self, identity: Identity) -> Identity:
        self._begun = False
        return super()._known(identity)

    def _adopt(self) -> None:
        line_Hz = float(self.readings(self.ask("SYSTem:LFRequency?"), ["line frequency"])[0])
        if not 40.0 <= line_Hz <= 500.0:  # 400 Hz on ships and in aircraft
            raise ReplyError(f"{self.where}: the line frequency is said to be {line_Hz:g} Hz")
        scan = self._scan_list(self.ask(SCAN.ask))
        box = {setting: setting.read(self.ask(setting.ask), self.where) for setting in OF_BOX}
        scanning = bool(int(self.readings(self.ask("STATus:OPERation:CONDition?"), ["status"])[0]) & SCANNING)
        keys = tuple(self._inputs) if self._inputs is not None else scan
        present: dict[tuple[Setting, str], Value] = {}
        for setting in OF_CHANNEL if keys else ():
            fields = self.ask(setting.ask.format(key=listed(keys))).split(",")
            if len(fields) != len(keys):
                raise ReplyError(f"{self.where}: {len(fields)} values of {setting.name} came, {len(keys)} were asked for")
            present |= {(setting, key): setting.read(field, self.where) for key, field in zip(keys, fields, strict=True)}
        self._line_Hz, self._scan, self._box, self._scanning, self._present = line_Hz, scan, box, scanning, present
        self._channels = {key: self._input(key) for key in keys}

    def _scan_list(self, reply: str) -> tuple[str, ...]:
        """Read the scan list: a block such as `#214(@101,102,103)`."""
        head = reply.encode("ascii", "replace")
        digits = blocks.digits_of(head[:2])
        text = reply[2 + digits :]
        if len(text) != blocks.length_of(head[2 : 2 + digits]) or not re.fullmatch(r"\(@(\d+(,\d+)*)?\)", text):
            raise ReplyError(f"{self.where}: the scan list is said to be {reply[:60]!r}")
        return tuple(filter(None, text[2:-1].split(",")))

    def _input(self, key: str) -> Channel:
        named = RANGES_V[-1] if self._present[AUTORANGE, key] == "ON" else float(self._present[RANGE, key])
        most = named if named >= RANGES_V[-1] else OVERRANGE * named
        fine = RESOLUTION.get(float(self._present[NPLC, key]), 0.0) * float(self._present[RANGE, key])
        return Channel(key, Direction.IN, "V", -most, most, fine)

    def _wanted(self, key: str, wanted: Input) -> list[tuple[Setting, Value]]:
        """List what is asked of a channel, in the order in which it is set."""
        found: list[tuple[Setting, Value]] = [(FUNCTION, "VOLT")]
        if wanted.range_V is not None:
            found += [(AUTORANGE, "OFF"), (RANGE, wanted.range_V)]
        if wanted.nplc is not None:
            found.append((NPLC, wanted.nplc))
        if wanted.delay_s is not None:
            found += [(AUTODELAY, "OFF"), (DELAY, wanted.delay_s)]
        return found

    def _steps(self) -> list[Step]:
        groups: dict[tuple[Setting, Value], list[str]] = {}
        for key, wanted in (self._inputs or {}).items():
            for setting, value in self._wanted(key, wanted):
                if not same(self._present[setting, key], value):
                    groups.setdefault((setting, value), []).append(key)
        steps = []
        for (setting, value), keys in sorted(groups.items(), key=lambda group: OF_CHANNEL.index(group[0][0])):
            changes = [Change(k, setting.name, setting.show(self._present[setting, k]), setting.show(value)) for k in keys]
            steps.append(Step(setting.command(listed(keys), value), tuple(changes)))
        if self._inputs is not None and self._scan != tuple(self._inputs):
            change = Change("", SCAN.name, listed(self._scan), listed(self._inputs))
            steps.append(Step(SCAN.command("", listed(self._inputs)), (change,)))
        for setting, value in OF_BOX.items():
            if not same(self._box[setting], value):
                change = Change("", setting.name, setting.show(self._box[setting]), setting.show(value))
                steps.append(Step(setting.command("", value), (change,)))
        if self._scanning:
            steps.insert(0, Step("ABORt", (Change("", "scan", "running", "stopped"),)))
        return steps

    # measuring
    def _ready(self, keys: Sequence[str]) -> None:
        """See that a scan would hold these channels and nothing else, and end before a reply is given up."""
        missing = [key for key in keys if key not in self._scan]
        wrong = [setting.name for setting, value in OF_BOX.items() if not same(self._box.get(setting, value), value)]
        if missing or wrong or not self._scan:
            why = f"channel {', '.join(missing)} is not in its scan list" if missing else f"see its {', '.join(wrong)}"
            raise NotArmedError(
                f"{self.where}: it is not armed: {why if self._scan else 'its scan list is empty'}. Arm it first."
            )
        if other := [f"{k} ({now})" for k in keys if (now := self._present.get((FUNCTION, k), "VOLT")) != "VOLT"]:
            raise SettingError(
                f"{self.where}: channel {', '.join(other)} does not measure DC voltage. Name it among its inputs and arm it."
            )
        if self.scan_s > 0.8 * self.connection.wire.timeout_s:
            raise SettingError(
                f"{self.where}: a scan takes about {self.scan_s:.3g} s, and timeout_s is {self.connection.wire.timeout_s:g} s. "
                "Choose a longer timeout, shorter apertures or fewer channels."
            )

    def _measure(self, keys: Sequence[str]) -> Array:
        """Scan once, or fetch the scan that was begun; the whole list is measured, whatever was asked for."""
        self._ready(keys)
        question, self._begun = ("FETCh?" if self._begun else "READ?"), False
        reply = self.told(question)
        try:
            read = self.readings(reply, self._scan).tolist()
        except OverloadError as exc:
            if {self._scan[place] for place in exc.places} & set(keys):
                raise
            read = [float(field) for field in reply.split(",")]  # what is beyond its range was not asked for
        values = dict(zip(self._scan, read, strict=True))
        return np.array([values[key] for key in keys])
