"""The commands of a session: one table of what may be asked, by whom, in which states, and what is answered.

`docs/commands.md` is this table for people; a test keeps the two the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aeqlab.backends.errors import BackendError, WireError
from aeqlab.protocols.errors import NotAllowedError

if TYPE_CHECKING:
    from aeqlab.protocols.peer import Peer
    from aeqlab.protocols.server import SessionServer

#: Kinds of arguments, and how each is known. A `?` at the end: may be left out or None.
KINDS: dict[str, Callable[[Any], bool]] = {
    "array": lambda v: isinstance(v, np.ndarray),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "text": lambda v: isinstance(v, str) and len(v) <= 2000,
    "switch": lambda v: isinstance(v, bool),
    "mapping": lambda v: isinstance(v, dict),
    "list": lambda v: isinstance(v, list),
}


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table.

    Attributes:
        arguments: name and kind of each, in order.
        who: "control" (the client with the control token), "key" (any client of this user) or "anyone" (any local account).
        moving: not allowed in FROZEN, SAFE and UNKNOWN.
        answer: what comes back, in words.
        run: what is done, with the arguments.
        urgent: goes before everything else and interrupts a loop at its next tick.
        direct: answered at once, also while the device is busy: it touches no device.
        quick: only stages, or tells what was read, so it need not wait for the owner's thread if the device is free.
    """

    arguments: tuple[tuple[str, str], ...]
    who: str
    moving: bool
    answer: str
    run: Callable[..., Any]
    urgent: bool = False
    direct: bool = False
    quick: bool = False
    tests: tuple[tuple[Callable[[Any], bool], bool], ...] = field(init=False, repr=False)  # of each argument; may it be left out?

    def __post_init__(self) -> None:
        tests = tuple((KINDS[kind.rstrip("?")], kind.endswith("?")) for _, kind in self.arguments)
        object.__setattr__(self, "tests", tests)


def checked(name: str, command: Command, values: Any) -> list[Any]:
    """Check the arguments of a command and fill in those left out.

    Raises:
        WireError: too many, too few, or of another kind; the message names the argument.
    """
    if not isinstance(values, list) or len(values) > len(command.arguments):
        raise WireError(f"{name}: at most {len(command.arguments)} arguments are taken")
    filled = values + [None] * (len(command.arguments) - len(values))
    for k, (fits, optional) in enumerate(command.tests):
        value = filled[k]
        if not (fits(value) or (optional and value is None)):
            argument, kind = command.arguments[k]
            raise WireError(f"{name}: {argument} must be a {kind.rstrip('?')}, not {_kind_of(value)}")
    return filled


def _kind_of(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _on_session(method: str) -> Callable[..., Any]:
    def run(server: SessionServer, peer: Peer, *args: Any) -> Any:
        return getattr(server.session, method)(*args)

    return run


def _on_server(method: str) -> Callable[..., Any]:
    def run(server: SessionServer, peer: Peer, *args: Any) -> Any:
        return getattr(server, method)(peer, *args)

    return run


def _device_call(server: SessionServer, peer: Peer, name: str, args: list[Any]) -> Any:
    try:
        return server.session.device_call(name, *args)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as exc:
        if isinstance(exc, BackendError):
            raise
        raise NotAllowedError(f"device_call: {name} does not take these arguments: {exc}") from exc


_S, _V = _on_session, _on_server
COMMANDS: dict[str, Command] = {
    # watching
    "status": Command((), "anyone", False, "state, reason, nudge, who owns the knobs and the token", _V("status"), direct=True),
    "info": Command((), "key", False, "what the device says of itself", _V("describe"), direct=True),
    "last": Command((), "key", False, "last readout and setpoints, without time passing", _V("last"), direct=True),
    "safety": Command(
        (), "key", False, "the safety report of the last make safe, if the device still stands for it", _V("safety"), direct=True
    ),
    "log": Command((("since", "number?"),), "key", False, "events from a number on, and the next number", _V("log"), direct=True),
    "watch": Command(
        (("since_event", "number?"),), "key", False,
        "everything that a window shows, and the events from a number on, without a word to the device", _V("watch"), direct=True,
    ),
    "last_traces": Command((), "control", False, "traces of the phases since the last call", _S("last_traces")),
    # the four abilities
    "present": Command((("inputs", "array"),), "control", True, "nothing", _S("present"), quick=True),
    "set_controls": Command((("u", "array"),), "control", True, "nothing; takes the knobs over", _S("set_controls"), quick=True),
    "move_knobs": Command(
        (("row", "text"), ("knobs", "list"), ("values", "list")), "control", True,
        "where they came to; takes the knobs over, no faster than their slew; row is control or input", _S("move_knobs"),
    ),
    "large_jump": Command(
        (("row", "text"), ("knobs", "list"), ("values", "list")), "key", False,
        "how large such a move would be, and whether to ask first", _S("large_jump"), direct=True,
    ),
    "controls": Command((), "control", False, "control knobs as the device reports them", _S("controls"), quick=True),
    "nudge": Command((("targets", "array"), ("beta", "number")), "control", True, "nothing", _S("nudge"), quick=True),
    "release": Command((), "control", False, "nothing", _S("release"), quick=True),
    "advance": Command((("seconds", "number?"),), "control", True, "a readout", _S("advance")),
    "read": Command((), "control", False, "a readout after the shortest tick", _S("read")),
    # loops
    "hold": Command((("theta", "array?"),), "control", True, "a hold report; then the loop goes on holding", _S("hold")),
    "set_target": Command((("theta", "array"),), "control", True, "nothing; the next hold brings theta there", _S("set_target")),
    "hold_at": Command((("theta", "array"),), "control", True, "as `set_target` and `hold`, at once", _S("hold_at")),
    "settle": Command((), "control", True, "a settle report", _S("settle")),
    "parameters": Command((), "control", False, "theta", _S("parameters"), quick=True),
    "configure": Command(
        (("homeostasis", "mapping?"), ("settling", "mapping?"), ("traces", "switch?"), ("then", "text?")),
        "control", False, "nothing", _V("configure"),
    ),
    # abilities by name
    "device_call": Command(
        (("name", "text"), ("arguments", "list")), "control", False,
        "what the method returns; a method that moves something is refused in FROZEN, SAFE and UNKNOWN", _device_call,
    ),
    "state": Command((), "control", False, "everything that decides the future", _S("state")),
    "restore": Command((("state", "mapping"),), "control", True, "nothing", _S("restore")),
    # gains
    "gains": Command(
        (), "key", False, "gains in use, knob by knob, with their margins, and the trial that is on", _S("gains"), direct=True
    ),
    "try_gains": Command(
        (("change", "mapping"), ("by", "text?"), ("seconds", "number?")), "key", True,
        "the trial; it takes effect at the next tick of a running loop, and goes back by itself", _V("try_gains"), direct=True,
    ),
    "keep_gains": Command(
        (("by", "text?"),), "key", False, "the file in which the gains on trial are kept", _V("keep_gains"), direct=True
    ),
    "revert_gains": Command(
        (("by", "text?"),), "key", False, "nothing; the gains are as before the trial", _V("revert_gains"), direct=True
    ),
    # instruments
    "instruments": Command(
        (), "key", False, "every instrument: name, where, identity, whether it talks, why it is down", _S("instruments"),
        direct=True,
    ),
    "arming_plan": Command((), "key", False, "what arming will change at the instruments, line by line", _S("arming_plan")),
    "console": Command(
        (("instrument", "text"), ("text", "text")), "key", False,
        "the answer to one question in the instrument's own words; others than for its settings need the token and free knobs",
        _V("console"),
    ),
    # alarms
    "alarms": Command((), "key", False, "every alarm that is kept, oldest first", _V("alarms"), direct=True),
    "acknowledge": Command(
        (("by", "text"), ("number", "number?")), "key", False, "the alarms that were not acknowledged yet; all without a number",
        _S("acknowledge"), direct=True,
    ),
    # safety
    "freeze": Command(
        (("reason", "text"), ("by", "text?")), "anyone", False, "nothing, once it is frozen", _V("freeze"), urgent=True
    ),
    "make_safe": Command(
        (("reason", "text"), ("by", "text?")), "anyone", False, "a safety report, line by line", _V("make_safe"), urgent=True
    ),
    "abort": Command((("reason", "text"),), "key", False, "nothing; a loop ends at its next tick", _V("abort"), direct=True),
    "continue": Command(
        (("standing", "number?"),), "control", False, "nothing; a standing that came after that number is not lifted",
        _S("continue_"),
    ),
    # ownership
    "take_control": Command((), "key", False, "who held the token before", _V("take_control"), urgent=True),
    "give_control": Command((), "control", False, "nothing", _V("give_control")),
    "bye": Command((), "key", False, "nothing; the connection is closed", _V("bye")),
    "end": Command(
        (("reason", "text"), ("then", "text?")), "key", False, "a safety report, if made safe; then the session ends", _V("end"),
        urgent=True,
    ),
}  # fmt: skip


def table() -> str:
    """Write the table in Markdown, as it stands in `docs/commands.md`."""
    rows = ["| command | arguments | asked by | allowed in | answer |", "| --- | --- | --- | --- | --- |"]
    for name, command in COMMANDS.items():
        arguments = ", ".join(f"{argument}: {kind}" for argument, kind in command.arguments) or "-"
        states = "IDLE, HOLDING, NUDGED" if command.moving else "every state"
        rows.append(f"| `{name}` | {arguments} | {command.who} | {states} | {command.answer} |")
    return "\n".join(rows) + "\n"
