"""Evaluation: cost and error rate over a set of samples at beta = 0, without learning; what the stage `evaluate` does."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from aeqlab.protocols.aeqprop import cost
from aeqlab.protocols.prediction import Prediction, samples_of
from aeqlab.protocols.record import EvaluationRow
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.subset import Subset


def evaluate(session: RunSession, options: EvaluateOptions) -> dict[str, Any]:
    """Evaluate, record it, keep theta if it is the best so far.

    Args:
        session: the run's.
        options: which set, how many or for how long, what theta does meanwhile.
    Returns:
        `cost_free`, `error_rate` (where there are labels), `rms_error` (of each target column in its own unit, where the data
        were scaled), `held_rate`, `samples`, `dataset`, and whether it is the `best`.
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
    costs, wrong, done = 0.0, 0, 0
    scaling, squares = session.data.scaling, np.zeros(session.data.outputs)
    before = session.status.done, session.status.total
    with predict.theta_kept():
        for chunk, n in samples.chunks(batch, fill=fill):
            n = min(n, (subset.count or len(samples)) - done)
            if n <= 0:
                break
            session.progress(done, subset.count)
            session.point()
            outputs = predict(chunk.inputs).outputs
            costs += n * cost(session.info, outputs[:n], chunk.targets[:n])
            if scaling is not None:
                errors = scaling.targets.invert(outputs[:n]) - scaling.targets.invert(chunk.targets[:n])
                squares += (errors**2).sum(axis=0)
            if chunk.labels is not None:
                wrong += int(np.count_nonzero(outputs[:n].argmax(axis=1) != chunk.labels[:n]))
            done += n
            subset.took(predict.seconds, done)
            session.progress(done, subset.count)
    session.status.count(*before)
    mean, rate = costs / done, None if samples.labels is None else wrong / done
    session.record.evaluation(
        EvaluationRow(
            session.steps, session.stage, session.epoch, time.time(), name, done, mode, predict.start, mean, rate,
            predict.held_rate, time.monotonic() - began, session.t, session.reads,
        )
    )  # fmt: skip
    found: dict[str, Any] = {"dataset": name, "samples": done, "cost_free": mean}
    if rate is not None:
        found["error_rate"] = rate
    if scaling is not None:
        found["rms_error"] = dict(zip(scaling.targets.names, np.sqrt(squares / done).tolist(), strict=True))
    if predict.held_rate is not None:
        found["held_rate"] = predict.held_rate
    session.status.values.update({f"{name}_{key}": value for key, value in found.items() if key in ("cost_free", "error_rate")})
    measure = ("cost_free", mean) if rate is None else ("error_rate", rate)
    found["best"] = session.keep_best(f"{name} {measure[0]}", done, measure[1])
    return found
