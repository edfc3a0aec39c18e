"""An experiment made in Python is its YAML: equal when written and read, refused in the same sentences, told by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols import Experiment, load_experiment
from aeqlab.protocols.errors import FileErrors, RecordError
from aeqlab.protocols.stages.repeat import RepeatOptions
from aeqlab.protocols.stages.train_options import TrainOptions

DEVICE = {"kind": "simulated", "energy": "linear", "epsilon": 0.1, "options": {"frequencies": 3}}
DATA = {"kind": "legendre", "degree": 4, "samples": 60, "test_samples": 12}


def made(**changes: Any) -> Experiment:
    """Make a small experiment."""
    values = {"name": "small", "device": DEVICE, "data": DATA, "sequence": [{"train": {"beta": 0.2}}, "evaluate"]}
    return Experiment(**(values | changes))


def test_what_is_written_and_read_is_equal(tmp_path: Path) -> None:
    experiment = made(limits={"beta": (-0.5, 0.5)}, notes="0x10", tags=["no", "1e-3"])
    assert load_experiment(experiment.save(tmp_path / "small.yaml")).experiment == experiment
    assert (tmp_path / "small.yaml").read_text(encoding="utf-8") == experiment.to_yaml()
    assert load_experiment(experiment).experiment == experiment


@pytest.mark.parametrize("name", ["linear-regression", "linear-slow", "xor"])
def test_a_preset_is_made_again_from_its_own_values(name: str) -> None:
    experiment = load_experiment(name).experiment
    assert Experiment(**experiment.model_dump()) == experiment
    assert Experiment(**{key: getattr(experiment, key) for key in Experiment.model_fields}) == experiment


def test_models_paths_and_numbers_of_numpy_are_what_a_file_would_say() -> None:
    device = SimulatedSettings(energy="linear", epsilon=0.1, options={"frequencies": 3})  # type: ignore[arg-type]
    sequence = [RepeatOptions(times=2, sequence=[{"train": {"beta": 0.2}}]), TrainOptions(beta=0.2), "evaluate"]  # type: ignore[list-item]
    assert made(device=device, sequence=sequence, seed=np.int64(3)) == made(
        sequence=[{"repeat": {"times": 2, "sequence": [{"train": {"beta": 0.2}}]}}, {"train": {"beta": 0.2}}, {"evaluate": {}}],
        seed=3,
    )
    epsilon = np.linspace(0.1, 0.2, 7)
    assert made(device=DEVICE | {"epsilon": epsilon}) == made(device=DEVICE | {"epsilon": epsilon.tolist()})
    assert made(runs=Path("somewhere")).runs == "somewhere"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sequence": [{"train": {"betta": 1.0}}]}, "sequence.0.train.betta: there is no key 'betta' here. Did you mean 'beta'?"),
        ({"seed": "3"}, "seed: a whole number is expected, not the text '3'. Take the quotes away."),
        ({"seed": 3.0}, "seed: a whole number is expected, not 3.0. Write 3."),
        ({"seed": float("nan")}, "seed: .nan is not a number (.nan). Write a number a computer can hold."),
        ({"sed": 3}, "sed: there is no key 'sed' here. Did you mean 'seed'?"),
        ({"notes": "a\x07b"}, "notes: the character U+0007 is not allowed in a text."),
        ({"data": {3: 4}}, "data: a key must be a word, not the int 3."),
        ({"sequence": ["evalute"]}, "sequence.0: a stage is expected here"),
        ({"sequence": [len]}, "Name code by where it is found: 'file.py:function' or 'module:function'."),
        ({"notes": "x" * 300_000}, "larger than 256 KiB."),
        ({"tags": ["x"] * 30_000}, "more than 20000 values"),
    ],
)
def test_mistakes_are_told_by_key_in_the_sentences_of_a_file(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FileErrors) as caught:
        made(**changes)
    assert any(said in str(problem) for problem in caught.value.problems), str(caught.value)
    assert all(problem.line is None and not problem.file for problem in caught.value.problems)


def test_all_mistakes_come_at_once_and_each_once() -> None:
    with pytest.raises(FileErrors) as caught:
        made(sed=3, seed=-1, sequence=[{"train": {"beta": -1.0}}])
    assert sorted(problem.key for problem in caught.value.problems) == ["sed", "seed", "sequence.0.train.beta"]


def test_a_list_in_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(FileErrors, match="deeper than 40 levels"):
        made(sequence=endless)


def test_the_whole_is_checked_like_a_file_and_paths_count_from_here(tmp_path: Path) -> None:
    table = {"kind": "table", "path": "points.csv", "inputs": ["x"], "targets": ["y"]}
    with pytest.raises(FileErrors, match=r"^data\.path: .*points\.csv: no such file"):
        load_experiment(made(data=table))
    (tmp_path / "points.csv").write_text("x,y\n" + "0.5,0.5\n" * 20, encoding="utf-8")
    assert load_experiment(made(data=table)).base == tmp_path  # where the test stands
    with pytest.raises(FileErrors, match=r"^--set train.beta=30: sequence\.0\.train\.beta: centered with beta 30"):
        load_experiment(made(), ["train.beta=30"])


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be written: No such file or directory"):
        made().save(tmp_path / "nowhere" / "small.yaml")
