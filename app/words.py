"""Numbers and names of a run in words, the same in the progress line, the summary and the table of runs."""

from __future__ import annotations

from typing import Any

#: Which cost a number is; a cost read under a nudge is never called anything that could be taken for the free one.
COSTS = {
    "cost_free": "cost",
    "cost_1": "cost under beta_1",
    "cost_2": "cost under beta_2",
    "cost_probe": "cost where theta was probed",
}
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
    "hold_error": "hold error in tolerances",
    "skipped": "samples skipped",
    "cost_rose": "cost rose under the nudge",
    "error_rate": "error rate",
    "error_rate_unclamped": "error rate, outputs unclamped",
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


def cost_in_words(name: str) -> str:
    """Say which cost it is."""
    return COSTS.get(name, name.replace("_", " "))


def name_in_words(name: str) -> str:
    """Say what a value of a summary is."""
    return NAMES.get(name, name.replace("_", " "))


def value_in_words(name: str, value: Any) -> str:
    """Say a value of a summary: rates in percent, counts whole, numbers with four digits."""
    if value is None:
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


def count_in_words(done: float, total: float | None, unit: str = "") -> str:
    """Say how much is done, of how much: 12/1,000, or 3.5/60 s."""
    said = "/".join(f"{n:,}" if isinstance(n, int) else f"{n:,.4g}" for n in (done, total) if n is not None)
    return f"{said} {unit}".rstrip()


def duration_in_words(seconds: float) -> str:
    """Say how long something takes: 0.4 s, 12 s, 3 min 20 s, 5 h 07 min, 2 d 3 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def size_in_words(size: float) -> str:
    """Say how much room something takes on a disk."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size:.0f} bytes"
