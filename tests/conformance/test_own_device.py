"""The device of one's own that the documents show: it is checked, accepted, trained on and left as declared."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from aeqlab.app.cli import main
from aeqlab.protocols import load_run
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import RunState


@pytest.fixture
def bench(tmp_path: Path, project_root: Path) -> Path:
    """Write the files of the example as a reader would; returns the experiment."""
    text = (project_root / "docs" / "devices.md").read_text(encoding="utf-8")
    for name, body in re.findall(r"```\w+\n# (bench\.(?:py|yaml))\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(body, encoding="utf-8")
    walls = "".join(f"{i / 10},{i / 10 + 0.5}\n" for i in range(8))
    (tmp_path / "walls.csv").write_text(f"wall,mass\n{walls}", encoding="utf-8")
    return tmp_path / "bench.yaml"


def code_of(*words: str) -> int:
    """Run one command in this process and get its exit code."""
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_it_is_checked_and_accepted(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("check", str(bench)) == 0
    shown = capsys.readouterr().out
    assert "bench.py:Bench (not run by this check)" in shown
    assert "nudge beta     limits known only when it runs; asked -0.05 to 0.05" in shown
    assert code_of("accept", str(bench)) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.splitlines()[-1].startswith("accepted: 14 pass")


def test_it_learns_and_is_left_as_declared(bench: Path) -> None:
    result = run_experiment(load_experiment(bench), runs=bench.parent / "runs")
    assert result.state is RunState.FINISHED, result.reason
    assert result.device.startswith("Device frozen: nudge off (read back), 1 control knobs read back")
    run = load_run(result.folder)
    assert run.steps["used"].all()
    cost = run.steps["cost_free"]
    assert cost[-8:].mean() < 0.7 * cost[:8].mean()  # mass = wall + 0.5, and theta is what stands for the 0.5
    assert 0.1 < float(run.theta[0]) < 0.5
    assert np.isclose(run.steps["beta_2"], 0.05).all()


def test_limits_of_it_are_known_when_it_is_opened(bench: Path) -> None:
    bench.write_text(f"{bench.read_text(encoding='utf-8')}limits: {{controls: [-9, 9]}}\n", encoding="utf-8")
    result = run_experiment(load_experiment(bench), runs=bench.parent / "runs")
    assert (result.state, result.exit_code) == (RunState.FAILED, 2)
    assert "-9 to 9 is not inside -5 to 5 V of u" in result.reason
