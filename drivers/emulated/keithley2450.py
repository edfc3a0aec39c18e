"""Keithley 2450, emulated: one terminal that sources a current with a voltage limit or the other way round, and measures.

Key `1` is driven with the level (A or V, 0 with the output off), key `2` is sensed. Sources: RIGS section 2.4. Not checked on
hardware: steps of a fortieth of a thousandth of a range, 5 % over range, output off after a change of function, -221 for `READ?`
with the output off.
"""

from __future__ import annotations

from functools import partial

from aeqlab.drivers.emulated.clock import Clock, WallClock
from aeqlab.drivers.emulated.scpi import POWER_ON, Call, Command, Front, ScpiError
from aeqlab.drivers.emulated.terminals import Bare, Terminals

FUNCTIONS = ("VOLTage", "CURRent")
RANGES = {"VOLTage": (0.02, 0.2, 2.0, 20.0, 200.0), "CURRent": tuple(10.0**k for k in range(-8, 1))}
OTHER = {"VOLTage": "CURRent", "CURRent": "VOLTage"}
LIMIT = {"VOLTage": "ILIMit", "CURRent": "VLIMit"}  #: its name, by the function that is sourced
OVER, STEPS = 1.05, 40000  #: level over range, and steps of a range


class _Front(Front):
    """A front whose errors carry their type and time, and which knows nothing but two questions in another language."""

    smu: Keithley2450

    def complain(self, code: int, text: str = "") -> None:
        super().complain(code, text)
        code, text = self.errors[-1]
        if ";" not in text:
            seconds = self.smu.clock.now()
            minutes, hours = int(seconds // 60) % 60, int(seconds // 3600) % 24
            self.errors[-1] = (code, f"{text};1;2018/05/26 {hours:02d}:{minutes:02d}:{seconds % 60:06.3f}")

    def carry_out(self, message: bytes) -> bytes:
        if self.smu.language != "SCPI" and message.strip() not in (b"*IDN?", b"*LANG?"):
            return b""
        return super().carry_out(message)


class Keithley2450:
    """An emulated 2450.

    Args:
        serial: its serial number.
        language: the command set it was switched to at its front.
        terminals: what it is wired to.
        clock: of the bench.
        line_Hz: of the mains.
    """

    def __init__(
        self, *, serial: str = "04412345", language: str = "SCPI", terminals: Terminals | None = None,
        clock: Clock | None = None, line_Hz: float = 50.0,
    ) -> None:  # fmt: skip
        self.terminals: Terminals = terminals or Bare()
        self.clock: Clock = clock or WallClock()
        self.language, self.line_Hz = language, line_Hz
        self._left = 1.0  # part of its level that its limit leaves, where a fault holds it back
        name = f"KEITHLEY INSTRUMENTS,MODEL 2450,{serial},1.7.12b"
        self.front = _Front(name, self._commands(), self._reset, no_error='0,"No error;0;0 0"', error_form='{code},"{text}"')
        self.front.smu = self
        self._reset()

    def _commands(self) -> list[Command]:
        return [
            Command("*LANG", lambda call: self.language),
            Command("SOURce:FUNCtion", lambda call: _short(self.function), self._set_function, (1, 1)),
            Command("SENSe:FUNCtion", lambda call: f'"{_short(self.sensing)}:DC"', self._set_sensing, (1, 1)),
            Command("OUTPut[:STATe]", lambda call: str(int(self.on)), self._switch, (1, 1)),
            Command("READ", lambda call: self._read()),
            *self._of("VOLTage"),
            *self._of("CURRent"),
        ]

    def _of(self, f: str) -> list[Command]:
        """List the commands of one quantity."""
        return [
            Command(f"SOURce:{f}[:LEVel]", lambda call: _number(self.level[f]), partial(self._set_level, f), (1, 1)),
            Command(f"SOURce:{f}:RANGe", lambda call: _number(self.range[f]), partial(self._set_range, f), (1, 1)),
            Command(f"SOURce:{f}:{LIMIT[f]}", lambda call: _number(self.limit[f]), partial(self._set_limit, f), (1, 1)),
            Command(f"SOURce:{f}:{LIMIT[f]}:TRIPped", lambda call: str(int(self._tripped(f)))),
            Command(f"SENSe:{f}:RANGe", lambda call: _number(self.sense_range[f]), partial(self._set_sense, f), (1, 1)),
            Command(f"SENSe:{f}:NPLCycles", lambda call: _number(self.nplc[f]), partial(self._set_nplc, f), (1, 1)),
            Command(f"OUTPut:{f}:SMODe", lambda call: self.off_state[f], partial(self._set_off, f), (1, 1)),
        ]

    def _reset(self) -> None:
        self.function, self.sensing, self.on = "VOLTage", "CURRent", False
        self.level = dict.fromkeys(FUNCTIONS, 0.0)
        self.range = {"VOLTage": 0.02, "CURRent": 1e-8}
        self.limit = {"VOLTage": 1.05e-4, "CURRent": 21.0}
        self.sense_range = {"VOLTage": 0.02, "CURRent": 1e-4}
        self.nplc = dict.fromkeys(FUNCTIONS, 1.0)
        self.off_state = dict.fromkeys(FUNCTIONS, "NORM")
        self._drive()

    def reboot(self) -> None:
        """Switch it off and on: every setting is gone."""
        self._reset()
        self.front.errors.clear()
        self.front.events = POWER_ON

    def _drive(self) -> None:
        self.terminals.drive("1", self._left * self.level[self.function] if self.on else 0.0)

    def hold_back(self, part: float) -> None:
        """Let its output deliver no more than a part of its level, and tell that its limit holds it back."""
        self._left = part
        self._drive()

    # settings
    def _set_function(self, call: Call) -> None:
        wanted = call.word(0, *FUNCTIONS)
        if wanted != self.function:
            self.function, self.on = wanted, False
        self._drive()

    def _set_sensing(self, call: Call) -> None:
        said = call.text().upper().removesuffix(":DC")
        found = [f for f in FUNCTIONS if said in (f.upper(), _short(f))]
        if not found:
            raise ScpiError(-224)
        self.sensing = found[0]

    def _set_level(self, function: str, call: Call) -> None:
        most = OVER * self.range[function]
        step = self.range[function] / STEPS
        self.level[function] = step * round(call.number(0, -most, most) / step)
        self._drive()

    def _set_range(self, function: str, call: Call) -> None:
        wanted = call.number(0, 0.0, RANGES[function][-1])
        found = _at_least(wanted, RANGES[function])
        if abs(self.level[function]) > OVER * found:
            raise ScpiError(-221)
        self.range[function] = found

    def _set_limit(self, function: str, call: Call) -> None:
        ranges = RANGES[OTHER[function]]
        self.limit[function] = call.number(0, 0.1 * ranges[0], OVER * ranges[-1])

    def _set_sense(self, function: str, call: Call) -> None:
        self.sense_range[function] = _at_least(call.number(0, 0.0, RANGES[function][-1]), RANGES[function])

    def _set_nplc(self, function: str, call: Call) -> None:
        self.nplc[function] = call.number(0, 0.01, 10.0)

    def _set_off(self, function: str, call: Call) -> None:
        self.off_state[function] = _short(call.word(0, "HIMPedance", "ZERO", "NORMal", "GUARd"))

    def _switch(self, call: Call) -> None:
        self.on = call.switch()
        self._drive()

    # readings
    def _sensed(self, aperture_s: float) -> tuple[float, bool]:
        """Sense the terminal: what it is at within the limit, and whether the limit holds it there."""
        value = self.terminals.sense("2", aperture_s)
        most = self.limit[self.function]
        if self.sensing != self.function and abs(value) > most:
            return (most if value > 0 else -most), True
        return value, False

    def _tripped(self, function: str) -> bool:
        held = self._left < 1.0 and self.level[self.function] != 0.0
        return self.on and function == self.function and (held or self._sensed(0.0)[1])

    def _read(self) -> str:
        if not self.on:
            raise ScpiError(-221)
        if self.sensing == self.function:
            return _number(self.level[self.function])
        aperture_s = self.nplc[self.sensing] / self.line_Hz
        self.clock.spend(aperture_s)
        value, _ = self._sensed(aperture_s)
        over = abs(value) > OVER * self.sense_range[self.sensing]
        return _number(9.9e37 if over else value)


def _at_least(value: float, ranges: tuple[float, ...]) -> float:
    return next(one for one in ranges if one >= abs(value) * (1.0 - 1e-9))


def _short(word: str) -> str:
    return "".join(c for c in word if not c.islower())


def _number(value: float) -> str:
    return f"{value:.9E}"
