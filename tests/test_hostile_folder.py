"""A physicist's own `drivers/` folder or `queue.py` beside a script never shadows the program's or Python's."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

COMMAND = Path(sysconfig.get_path("scripts")) / ("aeqlab.exe" if os.name == "nt" else "aeqlab")
NAMES = ("drivers", "protocols", "app", "backends", "tests")
#: Modules of Python that the processes of a served run import, and that a person may well call a script of theirs.
PYTHONS = ("queue", "json", "signal", "secrets", "random", "numbers", "types", "logging")


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


def test_a_served_run_works_beside_scripts_that_are_called_as_modules_of_python(hostile: Path) -> None:
    """The session, its guardian and the emulated hardware are processes of their own, which start in this folder."""
    for name in PYTHONS:
        (hostile / f"{name}.py").write_text(f"raise SystemExit('the hostile {name} was imported')\n", encoding="utf-8")
    short = ["--set", "train.samples=1", "--set", "data.samples=4", "--set", "settling.accept={ticks: 5}"]
    run = [str(COMMAND), "run", "linear-slow", *short, "--set", "homeostasis.accept={ticks: 5}", "--quiet"]
    done = subprocess.run(run, cwd=hostile, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    logs = [path.read_text(encoding="utf-8") for path in (hostile / "runs").glob("*/session/**/*log*.txt")]
    assert logs
    assert "hostile" not in done.stdout + done.stderr + "".join(logs)


def test_a_script_called_as_a_module_of_python_is_hostile(hostile: Path) -> None:
    """Guard the test itself: a process that looks into the folder imports the script."""
    (hostile / "json.py").write_text("raise SystemExit('the hostile json was imported')\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", "import json"], cwd=hostile, capture_output=True, text=True, timeout=60)
    assert "the hostile json was imported" in done.stderr
