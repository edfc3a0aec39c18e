"""Imports point downward only, heavy libraries stay in their layers, and nothing goes round the `aeqlab` namespace."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LAYERS = ("drivers", "backends", "protocols", "app")  # lowest first
#: Library -> where it may be imported at all, as beginnings of paths.
HOMES = {
    "PySide6": ("app/",),
    "pyqtgraph": ("app/",),
    "pyvisa": ("drivers/",),
    "torch": ("backends/hopfield/", "backends/torch_energy.py"),
}
#: Library -> where it may be imported when a module loads; elsewhere only inside a function.
AT_LOAD = {
    "torch": ("backends/hopfield/", "backends/torch_energy.py"),
    "matplotlib": (),
    "PySide6": ("app/window/",),
    "pyqtgraph": ("app/window/",),
}


def imports(source: str) -> Iterator[tuple[int, str, bool]]:
    """Get line, absolute dotted name and whether it happens when the module loads, for every import in a source text."""

    def walk(node: ast.AST, loading: bool) -> Iterator[tuple[int, str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((child.lineno, alias.name, loading) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = "." * child.level + (child.module or "")
                yield from (
                    (child.lineno, f"{base}.{alias.name}" if base == "aeqlab" else base, loading) for alias in child.names
                )
            in_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from walk(child, loading and not in_function and not typing_only)

    yield from walk(ast.parse(source), True)


def violations(path: str, source: str) -> list[str]:
    """Say every import of one file, `path` relative to the project root, that its layer does not allow."""
    layer = LAYERS.index(path.split("/")[0])
    found = []
    for line, name, loading in imports(source):
        top, *rest = name.split(".")
        where = f"{path}:{line}: imports {name}"
        if name.startswith("."):
            found.append(f"{where}: write it as aeqlab.x.y")
        elif top in LAYERS:
            found.append(f"{where}: goes round the aeqlab namespace")
        elif top == "aeqlab" and rest and LAYERS.index(rest[0]) > layer:
            found.append(f"{where}: upward")
        elif top in HOMES and not path.startswith(HOMES[top]):
            found.append(f"{where}: {top} belongs in {', '.join(HOMES[top])}")
        elif top in AT_LOAD and loading and not path.startswith(AT_LOAD[top] or ("nowhere",)):
            found.append(f"{where}: only inside the function that uses it")
    return found


def test_every_source_file_keeps_to_its_layer(project_root: Path) -> None:
    files = [f for layer in LAYERS for f in (project_root / layer).rglob("*.py")]
    assert len(files) > 20
    found = [v for f in files for v in violations(f.relative_to(project_root).as_posix(), f.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_tests_and_benchmarks_use_the_namespace(project_root: Path) -> None:
    found = [
        f"{f}:{line}: imports {name}"
        for folder in ("tests", "benchmarks")
        for f in (project_root / folder).rglob("*.py")
        for line, name, _ in imports(f.read_text(encoding="utf-8"))
        if name.split(".")[0] in LAYERS
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source", "word"),
    [
        ("backends/a.py", "from aeqlab.protocols.run import run", "upward"),
        ("backends/a.py", "def f():\n    from aeqlab import app", "upward"),
        ("backends/a.py", "import drivers.scpi", "round"),
        ("protocols/a.py", "from app import cli", "round"),
        ("protocols/a.py", "def f():\n    import PySide6.QtCore", "belongs"),
        ("protocols/a.py", "import pyvisa", "belongs"),
        ("protocols/a.py", "def f():\n    import torch", "belongs"),
        ("protocols/a.py", "import matplotlib.pyplot", "only inside"),
        ("app/a.py", "class A:\n    from matplotlib import pyplot", "only inside"),
        ("app/a.py", "from . import cli", "write it as"),
    ],
)
def test_a_planted_import_is_found(path: str, source: str, word: str) -> None:
    assert [word in v for v in violations(path, source)] == [True]


def test_what_is_allowed_is_not_reported() -> None:
    assert not violations("app/a.py", "from aeqlab.drivers.scpi import x\ndef f():\n    import matplotlib")
    assert not violations("protocols/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import matplotlib")


def test_import_linter_keeps_the_contract(project_root: Path) -> None:
    """The same rule along whole chains of imports, on the installed packages."""
    call = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(
        [*call, "--config", str(project_root / "pyproject.toml"), "--no-cache"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout
