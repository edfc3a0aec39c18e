"""User code within a run: what it does wrong ends the run as failed, and the message names the user's own file, not the copy."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from run_helpers import experiment

from aeqlab.protocols import load_run
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import RunState

BAD = """
class Bad:
    inputs, states, parameters = 1, 1, 2

    def energy(self, theta, x, s):
        left = s[:, 0] - theta[0]
        right = x[:, 0] - s[:, 0] - theta[1]
        return 0.5 * (left * float("nan") + right**2)
"""
TEXT = """
name: bad
device: {{kind: {device}, energy: "bad.py:Bad"}}
data: {{kind: legendre, degree: 2, samples: 10, test_samples: 2}}
homeostasis: {{controller: {controller}, accept: {accept}}}
sequence:
  - train: {{method: centered, beta: 0.2}}
then: freeze
"""


@pytest.mark.parametrize(
    ("device", "controller", "accept"),
    [
        ("simulated", "integral", "{ticks: 1}"),
        ("simulated", "ideal", "settled"),
        ("simulated", "integral", "settled"),
        ("slow", "integral", "{ticks: 1}"),
    ],
)
def test_an_energy_that_is_not_a_number_fails_the_run(tmp_path: Path, device: str, controller: str, accept: str) -> None:
    (tmp_path / "bad.py").write_text(BAD, encoding="utf-8")
    text = TEXT.format(device=device, controller=controller, accept=accept)
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert result.state is RunState.FAILED
    assert f"energy bad.py:Bad: {tmp_path / 'bad.py'}:5: energy: it returned nan" in result.reason
    assert "inputs" not in result.reason


def test_a_file_changed_since_is_not_blamed_for_its_copy(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD, encoding="utf-8")
    text = TEXT.format(device="simulated", controller="integral", accept="settled")
    first = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    (tmp_path / "bad.py").write_text("# mended\n", encoding="utf-8")
    copied = (first.folder / "experiment.yaml").read_text(encoding="utf-8")
    again = run_experiment(experiment(first.folder, copied), runs=tmp_path / "again")
    assert f"{first.folder.resolve() / 'inputs' / 'bad.py'}:5: energy" in again.reason


def test_a_name_that_is_not_there_is_looked_for_in_the_users_own_file(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD.replace("class Bad", "class Bed"), encoding="utf-8")
    text = TEXT.format(device="simulated", controller="integral", accept="settled")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert (result.exit_code, result.reason) == (2, "bad.py:Bad: bad.py has no Bad. It has: Bed. Did you mean Bed?")


HANGS = """
import signal

class Hangs:
    inputs, states, parameters = 1, 1, 2
    calls = 0

    def energy(self, theta, x, s):
        Hangs.calls += 1
        while Hangs.calls > 40:  # never returns; a person presses Ctrl-C, again and again
            signal.raise_signal(signal.SIGINT)
        return 0.5 * ((s[:, 0] - theta[0]) ** 2 + (x[:, 0] - s[:, 0] - theta[1]) ** 2)
"""


def test_code_that_never_returns_is_left_at_the_end_of_the_run_too(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(HANGS.replace("Hangs", "Bad"), encoding="utf-8")
    text = TEXT.format(device="simulated", controller="ideal", accept="settled")
    before = signal.getsignal(signal.SIGINT)
    told: list[str] = []
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", say=told.append)
    assert (result.state, result.exit_code) == (RunState.ABORTED, 4)
    assert result.reason == (  # to freeze a device that holds theta asks its energy where the knobs are
        "Aborted by Ctrl-C, three times. State of the device unknown. freeze: broken off by Ctrl-C; safe: broken off by Ctrl-C"
    )
    assert ["Stopping" in told[0], "Aborting" in told[1], "Interrupting" in told[2], "Breaking off" in told[3]] == [True] * 4
    assert len(told) == 5
    run = load_run(result.folder)
    assert (run.state, run.reason, run.alive) == ("aborted", result.reason, False)
    assert signal.getsignal(signal.SIGINT) is before
