"""What the wheel holds: exactly the files of the four folders, the entry point, the extras."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

FOLDERS = ("drivers", "backends", "protocols", "app")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> zipfile.ZipFile:
    """Build the wheel from a copy of what it is made of, so that nothing is written into the checkout."""
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(project_root / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(project_root / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def metadata(wheel: zipfile.ZipFile) -> Message:
    """Read the wheel's METADATA."""
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode("utf-8"))


def test_the_wheel_holds_the_folders_and_nothing_else(wheel: zipfile.ZipFile, project_root: Path) -> None:
    held = {n for n in wheel.namelist() if ".dist-info/" not in n}
    there = {
        f"aeqlab/{f.relative_to(project_root).as_posix()}"
        for folder in FOLDERS
        for f in (project_root / folder).rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    assert sorted(there - held) == [], "in the folders but not in the wheel: list the sub-package in pyproject.toml"
    assert sorted(held - there) == []


def test_each_layer_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"aeqlab/{folder}/py.typed" for folder in FOLDERS} <= set(wheel.namelist())
    assert "aeqlab/__init__.py" not in wheel.namelist()  # a namespace: nothing of ours stands at the top


def test_the_presets_travel_with_it(wheel: zipfile.ZipFile) -> None:
    presets = {Path(n).stem for n in wheel.namelist() if n.startswith("aeqlab/protocols/presets/") and n.endswith(".yaml")}
    assert {"linear-regression", "linear-slow", "mnist-dense", "fashion-dense"} <= presets


def test_the_entry_point_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    assert "aeqlab = aeqlab.app.cli:main" in wheel.read(name).decode("utf-8")
    assert metadata(wheel)["License-Expression"] == "MIT"
    assert any(n.endswith("licenses/LICENSE") for n in wheel.namelist())


def test_extras_and_what_a_plain_install_carries(wheel: zipfile.ZipFile) -> None:
    meta = metadata(wheel)
    assert set(meta.get_all("Provides-Extra", [])) == {"sim", "pymeasure", "lan", "usb", "cluster", "excel", "export", "test"}
    plain = [r for r in meta.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert not [r for r in plain if r.startswith("torch")], "a rig's computer need not carry torch"
