"""Whether experiment, data and open device fit: what only user code and the device itself can say, before anything moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aeqlab.backends.device import DeviceInfo, capabilities
from aeqlab.backends.kinds import open_device
from aeqlab.protocols.data import load_data
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import Experiment, load_experiment
from aeqlab.protocols.fitting import check_fit
from aeqlab.protocols.samples import Data, Samples


def prepared(*overrides: str) -> tuple[Experiment, Data, DeviceInfo, frozenset[str]]:
    experiment = load_experiment("linear-regression", overrides).experiment
    assert experiment.data is not None
    with open_device(experiment.device, seed=1, base=Path()) as device:
        return experiment, load_data(experiment.data, seed=1, base=Path()), device.info, capabilities(device)


def test_what_fits_is_not_complained_about() -> None:
    check_fit(*prepared())
    experiment, _, info, abilities = prepared()
    check_fit(experiment, None, info, abilities)


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (np.zeros((9, 2)), np.zeros((9, 1)), "2 inputs per sample"),
        (np.zeros((9, 1)), np.zeros((9, 3)), "3 targets per sample"),
        (np.linspace(0, 1.5, 9)[:, None], np.zeros((9, 1)), "from 0 to 1.5"),
    ],
)
def test_data_that_do_not_fit(inputs: np.ndarray, targets: np.ndarray, words: str) -> None:
    experiment, _, info, abilities = prepared()
    with pytest.raises(FileErrors, match=words):
        check_fit(experiment, Data("mine", Samples(inputs, targets)), info, abilities)


@pytest.mark.parametrize(
    ("overrides", "change", "key"),
    [
        (("train.beta=0.5",), {"beta": (-0.1, 0.1)}, "sequence.0.train.beta"),
        (("train.batch=1",), {"samples": 4}, "sequence.0.train.batch"),
        (("data.samples=3",), {"samples": 4}, "sequence.0.train.batch"),
        (("evaluate.batch=1",), {"samples": 4}, "sequence.1.evaluate.batch"),
    ],
)
def test_what_the_open_device_says_counts(overrides: tuple[str, ...], change: dict[str, object], key: str) -> None:
    experiment, data, info, abilities = prepared(*overrides)
    check_fit(experiment, data, info, abilities)
    with pytest.raises(FileErrors) as caught:
        check_fit(experiment, data, replace(info, **change), abilities)  # type: ignore[arg-type]
    assert key in [problem.key for problem in caught.value.problems]


def test_abilities_that_only_the_open_device_knows() -> None:
    experiment, data, info, _ = prepared("homeostasis.controller=ideal", "sequence=[{train: {method: sgd, learning_rate: 1e-2}}]")
    with pytest.raises(FileErrors) as caught:
        check_fit(experiment, data, info, frozenset())
    assert [problem.key for problem in caught.value.problems] == ["homeostasis.controller", "sequence.0.train.method"]


def test_stages_that_ask_for_samples_that_are_not_there() -> None:
    experiment, data, info, abilities = prepared("sequence=[{evaluate: {on: test}}, {hold: {seconds: 1, sample: 7}}]")
    with pytest.raises(FileErrors) as caught:
        check_fit(experiment, Data("mine", data.train.take(slice(0, 5))), info, abilities)
    assert [problem.key for problem in caught.value.problems] == ["sequence.0.evaluate.on", "sequence.1.hold.sample"]


def test_a_range_is_said_without_the_unit_one() -> None:
    experiment, _, info, abilities = prepared()
    inputs = np.linspace(0, 1.5, 9)[:, None]
    with pytest.raises(FileErrors, match=r"from 0 to 1\.5, it takes -1 to 1\. Scale the data\."):
        check_fit(experiment, Data("mine", Samples(inputs, np.zeros((9, 1)))), info, abilities)
