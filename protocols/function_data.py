"""Data set `function`: arrays that a Python function of the user's returns. It runs when the run is preparing, never before."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.named_files import Names
from aeqlab.backends.user_code import FunctionName, blamed, load, spoken
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.samples import Data, Samples

Array = NDArray[Any]
_KEYS = ("inputs", "targets", "test_inputs", "test_targets", "labels", "test_labels")


class FunctionSettings(BaseModel):
    """A function that returns arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["function"] = Field(default="function", description="arrays that a Python function returns")
    function: FunctionName = Field(
        description="file.py:function or module:function. It returns (inputs, targets), both (samples, n), or these and the same "
        "for the test, or a mapping with inputs, targets, test_inputs, test_targets, labels, test_labels."
    )
    options: Annotated[dict[str, Any], Names.FILES] = Field(
        default={}, description="Passed to it by name; seed is passed too if it takes one and none is given."
    )


def load_function(settings: FunctionSettings, base: Path, seed: int) -> Data:
    """Call the function and check what it returns.

    Raises:
        DataError: it is not there, or what it returned is not samples.
        UserCodeError: it raised; names its file and line.
    """
    spec = settings.function
    try:
        function = load(spec, base)
    except DeviceConfigError as exc:
        raise DataError(f"data: {exc}") from exc
    if not callable(function):
        raise DataError(f"data: {spec} is not a function. Name one that returns arrays.")
    spec = spoken(spec, base)
    options = dict(settings.options)
    if "seed" not in options and _takes_seed(function):
        options["seed"] = seed
    _check_options(spec, function, options)
    with blamed(f"data {spec}"):
        returned = function(**options)
    arrays = _arrays(spec, returned)
    train = _samples(spec, arrays, "")
    test = _samples(spec, arrays, "test_") if "test_inputs" in arrays else None
    if test is not None and (test.inputs.shape[1], test.targets.shape[1]) != (train.inputs.shape[1], train.targets.shape[1]):
        raise DataError(f"{spec}: test samples have other widths than training samples. Return both alike.")
    return Data(name=f"function {spec}", train=train, test=test)


def _check_options(spec: str, function: Any, options: dict[str, Any]) -> None:
    """Refuse options the function does not take, and miss those it cannot do without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return  # written in another language; it will say so itself
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names = [p.name for p in by_name]
    takes = f"{spec} takes {', '.join(names) or 'no options'}"
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in options:
            if name not in names:
                raise DataError(f"data.options: {takes}; there is no option {name}.{did_you_mean(name, names)}")
    for p in by_name:
        if p.default is p.empty and p.name not in options:
            raise DataError(f"data.options: {takes}; {p.name} is missing. Give it in options.")


def _takes_seed(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == "seed" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters)


def _arrays(spec: str, returned: Any) -> dict[str, Any]:
    """Name what came back."""
    if isinstance(returned, tuple) and len(returned) in (2, 4):
        return dict(zip(_KEYS, returned, strict=False))
    if not isinstance(returned, dict):
        raise DataError(f"{spec} returned {type(returned).__name__}. Return (inputs, targets), or a mapping with these keys.")
    for key in returned:
        if key not in _KEYS:
            near = did_you_mean(str(key), _KEYS)
            raise DataError(f"{spec} returned a mapping with the key {key!r}.{near} Known: {', '.join(_KEYS)}.")
    if ("test_inputs" in returned) != ("test_targets" in returned):
        raise DataError(f"{spec}: of test_inputs and test_targets only one was returned. Return both or none.")
    return dict(returned)


def _samples(spec: str, arrays: dict[str, Any], part: str) -> Samples:
    inputs, targets = (_matrix(spec, part + name, arrays.get(part + name)) for name in ("inputs", "targets"))
    if len(inputs) != len(targets):
        raise DataError(f"{spec}: {len(inputs)} {part}inputs for {len(targets)} {part}targets. Return as many of each.")
    labels = arrays.get(part + "labels")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(inputs),) or labels.dtype.kind not in "iu":
            raise DataError(f"{spec}: {part}labels must be {len(inputs)} integers, one per sample.")
    return Samples(inputs, targets, labels)


def _matrix(spec: str, name: str, value: Any) -> Array:
    if value is None:
        raise DataError(f"{spec}: {name} was not returned.")
    try:
        array = np.asarray(value)
    except Exception as exc:  # lists of unequal length, tensors on another device ...
        raise DataError(f"{spec}: {name} is not an array of numbers: {exc}") from exc
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or not array.size:
        raise DataError(f"{spec}: {name} has shape {array.shape} and type {array.dtype}; real numbers (samples, n) are needed.")
    array = array.reshape(len(array), -1)
    if not np.isfinite(array).all():
        raise DataError(f"{spec}: {name} holds values that are not finite.")
    return array if array.dtype.kind == "f" else array.astype(np.float64)
