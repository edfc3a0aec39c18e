"""Names and values of a run in words, the same in the summary and the table of runs; see also `protocols/words.py`."""

from __future__ import annotations

import math
from typing import Any

from aeqlab.protocols.words import COSTS, duration_in_words

#: What the names in a summary mean to a person.
NAMES = {
    **COSTS,
    "seconds": "time",
    "steps": "training steps",
    "running_cost_free": "cost while training",
    "train_cost_free": "cost on the training set",
    "test_cost_free": "cost on the test set",
    "running_error_rate": "error rate while training",
    "train_error_rate": "error rate on the training set",
    "test_error_rate": "error rate on the test set",
    "rms_error": "RMS error in the data's units",
    "train_rms_error": "RMS error while training",
    "test_rms_error": "RMS error on the test set",
    "held_rate": "holds accepted",
    "samples_held": "samples with theta held",
    "hold_error": "hold error in tolerances",
    "skipped": "samples skipped",
    "cost_rose": "cost rose under the nudge",
    "error_rate": "error rate",
    "error_rate_unclamped": "error rate, outputs unclamped",
    "lag_s": "lag in s",
    "dead_time_s": "dead time in s",
    "control": "control",
    "follows": "steps follow",
    "reads": "readouts",
    "sham_steps": "sham steps",
    "sham_moved_mean": "moved by a sham step",
    "moved_mean": "moved by a step",
    "false_held_rate": "false-held rate",
    "false_rejected_rate": "false-rejected rate",
}
_RATES = ("_rate", "_rate_unclamped")


def name_in_words(name: str) -> str:
    """Say what a value of a summary is."""
    return NAMES.get(name, name.replace("_", " "))


def value_in_words(name: str, value: Any) -> str:
    """Say a value of a summary: rates in percent, counts whole, numbers with four digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "not known"
    if name == "seconds":
        return duration_in_words(float(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and name.endswith(_RATES):
        return f"{100 * value:.4g} %"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(value_in_words("", item) for item in value)
    if isinstance(value, dict):
        said = str if name.endswith("rms_error") else name_in_words  # there the keys are the user's own names of columns
        return ", ".join(f"{said(key)} {value_in_words(key, item)}" for key, item in value.items())
    return str(value)


def state_in_words(state: str, reason: str) -> str:
    """Say a state of a run and why it is in it, the word of the state only once."""
    if not reason:
        return state
    return f"{state}{reason[len(state) :]}" if reason.lower().startswith((f"{state} ", f"{state}:")) else f"{state}: {reason}"


def size_in_words(size: float) -> str:
    """Say how much room something takes on a disk."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size:.0f} bytes"
