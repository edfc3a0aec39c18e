"""Hostile messages: whatever is sent, the session answers by a sentence or drops the connection, and goes on serving others."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_helpers import KEY, client_of, served, simulated

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols.abilities import METHODS
from aeqlab.protocols.commands import COMMANDS
from aeqlab.protocols.greeting import PROGRAM, PROTOCOL, proof
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.status import SessionState

ARRAYS = st.one_of(
    st.lists(st.floats(), max_size=8).map(np.array),
    st.tuples(st.integers(0, 3), st.integers(0, 8)).map(np.zeros),
    st.sampled_from([np.zeros((1, 7)), np.zeros(7), np.full(7, np.nan), np.zeros(7, dtype=np.int8), np.array(3.0)]),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20), ARRAYS)
KEYS = st.one_of(st.sampled_from(["n", "c", "a", "beat", "~", "v", "device", "target", "u"]), st.text(max_size=5)).filter(
    lambda key: not key.startswith("@")
)
TREES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)), max_leaves=8
)
ARGUMENTS = st.lists(st.one_of(TREES, st.sampled_from(["state", "__init__", "close", "_advance"])), max_size=4)
CALLS = st.tuples(st.sampled_from(sorted(METHODS)), st.lists(TREES, max_size=4)).map(
    lambda call: {"n": 1, "c": "device_call", "a": [call[0], call[1]]}
)
STATES = st.fixed_dictionaries({}, optional=dict.fromkeys(("device", "controller", "target", "beta"), TREES)).map(
    lambda state: {"n": 1, "c": "restore", "a": [state]}
)
#: what would end the session, or wait for a long time, is tried elsewhere
NAMES = st.one_of(st.sampled_from(sorted(COMMANDS.keys() - {"end", "bye"})), st.text(max_size=12))
REQUESTS = st.one_of(
    CALLS,
    STATES,
    st.fixed_dictionaries(
        {"n": st.one_of(st.integers(0, 99), TREES), "c": st.one_of(NAMES, TREES), "a": st.one_of(ARGUMENTS, TREES)}
    ),
)


@pytest.fixture(scope="module")
def server() -> Iterator[SessionServer]:
    logging.getLogger("aeqlab").setLevel(logging.CRITICAL)
    with served(simulated()) as made:
        yield made


def greeted(server: SessionServer) -> Connection[Any, Any]:
    """Connect and greet as a client of this user that wants the token."""
    connection = Client(("127.0.0.1", server.port), family="AF_INET")
    nonces = unpack(connection.recv_bytes())["nonce"] + ":mine"
    hello = {"program": PROGRAM, "protocol": PROTOCOL, "name": "fuzz", "nonce": "mine", "control": True}
    connection.send_bytes(pack({**hello, "proof": proof(KEY, "client", nonces)}))
    unpack(connection.recv_bytes())
    return connection


def answers(connection: Connection[Any, Any]) -> str:
    """Wait for an answer or the end of the connection; returns which."""
    assert connection.poll(60), "neither an answer nor an end"
    try:
        answer = unpack(connection.recv_bytes())
    except (EOFError, OSError):
        return "dropped"
    if "e" in answer:
        kind, sentence = answer["e"]
        assert "Traceback" not in sentence
        assert "failed in the session" not in sentence, sentence
        return str(kind)
    return "refused" if "refused" in answer else "answered"


def still_serves(server: SessionServer) -> None:
    with client_of(server, control=False) as client:
        assert client.status().state in set(SessionState)


def bytes_before_greeting(server: SessionServer, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 60) as stranger:
        stranger.settimeout(60)
        with contextlib.suppress(ConnectionError):  # it may be dropped before it has said everything
            stranger.sendall(data)
            with contextlib.suppress(OSError):
                stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(65536):  # its greeting, and then the end; a time-out fails the test
                pass


def framed_bytes(server: SessionServer, data: bytes) -> None:
    with greeted(server) as connection:
        connection.send_bytes(data)
        try:
            unpack(data)
        except WireError:
            assert answers(connection) in ("refused", "dropped")


def any_request(server: SessionServer, request: dict[str, Any]) -> None:
    with greeted(server) as connection:
        connection.send_bytes(pack(request))
        if not asks_for_long(request):
            answers(connection)
    if asks_for_long(request):  # whoever asks for hours and leaves keeps nobody waiting
        still_serves(server)


def asks_for_long(request: dict[str, Any]) -> bool:
    match request:
        case {"c": str(name), "a": [int(seconds) | float(seconds)]}:
            return name == "advance" and seconds > 1000
    return False


def any_greeting(server: SessionServer, tree: Any) -> None:
    with Client(("127.0.0.1", server.port), family="AF_INET") as connection:
        connection.recv_bytes()
        connection.send_bytes(pack(tree))
        assert answers(connection) in ("refused", "dropped")


FRAMES = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=60).map(lambda b: b"AEQ1" + struct.pack("<I", len(b)) + b),
    TREES.map(pack).flatmap(lambda m: st.integers(0, len(m)).map(lambda cut: m[:cut])),
)
HEADS = st.one_of(st.binary(max_size=100), st.binary(min_size=1, max_size=60).map(lambda b: struct.pack("!i", len(b)) + b))
QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]


@pytest.mark.parametrize("examples", [125, pytest.param(25_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("attack", "inputs"),
    [(bytes_before_greeting, HEADS), (framed_bytes, FRAMES), (any_request, REQUESTS), (any_greeting, TREES)],
    ids=["bytes before the greeting", "bytes", "requests", "greetings"],
)
@pytest.mark.timeout(7200)
def test_nothing_that_is_sent_brings_a_session_down(server: SessionServer, attack: Any, inputs: Any, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=QUIET, database=None)
    @given(inputs)
    def tried(data: Any) -> None:
        attack(server, data)

    tried()
    still_serves(server)


def test_a_message_can_name_no_class_but_those_that_travel() -> None:
    from aeqlab.protocols.forms import from_tree

    for tree in (
        {"~": "Popen", "args": ["true"]},
        {"~": "Readout"},
        {"~": 3},
        {"~": "HoldReport", "verdict": "dance"},
        {"~": []},
    ):
        with pytest.raises(WireError):
            from_tree(tree)
