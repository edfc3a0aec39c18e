"""Names of what can be set and read: what each means on a device, its limits, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aeqlab.backends.device import capabilities
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.kinds import DeviceSettings
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.errors import CapabilityError, FileErrors
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.limits import SessionLimits
from aeqlab.protocols.outline import Described, outlined
from aeqlab.protocols.quantities import Kind, settable, settings
from aeqlab.protocols.readings import readables

SLOW = SlowSettings(energy="linear", options={"frequencies": 3}, control_limits=(-2.0, 3.0), rest_V=0.5)
NETWORK = HopfieldSettings(widths=(4, 3, 2))
ALL: list[DeviceSettings] = [
    SLOW,
    NETWORK,
    SimulatedSettings(energy="linear", options={"frequencies": 2}),
    SimulatedSettings(energy="hopfield", options={"layers": [2, 3, 1]}, batch=None, control_limits=(-1.0, 1.0)),
    SimulatedSettings(energy="spring"),
    SimulatedSettings(energy="linear", cost="log cosh"),
]


def _slow() -> Described:
    made = outlined(SLOW, Path())
    assert made is not None
    return made


def _network() -> Described:
    made = outlined(NETWORK, Path())
    assert made is not None
    return made


@pytest.mark.parametrize("device", ALL, ids=lambda d: f"{d.kind} {getattr(d, 'energy', '')}")
def test_the_outline_says_what_the_open_device_does(device: DeviceSettings) -> None:
    outline = outlined(device, Path())
    assert outline is not None
    with device.open(seed=1, base=Path()) as opened:
        info = opened.info
        abilities = capabilities(opened)
    assert outline.abilities - {"Layers"} == abilities - {"Layers"}
    said = outline.info
    assert (said.name, said.beta, said.samples, said.cost, said.tick_s) == (
        info.name, info.beta, info.samples, info.cost, info.tick_s,
    )  # fmt: skip
    for row in ("inputs", "controls"):
        mine, own = getattr(said, row), getattr(info, row)
        assert list(mine.names) == list(own.names)
        assert mine.unit == own.unit
        for part in ("low", "high", "rest", "step", "slew_per_s"):
            room = 0.51 * float(own.step.max(initial=0.0)) if part == "rest" else 0.0  # a converter rests at a code
            np.testing.assert_allclose(getattr(mine, part), getattr(own, part), rtol=0, atol=room, err_msg=f"{row} {part}")
    assert (said.outputs.names, said.outputs.unit) == (info.outputs.names, info.outputs.unit)
    assert [(b.name, b.shape, b.start, b.unit, b.low, b.high) for b in said.parameters] == [
        (b.name, b.shape, b.start, b.unit, b.low, b.high) for b in info.parameters
    ]


def test_the_outline_has_the_limits_of_the_experiment() -> None:
    outline = outlined(SLOW, Path(), SessionLimits(controls=(-1, 1), beta=(0, 0.1), slew_per_s=2))
    assert outline is not None
    one = settable("u", outline)
    assert (one.low, one.high, one.slew_per_s) == (-1, 1, 2)
    assert settable("beta", outline).refusal(-0.05)


def test_what_only_the_users_code_can_say_is_left_to_the_run() -> None:
    assert outlined(SimulatedSettings(energy="mine.py:Energy"), Path()) is None


@pytest.mark.parametrize(
    ("name", "kind", "places"),
    [("u[3]", Kind.CONTROL, [3]), ("u3", Kind.CONTROL, [3]), (" u[0-2] ", Kind.CONTROL, [0, 1, 2]), ("u", Kind.CONTROL, range(7)),
     ("x[0]", Kind.INPUT, [0]), ("x0", Kind.INPUT, [0]), ("z", Kind.INPUT, [0]), ("theta[6]", Kind.THETA, [6]),
     ("theta", Kind.THETA, range(7)), ("beta", Kind.BETA, []), ("homeostasis.gain", Kind.SETTING, []),
     ("settling.window ", Kind.SETTING, []), ("\tbeta", Kind.BETA, [])],
)  # fmt: skip
def test_names_of_what_can_be_set(name: str, kind: Kind, places: list[int]) -> None:
    found = settable(name, _slow())
    assert found.kind is kind
    assert found.name == name.strip()
    assert found.where.tolist() == list(places)


@pytest.mark.parametrize(
    ("name", "kind", "places"),
    [("w1[2,1]", Kind.THETA, [7]), ("w1[7]", Kind.THETA, [7]), ("w1[2-4]", Kind.THETA, [2, 3, 4]), ("b2", Kind.THETA, [21, 22]),
     ("u_w2[0,1]", Kind.CONTROL, [16]), ("x[3]", Kind.INPUT, [3]), ("coupling", Kind.COUPLING, [])],
)  # fmt: skip
def test_names_of_blocks(name: str, kind: Kind, places: list[int]) -> None:
    found = settable(name, _network())
    assert found.kind is kind
    assert found.where.tolist() == places


@pytest.mark.parametrize(
    ("name", "said"),
    [("thta", "Did you mean 'theta'?"), ("homeostasis.gian", "Did you mean 'homeostasis.gain'?"), ("zz", "There are u[0] to"),
     ("u[7]", "has 7 control knobs, u[0] to u[6]"), ("u[3-1]", "has 7 control knobs"), ("u[a]", "a number, counted from 0"),
     ("x[1]", "has 1 input knobs, x[0]"), ("coupling", "cannot scale its coupling"), ("s[0]", "no quantity"), ("", "no quantity"),
     ("u[99999999999999]", "a number, counted from 0")],
)  # fmt: skip
def test_a_wrong_name_is_a_sentence(name: str, said: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        settable(name, _slow())
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["w1[9,9]", "w1[2,1,0]", "w1[12]", "w1[x,1]", "w1[]"])
def test_a_place_that_a_block_has_not_is_a_sentence(name: str) -> None:
    with pytest.raises(CapabilityError, match="w1"):
        settable(name, _network())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("u[1]", 3.1, "outside -2 to 3 V"), ("z", -1.5, "outside -1 to 1 V"), ("beta", 2.0, "outside"),
     ("theta[0]", 5.0, "outside -2 to 3 V"), ("homeostasis.gain", 11.0, "less than or equal to 10"),
     ("homeostasis.reads", 4.5, "integer"), (" homeostasis.reads ", 4.5, "integer"),
     ("settling.tolerance", 0.0, "greater than 0"), ("u[1]", float("nan"), "not a fin")],
)  # fmt: skip
def test_values_past_a_limit(name: str, value: float, said: str) -> None:
    assert said in settable(name, _slow()).refusal(value)


def test_values_within_the_limits() -> None:
    for name, value in (
        ("u", 3.0),
        ("z", -1.0),
        ("homeostasis.reads", 4.0),
        ("settling.tolerance", 0.5),
        ("homeostasis.ki", 0.1),
    ):
        assert settable(name, _slow()).refusal(value) == ""
    assert settable("coupling", _network()).refusal(0.0) != ""
    assert {"homeostasis.gain", "homeostasis.tolerance", "settling.timeout"} <= set(settings())
    assert not {"homeostasis.controller", "homeostasis.accept"} & set(settings())


def test_readings_are_told_place_by_place() -> None:
    found = readables(["s", "theta[0-1]", "u3", "cost", "t"], _slow())
    assert [(one.name, one.unit) for one in found] == [
        ("s[0]", "V"), ("theta[0]", "V"), ("theta[1]", "V"), ("u[3]", "V"), ("cost", "(V)^2"), ("t", "s")
    ]  # fmt: skip
    assert [one.name for one in readables(["w1[2,1]", "b1"], _network())] == ["w1[2,1]", "theta[12]", "theta[13]", "theta[14]"]


@pytest.mark.parametrize(
    ("names", "said"),
    [(["energy"], "does not know its energy"), (["cots"], "Did you mean 'cost'?"), (["s", "s[0]"], "s[0] is read twice"),
     (["x[0]"], "no quantity")],
)  # fmt: skip
def test_a_reading_that_a_device_has_not(names: list[str], said: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        readables(names, _slow())
    assert said in str(caught.value)


def test_too_many_numbers_at_a_point() -> None:
    large = outlined(HopfieldSettings(widths=(784, 64, 10)), Path())
    assert large is not None
    with pytest.raises(CapabilityError, match="too many"):
        readables(["theta"], large)


@pytest.mark.parametrize("line", ["set: {u[3]: 0.5}", "scan: {over: [{quantity: u3, values: [1]}], read: [s[0], theta]}"])
def test_brackets_without_quotes_are_told_apart_from_lists(tmp_path: Path, line: str) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(f"name: e\ndevice: {{kind: simulated, energy: linear}}\nsequence:\n  - {line}\n", encoding="utf-8")
    with pytest.raises(FileErrors, match=r'line 4.*Put a name with brackets in quotes: "u\[3\]"'):
        load_experiment(file)
