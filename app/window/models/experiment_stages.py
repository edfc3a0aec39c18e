"""Stages to begin with, and one stage made of another: what both have is kept."""

from __future__ import annotations

from typing import Any

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_schema import known_keys, section_of, stage_variants
from aeqlab.app.window.models.experiment_text import ExperimentText
from aeqlab.protocols.stages.options import MARKS

#: What a stage says that was only just added: the least that it needs.
FRESH: dict[str, dict[str, Any]] = {
    "train": {"method": "centered", "beta": 0.1},
    "hold": {"seconds": 10},
    "restore": {"theta": "random"},
    "scan": {"over": [{"quantity": "u0", "from": -0.1, "to": 0.1, "points": 5}]},
    "ramp": {"quantity": "u0", "to": 0.1, "seconds": 1},
    "set": {"u0": 0.1},
    "step-response": {"quantity": "u0", "size": 0.1},
    "compare": {
        "samples": 100,
        "methods": {"aeqprop": {"method": "centered", "beta": 0.1}, "spsa": {"method": "spsa", "learning_rate": 0.005}},
    },
    "repeat": {"times": 2, "sequence": [{"evaluate": {}}]},
    "ask": {"text": "Go on?"},
    "call": {"function": "my_stage.py:stage"},
}


def fresh(word: str) -> dict[str, Any]:
    """Make an entry of a sequence for a stage that begins with the least it needs."""
    return {word: FRESH.get(word, {})}


def word_of(plain: Any) -> str:
    """Get the word of an entry; empty where it has none."""
    if isinstance(plain, str):
        return plain
    return next((key for key in plain if key not in MARKS), "") if isinstance(plain, dict) else ""


def become(model: ExperimentText, path: Path_, plain: Any, word: str) -> None:
    """Make another stage of an entry; options and marks that both have stay, and what the new one needs is added.

    Args:
        model: the text.
        path: of the entry.
        plain: what stands there now.
        word: of the other stage.
    Raises:
        EditError: it cannot be changed there.
    """
    old = word_of(plain)
    if not isinstance(plain, dict) or not old:
        model.set(path, fresh(word))
        return
    there = plain[old] if isinstance(plain[old], dict) else {}
    variant = next((one for one in stage_variants() if one.word == word), None)
    known = known_keys(variant)
    model.rename((*path, old), word)
    for key in there:
        if key not in known:
            model.remove((*path, word, key))
    order = section_of(variant.model).order if variant is not None and variant.model is not None else ()
    kept = there.keys() & known
    for key, value in fresh(word)[word].items():
        if key not in kept:
            model.set((*path, word, key), value, order=order)


def set_mark(model: ExperimentText, path: Path_, plain: Any, mark: str, *, on: bool) -> None:
    """Switch a mark of an entry, `off` or `pause_after`, on or off.

    Raises:
        EditError: it cannot be changed there.
    """
    if not on:
        model.remove((*path, mark))
    elif isinstance(plain, dict):
        model.set((*path, mark), True)
    else:  # a bare word has no room for it
        model.set(path, {str(plain): {}, mark: True})
