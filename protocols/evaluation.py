"""Evaluation: cost and error rate over a set of samples at beta = 0, without learning; what the stage `evaluate` does."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.aeqprop import cost
from aeqlab.protocols.prediction import Prediction, samples_of
from aeqlab.protocols.readouts_kept import Kept
from aeqlab.protocols.record import EvaluationRow
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.samples import Samples
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.subset import Subset


def evaluate(session: RunSession, options: EvaluateOptions) -> dict[str, Any]:
    """Evaluate, record it, keep theta if it is the best so far.

    Args:
        session: the run's.
        options: which set, how many or for how long, what theta does meanwhile.
    Returns:
        `cost_free`, `error_rate` (where there are labels), `rms_error` (of each target column in its own unit, where the data
        were scaled), all over the `samples_held` in whose presentations theta was held, and nan where it was held in none;
        `held_rate`, `samples`, `dataset`, and whether it is the `best`, which takes a `held_rate` of 0.9.
    Raises:
        DataError: the set asked for is not there.
        CapabilityError: the device is not able to do it in this way.
    """
    whole, name = samples_of(session, options.on, "evaluate")
    mode = options.parameters or "homeostasis"
    predict = Prediction(session, mode, "evaluate")
    subset = Subset(session, options, whole, name)
    samples = subset.samples
    batch, fill = predict.batch(options.batch, len(samples))
    began = time.monotonic()
    done, sums, read = 0, _Sums(session), Kept()
    before = session.status.done, session.status.total
    with predict.theta_kept():
        for chunk, n in samples.chunks(batch, fill=fill):
            n = min(n, (subset.count or len(samples)) - done)
            if n <= 0:
                break
            session.progress(done, subset.count)
            session.point()
            predicted = predict(chunk.inputs)
            if predicted.held:  # elsewhere it is the cost of a theta that is not the one to be evaluated
                sums.add(predicted.outputs[:n], chunk.take(slice(0, n)))
            read.add(done, predicted.outputs[:n], chunk.take(slice(0, n)), held=predicted.held)
            done += n
            subset.took(predict.seconds, done)
            session.progress(done, subset.count)
    session.status.count(*before)
    found: dict[str, Any] = {"dataset": name, "samples": done, **sums.means(labels=samples.labels is not None)}
    if predict.held_rate is not None:
        found |= {"held_rate": predict.held_rate, "samples_held": sums.samples}
    row = session.record.evaluation(
        EvaluationRow(
            session.steps, session.stage, session.epoch, time.time(), name, done, mode, predict.start, found["cost_free"],
            found.get("error_rate"), predict.held_rate, time.monotonic() - began, session.t, session.reads,
        )
    )  # fmt: skip
    if row:
        session.record.evaluated(read.rows(session, row))
    session.status.values.update({f"{name}_{key}": value for key, value in found.items() if key in ("cost_free", "error_rate")})
    measure = "error_rate" if "error_rate" in found else "cost_free"
    if not predict.held_enough:
        _say_not_held(session, predict, name)
    found["best"] = predict.held_enough and session.keep_best(f"{name} {measure}", done, found[measure])
    return found


class _Sums:
    """Sums over the samples in whose presentations theta was held."""

    def __init__(self, session: RunSession) -> None:
        self.info, self.scaling = session.info, session.data.scaling
        self.samples, self.cost, self.wrong = 0, 0.0, 0
        self.squares = np.zeros(session.data.outputs)

    def add(self, outputs: NDArray[Any], samples: Samples) -> None:
        """Add outputs, shape (samples, outputs), for these samples."""
        n = len(samples)
        self.samples += n
        self.cost += n * cost(self.info, outputs, samples.targets)
        if self.scaling is not None:
            errors = self.scaling.targets.invert(outputs) - self.scaling.targets.invert(samples.targets)
            self.squares += (errors**2).sum(axis=0)
        if samples.labels is not None:
            self.wrong += int(np.count_nonzero(outputs.argmax(axis=1) != samples.labels))

    def means(self, *, labels: bool) -> dict[str, Any]:
        """Get what is found, with an error rate if there are labels; nan without samples."""
        n = self.samples or math.nan
        found: dict[str, Any] = {"cost_free": self.cost / n}
        if labels:
            found["error_rate"] = self.wrong / n
        if self.scaling is not None:
            found["rms_error"] = dict(zip(self.scaling.targets.names, np.sqrt(self.squares / n).tolist(), strict=True))
        return found


def _say_not_held(session: RunSession, predict: Prediction, name: str) -> None:
    """Say that theta was not held often enough: once as a warning of the run, then as an event alone."""
    about = f"evaluate: theta was not held often enough on the {name} set"
    told = any(text.startswith(about) for text in session.status.warnings)
    session.say(
        "device" if told else "warning", "not held",
        f"{about}: in {predict.held:,} of {predict.holds:,} presentations. Cost and error rate are of these alone, and none is "
        "kept as the best. Loosen the tolerance, or allow homeostasis more time.",
    )  # fmt: skip
