"""Paths as a file names them: relative to the folder of that file, or below the user's home as ~/; and the folder for data."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path


def resolve(base: Path, named: str) -> Path:
    """Find the path that a file names; it need not exist."""
    path = Path(named)
    try:
        path = path.expanduser()
    except RuntimeError:  # ~somebody whom this computer does not know: then it is a name like any other
        pass
    return base / path


def is_file(path: Path) -> bool:
    """Tell whether there is such a file; False too for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def data_root() -> Path:
    """Get the folder in which data sets are looked for: the one AEQLAB_DATA names, else `data` of the user's data folder."""
    named = os.environ.get("AEQLAB_DATA")
    return resolve(Path.cwd(), named) if named else user_data_path("aeqlab", appauthor=False) / "data"
