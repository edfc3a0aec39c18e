"""Opening the device of an experiment: in this process, or behind a session that owns it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aeqlab.backends.kinds import open_device
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.limits import limited
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import RUN, SESSION, SessionState


def open_operator(experiment: Experiment, *, base: Path, folder: Path) -> Any:
    """Open the device of an experiment, with its settings of homeostasis and settling.

    Args:
        experiment: says which device; one that is `served` gets, or already has, a session process of its own.
        base: folder from which paths in the experiment resolve.
        folder: the run folder, by whose name the session knows this run.
    Returns:
        `Session` or `SessionClient`, ready to move: a device that a run left frozen or safe is continued.
    Raises:
        BackendError: the device cannot be built, or user code raised.
        NotAllowedError: the state of the device is unknown, or a person, or the session itself, froze it or made it safe.
        SessionError: its session refuses.
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
            limits=experiment.limits,
            notify=experiment.notify,
            who=f"{RUN}{folder.name}",
            then=experiment.then,
        )
    else:
        device = open_device(experiment.device, seed=experiment.seed, base=base)
        if experiment.limits is not None:
            device = limited(device, experiment.limits)
        operator = Session(device, homeostasis=experiment.homeostasis, settling=experiment.settling, who=f"{RUN}{folder.name}")
    try:
        continue_after_run(operator)
    except BaseException:
        operator.close()
        raise
    return operator


def continue_after_run(operator: Any) -> None:
    """Continue a device that the run before left frozen or safe, and no other.

    Raises:
        NotAllowedError: it stands still for another reason, which the message says; or its state is unknown.
    """
    status = operator.status()
    if status.state is SessionState.UNKNOWN:
        raise NotAllowedError(status.reason)
    if status.state not in (SessionState.FROZEN, SessionState.SAFE):
        return
    if status.by.startswith(RUN) or status.reason.startswith(f"its client {RUN}"):
        operator.continue_(status.standing)
        return
    by = "its session" if status.by == SESSION else status.by
    raise NotAllowedError(
        f"{status.device} is {status.state}, by {by}: {status.reason}. A run does not undo that. Look at the device, then "
        f"`aeqlab continue '{status.device}'` and run again."
    )
