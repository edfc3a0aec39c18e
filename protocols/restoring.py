"""Where theta may come from: random, the best of this run, a file, a step of another run; for the stage `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo
from aeqlab.backends.streams import INITIAL_PARAMETERS
from aeqlab.protocols import checkpoint
from aeqlab.protocols.errors import CapabilityError, CheckpointError, DataError, UnknownRunError
from aeqlab.protocols.run_folder import find_run

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession
    from aeqlab.protocols.stages.restore import RestoreOptions

Array = NDArray[Any]
_REDRAWS = 1000


def find_theta(session: RunSession, options: RestoreOptions) -> tuple[Array, str]:
    """Find the values that `theta:` asks for.

    Returns:
        theta, shape (parameters,), and where it comes from, in words.
    Raises:
        DataError: a file or run is missing, or it is damaged, or holds something else.
        CheckpointError: this run, or that one, has no such theta.
    """
    word = options.theta
    if word == "random":
        return _random(session, options.spread), f"random, standard deviation {options.spread:g}"
    if word == "best":
        path = checkpoint.find_best(session.folder / "checkpoints")
        if path is None:
            raise CheckpointError("restore: there is no best theta yet. Put an `evaluate` before it, in which theta is held.")
        tree = checkpoint.read(path)
        by = f"{tree['name']} {tree['value']:.4g} of {tree['samples']} samples"
        return np.asarray(tree["theta"]), f"best: step {tree['step']}, {by}"
    if "@" in word and not (session.base / word).exists():
        folder, step = run_and_step(word, session.base, session.folder)
        return theta_of_run(folder, step), f"{folder.name}, step {step}"
    return _of_file(session.base / Path(word).expanduser(), session.info.n_parameters), word


def run_and_step(word: str, base: Path, present: Path) -> tuple[Path, int]:
    """Find the folder of the run and the step that `RUN@step` names.

    Args:
        word: RUN is a folder, or what `find_run` takes; `last` is the run before the present one.
        base: folder from which paths resolve.
        present: folder of the present run; others are looked for beside it.
    Raises:
        DataError: the word has another form, or there is no such run.
    """
    name, _, step = word.rpartition("@")
    if not step.isdecimal():
        raise DataError(f"restore: {word!r} is neither a file nor RUN@step, such as 20261123-062105-linear-k3f9@1000.")
    here = base / name
    try:
        return here if (here / "record.sqlite").exists() else find_run(name, present.parent, present), int(step)
    except UnknownRunError as exc:
        raise DataError(f"restore: {exc}") from exc


def theta_of_run(folder: Path, step: int) -> Array:
    """Get theta of a run after a step. Raises a CheckpointError where it was not kept."""
    from aeqlab.protocols.load import load_run

    return load_run(folder).theta_at(step)


def check_theta(info: DeviceInfo, theta: Array) -> None:
    """Check that a device can hold a theta.

    Args:
        info: of the device.
        theta: shape (parameters,), in the parameters' unit.
    Raises:
        CapabilityError: wrong size, or outside the limits of the parameters.
    """
    if theta.shape != (info.n_parameters,):
        raise CapabilityError(f"{info.name} has {info.n_parameters} parameters; theta of shape {theta.shape} is not for it.")
    for block in info.parameters:
        part = theta[block.slice]
        if part.size and not (block.low <= float(part.min()) and float(part.max()) <= block.high):
            raise CapabilityError(
                f"{block.name}: theta from {part.min():g} to {part.max():g} {block.unit} is outside what it can hold, "
                f"{block.low:g} to {block.high:g} {block.unit}."
            )


def _random(session: RunSession, spread: float) -> Array:
    """Draw normal numbers; one outside what the parameter can hold is drawn again."""
    rng = session.streams(INITIAL_PARAMETERS)
    theta = rng.normal(0.0, spread, session.info.n_parameters)
    for block in session.info.parameters:
        part = theta[block.slice]
        for _ in range(_REDRAWS):
            outside = (part < block.low) | (part > block.high)
            if not outside.any():
                break
            part[outside] = rng.normal(0.0, spread, int(outside.sum()))
        else:
            raise DataError(
                f"restore: {block.name} holds {block.low:g} to {block.high:g} {block.unit}, which random values around 0 with "
                f"spread {spread:g} miss. Choose another spread, or a file."
            )
    return theta


def _of_file(path: Path, n: int) -> Array:
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                names = list(arrays)
                key = "theta" if "theta" in names else names[0] if len(names) == 1 else ""
                if not key:
                    raise DataError(f"restore: {path} holds {', '.join(names) or 'nothing'}; an array named theta is needed.")
                values = arrays[key]
        elif path.suffix in (".csv", ".txt"):
            values = np.loadtxt(path, delimiter=",", ndmin=1)
        else:
            raise DataError(f"restore: {path} is none of random, best, RUN@step, or a file .npy, .npz, .csv.")
    except DataError:
        raise
    except (OSError, ValueError, EOFError, KeyError) as exc:
        raise DataError(f"restore: {path} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc
    theta = np.ravel(np.asarray(values))
    if theta.dtype.kind not in "fiu" or len(theta) != n or not np.isfinite(theta).all():
        raise DataError(f"restore: {path} holds {len(theta)} values of type {theta.dtype}; {n} finite real numbers are needed.")
    return theta.astype(np.float64)
