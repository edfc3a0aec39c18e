"""Training: one step per presentation, epoch by epoch, recorded step by step; what the stage `train` does."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Clock, DeviceInfo
from aeqlab.backends.errors import BackendError, DivergedError
from aeqlab.backends.imperfections import named
from aeqlab.backends.streams import stream
from aeqlab.protocols.aeqprop import StepReport, train_step
from aeqlab.protocols.baselines import autodiff_step, finite_difference_step, sgd_step, spall_gains, spsa_step
from aeqlab.protocols.contrast import coupled_step, eqprop_step
from aeqlab.protocols.errors import AbortRequested, CapabilityError, HoldError, ProtocolError
from aeqlab.protocols.evaluation import evaluate
from aeqlab.protocols.jumps import SIGMAS, StepJumps
from aeqlab.protocols.methods import METHODS, NOT_THE_GRADIENT, pair_of
from aeqlab.protocols.readouts_kept import Kept
from aeqlab.protocols.record import StepRow
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.samples import Samples
from aeqlab.protocols.sequence import FOUND
from aeqlab.protocols.settling import parameter_noise
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.options import Every
from aeqlab.protocols.stages.train_options import AEQPROP_METHODS, TrainOptions

Array = NDArray[Any]
PERTURBATIONS = "perturbations"  #: random stream of spsa
SHUFFLED = "shuffled targets, epoch {}"  #: random stream of the control of that name
FREE_EVERY = 10  #: on a real clock, where a third phase costs time, the loss is read this often unless told otherwise
READ_EVERY_S, READ_MOST = 0.2, 8  #: in training so often, and so many samples, it is kept what was read without a nudge
TRACE_EVERY_S = 1.0
CLEAR_OF_RAILS = 20  #: steps in a row in which no target followed a knob back, until the alarm about it is over


class Training:
    """One stage of training."""

    def __init__(self, session: RunSession, options: TrainOptions) -> None:
        info = session.info
        self.session = session
        self.options = options
        batch = options.batch or info.samples or 1
        if info.samples is not None and batch != info.samples:
            raise CapabilityError(
                f"train: a batch of {batch} was asked for, and {info.name} takes {info.samples} at once. Leave `batch` out."
            )
        self.batches = session.batches(batch, shuffle=options.shuffle)
        self.first_epoch = self.batches.epoch + (self.batches.position == self.batches.per_epoch)
        per_epoch = self.batches.per_epoch
        if options.samples is not None:
            self.total = math.ceil(options.samples / batch)
        else:
            self.total = (options.epochs or 1) * per_epoch
        self.aeqprop = options.method in AEQPROP_METHODS
        self.pair = pair_of(options) or (0.0, 0.0)
        self.rate = learning_rates(options, info)
        self.frozen = options.control == "frozen-theta"
        if self.frozen and session.holds_inside and "WritableParameters" not in session.abilities:
            raise CapabilityError(
                f"train: {info.name} keeps its parameters itself and does not let them be written, so theta cannot be frozen. "
                "Choose control: shuffled-targets."
            )
        self.free_every = self._free_every()
        self.done = 0
        self.sums = {"cost": 0.0, "costs": 0, "wrong": 0, "seen": 0}
        self.evaluated: dict[str, Any] = {}  # what the last evaluation on the way found, by its data set
        self._permuted: tuple[int, Array] = -1, np.empty(0)  # epoch, and whose target each sample gets in it
        self._next_read = 0.0
        self._next_trace = 0.0
        self._factor = 1.0  # what has decayed so far: of the couplings, of beta, or of a baseline's learning rate
        self._begun: int | None = None  # sample of a step that is under way on a real clock, where none is done twice
        self._left = False  # the present step was left in its middle and is written down
        self.jumps = StepJumps([block.slice for block in info.parameters])
        self._alarm = 0  # row of the alarm that theta is not held, 0: it is
        self._at_rail = self._since_rail = 0  # row of the alarm that targets follow knobs at a rail; and steps since they did

    def run(self) -> dict[str, Any]:
        """Train to the end; what was found is the mean cost and error of the last epoch and the counts."""
        session = self.session
        state = session.resumed_state()
        if state is None:
            self._begin_epoch(self.first_epoch)
        else:
            self._restore(state)
        session.keep_in_checkpoints(self._state)
        session.status.count(self.done, self.total)
        found: dict[str, Any] = {}
        if self._begun is not None:
            self._partial(self._begun, 1, "the process that did it ended")
        if self._left:
            found = self._sample_done()
        while self.done < self.total:
            session.point()
            samples, number = self._next_samples()
            self._train_on(samples, number)
            found = self._sample_done() or found
        found.update(self._running() | self.evaluated)
        return {
            **found,
            **self._counted(),
            "beta": self.options.beta,
            "method": self.options.method,
            **marks(self.options),
        }

    def _counted(self) -> dict[str, Any]:
        """Get the counts of the run so far; of a method that has no nudged phase without those of one before that had."""
        counted = self.session.tally.summary()
        if not self.aeqprop:
            counted.pop("cost_rose", None)
        return counted

    # samples
    def _sample_done(self) -> dict[str, Any]:
        """Count a sample, and do what is due after it; returns what was found at the end of an epoch."""
        session = self.session
        self.done += 1
        self._begun, self._left = None, False
        session.status.done = self.done
        found = self._end_epoch() if self.batches.position == self.batches.per_epoch else {}
        if session.info.clock is Clock.WALL:
            session.checkpoint()  # on a real device a nudged phase that was done is never done again
        self._evaluate_if_due()
        return found

    def _next_samples(self) -> tuple[Samples, int]:
        if self.batches.position == self.batches.per_epoch:
            self._begin_epoch(self.batches.epoch + 1)
        samples = self.batches.next()
        if self.options.control == "shuffled-targets":
            samples = self._shuffled(samples)
        return samples, self.batches.first

    def _shuffled(self, samples: Samples) -> Samples:
        """Permute the targets of the training set, anew in each epoch; a few samples keep their own."""
        if self._permuted[0] != self.batches.epoch:
            rng = stream(self.session.seed, SHUFFLED.format(self.batches.epoch))
            self._permuted = self.batches.epoch, rng.permutation(len(self.session.data.train))
        other = self.session.data.train.take(self._permuted[1][self.batches.index])
        return Samples(samples.inputs, other.targets, other.labels)

    def _begin_epoch(self, epoch: int) -> None:
        """Set the couplings of an epoch, or beta or the learning rate, and begin its sums."""
        self.session.epoch = epoch
        self.sums = {"cost": 0.0, "costs": 0, "wrong": 0, "seen": 0}
        self._factor = self.options.epsilon_decay ** (self.session.epochs_begun(epoch) - 1)
        self._scale_coupling()

    def _scale_coupling(self) -> None:
        """Set the couplings to what this stage asks for, whatever a stage before left behind."""
        if "AdjustableCoupling" in self.session.abilities:
            factor = self._factor if self.aeqprop else 1.0
            self.session.between_samples(lambda: self.session.adjusted.scale_coupling(factor))

    def _end_epoch(self) -> dict[str, Any]:
        """Let the device adapt what it adapts between epochs; report the epoch's running cost and error."""
        session = self.session
        found: dict[str, Any] = {}
        if "Epochs" in session.abilities:
            found.update(session.between_samples(lambda: session.device_call("end_epoch")))
        found.update(self._running())
        session.report(epoch=session.epoch, **found)
        return found

    def _running(self) -> dict[str, Any]:
        """Get mean cost without nudge and error rate of the epoch so far, each read before its update and with theta held."""
        sums = self.sums
        found: dict[str, Any] = {}
        if sums["costs"]:
            found["running_cost_free"] = sums["cost"] / sums["costs"]
        if sums["seen"]:
            found["running_error_rate"] = sums["wrong"] / sums["seen"]
        return found

    # one sample
    def _train_on(self, samples: Samples, number: int) -> None:
        options, session = self.options, self.session
        session.find_target(samples.inputs)
        if session.info.clock is Clock.WALL:
            self._begun = number
            session.checkpoint()  # whatever becomes of this process, this step is not begun again
        if options.sham_every and self.done % options.sham_every == options.sham_every - 1:
            self._try(samples, number, sham=True, tries=1)
        tries = 1
        while not self._try(samples, number, sham=False, tries=tries) and tries <= options.on_unsettled.retries:
            tries += 1
            session.tally.retries += 1
            session.point_for_retry()

    def _try(self, samples: Samples, number: int, *, sham: bool, tries: int) -> bool:
        """Do one step and write it down; whether the sample is done with. A retry that follows writes no row of its own."""
        session = self.session
        traced = self._want_trace()
        try:
            report = session.sample(lambda: self._step(samples, sham), on_left=lambda why: self._partial(number, tries, why))
        except AbortRequested as exc:
            self._partial(number, tries, str(exc))
            raise
        if report is None:
            return True
        session.tally.judge(report.hold.accepted, report.true_error)
        if not sham and not report.used and tries <= self.options.on_unsettled.retries:
            return False
        self._write(samples, report, number, sham=sham, tries=tries)
        if traced:
            self._write_traces(report.hold.tolerance)
        if not report.used and not sham and self.options.on_unsettled.then == "stop":
            k, worst = report.hold.worst
            what = (
                f"theta could not be held in {tries} tries ({report.hold.verdict}; parameter {k} is {worst:.3g} tolerances off)"
            )
            if report.settle is not None:
                what = f"the nudged phase did not settle in {tries} tries ({report.settle.verdict})"
            mend = "Loosen the tolerance, allow more time, or say `then: skip`."
            raise HoldError(f"{what}, and the experiment says `then: stop`. {mend}")
        return True

    def _step(self, samples: Samples, sham: bool) -> StepReport:
        """Do one step; where theta is frozen, bring back what moved inside the device. A target that is held just stays."""
        before = self.session.parameters() if self.frozen and self.session.holds_inside else None
        report = self._moving_step(samples, sham)
        if before is not None:
            self.session.device_call("write_parameters", before)
        return report

    def _moving_step(self, samples: Samples, sham: bool) -> StepReport:
        session, options = self.session, self.options
        inputs, targets, theta = samples.inputs, samples.targets, session.target
        if self.aeqprop:
            factor = 1.0 if "AdjustableCoupling" in session.abilities else self._factor
            pair = self.pair if factor == 1.0 else (self.pair[0] * factor, self.pair[1] * factor)
            report = train_step(
                session, inputs, targets, theta=theta, pair=pair, update=options.update, sham=sham, free_phase=self._free_due
            )
            return self._without_jump(report, targets)
        return self._baseline(samples, self.rate * self._factor)

    def _without_jump(self, report: StepReport, targets: Array) -> StepReport:
        """Take a step for none that went further than a nudge can take it: theta is then held again where it was before it."""
        hold, settle, session = report.hold, report.settle, self.session
        if session.info.tick_s is None or settle is None or not report.used:
            return report
        before, after = report.theta_before, report.theta_after
        if before is None or after is None:
            return report
        info = session.info
        outputs = np.asarray(hold.readout.outputs, dtype=np.float64)
        reach = abs(report.beta_2 - report.beta_1) * math.sqrt(float(np.mean(((outputs - targets) ** 2).sum(axis=1))))
        room = SIGMAS * parameter_noise(info) + (0.0 if hold.tolerance is None else hold.tolerance)
        room_s = np.tile(SIGMAS * info.outputs.noise, len(outputs))
        ds = (np.asarray(settle.readout.outputs, dtype=np.float64) - outputs).ravel()
        k = self.jumps.see(after - before, ds, reach, room, room_s)
        if k is None:
            return report
        what = f"parameter {k}" if k < len(after) else "an output"
        said = f"{what} went much further under the nudge than in any step before"
        session.record.alarm("jump", f"Step {session.steps + 1}: {said}. The step is dropped.")
        session.say("warning", "jump", f"Step {session.steps + 1}: {said}. Theta goes back to where it was held before it.")
        dropped = replace(settle, accepted=False, verdict=Verdict.JUMPED, jumped=said)
        return replace(report, settle=dropped, used=False, theta_target_next=session.target)

    def _baseline(self, samples: Samples, rate: float | Array) -> StepReport:
        """Do one step of a baseline."""
        session, options = self.session, self.options
        inputs, targets, theta, beta = samples.inputs, samples.targets, session.target, options.beta or 0.0
        free = self._free_due
        match options.method:
            case "spsa":
                c = options.perturbation
                if options.decay == "spall":
                    rate, c = spall_gains(self.done, rate, c, options.stability)
                return spsa_step(
                    session, inputs, targets, theta=theta, learning_rate=rate, perturbation=c,
                    rng=session.streams(PERTURBATIONS), free_phase=free,
                )  # fmt: skip
            case "finite-difference":
                return finite_difference_step(
                    session, inputs, targets, theta=theta, learning_rate=rate, perturbation=options.perturbation, free_phase=free
                )
            case "autodiff":
                return autodiff_step(session, inputs, targets, theta=theta, learning_rate=rate, through=options.through)
            case "eqprop":
                return eqprop_step(session, inputs, targets, theta=theta, learning_rate=rate, pair=self.pair, free_phase=free)
            case "coupled":
                return coupled_step(session, inputs, targets, theta=theta, learning_rate=rate, beta=beta)
            case _:
                return sgd_step(session, inputs, targets, theta=theta, learning_rate=rate)

    def _write(self, samples: Samples, report: StepReport, number: int, *, sham: bool, tries: int) -> None:
        """Count a step, move the target, and commit its row."""
        session, tally, hold, settle = self.session, self.session.tally, report.hold, report.settle
        if not sham:
            session.steps += 1
            tally.steps += 1
        if report.theta_target_next is not None and not self.frozen:  # None: the device keeps theta inside, and what was learned
            session.target = report.theta_target_next
        tally.holds += 1
        tally.held += hold.accepted
        tally.nudged += settle is not None
        tally.cost_rose += report.cost_rose
        moved = _distance(report.theta_before, report.theta_after)
        if sham:
            tally.shams += 1
            tally.sham_moved += moved or 0.0
        elif report.used:
            tally.used += 1
            tally.used_moved += moved or 0.0
        else:
            tally.skipped += 1
            self._alarm = self._alarm or session.record.alarm(
                "not held", f"Step {session.steps}: {_verdicts(report)}{self._rails(report)}; the sample was left out."
            )
        if report.used and self._alarm:
            session.record.alarm_cleared(self._alarm)
            self._alarm = 0
        self._tell_of_rails(report)
        wrong = None if sham else self._count(samples, report)
        worst, ratio = hold.worst
        theta = session.theta_blob()
        session.record.step(
            StepRow(
                session.steps, session.stage, session.epoch, number, time.time(), session.t, report.beta_1, report.beta_2,
                report.cost_1, None if settle is None and self.aeqprop else report.cost_2, report.cost_free, wrong,
                report.used and not sham and not self.frozen, sham, False, report.cost_rose, tries, hold.verdict, hold.ticks,
                None if worst < 0 else ratio, None if worst < 0 else worst, report.true_error,
                None if settle is None else settle.verdict, None if settle is None else settle.ticks, moved, theta, session.reads,
            )
        )  # fmt: skip
        if report.outputs_free is not None and not sham:
            self._write_read(samples, report.outputs_free, number)
        shown = report.cost_1 if report.cost_free is None else report.cost_free
        if not math.isfinite(shown):
            raise DivergedError(f"the cost of step {session.steps} is {shown}. A smaller beta or epsilon may help.")

    def _write_read(self, samples: Samples, outputs: Array, number: int) -> None:
        """Keep some of what was read without a nudge, a few times a second at most: a drawing wants no more."""
        now = time.monotonic()
        if now >= self._next_read:
            self._next_read = now + READ_EVERY_S
            kept = Kept(READ_MOST)
            kept.add(number, outputs, samples, held=True)
            self.session.record.evaluated(kept.rows(self.session, None))

    def _tell_of_rails(self, report: StepReport) -> None:
        """Raise an alarm where targets follow knobs that stand at a rail; clear it after some steps without."""
        if report.followed:
            if not self._at_rail:
                knobs = named(self.session.info.controls.names, np.array(report.followed))
                self._at_rail = self.session.record.alarm(
                    "saturated",
                    f"Step {self.session.steps}: learning asks for more than {knobs} can give, within its limits or at all; the "
                    "target of its parameter follows it back. Wider limits or a look at the knob may help.",
                )
            self._since_rail = 0
        elif self._at_rail:
            self._since_rail += 1
            if self._since_rail >= CLEAR_OF_RAILS:
                self.session.record.alarm_cleared(self._at_rail)
                self._at_rail = 0

    def _rails(self, report: StepReport) -> str:
        """Name the knobs that stood at a limit in the hold; empty where none did."""
        rails = report.hold.saturated
        if rails is None or not rails.any():
            return ""
        return f" ({named(self.session.info.controls.names, np.flatnonzero(rails))} at a limit)"

    def _count(self, samples: Samples, report: StepReport) -> int | None:
        """Add a step to the sums of its epoch and to what is shown; how many predictions were wrong, where that is known."""
        sums = self.sums
        if report.cost_free is None:
            if self.free_every == 0:
                probed = report.beta_1 == report.beta_2 == 0.0  # by a baseline, with theta moved on purpose
                self.session.status.cost("cost_probe" if probed else "cost_1", report.cost_1)
            return None
        self.session.status.cost("cost_free", report.cost_free)
        sums["cost"] += report.cost_free
        sums["costs"] += 1
        if samples.labels is None or report.outputs_free is None:
            return None
        wrong = int(np.count_nonzero(report.outputs_free.argmax(axis=1) != samples.labels))
        sums["wrong"] += wrong
        sums["seen"] += len(samples)
        return wrong

    def _partial(self, number: int, tries: int, why: str) -> None:
        """Write down a step that was left in its middle. Where the nudged phase had begun, theta has moved: it stays there."""
        session = self.session
        session.tally.partial += 1
        session.steps += 1
        if session.clamped:
            session.clamped = False
            try:
                if session.target is not None and not self.frozen:
                    session.target = np.array(session.read().parameters)
            except (BackendError, ProtocolError) as exc:  # it cannot be read: the target of before is the best that is known
                session.say("warning", "partial", f"theta could not be read after a step was left in its middle: {exc}")
        session.record.step(
            StepRow(
                session.steps, session.stage, session.epoch, number, time.time(),
                session.t, used=False, partial=True, tries=tries, theta=session.theta_blob(), reads=session.reads,
            )
        )  # fmt: skip
        session.say("command", "partial", f"Step {session.steps} was left in its middle: {why}.")
        self._begun, self._left = None, True
        if session.info.clock is Clock.WALL:
            session.checkpoint()  # this phase is never done again

    # beside the steps
    @property
    def _free_due(self) -> bool:
        """Tell whether the present step has a free phase, whatever its method."""
        return self.free_every > 0 and self.done % self.free_every == 0

    def _free_every(self) -> int:
        """Get how often a free phase is run: every so many steps, 0 for never."""
        wish = self.options.free_phase
        if isinstance(wish, Every):
            return wish.every
        if wish is None:
            info = self.session.info
            return FREE_EVERY if info.clock is Clock.WALL or not info.simulated else 1
        return 1 if wish else 0

    def _evaluate_if_due(self) -> None:
        wish = self.options.evaluate_every
        if wish is None:
            return
        if wish.epochs is not None:
            due = (
                self.batches.position == self.batches.per_epoch and (self.batches.epoch - self.first_epoch + 1) % wish.epochs == 0
            )
        else:
            every = max(1, (wish.samples or 1) // self.batches.batch)
            due = self.done % every == 0
        if due:
            with self.session.between_checkpoints():
                found = evaluate(self.session, EvaluateOptions())
            self.evaluated = {f"{found['dataset']}_{key}": found[key] for key in FOUND if key in found}
            self.session.status.count(self.done, self.total)

    def _want_trace(self) -> bool:
        """Ask for the course of a phase once a second."""
        now = time.monotonic()
        if now < self._next_trace or not self.session.stores_theta:
            return False
        self._next_trace = now + TRACE_EVERY_S
        return self.session.traces(True)

    def _write_traces(self, tolerance: Array | None) -> None:
        session = self.session
        for trace in session.take_traces():
            allowed = tolerance if trace["phase"] == "hold" else None
            law = [trace.get(part) for part in ("p", "i", "d")]
            session.record.trace(
                session.steps, session.stage, trace["phase"], trace["t"], trace["error"], trace["u"], allowed, law
            )

    # checkpoints
    def _state(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "first_epoch": self.first_epoch,
            "sums": self.sums,
            "factor": self._factor,
            "evaluated": self.evaluated,
            "begun": self._begun,
            "left": self._left,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.done = int(state["done"])
        self.sums = dict(state["sums"])
        self._factor = float(state["factor"])
        self.evaluated = dict(state["evaluated"])
        self.first_epoch = int(state["first_epoch"])
        self._begun, self._left = state["begun"], bool(state["left"])
        if self.session.info.clock is Clock.WALL:  # elsewhere the device itself is put back
            self._scale_coupling()


def learning_rates(options: TrainOptions, info: DeviceInfo) -> float | Array:
    """Get the learning rate of a baseline: one for all, or one per parameter, shape (parameters,); 0 for Æqprop, which has none.

    Raises:
        CapabilityError: rates are given by block, and not as many as there are blocks.
    """
    rates = options.learning_rate
    if not isinstance(rates, list):
        return rates or 0.0
    if len(rates) != len(info.parameters):
        raise CapabilityError(
            f"train: {len(rates)} learning rates for {len(info.parameters)} blocks of parameters. Give one, or one per block."
        )
    spread = np.empty(info.n_parameters)
    for rate, block in zip(rates, info.parameters, strict=True):
        spread[block.slice] = rate
    return spread


def marks(options: TrainOptions) -> dict[str, str]:
    """Say what keeps a stage from being taken for training along the gradient; empty where nothing does."""
    said: dict[str, str] = {}
    if options.control is not None:
        said["control"] = f"{options.control}, not training"
    if METHODS[options.method].follows == NOT_THE_GRADIENT:
        said["follows"] = f"{options.method}: {NOT_THE_GRADIENT}"
    return said


def _verdicts(report: StepReport) -> str:
    """Say how the two phases of a step ended."""
    nudged = "" if report.settle is None else f", nudged phase {report.settle.verdict}"
    return f"hold {report.hold.verdict}{nudged}"


def _distance(before: Array | None, after: Array | None) -> float | None:
    if before is None or after is None:
        return None
    d = after - before
    return math.sqrt(float(d.dot(d)))
