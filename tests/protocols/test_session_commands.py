"""The table of commands for people, and what the session really does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import client_of, inputs_of, served, slow, targets_of

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.commands import COMMANDS, table
from aeqlab.protocols.errors import FrozenError, NotAllowedError, ProtocolError
from aeqlab.protocols.remote import SessionClient


def arguments(name: str, client: SessionClient, state: dict[str, Any]) -> list[Any]:
    """Make arguments that are right for a command."""
    theta = np.zeros(client.info.n_parameters)
    return {
        "present": [inputs_of(client)], "set_controls": [np.zeros(len(client.info.controls))],
        "nudge": [targets_of(client), 0.05],
        "hold": [theta], "hold_at": [theta], "set_target": [theta],
        "configure": [None, None, False, "freeze"], "device_call": ["true_parameters", []], "restore": [state],
        "move_knobs": ["control", [0], [0.01]], "large_jump": ["control", [0], [0.01]],
        "try_gains": [{"factor": 1.1}, "a person"],
        "acknowledge": ["a person"], "freeze": ["a reason"], "make_safe": ["a reason"], "abort": ["a reason"],
    }.get(name, [])  # fmt: skip


def test_the_table_in_the_documentation_is_the_one_in_the_code(project_root: Path) -> None:
    assert table() in (project_root / "docs" / "commands.md").read_text(encoding="utf-8")


def test_every_command_obeys_its_row() -> None:
    """Token, states and kinds of arguments, one command after the other."""
    for name, command in COMMANDS.items():
        if name in ("end", "bye", "keep_gains", "revert_gains", "console"):  # they have their own tests
            continue
        with served(slow(Clock.VIRTUAL)) as server, client_of(server, "first") as first, client_of(server, "second") as second:
            stranger = SessionClient(server.port, None)
            first.present(inputs_of(first))
            first.advance()
            values = arguments(name, first, first.state())
            first._call(name, *values)
            refused(second, name, values, command.who == "control", NotAllowedError, "token")
            first.take_control()
            refused(stranger, name, values, command.who != "anyone", NotAllowedError, "user")
            first.continue_()
            first.freeze("the reason of this test")
            refused(first, name, values, command.moving, FrozenError, "the reason of this test")
            stranger.close()


def refused(client: SessionClient, name: str, values: list[Any], expected: bool, kind: type[Exception], text: str) -> None:
    if expected:
        with pytest.raises(kind, match=text):
            client._call(name, *values)
    else:
        client._call(name, *values)


def test_arguments_of_another_kind_are_refused_by_name() -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server) as client:
        for name, command in COMMANDS.items():
            for wrong in ({"an": "other"}, np.zeros(2), "text", 1.5, True, [1]):
                kinds = [kind.rstrip("?") for _, kind in command.arguments]
                if kinds and not fits(wrong, kinds[0]):
                    with pytest.raises((BackendError, ProtocolError), match=command.arguments[0][0]):
                        client._call(name, wrong)
            with pytest.raises((BackendError, ProtocolError), match="at most"):
                client._call(name, *[None] * 9)
        with pytest.raises((BackendError, ProtocolError), match="no command 'dance'"):
            client._call("dance")
        with pytest.raises(NotAllowedError, match="gain"):
            client._call("configure", {"gain": -1.0}, None, None, None)
        with pytest.raises(NotAllowedError, match="freeze, safe, hold"):
            client._call("configure", None, None, None, "explode")
        assert client.status().doing == ""


def fits(value: Any, kind: str) -> bool:
    return {
        "array": isinstance(value, np.ndarray), "number": isinstance(value, float), "text": isinstance(value, str),
        "switch": isinstance(value, bool), "mapping": isinstance(value, dict), "list": isinstance(value, list),
    }[kind]  # fmt: skip
