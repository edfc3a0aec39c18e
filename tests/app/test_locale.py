"""A locale that knows ASCII alone: paths with other letters are taken and written down all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = """
name: small
device: {kind: simulated, energy: linear, options: {frequencies: 3}}
data: {kind: legendre, degree: 4, samples: 4, test_samples: 2}
homeostasis: {controller: ideal}
sequence:
  - train: {method: centered, beta: 0.2}
then: freeze
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locale")
def test_a_path_beyond_ascii_in_a_locale_without_it(tmp_path: Path) -> None:
    folder = tmp_path / "mesur\u00e9"
    folder.mkdir()
    (folder / "e.yaml").write_text(TEXT, encoding="utf-8")
    plain = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "aeqlab.app.cli", "run", "-q", "--runs", str(folder / "runs"), str(folder / "e.yaml")]
    done = subprocess.run(command, capture_output=True, timeout=300, env={**os.environ, **plain})
    assert (done.returncode, b"Unexpected" in done.stderr) == (0, False), done.stderr
    (run,) = (folder / "runs").glob("*/provenance.json")
    assert run.read_text(encoding="utf-8")
