"""Commands to a running run over a local socket: pause, continue, skip, stop, abort, freeze, safe, status, note, answer; and
`sequence` and `edit`, which tell its stages and change those to come.

Messages are trees in the form of `backends/wire.py`, never pickle. The address and the key lie in the run folder, in a file
that its owner alone can read. A command sets a request and is answered at once; the run acts on it at the sample boundary
or tick that the answer names. Nothing a client sends can hurt the run: each has a thread of its own that ends with it.

    request  {"version": 1, "command": "stop", "who": "ada", "text": ""}
    answer   {"ok": true, "state": "running", "text": "Stops at the end of this sample."}
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import FileErrors, NotAllowedError, RecordError, SessionLostError
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_state import ENDED, SOMEONE, Note, Requests, RunState

if TYPE_CHECKING:
    from aeqlab.protocols.sequence_plan import Change, SequencePlan

VERSION = 1
COMMANDS = ("pause", "continue", "skip", "stop", "abort", "freeze", "safe", "status", "note", "answer", "sequence", "edit")
MAX_MESSAGE = 64 * 1024
MAX_ANSWER = 1024 * 1024
MAX_CLIENTS = 32
_IDLE_S = 60.0

Status = Callable[[], dict[str, Any]]


class ControlServer:
    """The ear of a run: listens in a thread of its own and turns commands into requests.

    Args:
        file: where address and key are written, `control.json` of the run folder.
        requests: the run's requests.
        status: gives what `status` answers, plain JSON values; called from other threads.
    """

    def __init__(self, file: Path, requests: Requests, status: Status) -> None:
        self.file = file
        self.requests = requests
        self.status = status
        self._key = secrets.token_bytes(32)
        self._clients = threading.Semaphore(MAX_CLIENTS)
        self._closing = False
        self.plan: SequencePlan | None = None  #: the stages, once they are known
        self._answering = threading.Lock()
        self._listener = Listener(None)  # the local kind of this system; the key is asked for in the client's own thread
        address: Any = self._listener.address  # a path, the name of a pipe, or host and port
        _write_secret(file, {"version": VERSION, "address": address, "key": self._key.hex(), "pid": os.getpid()})
        self._thread = threading.Thread(target=self._listen, name="run control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._closing:
            return
        with self._answering:  # what was answered before is in the requests; nothing is taken any more
            self._closing = True
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)
        with contextlib.suppress(OSError, EOFError):
            Client(self._listener.address).close()  # wakes the thread that waits for a client
        self._thread.join(timeout=2.0)
        with contextlib.suppress(OSError):
            self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except (OSError, EOFError):
                if self._closing:
                    return
                time.sleep(0.05)  # out of handles, say: not a reason to spin
                continue
            if self._closing:
                connection.close()
                return
            if not self._clients.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), name="run control client", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            with connection:
                deliver_challenge(connection, self._key)
                answer_challenge(connection, self._key)
                while connection.poll(_IDLE_S):
                    connection.send_bytes(pack(self._answer(connection.recv_bytes(MAX_MESSAGE))))
        except Exception:  # whatever this client did, or however it left, is its own affair
            return
        finally:
            self._clients.release()

    def _answer(self, message: bytes) -> dict[str, Any]:
        try:
            request = unpack(message)
        except WireError as exc:
            return {"ok": False, "text": f"Not understood: {exc}"}
        if not isinstance(request, dict) or request.get("version") != VERSION:
            return {"ok": False, "text": f"Not understood: this run speaks version {VERSION}."}
        command, who, text = (request.get(key, "") for key in ("command", "who", "text"))
        if not all(isinstance(word, str) for word in (command, who, text)):
            return {"ok": False, "text": "Not understood: command, who and text are words."}
        change: Change | dict[str, Any] | None = None
        if command == "edit" and self.plan is not None:  # it takes its time, in which others may ask for something
            change = _understood(self.plan, text)
        with self._answering:
            if self._closing and command != "status":
                return {"ok": False, "text": "The run is ending; it takes nothing any more."}
            text = text if command == "edit" else text[:10_000]
            return obey(self.requests, self.status, command, who[:80] or SOMEONE, text, self.plan, change)


def obey(
    requests: Requests,
    status: Status,
    command: str,
    who: str,
    text: str = "",
    plan: SequencePlan | None = None,
    change: Change | dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Turn one command into a request to a run and say what will happen.

    Args:
        requests, status: of the run.
        command, who, text: as they came.
        plan: its stages; None: not known yet.
        change: what of an `edit` was understood, or why it was not; None: it is read here.
    """
    now = status()
    state = RunState(now["state"])
    if command not in COMMANDS:
        return {"ok": False, "state": state, "text": f"There is no command {command[:40]!r}. Commands: {', '.join(COMMANDS)}."}
    if command == "status":
        return {"ok": True, "text": "", **now}
    if state in ENDED:
        return {"ok": False, "state": state, "text": f"The run is {state} already."}
    why = f"{command} by {who}" + (f": {text}" if text else "")
    waiting = state in (RunState.PAUSED, RunState.PAUSING) or requests.pause
    match command:
        case "pause" if state is RunState.PAUSED:
            said = "It is paused already."
        case "pause":
            requests.ask_pause(why)
            said = "Pauses at the end of this sample."
        case "continue" if not waiting:
            said = "It is not paused."
        case "continue":
            requests.ask_continue(why)
            said = "Goes on."
        case "skip" if state is RunState.PREPARING or not now["stage"]:
            return {"ok": False, "state": state, "text": "No stage has begun yet; there is nothing to skip."}
        case "skip":
            requests.ask_skip(why)
            said = f"Leaves the stage {now['stage']} at the end of this sample" + (", once the run goes on." if waiting else ".")
        case "stop":
            requests.ask_stop(why)
            said = "Stops at the end of this sample." if not waiting else "Stops."
        case "abort":
            requests.ask_abort(why)
            said = "Aborts at the next tick."
        case "freeze":
            requests.ask_freeze(why, by=who)
            said = "Freezes the device at the next tick and pauses; `continue` presents the next sample."
        case "safe":
            requests.ask_abort(why, safe=True, by=who)
            said = "Aborts at the next tick and makes the device safe."
        case "sequence" | "edit" if plan is None:
            return {"ok": False, "state": state, "text": "The run is preparing; its stages are not known yet. Try again."}
        case "sequence":
            assert plan is not None
            return {"ok": True, "state": state, "text": "", **plan.listed(str(now.get("path", "")))}
        case "edit":
            assert plan is not None
            change = _understood(plan, text) if change is None else change
            if isinstance(change, dict):
                return {"state": state, **change}
            try:
                said = plan.apply(change, who)
            except NotAllowedError as exc:
                return {"ok": False, "state": state, "text": str(exc)}
            requests.tell("edit", f"edit by {who}. {said}\n{text}")
        case "answer":
            wrong = requests.answer(text, who, "command")
            if wrong:
                return {"ok": False, "state": state, "text": wrong}
            said = f"Answered: {text.strip()}."
        case _:
            if not text.strip():
                return {"ok": False, "state": state, "text": "A note needs a text."}
            requests.notes.put(Note(who, text))
            said = "Noted."
    return {"ok": True, "state": state, "text": said}


def _understood(plan: SequencePlan, text: str) -> Change | dict[str, Any]:
    """Read a change of the sequence; the answer to it where it cannot be."""
    try:
        return plan.understood(text)
    except (FileErrors, NotAllowedError) as exc:
        return {"ok": False, "text": str(exc)}


def send(folder: Path, command: str, text: str = "", *, who: str = "", timeout_s: float = 5.0) -> dict[str, Any]:
    """Send a command to the run that works in a folder, and return its answer.

    Args:
        folder: the run folder.
        command: one of `COMMANDS`.
        text: reason, the text of a note, or an answer.
        who: name that is recorded; the person logged in, if left out.
        timeout_s: how long to wait for the answer.
    Raises:
        RecordError: no run is alive in this folder.
        NotAllowedError: the run refuses; says why.
        SessionLostError: the run does not answer in time.
    """
    if not is_alive(folder):
        raise RecordError(f"{folder} is not running. `aeqlab resume {folder.name}` continues it, if it did not finish.")
    try:
        where = json.loads((folder / "control.json").read_text(encoding="utf-8"))
        address, key = where["address"], bytes.fromhex(where["key"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RecordError(f"{folder} runs, but takes no commands now (it is starting or ending). Try again.") from exc
    request = {"version": VERSION, "command": command, "who": who or person(), "text": text}
    box: dict[str, Any] = {}
    thread = threading.Thread(target=_ask, args=(address, key, pack(request), box), daemon=True)
    thread.start()
    thread.join(timeout_s)
    if "answer" not in box:
        why = box.get("error", f"no answer in {timeout_s:g} s")
        raise SessionLostError(f"{folder} does not answer ({why}). If it hangs, end process {where.get('pid')}.")
    answer: dict[str, Any] = box["answer"]
    if not answer.get("ok"):
        raise NotAllowedError(f"{folder.name}: {answer.get('text', 'refused')}")
    return answer


def _ask(address: Any, key: bytes, request: bytes, box: dict[str, Any]) -> None:
    try:
        with Client(tuple(address) if isinstance(address, list) else address, authkey=key) as connection:
            connection.send_bytes(request)
            box["answer"] = unpack(connection.recv_bytes(MAX_ANSWER))
    except Exception as exc:  # told to the caller as one sentence
        box["error"] = str(exc) or type(exc).__name__


def person() -> str:
    """Get the name of the person logged in."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "someone"


def _write_secret(file: Path, content: dict[str, Any]) -> None:
    previous = os.umask(0o077)
    try:
        write_whole(file, json.dumps(content).encode())
        with contextlib.suppress(OSError):
            file.chmod(0o600)
    finally:
        os.umask(previous)
