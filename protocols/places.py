"""Paths as a file names them: relative to the folder of that file, or below the user's home as ~/."""

from __future__ import annotations

from pathlib import Path


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
