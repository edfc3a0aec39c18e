"""A run: one experiment in one folder, from preparing to an end that leaves the record closed and the device as declared."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aeqlab.backends.description import Knobs
from aeqlab.protocols import checkpoint
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.control import ControlServer
from aeqlab.protocols.data import Data, load_data
from aeqlab.protocols.ending import End, Left, end_of, leave_device
from aeqlab.protocols.errors import AbortRequested, CheckpointError, RecordError, StopRequested
from aeqlab.protocols.experiment import Experiment, LoadedExperiment, load_experiment, to_yaml
from aeqlab.protocols.fitting import check_fit
from aeqlab.protocols.identify_stage import doubts_of, needs_identification
from aeqlab.protocols.interrupts import Interrupts, say_on_stderr
from aeqlab.protocols.lending import Lent
from aeqlab.protocols.notify import Notifier
from aeqlab.protocols.opening import open_operator
from aeqlab.protocols.progress import OnProgress, RunResult
from aeqlab.protocols.provenance import Provenance, restore_threads, threads
from aeqlab.protocols.record import Record
from aeqlab.protocols.run_folder import RunFolder
from aeqlab.protocols.run_inputs import keep_inputs
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.run_status import RunStatus
from aeqlab.protocols.scaling import scaled
from aeqlab.protocols.sequence import FOUND, place_in_words
from aeqlab.protocols.sequence_plan import SequencePlan
from aeqlab.protocols.stages.identify import IdentifyOptions
from aeqlab.protocols.status import RUN

CHECKPOINT_EVERY_S = 30.0
MOST_NAMED = 4096  #: so many knobs are told by name and limits in the record
_HEADER = "# What this run was asked to do, defaults filled in. Run it again: aeqlab run experiment.yaml\n"


def run_experiment(
    loaded: LoadedExperiment,
    *,
    runs: Path,
    on_progress: OnProgress | None = None,
    requests: Requests | None = None,
    say: Callable[[str], None] = say_on_stderr,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    last: bool = False,
    lent: Lent | None = None,
) -> RunResult:
    """Run an experiment in a fresh folder; the calling process is the worker.

    Args:
        loaded: the experiment.
        runs: folder in which the run folder is made.
        on_progress: called about ten times a second from the thread that runs.
        requests: where other threads may ask for pause, stop and the like; signals and commands put theirs there too.
        say: shows one sentence at once, such as what the next Ctrl-C will do; called in a signal handler.
        checkpoint_every_s: wall time between checkpoints.
        last: this process ends with the run: signals that come after it are ignored, so that they change no exit code.
        lent: the open operator of the experiment's device, on which runs follow one another; it is not closed.
    Returns:
        How it ended. Errors of device, data and user code are ends of the run too, not exceptions.
    Raises:
        RecordError: no run folder can be made there; nothing was moved.
    """
    folder = RunFolder.create(runs, loaded.experiment.name)
    work = _Work(folder, requests or Requests(), on_progress, say, checkpoint_every_s, last, lent)
    return work.do(lambda: work.begin(loaded))


def resume_run(
    path: Path,
    *,
    on_progress: OnProgress | None = None,
    requests: Requests | None = None,
    say: Callable[[str], None] = say_on_stderr,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    last: bool = False,
) -> RunResult:
    """Go on with a run that ended before its time, from its last checkpoint, in the same folder.

    In virtual time the result is that of a run that was never interrupted, bit for bit. Rows after the checkpoint are superseded
    and stay in the record.

    Args:
        path: the run folder; the rest as `run_experiment`.
    Raises:
        RecordError: it is no run folder, is in use, cannot be written, or the run finished.
        CheckpointError: no checkpoint can be read, or it is of another experiment.
        FileErrors: its experiment.yaml was changed into something wrong.
    """
    folder = RunFolder.take(path)
    try:
        provenance = Provenance.read(folder.provenance)
        loaded = load_experiment(folder.experiment)
        found = checkpoint.load_newest(folder.checkpoints)
        text = _digest(folder.experiment)
        if found.tree.get("experiment") != text:
            raise CheckpointError(
                f"{folder.experiment} was changed since the run began, so its checkpoints do not fit. "
                "Put it back, or start a new run from the changed file."
            )
        if _finished(provenance):
            raise RecordError(f"{folder.path} finished; there is nothing to go on with. Start a new run.")
    except BaseException:
        folder.release()
        raise
    work = _Work(folder, requests or Requests(), on_progress, say, checkpoint_every_s, last)
    return work.do(lambda: work.begin_again(loaded, provenance, found))


class _Work:
    """What one process does for a run."""

    def __init__(
        self,
        folder: RunFolder,
        requests: Requests,
        on_progress: OnProgress | None,
        say: Callable[[str], None],
        checkpoint_every_s: float,
        last: bool,
        lent: Lent | None = None,
    ) -> None:
        self.folder = folder
        self.lent = lent
        self.interrupts = Interrupts(requests, say, last=last)
        self.requests = requests
        self.status = RunStatus(requests, on_progress)
        self.checkpoint_every_s = checkpoint_every_s
        self.record: Record | None = None
        self.provenance: Provenance | None = None
        self.control: ControlServer | None = None
        self.operator: Any = None
        self.session: RunSession | None = None
        self.then = "freeze"
        self.why_running = ""  # from where a resumed run goes on
        self.touched = False  # whether the device may have been moved
        self.served = False  # whether another process owns the device
        self.started = time.monotonic()
        self.notifier: Notifier | None = None
        self.plan: SequencePlan | None = None

    # the whole
    def do(self, begin: Callable[[], Experiment]) -> RunResult:
        """Prepare, run, end. Whatever happens, the record is closed and the device left as declared."""
        error: BaseException | None = None
        with self.interrupts as interrupts:
            try:
                try:
                    self._work(begin)
                except BaseException as exc:  # every way of ending is written down, Ctrl-C and SystemExit of user code included
                    error = exc
                interrupts.may_break = False
            except KeyboardInterrupt as exc:  # one more of them, just here
                interrupts.may_break = False
                error = error or exc
            interrupts.ending = True
            return self._end(error)

    def _work(self, begin: Callable[[], Experiment]) -> None:
        experiment = begin()
        assert self.session is not None
        assert self.record is not None
        if self.requests.abort:
            raise AbortRequested(self.requests.why)
        if self.requests.stop:
            raise StopRequested(self.requests.why)
        self.touched = True
        self.status.change(self.record, self.session.steps, "running", self.why_running)
        self.status.show(time.monotonic(), self.session, at_once=True)
        self._identify_first(experiment)
        self.session.run_sequence(experiment.sequence)

    def _identify_first(self, experiment: Experiment) -> None:
        """Identify a device of which nobody knows how it answers, unless the experiment begins with that itself."""
        assert self.session is not None
        first = next((entry.kind for entry in experiment.sequence if not entry.off), "identify")  # nothing to do: nothing to know
        if first != "identify" and needs_identification(self.session):
            self.session.say("stage", "identify", "How the device answers is not known, or not any more: it is identified first.")
            self.session.sequencer.ahead(self.session, "identify", IdentifyOptions())
        elif first != "identify":
            for text in doubts_of(self.session):
                self.session.say("warning", "identify", text)

    def begin(self, loaded: LoadedExperiment) -> Experiment:
        """Prepare a fresh run: copy its inputs, make its record, load its data, open its device."""
        experiment, folder = loaded.experiment, self.folder
        self.then = experiment.then
        self._notify(experiment)
        self.record = Record.create(
            folder.record,
            durable=experiment.device.served,
            facts={
                "name": experiment.name,
                "seed": experiment.seed,
                "state": "preparing",
                "reason": "",
                "operator": experiment.operator,
                "tags": experiment.tags,
                "notes": experiment.notes,
                "then": experiment.then,
            },
        )
        self.control = ControlServer(folder.control, self.requests, self.status.answer)
        self.provenance = Provenance.begin(
            folder.provenance, seed=experiment.seed, operator=experiment.operator, source=loaded.path, base=loaded.base
        )
        inputs = keep_inputs(experiment, loaded.base, folder.path)
        kept = Experiment.model_validate_json(json.dumps(inputs.tree))
        try:
            write_whole(folder.experiment, (_HEADER + to_yaml(kept)).encode())
        except OSError as exc:
            raise RecordError(f"{folder.experiment} cannot be written: {exc.strerror or exc}.") from exc
        self.provenance.set(files=inputs.files)
        for text in (*folder.disk.warnings, *(str(problem) for problem in loaded.warnings), *inputs.warnings):
            self._warn(text)
        self.plan = SequencePlan(kept, folder.path)
        self._open(kept, folder.path)
        return kept

    def begin_again(self, loaded: LoadedExperiment, provenance: Provenance, found: checkpoint.Loaded) -> Experiment:
        """Prepare another attempt: the same, from the copies in the folder, then the checkpoint."""
        experiment, tree = loaded.experiment, found.tree
        self.then, self.provenance = experiment.then, provenance
        self._notify(experiment)
        self.record = Record.reopen(self.folder.record, durable=experiment.device.served, from_step=int(tree["step"]))
        self.control = ControlServer(self.folder.control, self.requests, self.status.answer)
        provenance.begin_attempt()
        self.plan = SequencePlan(experiment, self.folder.path)
        self.plan.recall()
        for text in (*self.folder.disk.warnings, *found.warnings):
            self._warn(text)
        self._open(experiment, self.folder.path)
        assert self.session is not None
        for text in restore_threads(tree["threads"]):
            self._warn(text)
        try:
            self.session.restore(tree)
            self.record.supersede(dict(tree["rows"]))  # last: a resume that fails before supersedes nothing
        except (KeyError, TypeError, ValueError, IndexError) as exc:
            raise CheckpointError(f"{found.path}: the checkpoint lacks something ({exc!r}); it is of another version.") from exc
        place = place_in_words(self.plan.entries, tree["sequence"]["path"])
        self.session.say("checkpoint", "resume", f"Goes on from {found.path.name}, step {self.session.steps}, {place}.")
        attached = next((f", {event.text}" for event in self.operator.events if event.kind == "attached"), "")
        self.why_running = f"goes on from step {self.session.steps:,}, {place}{attached}"
        return experiment

    def _open(self, experiment: Experiment, base: Path) -> None:
        """Load the data, open the device, see that they fit."""
        assert self.record is not None
        assert self.provenance is not None
        assert self.control is not None
        self.status.show(time.monotonic(), at_once=True)
        data = None if experiment.data is None else load_data(experiment.data, seed=experiment.seed, base=base)
        if data is not None:
            self._same_data(data)
            self.provenance.set(data=data.describe())
        self.served = experiment.device.served
        self.record.on_alarm = self._heard_alarm
        lent = self.lent
        self.operator = open_operator(experiment, base=base, folder=self.folder.path) if lent is None else lent.operator
        info = self.operator.info
        if data is not None and data.to_scale is not None:
            data, told = scaled(data, info.inputs)
            for text in told:
                if not any(text in warning for warning in self.status.warnings):  # the check of the file said so already
                    self._warn(text)
            self.provenance.set(data=data.describe())
        check_fit(experiment, data, info, self.operator.abilities)
        units = {"theta": info.parameters[0].unit if info.parameters else "1", "u": info.controls.unit}
        units |= {"x": info.inputs.unit, "s": info.outputs.unit}
        self.record.facts(
            device=info.name,
            device_kind=info.kind,
            parameters=info.n_parameters,
            blocks=[{"name": b.name, "shape": list(b.shape), "start": b.start, "unit": b.unit} for b in info.parameters],
            units=units,
            clock=str(info.clock),
            cost=info.cost,
            knobs=_knobs(info.controls),
            inputs=_knobs(info.inputs),
            outputs=[info.outputs.names[k] for k in range(min(len(info.outputs), MOST_NAMED))],
        )
        words = {"parameter unit": units["theta"], "knob unit": units["u"], "output unit": info.outputs.unit}
        words["input unit"] = info.inputs.unit
        self.record.units({**words, "cost": f"({info.outputs.unit})^2"})
        abilities = sorted(self.operator.abilities)
        device = {"kind": info.kind, "name": info.name, "abilities": abilities, "notes": list(info.notes)}
        self.provenance.set(device=device, threads=threads())
        self.session = RunSession(
            self.operator,
            self.status,
            self.record,
            self.folder.path,
            data=data,
            redraw=lambda seed: self._redrawn(experiment, seed, base),
            seed=experiment.seed,
            base=base,
            ideal=experiment.homeostasis.controller in (None, "ideal"),
            experiment=_digest(self.folder.experiment),
            checkpoint_every_s=self.checkpoint_every_s,
        )
        abilities_now = self.operator.abilities
        self.session.plan = plan = self.plan
        if plan is not None:
            plan.fits = lambda whole: check_fit(whole, data, self.operator.info, abilities_now)
            self.control.plan = plan
        self.session.adjusted.begin_with(experiment.homeostasis, experiment.settling)
        if lent is not None:
            lent.give(self.session)
            self.provenance.set(after=None if lent.before is None else lent.before.folder.name)

    def _notify(self, experiment: Experiment) -> None:
        """Begin to tell those who want to know."""
        if experiment.notify:
            self.notifier = Notifier(experiment.notify, f"run {self.folder.path.name}", self.folder.log)
            self.status.on_change = self._heard_state

    def _heard_state(self, state: RunState, reason: str) -> None:
        if self.notifier is not None:
            self.notifier.tell("state", f"{state}: {reason}")

    def _heard_alarm(self, name: str, text: str, of_session: bool) -> None:
        if self.notifier is not None:
            self.notifier.tell("alarm", f"{name}: {text}", besides=getattr(self.operator, "tells", ()) if of_session else ())

    def _redrawn(self, experiment: Experiment, seed: int, base: Path) -> Data:
        """Load the data as another seed would draw them, on the same device."""
        assert experiment.data is not None
        data = load_data(experiment.data, seed=seed, base=base)
        return data if data.to_scale is None else scaled(data, self.operator.info.inputs)[0]

    def _same_data(self, data: Data) -> None:
        """See that a resumed run gets the data it began with."""
        assert self.provenance is not None
        before = {s["sha256"] for s in (self.provenance.facts.get("data") or {}).get("sources", [])}
        now = {source.sha256 for source in data.sources}
        if before and before != now:
            names = ", ".join(source.path for source in data.sources)
            raise CheckpointError(f"{names}: not the data this run began with (its SHA-256 differs). Put the old files back.")

    # the end
    def _end(self, error: BaseException | None) -> RunResult:
        preparing = not self.touched
        end = end_of(error, preparing=preparing)
        if error is not None and (end.unforeseen or self.status.state is RunState.PREPARING):
            self.folder.log_traceback(end.reason, error)
        elif error is not None:
            self.folder.log(end.reason)
        if isinstance(error, RecordError):
            self.folder.give_room()
        asked = self._asked()
        device = self._leave(end)
        if self.control is not None:  # nothing is taken any more, so nothing is acknowledged and then dropped
            with contextlib.suppress(OSError):
                self.control.close()
        if self._asked() != asked:  # while the device was being left
            device = self._leave(end)
        if self.session is not None:
            with contextlib.suppress(RecordError):  # what was said last; the end itself is written all the same
                self.session.hear()
        if self.lent is not None and self.session is not None:
            self.lent.take(self.session)
        elif self.operator is not None:
            self._guarded(end, "The device could not be let go", self.operator.close)
        summary = self._summary()
        self._write_end(end, summary, device)
        self.folder.log(f"{end.state}: {end.reason}")
        if self.notifier is not None:
            self.notifier.tell("end", f"{end.state}: {end.reason} {device.text}")
            self.notifier.close()
        self.folder.release()
        self.status.state, self.status.reason = end.state, end.reason
        with contextlib.suppress(Exception):  # showing is not part of the run: it ended all the same
            self.status.show(time.monotonic(), self.session, at_once=True)
        return RunResult(
            self.folder.path, end.state, end.reason, summary, end.exit_code, device.text, tuple(self.status.warnings)
        )

    def _asked(self) -> tuple[bool, bool]:
        """Tell whether someone asked for SAFE, and for a freeze that stands."""
        return self.requests.safe, self.requests.freeze

    def _leave(self, end: End) -> Left:
        """Bring the device to its declared end, or to where someone asked for it, whatever went before."""
        safe, freeze = self._asked()
        if self.operator is None:
            return Left("No device was opened.", True)
        if not self.touched and not (safe or freeze):
            return Left("The device was not moved.", True)
        then = "safe" if safe else "freeze" if freeze and (self.then == "hold" or not self.touched) else self.then
        self.operator.point_interrupt = None  # nothing asked for may leave this loop
        target = None if self.session is None else self.session.target
        why, by = f"run {self.folder.path.name} {end.state}", ""
        if self.lent is not None:
            if then == "hold" and end.state is RunState.ABORTED:
                then = "freeze"  # who aborts does not wait for another loop, which may be what does not end
            elif then == "hold" and not self._moves_by_itself():
                then = "stand"
            by = f"{RUN}{self.folder.path.name}"  # the operator has another's name
        if safe or freeze:
            why, by = f"{self.requests.standing[:500]}; {why}", self.requests.by
        try:
            self.interrupts.may_break = not self.served  # user code may never return; a ramp of real hardware is not to be left
            left = leave_device(self.operator, then, why, target, by)
            self.interrupts.may_break = False
        except KeyboardInterrupt:
            self.interrupts.may_break = False
            left = Left("State of the device unknown. Ctrl-C broke off how it was left.", False)
        if not left.as_declared:
            end.fail(left.text)
        for line in left.lines:
            self.folder.log(line)
        return left

    def _moves_by_itself(self) -> bool:
        """Tell whether theta would move without a loop: not in a device that keeps it, nor before time passed at all."""
        return self.session is not None and self.session.presented and not self.session.holds_inside

    def _summary(self) -> dict[str, Any]:
        """Say what the run found."""
        session = self.session
        if session is None:
            return {}
        said: dict[str, Any] = {"seconds": round(time.monotonic() - self.started, 3), **session.tally.summary()}
        for found in session.sequencer.results.values():
            if found["stage"] == "compare":
                said.update({key: found[key] for key in ("methods", "table", "figure") if key in found})
            elif found["stage"] == "identify" and "gain" in found:
                said["identification"] = {key: found[key] for key in ("gain", "lag_s", "dead_time_s", "noise", "softness")}
                said.update({key: found[key] for key in ("kept_in",) if key in found})
            elif found["stage"] in ("train", "evaluate") and "points" not in found:
                # while training, and on each set as it was evaluated, which is another number
                ways = [f"{of}_{what}" for of in ("running", "train", "test") for what in ("cost_free", "error_rate")]
                ways += ["control", "follows"]
                said.update({key: found[key] for key in ways if key in found})
                if "dataset" in found:
                    said.update({f"{found['dataset']}_{key}": found[key] for key in FOUND if key in found})
        if session.bests.best is not None:
            said["best"] = session.bests.best
        said["stages"] = session.sequencer.results
        return said

    def _write_end(self, end: End, summary: dict[str, Any], device: Left) -> None:
        """Write down how it ended, in the record and beside it. A full disk loses none of what was written before."""
        record, step = self.record, 0 if self.session is None else self.session.steps
        if record is not None:
            self._guarded(end, "The end could not be recorded", lambda: self._record_end(record, step, end, summary, device))
            record.close()
        if self.provenance is not None:
            provenance = self.provenance
            self._guarded(
                end, "The end could not be written to provenance.json", lambda: provenance.end_attempt(end.state, end.reason)
            )

    def _record_end(self, record: Record, step: int, end: End, summary: dict[str, Any], device: Left) -> None:
        if self.operator is not None:
            events = self.operator.events
            while events:
                event = events.popleft()
                record.event(step, "session", event.kind, event.text)
        record.asked(step, self.requests)
        record.event(step, "device", "end", "\n".join((device.text, *device.lines)))
        record.facts(summary=summary)
        record.state(step, end.state, end.reason, ended=True)

    def _guarded(self, end: End, what: str, do: Callable[[], Any]) -> None:
        """Do one thing of the clean-up; an error in it is written down and prevents none of the others."""
        try:
            do()
        except BaseException as exc:
            said = str(exc) if isinstance(exc, RecordError) else f"{type(exc).__name__}: {exc}"
            end.fail(f"{what}: {said}")
            self.folder.log_traceback(what, exc)

    def _warn(self, text: str) -> None:
        assert self.record is not None
        self.status.warnings.append(text)
        self.record.event(0, "warning", "preparing", text)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _finished(provenance: Provenance) -> bool:
    attempts = provenance.facts["attempts"]
    return bool(attempts) and attempts[-1].get("state") == RunState.FINISHED


class _Module(types.ModuleType):
    """This module, which is a function besides: the name `run` of the package is its own and that of `running.run`."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run an experiment from Python; see `aeqlab.protocols.running.run`."""
        from aeqlab.protocols.running import run

        return run(*args, **options)


sys.modules[__name__].__class__ = _Module


def _knobs(knobs: Knobs) -> dict[str, Any]:
    """Say of knobs, the first few thousand, what whoever draws them must know: names, unit, limits."""
    finite = [[float(one) if np.isfinite(one) else None for one in end[:MOST_NAMED]] for end in (knobs.low, knobs.high)]
    return {
        "count": len(knobs),
        "names": [knobs.names[k] for k in range(min(len(knobs), MOST_NAMED))],
        "unit": knobs.unit,
        "low": finite[0],
        "high": finite[1],
    }
