"""The window under test: Qt must be there where CI is set; elsewhere a machine without it skips these tests and says why."""

from __future__ import annotations

import os

import pytest

try:
    import pyqtgraph  # noqa: F401
    from PySide6 import QtWidgets  # noqa: F401
except ImportError as exc:
    if os.environ.get("CI"):
        raise
    pytest.skip(f"Qt cannot be loaded here: {exc}", allow_module_level=True)
