"""Comparing methods: for every seed and method a training of its own, from the same start, on the same samples.

Each is a span of the record, a stage `train` with a place such as 0.2.1 (entry 0, seed 2, method 1), that can be skipped; a
resume goes on between two of them. What brings theta to the start and what evaluates is counted in no method's readouts and time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from numpy.typing import NDArray

from aeqlab.backends.errors import DivergedError
from aeqlab.protocols.bests import Bests
from aeqlab.protocols.comparison import Curve, summarise, write_csv
from aeqlab.protocols.errors import HoldError
from aeqlab.protocols.evaluation import evaluate
from aeqlab.protocols.methods import METHODS
from aeqlab.protocols.prediction import HELD_ENOUGH
from aeqlab.protocols.restoring import find_theta
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.samples import Data
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.train_options import TrainOptions
from aeqlab.protocols.tally import Tally
from aeqlab.protocols.training import Training, marks

Array = NDArray[Any]
TABLE, FIGURE = "comparison.csv", "comparison.png"
_TRIES = 3  #: how often the start is held before the span is given up


def compare(session: RunSession, options: CompareOptions) -> dict[str, Any]:
    """Train with every method for every seed, then write the table and the figure into the run folder.

    Args:
        session: the run's.
        options: methods, seeds, start, budget, target.
    Returns:
        What every method reached, by its name, and the names of the two files.
    Raises:
        HoldError: theta cannot be brought to the start.
    """
    kept = session.resumed_state()
    now = session.theta() if options.start is None else None
    bench = _Bench(session, options, now if kept is None else kept["now"])
    session.keep_in_checkpoints(lambda: {"now": bench.now})
    entries = [StageEntry(train=one) for one in bench.trainings.values()]
    place = ".".join(map(str, session.sequencer.path))
    for turn in session.turns(options.seeds):
        session.run_sequence(entries, turn, run=partial(bench.span, turn))
    curves = []
    for turn in range(options.seeds):
        for index, (name, one) in enumerate(bench.trainings.items()):
            found = session.sequencer.results.get(f"{place}.{turn}.{index}", {})
            if found.get("points"):
                follows, seed, diverged = METHODS[one.method].follows, session.seed + turn, "diverged" in found
                curves.append(Curve.of(name, follows, one, seed, found["points"], diverged=diverged))
    session.sequencer.forget()
    if not curves:
        return {"methods": {}, "skipped": True}
    summary = summarise(curves, options.goal)
    write_csv(session.folder / TABLE, summary)
    said: dict[str, Any] = {"methods": {row.name: row.in_words(options.target) for row in summary.rows}, "table": TABLE}
    try:
        from aeqlab.protocols.comparison_figure import draw

        draw(session.folder / FIGURE, curves, options, cost_unit=f"{session.info.outputs.unit}²")
        said["figure"] = FIGURE
    except ImportError as exc:
        session.say("warning", "figure", f"{FIGURE} was not drawn, matplotlib does not load ({exc}); {TABLE} has the numbers.")
    return said


class _Bench:
    """What the spans of one comparison share."""

    def __init__(self, session: RunSession, options: CompareOptions, now: Array | None) -> None:
        self.session, self.options, self.now = session, options, now
        self.trainings = {name: _plain(one) for name, one in options.methods.items()}
        self._data: dict[int, Data] = {session.seed: session.data}

    def span(self, turn: int, session: RunSession, options: StageOptions) -> dict[str, Any]:
        """Train with one method for one seed, in place of the stage's own function."""
        assert isinstance(options, TrainOptions)
        seed = session.seed + turn
        if seed not in self._data:
            self._data = {session.seed: session.data, seed: session.data_of(seed)}
        name = list(self.trainings)[session.sequencer.path[-1]]
        with elsewhere(session, self._data[seed], seed):
            self._begin(name)
            return _Span(session, options, self.options).run() | {"name": name, "seed": seed}

    def _begin(self, name: str) -> None:
        """Bring theta to the start and see that it is held there."""
        session, start = self.session, self.options.start
        inputs = session.data.train.inputs[: session.info.samples or 1]
        theta = self.now if start is None else find_theta(session, start)[0]
        if theta is not None:
            session.move_theta(theta)
        else:
            session.find_target(inputs)
            self.now = session.theta()
        for _ in range(_TRIES):
            session.between_samples(partial(self._present, inputs))
            report = session.sample(lambda: session.hold(session.target))
            if report is not None and report.accepted:
                return
        raise HoldError(
            f"compare: {name}: theta could not be held at the start in {_TRIES} tries. Choose a start nearer to where theta "
            "rests, or allow homeostasis more time."
        )

    def _present(self, inputs: Array) -> None:
        self.session.present(inputs)
        self.session.release()


class _Span(Training):
    """A training within a budget, evaluated at sample counts that are the same for all; begun anew by a resume."""

    def __init__(self, session: RunSession, options: TrainOptions, compared: CompareOptions) -> None:
        super().__init__(session, options)
        self.compared = compared
        samples = options.samples or compared.samples
        self.total = math.ceil(samples / self.batches.batch) if samples is not None else 2**62
        self.reads, self.seconds = 0, 0.0
        self.points: list[dict[str, float]] = []
        self.next_look = 0

    def run(self) -> dict[str, Any]:
        """Train until the budget is spent; running away is what a method may do, and ends its span."""
        session = self.session
        self._begin_epoch(self.first_epoch)
        session.status.count(0, self.total if self.total < 2**62 else None)
        diverged, begun, target = "", session.device_state(), session.target
        try:
            self._look()
            while not self._spent():
                session.point()
                reads, t = session.reads, session.t or 0.0
                samples, number = self._next_samples()
                self._train_on(samples, number)
                self.reads += session.reads - reads
                self.seconds += (session.t or 0.0) - t
                self._sample_done()
                if self.done * self.batches.batch >= self.next_look or self._spent():
                    self._look()
        except DivergedError as exc:
            session.release()
            session.restore_device(begun)  # a state that ran away may not come back to the next start
            session.target = target
            diverged = str(exc)
            self.points = self.points or [{"samples": 0, "reads": 0, "seconds": 0.0, "cost_free": math.inf}]
            session.say("warning", "diverged", f"compare: {self.options.method}, seed {session.seed}: {diverged}")
        found = {"points": self.points, "method": self.options.method, **session.tally.summary(), **marks(self.options)}
        return found | ({"diverged": diverged} if diverged else {})

    def _spent(self) -> bool:
        budget = self.compared
        return (
            self.done >= self.total
            or (budget.reads is not None and self.reads >= budget.reads)
            or (budget.seconds is not None and self.seconds >= budget.seconds)
        )

    def _look(self) -> None:
        """Evaluate, and say when to do so again: after a tenth of the samples done, `evaluate_every` at most."""
        session, done = self.session, self.done * self.batches.batch
        found = evaluate(session, self.compared.evaluate)
        session.status.count(self.done, self.total if self.total < 2**62 else None)
        keys = ("cost_free", "error_rate")
        measured = {key: float(found[key]) for key in keys if key in found}
        if found.get("samples_held", 1) and not math.isfinite(measured["cost_free"]):
            raise DivergedError(f"the cost after {done} samples is {measured['cost_free']}")
        if found.get("held_rate", 1.0) < HELD_ENOUGH:
            measured = dict.fromkeys(measured, math.nan)
        self.points.append({"samples": done, "reads": self.reads, "seconds": self.seconds, **measured})
        self.next_look = done + max(1, min(self.compared.evaluate_every, done // 10))


def _plain(options: TrainOptions) -> TrainOptions:
    """Leave out the free phase, which a method does not need to learn, where nothing is said of it."""
    return options if options.free_phase is not None else options.model_copy(update={"free_phase": False})


@contextmanager
def elsewhere(session: RunSession, data: Data, seed: int) -> Iterator[None]:
    """While entered, a run has other data and another seed: random streams, order and counts begin anew, and no best is kept.

    Afterwards all of it is as before, but for the counts, which are added.
    """
    names = ("seed", "_data", "_streams", "_batches", "epochs_of", "bests", "tally", "epoch")
    before = {name: getattr(session, name) for name in names}
    session.seed, session._data = seed, data
    session._streams, session._batches, session.epochs_of = {}, {}, {}
    session.bests, session.tally = Bests(None), Tally()
    try:
        yield
    finally:
        counted = session.tally
        for name, value in before.items():
            setattr(session, name, value)
        session.tally = session.tally.plus(counted)
