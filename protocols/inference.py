"""Inference: predictions for samples of the data or for a file of inputs, each written down; what the stage `infer` does."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.aeqprop import cost
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.places import resolve
from aeqlab.protocols.prediction import Predicted, Prediction, samples_of
from aeqlab.protocols.record import PredictionRow, blob
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.stages.infer import InferOptions
from aeqlab.protocols.table import read_columns

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be predicted.

    Attributes:
        name: of the set or the file.
        inputs: shape (samples, inputs), in the unit of the device's input knobs.
        rows: index of each in its set or file.
        targets, labels: as in `Samples`; None for a file.
    """

    name: str
    inputs: Array
    rows: Array
    targets: Array | None = None
    labels: Array | None = None


def infer(session: RunSession, options: InferOptions) -> dict[str, Any]:
    """Predict sample by sample and write each prediction down; gone on with in its middle.

    Returns:
        `dataset`, `samples`, `held_rate`; where there are targets `cost_free`, and with labels `error_rate`.
    Raises:
        DataError: a sample, a file or a column is not there, or an input lies outside the limits of its knob.
        CapabilityError: the device is not able to do it in this way.
    """
    wanted = _wanted(session, options)
    predict = Prediction(session, options.parameters, "infer")
    batch, fill = predict.batch(options.batch, len(wanted.rows))
    state = session.resumed_state() or {"done": 0, "cost": 0.0, "wrong": 0, "holds": 0, "held": 0, "theta": None, "counted": 0}
    state.setdefault("counted", state["done"])  # a checkpoint of a program that counted all of them
    predict.holds, predict.held = state["holds"], state["held"]
    total = len(wanted.rows)
    with predict.theta_kept(state["theta"]) as theta:
        session.keep_in_checkpoints(lambda: {**state, "theta": theta, "holds": predict.holds, "held": predict.held})
        session.progress(state["done"], total)
        while state["done"] < total:
            session.point()
            index = np.arange(state["done"], min(state["done"] + batch, total))
            n = len(index)
            filled = np.concatenate([index, np.full(batch - n, index[-1])]) if fill and n < batch else index
            predicted = predict(wanted.inputs[filled])
            _write(session, wanted, index, predicted)
            if predicted.held:
                _count(session, state, wanted, index, predicted.outputs[:n])
            state["done"] += n
            session.progress(state["done"], total)
    found: dict[str, Any] = {"dataset": wanted.name, "samples": total}
    if predict.held_rate is not None:
        found |= {"held_rate": predict.held_rate, "samples_held": state["counted"]}
    of = state["counted"] or math.nan
    if wanted.targets is not None:
        found["cost_free"] = state["cost"] / of
    if wanted.labels is not None:
        found["error_rate"] = state["wrong"] / of
    return found


def _count(session: RunSession, state: dict[str, Any], wanted: _Wanted, index: Array, outputs: Array) -> None:
    """Add a presentation in which theta was held to what is found."""
    state["counted"] += len(index)
    if wanted.targets is not None:
        state["cost"] += len(index) * cost(session.info, outputs, wanted.targets[index])
    if wanted.labels is not None:
        state["wrong"] += int(np.count_nonzero(outputs.argmax(axis=1) != wanted.labels[index]))


def _write(session: RunSession, wanted: _Wanted, index: Array, predicted: Predicted) -> None:
    """Commit the predictions of one presentation."""
    scaling = session.data.scaling if session.has_data else None
    n = len(index)
    outputs = np.asarray(predicted.outputs[:n], dtype=np.float64)
    in_data_unit = None if scaling is None or not scaling.targets.scaled else scaling.targets.invert(outputs)
    now = time.time()
    for k, i in enumerate(index):
        session.record.prediction(
            PredictionRow(
                session.steps, session.stage, now, wanted.name, int(wanted.rows[i]), predicted.t, predicted.verdict,
                blob(outputs[k]),
                None if in_data_unit is None else blob(in_data_unit[k]),
                None if wanted.targets is None else blob(wanted.targets[i]),
            )
        )  # fmt: skip


def _wanted(session: RunSession, options: InferOptions) -> _Wanted:
    """Find the samples that are asked for."""
    if options.inputs is not None:
        whole = _of_file(session, options)
    else:
        samples, name = samples_of(session, options.on, "infer")
        whole = _Wanted(name, samples.inputs, np.arange(len(samples)), samples.targets, samples.labels)
    rows = whole.rows[: options.samples]
    if options.indices is not None:
        rows = np.array(options.indices)
        if rows.max() >= len(whole.rows):
            raise DataError(f"infer: {whole.name} has {len(whole.rows)} samples, counted from 0; {rows.max()} is none of them.")
    targets = None if whole.targets is None else whole.targets[rows]
    return _Wanted(whole.name, whole.inputs[rows], rows, targets, None if whole.labels is None else whole.labels[rows])


def _of_file(session: RunSession, options: InferOptions) -> _Wanted:
    """Read a file of inputs in the user's units and bring them to those of the knobs, whose limits none may exceed."""
    assert options.inputs is not None
    info, data = session.info.inputs, session.data if session.has_data else None
    path = resolve(session.base, options.inputs)
    values, names = read_columns(
        options.inputs, options.columns or list(data.columns if data else ()), options.delimiter, session.base
    )
    if values.shape[1] != len(info):
        raise DataError(
            f"infer: {path} gives {values.shape[1]} columns ({', '.join(names[:12])}), {session.info.name} has {len(info)} input "
            "knobs. Name as many with `columns`, in the order of the knobs."
        )
    inputs = values if data is None or data.scaling is None else data.scaling.inputs.apply(values)
    beyond = ~((inputs >= info.lowest) & (inputs <= info.highest))
    if beyond.any():
        row = int(np.argmax(beyond.any(axis=1)))
        k = int(np.argmax(beyond[row]))
        unit = "" if info.unit == "1" else f" {info.unit}"
        raise DataError(
            f"infer: {path}, row {row}, counted from 0: {values[row, k]:g} would be {inputs[row, k]:g}{unit} on knob "
            f"{info.names[k]}, which takes {info.low[k]:g} to {info.high[k]:g}{unit}. Take the row out."
        )
    return _Wanted(path.name, inputs, np.arange(len(inputs)))
