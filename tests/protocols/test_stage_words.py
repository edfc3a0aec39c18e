"""Stages told in a few words: what moves and how long, for every stage there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_helpers import SMALL, experiment

from aeqlab.protocols.crosscheck import device_facts
from aeqlab.protocols.data import data_widths
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import load_experiment, load_text, preset_text
from aeqlab.protocols.stage_words import how_long, what_moves
from aeqlab.protocols.stages.registry import stage_kinds


def test_every_stage_is_told(tmp_path: Path) -> None:
    entries = [entry for name in ("tour", "tour-slow", "tour-engine") for entry in load_experiment(name).experiment.sequence]
    inner = [entry for one in entries if one.kind == "repeat" for entry in one.options.sequence]  # type: ignore[attr-defined]
    assert {entry.kind for entry in (*entries, *inner)} == set(stage_kinds())
    assert all(what_moves(entry.options) for entry in (*entries, *inner))


@pytest.mark.parametrize(
    ("line", "moves", "lasts"),
    [
        ("train: {method: centered, beta: 0.2, samples: 30}", "theta, by nudges of -0.1 and 0.1 (centered)", "30 samples"),
        ("train: {method: spsa, learning_rate: 0.1}", "theta, by spsa", "1 epoch"),
        ("evaluate: {parameters: locked}", "input knobs; theta locked in the equations", ""),
        ("hold: {seconds: 3}", "control knobs, so that theta stays", "3 s of the device"),
        ("scan: {over: [{quantity: u0, values: [1, 2, 3, 4, 5]}]}", "u0 to 1, 2, 3, 4 and 1 more", "5 points"),
        ("ask: {text: 'Ready?'}", "nothing; asks: Ready?", "until answered: continue, stop"),
        ("repeat: {times: 3, sequence: [evaluate]}", "what the stages within move", "3 times"),
    ],
)
def test_what_is_said(tmp_path: Path, line: str, moves: str, lasts: str) -> None:
    text = f"{SMALL[: SMALL.index('sequence:')]}sequence:\n  - {line}\n"
    loaded = experiment(tmp_path, text)
    (entry,) = loaded.experiment.sequence
    assert loaded.experiment.data is not None
    dimensions, _ = device_facts(loaded.experiment.device, loaded.base)
    said = how_long(entry, loaded.experiment, dimensions, data_widths(loaded.experiment.data, loaded.base))
    assert what_moves(entry.options) == moves
    assert said.startswith(lasts)
    assert said


def test_a_text_is_read_as_its_file_is(tmp_path: Path) -> None:
    text = preset_text("tour").replace("epsilon: 0.1", "epsilon: none")
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileErrors) as of_file:
        load_experiment(path)
    with pytest.raises(FileErrors) as of_text:
        load_text(text, str(path), tmp_path)
    assert of_text.value.problems == of_file.value.problems
    assert load_text(preset_text("tour"), "tour", tmp_path).experiment == load_experiment("tour").experiment
    with pytest.raises(FileErrors, match="larger than"):
        load_text("#" * 300_000, "huge", tmp_path)
