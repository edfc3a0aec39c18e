"""Commands to a running run: what each does, who may hear it, and that nothing a client sends hurts the run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest
from run_helpers import SMALL, experiment, only_run, wait_for

from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols import load_run
from aeqlab.protocols.control import COMMANDS, VERSION, ControlServer, obey, send
from aeqlab.protocols.errors import NotAllowedError, RecordError, SessionLostError
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import RunResult
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.run_status import RunStatus

LONG = SMALL.replace("beta: 0.2", "beta: 0.2, samples: 1000000")


@contextmanager
def running(folder: Path, text: str = LONG) -> Iterator[tuple[Run, list[RunResult]]]:
    """Let a run go on in another thread until it is stopped, at the latest at the end of the block."""
    results: list[RunResult] = []
    requests = Requests()
    loaded = experiment(folder, text)
    thread = threading.Thread(
        target=lambda: results.append(run_experiment(loaded, runs=folder / "runs", requests=requests, say=lambda text: None))
    )
    thread.start()
    try:
        wait_for(lambda: any((folder / "runs").glob("*/record.sqlite")) and len(only_run(folder / "runs").steps) > 3, "steps")
        yield only_run(folder / "runs"), results
    finally:
        requests.ask_abort("the end of the test")
        thread.join(60)
    assert not thread.is_alive()


def test_pause_stops_time_and_continue_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as (run, results):
        answer = send(run.path, "pause", "to look", who="ada")
        assert answer["text"] == "Pauses at the end of this sample."
        wait_for(lambda: run.state == "paused", "the pause")
        assert run.reason == "pause by ada: to look"
        steps = len(run.steps)
        assert send(run.path, "status")["state"] == "paused"
        assert send(run.path, "pause")["text"] == "It is paused already."
        assert len(run.steps) == steps
        send(run.path, "continue", who="ada")
        wait_for(lambda: len(run.steps) > steps + 3, "more steps")
        assert run.state == "running"
        send(run.path, "stop", who="ada")
        wait_for(lambda: bool(results), "the end")
        assert (results[0].state, results[0].exit_code) == (RunState.STOPPED, 3)
        words = [word for word, kind in zip(run.events["word"], run.events["kind"], strict=True) if kind == "state"]
        assert words == ["running", "pausing", "paused", "running", "stopping", "stopped"]
        assert run.steps["step"].tolist() == list(range(1, len(run.steps) + 1))
        t = run.steps["t"]
        assert (t[1:] > t[:-1]).all()


def test_a_pause_changes_nothing_of_the_result(tmp_path: Path) -> None:
    text = SMALL.replace("beta: 0.2", "beta: 0.2, samples: 400")
    (tmp_path / "plain").mkdir()
    plain = run_experiment(experiment(tmp_path / "plain", text), runs=tmp_path / "plain" / "runs")
    (tmp_path / "paused").mkdir()
    with running(tmp_path / "paused", text) as (run, results):
        for _ in range(3):
            if results:
                break
            try:
                send(run.path, "pause")
                wait_for(lambda: run.state == "paused" or bool(results), "the pause")
                send(run.path, "continue")
            except (NotAllowedError, RecordError):
                break
        wait_for(lambda: bool(results), "the end")
    assert results[0].state is RunState.FINISHED
    from run_helpers import same_runs

    same_runs(run, only_run(plain.folder.parent))


def test_notes_and_commands_are_written_down(tmp_path: Path) -> None:
    with running(tmp_path) as (run, _):
        send(run.path, "note", "the lamp flickered", who="ada")
        wait_for(lambda: len(run.notes) == 1, "the note")
        assert run.notes["text"][0] == "the lamp flickered"
        assert run.notes["author"][0] == "ada"
        with pytest.raises(NotAllowedError, match="needs a text"):
            send(run.path, "note", "  ")


def test_freeze_leaves_the_sample_and_continue_presents_the_next(tmp_path: Path) -> None:
    with running(tmp_path) as (run, results):
        send(run.path, "freeze", who="ada")
        wait_for(lambda: run.state == "paused", "the pause")
        wait_for(lambda: "frozen" in run.events["word"], "the freeze")
        steps = len(run.steps)
        send(run.path, "continue")
        wait_for(lambda: len(run.steps) > steps + 3, "more steps")
        send(run.path, "stop")
        wait_for(lambda: bool(results), "the end")
        assert results[0].state is RunState.STOPPED
        samples = run.steps["sample"][:60].tolist()
        assert samples == list(range(len(samples)))  # none was presented twice, none left out


def test_safe_aborts_and_makes_the_device_safe(tmp_path: Path) -> None:
    with running(tmp_path) as (run, results):
        send(run.path, "safe", who="ada")
        wait_for(lambda: bool(results), "the end")
        assert (results[0].state, results[0].exit_code) == (RunState.ABORTED, 4)
        assert results[0].device.startswith("Device safe")
        assert "safe by ada" in run.reason


def test_a_run_that_is_not_alive_says_so(tmp_path: Path) -> None:
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    with pytest.raises(RecordError, match="is not running"):
        send(result.folder, "stop")


def test_only_the_owner_can_read_the_key(tmp_path: Path) -> None:
    with running(tmp_path) as (run, _):
        file = run.path / "control.json"
        if sys.platform != "win32":
            assert file.stat().st_mode & 0o777 == 0o600
        where = json.loads(file.read_text())
        assert where["pid"] == os.getpid()
        where["key"] = "00" * 32
        file.write_text(json.dumps(where))
        with pytest.raises(SessionLostError, match=r"digest sent was rejected|does not answer"):
            send(run.path, "stop")
        assert run.state == "running"


def test_a_client_that_says_nothing_hinders_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as (run, _):
        where = json.loads((run.path / "control.json").read_text())
        silent = [Client(where["address"]) for _ in range(5)]
        assert send(run.path, "status")["state"] == "running"
        for client in silent:
            client.close()


def _server(folder: Path) -> tuple[ControlServer, Requests, Any]:
    requests = Requests()
    server = ControlServer(folder / "control.json", requests, lambda: {"state": "running"})
    where = json.loads((folder / "control.json").read_text())
    return server, requests, Client(where["address"], authkey=bytes.fromhex(where["key"]))


@pytest.mark.parametrize(
    "message",
    [b"", b"GET / HTTP/1.1\r\n\r\n", pack([]), pack({"version": 2, "command": "stop"}), pack({"version": 1}),
     pack({"version": 1, "command": ["stop"], "who": "", "text": ""}),
     pack({"version": 1, "command": "stop", "who": 3, "text": ""}),
     pack({"version": 1, "command": "rm -rf", "who": "", "text": ""})],
)  # fmt: skip
def test_what_is_not_understood_is_answered_and_changes_nothing(tmp_path: Path, message: bytes) -> None:
    server, requests, client = _server(tmp_path)
    client.send_bytes(message)
    answer = unpack(client.recv_bytes())
    assert answer["ok"] is False
    assert not requests.at_boundary
    client.close()
    server.close()
    assert not (tmp_path / "control.json").exists()


def test_random_bytes_never_hurt(tmp_path: Path) -> None:
    server, requests, client = _server(tmp_path)
    rng = random.Random(4)
    good = pack({"version": 1, "command": "pause", "who": "x", "text": ""})
    for _ in range(500):
        message = bytearray(good if rng.random() < 0.7 else rng.randbytes(rng.randrange(0, 200)))
        for _ in range(rng.randrange(1, 4)):
            if message:
                message[rng.randrange(len(message))] = rng.randrange(256)
        client.send_bytes(bytes(message))
        assert unpack(client.recv_bytes())["ok"] in (True, False)
    with contextlib.suppress(OSError):  # too long: this client is left, perhaps while it still writes
        client.send_bytes(b"x" * 100_000)
    with pytest.raises((EOFError, OSError)):
        client.recv_bytes()
    where = json.loads((tmp_path / "control.json").read_text())
    with Client(where["address"], authkey=bytes.fromhex(where["key"])) as other:
        other.send_bytes(pack({"version": 1, "command": "stop", "who": "x", "text": ""}))
        assert unpack(other.recv_bytes())["ok"]
    assert requests.stop
    server.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_ended_run_takes_no_commands(command: str) -> None:
    requests = Requests()
    answer = obey(requests, lambda: {"state": "finished"}, command, "ada", "x")
    assert answer["ok"] is (command == "status")
    assert not requests.at_boundary


def test_nothing_is_acknowledged_that_would_not_be_written_down(tmp_path: Path) -> None:
    requests = Requests()
    server = ControlServer(tmp_path / "control.json", requests, RunStatus(requests).answer)
    server.close()
    request = {"version": VERSION, "command": "note", "who": "ada", "text": "too late"}
    answer = server._answer(pack(request))
    assert (answer["ok"], requests.notes.empty()) == (False, True)
    assert "ending" in answer["text"]


def test_what_comes_in_the_last_moment_is_in_the_record(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        "from aeqlab.protocols.run_state import Note\n"
        "def note(session, options):\n"
        "    session.requests.notes.put(Note('ada', 'the lamp flickers'))\n"
        "    session.requests.ask_skip('too late')\n",
        encoding="utf-8",
    )
    text = SMALL.replace("  - evaluate: {}", "  - late.py:note")
    run = load_run(run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs").folder)
    assert (run.notes["author"].tolist(), run.notes["text"].tolist()) == (["ada"], ["the lamp flickers"])
    assert run.events["text"][run.events["word"] == "skip"].tolist() == ["too late"]
