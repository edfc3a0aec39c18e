"""Words of a person for a run: typed at its terminal, or by `aeqlab answer` and `aeqlab note`; notes for runs that ended."""

from __future__ import annotations

import codecs
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aeqlab.app.cli import main
from aeqlab.protocols import load_run
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.load import Run
from aeqlab.protocols.notes import add_note
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_folder import RunFolder
from aeqlab.protocols.run_state import Requests

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")

PATIENCE_S = 120.0  #: of a busy machine
ASKS = """
name: asks
device: {kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 2}}
data: {kind: legendre, degree: 3, samples: 3, test_samples: 3}
homeostasis: {controller: integral, accept: {ticks: 3}}
sequence:
  - ask: {text: "Is the lamp on?"}
  - evaluate
"""


class Terminal:
    """A pseudo-terminal with a run of the program behind it."""

    def __init__(self, *words: str | Path, stdin_too: bool = True) -> None:
        import pty

        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aeqlab.app.cli", *map(str, words)],
            stdin=slave if stdin_too else subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )
        os.close(slave)
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a piece may end within a letter

    def read_until(self, words: str) -> None:
        """Read what is shown until these words come; fail where the terminal ends before."""
        while words not in self.seen:
            try:
                piece = os.read(self.master, 4096)
            except OSError:
                piece = b""
            assert piece, f"it ended without {words!r}: {self.seen}"
            self.seen += self._decoder.decode(piece)

    def type(self, line: str) -> None:
        os.write(self.master, f"{line}\n".encode())

    def close(self) -> int:
        """Read on to the end and return the exit code."""
        while True:
            try:
                piece = os.read(self.master, 4096)
            except OSError:
                break
            if not piece:
                break
            self.seen += self._decoder.decode(piece)
        return self.process.wait(PATIENCE_S)


@contextmanager
def terminal(*words: str | Path, stdin_too: bool = True) -> Iterator[Terminal]:
    """Run the program behind a pseudo-terminal; a watchdog ends it where a test waits for ever."""
    made = Terminal(*words, stdin_too=stdin_too)
    watchdog = threading.Timer(PATIENCE_S, made.process.kill)
    watchdog.start()
    try:
        yield made
    finally:
        watchdog.cancel()
        made.process.kill()
        made.process.wait(PATIENCE_S)
        os.close(made.master)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "asks.yaml"
    path.write_text(ASKS, encoding="utf-8")
    return path


@pytest.fixture
def ended(tmp_path: Path) -> Run:
    """Make a run that finished."""
    from aeqlab.protocols.experiment import load_experiment

    (tmp_path / "ended.yaml").write_text(ASKS.replace('  - ask: {text: "Is the lamp on?"}\n', ""), encoding="utf-8")
    return load_run(run_experiment(load_experiment(tmp_path / "ended.yaml"), runs=tmp_path / "runs").folder)


def only(runs: Path) -> Run:
    (folder,) = (path.parent for path in runs.glob("*/record.sqlite"))
    return load_run(folder)


def test_typed_at_the_terminal_of_the_run(file: Path, tmp_path: Path) -> None:
    with terminal("run", file, "--runs", tmp_path / "runs") as run:
        run.read_until("waiting for an answer: Is the lamp on? (continue, stop)")
        run.read_until("Type the answer here, or aeqlab answer TEXT")
        run.type("perhaps")
        run.read_until("'perhaps' is none of the choices: continue, stop.")
        run.type("continue")
        assert run.close() == 0, run.seen
    assert "finished: Did everything it was asked to." in run.seen
    assert "terminal" in str(only(tmp_path / "runs").stages["result"][0])


def test_ctrl_c_is_what_it_was(file: Path, tmp_path: Path) -> None:
    with terminal("run", file, "--runs", tmp_path / "runs") as run:
        run.read_until("Type the answer here")
        run.process.send_signal(signal.SIGINT)
        assert run.close() == 3, run.seen
    assert "Press Ctrl-C again to abort" in run.seen


def test_without_a_terminal_it_is_answered_by_the_command(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with terminal("run", file, stdin_too=False) as run:
        run.read_until("Answer it in a terminal: aeqlab answer TEXT")
        until = time.monotonic() + PATIENCE_S
        while "waiting for an answer: Is the lamp on? (continue, stop)" not in capsys.readouterr().out:
            assert time.monotonic() < until, "it is not listed as asking"  # a busy run may not answer in a second
            assert code_of("runs") == 0
        assert code_of("answer", "of course") == 1
        assert "none of the choices: continue, stop" in capsys.readouterr().err
        assert code_of("note", "last", "the lamp flickered") == 0
        assert code_of("answer", "continue") == 0
        assert run.close() == 0, run.seen
    assert only(tmp_path / "runs").notes["text"].tolist() == ["the lamp flickered"]
    assert code_of("answer", "continue") == 1
    assert "No run is going on" in capsys.readouterr().err


def code_of(*words: str) -> int:
    with pytest.raises(SystemExit) as ending:
        main(list(words))
    return int(ending.value.code or 0)


def test_a_note_for_a_run_that_ended(ended: Run, capsys: pytest.CaptureFixture[str]) -> None:
    runs = str(ended.path.parent)
    assert code_of("note", ended.path.name, "the", "lamp", "was off", "--runs", runs) == 0
    notes = ended.notes
    assert (notes["text"].tolist(), notes["attempt"].tolist()) == (["the lamp was off"], [1])
    assert notes["author"][0]
    assert notes["at"][0] > ended.attempts["ended_at"][0]
    assert [path.name for path in ended.path.glob("record.sqlite*")] == ["record.sqlite"]
    assert code_of("show", ended.path.name, "--runs", runs) == 0
    shown = capsys.readouterr().out
    assert "notes\n" in shown
    assert "the lamp was off" in shown
    assert ended.missing == []


def test_a_note_is_not_written_where_a_resume_holds_the_folder(ended: Run) -> None:
    folder = RunFolder.take(ended.path)
    try:
        with pytest.raises(RecordError, match="is in use by process"):
            add_note(ended.path, "ada", "x")
    finally:
        folder.release()
    assert len(ended.notes) == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_a_sentence(ended: Run) -> None:
    ended.path.chmod(0o500)
    (ended.path / ".lock").chmod(0o400)
    try:
        with pytest.raises(RecordError, match="cannot be written"):
            add_note(ended.path, "ada", "x")
    finally:
        ended.path.chmod(0o700)


def test_what_is_no_note(ended: Run, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="needs a text"):
        add_note(ended.path, "ada", "  ")
    with pytest.raises(RecordError, match="may have 10,000 letters"):
        add_note(ended.path, "ada", "x" * 10_001)
    with pytest.raises(RecordError, match="not the folder of a run"):
        add_note(tmp_path, "ada", "x")
    connection = sqlite3.connect(ended.path / "record.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RecordError, match="of version 99"):
        add_note(ended.path, "ada", "x")
    (ended.path / "record.sqlite").write_bytes(b"nothing that SQLite knows" * 100)
    with pytest.raises(RecordError, match="cannot be written"):
        add_note(ended.path, "ada", "x")


def test_a_note_reaches_a_run_that_was_killed(ended: Run) -> None:
    """Its log is still there; the note goes in and nothing is lost."""
    connection = sqlite3.connect(ended.path / "record.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO notes (attempt, at, step, author, text) VALUES (1, 0, 0, 'run', 'the last word')")
    connection.commit()
    for name in ("record.sqlite", "record.sqlite-wal"):
        (ended.path / f"kept-{name}").write_bytes((ended.path / name).read_bytes())
    connection.close()
    for name in ("record.sqlite", "record.sqlite-wal"):
        (ended.path / f"kept-{name}").replace(ended.path / name)
    add_note(ended.path, "ada", "the lamp was off")
    assert ended.notes["text"].tolist() == ["the last word", "the lamp was off"]


def test_requests_take_one_answer_alone() -> None:
    from aeqlab.protocols.question import Question

    requests = Requests()
    assert requests.answer("x", "ada", "command") == "Nothing is asked now."
    requests.question = Question("Well?", choices=("a", "b"))
    assert requests.answer("a", "ada", "command") == ""
    assert requests.answer("b", "bob", "window") == "ada answered 'a' already."
