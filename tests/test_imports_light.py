"""What each command imports: `--help` nearly nothing, a headless run no Qt, a run of a built-in energy no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "PySide6", "pyqtgraph", "matplotlib", "numpy", "scipy", "pydantic", "rich", "ruamel", "pyvisa", "asyncio"}
PROBE = """
import sys
from aeqlab.app.cli import main
try:
    main({arguments!r})
except SystemExit as exc:
    code = exc.code or 0
print("exit", code, file=sys.stderr)
print("imported", *sorted({{name.split(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def imported_by(arguments: list[str], folder: Path) -> set[str]:
    """Run one command in a fresh interpreter and get the top names of all modules it imported."""
    code = PROBE.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    *_, ending, names = done.stderr.strip().splitlines()
    assert ending == "exit 0", done.stdout + done.stderr
    return set(names.split()[1:])


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_help_imports_nearly_nothing(arguments: list[str], tmp_path: Path) -> None:
    names = imported_by(arguments, tmp_path)
    assert "click" in names
    assert not names & HEAVY


def test_a_check_of_a_built_in_energy_imports_neither_torch_nor_qt(tmp_path: Path) -> None:
    assert not imported_by(["check", "linear-regression"], tmp_path) & {"torch", "PySide6", "pyqtgraph", "matplotlib", "pyvisa"}


def test_a_headless_run_of_a_built_in_energy_imports_neither_torch_nor_qt(tmp_path: Path) -> None:
    names = imported_by(["run", "linear-regression", "--quiet", "--set", "data.samples=4"], tmp_path)
    assert "numpy" in names
    assert not names & {"torch", "PySide6", "pyqtgraph", "matplotlib", "pyvisa"}
    assert list((tmp_path / "runs").iterdir()), "the run left its folder"
