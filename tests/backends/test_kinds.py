"""Settings of devices by kind: read, refused with the place of the mistake, written out and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from aeqlab.backends.kinds import DeviceSettings, SimulatedSettings, UnknownUntilPreparing, open_device
from aeqlab.backends.settings import BetaBounds, Dimensions
from aeqlab.backends.simulated import SimulatedDevice

ADAPTER: TypeAdapter[Any] = TypeAdapter(DeviceSettings)
GOOD: list[dict[str, Any]] = [
    {"kind": "simulated", "energy": "linear"},
    {"kind": "simulated", "energy": "linear", "epsilon": [0.1, 0.2, 0.3], "options": {"frequencies": 1, "s_squared": 1}},
    {"kind": "simulated", "energy": "hopfield", "epsilon": {"w1": 0.1, "b1": 0.2, "w2": 0.05, "b2": 0.1}, "batch": 4},
    {"kind": "simulated", "energy": "spring", "options": {"edges": [[0, 2], [2, 3], [1, 3]], "hidden": 1}, "batch": None},
    {"kind": "simulated", "energy": "spring", "coupling": "mirror", "cost": "log cosh", "control_limits": [-1, 1]},
    {"kind": "slow", "energy": "linear"},
    {"kind": "hopfield"},
]


@pytest.mark.parametrize("tree", GOOD, ids=str)
def test_written_out_and_read_again(tree: dict[str, Any]) -> None:
    settings = ADAPTER.validate_python(tree)
    assert settings.kind == tree["kind"]
    assert ADAPTER.validate_python(settings.model_dump(mode="json")) == settings
    assert isinstance(settings.dimensions(Path()), Dimensions)
    bounds = settings.beta_bounds(Path()) if tree.get("cost") is None else BetaBounds(-1.0)
    assert bounds.held <= 0
    assert isinstance(settings.served, bool)


@pytest.mark.parametrize("tree", [tree for tree in GOOD if tree["kind"] == "simulated"], ids=str)
def test_what_is_opened_has_the_dimensions_that_were_said(tree: dict[str, Any]) -> None:
    settings = ADAPTER.validate_python(tree)
    said = settings.dimensions(Path())
    device = open_device(settings, seed=0, base=Path())
    info = device.info
    assert isinstance(device, SimulatedDevice)
    assert said == Dimensions(len(info.inputs), len(info.outputs), info.n_parameters, info.samples)
    at = 0
    for block in info.parameters:
        assert block.start == at
        at += block.size
        assert np.all(np.asarray(block.epsilon) > 0)
    assert at == said.parameters == len(info.controls)


@pytest.mark.parametrize(
    ("tree", "place", "said"),
    [
        ({"energy": "linaer"}, ("energy",), "Did you mean linear"),
        ({"energy": "linear", "coupling": "cos"}, ("coupling",), "Did you mean cosh"),
        ({"energy": "linear", "cost": "squared"}, ("cost",), "there is no cost"),
        ({"energy": "linear", "epsilon": 0}, ("epsilon",), "greater than 0"),
        ({"energy": "linear", "epsilon": [0.1]}, ("epsilon",), "has 21 knobs, given are 1"),
        ({"energy": "hopfield", "epsilon": {"w1": 1}}, ("epsilon",), "w1, b1, w2, b2 are needed"),
        ({"energy": "linear", "options": {"frequences": 3}}, ("options", "frequences"), "Extra inputs"),
        ({"energy": "linear", "options": {"frequencies": -3}}, ("options", "frequencies"), "greater than or equal to 0"),
        ({"energy": "linear", "options": 3}, ("options",), "valid dictionary"),
        ({"energy": "spring", "options": {"edges": [[0, 1]]}}, ("options",), "not both inputs"),
        ({"energy": "spring", "options": {"edges": [[0, 9]]}}, ("options",), "two different nodes from 0 to 5"),
        ({"energy": "spring", "options": {"edges": [[0, 2], [2, 0]]}}, ("options",), "once only"),
        ({"energy": "spring", "options": {"lam": 0, "hidden": 1, "edges": [[0, 2]]}}, ("options",), "node 3 hangs on no input"),
        ({"energy": "spring", "options": {"stiffness": [1, 2]}}, ("options",), "one for each of the 14 springs"),
        ({"energy": "hopfield", "options": {"layers": [3, 2], "gains": [1, 1]}}, ("options",), "gains: 1 are needed"),
        ({"energy": "linear", "batch": 0}, ("batch",), "greater than or equal to 1"),
        ({"energy": "linear", "control_limits": [1, 1]}, ("control_limits",), "lower one first"),
        ({"energy": "linear", "nonsense": 1}, ("nonsense",), "Extra inputs"),
        ({}, ("energy",), "Field required"),
    ],
    ids=str,
)
def test_mistakes_name_their_place(tree: dict[str, Any], place: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python({"kind": "simulated", **tree})
    errors = {error["loc"][1:]: error["msg"] for error in caught.value.errors()}
    assert any(said in message for loc, message in errors.items() if loc[: len(place)] == place)


def test_a_kind_that_does_not_exist() -> None:
    with pytest.raises(ValidationError, match="'simulated', 'slow', 'hopfield'"):
        ADAPTER.validate_python({"kind": "simulatd", "energy": "linear"})


def test_bounds_are_unknown_for_what_only_user_code_can_say() -> None:
    for settings in (
        SimulatedSettings(energy="a.py:B"),
        SimulatedSettings(energy="linear", cost="a.py:B"),
        SimulatedSettings(energy="linear", coupling="a.py:B"),
    ):
        assert settings.has_user_code
        with pytest.raises(UnknownUntilPreparing):
            settings.beta_bounds(Path())
    for bad in ((0.5, None), (float("nan"), None), (-1, 0.5)):
        with pytest.raises(ValueError, match="bounds on beta"):
            BetaBounds(*bad)


def test_there_is_a_schema() -> None:
    schema = ADAPTER.json_schema()
    assert {"SimulatedSettings", "LinearOptions", "SpringOptions", "SlowSettings"} <= schema["$defs"].keys()
