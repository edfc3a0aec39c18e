"""How the two ends of a session's socket greet each other: version, proof of the key, name. Nothing else is believed before.

The session speaks first, with a nonce; a client answers with one of its own and, if it may read the user's state folder, with
proof that it knows the key in there. Who does not know it (another account of this computer) may still freeze and make safe.
"""

from __future__ import annotations

import hmac
import socket
import struct
import sys
from multiprocessing.connection import Client, Connection
from typing import Any

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import pack, unpack

PROTOCOL = 1
PROGRAM = "aeqlab-session"
#: How long one write may take, and how long an answer to a greeting, in seconds.
SEND_S, ANSWER_S = 5.0, 4.0
#: Largest message before and after the greeting, in bytes.
SMALL = 16 * 1024
LARGE = 256 * 1024 * 1024


def proof(key: bytes, side: str, nonces: str) -> str:
    """Prove that one knows the key, for these nonces and this side ("session" or "client")."""
    return hmac.new(key, f"{side}:{nonces}".encode(), "sha256").hexdigest()


def same(a: str, b: str) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(a.encode(), b.encode())


def connect(host: str, port: int) -> tuple[Connection[Any, Any], socket.socket]:
    """Connect to a session.

    Returns:
        The connection, and the socket below it (a second handle), by which it can be shut down from any thread.
    Raises:
        OSError: nobody listens there.
    """
    connection = Client((host, port), family="AF_INET")
    return connection, below(connection)


def below(connection: Connection[Any, Any]) -> socket.socket:
    """Get the socket below a connection, with Nagle's algorithm off and a limit on how long one write may take."""
    sock = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seconds = struct.pack("l", int(SEND_S * 1000)) if sys.platform == "win32" else struct.pack("ll", int(SEND_S), 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
    return sock


def receive_in_time(connection: Connection[Any, Any], limit: int) -> dict[str, Any]:
    """Receive one message that must come soon.

    Raises:
        TimeoutError: nothing came; whoever is there does not answer.
    """
    if not connection.poll(ANSWER_S):
        raise TimeoutError(f"it does not answer within {ANSWER_S:g} s")
    return receive(connection, limit)


def receive(connection: Connection[Any, Any], limit: int) -> dict[str, Any]:
    """Receive one message.

    Raises:
        WireError: not in the agreed form.
        EOFError, OSError: the other side is gone, or sent more than `limit` bytes.
    """
    tree = unpack(connection.recv_bytes(limit))
    if not isinstance(tree, dict):
        raise WireError("a message of a session is a mapping")
    return tree


def send(connection: Connection[Any, Any], tree: dict[str, Any]) -> None:
    """Send one message."""
    connection.send_bytes(pack(tree))
