"""Evaluation: cost and error rate over a set of samples at beta = 0, without learning; what the stage `evaluate` does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import BackendError
from aeqlab.protocols.aeqprop import cost
from aeqlab.protocols.errors import CapabilityError, DataError, ProtocolError
from aeqlab.protocols.record import EvaluationRow
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.samples import Samples
from aeqlab.protocols.stages.evaluate import EvaluateOptions

Array = NDArray[Any]
BATCH = 500  #: samples at once on a device that takes any number
FOUND = ("cost_free", "error_rate", "rms_error")  #: what of an evaluation a summary of the run tells too


def evaluate(session: RunSession, options: EvaluateOptions) -> dict[str, Any]:
    """Evaluate, record it, keep theta if it is the best so far.

    Args:
        session: the run's.
        options: which set, how many, what theta does meanwhile.
    Returns:
        `cost_free`, `error_rate` (where there are labels), `rms_error` (of each target column in its own unit, where the data
        were scaled), `held_rate`, `samples`, `dataset`, and whether it is the `best`.
    Raises:
        DataError: the set asked for is not there.
        CapabilityError: the device is not able to do it in this way.
    """
    samples, name = _choose(session, options)
    mode = options.parameters or "homeostasis"
    predict = _Prediction(session, mode)
    at_once = None if predict.by_equations else session.info.samples
    batch = options.batch or at_once or min(BATCH, len(samples))
    if at_once not in (None, batch):
        raise CapabilityError(
            f"evaluate: a batch of {batch} was asked for, and {session.info.name} takes {at_once} at once. Leave `batch` out."
        )
    began = time.monotonic()
    costs, wrong, done = 0.0, 0, 0
    scaling, squares = session.data.scaling, np.zeros(session.data.outputs)
    before = session.status.done, session.status.total
    session.status.count(0, len(samples))
    with _theta_kept(session, mode):
        for chunk, n in samples.chunks(batch, fill=at_once is not None):
            session.point()
            outputs = session.sample(lambda chunk=chunk: predict(chunk.inputs))  # type: ignore[misc]
            while outputs is None:  # the device was frozen meanwhile: this sample again
                outputs = session.sample(lambda chunk=chunk: predict(chunk.inputs))  # type: ignore[misc]
            costs += n * cost(session.info, outputs[:n], chunk.targets[:n])
            if scaling is not None:
                errors = scaling.targets.invert(outputs[:n]) - scaling.targets.invert(chunk.targets[:n])
                squares += (errors**2).sum(axis=0)
            if chunk.labels is not None:
                wrong += int(np.count_nonzero(outputs[:n].argmax(axis=1) != chunk.labels[:n]))
            done += n
            session.status.done = done
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


@contextmanager
def _theta_kept(session: RunSession, mode: str) -> Iterator[None]:
    """Give theta back afterwards where it floats inside the device; elsewhere the next hold brings it to its target."""
    if mode != "frozen" or not session.holds_inside:
        yield
        return
    if "WritableParameters" not in session.abilities:
        raise CapabilityError(
            f"evaluate: theta of {session.info.name} would float away under frozen knobs, and cannot be written back. "
            "Choose `parameters: homeostasis`."
        )
    theta = session.parameters()
    try:
        yield
    except BaseException:
        with suppress(ProtocolError, BackendError):
            session.move_theta(theta)
        raise
    session.move_theta(theta)


class _Prediction:
    """Reads the outputs without a nudge, theta held, floating, or locked in the equations."""

    def __init__(self, session: RunSession, mode: str) -> None:
        if mode == "locked" and not {"KnowsEnergy", "HoldsParameters"} & session.abilities:
            raise CapabilityError(
                f"evaluate: {session.info.name} cannot lock its parameters. Choose `parameters: homeostasis` or `frozen`."
            )
        self.session, self.mode = session, mode
        self.afresh = "StartsAfresh" in session.abilities
        self.by_equations = mode == "locked" and "KnowsEnergy" in session.abilities and "HoldsParameters" not in session.abilities
        self.start = "zeros" if self.afresh or self.by_equations else "last"
        self.holds = self.held = 0

    def __call__(self, inputs: Array) -> Array:
        session = self.session
        session.find_target(inputs)
        if self.by_equations:
            states = session.device_call("equilibrium", session.target, inputs)
            return np.asarray(session.device_call("outputs_of", states))
        session.present(inputs)
        session.release()
        if self.afresh:
            session.device_call("start_from_zeros")
        if self.mode == "frozen":
            return session.settle_free().readout.outputs
        report = session.hold(session.target)
        self.holds += 1
        self.held += report.accepted
        return report.readout.outputs

    @property
    def held_rate(self) -> float | None:
        """Get the share of presentations in which theta was held; None where nothing had to be."""
        return self.held / self.holds if self.holds else None


def _choose(session: RunSession, options: EvaluateOptions) -> tuple[Samples, str]:
    data = session.data
    name = options.on or ("train" if data.test is None else "test")
    samples = data.test if name == "test" else data.train
    if samples is None:
        raise DataError(f"evaluate: {data.name} has no test set. Say `on: train`, or leave `on` out.")
    if options.samples is not None:
        samples = samples.take(slice(0, options.samples))
    return samples, name
