"""What a person asks of a run while it is ending, or before it began: done or refused, never acknowledged and dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_helpers import SMALL, experiment

from aeqlab.backends.device import SafetyReport
from aeqlab.backends.kinds import open_device
from aeqlab.protocols import load_run
from aeqlab.protocols import run as run_module
from aeqlab.protocols.control import send
from aeqlab.protocols.errors import NotAllowedError, RecordError
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.reports import HoldReport
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import SessionState

Plant = Callable[[type["Ending"]], list["Ending"]]


class Ending(Session):
    """A session of a run whose folder is known, so that it can be asked for something at any moment."""

    folder = Path()
    asked: tuple[str, ...] = ()

    def ask(self, command: str) -> None:
        """Ask the run once, as a person at another terminal does."""
        if command not in self.asked:
            self.asked = (*self.asked, command)
            send(self.folder, command, who="ada")


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Let runs have a session of a class; get the sessions they had."""

    def planted(kind: type[Ending]) -> list[Ending]:
        made: list[Ending] = []

        def opened(settings: Experiment, *, base: Path, folder: Path) -> Any:
            device = open_device(settings.device, seed=settings.seed, base=base)
            made.append(kind(device, homeostasis=settings.homeostasis, settling=settings.settling, who=f"run {folder.name}"))
            made[0].folder = folder
            return made[0]

        monkeypatch.setattr(run_module, "open_operator", opened)
        return made

    return planted


def test_safe_is_done_that_was_asked_for_while_the_device_was_being_left(tmp_path: Path, plant: Plant) -> None:
    class AskedInFreeze(Ending):
        def freeze(self, reason: str, late: bool = False, by: str = "") -> None:
            super().freeze(reason, late, by)
            self.ask("safe")

    made = plant(AskedInFreeze)
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    assert result.state is RunState.FINISHED, result.reason
    assert result.device.startswith("Device safe: ")
    status = made[0].status()
    assert (status.state, status.by) == (SessionState.SAFE, "ada")
    assert status.reason.startswith("safe by ada; run ")
    run = load_run(result.folder)
    assert "Device safe" in str(run.events["text"][run.events["word"] == "end"][-1])


def test_a_freeze_is_done_that_was_asked_for_while_theta_was_held_to_stay_so(tmp_path: Path, plant: Plant) -> None:
    class AskedInHold(Ending):
        def hold(self, theta: Any = None) -> HoldReport:
            report = super().hold(theta)
            if self.point_interrupt is None:  # the run leaves its device
                self.ask("freeze")
            return report

    made = plant(AskedInHold)
    text = SMALL.replace("then: freeze", "then: hold")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert result.device.startswith("Device frozen: "), result.device
    assert (made[0].status().state, made[0].status().by) == (SessionState.FROZEN, "ada")


def test_safe_is_refused_from_the_moment_at_which_nothing_is_done_for_it_any_more(tmp_path: Path, plant: Plant) -> None:
    said: list[str] = []

    class AskedInClose(Ending):
        def close(self) -> None:
            with pytest.raises((NotAllowedError, RecordError)) as refused:
                self.ask("safe")
            said.append(str(refused.value))
            super().close()

    plant(AskedInClose)
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    assert "takes no commands now" in said[0]
    assert result.device.startswith("Device frozen: ")


@pytest.mark.parametrize("way", ["safe", "freeze"])
def test_what_was_asked_for_while_the_run_was_preparing_is_done(tmp_path: Path, plant: Plant, way: str) -> None:
    made = plant(Ending)
    requests = Requests()
    if way == "safe":
        requests.ask_abort("safe by ada", safe=True, by="ada")
    else:
        requests.ask_freeze("freeze by ada", by="ada")
    requests.ask_stop("stop by ada")
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs", requests=requests)
    assert result.state is (RunState.ABORTED if way == "safe" else RunState.STOPPED)
    assert made[0].status().state is (SessionState.SAFE if way == "safe" else SessionState.FROZEN)
    assert made[0].status().by == "ada"
    assert "moved" not in result.device


def test_the_report_of_a_make_safe_is_known_as_long_as_the_device_stands_for_it(tmp_path: Path) -> None:
    loaded = experiment(tmp_path)
    session = Session(open_device(loaded.experiment.device, seed=1, base=tmp_path))
    assert session.safety is None
    report: SafetyReport = session.make_safe("enough")
    session.freeze("once more")
    assert session.safety == report
    session.continue_()
    assert session.safety is None
