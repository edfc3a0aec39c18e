"""The progress line: what it says, and that it holds back where nothing can be redrawn or nothing is wanted."""

from __future__ import annotations

import io
import sys

import pytest

from aeqlab.app.progress import ProgressLine, draw
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.progress_line import in_words
from aeqlab.protocols.run_state import RunState

TRAINING = Progress(
    RunState.RUNNING,
    "",
    "train",
    "0",
    done=312,
    total=1000,
    cost=0.01234,
    cost_name="cost_free",
    held_rate=0.998,
    rate_per_s=412.0,
    remaining_s=1.67,
)


def test_a_line_says_cost_held_rate_and_time_left() -> None:
    assert in_words(TRAINING) == "running: train  312/1,000  cost 0.01234  held 99.8%  412/s  1.7 s left"


def test_what_is_not_known_is_left_out() -> None:
    assert in_words(Progress(RunState.PREPARING, "")) == "preparing: begin"
    assert "left" not in in_words(Progress(RunState.RUNNING, "", "train", "0", done=3))


def test_plain_lines_come_at_changes_and_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 2.0, 20.0, 20.1])
    with ProgressLine(clock=lambda: next(times)) as line:
        line(Progress(RunState.PREPARING, ""))
        line(TRAINING)  # another state: at once
        line(TRAINING)
        line(TRAINING)  # 18 s later: again
        line(Progress(RunState.STOPPING, "Ctrl-C", "train", "0"))  # another state
    out, err = capsys.readouterr()
    assert out == ""
    assert [text.split(":")[0] for text in err.splitlines()] == ["running", "running", "stopping"]
    assert "\x1b" not in err


def test_a_pause_says_why_once(capsys: pytest.CaptureFixture[str]) -> None:
    paused = Progress(RunState.PAUSED, "ada froze the device. Go on: aeqlab continue it", "train", "0", done=3)
    with ProgressLine() as line:
        line(paused)
        line(paused)
    assert capsys.readouterr().err.splitlines() == [
        "paused: ada froze the device. Go on: aeqlab continue it", "paused: train  3"
    ]  # fmt: skip


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(quiet=True) as line:
        line(TRAINING)
    assert capsys.readouterr() == ("", "")


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with ProgressLine() as line:
        line(TRAINING)
    assert terminal.getvalue() == in_words(TRAINING) + "\n"


def test_a_terminal_gets_one_line_redrawn() -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(file=io.StringIO(), force_terminal=True, width=110, color_system=None)
    bar = Bar(BarColumn(bar_width=20), TextColumn("{task.fields[details]}", markup=False), console=console, auto_refresh=False)
    with bar:
        draw(bar, TRAINING)
        draw(bar, Progress(RunState.RUNNING, "", "evaluate", "1", done=10, total=20))
    assert [(task.description, task.completed, task.total) for task in bar.tasks] == [("evaluate", 10, 20)]
    assert isinstance(console.file, io.StringIO)
    assert "cost 0.01234" in console.file.getvalue()
