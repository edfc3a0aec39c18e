"""Telling people who are elsewhere: a mail, a command or a webhook on alarms, changes of state and the end; and a sign of life.

Messages are sent by a thread of their own, each with a time-out, so nobody waits for them; one that cannot be sent is told
once. What is secret need not be in a file, which every run copies: the file names the environment variable that holds it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import smtplib
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
log = logging.getLogger(__name__)
TIMEOUT_S = 20.0  #: a message that takes longer is given up
WAITING = 100  #: messages that may wait; beyond that the newest are dropped, and that is told
LAST_S = 10.0  #: so long the end waits for messages that are still to go out
ENCRYPTED_PORT = 465  #: where SMTP is encrypted from the first byte on
Kind = Literal["alarm", "state", "end", "alive", "test"]


class Mail(BaseModel):
    """A mail over SMTP."""

    model_config = _STRICT
    host: str = Field(min_length=1, description="SMTP server")
    port: int = Field(default=587, ge=1, le=65535, description="its port")
    sender: str = Field(min_length=3, description="from whom")
    to: list[str] = Field(min_length=1, max_length=20, description="to whom")
    user: str = Field(default="", description="to log in with; empty: no log-in")
    password_from: str = Field(default="", description="name of the environment variable that holds the password")
    tls: bool = Field(default=True, description="whether it is encrypted: from the start at port 465, else by STARTTLS")

    @model_validator(mode="after")
    def _logs_in(self) -> Mail:
        if self.user and not self.password_from:
            raise ValueError("user needs password_from, the name of the environment variable that holds the password")
        return self


class NotifyEntry(BaseModel):
    """One way to tell somebody, and of what."""

    model_config = _STRICT
    mail: Mail | None = Field(default=None, description="a mail")
    command: list[str] | None = Field(
        default=None, min_length=1, max_length=100, description="a command and its words; the message comes at its standard input"
    )
    webhook: str | None = Field(default=None, pattern=r"^https?://", description="a URL that gets the message as JSON by POST")
    webhook_from: str | None = Field(
        default=None, min_length=1, description="name of the environment variable that holds such a URL, where it is a secret"
    )
    on: list[Literal["alarm", "state", "end"]] = Field(default=["alarm", "end"], description="what is told")
    alive_s: float | None = Field(
        default=None, ge=1, le=86_400, description="a sign of life this often, so that somebody notices when it stops; null: none"
    )

    @model_validator(mode="after")
    def _one_way(self) -> NotifyEntry:
        if sum(way is not None for way in (self.mail, self.command, self.webhook, self.webhook_from)) != 1:
            raise ValueError("one of mail, command, webhook and webhook_from is needed")
        return self

    @property
    def way(self) -> str:
        """Say where it goes, without anything secret."""
        if self.mail is not None:
            return f"mail to {', '.join(self.mail.to)}"
        if self.command is not None:
            return f"command {self.command[0]}"
        if self.webhook_from is not None:
            return f"webhook in {self.webhook_from}"
        return f"webhook at {urllib.parse.urlsplit(str(self.webhook)).hostname}"

    @property
    def lacks(self) -> str:
        """Say which environment variable is needed and holds nothing here; empty where none is."""
        names = (self.webhook_from, self.mail and self.mail.password_from)
        return next((name for name in names if name and not os.environ.get(name)), "")


class Notifier:
    """Sends messages about one run or session until it is closed.

    Args:
        entries: to whom, and of what.
        about: what the messages are about, such as the name of a run.
        told: called with a sentence where a message could not be sent; once for each way until it works again.
    """

    def __init__(self, entries: Sequence[NotifyEntry], about: str, told: Callable[[str], None] = log.warning) -> None:
        self._entries, self._about, self._told = tuple(entries), about, told
        self._queue: queue.Queue[tuple[NotifyEntry, Kind, str] | None] = queue.Queue(WAITING)
        self._failed: set[str] = set()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        if self._entries:
            self._threads = [threading.Thread(target=self._work, name="notify", daemon=True)]
            if any(one.alive_s for one in self._entries):
                self._threads.append(threading.Thread(target=self._signs_of_life, name="alive", daemon=True))
            for thread in self._threads:
                thread.start()

    def tell(self, kind: Kind, text: str, besides: Sequence[NotifyEntry] = ()) -> None:
        """Tell everybody who wants to know of this kind, but those whom somebody else tells; returns at once."""
        for entry in self._entries:
            if entry in besides:
                continue
            if kind in entry.on or (kind == "alive" and entry.alive_s):
                self._put(entry, kind, text)

    def close(self) -> None:
        """Send what waits, for some seconds at most, and end."""
        self._over.set()
        if self._threads:
            with_room = threading.Thread(target=self._queue.put, args=(None,), daemon=True)
            with_room.start()
            self._threads[0].join(LAST_S)

    def _put(self, entry: NotifyEntry, kind: Kind, text: str) -> None:
        try:
            self._queue.put_nowait((entry, kind, text))
        except queue.Full:
            self._fail(entry, "too many messages wait; this one was dropped")

    def _signs_of_life(self) -> None:
        due = {k: time.monotonic() for k, one in enumerate(self._entries) if one.alive_s}
        while not self._over.wait(max(0.05, min(due.values()) - time.monotonic())):
            for k, at in due.items():
                if time.monotonic() >= at:
                    due[k] = time.monotonic() + (self._entries[k].alive_s or 0.0)
                    self._put(self._entries[k], "alive", "is alive")

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            entry, kind, text = job
            try:
                send(entry, kind, self._about, text)
                self._failed.discard(entry.way)
            except Exception as exc:  # whatever goes wrong out there must not reach what runs here
                self._fail(entry, _why(exc))

    def _fail(self, entry: NotifyEntry, why: str) -> None:
        if entry.way not in self._failed:
            self._failed.add(entry.way)
            self._told(f"notify: {entry.way} could not be told: {why}.")


def try_all(entries: Sequence[NotifyEntry], about: str) -> list[tuple[str, str]]:
    """Send a test message by every way, one after the other; returns each way and why it failed, empty where it did not."""
    tried = []
    for entry in entries:
        try:
            send(entry, "test", about, "this is a test: nothing has happened")
        except Exception as exc:  # whatever goes wrong out there is what is asked for
            tried.append((entry.way, _why(exc)))
        else:
            tried.append((entry.way, ""))
    return tried


def _why(exc: Exception) -> str:
    """Say what went wrong without the words of a command or a URL, which may be secret."""
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"it took longer than {TIMEOUT_S:g} s"
    return f"{type(exc).__name__}: {exc}"


def send(entry: NotifyEntry, kind: Kind, about: str, text: str) -> None:
    """Send one message now; raises what the way raises."""
    message = {"program": "aeqlab", "about": about, "kind": kind, "text": text, "t": time.time()}
    if entry.mail is not None:
        _mail(entry.mail, f"{about}: {kind}", text)
    elif entry.command is not None:
        done = subprocess.run(
            entry.command, input=json.dumps(message) + "\n", text=True, timeout=TIMEOUT_S, check=False, capture_output=True
        )
        if done.returncode:
            raise OSError(f"it ended with code {done.returncode}: {done.stderr.strip()[:200]}")
    else:
        url = entry.webhook or os.environ.get(entry.webhook_from or "", "")
        if not url.startswith(("http://", "https://")):
            raise OSError(f"the environment variable {entry.webhook_from} holds no URL that begins with https://")
        request = urllib.request.Request(
            url, json.dumps(message).encode("utf-8"), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            pass


def _mail(mail: Mail, subject: str, text: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = f"[aeqlab] {subject}", mail.sender, ", ".join(mail.to)
    message.set_content(text)
    at_once = mail.tls and mail.port == ENCRYPTED_PORT
    with (smtplib.SMTP_SSL if at_once else smtplib.SMTP)(mail.host, mail.port, timeout=TIMEOUT_S) as server:
        if mail.tls and not at_once:
            server.starttls()
        if mail.user:
            password = os.environ.get(mail.password_from, "")
            if not password:
                raise OSError(f"the environment variable {mail.password_from} holds no password")
            server.login(mail.user, password)
        server.send_message(message)
