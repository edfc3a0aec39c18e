"""A device that a person stops while a run works with it: through the run, or at its session."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import SMALL, experiment
from session_helpers import client_of, served, simulated, slow

from aeqlab.backends.device import Clock
from aeqlab.protocols import load_run, restoring
from aeqlab.protocols import run as run_module
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.opening import continue_after_run
from aeqlab.protocols.progress import Progress, RunResult
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.status import SessionState, SessionStatus

Ask = Callable[[Progress, Requests], None]
Run = Callable[..., RunResult]
LONG = SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 100000")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Get what makes a run on a session that goes on after it; it ends only because someone asks."""

    def attached(server: SessionServer, ask: Ask, text: str = LONG) -> RunResult:
        requests = Requests()

        def opened(settings: Experiment, *, base: Path, folder: Path) -> Any:
            client = client_of(server, f"run {folder.name}")
            client.configure(homeostasis=settings.homeostasis, settling=settings.settling)
            try:
                continue_after_run(client)
            except BaseException:
                client.close()
                raise
            return client

        monkeypatch.setattr(run_module, "open_operator", opened)
        asked = experiment(tmp_path, text)
        return run_experiment(
            asked, runs=tmp_path / "runs", requests=requests, on_progress=lambda progress: ask(progress, requests)
        )

    return attached


def stop(progress: Progress, requests: Requests) -> None:
    """Stop once there was a step."""
    if progress.done:
        requests.ask_stop("stop by bob")


def status_of(server: SessionServer) -> SessionStatus:
    with client_of(server, "a look", control=False) as client:
        return client.status()


# through the run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "said"), [("freeze", "frozen, by ada"), ("safe", "safe, by ada")])
def test_what_a_person_asked_of_a_run_is_not_undone_by_the_next(run: Run, way: str, said: str) -> None:
    def ask(progress: Progress, requests: Requests) -> None:
        if progress.state is RunState.PAUSED:
            requests.ask_stop("stop by bob")
        elif progress.done and way == "freeze":
            requests.ask_freeze("freeze by ada", by="ada")
        elif progress.done and not requests.abort:
            requests.ask_abort("safe by ada", safe=True, by="ada")

    with served(simulated()) as server:
        result = run(server, ask)
        assert result.state is (RunState.STOPPED if way == "freeze" else RunState.ABORTED), result.reason
        assert status_of(server).by == "ada"
        refused = run(server, ask)
        assert refused.state is RunState.FAILED
        assert said in refused.reason
        assert f"{way} by ada" in refused.reason
        assert "`aeqlab continue" in refused.reason
        with client_of(server, "ada") as ada:  # as that command does
            ada.continue_()
        assert run(server, stop).state is RunState.STOPPED


@pytest.mark.parametrize("first", ["", "pause"])
def test_a_freeze_that_takes_its_time_is_no_end_of_the_run(run: Run, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """A rig reads every knob back: that takes longer than a run waits for an answer before it looks at what was asked."""
    told: list[str] = []

    def ask(progress: Progress, requests: Requests) -> None:
        told.append(str(progress.state))
        if "frozen" in told and progress.state is RunState.RUNNING and progress.done > frozen_at[0]:
            requests.ask_stop("stop by bob")
        elif progress.state is RunState.PAUSED and requests.freeze and status_of(server).state is SessionState.FROZEN:
            told.append("frozen")
            frozen_at.append(progress.done)
            requests.ask_continue("continue by bob")
        elif first and "paused" not in told and progress.done:
            requests.ask_pause("pause by ada")
        elif "frozen" not in told and progress.done:
            requests.ask_freeze("freeze by ada", by="ada")

    frozen_at: list[float] = []
    with served(slow(Clock.VIRTUAL)) as server:
        freeze, state = server.session.device.freeze, server.session.state
        monkeypatch.setattr(server.session.device, "freeze", lambda: (time.sleep(0.1), freeze())[1])
        monkeypatch.setattr(server.session, "state", lambda: (time.sleep(0.1), state())[1])
        result = run(server, ask)
        assert result.state is RunState.STOPPED, result.reason
        assert "frozen" in told


def test_how_a_run_leaves_the_device_by_itself_is_continued_by_the_next(run: Run) -> None:
    with served(simulated()) as server:
        for _ in range(2):
            result = run(server, stop)
            assert result.state is RunState.STOPPED, result.reason
            assert status_of(server).state is SessionState.FROZEN
            assert status_of(server).by.startswith("run ")


# at the session -----------------------------------------------------------------------------------------------------


def safe_by_ada(server: SessionServer) -> None:
    with client_of(server, "ada", control=False) as ada:
        ada.make_safe("smoke")


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.PAUSED])
def test_safe_at_the_session_aborts_the_run(run: Run, state: RunState) -> None:
    def ask(progress: Progress, requests: Requests) -> None:
        if progress.state is state and progress.done and not requests.abort:
            safe_by_ada(server)
        elif progress.done and state is RunState.PAUSED:
            requests.ask_pause("pause by bob")

    with served(simulated()) as server:
        result = run(server, ask)
        assert (result.state, result.exit_code) == (RunState.ABORTED, 4), result.reason
        assert result.reason.startswith("Aborted: ada (process ")
        assert "made the device safe at its session: smoke" in result.reason
        assert result.device.startswith("Device safe: ")
        assert status_of(server).state is SessionState.SAFE
        assert status_of(server).by.startswith("ada (")
        ended = load_run(result.folder)
        assert "safe" in ended.events["word"].tolist()
        whole = ended.steps["partial"] == 0
        np.testing.assert_array_equal(ended.theta, ended.steps["theta"][whole][-1])  # not where it went on the way to rest


def test_a_worker_that_hung_and_wakes_waits_for_whoever_froze_its_device(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hung outside of any sample, so the next thing it asks for is refused."""
    find = restoring.find_theta
    seen: list[str] = []

    def hang(*args: Any) -> Any:
        found = find(*args)
        with client_of(server, "ada", control=False) as ada:
            ada.freeze("it hangs")
        return found

    def ask(progress: Progress, requests: Requests) -> None:
        if progress.state is RunState.PAUSED:
            seen.append(progress.reason)
            requests.ask_continue("continue by ada")

    monkeypatch.setattr(restoring, "find_theta", hang)
    stages = "  - restore: {theta: random}\n  - hold: {seconds: 1}\n"
    text = SMALL[: SMALL.index("  - train")] + stages + SMALL[SMALL.index("then:") :]
    with served(simulated()) as server:
        result = run(server, ask, text)
        assert result.state is RunState.FINISHED, result.reason
    assert "froze the device at its session: it hangs. Go on: aeqlab continue " in seen[0]
    assert seen[0].endswith(result.folder.name)


def test_a_worker_that_was_late_does_not_undo_a_freeze_that_came_meanwhile(run: Run) -> None:
    asked: list[str] = []

    def ask(progress: Progress, requests: Requests) -> None:
        if progress.done and not asked:
            asked.append("freeze")
            server.freeze_soon("its client was silent", True)
            with client_of(server, "ada", control=False) as ada:
                ada.freeze("it hangs")
        elif asked:
            requests.ask_stop("stop by ada")

    with served(simulated()) as server:
        result = run(server, ask)
        assert result.state is RunState.STOPPED, result.reason
        assert status_of(server).state is SessionState.FROZEN
        assert status_of(server).by.startswith("ada (")
    assert "paused" in load_run(result.folder).events["word"].tolist()


@pytest.mark.parametrize("way", ["safe", "freeze"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_was_late_lifts_nothing_that_came_after_it_looked(
    run: Run, monkeypatch: pytest.MonkeyPatch, way: str, paused: bool
) -> None:
    """Between the look of the run and its `continue` a person stops the device: the run lifts what it saw, and that is gone."""
    lift = SessionClient.continue_
    meant: list[int | None] = []
    asked: list[str] = []

    def late(client: SessionClient, standing: int | None = None) -> None:
        if client.who.startswith("run ") and not meant:
            meant.append(standing)
            with client_of(server, "ada", control=False) as ada:
                ada.make_safe("smoke") if way == "safe" else ada.freeze("smoke")
        lift(client, standing)

    def ask(progress: Progress, requests: Requests) -> None:
        if meant and way == "freeze":
            requests.ask_stop("stop by bob")
        elif progress.done and paused and not asked:
            asked.append("pause")
            requests.ask_pause("pause by bob")
        elif progress.state is (RunState.PAUSED if paused else RunState.RUNNING) and progress.done and "late" not in asked:
            asked.append("late")
            server.freeze_soon("its client was silent", True)

    monkeypatch.setattr(SessionClient, "continue_", late)
    with served(slow(Clock.WALL)) as server:
        result = run(server, ask)
        assert meant[0] is not None
        status = status_of(server)
        assert result.state is (RunState.ABORTED if way == "safe" else RunState.STOPPED), result.reason
        assert status.state is (SessionState.SAFE if way == "safe" else SessionState.FROZEN)
        assert status.by.startswith("ada (")
    assert "continue" not in load_run(result.folder).events["word"].tolist()


def test_a_freeze_that_came_after_a_person_said_to_go_on_is_not_lifted_by_that(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lift = SessionClient.continue_
    smoke: list[str] = []

    def continue_(client: SessionClient, standing: int | None = None) -> None:
        if client.who.startswith("run ") and not smoke:
            with client_of(server, "ada", control=False) as ada:
                ada.freeze("smoke")
            smoke.append("")
        lift(client, standing)

    def ask(progress: Progress, requests: Requests) -> None:
        if progress.state is RunState.PAUSED and smoke:
            smoke.append(progress.reason)
            requests.ask_stop("stop by bob")
        elif progress.state is RunState.PAUSED:
            requests.ask_continue("continue by bob")
        elif progress.done:
            (requests.ask_stop if smoke else requests.ask_freeze)("by bob")

    monkeypatch.setattr(SessionClient, "continue_", continue_)
    with served(simulated()) as server:
        result = run(server, ask)
        assert result.state is RunState.STOPPED, result.reason
        assert status_of(server).by.startswith("ada (")
    assert smoke[1].startswith("ada (")
    assert "smoke. Go on: aeqlab continue " in smoke[1]
