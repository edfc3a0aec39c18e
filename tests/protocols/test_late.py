"""A device that its session froze, because this process was late or someone asked: the run goes on, gives up, or stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_helpers import SMALL, experiment

from aeqlab.backends.kinds import open_device
from aeqlab.protocols import load_run
from aeqlab.protocols import run as run_module
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.pausing import LATE_IN_A_ROW
from aeqlab.protocols.reports import HoldReport, SettleReport
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.session import Session

Plant = Callable[[type[Session]], None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Let every run have a session of a class."""

    def planted(kind: type[Session]) -> None:
        def opened(settings: Experiment, *, base: Path, folder: Path) -> Any:
            device = open_device(settings.device, seed=settings.seed, base=base)
            return kind(device, homeostasis=settings.homeostasis, settling=settings.settling)

        monkeypatch.setattr(run_module, "open_operator", opened)

    return planted


class SometimesLate(Session):
    """Its client is late in every third nudged phase."""

    phases = 0

    def settle(self) -> SettleReport:
        self.phases += 1
        if self.phases % 3 == 0:
            self.freeze("its client was silent", late=True)
        return super().settle()


class AlwaysLate(Session):
    """Its client is late in every nudged phase, never in a hold."""

    def settle(self) -> SettleReport:
        self.freeze("its client was silent", late=True)
        return super().settle()


def test_a_sample_that_was_left_for_being_late_is_partial_and_the_run_goes_on(tmp_path: Path, plant: Plant) -> None:
    plant(SometimesLate)
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    assert result.state is RunState.FINISHED
    run = load_run(result.folder)
    assert run.steps["partial"].tolist() == [0, 0, 1] * 20
    assert sorted(run.steps["sample"].tolist()) == list(range(60))
    assert run.events["word"].tolist().count("late") == 20


def test_a_run_that_is_late_every_time_gives_up_in_a_sentence(tmp_path: Path, plant: Plant) -> None:
    plant(AlwaysLate)
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert f"{LATE_IN_A_ROW + 1} samples in a row could not be done" in result.reason
    assert load_run(result.folder).steps["partial"].tolist() == [1] * (LATE_IN_A_ROW + 1)
    assert "Device frozen" in result.device


@pytest.mark.parametrize("stage", ["evaluate: {}", "hold: {seconds: 1000}"])
def test_a_stop_while_frozen_ends_any_stage_as_stopped(tmp_path: Path, plant: Plant, stage: str) -> None:
    requests = Requests()

    class Stopped(Session):
        """Someone freezes in a hold, and stops while the device stands still."""

        def hold(self, theta: Any = None) -> HoldReport:
            if not requests.stop:
                requests.ask_freeze("freeze by ada")
            return super().hold(theta)

        def freeze(self, reason: str, late: bool = False, by: str = "") -> None:
            super().freeze(reason, late, by)
            requests.ask_stop("stop by ada")

    plant(Stopped)
    text = SMALL.replace("  - train: {method: centered, beta: 0.2}\n  - evaluate: {}", f"  - {stage}")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests)
    assert (result.state, result.exit_code) == (RunState.STOPPED, 3), result.reason
