"""What a stage gets: the device's operator, the data, the record, and the point at which a run may pause or stop.

def stage(session: RunSession, options) -> dict:       what it found, by name
    for ... :
        session.point()                                sample boundary: pause, stop, checkpoints act here
        session.present(...); session.hold(...)        everything of `Operator`
        session.report(cost=...)                       shown and recorded
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Clock, DeviceInfo, Readout, SafetyReport
from aeqlab.backends.errors import DisturbedError
from aeqlab.backends.streams import DATA_ORDER, restore_stream, stream, stream_state
from aeqlab.protocols import checkpoint
from aeqlab.protocols.adjusted import Adjusted
from aeqlab.protocols.bests import Bests
from aeqlab.protocols.data import Batches, Data
from aeqlab.protocols.errors import (
    AbortRequested,
    DataError,
    FrozenError,
    NotAllowedError,
    SkipRequested,
    StopRequested,
)
from aeqlab.protocols.heard_alarms import HeardAlarms
from aeqlab.protocols.local_disk import nearly_full
from aeqlab.protocols.moving import move_theta
from aeqlab.protocols.operator import Operator
from aeqlab.protocols.pausing import FreezeRequested, drop_sample, leave_sample, pause
from aeqlab.protocols.provenance import threads
from aeqlab.protocols.record import Record, blob
from aeqlab.protocols.record_schema import THETA_LIMIT
from aeqlab.protocols.reports import HoldReport, SettleReport
from aeqlab.protocols.run_status import RunStatus
from aeqlab.protocols.sequence import Sequencer, StageFunction
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.tally import Tally

if TYPE_CHECKING:
    from aeqlab.protocols.sequence_plan import SequencePlan

Array = NDArray[Any]
T = TypeVar("T")
Report = TypeVar("Report", HoldReport, SettleReport)
DISK_S = 60.0  #: wall time between two looks at the room on the disk
LOOK_S = 0.05  #: wall time between two looks at requests, notes and the clock
_VERSION = 1


class RunSession:
    """The run as a stage sees it. Everything of `Operator`, and what this file's first lines name.

    Args:
        operator: the device's session, here or at a distance.
        status: the run's state, requests and progress, shared with whoever watches.
        record, folder: where what happens is written.
        data: the data set, None if the experiment has none.
        seed: the experiment's seed.
        base: folder from which paths in options resolve.
        redraw: loads the data set as another seed would draw it; None: it is the same for every seed.
        ideal: a device that can hold its parameters itself is let to; otherwise homeostasis holds a target, as everywhere.
        experiment: SHA-256 of the experiment, for checkpoints.
        checkpoint_every_s: wall time between checkpoints at sample boundaries.
    """

    def __init__(
        self,
        operator: Operator,
        status: RunStatus,
        record: Record,
        folder: Path,
        *,
        data: Data | None,
        seed: int,
        base: Path,
        redraw: Callable[[int], Data] | None = None,
        ideal: bool = True,
        experiment: str = "",
        checkpoint_every_s: float = 30.0,
    ) -> None:
        self.operator = operator
        self.status = status
        self.requests = status.requests
        self.record = record
        self.folder = folder
        self.seed = seed
        self.base = base
        self.info: DeviceInfo = operator.info  #: what the device says of itself
        self.abilities: frozenset[str] = operator.abilities  #: names of its capability interfaces
        self.holds_inside = ideal and "HoldsParameters" in self.abilities  #: theta stays in the device in a training step
        self.target: Array | None = None  #: theta that homeostasis holds, shape (parameters,); None: the device keeps it
        self.steps = 0  #: training steps done
        self.epoch = 0
        self.stage = 0  #: row of the stage in the record
        self.reads = 0  #: readouts that the stages took so far: ticks of holds and settles, and single advances
        self.t: float | None = None  #: time of the device at the last of them, in its seconds; None before the first
        self.tally = Tally()
        self.bests = Bests(folder / "checkpoints")
        self.epochs_of: dict[str, list[int]] = {}  #: by stage, over all rounds of a repetition: epochs begun, the last of them
        self.subsets: dict[str, int] = {}  #: by set and time: how many samples every evaluation takes where time is short
        self.sequencer = Sequencer()
        self.plan: SequencePlan | None = None  #: the stages of the experiment, where they may change while it runs
        self.stores_theta = self.info.n_parameters <= THETA_LIMIT
        self.presented = False
        self.adjusted = Adjusted(operator)  #: inputs, settings and coupling as stages left them
        self.clamped = False  #: the knobs are clamped and a nudged phase is under way
        self._data = data
        self._redraw = redraw
        self._experiment = experiment
        self._streams: dict[str, np.random.Generator] = {}
        self._batches: dict[str, Batches] = {}
        self._every_s = 0.0 if self.info.clock is Clock.WALL else checkpoint_every_s
        self._next_checkpoint = time.monotonic() + self._every_s
        self._next_look = 0.0
        self._heard = HeardAlarms(record)
        self.late = 0  #: samples in a row that were left because this process was late
        self.disturbed: list[
            int
        ] = []  #: alarms about samples in a row that were left: something of the device broke, and was mended
        self._leaves = False  # a freeze that is asked for leaves what is done now; elsewhere it waits for the next boundary
        self._next_disk = time.monotonic() + DISK_S
        # what needs no word from the run goes straight to the device's session
        self.set_controls = operator.set_controls
        self.controls = operator.controls
        self.nudge = operator.nudge
        self.release = operator.release
        self.parameters = operator.parameters
        operator.point_interrupt = self._tick  # type: ignore[attr-defined]

    # what a stage works with
    @property
    def data(self) -> Data:
        """Get the data set.

        Raises:
            DataError: the experiment has none.
        """
        if self._data is None:
            raise DataError("This stage needs samples, and the experiment has no `data`. Add a data set.")
        return self._data

    @property
    def has_data(self) -> bool:
        """Tell whether the experiment has a data set."""
        return self._data is not None

    def data_of(self, seed: int) -> Data:
        """Get the data set as another seed draws it."""
        return self.data if self._redraw is None else self._redraw(seed)

    def streams(self, name: str) -> np.random.Generator:
        """Get the random stream of a purpose; its state is kept in checkpoints."""
        if name not in self._streams:
            self._streams[name] = stream(self.seed, name)
        return self._streams[name]

    def batches(self, batch: int, *, shuffle: bool = True) -> Batches:
        """Get the training data in batches; each stage goes on where the one before left them, checkpoints included."""
        key = f"{batch} {'shuffled' if shuffle else 'in order'}"
        if key not in self._batches:
            self._batches[key] = self.data.batches(stream(self.seed, DATA_ORDER), batch, shuffle=shuffle)
        return self._batches[key]

    def report(self, **values: Any) -> None:
        """Show and record values by name."""
        self.status.values.update(values)
        self.record.report(self.steps, self.stage, values)
        self.sequencer.reported(values)

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Show how much of this stage is done and of how much; in samples, or in a unit such as s."""
        status = self.status
        if (status.total, status.unit) != (total, unit):
            status.count(done, total, unit)
        status.done = done

    def say(self, kind: str, word: str, text: str) -> None:
        """Record an event; a warning is shown at the end of the run too."""
        if kind == "warning":
            self.status.warnings.append(text)
        self.record.event(self.steps, kind, word, text)

    # Operator, where the run has a word in it
    def present(self, inputs: Array) -> None:
        """Set the input knobs, shape (samples, inputs). Applied when time next passes."""
        self.operator.present(inputs)
        self.presented, self.adjusted.inputs = True, inputs

    def advance(self, seconds: float | None = None) -> Readout:
        """Let time pass, loops standing still, and read."""
        self._tick()
        return self._count(1, self.operator.advance(seconds))

    def hold(self, theta: Array | None = None) -> HoldReport:
        """Run homeostasis until theta stands at its target."""
        self.clamped, self.adjusted.u = False, None
        return self._counted(self.operator.hold(theta))

    def settle(self) -> SettleReport:
        """Clamp the knobs and let state and parameters come to rest."""
        self.clamped = True
        report = self.settle_free()
        self.clamped = False
        return report

    def settle_free(self) -> SettleReport:
        """Let state and parameters come to rest with the knobs clamped and no nudge, as `settle`; not a nudged phase."""
        return self._counted(self.operator.settle())

    def read(self) -> Readout:
        """Read, in every state: the shortest tick passes, loops standing still."""
        return self._count(1, self.operator.read())  # type: ignore[attr-defined]

    def _counted(self, report: Report) -> Report:
        self._count(report.ticks, report.readout)
        return report

    def _count(self, reads: int, last: Readout) -> Readout:
        """Count readouts, here and at a distance alike; those of a phase that was left in its middle are not known."""
        self.reads += reads
        self.t = last.t
        return last

    def traces(self, on: bool) -> bool:
        """Ask for the courses of the phases to come, or for none; whether this session gives them."""
        try:
            self.operator.traces = on  # type: ignore[attr-defined]
        except AttributeError:
            return False
        return on

    def take_traces(self) -> list[dict[str, Any]]:
        """Take the courses of the phases since they were asked for, and ask for no more."""
        taken: list[dict[str, Any]] = self.operator.last_traces()  # type: ignore[attr-defined]
        self.traces(False)
        return taken

    def take_identification(self, tree: dict[str, Any]) -> str:
        """Let the device use an identification from now on; returns the file it was kept in. Its description follows it."""
        path: str = self.device_call("take_identification", tree)
        return path

    def device_call(self, name: str, *args: Any) -> Any:
        """Call a method of a capability interface by name; what the device says of itself may follow it, as after arming."""
        result = self.operator.device_call(name, *args)
        self.info = self.operator.info
        return result

    def freeze(self, reason: str, *, by: str = "") -> None:
        """Nudge off, knobs frozen, loops stopped; reading goes on. `by`: the person on whose behalf; else it is the run's own."""
        self.operator.freeze(reason, by=by)

    def make_safe(self, reason: str, *, by: str = "") -> SafetyReport:
        """Freeze, ramp to rest, outputs off; graded line by line. `by` as for `freeze`."""
        return self.operator.make_safe(reason, by=by)

    # theta
    def find_target(self, inputs: Array) -> None:
        """Make sure there is a target: where the last stage left it, or else where theta is now.

        Args:
            inputs: one presentation, shape (samples, inputs), for a device that must run before it can be read.
        """
        if self.target is not None or self.holds_inside:
            return
        try:
            self.target = self.parameters()
        except NotAllowedError:  # not read yet: let it run for a tick
            while self.sample(lambda: self._read_once(inputs)) is None:
                continue
            self.target = self.parameters()

    def _read_once(self, inputs: Array) -> Readout:
        self.present(inputs)
        self.release()
        return self.advance()

    def theta(self) -> Array | None:
        """Get what was learned so far: the target, or theta from inside a device that keeps it; None before either is known."""
        if self.holds_inside:
            return self.parameters()
        return None if self.target is None else self.target.copy()

    def theta_blob(self) -> bytes | None:
        """Get theta for a row of the record; None on a large device, where checkpoints keep it."""
        if not self.stores_theta:
            return None
        theta = self.theta()
        return None if theta is None else blob(theta)

    def keep_theta(self) -> None:
        """Write theta down as the present stage leaves it, where no step has said so; on a large device its checkpoints do."""
        self.record.theta(self.steps, self.stage, self.theta_blob())

    def move_theta(self, theta: Array) -> str:
        """Bring theta elsewhere: written where the device can, else by moving the homeostatic target.

        Args:
            theta: shape (parameters,), in the parameters' unit.
        Returns:
            How it was done, in words.
        Raises:
            CapabilityError: wrong size, outside the limits of the parameters, or a device that can do neither.
        """
        return move_theta(self, theta)

    def aim(self, theta: Array) -> None:
        """Move the target, and say that this is no learning step, from whose size follows how well theta must be held."""
        self.target = np.array(theta, dtype=self.info.dtype)
        self.between_samples(lambda: self.operator.set_target(self.target))  # type: ignore[attr-defined]

    def keep_best(self, name: str, samples: int, value: float) -> bool:
        """Keep theta if a value is the lowest so far of that name on as many samples; returns whether it is."""
        return self.bests.keep(name, samples, value, self.steps, self.theta())

    def epochs_begun(self, epoch: int) -> int:
        """Count the epochs that this stage began, with this one; in a repetition over all of its rounds.

        Args:
            epoch: number of the epoch; the one the stage is in already counts once.
        """
        counted = self.epochs_of.setdefault(".".join(map(str, self.sequencer.path[::2])), [0, -1])
        if counted[1] != epoch:
            counted[0], counted[1] = counted[0] + 1, epoch
        return counted[0]

    # boundaries
    def point(self) -> None:
        """Stand at a sample boundary: pause, stop and checkpoints act here.

        Raises:
            StopRequested: end here.
            AbortRequested: end here, too.
            SkipRequested: leave this stage here; the sequence goes on with the next one.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self.look(now)
        if now >= self._next_checkpoint:
            self.checkpoint()
        if self.requests.at_boundary:
            self._obey()

    def point_for_retry(self) -> None:
        """Stand between two tries of a sample: a stop acts here, too, but there is nothing to resume from."""
        with self.between_checkpoints():
            self.point()

    def sample(self, work: Callable[[], T], on_left: Callable[[str], None] | None = None) -> T | None:
        """Do the work of one sample; None if it was left, after the run may go on.

        It is left by a freeze that was asked for, of the run or of the device's session, until someone continues; and by one of
        that session, which did not hear this process in time: then the run goes on by itself.

        Args:
            work: what to do.
            on_left: called with the reason before anything else happens; what was asked of the run is then for the caller to
                obey. Without it a stop or an abort leaves from here.
        Raises:
            LateError: so many samples in a row were left for being late that there is no getting on.
            DisturbedError: likewise, because something of the device broke every time.
            AbortRequested: someone made the device safe at its session.
        """
        try:
            done = self.left_by_freeze(work)
        except DisturbedError as exc:
            drop_sample(self, exc, on_left)
            return None
        except (FreezeRequested, FrozenError) as exc:
            leave_sample(self, exc, on_left)
            if on_left is None:
                self.point_for_retry()
            return None
        self.late = 0
        while self.disturbed:
            self.record.alarm_cleared(self.disturbed.pop())
        return done

    def left_by_freeze(self, work: Callable[[], T]) -> T:
        """Do work that a freeze leaves at the next tick, by `FreezeRequested`.

        Nothing else is left so: what a run does at a boundary, or while it freezes the device, is done to its end, however long
        the session takes to answer, and the freeze follows.
        """
        before, self._leaves = self._leaves, True
        try:
            return work()
        finally:
            self._leaves = before

    def between_samples(self, work: Callable[[], T]) -> T:
        """Do something outside of a sample that the device refuses while it stands; then it is done once someone continues.

        Args:
            work: what to do; nothing of it may have been done where it is refused.
        """
        done: list[T] = []
        with self.between_checkpoints():
            while self.sample(lambda: done.append(work()) or True) is None:  # type: ignore[func-returns-value]
                continue
        return done[0]

    def _obey(self) -> None:
        """Act on what was asked, at a sample boundary."""
        requests = self.requests
        if requests.pause and not (requests.stop or requests.abort):
            pause(self)
        if requests.abort:
            raise AbortRequested(requests.why)
        if requests.stop:
            self.status.change(self.record, self.steps, "stopping", requests.why)
            self.checkpoint()
            raise StopRequested(requests.why)
        if requests.skip:
            requests.skip = False
            raise SkipRequested(requests.why)

    def _tick(self) -> None:
        """Called at every tick of every loop: leave on request, look at the clock."""
        requests = self.requests
        if requests.abort or requests.freeze or requests.stop:
            if requests.abort or (requests.at_tick and not requests.freeze):
                raise AbortRequested(requests.why)
            if requests.freeze and self._leaves:
                raise FreezeRequested(requests.why)
        now = time.monotonic()
        if now >= self._next_look:
            self.look(now)

    def look(self, now: float) -> None:
        """Write down what others said, show where the run is. Many times a second at most, at ticks and boundaries."""
        self._next_look = now + LOOK_S
        requests = self.requests
        self.record.asked(self.steps, requests)
        self.hear()
        if requests.stop or requests.pause:
            self.status.change(
                self.record, self.steps, "stopping" if requests.stop else "pausing", requests.why, only_from="running"
            )
        self.record.fold_if_due(now)
        if now >= self._next_disk:
            self._next_disk = now + DISK_S
            full = nearly_full(self.folder)
            if full and full.split(":")[0] not in {text.split(":")[0] for text in self.status.warnings}:
                self.record.alarm("disk", full)
                self.say("warning", "disk", full)
        self.status.show(now, self)

    def hear(self) -> None:
        """Write down what the session of the device said since."""
        events = self.operator.events  # type: ignore[attr-defined]
        while events:
            event = events.popleft()
            self.record.event(self.steps, "session", event.kind, event.text)
            self._heard.hear(event)

    # sequence
    def run_sequence(self, entries: Sequence[StageEntry], turn: int | None = None, run: StageFunction | None = None) -> None:
        """Run stages one after the other, from the place a checkpoint says or from the first.

        Args:
            entries: the stages.
            turn: the round, where a stage runs a sequence of its own.
            run: does each of them, in place of its own function.
        """
        self.sequencer.run(self, entries, turn, run)

    def turns(self, times: int) -> Iterator[int]:
        """Count the rounds of a repeated sequence, from the one a checkpoint says or from the first."""
        return self.sequencer.turns(times)

    def resumed_state(self) -> dict[str, Any] | None:
        """Take what this stage kept in the checkpoint the run began from; None for a stage that begins afresh."""
        return self.sequencer.take_local()

    def keep_in_checkpoints(self, provider: Callable[[], dict[str, Any]]) -> None:
        """Let a stage add to checkpoints what it needs to go on in its middle; without it, it is begun anew by a resume."""
        self.sequencer.keep(provider)

    def between_checkpoints(self) -> AbstractContextManager[None]:
        """While entered, points are boundaries at which the run may stop, but whose state is not one to resume from."""
        return self.sequencer.between_checkpoints()

    # checkpoints
    def checkpoint(self) -> None:
        """Write down everything that decides the future; where the state is not one to resume from, do nothing."""
        self._next_checkpoint = time.monotonic() + self._every_s
        if not self.sequencer.coherent:
            return
        checkpoint.save(self.folder / "checkpoints", self.tree(), self.steps)

    def tree(self) -> dict[str, Any]:
        """Get everything that decides the future, for a checkpoint."""
        return {
            "version": _VERSION,
            "experiment": self._experiment,
            "step": self.steps,
            "reads": self.reads,
            "t": self.t,
            "epoch": self.epoch,
            "rows": self.record.last_rows(),
            "sequence": self.sequencer.state(),
            "target": self.target,
            "theta": self.theta() if self.holds_inside else None,  # for reading; the device's state decides
            "device": self.device_state(),
            "presented": self.presented,
            "adjusted": self.adjusted.state(),
            "streams": {name: stream_state(generator) for name, generator in self._streams.items()},
            "batches": {key: batches.state() for key, batches in self._batches.items()},
            "tally": self.tally.state(),
            "bests": self.bests.rows,
            "epochs_of": self.epochs_of,
            "subsets": self.subsets,
            "threads": threads(),
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Go on from a checkpoint's tree; the device is as freshly opened."""
        self.steps = int(tree["step"])
        self.reads, self.t = int(tree["reads"]), tree["t"]
        self.epoch = int(tree["epoch"])
        self.target = tree["target"]
        self.tally = Tally.from_state(tree["tally"])
        self.bests.rows = tree["bests"]
        self.epochs_of = tree["epochs_of"]
        self.subsets = tree["subsets"]
        for name, state in tree["streams"].items():
            restore_stream(self.streams(name), state)
        for key, state in tree["batches"].items():
            batch, _, order = key.partition(" ")
            self.batches(int(batch), shuffle=order == "shuffled").restore(state)
        self.adjusted.restore(tree.get("adjusted"))
        if self.restore_device(tree["device"]):
            self.presented = bool(tree["presented"])
        self.sequencer.restore(tree["sequence"])

    def restores_device(self) -> bool:
        """A real device cannot be put back; homeostasis brings it to the target again."""
        return "Checkpointable" in self.abilities and self.info.clock is Clock.VIRTUAL

    def device_state(self) -> Any:
        """Get everything that decides the device's future; None where it cannot be put back."""
        return self.operator.state() if self.restores_device() else None  # type: ignore[attr-defined]

    def restore_device(self, state: Any) -> bool:
        """Put the device back to what `device_state` gave; whether that can be done."""
        able = state is not None and self.restores_device()
        if able:
            self.operator.restore(state)  # type: ignore[attr-defined]
        return able
