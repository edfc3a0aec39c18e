"""What the base class refuses, for every device, before anything moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.backends.checks import checked_beta, checked_knobs, checked_vector, within_limits
from aeqlab.backends.device import Device, SafetyLine, SafetyReport, capabilities, knobs
from aeqlab.backends.device import Grade as G
from aeqlab.backends.errors import ArrayRefusedError, DeviceStateError, LimitError
from aeqlab.backends.kinds import SimulatedSettings, open_device
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.limits import limited

Array = NDArray[Any]
NOT_NUMBERS = [
    np.full((1, 1), np.nan), np.full((1, 1), np.inf), np.full((1, 1), 1j), np.array([["0.1"]]), np.array([[None]]),
    np.array([[True]]), [[0.1], [0.2, 0.3]], "0.1", None, object(),
]  # fmt: skip
WRONG_SHAPES = [np.zeros(()), np.zeros(1), np.zeros((1, 2)), np.zeros((2, 1)), np.zeros((0, 1)), np.zeros((1, 1, 1))]


@pytest.fixture
def device() -> Device:
    opened = open_device(
        SimulatedSettings(energy="linear", options={"frequencies": 1}, control_limits=(-2, 2)), seed=0, base=Path()
    )
    opened.present(np.array([[0.5]]))
    opened.nudge(np.array([[1.0]]), 0.1)
    opened.set_controls(np.array([0.1, 0.2, 0.3]))
    for _ in range(5):
        opened.advance()
    return opened


def refuses(device: Device, call: Callable[[], object], error: type[Exception]) -> str:
    """Check that a call raises and that the device goes on as one that was never asked."""
    state = device.state()  # type: ignore[attr-defined]
    with pytest.raises(error) as caught:
        call()
    refused = device.advance()
    device.restore(state)  # type: ignore[attr-defined]
    untouched = device.advance()
    np.testing.assert_array_equal(refused.parameters, untouched.parameters)  # type: ignore[arg-type]
    np.testing.assert_array_equal(refused.outputs, untouched.outputs)
    assert refused.t == untouched.t
    return str(caught.value)


@pytest.mark.parametrize("bad", [*NOT_NUMBERS, *WRONG_SHAPES], ids=lambda bad: "object" if type(bad) is object else repr(bad))
def test_bad_inputs_and_targets(device: Device, bad: Any) -> None:
    assert "inputs" in refuses(device, lambda: device.present(bad), ArrayRefusedError)
    assert "targets" in refuses(device, lambda: device.nudge(bad, 0.1), ArrayRefusedError)


@pytest.mark.parametrize(
    "bad",
    [np.zeros(2), np.zeros(4), np.zeros((1, 3)), np.array([0, 0, np.nan]), np.array([0, np.inf, 0]), np.zeros(3, complex),
     np.array(["a", "b", "c"]), [0.0, [1.0], 2.0], None],
    ids=repr,
)  # fmt: skip
def test_bad_controls(device: Device, bad: Any) -> None:
    assert "control knobs" in refuses(device, lambda: device.set_controls(bad), ArrayRefusedError)


def test_limits(device: Device) -> None:
    said = refuses(device, lambda: device.set_controls(np.array([0, 2.5, -9])), LimitError)
    assert said == "control knob u1: 2.5 1 is outside -2 to 2 1 (1 more outside). Choose a value within the limits."
    assert "input knob z" in refuses(device, lambda: device.present(np.array([[1.1]])), LimitError)
    for beta in (-1.0, -7.0, 1e7):
        assert "outside" in refuses(device, lambda beta=beta: device.nudge(np.array([[0.0]]), beta), LimitError)  # type: ignore[misc]
    for no_number in ("much", None, float("nan"), float("inf"), 1j):
        refuses(device, lambda b=no_number: device.nudge(np.array([[0.0]]), b), ArrayRefusedError)  # type: ignore[misc]
    edge = np.full(3, 2 + 1e-13)
    device.set_controls(edge)  # a ramp may end a rounding past its limit
    device.set_controls([0.0, 1, 2])  # type: ignore[arg-type]  # a list of numbers is an array


def test_what_was_handed_in_may_change_afterwards(device: Device) -> None:
    u, x, y = np.zeros(3), np.array([[0.2]]), np.array([[0.4]])
    device.set_controls(u)
    device.present(x)
    device.nudge(y, 0.0)
    state = device.state()  # type: ignore[attr-defined]
    one = device.advance()
    device.restore(state)  # type: ignore[attr-defined]
    for array in (u, x, y):
        array += 1
    other = device.advance()
    np.testing.assert_array_equal(one.parameters, other.parameters)  # type: ignore[arg-type]
    np.add(one.parameters, 1, out=one.parameters)  # type: ignore[arg-type]  # nor does a reading belong to the device
    one.outputs[:] = 7
    device.controls()[:] = 7
    np.testing.assert_array_equal(device.advance().parameters, device.state()["physics"]["theta"])  # type: ignore[attr-defined, arg-type]
    assert (device.controls() == 0).all()


def test_order_of_calls() -> None:
    device = open_device(SimulatedSettings(energy="linear"), seed=0, base=Path())
    with pytest.raises(DeviceStateError, match="advance before present"):
        device.advance()
    with pytest.raises(DeviceStateError, match="nudge before present"):
        device.nudge(np.zeros((1, 1)), 0.1)
    device.present(np.zeros((1, 1)))
    for seconds in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="above 0 s"):
            device.advance(seconds)


def test_nothing_after_close() -> None:
    with open_device(SimulatedSettings(energy="linear"), seed=0, base=Path()) as device:
        device.present(np.zeros((1, 1)))
    assert device.closed
    device.close()
    u = np.zeros(21)
    calls: list[Callable[[], object]] = [
        lambda: device.present(np.zeros((1, 1))), lambda: device.nudge(np.zeros((1, 1)), 0.1), device.release, device.advance,
        lambda: device.set_controls(u), device.controls, device.freeze, device.make_safe,
    ]  # fmt: skip
    calls += [getattr(device, name) for name in ("parameters", "true_parameters", "state")]
    calls += [lambda: device.hold_exactly(True), lambda: device.write_parameters(u), lambda: device.scale_coupling(1.0)]  # type: ignore[attr-defined]
    for call in calls:
        with pytest.raises(DeviceStateError, match="closed"):
            call()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "given", [np.arange(3), np.arange(3.0), np.arange(3, dtype=np.float32), np.arange(6.0)[::2] / 2, [0, 1, 2]]
)
def test_a_vector_that_passes_is_a_copy_in_the_float_type(given: Any, dtype: str) -> None:
    checked = checked_vector("v", given, 3, dtype)
    assert checked.dtype == dtype
    assert checked is not given
    np.testing.assert_array_equal(checked, [0, 1, 2])


def test_huge_but_finite_numbers_pass() -> None:
    np.testing.assert_array_equal(checked_vector("v", np.array([1e200, -1e308]), 2), [1e200, -1e308])


def test_limits_of_single_knobs() -> None:
    row = knobs(("a", "b"), "V", low=np.array([-np.inf, 0]), high=np.array([np.inf, np.inf]))
    assert not row.unlimited
    within_limits("knob", np.array([-1e9, 0.0]), row)
    with pytest.raises(LimitError, match="knob b: -1 V is outside 0 to inf V"):
        within_limits("knob", np.array([[0.0, 5.0], [0.0, -1.0]]), row)
    assert knobs(("a",)).unlimited
    assert checked_beta(np.float32(0.5), (-1, 1)) == 0.5


@pytest.mark.parametrize("high", [1.0, np.inf], ids=["bounded", "half open"])
def test_setpoints_are_checked_as_a_vector_and_against_limits(high: float) -> None:
    row = knobs(("a", "b"), low=-1.0, high=np.array([1.0, high]))
    assert row.bounded == np.isfinite(high)
    for setpoints in (np.array([-1.0, 1.0]), np.array([0, 1]), np.array([-1.0 - 1e-13, 1.0 + 1e-13])):
        checked = checked_knobs("u", "knob", setpoints, row)
        assert checked is not setpoints
        np.testing.assert_array_equal(checked, setpoints)
    assert checked_knobs("u", "knob", np.zeros(2), row, "float32").dtype == np.float32
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ArrayRefusedError, match=r"u: the value at \(1,\) is -?(nan|inf), not a finite number"):
            checked_knobs("u", "knob", np.array([2.0, bad]), row)
    for wrong in (np.zeros(3), np.zeros((2, 2))):
        with pytest.raises(ArrayRefusedError, match="shape"):
            checked_knobs("u", "knob", wrong, row)
    with pytest.raises(LimitError, match="knob a: 2 1 is outside -1 to 1 1"):
        checked_knobs("u", "knob", np.array([2.0, 0.0]), row)


def test_a_safety_report_is_safe_only_when_every_line_is_confirmed() -> None:
    def line(grade: G) -> SafetyLine:
        return SafetyLine("u", grade)

    assert not SafetyReport().safe
    assert SafetyReport((line(G.MEASURED), line(G.ECHOED))).safe
    assert not SafetyReport((line(G.MEASURED), line(G.SENT))).safe
    assert not SafetyReport((line(G.FAILED),)).safe


def test_capabilities_are_those_an_object_has() -> None:
    linear = open_device(SimulatedSettings(energy="linear"), seed=0, base=Path())
    has = {"HoldsParameters", "WritableParameters", "AdjustableCoupling", "KnowsEnergy", "KnowsTruth", "Checkpointable"}
    has |= {"Differentiable", "OutputClamp"}
    assert capabilities(linear) == has
    hopfield = open_device(SimulatedSettings(energy="hopfield"), seed=0, base=Path())
    assert capabilities(hopfield) == has | {"Layers"}
    assert capabilities(object()) == frozenset()


@pytest.mark.parametrize("kind", ["simulated", "slow", "limited", "hopfield"])
def test_a_freeze_drops_an_input_that_was_never_applied(kind: str) -> None:
    if kind == "hopfield":
        pytest.importorskip("torch")
        from aeqlab.backends.hopfield.settings import HopfieldSettings

        device: Device = HopfieldSettings(
            widths=(3, 4, 2), weight_couplings=(0.02, 0.01), bias_couplings=(0.01, 0.01), threads=1
        ).open(seed=1, base=Path())
    else:
        settings = (SlowSettings if kind == "slow" else SimulatedSettings)(energy="linear", options={"frequencies": 1})
        device = settings.open(seed=1, base=Path())
        device = limited(device) if kind == "limited" else device
    first, second = (np.full((1, len(device.info.inputs)), x, dtype=device.info.dtype) for x in (0.1, 0.9))
    device.present(first)
    device.freeze()
    with pytest.raises(DeviceStateError, match="before present"):
        device.advance()
    device.present(first)
    device.advance()
    device.present(second)
    device.freeze()
    assert device.presented
    device.advance()
