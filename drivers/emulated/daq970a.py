"""An emulated 34970A or DAQ970A: a scan list, one range, aperture and delay per channel, conversions that take their time.

What it does follows RIGS section 2.3 and the manual pages named in the driver; where these are silent (its own error numbers,
the automatic delay, resolutions, what a 34970A keeps when it is off) it is one plausible instrument, not checked on hardware.
Readings of a scan that was begun are taken when they are fetched, once its time has passed; `READ?` takes one after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aeqlab.drivers.emulated.clock import Clock, WallClock
from aeqlab.drivers.emulated.scpi import DEVICE, POWER_ON, Call, Command, Front, ScpiError, short_form
from aeqlab.drivers.emulated.terminals import AGO_S, Bare, Terminals

NAMES = {
    "DAQ970A": "Keysight Technologies,DAQ970A,MY12345678,A.02.04-00.16-11.29-00.02-02-01",
    "34970A": "HEWLETT-PACKARD,34970A,0,13-2-2",  # the form of this one is not checked on hardware
}
NPLC = {0.02: 1e-4, 0.2: 1e-5, 1.0: 3e-6, 2.0: 2.2e-6, 10.0: 1e-6, 20.0: 8e-7, 100.0: 3e-7, 200.0: 2.2e-7}
NPLC_OF = {"34970A": NPLC, "DAQ970A": NPLC | {0.06: 3e-5}}
RANGES_V = (0.1, 1.0, 10.0, 100.0, 300.0)
AUTOMATIC_S = 0.001  #: the delay that it chooses by itself
LONGEST_SCAN = 120
OVERLOAD = 9.9e37
TRIGGERS = ("BUS", "IMMediate", "EXTernal", "TIMer", "ALARm1", "ALARm2", "ALARm3", "ALARm4")
FIELDS = ("CHANnel", "TIME", "UNIT", "ALARm")


@dataclass
class State:
    """How one channel is measured; as delivered."""

    function: str = "VOLT"
    range: float = 300.0
    autorange: bool = True
    nplc: float = 1.0
    delay: float | None = None  # None: automatic


class EmulatedDaq970a:
    """A 34970A or DAQ970A on some terminals: it senses `101` and so on.

    Args:
        terminals: what it is wired to.
        clock: of the bench.
        model: `DAQ970A` or `34970A`.
        serial: its serial number; empty: that of the example in its manual.
        modules: how many channels the module in each slot has; 0: there is none.
        line_Hz: of the mains.
        switching_s: what closing a relay costs besides the delay; reed relays take some 10 ms.
    """

    def __init__(
        self, terminals: Terminals | None = None, clock: Clock | None = None, *, model: str = "DAQ970A", serial: str = "",
        modules: Sequence[int] = (20, 20, 0), line_Hz: float = 50.0, switching_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.terminals: Terminals = terminals or Bare()
        self.clock: Clock = clock or WallClock()
        self.model, self.line_Hz, self.switching_s = model, line_Hz, switching_s
        self.known = [100 * (slot + 1) + k for slot, count in enumerate(modules) for k in range(1, count + 1)]
        self.scan: list[int] = []
        self._defaults()
        fields = NAMES[model].split(",", 3)
        name = ",".join([*fields[:2], serial or fields[2], *fields[3:]])
        self.front = Front(name, self._commands(), self._defaults)

    def reboot(self) -> None:
        """Switch it off and on: settings as delivered, errors forgotten; a DAQ970A keeps its scan list (guide, page 215)."""
        kept = self.scan if self.model == "DAQ970A" else []
        self._defaults()
        self.scan = kept
        self.front.errors.clear()
        self.front.events = POWER_ON

    def _defaults(self) -> None:
        self.channels = {number: State() for number in self.known}
        self.scan = []
        self.trigger, self.count = "IMM", 1.0
        self.fields = dict.fromkeys(FIELDS, False)
        self.memory: list[tuple[int, float]] | None = None
        self.waits = False  # for a trigger
        self.questionable = 0
        self.ready_at = 0.0

    # what it knows
    def _commands(self) -> list[Command]:
        channel = self._of_channel
        return [
            Command("CONFigure:VOLTage:DC", do=self._configure, parameters=(1, 3)),
            Command("MEASure:VOLTage:DC", ask=self._measure, parameters=(1, 3)),
            channel("[SENSe:]FUNCtion", lambda s: f'"{s.function}"', self._function),
            channel("[SENSe:]VOLTage[:DC]:RANGe:AUTO", lambda s: str(int(s.autorange)), self._autorange),
            channel("[SENSe:]VOLTage[:DC]:RANGe", lambda s: f"{s.range:+.8E}", self._range),
            channel("[SENSe:]VOLTage[:DC]:NPLCycles", lambda s: f"{s.nplc:+.8E}", self._nplc),
            channel("ROUTe:CHANnel:DELay:AUTO", lambda s: str(int(s.delay is None)), self._autodelay),
            channel("ROUTe:CHANnel:DELay", lambda s: f"{_delay_s(s):+.8E}", self._delay),
            Command("ROUTe:SCAN", lambda call: self._listed(), self._scan, (1, 1)),
            Command("ROUTe:SCAN:SIZE", lambda call: f"+{len(self.scan)}"),
            Command("TRIGger:SOURce", lambda call: self.trigger, self._source, (1, 1)),
            Command("TRIGger:COUNt", lambda call: f"{self.count:+.8E}", self._counted, (1, 1)),
            *(
                Command(
                    f"FORMat:READing:{field}",
                    lambda call, field=field: str(int(self.fields[field])),  # type: ignore[misc]
                    lambda call, field=field: self.fields.update({field: call.switch()}),  # type: ignore[misc]
                    (1, 1),
                )
                for field in FIELDS
            ),
            Command("INITiate", do=lambda call: self._initiate(), parameters=(0, 0)),
            Command("*TRG", do=lambda call: self._triggered(), parameters=(0, 0)),
            Command("FETCh", lambda call: self._fetch()),
            Command("READ", lambda call: self._read()),
            Command("ABORt", do=lambda call: self._abort(), parameters=(0, 0)),
            Command("STATus:QUEStionable[:EVENt]", lambda call: self._questionable()),
            Command("STATus:OPERation:CONDition", lambda call: f"{16 * self._scanning() + 32 * self.waits:+d}"),
            Command("SYSTem:LFRequency", lambda call: f"+{self.line_Hz:g}"),
        ]

    def _of_channel(self, header: str, ask: Callable[[State], str], do: Callable[[State, Call], None]) -> Command:
        """Make a command with a channel list at its end; without one the scan list is meant (34970A manual, page 182)."""

        def all_(call: Call) -> None:
            for number in self._which(call, 1):
                do(self.channels[number], call)

        return Command(header, lambda call: ",".join(ask(self.channels[n]) for n in self._which(call, 0)), all_, (1, 2))

    def _which(self, call: Call, at: int) -> list[int]:
        return self._numbers(call.text(at)) if len(call.values) > at else self.scan

    def _numbers(self, text: str) -> list[int]:
        """Read a channel list: the ends of a range must be there, what lies between may be missing (34970A manual, page 73)."""
        match = re.fullmatch(r"\(@([\d,: ]*)\)", text.strip())
        if match is None:
            raise ScpiError(-102)
        found: set[int] = set()
        for part in filter(None, (piece.strip() for piece in match[1].split(","))):
            first, _, last = part.partition(":")
            for end in (int(first), int(last or first)):
                if end // 100 not in (1, 2, 3):
                    raise ScpiError(111, "Channel list: slot number out of range")
                if not any(number // 100 == end // 100 for number in self.known):
                    raise ScpiError(302, "No module was detected in this slot")
                if end not in self.known:
                    raise ScpiError(112, "Channel list: channel number out of range")
            found.update(number for number in self.known if int(first) <= number <= int(last or first))
        return sorted(found)

    # settings
    @staticmethod
    def _function(state: State, call: Call) -> None:
        state.function = {"VOLT": "VOLT", "VOLTAGE": "VOLT", "VOLT:DC": "VOLT", "VOLTAGE:DC": "VOLT", "RES": "RES"}.get(
            call.text(0).upper(), ""
        ) or _refuse(-224)

    @staticmethod
    def _range(state: State, call: Call) -> None:
        wanted = call.number(0, 0.0, RANGES_V[-1])
        state.range, state.autorange = next(volts for volts in RANGES_V if wanted <= volts), False

    @staticmethod
    def _autorange(state: State, call: Call) -> None:
        state.autorange = call.switch(0)

    def _nplc(self, state: State, call: Call) -> None:
        wanted = call.number(0, 0.02, 200.0)
        state.nplc = min(nplc for nplc in NPLC_OF[self.model] if nplc >= wanted)

    @staticmethod
    def _delay(state: State, call: Call) -> None:
        state.delay = round(call.number(0, 0.0, 60.0), 3)

    @staticmethod
    def _autodelay(state: State, call: Call) -> None:
        state.delay = None if call.switch(0) else _delay_s(state)

    def _scan(self, call: Call) -> None:
        wanted = self._numbers(call.text())
        if len(wanted) > LONGEST_SCAN:
            raise ScpiError(-223)
        self.scan = wanted

    def _listed(self) -> str:
        text = f"(@{','.join(map(str, self.scan))})"
        return f"#{len(str(len(text)))}{len(text)}{text}"

    def _source(self, call: Call) -> None:
        self.trigger = short_form(call.word(0, *TRIGGERS))

    def _counted(self, call: Call) -> None:
        infinite = call.text().strip().upper() in ("INF", "INFINITY")
        self.count = OVERLOAD if infinite else float(int(call.number(0, 1, 50000)))

    def _configure(self, call: Call) -> None:
        """Redefine the scan list, and reset range, aperture and delay of its channels."""
        wanted = self._numbers(call.text(len(call.values) - 1))
        for number in wanted:
            self.channels[number] = State()
            if len(call.values) > 1 and call.text(0).strip().upper() not in ("AUTO", "DEF"):
                self._range(self.channels[number], call)
        self.scan, self.fields["CHANnel"] = wanted, False

    def _measure(self, call: Call) -> str | None:
        self._configure(call)
        return self._read()

    # scanning
    def _scanning(self) -> bool:
        return self.clock.now() < self.ready_at

    def _initiate(self) -> None:
        self._idle()
        self.memory = []
        self.waits = self.trigger != "IMM"
        if not self.waits:
            self._begin()

    def _triggered(self) -> None:
        if not self.waits or self.trigger != "BUS":
            raise ScpiError(-211, "Trigger ignored")
        self.waits = False
        self._begin()

    def _begin(self) -> None:
        """Let the scan begin; its readings are taken when they are asked for, once its time has passed."""
        sweeps = float("inf") if self.count == OVERLOAD else self.count
        self.ready_at = self.clock.now() + sweeps * sum(self._cost_s(number) for number in self.scan)

    def _idle(self) -> None:
        if self._scanning() or self.waits:
            raise ScpiError(-213, "Init ignored")
        if not self.scan:
            raise ScpiError(113, "Channel list: empty scan list")

    def _cost_s(self, number: int) -> float:
        state = self.channels[number]
        return _delay_s(state) + self.switching_s + state.nplc / self.line_Hz

    def _sweep(self) -> list[tuple[int, float]]:
        """Measure every channel of the scan list, one after another; those of half a second are converted together."""
        found = []
        some: list[tuple[int, float]] = []  # channels, and when each is converted, in s from when the first of them begins
        for number in self.scan:
            cost_s = self._cost_s(number)
            if some and some[-1][1] + cost_s - some[0][1] > AGO_S:
                found += self._converted(some)
                some = []
            some.append((number, (some[-1][1] if some else 0.0) + cost_s))
        return found + self._converted(some)

    def _converted(self, some: list[tuple[int, float]]) -> list[tuple[int, float]]:
        end = some[-1][1]
        self.clock.spend(end)
        return [(number, self._sensed(number, end - at)) for number, at in some]

    def _sensed(self, number: int, ago_s: float = 0.0) -> float:
        state = self.channels[number]
        return self._reading(state, self.terminals.sense(str(number), state.nplc / self.line_Hz, ago_s))

    def _reading(self, state: State, volts: float) -> float:
        if state.autorange:
            state.range = next((most for most in RANGES_V if abs(volts) <= _most(most)), RANGES_V[-1])
        if not abs(volts) <= _most(state.range):
            self.questionable |= 1
            self.front.events |= DEVICE  # no error is queued (34970A manual, page 280)
            return OVERLOAD if volts > 0 else -OVERLOAD
        step = NPLC_OF[self.model][state.nplc] * state.range
        return round(volts / step) * step

    def _read(self) -> str | None:
        if self.trigger == "BUS":
            raise ScpiError(-214, "Trigger deadlock")
        if self.count == OVERLOAD:
            raise ScpiError(-221)  # it would never end
        self._idle()
        self.memory, self.waits = None, self.trigger != "IMM"  # READ? streams and stores nothing
        if self.waits:
            return None
        return self._written([reading for _ in range(int(self.count)) for reading in self._sweep()])

    def _fetch(self) -> str | None:
        if self.memory is None:
            raise ScpiError(-230)
        if self.waits or self.ready_at == float("inf"):
            return None  # whoever asks waits for the end of the scan
        self.clock.spend(self.ready_at - self.clock.now())
        if not self.memory:
            self.memory = [(number, self._sensed(number)) for _ in range(int(self.count)) for number in self.scan]
        return self._written(self.memory)

    def _abort(self) -> None:
        if self._scanning() or self.waits:
            self.memory = None  # a real one keeps what it had measured
        self.waits, self.ready_at = False, self.clock.now()

    def _written(self, readings: list[tuple[int, float]]) -> str:
        parts = []
        for number, value in readings:
            parts.append(f"{value:+.8E}" + (" VDC" if self.fields["UNIT"] else ""))
            parts += ["00000000.000"] if self.fields["TIME"] else []
            parts += [str(number)] if self.fields["CHANnel"] else []
            parts += ["0"] if self.fields["ALARm"] else []
        return ",".join(parts)

    def _questionable(self) -> str:
        said, self.questionable = f"{self.questionable:+d}", 0
        return said


def _delay_s(state: State) -> float:
    return AUTOMATIC_S if state.delay is None else state.delay


def _most(volts: float) -> float:
    return volts if volts == RANGES_V[-1] else 1.2 * volts


def _refuse(code: int) -> str:
    raise ScpiError(code)
