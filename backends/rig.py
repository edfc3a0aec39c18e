"""The rig: a device of real instruments, as a rig file describes it.

Opening is passive. The first tick that moves something arms the instruments, in the order of the file, and says what it changed.
One tick is one exchange with all of them: what is staged goes out, within slew; the rest of the period passes; everything is
read; a nudge that software closes is renewed. An instrument that does not answer leaves the last good values in place, with their
ages, and takes the nudge off; once it is back, `DisturbedError` says that the phase has to be begun again.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.description import Clock, DeviceInfo
from aeqlab.backends.device import Device
from aeqlab.backends.errors import DeviceConfigError, DeviceLostError, DisturbedError, LimitError
from aeqlab.backends.identification import Identification, newest
from aeqlab.backends.interlocks import Interlock, Reading
from aeqlab.backends.readout import Flag, Readout, SafetyReport
from aeqlab.backends.rig_bus import Bus, Down
from aeqlab.backends.rig_clock import RigClock
from aeqlab.backends.rig_guards import guards_of
from aeqlab.backends.rig_info import fingerprint_of, info_of
from aeqlab.backends.rig_jumps import Jumps
from aeqlab.backends.rig_knobs import MovingKnobs
from aeqlab.backends.rig_monitors import Monitors
from aeqlab.backends.rig_names import Place, some
from aeqlab.backends.rig_nudge import nudge_of
from aeqlab.backends.rig_plan import KnobPlan, RigPlan
from aeqlab.backends.rig_safe import bring_to_rest, rehearse, report_of
from aeqlab.backends.rig_stuck import Stuck
from aeqlab.backends.rig_sums import check_sums
from aeqlab.backends.silence import if_computer_dies
from aeqlab.drivers.errors import DriverError, NotArmedError, RefusedError, SettingError
from aeqlab.drivers.instrument import Direction

Array = NDArray[Any]
LATE = 0.1  #: a tick is late from this share of its period on
PACED = 20  #: ticks after which it is known whether the period can be kept
PACED_OVER = 200  #: ticks over which the pace is told
KEPT = 20_000  #: lengths of periods that are remembered


class Rig(Device):
    """A rig whose instruments are open.

    Args:
        plan: its file, worked out.
        bus: its instruments, open.
        clock: what time it follows; closed with it.
        folder: of its identifications; None: they are not kept.
    Attributes:
        plan, bus, clock: as given.
        late: periods that were skipped because a tick took too long.
        periods: lengths of the last ticks, in s of the rig.
        changed: what arming changed.
    Raises:
        DeviceConfigError: a channel that an instrument does not have, or another unit than the file says; all at once.
    """

    def __init__(self, plan: RigPlan, bus: Bus, clock: RigClock, folder: Path | None = None) -> None:
        self.plan, self.bus, self.clock = plan, bus, clock
        self._see_channels()
        file = plan.file
        self._tick_s = file.tick_s
        self.controls_row = MovingKnobs(plan.controls, file.tick_s, clock.now())
        self.inputs_row = MovingKnobs(plan.inputs, file.tick_s, clock.now())
        self.monitors = Monitors(plan)
        self._nudge_ = nudge_of(plan.nudge, bus)
        self._read_places = (*plan.parameters.places, *plan.outputs.places)
        self._scanners = [name for name in plan.order if hasattr(bus.instruments[name], "scan_s")]
        knobs = {place.instrument for place in (*plan.controls.places, *plan.inputs.places)}
        self._drivers = [name for name in plan.order if name in knobs]
        self._sources = sorted({place.instrument for place in plan.nudge.places} - knobs)
        self.changed: list[str] = []
        self._changed_told = 0
        self._jumps = Jumps(plan)
        self._jumped = False  # since the last readout
        self._guards = (*guards_of(plan), *self._jumps.guards())
        self.late = 0
        self.periods: deque[float] = deque(maxlen=KEPT)
        self._pace_told = False
        self._armed = self._driving = False
        self._staged_x: Array | None = None
        self._staged_u: Array | None = None
        self._staged_nudge: tuple[Array, float] | None = None
        self._outputs_fit = False  # the outputs were read with the present inputs and without a nudge coming on
        self._frozen = False
        self._asked_others = False  # whether the others were asked since one could not be reached
        self._mended: list[str] = []  # what is back, while others are still away
        self._dropped = ""  # why the nudge is off that was told to be on: the phase under way is spoiled
        self._t = clock.now()
        self._sent_at = self._t
        self._due = self._t + self._tick_s
        self._read_s = 0.0
        self._checked = True  # what was sent last was read back since
        n, m = len(plan.parameters), len(plan.outputs)
        self._values = np.zeros(n + m)
        self._measured_at = np.full(n + m, -np.inf)
        self._adopt()
        self._stuck = Stuck(self.read_steps())
        self._stimulus: tuple[bytes, float] = (b"", 0.0)
        self.folder = folder
        self.identified: Identification | None = None  # how it answers, if that was found lately
        self.unfit = ""  #: why the last identification is not used
        self._recall()
        self._info = info_of(self)

    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself."""
        return self._info

    # the four abilities
    def _present(self, inputs: Array) -> None:
        check_sums(self.plan, self._staged_u if self._staged_u is not None else self.controls_row.goal, inputs[0])
        self._staged_x = inputs[0].copy()

    def _set_controls(self, u: Array) -> None:
        check_sums(self.plan, u, self._staged_x if self._staged_x is not None else self.inputs_row.goal)
        self._staged_u = np.array(u)

    def _controls(self) -> Array:
        return self.controls_row.readback()

    def _nudge(self, targets: Array, beta: float) -> None:
        self._staged_nudge = targets[0].copy(), beta

    def _release(self) -> None:
        self._staged_nudge = np.zeros(len(self.plan.outputs)), 0.0

    def _nudge_applied(self) -> float | None:
        try:
            return self._nudge_.stands()
        except Down as exc:
            raise DeviceLostError(f"whether the nudge is off is unknown: {exc.why}") from exc

    def _advance(self, seconds: float | None) -> Readout:
        began = self.clock.now()
        if began - self._t < self._tick_s:
            began = self._t  # a loop that computes between two ticks keeps their period
        else:
            self._due = began + self._tick_s
        until = began + seconds if seconds is not None else 0.0
        flags = self._tick()
        while self._t < until * (1 - 1e-12):
            flags |= self._tick()
        return self._readout(self._t - began, flags)

    def _readout(self, dt: float, flags: Flag) -> Readout:
        n = len(self.plan.parameters)
        ages = np.maximum(0.0, self._t - np.maximum(self._measured_at, 0.0))
        if flags is not Flag.NONE and flags & Flag.LOST:
            flags |= Flag.STALE
        if self.controls_row.moving or self.inputs_row.moving:
            flags |= Flag.SLEWING
        if self._frozen:
            flags |= Flag.FROZEN
        if self.monitors.limited:
            flags |= Flag.SATURATED
        if self._jumped:
            flags |= Flag.JUMPED
        self._jumped = False
        if self.bus.down:
            flags |= Flag.AWAY
        values = self._values
        return Readout(self._t, dt, values[None, n:].copy(), values[:n].copy(), ages[n:], ages[:n], flags)

    # one tick
    def _tick(self) -> Flag:
        """Do one exchange with all instruments, which ends at the end of its period."""
        try:
            self._mend()
            self.bus.spoken.clear()
            self._apply()
            self.clock.wait(self._due - self._read_s - self.clock.now())
            fresh = self._read()
            if fresh:
                self._see_drivers()
                self._renew()
        except Down as down:
            self._lose(down)
            fresh = False
            self.clock.wait(self._due - self.clock.now())
            self._pass_to(self.clock.now())
        except (RefusedError, SettingError) as exc:
            raise LimitError(f"{exc} Nothing more was moved.") from exc
        self._keep_period()
        return Flag.NONE if fresh else Flag.LOST

    def _see_drivers(self) -> None:
        """See that what drives is still driving, where nothing else was to be told to it in this tick. Raises `Down`.

        Knobs that stand are not set again, and a box that was off meanwhile lets them go without a word: what is read then would
        be taken for what the nudge did.
        """
        if self._driving:
            for name in (*self._drivers, *(self._sources if self._nudge_.beta else ())):
                if name not in self.bus.spoken:
                    self.bus.talk(name, lambda instrument: instrument.healthy())

    def _keep_period(self) -> None:
        if self._t <= self._due + LATE * self._tick_s:
            self._due += self._tick_s
            return
        self.late += max(1, int((self._t - self._due) / self._tick_s))
        self._due = self._t + self._tick_s  # what was missed is not made up for
        self._see_pace()

    def _see_pace(self) -> None:
        """Say once that ticks take longer than the file says, where that is the rule and no exception."""
        if self._pace_told or len(self.periods) < PACED:
            return
        usual = float(np.median(list(self.periods)[-PACED:]))
        if usual > (1.0 + LATE) * self._tick_s:
            self._pace_told = True
            self.bus.told.append(
                f"A tick takes {usual:.3g} s, and tick_s is {self._tick_s:g} s: every one is late, and periods are skipped "
                f"({self.late} so far). Loops go by the time that passes. Make tick_s longer, or measure less or faster."
            )

    def _pass_to(self, now: float) -> None:
        self.controls_row.go_on(now)
        self.inputs_row.go_on(now)
        self.periods.append(now - self._t)
        self._t = now

    def _apply(self) -> None:
        """Send what is staged, and lead what is on its way."""
        moves = self._staged_x is not None or self._staged_u is not None or bool(self._staged_nudge and self._staged_nudge[1])
        if moves:
            self._arm()
            self._frozen = False
        nudge, self._staged_nudge = self._staged_nudge, None
        if nudge is not None and nudge[1] == 0.0:
            self._nudge_.off()
            nudge = None
        if self._staged_x is not None:
            self._outputs_fit &= bool(np.array_equal(self._staged_x, self.inputs_row.goal))
            self.inputs_row.goal, self._staged_x = self._staged_x, None
        if self._staged_u is not None:
            self.controls_row.goal, self._staged_u = self._staged_u, None
        self._send()
        if nudge is not None:
            if self._nudge_.needs_outputs and not self._outputs_fit:
                self._look_at_outputs()
            self._nudge_.on(nudge[0], nudge[1], self._values[len(self.plan.parameters) :])

    def _look_at_outputs(self) -> None:
        """Read the outputs at new inputs, for a force that follows from them."""
        self.clock.wait(self.plan.nudge.entry.settle_s or self._tick_s)
        if not self._read():
            raise Down(self.plan.outputs.places[0].instrument, "the outputs could not be read, from which the nudge follows.")

    def _send(self) -> None:
        now = self.clock.now()
        dt, self._sent_at = now - self._sent_at, now
        if not self._driving:
            return
        sent = False
        lost: Down | None = None
        for row in (self.inputs_row, self.controls_row):
            row.go_on(now)
            rows, values = row.next(dt)
            if len(rows):
                sent = True
                try:
                    self._write(row, rows, values)
                except Down as down:
                    lost = lost or down
        if lost is not None:
            raise lost
        if not sent and not self._checked:
            self._check_back()
        self._checked = not sent

    def _write(self, row: MovingKnobs, rows: NDArray[np.intp], values: Array) -> None:
        """Set knobs, instrument by instrument; where one cannot be reached the others are set all the same. Raises `Down`."""
        lost: Down | None = None
        places = row.plan.places
        for group in self.bus.grouped(places if len(rows) == len(places) else [places[k] for k in rows]):
            some = values[group.rows]
            try:
                self.bus.write_group(group, some)
            except Down as down:
                lost = lost or down
                continue
            row.were_sent(rows[group.rows], some)
        if lost is not None:
            raise lost

    def _check_back(self) -> None:
        """Ask the instruments whether their knobs are where they were told to be: what is clamped is known to be."""
        for row in (self.controls_row, self.inputs_row):
            said = self.bus.written(row.plan.places)
            off = np.abs(said - row.sent) > 1.01 * row.step + 1e-6 * (row.plan.highest - row.plan.lowest)
            if off.any():
                k = int(np.argmax(off))
                place = row.plan.places[k]
                why = (
                    f"{row.plan.names[k]} ({place}) was told {row.sent[k]:.6g} {row.plan.unit} and says {said[k]:.6g}: "
                    "somebody else set it, or it was off meanwhile."
                )
                self.bus.broken(place.instrument, why)
                raise Down(place.instrument, why)

    def _read(self) -> bool:
        began = self.clock.now()
        extra = self.monitors.due(began, self.bus.down)
        values = self.bus.measure((*self._read_places, *(place for _, place in extra)) if extra else self._read_places)
        if values is None and extra:  # a monitor that cannot be read keeps nobody from reading the rest
            values, extra = self.bus.measure(self._read_places), []
        now = self.clock.now()
        self._read_s += 0.2 * (now - began - self._read_s) if self._read_s else now - began
        self.clock.wait(self._due - now)
        self._pass_to(self.clock.now())
        if values is None:
            self._jumps.miss()
            return False
        n = len(self._read_places)
        self._values = values[:n]
        self._jumped |= self._jumps.see(self._values)
        self._see_stuck(now)
        self._measured_at = self._when(began, now, [place for _, place in extra])
        self.monitors.take(now, extra, values[n:], self._values)
        self._outputs_fit = not self.inputs_row.moving
        return True

    def _see_stuck(self, now: float) -> None:
        """Find readings that repeat themselves though inputs or the nudge were changed; they count as not measured then."""
        stimulus = (self.inputs_row.goal.tobytes(), self._nudge_.beta)
        changed, self._stimulus = stimulus != self._stimulus, stimulus
        for k in self._stuck.see(now, self._values, changed):
            name = (*self.plan.parameters.names, *self.plan.outputs.names)[k]
            self.bus.told.append(
                f"{name} ({self._read_places[k]}) repeats itself to the last bit while all around it changes: it is "
                "stuck, and counts as not measured until it moves."
            )

    def _when(self, began: float, ended: float, extra: Sequence[Place]) -> Array:
        """Say when each parameter and output was measured, shape (parameters + outputs,): a scanner takes one after the other."""
        if not self._scanners:
            return np.minimum(0.5 * (began + ended), self._stuck.since)  # type: ignore[no-any-return]
        at = np.full(len(self._read_places), 0.5 * (began + ended))
        for name in self._scanners:
            keys = sorted({place.key for place in (*self._read_places, *extra) if place.instrument == name})
            share = (ended - began) / len(keys)
            for k, place in enumerate(self._read_places):
                if place.instrument == name:
                    at[k] = began + (keys.index(place.key) + 0.5) * share
        since: Array = np.minimum(at, self._stuck.since)
        return since

    def _renew(self) -> None:
        self._nudge_.refresh(self._values[len(self.plan.parameters) :])
        self.monitors.look_at_sources(self.clock.now(), self.bus, bool(self._nudge_.beta))

    # breaks
    def _lose(self, down: Down) -> None:
        """An instrument does not answer: the nudge goes off, where it still can be reached, and the others are asked too."""
        self._outputs_fit = False
        self._jumps.miss()
        first = len(self.bus.down) == 1 and not self._asked_others
        if self._nudge_.beta and not self._dropped:
            self._dropped = down.why
        with contextlib.suppress(Down, DriverError):
            self._nudge_.off()
        if first:
            self._asked_others = True
            self.bus.ask_all()
        since = min((h.down_since for h in self.bus.health.values() if h.down_since is not None), default=self.clock.now())
        if self.clock.now() - since > self.plan.file.lost_after_s:
            raise DeviceLostError(
                f"{self.info.name}: {', '.join(self.bus.down)} did not answer for {self.plan.file.lost_after_s:g} s: {down.why} "
                f"State unknown, last commanded {self._commanded(self.bus.down)}."
            )

    def _mend(self) -> None:
        """Open again what broke, arm again what was off; say so once all is well.

        Raises:
            DisturbedError: all is well again, and the phase that was under way was spoiled.
        """
        if not self.bus.down:
            return
        self._mended += self.bus.retry()
        if self.bus.down:
            raise Down(self.bus.down[0], self.bus.health[self.bus.down[0]].why)
        again = [name for name, health in self.bus.health.items() if health.rebooted]
        if again and self._armed:
            self.changed += self.bus.arm(again)
            for name in again:
                self.bus.health[name].rebooted = False
                self.bus.told.append(f"{self.bus.instruments[name].where}: it was armed again.")
        if again:
            self._adopt(again)
        self._nudge_.off()
        self._asked_others = False
        why, self._dropped = self._dropped, ""
        said, self._mended = " ".join(self._mended) or "an instrument did not answer.", []
        raise DisturbedError(
            f"{self.info.name}: {said} {'The nudge was taken off meanwhile. ' if why else ''}The phase is begun again."
        )

    def _commanded(self, names: Sequence[str]) -> str:
        said = [
            f"{name} = {value:.6g} {row.plan.unit}"
            for row in (self.controls_row, self.inputs_row)
            for name, place, value in zip(row.plan.names, row.plan.places, row.sent, strict=True)
            if place.instrument in names and np.isfinite(value)
        ]
        return ", ".join(said[:4]) + (f" and {len(said) - 4} more" if len(said) > 4 else "") or "nothing"

    # DropsNudge
    def drop_nudge(self) -> None:
        """Take the nudge off now, from any thread, also while another waits for a scan; a freeze or a release must follow."""
        if not self.closed:
            self._nudge_.drop()

    def pace(self) -> tuple[int, float, float]:
        """Get how many periods were skipped, and of the last ticks the median length and its standard deviation, in s."""
        lengths = list(self.periods)[-PACED_OVER:]
        if not lengths:
            return self.late, float("nan"), float("nan")
        return self.late, float(np.median(lengths)), float(np.std(lengths))

    # Monitored
    def monitored(self) -> dict[str, Reading]:
        """Get the newest value of every parameter, output and monitor by name; nan for what is missing."""
        return self.monitors.readings(self.clock.now() if self.clock.kind is Clock.WALL else self._t)

    def guards(self) -> tuple[Interlock, ...]:
        """Get the interlocks of the rig file, limits of readouts and alarms of monitors among them."""
        return self._guards

    def take_told(self) -> list[str]:
        """Take the sentences about what happened since this was last asked, oldest first."""
        told = [*self.changed[self._changed_told :], *self.bus.told]
        self._changed_told = len(self.changed)
        self.bus.told.clear()
        return told

    # Identifies
    def fingerprint(self) -> dict[str, str]:
        """Get what an identification of this rig belongs to: instruments, channels, limits, nudge, by name."""
        self._check_open()
        return fingerprint_of(self.plan, self.bus)

    def identification(self) -> dict[str, Any] | None:
        """Get the identification that is in use, as plain values; None where there is none that is fresh."""
        return None if self.identified is None else self.identified.tree()

    def take_identification(self, tree: dict[str, Any]) -> str:
        """Use an identification from now on, and keep it in a dated file; `info` changes by it. Returns the file, if it was kept.

        Raises:
            DeviceConfigError: it is of another rig, stale or damaged; or it cannot be written.
        """
        self._check_open()
        found = Identification.of_tree(tree, "this identification")
        if why := found.unfit(self.fingerprint(), 3600.0 * self.plan.file.fresh_h) or self._misfit(found):
            raise DeviceConfigError(f"{self.info.name}: {why} Identify again.")
        path = found.save(self.folder) if self.folder is not None else ""
        self.identified, self.unfit = found, ""
        self._info = info_of(self)
        return str(path)

    def _recall(self) -> None:
        """Use the last identification, if it is fresh and of this rig."""
        if self.folder is None:
            return
        try:
            found = newest(self.folder)
        except DeviceConfigError as exc:
            self.unfit = str(exc)
            self.bus.told.append(self.unfit)
            return
        if found is None:
            self.unfit = "it was never identified."
            return
        self.unfit = found.unfit(fingerprint_of(self.plan, self.bus), 3600.0 * self.plan.file.fresh_h) or self._misfit(found)
        if not self.unfit:
            self.identified = found
        else:
            self.bus.told.append(f"The last identification is not used: {self.unfit}")

    def _misfit(self, found: Identification) -> str:
        if len(found.gain) != len(self.plan.parameters) or len(found.softness) != len(self.plan.outputs):
            return f"the identification of {found.when} has other numbers of parameters or outputs."
        return ""

    # arming
    def arming_plan(self) -> list[str]:
        """List what arming will change, from the settings as they stand."""
        return self.bus.plan()

    def arm(self) -> list[str]:
        """Arm the instruments now, if they are not; returns what was changed since the rig was opened.

        Raises:
            DeviceConfigError: one is not as it is wanted, or limits go beyond its range; no knob was moved.
            DeviceLostError: one cannot be reached.
        """
        self._check_open()
        try:
            self._arm()
        except Down as exc:
            raise DeviceLostError(f"{self.info.name} cannot be armed: {exc.why}") from exc
        return list(self.changed)

    @property
    def armed(self) -> bool:
        """Whether the instruments are as they are used."""
        return self._armed and self._driving

    def _arm(self) -> None:
        if self._armed and self._driving:
            return
        if not self._armed and (wrong := rehearse(self)):
            said = "\n  ".join(wrong)
            raise DeviceConfigError(f"{self.info.name} is not armed: it could not be made safe:\n  {said}")
        try:
            self.changed += self.bus.arm()
        except DriverError as exc:
            raise DeviceConfigError(f"{self.info.name} cannot be armed: {exc}") from exc
        for name, entry in self.plan.file.instruments.items():
            if entry.watchdog_s is not None and not self.bus.talk(name, lambda one, s=entry.watchdog_s: one.watch(s)):  # type: ignore[misc]
                raise DeviceConfigError(
                    f"{name}: watchdog_s is given, and this instrument has none. Take it out of the rig file."
                )
        self._see_limits()
        self._adopt()
        supplies = self.plan.supplies
        if supplies:
            self.bus.write([one.place for one in supplies], np.array([one.entry.value for one in supplies]))
        if not self._armed:
            self.bus.told += [f"If this computer dies now: {line}" for line in if_computer_dies(self.plan)]
        self._armed = self._driving = True
        self._info = info_of(self)  # the resolution of a knob or a reading follows from its range
        self._stuck = Stuck(self.read_steps())

    def _adopt(self, names: Sequence[str] | None = None) -> None:
        """Take the knobs as they stand; only questions."""
        for row in (self.controls_row, self.inputs_row):
            rows = [k for k, place in enumerate(row.plan.places) if names is None or place.instrument in names]
            if not rows:
                continue
            places = [row.plan.places[k] for k in rows]
            channels = [self.bus.instruments[place.instrument].channels[place.key] for place in places]
            step = np.array([channel.step for channel in channels])
            pace = np.array([channel.slew_per_s for channel in channels])
            row.adopt(np.array(rows), self.bus.written(places), step, pace)

    def _see_channels(self) -> None:
        """See that the instruments have the channels that are used, in their units. Raises DeviceConfigError."""
        wrong = []
        for name, uses in self.plan.uses.items():
            channels = self.bus.instruments[name].channels
            for use in uses:
                channel = channels.get(use.key)
                word = "output" if use.direction is Direction.OUT else "input"
                if channel is None or channel.direction is not use.direction:
                    wrong.append(f"{Place(name, use.key)}: there is no such {word}.")
                elif channel.unit != use.unit:
                    wrong.append(f"{Place(name, use.key)} is in {channel.unit}; the rig file says {use.unit}.")
        nudge = self.plan.nudge
        if nudge.entry.realisation == "coupling":
            names = {place.instrument for place in nudge.places}
            pulled = self.bus.instruments[nudge.places[0].instrument].nudged
            if len(names) > 1 or any(place.key not in pulled for place in nudge.places):
                wrong.append(
                    f"nudge: a coupling needs one instrument with a nudge of its own; {', '.join(sorted(names))} has none there."
                )
        if wrong:
            raise DeviceConfigError("the instruments are not as the rig file says; nothing was moved:\n  " + "\n  ".join(wrong))

    def _see_limits(self) -> None:
        """See that limits lie inside what the armed instruments can do, and that a slew of the nudge is held by its source."""
        beyond: dict[str, list[str]] = {}
        for name, uses in self.plan.uses.items():
            for use in uses:
                channel = self.bus.instruments[name].channels[use.key]
                if use.direction is not Direction.OUT:
                    continue
                room = 1e-9 * (channel.high - channel.low)
                if (np.isfinite(use.low) and use.low < channel.low - room) or (
                    np.isfinite(use.high) and use.high > channel.high + room
                ):
                    said = (
                        f"{use.low:g} to {use.high:g} {use.unit} go beyond its range {channel.low:g} to {channel.high:g} "
                        f"{channel.unit}. Make the limits narrower, or choose another range."
                    )
                    beyond.setdefault(said, []).append(str(Place(name, use.key)))
        wrong = [f"{some(places)}: {said}" for said, places in beyond.items()]
        entry = self.plan.nudge.entry
        if entry.slew_per_s is not None:
            for place in self.plan.nudge.places:
                if self.bus.instruments[place.instrument].channels[place.key].slew_per_s > entry.slew_per_s * (1 + 1e-6):
                    wrong.append(f"nudge {place}: it has no slew of its own, and software does not slow a nudge. Take it out.")
        if wrong:
            raise DeviceConfigError(f"{self.plan.name} cannot be armed so; no knob was moved:\n  " + "\n  ".join(wrong))

    # safety
    def _freeze(self) -> None:
        self._unstage()
        self._frozen = True
        lost: Exception | None = None
        try:
            self._nudge_.off()
        except NotArmedError as exc:  # before the first arming it cannot push as this rig does, and nothing of ours is on
            lost = exc if self._armed else None
        except (Down, DriverError) as exc:
            lost = exc
        self._dropped = ""
        for row in (self.controls_row, self.inputs_row):
            row.go_on(self.clock.now())
            row.stop()
        self.inputs_row.goal = self.plan.inputs.rest.copy() if self._driving else self.inputs_row.goal
        try:
            self._send()
        except (Down, DriverError) as exc:
            lost = lost or exc
        self._outputs_fit = False
        if lost is not None:
            down = self.bus.down
            raise DeviceLostError(
                f"{self.info.name} could not be frozen: {lost} State unknown, last commanded {self._commanded(down)}."
            ) from lost

    def _make_safe(self) -> SafetyReport:
        self._unstage()
        self._frozen, self._outputs_fit = True, False
        with contextlib.suppress(DeviceLostError, DisturbedError):
            self._mend_quietly()
        return report_of(self, bring_to_rest(self))

    def _mend_quietly(self) -> None:
        with contextlib.suppress(Down):
            self._mend()

    def _unstage(self) -> None:
        self._staged_x = self._staged_u = self._staged_nudge = None

    def lead(self) -> None:
        """Let a tick pass in which knobs are led on, and nothing is read: on the way to rest."""
        with contextlib.suppress(Down):  # the others go on
            self._send()
        self.clock.wait(self._tick_s)
        self._pass_to(self.clock.now())

    def nudge_off(self) -> None:
        """Take the nudge off now. Raises `Down`, and what the driver raises."""
        self._nudge_.off()

    def nudge_stands(self) -> float:
        """Ask the instruments what nudge is on. Raises `Down`, and what the driver raises."""
        return self._nudge_.stands()

    def drive_again(self) -> None:
        """Let knobs be led from where they stand, armed or not: on the way to rest."""
        self._driving = True

    def went_off(self) -> None:
        """Outputs were switched off: they have to be armed again before anything drives them."""
        self._driving = False

    def _close(self) -> None:
        self.bus.close()
        self.clock.close()

    @property
    def kind_of_clock(self) -> Clock:
        """Which clock moves it."""
        return self.clock.kind

    def read_steps(self) -> Array:
        """Get the resolution of the reading of every parameter and output, in their units; 0 where it is not known."""
        return np.array([self.bus.instruments[place.instrument].channels[place.key].step for place in self._read_places])

    def knob_rows(self) -> tuple[MovingKnobs, MovingKnobs]:
        """Get the control knobs and the input knobs, as they move."""
        return self.controls_row, self.inputs_row


__all__ = ["KnobPlan", "Rig"]
