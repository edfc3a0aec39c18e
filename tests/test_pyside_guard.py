"""Qt: the release that aborts is kept out, and the one that is installed starts without a screen."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

START = "from PySide6.QtWidgets import QApplication; app = QApplication(['x']); print(app.platformName())"


def test_the_release_that_aborts_is_kept_out() -> None:
    """6.12.0 on Python 3.11 loses a reference to None per call and aborts after a few hundred plot frames."""
    wanted = [Requirement(text) for text in importlib.metadata.requires("aeqlab") or []]
    (qt,) = (r for r in wanted if r.name == "PySide6-Essentials")
    assert "6.12.0" not in qt.specifier
    assert "6.12.1" not in qt.specifier
    assert "6.8.0" in qt.specifier
    assert Version(importlib.metadata.version("PySide6-Essentials")) < Version("6.12")


def test_the_constraints_pin_what_the_metadata_allow(project_root: Path) -> None:
    lines = (project_root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {
        r.name.lower().replace("_", "-"): r for r in (Requirement(line) for line in lines if line and not line.startswith("#"))
    }
    assert str(pins["torch"].specifier) == "==2.13.0"
    for text in importlib.metadata.requires("aeqlab") or []:
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        if requirement.marker is None or requirement.marker.evaluate({"extra": "test"}):
            assert name in pins, f"{requirement.name} has no pin in constraints.txt"
            version = str(pins[name].specifier).removeprefix("==")
            assert version in requirement.specifier, f"constraints.txt: {name} {version} is outside {requirement.specifier}"


def test_qt_starts_without_a_screen() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START],
        capture_output=True, text=True, timeout=60, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    if "cannot open shared object file" in done.stderr and not os.environ.get("CI"):
        pytest.skip(f"a system library that Qt needs is missing: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "offscreen"
