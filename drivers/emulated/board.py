"""The open board, emulated: DAC outputs, ADC inputs, a nudge that it closes by itself, and a watchdog in two stages.

Channels are counted per kind: outputs from 1, inputs from 1001, nudged terminals from 2001. Its commands, besides the common ones
(`*IDN?`, `*RST`, `*CLS`, `*OPC?`, `*ESR?`, `SYST:ERR?`); a list may be left out where it stands in brackets, and means all then:

| command | what it does |
| --- | --- |
| `SYST:CHAN?` | counts of outputs, inputs and nudged terminals |
| `SYST:RANG?` | lowest and highest value in V, bits of the DAC, bits of the ADC |
| `SOUR:LIM lo,hi,(@list)` | limits of outputs in V; `?` gives lo,hi of each |
| `SOUR:VOLT v,(@list)` | set outputs at once, in V; `?` gives what they are set to |
| `SOUR:BLOC [(@list),]#block` | load shadow registers (`<f4`); `*TRG` applies all at once. `?` gives set values |
| `SOUR:REST v,(@list)`, `SOUR:SLEW r,(@list)` | where outputs go when the watchdog bites twice, and how fast in V/s |
| `SENS:AVER n` | conversions that are averaged, 1 to 1024 |
| `SENS:VOLT? (@list)` | measure, in V |
| `SENS:BLOC? [(@list)]` | measure: a block of a frame counter (4-byte whole number) and as many 4-byte floats |
| `SOUR:BLOC:ASC`, `SENS:BLOC:ASC?` | the same as text with commas, for lines that carry no binary |
| `NUDG:BETA b`, `NUDG:TARG y,(@list)`, `NUDG:STAT ON` | the energy b/2 (s - y)^2 at each nudged terminal |
| `OUTP ON[,(@list)]` | connect outputs; off, they are at 0 V |
| `SYST:WDOG t1,t2` | after t1 s of silence: nudge off, outputs frozen; after t2 s: ramp to rest. 0: never. Setting ends a bite |
| `SYST:WDOG:STAG?` | 0, or the stage that it has come to |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from aeqlab.drivers import blocks
from aeqlab.drivers.emulated.clock import Clock, WallClock
from aeqlab.drivers.emulated.scpi import POWER_ON, Call, Command, Front, ScpiError, channels
from aeqlab.drivers.emulated.terminals import Bare, Terminals

FIRST_INPUT, FIRST_NUDGE = 1001, 2001
GROUPS = 16  #: conversions, or groups of them, in an averaged reading
BITTEN = 64  #: bit of the event status register: the watchdog has bitten
BITTEN_CODE = 501
MOST_AVERAGED = 1024


class _Front(Front):
    """A front that starts its board's watchdog anew with every message, and hears nothing while the board starts up."""

    board: Board

    def carry_out(self, message: bytes) -> bytes:
        if not self.board.awake:
            return b""
        self.board.catch_up()
        self.board.last_heard = self.board.clock.now()
        return super().carry_out(message)


class Output:
    """One output: what it is set to and what it may be, in V."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.value = self.rest = 0.0
        self.slew = 1.0
        self.on = False
        self.shadow: float | None = None


class Board:
    """An emulated board.

    Args:
        outputs, inputs, nudges: how many it has.
        bits, adc_bits: of its DAC and its ADC (as many, where nothing is said).
        low, high: ends of both ranges in V, the high one not included.
        serial: its serial number.
        terminals: what it is wired to: `1`.. outputs and `beta`, `2001`.. targets are driven, `1001`.. inputs are sensed.
        clock: of the bench.
        conversion_s: one conversion of all inputs.
        starts_s: it hears nothing for so long after it was switched on or reset by the opening of its port.
        beta_max: largest nudge either way.
    """

    def __init__(
        self, outputs: int = 16, inputs: int = 16, nudges: int = 1, *, bits: int = 16, adc_bits: int | None = None,
        low: float = -10.0, high: float = 10.0, serial: str = "B0001", terminals: Terminals | None = None,
        clock: Clock | None = None, conversion_s: float = 100e-6, starts_s: float = 0.0, beta_max: float = 1.0,
    ) -> None:  # fmt: skip
        self.clock: Clock = clock or WallClock()
        self.terminals: Terminals = terminals or Bare()
        self.bits, self.adc_bits = bits, adc_bits or bits
        self.step: float = (high - low) / 2**bits
        self.adc_step: float = (high - low) / 2**self.adc_bits
        self.low, self.high, self.adc_high = low, high - self.step, high - self.adc_step
        self.conversion_s, self.starts_s, self.beta_max = conversion_s, starts_s, beta_max
        self._outs, self._ins = range(1, outputs + 1), range(FIRST_INPUT, FIRST_INPUT + inputs)
        self._nudged = range(FIRST_NUDGE, FIRST_NUDGE + nudges)
        self.front = _Front(f"aeqlab,BOARD-{bits},{serial},1.0", self._commands(), self._reset, no_error='0,"No error"')
        self.front.board = self
        self._starts_at = -math.inf
        self.last_heard = self.clock.now()
        self._reset()

    def _commands(self) -> list[Command]:
        return [
            Command("SYSTem:CHANnels", lambda call: f"{len(self._outs)},{len(self._ins)},{len(self._nudged)}"),
            Command("SYSTem:RANGe", lambda call: f"{self.low:.9g},{self.high:.9g},{self.bits},{self.adc_bits}"),
            Command("SYSTem:WDOG", lambda call: f"{self.watchdog[0]:.9g},{self.watchdog[1]:.9g}", self._watch, (2, 2)),
            Command("SYSTem:WDOG:STAGe", lambda call: str(self.stage)),
            Command("SOURce:LIMits", lambda call: self._say(call, lambda out: (out.low, out.high)), self._limit, (3, 3)),
            Command("SOURce:VOLTage", lambda call: self._say(call, lambda out: (out.value,)), self._set, (2, 2)),
            Command("SOURce:REST", lambda call: self._say(call, lambda out: (out.rest,)), self._set_rest, (2, 2)),
            Command("SOURce:SLEW", lambda call: self._say(call, lambda out: (out.slew,)), self._set_slew, (2, 2)),
            Command("SOURce:BLOCk", self._set_values, self._load_block, (1, 2)),
            Command("SOURce:BLOCk:ASCii", lambda call: self._say(call, lambda out: (out.value,)), self._load_text, (1, 5000)),
            Command("*TRG", do=self._apply, parameters=(0, 0)),
            Command("SENSe:AVERage", lambda call: str(self.average), self._set_average, (1, 1)),
            Command("SENSe:VOLTage", lambda call: _text(self._frame(self._list(call, 0, self._ins)))),
            Command("SENSe:BLOCk", self._frame_block),
            Command("SENSe:BLOCk:ASCii", self._frame_text),
            Command("NUDGe:BETA", self._beta, self._set_beta, (1, 1)),
            Command("NUDGe:TARGet", self._say_targets, self._set_targets, (1, 5000)),
            Command("NUDGe:STATe", lambda call: str(int(self.nudging)), self._nudge, (1, 1)),
            Command("OUTPut", lambda call: self._say(call, lambda out: (float(out.on),)), self._switch, (1, 2)),
        ]  # fmt: skip

    # switching on, and what happens by itself
    def _reset(self) -> None:
        self.outputs = {key: Output(self.low, self.high) for key in self._outs}
        self.average, self.frames = 1, 0
        self.beta, self.nudging, self.targets = 0.0, False, dict.fromkeys(self._nudged, 0.0)
        self.watchdog, self.stage, self._ramped_at = (0.0, 0.0), 0, 0.0
        self._drive()

    def reboot(self) -> None:
        """Switch it off and on: every setting is gone, and for a while it hears nothing."""
        self._reset()
        self.front.errors.clear()
        self.front.events = POWER_ON
        self._starts_at = self.clock.now() + self.starts_s
        self.last_heard = self.clock.now()

    @property
    def awake(self) -> bool:
        """Whether it hears what is said to it."""
        return self.clock.now() >= self._starts_at

    def catch_up(self) -> None:
        """Do what its watchdog has done by now; the bench calls this as often as it wants to see a ramp."""
        now, (freeze_s, ramp_s) = self.clock.now(), self.watchdog
        silent = now - self.last_heard
        if freeze_s and self.stage == 0 and silent >= freeze_s:
            self.stage, self.nudging = 1, False
            self.front.events |= BITTEN
            self._drive()
        if self.stage == 1 and ramp_s and silent >= ramp_s:
            self.stage, self._ramped_at = 2, self.last_heard + ramp_s
        if self.stage == 2:
            elapsed, self._ramped_at = now - self._ramped_at, now
            for out in self.outputs.values():
                out.value += min(max(out.rest - out.value, -out.slew * elapsed), out.slew * elapsed)
            self._drive()

    def _drive(self) -> None:
        for key, out in self.outputs.items():
            self.terminals.drive(str(key), self._code(out.value) if out.on else 0.0)
        for key, target in self.targets.items():
            self.terminals.drive(str(key), target)
        self.terminals.drive("beta", self.beta if self.nudging else 0.0)

    def _code(self, value: float) -> float:
        """Get the value of the nearest code of the DAC."""
        return self.low + self.step * round((value - self.low) / self.step)

    def _free(self) -> None:
        """Refuse to move anything after the watchdog has bitten."""
        if self.stage:
            raise ScpiError(BITTEN_CODE, "Watchdog has bitten")

    # lists and values
    def _list(self, call: Call, at: int, known: Sequence[int]) -> list[int]:
        return channels(call.text(at), known) if len(call.values) > at else list(known)

    def _say(self, call: Call, tell: Callable[[Output], Sequence[float]]) -> str:
        return _text([value for key in self._list(call, 0, self._outs) for value in tell(self.outputs[key])])

    def _within(self, key: int, value: float) -> float:
        """Get the code within the limits that is nearest to a value, which may be off by the rounding of a 4-byte float."""
        out, room = self.outputs[key], 1e-6 * (self.high - self.low)
        if not out.low - room <= value <= out.high + room:
            raise ScpiError(-222)
        code = self._code(value)
        return code - self.step if code > out.high + room else code + self.step if code < out.low - room else code

    # outputs
    def _limit(self, call: Call) -> None:
        self._free()
        low, high = call.number(0, self.low, self.high), call.number(1, self.low, self.high)
        keys = self._list(call, 2, self._outs)
        room = 1e-6 * (self.high - self.low)
        if low > high or any(
            not low - room <= v <= high + room for k in keys for v in (self.outputs[k].value, self.outputs[k].rest)
        ):
            raise ScpiError(-221)
        for key in keys:
            self.outputs[key].low, self.outputs[key].high = low, high

    def _set(self, call: Call) -> None:
        self._free()
        value = call.number()
        wanted = {key: self._within(key, value) for key in self._list(call, 1, self._outs)}
        for key, code in wanted.items():
            self.outputs[key].value = code
        self._drive()

    def _set_rest(self, call: Call) -> None:
        value = call.number()
        wanted = {key: self._within(key, value) for key in self._list(call, 1, self._outs)}
        for key in wanted:
            self.outputs[key].rest = value

    def _set_slew(self, call: Call) -> None:
        slew = call.number(0, 1e-3, 1e6)
        for key in self._list(call, 1, self._outs):
            self.outputs[key].slew = slew

    def _load_block(self, call: Call) -> None:
        last = len(call.values) - 1
        self._load(self._list(call, 0, self._outs) if last else list(self._outs), call.block(last, "<f4"))

    def _load_text(self, call: Call) -> None:
        listed = call.text(0).strip().startswith("(")
        keys = self._list(call, 0, self._outs) if listed else list(self._outs)
        self._load(keys, [call.number(at) for at in range(int(listed), len(call.values))])

    def _load(self, keys: list[int], values: list[float]) -> None:
        self._free()
        if len(values) != len(keys):
            raise ScpiError(-109 if len(values) < len(keys) else -223)
        wanted = {key: self._within(key, value) for key, value in zip(keys, values, strict=True)}
        for key, code in wanted.items():
            self.outputs[key].shadow = code

    def _set_values(self, call: Call) -> bytes:
        return blocks.encode(np.array([self.outputs[key].value for key in self._list(call, 0, self._outs)]), "<f4")

    def _apply(self, call: Call) -> None:
        self._free()
        for out in self.outputs.values():
            if out.shadow is not None:
                out.value, out.shadow = out.shadow, None
        self._drive()

    def _switch(self, call: Call) -> None:
        on = call.switch()
        if on:
            self._free()
        for key in self._list(call, 1, self._outs):
            self.outputs[key].on = on
        self._drive()

    # inputs
    def _set_average(self, call: Call) -> None:
        self.average = int(call.number(0, 1, MOST_AVERAGED))

    def _frame(self, keys: list[int]) -> list[float]:
        """Convert as often as is averaged; each conversion has its own code, as the noise is different in each.

        Many conversions are emulated in groups, each as one longer conversion: the mean is the same, and so is its noise.
        """
        sums = dict.fromkeys(keys, 0.0)
        groups = min(self.average, GROUPS)
        for _ in range(groups):
            aperture_s = self.conversion_s * self.average / groups
            self.clock.spend(aperture_s)
            for key in keys:
                sensed = min(max(self.terminals.sense(str(key), aperture_s), self.low), self.adc_high)
                at_rail = sensed in (self.low, self.adc_high)
                code = self.low + self.adc_step * round((sensed - self.low) / self.adc_step)
                sums[key] += 9.9e37 if at_rail else code  # overload: a rail is no measurement
        self.frames += 1
        return [min(total, 9.9e37) if total > 9e37 else total / groups for total in sums.values()]

    def _frame_block(self, call: Call) -> bytes:
        values = self._frame(self._list(call, 0, self._ins))
        data = np.array([self.frames], "<u4").tobytes() + np.array(values, "<f4").tobytes()
        return blocks.encode(np.frombuffer(data, "<i4"), "<i4")

    def _frame_text(self, call: Call) -> str:
        values = self._frame(self._list(call, 0, self._ins))
        return f"{self.frames}," + _text(values)

    # nudge and watchdog
    def _beta(self, call: Call) -> str:
        return f"{call.number(0, -self.beta_max, self.beta_max) if call.values else self.beta:.9g}"

    def _set_beta(self, call: Call) -> None:
        self._free()
        self.beta = call.number(0, -self.beta_max, self.beta_max)
        self._drive()

    def _say_targets(self, call: Call) -> str:
        return _text([self.targets[key] for key in self._list(call, 0, self._nudged)])

    def _set_targets(self, call: Call) -> None:
        """One target for all of the list, or one for each."""
        self._free()
        listed = call.text(len(call.values) - 1).strip().startswith("(")
        keys = self._list(call, len(call.values) - 1, self._nudged) if listed else list(self._nudged)
        values = [self._code(call.number(at, self.low, self.high)) for at in range(len(call.values) - int(listed))]
        if len(values) not in (1, len(keys)):
            raise ScpiError(-109 if len(values) < len(keys) else -223)
        self.targets.update(zip(keys, values if len(values) == len(keys) else values * len(keys), strict=True))
        self._drive()

    def _nudge(self, call: Call) -> None:
        on = call.switch()
        if on:
            self._free()
        self.nudging = on
        self._drive()

    def _watch(self, call: Call) -> None:
        freeze_s, ramp_s = call.number(0, 0.0, 3600.0), call.number(1, 0.0, 3600.0)
        if ramp_s and ramp_s < freeze_s:
            raise ScpiError(-221)
        for out in self.outputs.values():
            out.value = self._code(out.value)  # a ramp that is broken off stays at the code that it has reached
        self.watchdog, self.stage = (freeze_s, ramp_s), 0


def _text(values: Sequence[float]) -> str:
    return ",".join(f"{value:.9g}" for value in values)
