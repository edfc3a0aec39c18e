"""What ended sessions leave in the state folder, and taking it away where it concerns nobody any more.

A session that ends cleanly takes its own files with it. One that was killed cannot: its lock, its name and its port stay until
someone starts a session again. What tells of a device in an unknown state is never taken away.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from aeqlab.protocols.lease import held_for_a_moment, state_folder
from aeqlab.protocols.lost import is_over

_KINDS = (".lock", ".holder", ".session", ".last")


def tidy() -> None:
    """Remove the files of every address that nobody owns and whose last session needs nobody to see to it."""
    folder = state_folder()
    for name in sorted({path.stem for kind in _KINDS for path in folder.glob(f"*{kind}")}):
        with contextlib.suppress(OSError):
            _tidy(folder, name)


def _tidy(folder: Path, name: str) -> None:
    with held_for_a_moment(folder / f"{name}.lock") as free:
        last = folder / f"{name}.last"
        if not free or (last.exists() and not is_over(last)):
            return
        for kind in (".session", ".holder", ".last"):  # what could need the others goes last
            (folder / f"{name}{kind}").unlink(missing_ok=True)
