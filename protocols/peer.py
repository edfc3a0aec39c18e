"""A client as its session sees it: one connection, one thread that listens to it, and when it was last heard."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from aeqlab.backends.errors import WireError
from aeqlab.backends.wire import Part, parts
from aeqlab.protocols.channel import Channel
from aeqlab.protocols.greeting import LARGE, PROGRAM, PROTOCOL, SMALL, mapping_in, proof, receive_soon, same
from aeqlab.protocols.shorthand import Reader, Writer

if TYPE_CHECKING:
    from aeqlab.protocols.clients import Clients, Host

#: How often a listener looks whether it is still wanted, in seconds.
LOOK_S = 1.0


class Peer:
    """One client of a session, from its greeting to its end.

    Attributes:
        name: as it calls itself, with its process.
        keyed: it proved to be of this user; else it may only look, freeze and make safe.
        heard: when it was last heard, by `time.monotonic`.
        greeted: whether the greeting is done.
        watches: it only looks on: a session that lives as long as its clients does not live for it.
        seen: number of the next event it was not told yet.
    """

    def __init__(self, clients: Clients, host: Host, connection: Connection[Any, Any]) -> None:
        self._clients, self._host = clients, host
        self.name = "a stranger"
        self.keyed = False
        self.greeted = False
        self.wants_control = False
        self.watches = False
        self.heard = time.monotonic()
        self.seen = 0
        self.number = 0  # of the last request that went to the owner
        self.gone = False
        self._channel = Channel(connection, LOOK_S)
        self._writer = Writer()
        self.thread = threading.Thread(target=self._listen, name="client", daemon=True)

    def send(self, tree: dict[str, Any]) -> None:
        """Send a message; a client that is gone or does not read is dropped instead."""
        self._send(parts(tree))

    def answer(self, number: int, result: Any) -> None:
        """Send an answer without news, as `send` does."""
        self._send(self._writer.answer(number, result))

    def _send(self, pieces: list[Part]) -> None:
        try:
            self._channel.send_soon(pieces)
        except OSError:
            self.drop()

    def drop(self) -> None:
        """Shut the connection down, from any thread; its listener then ends."""
        self._channel.drop()

    def _listen(self) -> None:
        why = ""
        try:
            self._greet()
            limit, reader = LARGE if self.keyed else SMALL, Reader()
            while not self.gone:
                received = self._channel.receive(limit)
                if received is not None:
                    self.heard = time.monotonic()
                    message = mapping_in(received, reader.read)
                    if "beat" not in message:
                        self._host.asked(self, message)
        except WireError as exc:
            why = str(exc)
            with contextlib.suppress(WireError):
                self.send({"refused": why})
        except (OSError, EOFError) as exc:
            why = str(exc)
        finally:
            self._clients.left(self, why)
            self._channel.close()

    def _greet(self) -> None:
        mine = secrets.token_hex(16)
        self.send({"program": PROGRAM, "protocol": PROTOCOL, "nonce": mine})
        hello = receive_soon(self._channel, SMALL)
        if hello.get("program") != PROGRAM or hello.get("protocol") != PROTOCOL:
            raise WireError(
                f"this session speaks {PROGRAM} {PROTOCOL}, the client {str(hello.get('program'))[:40]} "
                f"{str(hello.get('protocol'))[:10]}. Use the same version of aeqlab on both sides."
            )
        name, theirs, said = hello.get("name"), hello.get("nonce"), hello.get("proof")
        if not isinstance(name, str) or not isinstance(theirs, str) or len(name) > 200 or len(theirs) > 200:
            raise WireError("a greeting tells a name and a nonce")
        nonces = f"{mine}:{theirs}"
        if said is not None:
            if not isinstance(said, str) or not same(said, proof(self._host.key, "client", nonces)):
                raise WireError("the key is not that of this session. It lies in the state folder of the user who started it.")
            self.keyed = True
        self.name = "".join(c if c.isprintable() else "?" for c in name) or "a client"
        self.wants_control = self.keyed and hello.get("control") is True
        self.watches = hello.get("watches") is True
        self.greeted = True
        self.heard = time.monotonic()
        welcome = self._clients.joined(self)
        welcome["proof"] = proof(self._host.key, "session", nonces) if self.keyed else None
        self.send(welcome)
