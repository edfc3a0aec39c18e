"""How the two ends of a session's socket greet each other: version, proof of the key, name. Nothing else is believed before.

The session speaks first, with a nonce; a client answers with one of its own and, if it may read the user's state folder, with
proof that it knows the key in there. Who does not know it (another account of this computer) may still freeze and make safe.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import Tree, unpack
from aeqlab.protocols.channel import Channel

PROTOCOL = 3
PROGRAM = "aeqlab-session"
#: How long an answer to a greeting may take, in seconds.
ANSWER_S = 4.0
#: Largest message before and after the greeting, in bytes.
SMALL = 16 * 1024
LARGE = 256 * 1024 * 1024


def proof(key: bytes, side: str, nonces: str) -> str:
    """Prove that one knows the key, for these nonces and this side ("session" or "client")."""
    return hmac.new(key, f"{side}:{nonces}".encode(), "sha256").hexdigest()


def same(a: str, b: str) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(a.encode(), b.encode())


def mapping_in(message: memoryview, read: Callable[[memoryview], Tree] = unpack) -> dict[str, Any]:
    """Read a message of a session.

    Raises:
        WireError: not in the agreed form.
    """
    tree = read(message)
    if not isinstance(tree, dict):
        raise WireError("a message of a session is a mapping")
    return tree


def receive_soon(channel: Channel, limit: int) -> dict[str, Any]:
    """Receive one message that must come soon.

    Raises:
        TimeoutError: nothing came; whoever is there does not answer.
    """
    until = time.monotonic() + ANSWER_S
    while (message := channel.receive(limit)) is None:
        if time.monotonic() > until:
            raise TimeoutError(f"it does not answer within {ANSWER_S:g} s")
    return mapping_in(message)
