"""Protocols: what an experiment does, on any device. In a notebook: `from aeqlab.protocols import load_run, open_rig`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aeqlab.protocols.client import open_rig
    from aeqlab.protocols.load import load_run

__all__ = ["load_run", "open_rig"]


def __getattr__(name: str) -> Any:
    """Import the two only when asked for, so that importing any other module of this layer stays quick."""
    if name == "load_run":
        from aeqlab.protocols.load import load_run

        return load_run
    if name == "open_rig":
        from aeqlab.protocols.client import open_rig

        return open_rig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
