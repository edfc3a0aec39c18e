"""An emulated QDAC-II: 24 outputs with ranges, filters, slew, staged voltages and triggers, and the currents they deliver.

What it refuses and what it forgets follows RIGS section 2.2 and 2.5; where these are silent (the exact limits, the form of
numbers, currents beyond the range) it is one plausible instrument, not checked on hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aeqlab.drivers.emulated.clock import Clock, WallClock
from aeqlab.drivers.emulated.scpi import POWER_ON, Call, Command, Front, ScpiError, channels, short_form
from aeqlab.drivers.emulated.terminals import Bare, Terminals

OUTPUTS = range(1, 25)
LIMITS_V: Mapping[str, tuple[float, float]] = {"LOW": (-2.048, 2.048), "HIGH": (-10.24, 10.24)}
CODES = 2**25
LAG_S = {"DC": 1 / (6.2832 * 10), "MED": 1 / (6.2832 * 1e4), "HIGH": 1 / (6.2832 * 3e5)}  # filters of 10 Hz, 10 kHz, 300 kHz
CURRENT_A = {"LOW": 200e-9, "HIGH": 10e-3}
RELAY_S = 0.005  #: switching a range takes so long
TRIGGERS = ("BUS", "IMMediate", "FREEze", *(f"INT{k}" for k in range(1, 15)), *(f"EXT{k}" for k in range(1, 5)))


@dataclass
class State:
    """One output: what is set, what is staged, and how its voltage moves.

    Where a list or a sweep drives it, what is set waits for the mode to be fixed (not checked on hardware).
    """

    mode: str = "FIX"
    range: str = "HIGH"
    filter: str = "HIGH"
    slew: float = 2e7
    trigger: str = "IMM"
    staged: float = 0.0
    armed: bool = False
    level: float = 0.0  # what it was last set to
    volts: float = 0.0  # where it goes
    begin: float = 0.0  # where the last ramp began, in V
    since: float = 0.0  # and when, in s
    current_range: str = "HIGH"
    nplc: int = 1


class EmulatedQdac2:
    """A QDAC-II on some terminals: it drives `1` to `24` and senses the currents `i1` to `i24`.

    Args:
        terminals: what it is wired to.
        clock: of the bench.
        serial: its serial number.
        limits_V: ends of its ranges.
        line_Hz: of the mains.
    """

    def __init__(
        self, terminals: Terminals | None = None, clock: Clock | None = None, *, serial: str = "121",
        limits_V: Mapping[str, tuple[float, float]] = LIMITS_V, line_Hz: float = 50.0,
    ) -> None:  # fmt: skip
        self.terminals: Terminals = terminals or Bare()
        self.clock: Clock = clock or WallClock()
        self.limits_V, self.line_Hz = limits_V, line_Hz
        self.outputs = {number: State() for number in OUTPUTS}
        self.front = Front(
            f"QDevil, QDAC-II, {serial}, 11-1.14", self._commands(), self._defaults,
            no_error='0, "No error"', error_form='{code}, "{text}"',
        )  # fmt: skip

    def reboot(self) -> None:
        """Switch it off and on: every output at 0 V, every setting as delivered, its errors forgotten."""
        self._defaults()
        self.front.errors.clear()
        self.front.events = POWER_ON

    def volts(self, number: int) -> float:
        """Get where an output is on its way now, in V."""
        out = self.outputs[number]
        way, gone = out.volts - out.begin, out.slew * (self.clock.now() - out.since)
        return out.volts if gone >= abs(way) else out.begin + (gone if way > 0 else -gone)

    # what it knows
    def _commands(self) -> list[Command]:
        word, number = self._word, self._number
        return [
            word("SOURce#:VOLTage:MODE", "mode", "FIXed", "LIST", "SWEep"),
            Command("SOURce#:VOLTage[:LEVel]", self._each(lambda n: f"{self.outputs[n].level:.9g}"), self._set, (1, 2)),
            Command("SOURce#:VOLTage:LAST", self._each(lambda n: f"{self.volts(n):.9g}")),
            Command("SOURce#:VOLTage:TRIGgered", self._each(lambda n: f"{self.outputs[n].staged:.9g}"), self._stage, (1, 2)),
            number("SOURce#:VOLTage:SLEW", "slew", 0.01, 2e7),
            Command("SOURce#:RANGe", self._each(lambda n: self.outputs[n].range), self._range, (1, 2)),
            *(
                Command(f"SOURce#:RANGe:{which}:{end}", self._each(lambda n, w=which, k=k: f"{self.limits_V[w][k]:.6f}"))  # type: ignore[misc]
                for which in ("LOW", "HIGH")
                for k, end in enumerate(("MINimum", "MAXimum"))
            ),
            word("SOURce#:FILTer", "filter", "DC", "MEDium", "HIGH"),
            word("SOURce#:DC:TRIGger:SOURce", "trigger", *TRIGGERS),
            Command("SOURce#:DC:INITiate", do=self._initiate, parameters=(0, 1)),
            Command("SOURce#:DC:ABORt", do=self._abort, parameters=(0, 1)),
            Command("SOURce#:ALL:ABORt", do=self._abort, parameters=(0, 1)),
            Command("ABORt", do=lambda call: self._release(OUTPUTS), parameters=(0, 0)),
            Command("*TRG", do=lambda call: self._trigger("BUS"), parameters=(0, 0)),
            Command("TINTernal", do=lambda call: self._trigger(f"INT{int(call.number(0, 1, 14))}"), parameters=(1, 1)),
            word("SENSe#:RANGe", "current_range", "LOW", "HIGH"),
            number("SENSe#:NPLCycles", "nplc", 1, 1000),
            Command("READ#", self._read),
        ]

    def _word(self, header: str, name: str, *choices: str) -> Command:
        def do(call: Call) -> None:
            value = short_form(call.word(0, *choices))
            for n in self._which(call, 1):
                setattr(self.outputs[n], name, value)
                if name == "mode":
                    self._go(n, self.outputs[n].level)
                else:
                    self._drive(n)

        return Command(header, self._each(lambda n: str(getattr(self.outputs[n], name))), do, (1, 2))

    def _number(self, header: str, name: str, low: float, high: float) -> Command:
        def do(call: Call) -> None:
            value = call.number(0, low, high)
            for n in self._which(call, 1):
                self._hold(n)
                setattr(self.outputs[n], name, int(value) if name == "nplc" else value)
                self._drive(n)

        return Command(header, self._each(lambda n: f"{getattr(self.outputs[n], name):g}"), do, (1, 2))

    def _each(self, one: Callable[[int], str]) -> Callable[[Call], str]:
        return lambda call: ",".join(one(n) for n in self._which(call, 0))

    @staticmethod
    def _which(call: Call, at: int) -> list[int]:
        """Get the outputs that are meant: a list in place `at`, or the number in the header."""
        if len(call.values) > at:
            return channels(call.text(at), OUTPUTS)
        if call.suffixes[0] not in OUTPUTS:
            raise ScpiError(-114)
        return [call.suffixes[0]]

    # outputs
    def _code(self, n: int, call: Call) -> float:
        """Get a voltage as the converter makes it; refuse what is outside the range."""
        low, high = self.limits_V[self.outputs[n].range]
        step = (high - low) / CODES
        return low + min(round((call.number(0, low, high) - low) / step), CODES - 1) * step

    def _set(self, call: Call) -> None:
        wanted = {n: self._code(n, call) for n in self._which(call, 1)}
        for n, value in wanted.items():
            self._go(n, value)

    def _stage(self, call: Call) -> None:
        wanted = {n: self._code(n, call) for n in self._which(call, 1)}
        for n, value in wanted.items():
            self.outputs[n].staged = value

    def _range(self, call: Call) -> None:
        value = call.word(0, "LOW", "HIGH")
        which = self._which(call, 1)
        if any(not self.limits_V[value][0] <= self.outputs[n].volts <= self.limits_V[value][1] for n in which):
            raise ScpiError(-221)  # not checked on hardware
        for n in which:
            self.outputs[n].range = value
        self.clock.spend(RELAY_S)

    def _initiate(self, call: Call) -> None:
        for n in self._which(call, 0):
            self.outputs[n].armed = True
        self._trigger("IMM")

    def _abort(self, call: Call) -> None:
        self._release(self._which(call, 0))

    def _release(self, which: list[int] | range) -> None:
        for n in which:
            self.outputs[n].armed = False

    def _trigger(self, source: str) -> None:
        """Apply the staged voltages of all outputs that wait for this trigger."""
        for n, out in self.outputs.items():
            if out.armed and out.trigger == source:
                out.armed = False
                self._go(n, out.staged)

    def _go(self, n: int, value: float) -> None:
        out = self.outputs[n]
        out.level = value
        if out.mode == "FIX":
            self._hold(n)
            out.volts = value
            self._drive(n)

    def _hold(self, n: int) -> None:
        """Begin the next ramp where the output is now."""
        out = self.outputs[n]
        out.begin, out.since = self.volts(n), self.clock.now()

    def _drive(self, n: int) -> None:
        out = self.outputs[n]
        self.terminals.drive(str(n), out.volts, out.slew, LAG_S[out.filter])

    def _defaults(self) -> None:
        self.outputs = {number: State() for number in OUTPUTS}
        for n in OUTPUTS:
            self._drive(n)

    # currents
    def _read(self, call: Call) -> str:
        """Read currents, all at the same time, over the longest of their apertures."""
        which = self._which(call, 0)
        apertures = [self.outputs[n].nplc / self.line_Hz for n in which]
        self.clock.spend(max(apertures, default=0.0))
        found = []
        for n, aperture_s in zip(which, apertures, strict=True):
            amperes = self.terminals.sense(f"i{n}", aperture_s)
            found.append(amperes if abs(amperes) <= CURRENT_A[self.outputs[n].current_range] else 9.9e37)
        return ",".join(f"{value:.9g}" for value in found)
