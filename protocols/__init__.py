"""Protocols: what an experiment does, on any device.

In a notebook or a script: `from aeqlab.protocols import Experiment, load_experiment, load_run, open_rig, resume, run`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aeqlab.protocols.experiment import Experiment, load_experiment
    from aeqlab.protocols.load import load_run
    from aeqlab.protocols.rig import open_rig
    from aeqlab.protocols.running import resume, run

__all__ = ["Experiment", "load_experiment", "load_run", "open_rig", "resume", "run"]

#: Where each name is defined; it is imported only when asked for, so that any other module of this layer comes quickly.
_HOMES = {
    "Experiment": "experiment",
    "load_experiment": "experiment",
    "load_run": "load",
    "open_rig": "rig",
    "resume": "running",
}


def __getattr__(name: str) -> Any:
    if name == "run":  # the module of that name, which can be called: so it does not matter what was imported before
        return importlib.import_module("aeqlab.protocols.run")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"aeqlab.protocols.{_HOMES[name]}"), name)
