"""A physicist's own `drivers/` or `protocols/` folder beside a script never shadows the program's."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

COMMAND = Path(sysconfig.get_path("scripts")) / ("aeqlab.exe" if os.name == "nt" else "aeqlab")
NAMES = ("drivers", "protocols", "app", "backends", "tests")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Make a folder with packages of our folders' names, each of which raises when it is imported."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the hostile {name} was imported')\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("how", [[str(COMMAND)], [sys.executable, "-m", "aeqlab.app.cli"]], ids=["aeqlab", "python -m"])
@pytest.mark.parametrize("arguments", [["--help"], ["schema"], ["check", "linear-regression"]], ids=" ".join)
def test_the_command_line_works_there(hostile: Path, how: list[str], arguments: list[str]) -> None:
    done = subprocess.run([*how, *arguments], cwd=hostile, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hostile" not in done.stdout + done.stderr


def test_the_hostile_folder_is_hostile(hostile: Path) -> None:
    """Guard the test itself: a bare import from there really raises."""
    done = subprocess.run([sys.executable, "-c", "import drivers"], cwd=hostile, capture_output=True, text=True, timeout=60)
    assert "the hostile drivers was imported" in done.stderr
