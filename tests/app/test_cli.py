"""The command line as a person uses it: real processes, real runs, every ending with its exit code and no traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aeqlab.app import checking
from aeqlab.app.cli import cli, main
from aeqlab.app.exits import ExitCode

AEQLAB = [sys.executable, "-m", "aeqlab.app.cli"]
SHORT = ["--set", "data.samples=20", "--set", "data.test_samples=4"]
Here = Callable[..., subprocess.CompletedProcess[str]]
LONG = ["--set", "data.samples=100000"]
#: From the file of a control socket on, a run hears commands and signals.
PATIENCE_S = 120.0


def aeqlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; whatever happens, no traceback and no colours in what it prints."""
    done = subprocess.run([*AEQLAB, *arguments], capture_output=True, text=True, timeout=300, encoding="utf-8")
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Get a function that runs one command in this process: the same, without the second that a fresh one takes."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert isinstance(exit_.value.code, int)
        return subprocess.CompletedProcess(arguments, int(exit_.value.code), out, err)

    return call


def start(*arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a run and wait until it trains; returns its process and its folder."""
    process = subprocess.Popen(
        [*AEQLAB, "run", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        for folder in Path("runs").glob("*/control.json"):
            if " train" in aeqlab("runs").stdout:
                return process, folder.parent
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"the run did not begin: {process.communicate()}")


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a run to end by itself and get what it printed."""
    try:
        return process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()


def test_help_lists_every_command_and_the_version_is_said() -> None:
    shown = aeqlab("--help")
    assert shown.returncode == 0
    assert all(f"  {name} " in shown.stdout for name in cli.commands)
    assert aeqlab("--version").stdout.startswith("aeqlab 0.")


@pytest.mark.parametrize("arguments", [["runn"], ["run"], ["run", "x.yaml", "--nonsense"], ["pause", "a", "b"]], ids=" ".join)
def test_a_wrong_command_line_is_bad_input(arguments: list[str], here: Here) -> None:
    done = here(*arguments)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "Usage" in done.stderr


@pytest.mark.parametrize("command", ["check", "run", "accept"])
def test_all_mistakes_of_a_file_come_at_once_with_their_lines(command: str, here: Here) -> None:
    Path("bad.yaml").write_text(
        "name: x\nseed: one\ndevice: {kind: simulated, energy: liner}\nsequence:\n  - train: {beta: 0.1, method: centred}\n",
        encoding="utf-8",
    )
    done = here(command, "bad.yaml")
    assert done.returncode == ExitCode.BAD_INPUT
    assert [line.split(",")[1] for line in done.stderr.splitlines()] == [" line 2", " line 3", " line 5"]
    assert "linear" in done.stderr
    assert "centered" in done.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize("command", ["check", "run", "session"])
def test_a_missing_file_is_bad_input(command: str, here: Here) -> None:
    done = here(command, "nothing.yaml")
    assert done.returncode == ExitCode.BAD_INPUT
    assert "nothing.yaml" in done.stderr


def test_check_says_ranges_time_and_disk_and_leaves_nothing_behind(tmp_path: Path, here: Here) -> None:
    done = here("check", "linear-regression")
    assert done.returncode == 0
    assert done.stdout.startswith("linear-regression can run")
    for word in ("control knobs", "nudge beta", "time", "disk"):
        assert f"\n  {word}" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_run_says_where_its_record_is_and_what_it_found() -> None:
    done = aeqlab("run", "linear-regression", *SHORT)
    assert done.returncode == 0, done.stderr
    (folder,) = Path("runs").iterdir()
    assert done.stdout.startswith("finished")
    assert str(folder) in done.stdout
    assert "training steps" in done.stdout
    assert "cost on the test set" in done.stdout

    listed = aeqlab("runs")
    assert folder.name in listed.stdout
    assert "finished" in listed.stdout

    shown = aeqlab("show")
    for word in ("stages", "training", "hold error at the clamp", "evaluations", "events", "seed"):
        assert word in shown.stdout
    assert shown.stdout == aeqlab("show", folder.name[-4:]).stdout

    again = aeqlab("resume", folder.name)
    assert again.returncode == ExitCode.FAILED
    assert "finished" in again.stderr

    from_copy = aeqlab("run", str(folder / "experiment.yaml"), "--quiet")
    assert from_copy.returncode == 0, from_copy.stderr
    assert from_copy.stderr == ""
    assert from_copy.stdout.startswith("finished runs")


def test_a_safety_report_is_shown_line_by_line(here: Here) -> None:
    assert here("run", "linear-regression", *SHORT, "--set", "then=safe", "-q").returncode == 0
    lines = here("show").stdout.splitlines()
    (first,) = (i for i, line in enumerate(lines) if "end: Device safe" in line)
    assert lines[first].endswith("2 echoed.")
    assert [line.split(":")[0].strip() for line in lines[first + 1 : first + 3]] == ["nudge", "21 control knobs"]


def test_the_runs_folder_is_the_one_asked_for(here: Here) -> None:
    assert here("run", "linear-regression", *SHORT, "-q", "--runs", "elsewhere").returncode == 0
    assert len(list(Path("elsewhere").iterdir())) == 1
    assert "No runs in runs" in here("runs").stderr
    assert len(here("runs", "--runs", "elsewhere").stdout.splitlines()) == 2


def test_stop_from_another_process_then_resume_to_the_end() -> None:
    process, folder = start("linear-regression", *LONG)
    assert "Pauses" in aeqlab("pause").stdout
    assert "Goes on" in aeqlab("continue", folder.name).stdout
    assert "Stops" in aeqlab("stop").stdout
    out, err = end(process)
    assert process.returncode == ExitCode.STOPPED
    assert "stopped" in err
    assert str(folder) in out
    assert f"aeqlab resume {folder.name}" in out
    assert "stopped" in aeqlab("runs").stdout
    assert aeqlab("stop").returncode == ExitCode.FAILED

    # the rest of 100,000 samples would take minutes: resume, see it train, abort
    resumed = subprocess.Popen([*AEQLAB, "resume", folder.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE_S
    while " train" not in aeqlab("runs").stdout:
        assert time.monotonic() < until, "it does not go on"
        time.sleep(0.02)
    assert "Aborts" in aeqlab("abort").stdout
    _, err = end(resumed)
    assert resumed.returncode == ExitCode.ABORTED
    assert re.search(r"^running: goes on from step [\d,]+, stage 0 \(train\)$", err, re.MULTILINE), err
    assert "attempts  " in aeqlab("show").stdout


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C cannot be sent to one process on Windows")
def test_ctrl_c_stops_and_says_what_the_next_one_does() -> None:
    process, _ = start("linear-regression", *LONG)
    process.send_signal(signal.SIGINT)
    _, err = end(process)
    assert process.returncode == ExitCode.STOPPED
    assert "Press Ctrl-C again to abort" in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C cannot be sent to one process on Windows")
def test_no_number_of_ctrl_c_changes_how_the_program_ends() -> None:
    process, folder = start("linear-regression", *LONG)
    while process.poll() is None:  # before, at and after the end of the run, until the process is gone
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.002)
    out, err = process.communicate()
    assert process.returncode in (ExitCode.STOPPED, ExitCode.ABORTED), err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert f"More:  aeqlab show {folder.name}" in out


def test_a_run_that_is_stopped_before_it_began_cannot_be_resumed_and_is_not_told_to_be(here: Here) -> None:
    Path("mine.py").write_text(
        "import signal\ndef data():\n    signal.raise_signal(signal.SIGINT)\n    return [[0.0]] * 4, [[1.0]] * 4\n",
        encoding="utf-8",
    )
    Path("mine.yaml").write_text(
        "name: mine\ndevice: {kind: simulated, energy: linear, options: {frequencies: 1}}\n"
        "data: {kind: function, function: 'mine.py:data'}\nsequence:\n  - train: {beta: 0.1}\n",
        encoding="utf-8",
    )
    done = here("run", "mine.yaml")
    assert done.returncode == ExitCode.STOPPED
    assert "stopped before it began: Ctrl-C." in done.stderr
    assert "resume" not in done.stdout
    assert "stopped before it began" in here("show").stdout


def test_a_divergence_has_its_own_exit_code_and_its_warning_comes_once(here: Here) -> None:
    wild = ["--set", "device.epsilon=0.5", "--set", "train.beta=0.9", "--set", "train.method=pessimistic"]
    done = here("run", "linear-regression", *wild)
    assert done.returncode == ExitCode.DIVERGED
    assert "diverged" in done.stderr
    assert done.stderr.count("warning:") == 1


def test_user_code_that_raises_is_named_with_its_line(here: Here) -> None:
    Path("mine.py").write_text(
        "class Mine:\n    def __init__(self):\n        raise RuntimeError('the cable is out')\n", encoding="utf-8"
    )
    Path("mine.yaml").write_text(
        "name: mine\ndevice: {kind: simulated, energy: 'mine.py:Mine'}\ndata: {kind: legendre, samples: 4}\n"
        "sequence:\n  - train: {beta: 0.1}\n",
        encoding="utf-8",
    )
    assert here("check", "mine.yaml").returncode == 0  # a check runs no code of theirs
    done = here("run", "mine.yaml")
    assert done.returncode == ExitCode.BAD_INPUT
    assert "mine.py:3: RuntimeError: the cable is out" in done.stderr


def test_accept_prints_verdicts_and_fails_for_a_wrong_device(here: Here) -> None:
    good = here("accept", "linear-regression")
    assert good.returncode == 0
    assert good.stdout.splitlines()[-1].startswith("accepted")
    Path("wrong.py").write_text(
        "class Wrong:\n    inputs, states, parameters = 1, 1, 1\n"
        "    def energy(self, theta, x, s):\n        return 0.5 * (s[:, 0] - theta[0] - x[:, 0]) ** 2\n"
        "    def state_gradient(self, theta, x, s):\n        return -(s - theta - x)\n",
        encoding="utf-8",
    )
    Path("wrong.yaml").write_text(
        "name: wrong\ndevice: {kind: simulated, energy: 'wrong.py:Wrong'}\ndata: {kind: legendre, samples: 4}\n"
        "sequence:\n  - train: {beta: 0.1}\n",
        encoding="utf-8",
    )
    bad = here("accept", "wrong.yaml")
    assert bad.returncode == ExitCode.FAILED
    assert "fail " in bad.stdout
    assert bad.stdout.splitlines()[-1].startswith("NOT ACCEPTED")


@pytest.mark.parametrize("command", ["pause", "continue", "stop", "abort", "freeze", "safe"])
def test_a_command_without_a_run_says_so(command: str, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))  # nothing that another test left behind
    done = here(command)
    assert done.returncode == ExitCode.FAILED
    assert "No run is going on in runs" in done.stderr


@pytest.mark.parametrize("words", [("resume", "nope"), ("show", "nope"), ("stop", "nope"), ("freeze", "nope"), ("resume", ".")])
def test_a_name_that_means_no_run_is_bad_input(words: tuple[str, str], here: Here) -> None:
    done = here(*words)
    assert done.returncode == ExitCode.BAD_INPUT
    assert f"No run '{words[1]}' in runs" in done.stderr


def test_an_error_inside_the_program_becomes_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise RuntimeError("two wires touched")

    monkeypatch.setattr(checking, "check_experiment", broken)
    with pytest.raises(SystemExit) as exit_:
        main(["check", "linear-regression"])
    assert exit_.value.code == ExitCode.FAILED
    _, err = capsys.readouterr()
    assert "RuntimeError: two wires touched" in err
    assert "Traceback" not in err
    details = Path(err.rsplit("Details for a report: ", 1)[1].strip())
    assert "Traceback" in details.read_text(encoding="utf-8")


def test_a_terminal_without_the_letter_gets_a_question_mark() -> None:
    done = subprocess.run(
        [*AEQLAB, "schema", "--markdown"], capture_output=True, timeout=90, env={**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    )
    assert done.returncode == 0
    assert b"?qprop" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error there")
def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen([*AEQLAB, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.wait(120)
    assert process.returncode == 0


def test_a_comparison_says_what_each_method_reached_and_where_the_figure_is(here: Here, tmp_path: Path) -> None:
    methods = "{one: {method: centered, beta: 0.5}, other: {method: coupled, beta: 0.5, learning_rate: 0.05}}"
    (tmp_path / "c.yaml").write_text(
        "name: c\ndevice: {kind: simulated, energy: linear, options: {frequencies: 2}}\n"
        "data: {kind: legendre, degree: 2, samples: 20, test_samples: 4}\n"
        "homeostasis: {accept: {ticks: 10}}\nsettling: {accept: {ticks: 10}}\nsequence:\n"
        f"  - compare: {{methods: {methods}, seeds: 2, samples: 6, target: cost < 100}}\n",
        encoding="utf-8",
    )
    done = here("run", str(tmp_path / "c.yaml"), "--runs", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    (figure,) = (tmp_path / "runs").glob("*/comparison.png")
    assert re.search(rf"figure +\S*{figure.parent.name}.comparison.png", done.stdout)
    assert re.search(r"one +cost .* cost < 100 after 0 samples, 0 s \(2 of 2 seeds\)", done.stdout)
    assert re.search(r"other +cost .*\(not the gradient\)", done.stdout)
    shown = here("show", figure.parent.name, "--runs", str(tmp_path / "runs")).stdout
    assert "0.1.1" in shown
    assert "points" not in shown


def test_check_sends_a_test_message_by_every_way(tmp_path: Path, here: Here) -> None:
    out = tmp_path / "got.json"
    way = json.dumps([sys.executable, "-c", f"import sys, pathlib; pathlib.Path({str(out)!r}).write_text(sys.stdin.read())"])
    lacking = "{webhook_from: NO_SUCH_HOOK, alive_s: 60}"
    done = here("check", "linear-regression", "--notify", "--set", f"notify=[{{command: {way}}}, {lacking}]")
    assert done.returncode == ExitCode.BAD_INPUT
    assert json.loads(out.read_text(encoding="utf-8"))["kind"] == "test"
    assert "a test message was sent" in done.stdout
    assert "a sign of life every 60 s (nothing is in NO_SUCH_HOOK here)" in done.stdout
    assert "webhook in NO_SUCH_HOOK: not sent: OSError: the environment variable NO_SUCH_HOOK holds no URL" in done.stderr
    untold = here("check", "linear-regression", "--notify")
    assert untold.returncode == ExitCode.BAD_INPUT
    assert "nobody is told of anything" in untold.stderr
