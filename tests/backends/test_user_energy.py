"""A user's own energy in numpy or torch: as good as a built-in one, and blamed by file and line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.backends.costs import HalfSquaredError
from aeqlab.backends.energy_kinds import UserOptions, make_energy
from aeqlab.backends.errors import DeviceConfigError, UserCodeError
from aeqlab.backends.kinds import SimulatedSettings, UnknownUntilPreparing, open_device
from aeqlab.backends.user_code import blamed, is_user_code, load

Array = NDArray[Any]
PLAIN = """
class TwoSprings:
    inputs, states, parameters = 1, 1, 2

    def __init__(self, stiffness=1.0):
        self.k = stiffness

    def energy(self, theta, x, s):
        left = s[:, 0] - theta[0]
        right = x[:, 0] - s[:, 0] - theta[1]
        return 0.5 * self.k * (left**2 + right**2)
"""
WITH_GRADIENTS = (
    PLAIN
    + """
    def state_gradient(self, theta, x, s):
        return self.k * (2 * s - theta[0] - x + theta[1])

    def parameter_gradient(self, theta, x, s):
        left, right = s[:, 0] - theta[0], x[:, 0] - s[:, 0] - theta[1]
        return [-self.k * left.mean(), -self.k * right.mean()]
"""
)
TORCH = PLAIN.replace("states, parameters = 1, 1, 2", "states, parameters = 1, 1, 2\n    torch = True")
MODULE = """
import torch

class Net(torch.nn.Module):
    inputs, states, parameters, outputs, box = 2, 3, 6, [1, 2], (0.0, 1.0)

    def energy(self, theta, x, s):
        w = theta.reshape(2, 3)
        return 0.5 * (s**2).sum(dim=1) - torch.einsum("bi,ij,bj->b", x, w, torch.tanh(s))
"""
ADDED = """
class Whole(TwoSprings):
    outputs, box, input_limits, beta_lowest = [0], (-1.0, [2.0]), (-3.0, 3.0), -2.0

    def first_parameters(self, rng):
        return rng.normal(size=2)

    def start(self, samples):
        return [[0.5]] * samples
"""

HEAD = "class E:\n  inputs, states, parameters = 1, 1, 1\n"
TAIL = "\n  def energy(self): ...\n"


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("text", [PLAIN, WITH_GRADIENTS, TORCH], ids=["numpy", "numpy with gradients", "torch"])
def test_gradients_are_right(tmp_path: Path, text: str) -> None:
    energy = make_energy("mine.py:TwoSprings", UserOptions(stiffness=3.0), write(tmp_path, text))
    rng = np.random.default_rng(0)
    theta, x, s = rng.normal(size=2), rng.normal(size=(4, 1)), rng.normal(size=(4, 1))
    np.testing.assert_allclose(energy.state_gradient(theta, x, s), 3 * (2 * s - theta[0] - x + theta[1]), atol=1e-8)
    left, right = s[:, 0] - theta[0], x[:, 0] - s[:, 0] - theta[1]
    np.testing.assert_allclose(energy.parameter_gradient(theta, x, s), [-3 * left.mean(), -3 * right.mean()], atol=1e-8)
    rest = energy.equilibrium(HalfSquaredError(), theta, x, None, 0.0)
    np.testing.assert_allclose(rest, (theta[0] + x - theta[1]) / 2, atol=1e-6)
    gradient = energy.loss_gradient(HalfSquaredError(), theta, x, np.zeros((4, 1)))
    np.testing.assert_allclose(gradient, [rest.mean() / 2, -rest.mean() / 2], rtol=1e-4)


@pytest.mark.parametrize("text", [PLAIN, WITH_GRADIENTS, TORCH], ids=["numpy", "numpy with gradients", "torch"])
def test_a_device_of_it_learns(tmp_path: Path, text: str) -> None:
    settings = SimulatedSettings(energy="mine.py:TwoSprings", epsilon=[0.01, 0.02], options={"stiffness": 2.0})
    device = open_device(settings, seed=0, base=write(tmp_path, text))
    x, y = np.array([[0.4]]), np.array([[1.0]])
    device.present(x)
    device.hold_exactly(True)  # type: ignore[attr-defined]
    for _ in range(60):
        device.advance()
    device.hold_exactly(False)  # type: ignore[attr-defined]
    device.nudge(y, 0.01)
    for _ in range(300):
        readout = device.advance()
    s = 0.2
    np.testing.assert_allclose(readout.parameters, 0.01 * (y[0, 0] - s) / 2 * np.array([0.01, -0.02]), rtol=0.1)  # type: ignore[arg-type]


def test_a_torch_module_in_a_box(tmp_path: Path) -> None:
    device = open_device(SimulatedSettings(energy="mine.py:Net", batch=2), seed=0, base=write(tmp_path, MODULE))
    assert len(device.info.outputs) == 2
    device.present(np.ones((2, 2)))
    device.set_controls(np.array([9.0, -9, 9, 9, -9, 9]))
    for _ in range(50):
        readout = device.advance()
    np.testing.assert_allclose(readout.outputs, [[0, 1], [0, 1]])
    energy = make_energy("mine.py:Net", UserOptions(), tmp_path)
    numpy = np.array([0.3, 0.1, 0.2, -0.4, 0.2, 0.5])
    x, s = np.array([[0.5, 1.0]]), np.array([[0.2, 0.6, 0.9]])
    by_differences = super(type(energy), energy).parameter_gradient(numpy, x, s)  # type: ignore[safe-super]
    np.testing.assert_allclose(energy.parameter_gradient(numpy, x, s), by_differences, atol=1e-8)


def test_everything_it_may_also_say(tmp_path: Path) -> None:
    base = write(tmp_path, PLAIN + ADDED)
    device = open_device(SimulatedSettings(energy="mine.py:Whole"), seed=3, base=base)
    assert device.info.beta[0] == pytest.approx(-2)
    assert (device.info.inputs.low, device.info.inputs.high) == (-3, 3)
    assert device.parameters().any()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(device.state()["physics"]["s"], [[0.5]])  # type: ignore[attr-defined]


def test_only_opening_runs_it(tmp_path: Path) -> None:
    base = write(tmp_path, "raise SystemExit('ran')\n" + PLAIN)
    settings = SimulatedSettings(energy="mine.py:TwoSprings", options={"anything": [1, 2]})
    with pytest.raises(UnknownUntilPreparing):
        settings.dimensions(base)
    with pytest.raises(UnknownUntilPreparing):
        settings.beta_bounds(base)
    assert settings.has_user_code
    with pytest.raises(UserCodeError, match=r"mine\.py:1: SystemExit: ran"):
        settings.open(seed=0, base=base)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "  def energy(self, theta, x, s):\n    return x @ s\n", r"mine\.py:4: ValueError"),
        (HEAD + "  def energy(self, theta, x, s):\n    return 0.0\n", r"must return shape \(2,\)"),
        (
            HEAD + "  torch = True\n  def energy(self, theta, x, s):\n    return (x @ s).sum(1)\n",
            r"mine\.py:5: RuntimeError",
        ),
        (
            HEAD + "  torch = True\n  def energy(self, theta, x, s):\n    return 1.0\n",
            "must return a tensor",
        ),
        (
            HEAD + "  torch = True\n  def energy(self, theta, x, s):\n    return s\n",
            r"must return shape \(2,\), this one returned \(2, 1\)",
        ),
        (
            "import json\n" + HEAD + "  def energy(self, theta, x, s):\n    return json.loads('{')\n",
            r"mine\.py:5: JSONDecodeError",
        ),
        (
            "def broken(s):\n  return s.nope\n" + HEAD + "  def energy(self, theta, x, s):\n    return broken(s)\n",
            r"mine\.py:2: AttributeError",
        ),
    ],
)  # fmt: skip
def test_errors_while_it_runs_name_the_line(tmp_path: Path, text: str, said: str) -> None:
    device = open_device(SimulatedSettings(energy="mine.py:E", batch=2), seed=0, base=write(tmp_path, text))
    device.present(np.zeros((2, 1)))
    with pytest.raises(UserCodeError, match=said):
        device.advance()


@pytest.mark.parametrize(
    ("text", "options", "said", "error"),
    [
        (HEAD + "", {}, "a method energy", DeviceConfigError),
        ("class E:\n  inputs, parameters = 1, 1" + TAIL, {}, "an attribute states", DeviceConfigError),
        ("class E:\n  inputs, states, parameters = 1, 0, 1" + TAIL, {}, "1 or more", DeviceConfigError),
        ("class E:\n  inputs, states, parameters, outputs = 1, 2, 1, [2]" + TAIL, {}, "from 0 to 1", DeviceConfigError),
        ("class E:\n  inputs, states, parameters, outputs = 1, 2, 1, 1" + TAIL, {}, "outputs is a list", DeviceConfigError),
        ("class E:\n  inputs, states, parameters, box = 1, 2, 1, (1, 0)" + TAIL, {}, "lowest must lie", DeviceConfigError),
        ("class E:\n  inputs, states, parameters, box = 1, 2, 1, 5" + TAIL, {}, "box is", DeviceConfigError),
        ("class E:\n  inputs, states, parameters, beta_lowest = 1, 2, 1, 5" + TAIL, {}, "beta_lowest", DeviceConfigError),
        ("class E:\n  def __init__(self, a):\n    1 / 0\n", {"a": 1}, r"mine\.py:3: ZeroDivisionError", UserCodeError),
        ("class E\n", {}, r"mine\.py:1: SyntaxError", UserCodeError),
        ("import nothing_of_this_name\n", {}, r"mine\.py:1: ModuleNotFoundError", UserCodeError),
        ("import math\nclass F: pass\n", {}, r"has no E. It has: F\.", DeviceConfigError),
        ("class E:\n  def __init__(self, size, *, q=1): pass\n", {"sise": 2},
         r"energy mine\.py:E: .*mine\.py:2: there is no option 'sise'\. Its options are: size \(needed\), q\. Did you mean size",
         DeviceConfigError),
        ("class E:\n  def __init__(self, size): pass\n", {}, "the option 'size' is needed", DeviceConfigError),
        ("class E: pass\n", {"a": 1}, "mine.py:E: there is no option 'a'. It takes no options", DeviceConfigError),
        ("class E:\n  def __init__(self, **any): raise KeyError(*any)\n", {"a": 1}, r"mine\.py:2: KeyError: 'a'", UserCodeError),
        ("from dataclasses import dataclass\n@dataclass\nclass E:\n  size: int = 1\n", {"b": 1},
         "mine.py:E: there is no option 'b'. Its options are: size.", DeviceConfigError),
        ("E = 3\n", {"a": 1}, "only a class takes options", DeviceConfigError),
    ],
)  # fmt: skip
def test_errors_while_it_is_built(tmp_path: Path, text: str, options: dict[str, Any], said: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=said):
        SimulatedSettings(energy="mine.py:E", options=options).open(seed=0, base=write(tmp_path, text))


def test_epsilon_that_does_not_fit_it(tmp_path: Path) -> None:
    with pytest.raises(DeviceConfigError, match="has 2 knobs, given are 3"):
        SimulatedSettings(energy="mine.py:TwoSprings", epsilon=[1, 2, 3]).open(seed=0, base=write(tmp_path, PLAIN))


def test_a_class_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, PLAIN, "springs_for_a_test.py")
    write(tmp_path, "import springs_that_are_not_there\n", "broken_for_a_test.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = load("springs_for_a_test:TwoSprings", tmp_path)
    assert found.__module__ == "springs_for_a_test"
    with pytest.raises(DeviceConfigError, match=r"no module nothing_here .*Install it, or name a file"):
        load("nothing_here:X", tmp_path)
    with pytest.raises(UserCodeError, match=r"broken_for_a_test\.py:1: ModuleNotFoundError"):
        load("broken_for_a_test:X", tmp_path)
    with pytest.raises(DeviceConfigError, match="there is no file"):
        load("nothing.py:X", tmp_path)


def test_what_counts_as_user_code() -> None:
    for spec in ("a.py:B", "sub/a.py:B", "../a b.py:B", "C:/x/a.py:B", "m:B", "m.n:B"):
        assert is_user_code(spec), spec
    for spec in ("linear", "a.py", "a.py:", ":B", "a b:C", "m.n:2", "m:n.o", ""):
        assert not is_user_code(spec), spec
    with pytest.raises(DeviceConfigError, match=r"Write file\.py:Name"):
        load("linear", Path())


def test_what_passes_through_the_blame() -> None:
    class MyOwn(Exception): ...

    with pytest.raises(MyOwn), blamed("x", MyOwn):
        raise MyOwn
    with pytest.raises(DeviceConfigError), blamed("x"):
        raise DeviceConfigError
    with pytest.raises(KeyboardInterrupt), blamed("x"):
        raise KeyboardInterrupt


def test_a_numpy_energy_never_imports_torch(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    program = (
        "import sys, pathlib, numpy; from aeqlab.backends.kinds import SimulatedSettings, open_device\n"
        "for energy in ('linear', 'spring', 'hopfield', 'mine.py:TwoSprings'):\n"
        "    d = open_device(SimulatedSettings(energy=energy), seed=0, base=pathlib.Path(sys.argv[1]))\n"
        "    d.present(numpy.zeros((1, len(d.info.inputs)))); d.advance()\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
