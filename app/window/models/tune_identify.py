"""The experiment by which the device of a session is identified: its own settings, and the one stage `identify`."""

from __future__ import annotations

import re
import time
from pathlib import Path

from aeqlab.backends.rig_settings import RigSettings
from aeqlab.protocols.client import FoundSession
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.session_file import SessionFile

NAME_LENGTH = 64


def write_identify(session: FoundSession, law: str, folder: Path) -> Path:
    """Write it into a folder; returns its path. What runs it attaches to the session, and leaves theta held.

    Args:
        session: whose device it is.
        law: of its loops now, which the run is to leave as they are; empty: as in the session file.
        folder: for the file.
    Raises:
        SessionError: the session file cannot be read.
        FileErrors: its device cannot be written as an experiment.
        OSError: the file cannot be written.
    """
    file = SessionFile.read(Path(session.folder))
    device = file.device
    if isinstance(device, RigSettings) and device.file is not None:
        device = RigSettings(file=str((file.base / device.file).resolve()))
    homeostasis = file.homeostasis.model_copy(update={"controller": law} if law else {})
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", session.device).strip("-.")
    made = Experiment(
        name=f"identify-{word}"[:NAME_LENGTH],
        seed=file.seed,
        device=device,
        homeostasis=homeostasis,
        settling=file.settling,
        sequence=["identify"],
        then="hold",
    )
    folder.mkdir(parents=True, exist_ok=True)
    return made.save(folder / f"identify-{time.strftime('%Y%m%d-%H%M%S')}.yaml")
