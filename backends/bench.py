"""An emulated bench: instruments on loopback, wired to a physical system, which moves on by the bench's clock.

The fronts are served by threads of this process. On the wall clock a thread of the bench's own lets the physics and the boards'
watchdogs go on while nobody speaks. In lockstep time moves only by what messages and conversions cost, and by `spend`.
Everything that drives a knob or a nudge stands in the bench's journal, as the hardware saw it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from aeqlab.backends.apertures import Converter
from aeqlab.backends.bench_faults import Script
from aeqlab.backends.bench_file import (
    BenchSettings,
    BoardSettings,
    Daq970aSettings,
    InstrumentSettings,
    Keithley2450Settings,
    Qdac2Settings,
    Wire,
    Wiring,
)
from aeqlab.backends.bench_physics import BenchPhysics
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.settings import Dimensions
from aeqlab.backends.streams import stream
from aeqlab.drivers.emulated.board import Board
from aeqlab.drivers.emulated.clock import Clock, LockstepClock, WallClock
from aeqlab.drivers.emulated.daq970a import EmulatedDaq970a
from aeqlab.drivers.emulated.keithley2450 import Keithley2450
from aeqlab.drivers.emulated.qdac2 import EmulatedQdac2
from aeqlab.drivers.emulated.scpi import Front
from aeqlab.drivers.emulated.server import Lock, PtyServed, TcpServed

BEAT_S = 0.02  #: so often, in s of the wall, a bench on the wall clock looks after itself
PIECE_S = 0.02  #: so often, in s of the bench, a bench in lockstep does


class Emulated(Protocol):
    """What the emulated instruments have in common."""

    @property
    def front(self) -> Front:
        """Its front."""

    def reboot(self) -> None:
        """Switch it off and on."""


class SteppedClock(LockstepClock):
    """A lockstep clock that lets the bench look after itself on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: Callable[[], None] | None = None

    def spend(self, seconds: float) -> None:
        """Let the time move on at once, in pieces where somebody looks at them."""
        if self.passed is None:
            super().spend(seconds)
            return
        end = self.now() + max(0.0, seconds)
        while (left := end - self.now()) > 1e-12:
            super().spend(min(left, PIECE_S))
            self.passed()


class Terminals:
    """The terminals of one instrument: what is wired acts, what is not hangs in the air and reads 0.

    Attributes:
        stuck: channels that have failed: outputs stay as they are, inputs read what they read last.
    """

    def __init__(self, name: str, settings: InstrumentSettings, bench: Bench, wires: dict[str, Wire]) -> None:
        self._physics, self._wires = bench.physics, wires
        self.stuck: set[str] = set()
        self._drifts: dict[str, tuple[float, float, float]] = {}  # of a reading: since when, V by then, and V/s
        self._pulled: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._scale: dict[str, float] = {}
        self._converters: dict[str, Converter] = {}
        profile, seed = bench.settings.imperfections, bench.settings.seed
        noise = profile.noise_V if settings.noise_V is None else settings.noise_V
        hum = profile.hum_V if settings.hum_V is None else settings.hum_V
        gain_error = profile.gain_error if settings.gain_error is None else settings.gain_error
        offset_V = profile.offset_V if settings.offset_V is None else settings.offset_V
        for key, wire in wires.items():
            errors = stream(seed, f"bench errors of {name} {key}").uniform(-1, 1, 2)
            if wire.port.drives:
                self._scale[key] = bench.settings.force_V_per_A if wire.port.unit == "A" else 1.0
                offset = offset_V if wire.port.unit == "V" else 0.0  # a source of current has its offset in A
                bench.physics.wire(wire.quantity, wire.index, wire.gain * (1 + gain_error * errors[0]), offset * errors[1])
                continue
            rng = stream(seed, f"bench noise of {name} {key}")
            electrical = wire.quantity != "temperature"  # a thermometer in K
            self._converters[key] = Converter(
                noise if electrical else 0.0, hum if electrical else 0.0, profile.line_Hz, rng,
                gain=wire.gain * (1 + settings.reading_gain_error * errors[0]), offset=settings.reading_offset_V * errors[1],
            )  # fmt: skip

    def drive(self, key: str, value: float, slew_per_s: float = float("inf"), lag_s: float = 0.0) -> None:
        """Drive an output from now on."""
        wire = self._wires.get(key)
        if wire is not None and key not in self.stuck:
            scale = self._scale[key]
            self._physics.drive(wire.quantity, wire.index, value * scale, slew_per_s * scale, lag_s)

    def sense(self, key: str, aperture_s: float, ago_s: float = 0.0) -> float:
        """Sense an input: the mean over an aperture that ended so long ago, as its converter reads it."""
        wire = self._wires.get(key)
        if wire is None:
            return 0.0
        if key not in self.stuck or key not in self._last:
            mean = self._physics.sense(wire.quantity, wire.index, aperture_s, ago_s)
            read = self._converters[key].reads(mean, self._physics.t - ago_s, aperture_s)
            self._last[key] = read * self._pulled.get(key, 1.0) + self._drifted(key)
        return self._last[key]

    # what fails
    def jump(self, key: str, volts: float) -> None:
        """Let what a channel drives or senses be somewhere else at once. Raises ValueError where that cannot jump."""
        wire = self._wired(key)
        self._physics.jump(wire.quantity, wire.index, volts)

    def drift(self, key: str, volts_per_s: float) -> None:
        """Let a reading, or the knob behind an output, go away from what it should be from now on; 0: no further."""
        wire = self._wired(key)
        if wire.port.drives:
            self._physics.creep(wire.quantity, wire.index, volts_per_s)
        else:
            self._drifts[key] = self._physics.clock.now(), self._drifted(key), volts_per_s

    def pull(self, key: str, gain: float) -> None:
        """Let the cable of a channel have a gain from now on: 0 where it is pulled out, 1 where it is as it was wired."""
        wire = self._wired(key)
        if wire.port.drives:
            self._physics.weaken(wire.quantity, wire.index, gain)
        else:
            self._pulled[key] = gain

    def swap(self, key: str, other: str) -> None:
        """Let two cables change places; what drives them goes on to where they are now when it is driven next."""
        rows: tuple[dict[str, Any], ...] = (self._wires, self._scale, self._converters)
        for row in rows:
            ends = {new: row.pop(old) for old, new in ((key, other), (other, key)) if old in row}
            row |= ends

    def _wired(self, key: str) -> Wire:
        wire = self._wires.get(key)
        if wire is None:
            raise ValueError(f"channel {key} is wired to nothing")
        return wire

    def _drifted(self, key: str) -> float:
        since, volts, rate = self._drifts.get(key, (0.0, 0.0, 0.0))
        return volts + rate * (self._physics.clock.now() - since) if rate or volts else 0.0


class _OfSmu(Terminals):
    """Terminals of a 2450: a source of current pushes an output, one of voltage holds it through its own resistance."""

    smu: Keithley2450 | None = None

    def __init__(self, name: str, settings: InstrumentSettings, bench: Bench, wires: dict[str, Wire]) -> None:
        super().__init__(name, settings, bench, wires)
        self._conductance = bench.settings.clamp_conductance
        wire = wires.get("1")
        if wire is not None and wire.quantity == "i":
            bench.physics.wire("y", wire.index, 1.0, 0.0)  # what holds it acts as a strong nudge
            self._holds: int | None = wire.index
        else:
            self._holds = None

    def drive(self, key: str, value: float, slew_per_s: float = float("inf"), lag_s: float = 0.0) -> None:
        """Drive the output: with a current, or towards a voltage while the source is on."""
        smu = self.smu
        if smu is not None and self._holds is not None and key not in self.stuck:
            holds = smu.on and smu.function == "VOLTage"
            self._physics.drive("y", self._holds, value if holds else 0.0)
            self._physics.drive("beta", 0, self._conductance if holds else 0.0)
        current = smu is not None and smu.function == "CURRent"
        super().drive(key, value if current else 0.0, slew_per_s, lag_s)


class Bench:
    """A bench that runs until it is closed.

    Args:
        settings: its file.
        base: folder from which paths in it count.
        journal: folder of its journal; None for none.
    Attributes:
        addresses: VISA address of each instrument.
        journal: folder of its journal; None for none.
        wiring: which channel is wired to what, as it was built.
        emulated, served, terminals: of each instrument, by name: for faults on command, and for tests.
    Raises:
        DeviceConfigError: it cannot be built, wired or served; everything that is wrong at once.
        UserCodeError: the user's code raised.
    """

    def __init__(self, settings: BenchSettings, *, base: Path = Path(), journal: Path | None = None) -> None:
        self.settings, self.journal = settings, journal
        self.clock: Clock = SteppedClock() if settings.clock == "lockstep" else WallClock(settings.speed)
        self.physics = BenchPhysics(
            settings.physics, settings.imperfections, self.clock, seed=settings.seed, base=base, journal=journal
        )
        self.emulated: dict[str, Emulated] = {}
        self.served: dict[str, TcpServed | PtyServed] = {}
        self.terminals: dict[str, Terminals] = {}
        self._locks: dict[str, Lock] = {}
        self._script = Script(settings.faults)
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._beats, name="bench", daemon=True)
        try:
            counts = self.physics.counts
            self.wiring = settings.wired(Dimensions(counts["x"], counts["s"], counts["u"], 1))
            self._build(self.wiring)
            self._serve()
        except BaseException:
            self.close()
            raise
        if isinstance(self.clock, SteppedClock):
            if settings.faults or any(isinstance(one, Board) for one in self.emulated.values()):
                self.clock.passed = self._look_after
        else:
            self._beat.start()

    @property
    def addresses(self) -> dict[str, str]:
        """Get the VISA address of each instrument."""
        return {name: served.address for name, served in self.served.items()}

    def spend(self, seconds: float) -> None:
        """Let time pass: in lockstep at once, on the wall by waiting. This is how a device's `advance` moves a lockstep bench."""
        with contextlib.ExitStack() as stack:
            if isinstance(self.clock, LockstepClock):
                for lock in self._locks.values():  # all the same one
                    stack.enter_context(lock)
            self.clock.spend(seconds)
        self.physics.flush()

    def truth(self) -> dict[str, Any]:
        """Get the true state as plain numbers: t, theta, outputs, temperature in K, and u, x and i behind their filters."""
        physics = self.physics
        with physics.lock:
            physics.move_on()
            counts = physics.counts
            knobs = {name: [physics.sense(name, k, 0.0) for k in range(counts[name])] for name in ("u", "x", "i")}
            return {
                "t": physics.t, "theta": physics.theta.tolist(), "outputs": physics.outputs.tolist(),
                "temperature": physics.sense("temperature", 0, 0.0), **knobs,
            }  # fmt: skip

    def lock(self, name: str) -> Lock:
        """Get the lock under which messages to an instrument are carried out."""
        return self._locks[name]

    def drop(self, name: str) -> None:
        """Break every link to an instrument on TCP, which itself goes on."""
        served = self.served[name]
        if not isinstance(served, TcpServed):
            raise ValueError(f"{name}: a serial port has no link to break")
        self.physics.note("dropped", instrument=name)
        served.drop()

    def reboot(self, name: str) -> None:
        """Switch an instrument off and on: its outputs and settings are as delivered, its links are broken."""
        self._restart(name)
        if isinstance(served := self.served[name], TcpServed):
            served.drop(forgotten=True)

    def close(self) -> None:
        """Stop serving, and close the journal. May be called twice."""
        self._over.set()
        if self._beat.is_alive():
            self._beat.join(5.0)
        for served in self.served.values():
            served.close()
        self.physics.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # building
    def _build(self, wiring: Wiring) -> None:
        shared = threading.RLock() if isinstance(self.clock, LockstepClock) else None
        for name, settings in self.settings.instruments.items():
            of_smu = isinstance(settings, Keithley2450Settings)
            self.terminals[name] = (_OfSmu if of_smu else Terminals)(name, settings, self, dict(wiring[name]))
            self._locks[name] = shared or threading.RLock()
            self.emulated[name] = self._instrument(settings, self.terminals[name])

    def _instrument(self, settings: InstrumentSettings, terminals: Terminals) -> Emulated:
        line_Hz = self.settings.imperfections.line_Hz
        match settings:
            case Qdac2Settings():
                return EmulatedQdac2(terminals, self.clock, line_Hz=line_Hz, serial=settings.serial or "121")
            case Daq970aSettings():
                return EmulatedDaq970a(
                    terminals, self.clock, model=settings.model, serial=settings.serial, modules=settings.modules,
                    line_Hz=line_Hz, switching_s=settings.switching_s,
                )  # fmt: skip
            case Keithley2450Settings():
                smu = Keithley2450(terminals=terminals, clock=self.clock, line_Hz=line_Hz, serial=settings.serial or "04412345")
                assert isinstance(terminals, _OfSmu)
                terminals.smu = smu
                return smu
            case BoardSettings():
                return Board(
                    settings.outputs, settings.inputs, settings.nudges, bits=settings.bits, adc_bits=settings.adc_bits,
                    low=-settings.range_V, high=settings.range_V, terminals=terminals, clock=self.clock,
                    conversion_s=settings.conversion_s, starts_s=settings.starts_s, beta_max=settings.beta_max,
                    serial=settings.serial or "B0001",
                )  # fmt: skip
        raise TypeError(f"{type(settings).__name__} is no instrument of a bench")

    def _serve(self) -> None:
        problems = []
        for name, settings in self.settings.instruments.items():
            front, lock = self.emulated[name].front, self._locks[name]
            try:
                if settings.serve == "tcp":
                    self.served[name] = TcpServed(
                        front, self.clock, settings.message_s, port=settings.port, sockets=settings.sockets,
                        keeps_dead_s=settings.keeps_dead_s, lock=lock,
                    )  # fmt: skip
                else:
                    resets = isinstance(settings, BoardSettings) and settings.resets_when_opened
                    opened = partial(self._restart, name) if resets else None
                    self.served[name] = PtyServed(front, self.clock, settings.message_s, opened=opened, lock=lock)
            except OSError as exc:
                what = f"port {settings.port}" if settings.serve == "tcp" else "a serial port"
                problems.append(f"  {name}: {what} cannot be served: {exc.strerror or exc}.")
        if problems:
            raise DeviceConfigError("the bench cannot be served:\n" + "\n".join(problems))

    # what goes on by itself
    def _restart(self, name: str) -> None:
        with self._locks[name]:
            self.physics.note("rebooted", instrument=name)
            self.emulated[name].reboot()

    def _look_after(self) -> None:
        """Let watchdogs do what they have done by now, and the script of faults go on."""
        for name, one in self.emulated.items():
            if isinstance(one, Board):
                with self._locks[name]:
                    one.catch_up()
        self._script.go_on(self)

    def _beats(self) -> None:
        while not self._over.wait(BEAT_S):
            self._look_after()
            self.physics.flush()
