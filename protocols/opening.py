"""Opening the device of an experiment: in this process, or behind a session that owns it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aeqlab.backends.kinds import open_device
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import SessionState


def open_operator(experiment: Experiment, *, base: Path, folder: Path) -> Any:
    """Open the device of an experiment, with its settings of homeostasis and settling.

    Args:
        experiment: says which device; one that is `served` gets, or already has, a session process of its own.
        base: folder from which paths in the experiment resolve.
        folder: the run folder, by whose name the session knows this run.
    Returns:
        `Session` or `SessionClient`, ready to move: a device left frozen or safe by the run before is continued.
    Raises:
        BackendError: the device cannot be built, or user code raised.
        SessionError: its session refuses, or the state of the device is unknown; the message says what was last commanded.
    """
    if experiment.device.served:
        from aeqlab.protocols.client import open_session

        operator: Any = open_session(
            experiment.device,
            seed=experiment.seed,
            base=base,
            folder=folder,
            homeostasis=experiment.homeostasis,
            settling=experiment.settling,
            who=f"run {folder.name}",
            then=experiment.then,
        )
    else:
        device = open_device(experiment.device, seed=experiment.seed, base=base)
        operator = Session(device, homeostasis=experiment.homeostasis, settling=experiment.settling, who=f"run {folder.name}")
    status = operator.status()
    if status.state is SessionState.UNKNOWN:
        operator.close()
        raise NotAllowedError(status.reason)
    if status.state in (SessionState.FROZEN, SessionState.SAFE):
        operator.continue_()
    return operator
