"""A user's own energy: the small class they write, in numpy or in torch, made into an `Energy`.

The least it needs is three counts and one method. Samples come first (B of them), one energy per sample comes back:

    class TwoSprings:
        inputs, states, parameters = 1, 1, 2

        def energy(self, theta, x, s):            # theta (2,), x (B, 1), s (B, 1)  ->  (B,)
            left = s[:, 0] - theta[0]
            right = x[:, 0] - s[:, 0] - theta[1]
            return 0.5 * (left**2 + right**2)

It may also have, each optional:
    outputs = [0]                                 which states are the outputs; the last one if not said
    box = (0.0, 1.0)                              lowest and highest state, a number or one per state
    input_limits = (-1.0, 1.0)                    likewise for the input knobs
    beta_lowest = -1.0                            E + beta C is bounded below above this nudge
    torch = True                                  `energy` computes with torch tensors (float64); gradients by autograd
    state_gradient(theta, x, s) -> (B, N)         dE/ds of each sample
    parameter_gradient(theta, x, s) -> (K,)       dE/dtheta, mean over the samples
    first_parameters(rng) -> (K,)                 theta to wake up with; zeros if not said
    start(samples) -> (B, N)                      states to wake up with; zeros if not said
What they return must be finite; only an energy may be inf, as a wall is that the system never enters. An energy that is not a
number stops the run with its file and line, but for states and parameters beyond 1e12, where a step merely overshot.
Options of the file go to the constructor by keyword. Without gradients, numpy energies are differentiated by central
differences: right to about 1e-9, and 2 (N + K) evaluations of `energy` per tick.
"""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.couplings import Coupling
from aeqlab.backends.device import ParameterBlock, channels, knobs
from aeqlab.backends.energies import Energy
from aeqlab.backends.errors import DeviceConfigError, UserCodeError
from aeqlab.backends.settings import BetaBounds
from aeqlab.backends.user_code import blamed, construct, load, place_of_code, place_of_error, spoken

Array = NDArray[Any]
RUNAWAY = 1e12  # arguments beyond this are a step that overshot; what comes of them is refused, whatever it is
STEP = 6e-6  # cube root of the rounding of float64, best for central differences


def user_energy(spec: str, options: dict[str, Any], base: Path) -> UserEnergy:
    """Import a user's class, construct it with its options and wrap it.

    Raises:
        DeviceConfigError: the class lacks something or says something impossible.
        UserCodeError: their code raised; names file and line.
    """
    found = load(spec, base)
    spec = spoken(spec, base)
    if inspect.isclass(found):
        made = construct(f"energy {spec}", found, options)
    elif options:
        raise DeviceConfigError(f"energy {spec}: only a class takes options, this is a {type(found).__name__}")
    else:
        made = found
    return wrap_energy(spec, made)


def wrap_energy(spec: str, made: Any) -> UserEnergy:
    """Make an `Energy` of a user's object; with torch if it says so or is a torch module."""
    if getattr(made, "torch", False) is True or any(c.__module__.startswith("torch.nn") for c in type(made).__mro__):
        from aeqlab.backends.torch_energy import TorchEnergy

        return TorchEnergy(spec, made)
    return UserEnergy(spec, made)


class UserEnergy(Energy):
    """A user's energy in numpy; what it does not bring is found by central differences."""

    def __init__(self, spec: str, made: Any) -> None:
        self.name = spec
        self._made = made
        if not callable(getattr(made, "energy", None)):
            raise DeviceConfigError(f"energy {spec}: a method energy(theta, x, s) is needed")
        n_inputs, self.n_states, n_parameters = (self._count(name) for name in ("inputs", "states", "parameters"))
        self.output_index = self._output_index()
        low, high = self._limits("input_limits", n_inputs) or (-np.inf, np.inf)
        self.inputs = knobs(tuple(f"x{i}" for i in range(n_inputs)), low=low, high=high)
        self.outputs = channels(tuple(f"s{i}" for i in self.output_index))
        self.parameters = (ParameterBlock("theta", (n_parameters,), 0),)
        self.box = self._limits("box", self.n_states)
        self._lowest = float(getattr(made, "beta_lowest", -math.inf))
        if not self._lowest <= 0:
            raise DeviceConfigError(f"energy {spec}: beta_lowest must be at or below 0, not {self._lowest}")

    def energy(self, theta: Array, x: Array, s: Array) -> Array:
        """Call the user's `energy`."""
        return self._call("energy", (len(s),), theta, x, s)

    def state_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Call the user's `state_gradient`, or take central differences."""
        if hasattr(self._made, "state_gradient"):
            return self._call("state_gradient", s.shape, theta, x, s)
        gradient = np.empty_like(s)
        for i in range(self.n_states):
            h = STEP * np.maximum(1.0, np.abs(s[:, i]))
            up, down = s.copy(), s.copy()
            up[:, i] += h
            down[:, i] -= h
            gradient[:, i] = (self.energy(theta, x, up) - self.energy(theta, x, down)) / (up[:, i] - down[:, i])
        return self._finite("energy", gradient, (theta, x, s), "its slope in s is")

    def parameter_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Call the user's `parameter_gradient`, or take central differences."""
        if hasattr(self._made, "parameter_gradient"):
            return self._call("parameter_gradient", theta.shape, theta, x, s)
        gradient = np.empty_like(theta)
        for k in range(len(theta)):
            h = STEP * max(1.0, abs(float(theta[k])))
            up, down = theta.copy(), theta.copy()
            up[k] += h
            down[k] -= h
            rise = self.energy(up, x, s) - self.energy(down, x, s)
            gradient[k] = float(rise.mean()) / (up[k] - down[k])
        return self._finite("energy", gradient, (theta, x, s), "its slope in theta is")

    def first_parameters(self, rng: np.random.Generator) -> Array:
        """Call the user's `first_parameters`, or begin with zeros."""
        if hasattr(self._made, "first_parameters"):
            return self._call("first_parameters", (self.n_parameters,), rng)
        return super().first_parameters(rng)

    def start(self, samples: int) -> Array:
        """Call the user's `start`, or begin with zeros."""
        if hasattr(self._made, "start"):
            return self._call("start", (samples, self.n_states), samples)
        return super().start(samples)

    def beta_bounds(self, coupling: Coupling) -> BetaBounds:
        """Say what the user declared; with the parameters floating nothing is known."""
        return BetaBounds(self._lowest, None)

    def _call(self, method: str, shape: tuple[int, ...], *args: Any) -> Array:
        with blamed(f"energy {self.name}"):
            given: Array = np.array(getattr(self._made, method)(*args), dtype=np.float64)
        if given.shape != shape:
            raise UserCodeError(f"energy {self.name}: {method} must return shape {shape}, this one returned {given.shape}")
        return self._finite(method, given, args, "it returned", walls=method == "energy")

    def _finite(self, method: str, given: Array, args: tuple[Any, ...], said: str, *, walls: bool = False) -> Array:
        """Pass on what a method gave if it is finite; `walls` may be inf, and anything may come of arguments run away."""
        if math.isfinite(given.sum()):
            return given
        wrong = given[np.isnan(given) | (np.isneginf(given) if walls else np.isinf(given))]
        moderate = all(bool((np.abs(a) < RUNAWAY).all()) for a in args if isinstance(a, np.ndarray))
        if not len(wrong) or not moderate:
            return given
        place = self._place(method, args)
        raise UserCodeError(f"energy {self.name}: {place}{method}: {said} {wrong[0]:g}, not a finite number.{_shown(args)}")

    def _place(self, method: str, args: tuple[Any, ...]) -> str:
        """Find the line in which a number stops being finite, where numpy notices; else the line where the method begins."""
        function = getattr(self._made, method)
        try:
            with np.errstate(invalid="raise", divide="raise", over="raise"):
                function(*args)
        except FloatingPointError as exc:
            return place_of_error(exc)
        except Exception:  # what it raises here it did not raise before; that line says nothing
            pass
        return place_of_code(function)

    def _count(self, name: str) -> int:
        value = getattr(self._made, name, None)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise DeviceConfigError(f"energy {self.name}: an attribute {name} = how many, 1 or more, is needed, not {value!r}")
        return int(value)

    def _output_index(self) -> Array:
        wanted = getattr(self._made, "outputs", [self.n_states - 1])
        try:
            index = np.array(wanted, dtype=np.int64).reshape(-1)
        except (TypeError, ValueError) as exc:
            raise DeviceConfigError(f"energy {self.name}: outputs is a list of state numbers, not {wanted!r}") from exc
        inside = len(index) > 0 and index.min() >= 0 and index.max() < self.n_states
        if not inside or isinstance(wanted, int) or len(set(index.tolist())) != len(index):
            raise DeviceConfigError(
                f"energy {self.name}: outputs is a list of different state numbers from 0 to {self.n_states - 1}, not {wanted!r}"
            )
        return index

    def _limits(self, name: str, n: int) -> tuple[Array, Array] | None:
        given = getattr(self._made, name, None)
        if given is None:
            return None
        try:
            low, high = (np.array(np.broadcast_to(np.asarray(side, dtype=np.float64), (n,))) for side in given)
        except (TypeError, ValueError) as exc:
            raise DeviceConfigError(f"energy {self.name}: {name} is (lowest, highest), numbers or {n} of them each") from exc
        if not (low < high).all():
            raise DeviceConfigError(f"energy {self.name}: in {name} the lowest must lie below the highest")
        return low, high


def _shown(args: tuple[Any, ...]) -> str:
    """Say at which theta, x and s, as far as a line holds."""
    if len(args) != 3:
        return ""
    parts = (
        f"{name} = {np.array2string(np.ravel(a)[:4], precision=4)}" for name, a in zip(("theta", "x", "s"), args, strict=True)
    )
    return f" It was asked at {', '.join(parts)}."
