"""The list of runs: every folder has its line, whatever is wrong with it, and only what changed is read again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from run_helpers import SMALL, experiment, only_run, read_steps, start_worker

from aeqlab.protocols import run_list
from aeqlab.protocols.notes import add_note
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_list import RunLine, RunList, newest_runs, read_line
from aeqlab.protocols.run_state import Requests, RunState


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run with tags and a note."""
    folder = tmp_path_factory.mktemp("run")
    result = run_experiment(experiment(folder, SMALL + "tags: [night, bench16]\n"), runs=folder / "runs")
    add_note(result.folder, "ada", "the lamp flickered")
    return result.folder


def test_a_line_says_what_there_is_to_say(finished: Path) -> None:
    line = read_line(finished)
    assert (line.name, line.state, line.device_kind, line.methods) == ("small", "finished", "simulated", ("centered",))
    assert line.tags == ("night", "bench16")
    assert (line.samples, line.notes, line.attempts) == (60, 1, 1)
    assert line.result is not None
    assert line.result[0] == "test_cost_free"
    assert line.result[1] == pytest.approx(line.summary["test_cost_free"])
    assert line.started is not None
    assert line.ended is not None
    assert line.seconds == pytest.approx(line.ended - line.started)
    assert line.size > 10_000
    assert line.wrong == ()
    assert not line.can_resume


def test_tags_may_be_added_in_notes(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "tagged"))
    add_note(folder, "ada", "tags: drift, night")
    assert read_line(folder).tags == ("night", "bench16", "drift")


def test_one_that_was_stopped_or_killed_is_told_apart_and_can_be_resumed(tmp_path: Path) -> None:
    requests = Requests()
    text = SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 500")
    stopped = run_experiment(
        experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests,
        on_progress=lambda now: requests.ask_stop("stop by ada: enough") if now.done else None,
    )  # fmt: skip
    line = read_line(stopped.folder)
    assert (line.state, line.can_resume) == (RunState.STOPPED, True)
    assert "enough" in line.reason

    loaded = experiment(tmp_path, text)
    assert loaded.path is not None
    worker = start_worker("run", loaded.path, tmp_path / "killed")
    read_steps(worker, 20)
    (alive,) = RunList(tmp_path / "killed").read()
    assert (alive.state, alive.alive, alive.ended, alive.can_resume) == ("running", True, None, False)
    assert alive.seconds is not None
    worker.kill()
    worker.communicate()
    (killed,) = RunList(tmp_path / "killed").read()
    assert (killed.state, killed.alive) == ("interrupted", False)
    assert killed.samples is not None
    assert killed.samples >= 20
    assert killed.result is None
    assert killed.latest is not None
    assert killed.latest[0] == "cost_free"
    assert killed.ended is not None
    assert killed.ended <= time.time()
    assert killed.can_resume is bool(list((only_run(tmp_path / "killed").path / "checkpoints").iterdir()))


def test_what_is_damaged_newer_or_half_there_has_its_line_too(finished: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(finished, tmp_path / "runs" / name))

    damaged = copy("20260101-000001-damaged-aaaa")
    (damaged / "record.sqlite").write_bytes(b"no record" * 1000)
    torn = copy("20260101-000002-torn-aaaa")
    raw = bytearray((torn / "record.sqlite").read_bytes())
    raw[len(raw) // 3 :] = b"\0" * (len(raw) - len(raw) // 3)
    (torn / "record.sqlite").write_bytes(raw)
    newer = copy("20260101-000003-newer-aaaa")
    connection = sqlite3.connect(newer / "record.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    lost = copy("20260101-000004-lost-aaaa")
    (lost / "record.sqlite").unlink()
    (tmp_path / "runs" / "no run at all").mkdir()
    (tmp_path / "runs" / "a file").touch()
    lines = {line.path.name.split("-")[2]: line for line in RunList(tmp_path / "runs").read()}
    assert set(lines) == {"damaged", "torn", "newer", "lost"}
    assert lines["damaged"].state == "unknown"
    assert lines["damaged"].wrong == ("record.sqlite cannot be read: file is not a database.",)
    assert (lines["damaged"].name, lines["damaged"].started) == ("damaged", time.mktime((2026, 1, 1, 0, 0, 1, 0, 0, -1)))
    assert any("malformed" in said for said in lines["torn"].wrong)
    assert (lines["newer"].version, lines["newer"].samples) == (99, 60)
    assert "newer than this program's" in lines["newer"].wrong[0]
    assert lines["lost"].wrong == ("There is no record.sqlite here.",)


def test_only_what_changed_is_read_anew(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    for k in range(3):
        shutil.copytree(finished, runs / f"20260101-00000{k}-small-aaaa")
    read: list[str] = []

    def counted(path: Path, *, alive: bool | None = None) -> RunLine:
        read.append(path.name)
        return read_line(path, alive=alive)

    monkeypatch.setattr("aeqlab.protocols.run_list.read_line", counted)
    listed = RunList(runs)
    assert len(listed.read()) == len(read) == len(listed.changed) == 3
    assert listed.read() == listed.read()
    assert len(read) == 3
    assert listed.changed == frozenset()
    add_note(runs / "20260101-000001-small-aaaa", "ada", "once more")
    shutil.rmtree(runs / "20260101-000002-small-aaaa")
    lines = listed.read()
    assert [line.notes for line in lines] == [1, 2]
    assert read[3:] == ["20260101-000001-small-aaaa"]
    assert {path.name[:15] for path in listed.changed} == {"20260101-000001", "20260101-000002"}
    assert RunList(tmp_path / "nowhere").read() == ()
    first = RunList(runs)
    assert [line.path.name[:15] for line in first.read(newest=1)] == ["20260101-000001"]
    assert first.read() == lines


def test_runs_of_demos_stand_among_the_others_by_their_time(finished: Path, tmp_path: Path) -> None:
    names = ("20260101-000001-small-aaaa", "20260103-000001-small-aaaa")
    for name in names:
        shutil.copytree(finished, tmp_path / name)
    demo = tmp_path / "demo-20260102-000000"
    shutil.copytree(finished, demo / "runs" / "20260102-000001-demo-aaaa")
    (demo / "demo.yaml").touch()
    (tmp_path / "20260104-000000-lost-aaaa" / "checkpoints").mkdir(parents=True)
    found = [line.path.name[:8] for line in RunList(tmp_path).read()]
    assert found == ["20260101", "20260102", "20260103", "20260104"]
    assert [path.name[:8] for path in newest_runs(tmp_path, 2)] == ["20260103", "20260102"]  # what has no record is not offered
    assert newest_runs(tmp_path / "nowhere") == []


def test_of_a_great_many_only_what_changed_is_read_again(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path, *, alive: bool) -> run_list.RunLine:
        read.append(path)
        return read_line(path, alive=alive)

    monkeypatch.setattr(run_list, "read_line", counted)
    for k in range(200):
        folder = tmp_path / f"20260101-{k:06d}-small-aaaa"
        folder.mkdir()
        for name in ("record.sqlite", "experiment.yaml", "provenance.json"):
            os.link(finished / name, folder / name)
    listed = RunList(tmp_path)
    assert len(listed.read()) == len(read) == 200
    assert len(listed.read()) == len(read) == 200
    (folder / "provenance.json").unlink()
    assert len(listed.read()) == 200
    assert read[200:] == [folder]
