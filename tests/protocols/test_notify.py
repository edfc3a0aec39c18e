"""Messages to people elsewhere: sent without anybody waiting, told once where they fail, nothing secret in a file."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from session_helpers import client_of, served, simulated

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import rig_on, rig_tree

from aeqlab.protocols.conformance import identified_first
from aeqlab.protocols.experiment import load_values
from aeqlab.protocols.load import load_run
from aeqlab.protocols.notify import Mail, Notifier, NotifyEntry, send, try_all
from aeqlab.protocols.rig import Rig as Notebook
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.session import Session


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook?token=secret", got
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_what_it_asked_for_and_no_more(webhook: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = webhook
    notifier = Notifier([NotifyEntry(webhook=url, on=["alarm"])], "run a")
    notifier.tell("state", "running")
    notifier.tell("alarm", "hold lost")
    notifier.close()
    assert [(one["about"], one["kind"], one["text"]) for one in got] == [("run a", "alarm", "hold lost")]


def test_a_sign_of_life_comes_by_itself(webhook: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = webhook
    notifier = Notifier([NotifyEntry(webhook=url, on=["end"], alive_s=1)], "run a")
    until = time.monotonic() + 10.0
    while not got and time.monotonic() < until:
        time.sleep(0.01)
    notifier.close()
    assert got[0]["kind"] == "alive"


def test_a_command_gets_the_message_and_its_failure_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    out = tmp_path / "got.json"
    script = f"import sys, pathlib; pathlib.Path({str(out)!r}).write_text(sys.stdin.read())"
    notifier = Notifier([NotifyEntry(command=[sys.executable, "-c", script], on=["end"])], "session b", told.append)
    notifier.tell("end", "it is over")
    notifier.close()
    assert json.loads(out.read_text(encoding="utf-8"))["text"] == "it is over"
    bad = Notifier([NotifyEntry(command=["no-such-command-here"], on=["alarm"])], "session b", told.append)
    for _ in range(3):
        bad.tell("alarm", "a")
    bad.close()
    (sentence,) = told
    assert sentence.startswith("notify: command no-such-command-here could not be told: FileNotFoundError")


def test_nobody_waits_for_a_way_that_hangs() -> None:
    notifier = Notifier(
        [NotifyEntry(command=[sys.executable, "-c", "import time; time.sleep(30)"], on=["alarm"])], "c", lambda s: None
    )
    began = time.monotonic()
    for _ in range(500):
        notifier.tell("alarm", "x")
    assert time.monotonic() - began < 1.0


def test_a_mail_without_its_password_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_MAIL_PASSWORD", raising=False)
    told: list[str] = []

    class Server:
        def __init__(self, *words: Any, **more: Any) -> None: ...
        def __enter__(self) -> Server:
            return self

        def __exit__(self, *exc: object) -> None: ...
        def starttls(self) -> None: ...

    monkeypatch.setattr("aeqlab.protocols.notify.smtplib.SMTP", Server)
    mail = Mail(
        host="mail.example.org", sender="rig@example.org", to=["ada@example.org"], user="rig", password_from="LAB_MAIL_PASSWORD"
    )
    notifier = Notifier([NotifyEntry(mail=mail)], "d", told.append)
    notifier.tell("end", "over")
    notifier.close()
    assert "the environment variable LAB_MAIL_PASSWORD holds no password" in told[0]


def test_one_way_is_needed_and_a_run_tells_of_its_end(tmp_path: Path, webhook: tuple[str, list[dict[str, Any]]]) -> None:
    with pytest.raises(ValidationError, match="one of mail, command, webhook and"):
        NotifyEntry()
    url, got = webhook
    values = {
        "name": "told",
        "device": {"kind": "simulated", "energy": "linear"},
        "data": {"kind": "legendre", "degree": 2, "samples": 5},
        "sequence": [{"train": {"method": "optimistic", "beta": 0.1, "samples": 3}}],
        "notify": [{"webhook": url, "on": ["state", "end"]}],
    }  # fmt: skip
    result = run_experiment(load_values(values, tmp_path), runs=tmp_path / "runs")
    assert load_run(result.folder).state == "finished"
    assert [one["kind"] for one in got] == ["state", "end"]
    assert got[-1]["text"].startswith("finished")


def test_what_is_secret_stands_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, webhook: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = webhook
    entry = NotifyEntry(webhook_from="LAB_HOOK", on=["alarm"])
    monkeypatch.delenv("LAB_HOOK", raising=False)
    assert entry.lacks == "LAB_HOOK"
    assert "LAB_HOOK holds no URL" in try_all([entry], "a")[0][1]
    monkeypatch.setenv("LAB_HOOK", url)
    assert entry.lacks == ""
    assert try_all([entry], "a") == [("webhook in LAB_HOOK", "")]
    assert [(one["about"], one["kind"]) for one in got] == [("a", "test")]
    assert "secret" not in entry.model_dump_json()
    assert NotifyEntry(webhook="https://hooks.example.org/T0/secret").way == "webhook at hooks.example.org"
    with pytest.raises(ValidationError, match="user needs password_from"):
        Mail(host="mail.example.org", sender="rig@example.org", to=["ada@example.org"], user="rig")


@pytest.mark.parametrize(("port", "started"), [(465, False), (587, True)])
def test_a_mail_is_encrypted_at_any_port(monkeypatch: pytest.MonkeyPatch, port: int, started: bool) -> None:
    sent: list[Any] = []

    class Server:
        kind = "plain"

        def __init__(self, host: str, port: int, timeout: float) -> None:
            self.did: list[str] = [self.kind]

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *exc: object) -> None: ...
        def starttls(self) -> None:
            self.did.append("starttls")

        def send_message(self, message: Any) -> None:
            sent.append((self.did, message["Subject"], message["To"], message.get_content().strip()))

    class Encrypted(Server):
        kind = "encrypted"

    monkeypatch.setattr("aeqlab.protocols.notify.smtplib.SMTP", Server)
    monkeypatch.setattr("aeqlab.protocols.notify.smtplib.SMTP_SSL", Encrypted)
    mail = Mail(host="mail.example.org", port=port, sender="rig@example.org", to=["ada@example.org", "bob@example.org"])
    send(NotifyEntry(mail=mail), "alarm", "run a", "it is hot")
    did = ["plain", "starttls"] if started else ["encrypted"]
    assert sent == [(did, "[aeqlab] run a: alarm", "ada@example.org, bob@example.org", "it is hot")]


def test_those_whom_the_session_tells_are_not_told_twice(webhook: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = webhook
    by_session, by_run = NotifyEntry(webhook=f"{url}&a", on=["alarm"]), NotifyEntry(webhook=f"{url}&b", on=["alarm"])
    notifier = Notifier([by_session, by_run], "run a")
    notifier.tell("alarm", "of the session", besides=(by_session,))
    notifier.tell("alarm", "of the run")
    notifier.close()
    assert [one["text"] for one in got] == ["of the session", "of the run", "of the run"]


def test_a_session_tells_when_it_stands_still_and_goes_on(webhook: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = webhook
    notifier = Notifier([NotifyEntry(webhook=url, on=["state"])], "session a")
    with served(simulated(), notifier=notifier) as server, client_of(server, "ada") as client:
        client.freeze("something smells")
        client.continue_()
    assert [(one["kind"], one["text"].split(":")[0]) for one in got[:2]] == [("state", "frozen"), ("state", "continue")]
    assert "something smells" in got[0]["text"]


def test_an_alarm_of_the_device_is_told_by_the_run_and_over_in_its_record(
    tmp_path: Path, webhook: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = webhook
    warm = [{"name": "output", "when": "s > 0.1", "action": "warn"}]
    with rig_on(interlocks=warm) as device:
        identified_first(device)
        values = {
            "name": "warned", "device": {"kind": "rig", "rig": rig_tree(device.bench, interlocks=warm)},
            "data": {"kind": "legendre", "degree": 2, "samples": 5}, "sequence": [{"hold": {"seconds": 0.1}}],
            "notify": [{"webhook": url, "on": ["alarm"]}],
        }  # fmt: skip
        ways = [{"ramp": {"quantity": "u[0]", "to": to, "seconds": 2.0, "every_s": 0.5}} for to in (0.5, -0.5)]
        with Notebook(Session(device), load_values(values, tmp_path), runs=tmp_path / "runs", quiet=True) as rig:
            alarms = load_run(rig.run(ways, then="freeze").path).alarms
    assert alarms["name"].tolist() == ["interlock output"]
    assert alarms["cleared_at"][0] > alarms["raised_at"][0]
    assert alarms["text"][0].startswith("interlock output: s > 0.1, and s = 0.1")
    assert [one["text"].split(":")[0] for one in got] == ["interlock output"]
