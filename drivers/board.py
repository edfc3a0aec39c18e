"""The open serial or TCP board: 12 or 16 bits, all outputs at once, a nudge of its own, a watchdog in two stages.

Its commands stand at the top of `emulated/board.py`. Outputs are `1`.., inputs `1001`.., targets of the nudge `2001`...
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import DriverError, RebootedError, ReplyError, SettingError
from aeqlab.drivers.instrument import Array, Change, Channel, Direction, Silence
from aeqlab.drivers.readings import finite, numbers
from aeqlab.drivers.visa import EVENTS, FAULTS, Setting, Step, Value, VisaInstrument, listed, same

FIRST_INPUT, FIRST_NUDGE = 1001, 2001
MOST = 999  #: channels of each kind
#: The second stage of the watchdog, the ramp to rest, comes after so many times the first.
RAMP_AFTER = 3.0

AVERAGE = Setting(
    "conversions averaged", "SENSe:AVERage?", "SENSe:AVERage {value}", "Each takes 0.1 ms.", unit="", low=1, high=1024
)  # fmt: skip
LIMITS = Setting(
    "limits in V", "SOURce:LIMits?", "SOURce:LIMits {value},(@{key})", "The board itself refuses what is outside.", unit="text"
)  # fmt: skip
REST = Setting("rest value", "SOURce:REST?", "SOURce:REST {value},(@{key})", "Where it goes when nobody speaks.", unit="V")
SLEW = Setting(
    "slew to rest", "SOURce:SLEW?", "SOURce:SLEW {value},(@{key})", "How fast it goes there.", unit="V/s", low=1e-3, high=1e6
)  # fmt: skip
OUTPUT = Setting("output", "OUTPut?", "OUTPut {value},(@{key})", "Off, it is at 0 V.", ("OFF", "ON"))


class Board(VisaInstrument):
    """An open board.

    Over a serial line replies end with CR LF: `Wire(..., read_end="\\r\\n")`, and `wakes_s` where opening the port resets it.

    Args:
        wire: how it is reached.
        name: how the rig calls it.
        serial: its serial number; empty: any.
        limits_V: limits of outputs by key, held by the board itself; arming switches these outputs on.
        rest_V: where outputs go when the watchdog bites twice.
        slew_V_per_s: how fast.
        average: conversions that are averaged in each measurement, 1 to 1024.
        binary: whether values go as blocks; text for lines that carry no 8 bits.
    Attributes:
        lost_frames: measurements that the board made and that never arrived here, or that somebody else took.
    Raises:
        SettingError: a setting is outside its range.
    """

    maker: ClassVar[str] = "aeqlab"
    models: ClassVar[tuple[str, ...]] = ("BOARD-12", "BOARD-16")
    when_silent: ClassVar[Silence] = Silence.HOLDS  # until its watchdog is set
    #: What `off` does, for people.
    off_means: ClassVar[str] = "switches the nudge off, disconnects its outputs, which are at 0 V then, and reads both back"
    sentences: ClassVar[Mapping[int, str]] = {
        501: "Its watchdog has bitten: it heard nothing for too long, switched the nudge off and froze its outputs. "
        "Set its watchdog again once you know why the program was silent.",
    }

    def __init__(
        self, wire: Wire, name: str = "", *, serial: str = "", limits_V: Mapping[str, tuple[float, float]] | None = None,
        rest_V: Mapping[str, float] | None = None, slew_V_per_s: Mapping[str, float] | None = None, average: int = 1,
        binary: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(wire, name, serial=serial)
        self._wanted: list[tuple[Setting, str, Value]] = [(AVERAGE, "", float(average))]
        self._wanted += [(REST, key, value) for key, value in (rest_V or {}).items()]
        self._wanted += [(SLEW, key, value) for key, value in (slew_V_per_s or {}).items()]
        self._wanted += [(LIMITS, key, _pair(*ends)) for key, ends in (limits_V or {}).items()]
        self._wanted += [(OUTPUT, key, "ON") for key in limits_V or {}]
        for setting, key, value in self._wanted:
            setting.check(value, f"{self.name}, output {key}" if key else self.name)
        for key, (low, high) in (limits_V or {}).items():
            if not -np.inf < low < high < np.inf:
                raise SettingError(
                    f"{self.name}, output {key}: limits are the lowest and the highest value, not {low:g} and {high:g} V."
                )
        self.binary = binary
        self.beta_max = self.step = 0.0
        self.lost_frames = 0
        self._channels: dict[str, Channel] = {}
        self._present: dict[tuple[Setting, str], Value] = {}
        self._frame: int | None = None
        self._targets: str | None = None  # those that the board has taken, as they were sent

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Get its channels by key, with the limits that the board holds now, in V."""
        return self._channels

    def _adopt(self) -> None:
        outs, ins, nudges = (int(n) for n in numbers(self.ask("SYSTem:CHANnels?"), 3, self.where))
        low, high, bits, adc_bits = numbers(self.ask("SYSTem:RANGe?"), 4, self.where).tolist()
        if not (low < high and {bits, adc_bits} <= set(range(1, 33)) and all(0 <= n <= MOST for n in (outs, ins, nudges))):
            raise ReplyError(
                f"{self.where}: it says that it has {outs}, {ins} and {nudges} channels of {bits:g} and {adc_bits:g} bits "
                f"from {low:g} to {high:g} V"
            )
        keys = [str(k + 1) for k in range(outs)]
        present: dict[tuple[Setting, str], Value] = {(AVERAGE, ""): AVERAGE.read(self.ask(AVERAGE.ask), self.where)}
        for setting in (REST, SLEW, OUTPUT):
            fields = self.ask(setting.ask).split(",")
            if len(fields) != outs:
                raise ReplyError(f"{self.where}: {len(fields)} values of {setting.name} came, {outs} were asked for")
            present |= {(setting, key): setting.read(field, self.where) for key, field in zip(keys, fields, strict=True)}
        ends = numbers(self.ask(LIMITS.ask), 2 * outs, self.where).reshape(outs, 2).tolist()
        limits: dict[str, tuple[float, float]] = {key: (lo, hi) for key, (lo, hi) in zip(keys, ends, strict=True)}
        present |= {(LIMITS, key): _pair(lo, hi) for key, (lo, hi) in limits.items()}
        self.step = (high - low) / (2**bits - 1)
        adc_step = (high - low) / (2**adc_bits - 1)
        channels = [Channel(key, Direction.OUT, "V", lo, hi, self.step) for key, (lo, hi) in limits.items()]
        channels += [Channel(str(FIRST_INPUT + k), Direction.IN, "V", low, high, adc_step) for k in range(ins)]
        channels += [Channel(str(FIRST_NUDGE + k), Direction.OUT, "V", low, high, self.step) for k in range(nudges)]
        self._channels, self._present = {channel.key: channel for channel in channels}, present
        self.beta_max = float(numbers(self.ask("NUDGe:BETA? MAXimum"), 1, self.where)[0])
        self._frame = None
        self._targets = None

    @property
    def nudged(self) -> list[str]:
        """Keys of the targets of the nudge."""
        return [key for key in self._channels if int(key) >= FIRST_NUDGE]

    def questions(self) -> tuple[str, ...]:
        """List the questions for its settings."""
        return tuple(one.ask for one in (AVERAGE, LIMITS, REST, SLEW, OUTPUT))

    def settings(self) -> dict[str, str]:
        """Get averaging, watchdog, and limits, rest, slew and switch of every output, as they stand now."""
        self._adopt()
        found = {f"output {key}: {s.name}" if key else s.name: s.show(value) for (s, key), value in self._present.items()}
        return {**found, "watchdog in s": self.ask("SYSTem:WDOG?")}

    def _steps(self) -> list[Step]:
        steps = []
        for setting, key, wanted in self._wanted:
            if (setting, key) not in self._present:
                raise SettingError(f"{self.name}: there is no output {key!r}; it has 1 to {len(self._present) // 4}.")
            present = self._present[setting, key]
            if not same(present, wanted):
                change = Change(key, setting.name, setting.show(present), setting.show(wanted))
                steps.append(Step(setting.command(key, wanted), (change,), stage=int(setting is OUTPUT)))
        return steps

    def watch(self, seconds: float | None) -> bool:
        """Let the nudge go off and the outputs freeze after so long a silence, and ramp to rest after three times as long.

        Setting it also ends the bite of a watchdog that has bitten.

        Raises:
            SettingError: no time that it can wait; nothing was sent.
            RefusedError: the board says that its watchdog is not as it was set.
        """
        if seconds is not None and not 0.0 < seconds < np.inf:
            raise SettingError(
                f"{self.name}: a watchdog waits for more than 0 s, not for {seconds:g} s. To switch it off, set it to none."
            )
        freeze = seconds or 0.0
        ramp = RAMP_AFTER * freeze
        self.connection.write(f"SYSTem:WDOG {freeze:.9g},{ramp:.9g}")
        said = numbers(self.ask("SYSTem:WDOG?"), 2, self.where)
        if not np.allclose(said, [freeze, ramp], rtol=1e-6, atol=0.0):
            self._refuse(f"The watchdog was set to {freeze:g} s and {ramp:g} s, and is at {said[0]:g} s and {said[1]:g} s.")
        return True

    def tripped(self) -> tuple[str, ...]:
        """Get all its outputs and targets, where its watchdog has bitten."""
        outs = [key for key, channel in self._channels.items() if channel.direction is Direction.OUT]
        return tuple(outs) if self.bitten() else ()

    def bitten(self) -> int:
        """Get the stage its watchdog has come to: 0, 1 (nudge off, outputs frozen) or 2 (outputs ramp to rest)."""
        return int(numbers(self.ask("SYSTem:WDOG:STAGe?"), 1, self.where)[0])

    # outputs
    def _write(self, keys: Sequence[str], values: Array) -> None:
        """Send all, start it at once, and ask how that went, in one packet: each by itself would cost an exchange more."""
        (outs, outputs), (targets, terminals) = _parted(tuple(keys))
        end, lines, ahead = self.connection.wire.write_end, [EVENTS], b""
        if terminals:  # `nudge` sets targets and beta together; by themselves they are not set with a beta that is not theirs
            self._targets = None
            lines.insert(0, f"NUDGe:STATe OFF;:NUDGe:TARGet {_text(values[targets])},{terminals}")
        if outputs:
            lines.insert(0, "*TRG")  # all at once
            if self.binary:
                ahead = self.connection.block(f"SOURce:BLOCk {outputs},", values[outs], "<f4")
            else:
                lines.insert(0, f"SOURce:BLOCk:ASCii {outputs},{_text(values[outs])}")
        self._heed(self._events_after(end.join(lines), ahead))

    def healthy(self) -> None:
        """Ask whether it was not reset, and took what it was sent: one short reply where all is well.

        Raises:
            RebootedError: it was reset, and its limits are gone.
            RefusedError: it complains.
        """
        self._heed(self._events())

    def _heed(self, events: int) -> None:
        self._see(events)
        if events & FAULTS:
            self.check()

    def holds_limits(self, key: str) -> bool:
        """Tell whether the board itself refuses what lies beyond the limits that arming gave this output."""
        return any(setting is LIMITS and key == one for setting, one, _ in self._wanted)

    def _written(self, keys: Sequence[str]) -> Array:
        values = np.empty(len(keys))
        (outs, outputs), (targets, terminals) = _parted(tuple(keys))
        if outputs and self.binary:
            values[outs] = self.connection.query_block(f"SOURce:BLOCk? {outputs}", "<f4", len(outs))
        elif outputs:
            values[outs] = numbers(self.told(f"SOURce:BLOCk:ASCii? {outputs}"), len(outs), self.where)
        if terminals:
            values[targets] = numbers(self.told(f"NUDGe:TARGet? {terminals}"), len(targets), self.where)
        return values

    def _off(self, keys: Sequence[str]) -> None:
        """Switch outputs off (0 V); the nudge first, where one of its targets is among them. Confirmed by read-back."""
        outs = [key for key in keys if int(key) < FIRST_NUDGE]
        nudged = len(outs) < len(keys)
        if nudged:
            self.connection.write("NUDGe:STATe OFF")
        if outs:
            self.connection.write(f"OUTPut OFF,{listed(outs)}")
            self._present |= {(OUTPUT, key): "OFF" for key in outs}  # they have to be armed again
        # everything is sent before anything is asked: what does not answer well keeps nothing from going off
        if nudged and self.ask("NUDGe:STATe?") != "0":
            self._refuse("The nudge was switched off and says that it is on. Switch the board off at its supply.")
        if outs and numbers(self.ask(f"OUTPut? {listed(outs)}"), len(outs), self.where).any():
            self._refuse("Outputs were switched off and say that they are on. Switch the board off at its supply.")

    # the nudge
    def nudge(self, targets: Array, beta: float) -> None:
        """Let the board itself pull each nudged terminal s to its target: the energy beta/2 (s - y)^2, all at once.

        New targets never meet the beta of the old ones: beta is 0 in between, for as long as the board takes to read a line.

        Args:
            targets: y of each of `nudged`, in V.
            beta: strength, either sign, up to `beta_max`.
        Raises:
            SettingError: a value is out of range; nothing was sent.
            RefusedError: the board says that it is not as it was set; the nudge is off then.
        """
        keys = self.nudged
        wanted = self._within(keys, targets)
        if not abs(beta) <= self.beta_max:
            raise SettingError(
                f"{self.name}: beta {beta:g} is outside -{self.beta_max:g} to {self.beta_max:g}, what the board can."
            )
        text, said = _text(wanted), ""
        # one line, carried out in order and no further than it is taken; what it came to is asked on the next, in one packet
        line = f"NUDGe:BETA {beta:.9g};STATe ON"
        if text != self._targets:
            line = f"NUDGe:BETA 0;TARGet {text},{listed(keys)};BETA {beta:.9g};STATe ON"
        self._targets = None
        try:
            said = self.told(self.connection.wire.write_end.join((line, "NUDGe:STATe?;BETA?")))
            state, _, strength = said.partition(";")
            stands = state == "1" and abs(numbers(strength, 1, self.where)[0] - beta) <= 1e-6 * abs(beta)
        except BaseException:  # nobody knows what it pulls to: it is not left on
            with contextlib.suppress(DriverError):
                self.release()
            raise
        if not stands:
            self.release()
            self._refuse(f"The nudge was set to beta {beta:g} and on, and says {said!r}.")
        self._targets = text

    def nudge_stands(self) -> float:
        """Ask for the nudge that is on: its beta; 0 where it is off."""
        state, _, strength = self.told("NUDGe:STATe?;BETA?").partition(";")
        return float(numbers(strength, 1, self.where)[0]) if state == "1" else 0.0

    def release(self) -> None:
        """Switch the nudge off; confirmed by read-back."""
        self.connection.write("NUDGe:STATe OFF")
        if self.ask("NUDGe:STATe?") != "0":
            self._refuse("The nudge was switched off and says that it is on.")

    # inputs
    def _measure(self, keys: Sequence[str]) -> Array:
        where = _listed(tuple(keys))
        if self.binary:
            frame = self.connection.query_block(f"SENSe:BLOCk? {where}", "<i4", len(keys) + 1)
            counter, values = int(frame[0]) & 0xFFFFFFFF, frame[1:].view(np.float32).astype(np.float64)
        else:
            text, _, rest = self.told(f"SENSe:BLOCk:ASCii? {where}").partition(",")
            if not text.isdigit():
                raise ReplyError(f"{self.where}: a frame begins with its number, not with {text[:20]!r}")
            counter, values = int(text), numbers(rest, len(keys), self.where)
        self._count(counter)
        return finite(values, self.where)

    def _count(self, counter: int) -> None:
        """See that a frame is a new one."""
        last, self._frame = self._frame, counter
        if last is None or counter == last + 1:
            return
        if counter > last:
            self.lost_frames += counter - last - 1
        elif counter == last:
            raise ReplyError(f"{self.where}: frame {counter} came twice; it is not a new measurement")
        else:
            raise RebootedError(f"{self.where}: its frames count from {counter} after {last}: it was reset. Arm it again.")


_listed = functools.lru_cache(listed)  # the same channels are read at every tick


@functools.lru_cache
def _parted(keys: tuple[str, ...]) -> tuple[tuple[list[int], str], tuple[list[int], str]]:
    """Part outputs from targets of the nudge: which of the keys they are, and their list; empty where there is none."""
    outs = [k for k, key in enumerate(keys) if int(key) < FIRST_NUDGE]
    targets = [k for k, key in enumerate(keys) if int(key) >= FIRST_NUDGE]
    return (outs, _listed(tuple(keys[k] for k in outs)) if outs else ""), (
        targets, _listed(tuple(keys[k] for k in targets)) if targets else "",
    )  # fmt: skip


def _text(values: Array) -> str:
    return ",".join(f"{value:.9g}" for value in values.tolist())


def _pair(low: float, high: float) -> str:
    return f"{low:.7g},{high:.7g}"  # as many digits as 4 bytes hold
