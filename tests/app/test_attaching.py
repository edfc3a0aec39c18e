"""`aeqlab session` as a person uses it: it says what it serves, and runs and notebooks attach to it or say why not."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aeqlab.app.benching import filled, rig_text
from aeqlab.app.cli import main
from aeqlab.app.exits import ExitCode
from aeqlab.backends.bench_link import start_bench
from aeqlab.protocols import open_rig
from aeqlab.protocols.bench_loading import load_bench
from aeqlab.protocols.client import attach, find_sessions, owner_of, start_session
from aeqlab.protocols.errors import NotAllowedError, SessionError
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.lease import slug, state_folder
from aeqlab.protocols.limits import SessionLimits
from aeqlab.protocols.load import load_run
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.status import SessionState

pytestmark = pytest.mark.usefixtures("own_state")
BENCH = """\
name: bench
seed: 3
device: {kind: slow, energy: linear, options: {frequencies: 3}}
data: {kind: legendre, samples: 4}
sequence:
  - train: {beta: 0.1}
"""


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[list[str], list[str]]]:
    """Run `aeqlab session` in another process until it says how to end it; yields what it prints and its log."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aeqlab.app.cli", "session", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[str] = []
    logged: list[str] = []
    stderr = process.stderr
    reader = threading.Thread(target=lambda: logged.extend(stderr), daemon=True)
    reader.start()
    try:
        while "Ctrl-C ends it" not in "".join(said):
            line = process.stdout.readline()
            assert line, f"it did not begin: {logged}"
            said.append(line)
        yield said, logged
    finally:
        process.terminate()
        code = process.wait(120)
        reader.join(60)
        process.stdout.close()
        stderr.close()
    assert code == 0


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Write an experiment on a slow device."""
    path = tmp_path / "bench.yaml"
    path.write_text(BENCH, encoding="utf-8")
    return path


def test_runs_and_notebooks_of_the_same_device_and_seed_attach(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(str(bench)) as (said, _):
        (session,) = find_sessions()
        assert f"Session bench serves {session.device}" in "".join(said)
        assert session.address in "".join(said)
        assert session.folder in "".join(said)
        with open_rig(bench) as rig:
            assert str(getattr(rig, "folder", "")) == session.folder
        with pytest.raises(SystemExit) as exit_:
            main(["run", str(bench), "--quiet", "--set", "train.samples=1"])
        assert exit_.value.code == 0
        assert f"Attaches to the session bench ({session.address})" in capsys.readouterr().err
        (folder,) = Path("runs").iterdir()
        assert not (folder / "session").exists()
        assert "attached" in list(load_run(folder).events["word"])
        assert [found.pid for found in find_sessions()] == [session.pid]
    assert not list(state_folder().glob(f"{slug(session.address)}.*"))


def test_another_device_or_seed_or_one_that_is_taken_says_why_not(bench: Path) -> None:
    with serving(str(bench)):
        (session,) = find_sessions()
        for change, why in (
            ("seed=4", "its seed is 3, here it is 4"),
            ("device.epsilon=0.05", "its device.epsilon is 0.1, here it is 0.05"),
            ("limits={beta: [-0.1, 0.1]}", "its limits are none of its own, here they are beta -0.1 to 0.1"),
        ):
            asked = load_experiment(bench, [change])
            wish = asked.experiment
            owner, passed = owner_of(wish.device, seed=wish.seed, base=asked.base, limits=wish.limits)
            assert owner is None
            assert why in passed[0]
            assert f"device.address={session.address}" in passed[0]
        asked = load_experiment(bench)
        device, seed = asked.experiment.device, asked.experiment.seed
        with attach(session, name="run first"):
            owner, passed = owner_of(device, seed=seed, base=asked.base)
            assert owner is None
            assert "run first" in passed[0]
        owner, passed = owner_of(device, seed=seed, base=asked.base)
        assert owner == session
        assert not passed


def test_a_session_has_the_limits_of_its_experiment_and_so_has_a_run_that_attaches(bench: Path) -> None:
    limits = "limits={controls: [-0.5, 0.5], beta: [-0.1, 0.1]}"
    with serving(str(bench), "--set", limits):
        (session,) = find_sessions()
        (bench.parent / "limited.yaml").write_text(f"{BENCH}limits: {{controls: [-0.5, 0.5], beta: [-0.1, 0.1]}}\n")
        with open_rig(bench.parent / "limited.yaml") as rig:
            assert str(getattr(rig, "folder", "")) == session.folder
            assert rig.info.beta == (-0.1, 0.1)
        text = BENCH.replace("kind: slow", f"kind: slow, address: '{session.address}'")
        bench.write_text(f"{text}limits: {{beta: [-0.2, 0.2]}}\n", encoding="utf-8")
        with pytest.raises(NotAllowedError, match=r"its limits are controls -0.5 to 0.5, beta -0.1 to 0.1, here they are beta"):
            open_rig(bench).__enter__()


def test_limits_that_only_the_open_device_refuses_are_a_sentence(tmp_path: Path) -> None:
    device = load_experiment("linear-slow").experiment.device
    with pytest.raises(SessionError, match=r"session limits: beta -2 to 2 is not inside -1 to 1"):
        start_session(SessionFile(device=device, limits=SessionLimits(beta=(-2, 2)), with_client=True), tmp_path / "session")


def test_a_rig_file_alone_is_served_by_its_name(tmp_path: Path) -> None:
    bench = start_bench(load_bench("bench-16").settings, tmp_path / "bench", tmp_path)
    try:
        text = rig_text("bench-16")
        assert text is not None
        (tmp_path / "lab.yaml").write_text(filled(text, bench.addresses, bench.address), encoding="utf-8")
        with serving(str(tmp_path / "lab.yaml")) as (said, _):
            (session,) = find_sessions()
            assert f"Session lab serves {session.device}" in "".join(said)
            with attach(session, name="a person") as client:
                assert client.controls_device
                assert len(client.info.controls) == 16
                assert client.status().state is not SessionState.HOLDING, "nothing moves before somebody asks for it"
    finally:
        bench.stop()
        bench.close()


def test_a_preset_is_served_with_changes_and_looks_print_nothing() -> None:
    with serving("linear-slow", "--set", "device.epsilon=0.05") as (_, logged):
        (session,) = find_sessions()
        with attach(session, name="a passer-by", control=False) as client:
            client.status()
        with attach(session, name="who controls") as client:
            client.status()
        until = time.monotonic() + 60.0
        while not any("who controls" in line and "left" in line for line in logged) and time.monotonic() < until:
            time.sleep(0.02)
        assert "key=" not in repr(session)
    assert not any("passer-by" in line for line in logged)
    assert any("who controls" in line and "left" in line for line in logged)


def test_a_state_folder_that_cannot_be_written_to_is_told_with_its_remedy(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "sessions").write_text("", encoding="utf-8")  # in the way of the session folder
    monkeypatch.setenv("AEQLAB_STATE", str(state))
    with pytest.raises(SystemExit) as exit_:
        main(["session", str(bench)])
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert str(state) in err
    assert "set AEQLAB_STATE" in err
    with pytest.raises(SessionError, match="set AEQLAB_STATE"), open_rig(bench):
        raise AssertionError("it opened")


def test_a_freeze_of_the_session_pauses_the_run_that_is_attached(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def code_of(*words: str) -> int:
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert isinstance(exit_.value.code, int)
        return int(exit_.value.code)

    def until_runs_say(word: str) -> None:
        until = time.monotonic() + 60.0
        while word not in capsys.readouterr().out:
            assert time.monotonic() < until, f"it is never {word}"
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)
            assert code_of("runs") == 0

    with serving(str(bench)):
        run = subprocess.Popen(
            [sys.executable, "-m", "aeqlab.app.cli", "run", str(bench), "--set", "train.epochs=100000"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        try:
            until_runs_say(" train")
            assert code_of("freeze", "bench") == 0
            until_runs_say("paused")
            (session,) = find_sessions()
            with attach(session, name="a look", control=False) as client:
                assert client.status().state is SessionState.FROZEN
            (folder,) = Path("runs").iterdir()
            assert code_of("continue", "bench") == ExitCode.FAILED
            assert f"aeqlab continue {folder.name}" in capsys.readouterr().err
            assert code_of("continue", folder.name) == 0
            until_runs_say("running")
            assert code_of("stop") == 0
            assert run.wait(120) == ExitCode.STOPPED
            run = subprocess.Popen(
                [sys.executable, "-m", "aeqlab.app.cli", "resume", folder.name],
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
            until_runs_say(" train")
            assert code_of("stop") == 0
            assert f", attached to the session bench ({session.address})" in run.communicate(timeout=120)[1]
        finally:
            run.kill()
            run.communicate()
