"""The clients of a session: who is connected, who holds the control token, and whether they still live.

The client with the token must be heard. If its connection ends without a word, or if it is silent for longer than 0.13 s while
the nudge is on (2 s otherwise; on the wall clock only, because in virtual time nothing moves meanwhile), it counts as gone, and
the session freezes the device.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from multiprocessing.connection import Listener
from typing import Any, Protocol

from aeqlab.backends.errors import WireError
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.peer import Peer
from aeqlab.protocols.reaction import SILENCE_NUDGED_S, SILENCE_S
from aeqlab.protocols.status import STANDING, SessionState

#: A client that has not greeted within this time is dropped; and at most so many are connected.
GREETING_S, MOST_CLIENTS = 5.0, 64
#: A session that lives with its client waits so long for the first one.
FIRST_S = 60.0


class Host(Protocol):
    """What the clients need of their session."""

    key: bytes

    @property
    def on_wall_clock(self) -> bool:
        """Whether silence counts."""

    @property
    def standing(self) -> tuple[SessionState, float]:
        """Get the state and the nudge."""

    @property
    def next_event(self) -> int:
        """Get the number of the next event."""

    def asked(self, peer: Peer, message: dict[str, Any]) -> None:
        """Take one message of a client."""

    def say(self, kind: str, text: str, who: str = ...) -> None:
        """Note an event."""

    def describe(self, peer: Peer) -> dict[str, Any]:
        """Get what a client is told of the device."""

    def freeze_soon(self, reason: str, late: bool) -> None:
        """Freeze the device at the next tick."""

    def request_end(self, reason: str) -> None:
        """End the session."""


class Clients:
    """Listens for clients and watches them.

    Args:
        host: the session.
        with_client: the session lives only as long as its clients that know the key and do more than watch.
        port: to listen at on the loopback interface; 0 for any.
    """

    def __init__(self, host: Host, *, with_client: bool, port: int) -> None:
        self._host = host
        self._with_client = with_client
        self._lock = threading.Lock()
        self._peers: list[Peer] = []
        self._control: Peer | None = None
        self._silent = False  # the present silence was acted upon
        self._ending = threading.Event()
        self._came = False
        self._listener = Listener(("127.0.0.1", port), family="AF_INET", backlog=16)
        self.port: int = self._listener.address[1]

    def start(self) -> None:
        """Begin to listen and to watch."""
        for work in (self._accept, self._watch):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()

    def stop(self) -> None:
        """Let every client go, and listen no more."""
        self._ending.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()  # wakes the thread that accepts
        self._listener.close()
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            peer.drop()
        for peer in peers:
            peer.thread.join(2.0)

    @property
    def control(self) -> Peer | None:
        """Get who holds the control token."""
        return self._control

    def names(self) -> tuple[str, ...]:
        """Get everyone who is connected."""
        with self._lock:
            return tuple(peer.name for peer in self._peers if peer.greeted)

    def take(self, peer: Peer) -> Peer | None:
        """Give the token to a client; returns who held it."""
        with self._lock:
            before, self._control, self._silent = self._control, peer, False
        return before

    def give(self, peer: Peer) -> None:
        """Take the token from a client, if it holds it."""
        with self._lock:
            if self._control is peer:
                self._control = None

    def check_control(self, peer: Peer, name: str) -> None:
        """Refuse a command to a client without the token."""
        control = self._control
        if control is not peer:
            held = f"{control.name} holds it" if control is not None else "nobody holds it"
            raise NotAllowedError(f"{name}: the control token is needed, and {held}. Take control first.")

    def joined(self, peer: Peer) -> dict[str, Any]:
        """Welcome a client; the first that wants the control token and finds it free gets it."""
        with self._lock:
            if len(self._peers) > MOST_CLIENTS:
                raise WireError(f"{MOST_CLIENTS} clients are connected; no more are taken")
            if peer.wants_control and self._control is None:
                self._control, self._silent = peer, False
            control = self._control
            self._came = self._came or peer.keyed
        peer.seen = self._host.next_event
        welcome: dict[str, Any] = {"welcome": peer.name, "control": control is peer, "by": control.name if control else ""}
        if peer.keyed:
            self._host.say("client", f"{peer.name} connected" + (" and controls" if control is peer else ""), peer.name)
            welcome["device"] = self._host.describe(peer)
        return welcome

    def left(self, peer: Peer, why: str) -> None:
        """Note that a connection ended; if it was the controlling client's and it did not say goodbye, freeze."""
        with self._lock:
            if peer in self._peers:
                self._peers.remove(peer)
            controlled = self._control is peer
            if controlled:
                self._control = None
            counts = peer.keyed and not peer.watches
            last = self._with_client and counts and not any(p.keyed and not p.watches for p in self._peers)
        if self._ending.is_set():
            return
        if controlled and not peer.gone:
            self._host.freeze_soon(f"its client {peer.name} is gone without a word" + (f" ({why})" if why else ""), False)
        elif peer.greeted and peer.keyed:
            self._host.say("client", f"{peer.name} left", peer.name)
        if last:
            self._host.request_end("its client left, and it was to live only as long")

    # the two threads
    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection = self._listener.accept()
            except OSError:
                if not self._ending.wait(0.05):  # out of file handles, perhaps: others will be closed
                    continue
                return
            if self._ending.is_set() or len(self._peers) >= 2 * MOST_CLIENTS:
                connection.close()
                continue
            try:
                peer = Peer(self, self._host, connection)
            except OSError:
                connection.close()
                continue
            with self._lock:
                self._peers.append(peer)
                peer.thread.start()

    def _watch(self) -> None:
        began = before = time.monotonic()
        pause = 0.0
        while not self._ending.wait(pause):
            now = time.monotonic()
            if now - before > pause + 0.05:  # we slept ourselves, so nobody could be heard
                with self._lock:
                    for peer in self._peers:
                        peer.heard = max(peer.heard, now - 0.5 * SILENCE_NUDGED_S)
            before = now
            pause = self._watch_control(now) if self._host.on_wall_clock else 0.25
            with self._lock:
                late = [peer for peer in self._peers if not peer.greeted and now - peer.heard > GREETING_S]
            for peer in late:
                peer.drop()
            if self._with_client and not self._came and now - began > FIRST_S:
                self._host.request_end("no client came, and it was to live only as long as one")
                return

    def _watch_control(self, now: float) -> float:
        """See whether the controlling client is heard; returns for how long to look away."""
        control = self._control
        state, beta = self._host.standing
        if control is None:
            return 0.1
        limit = SILENCE_NUDGED_S if beta else SILENCE_S
        silent = now - control.heard
        if silent < limit:
            self._silent = False
            return min(0.02, limit - silent + 0.001)
        if not self._silent and state not in STANDING:
            self._silent = True
            what = "while the nudge was on" if beta else "though it controls"
            self._host.freeze_soon(f"its client {control.name} was silent for {silent:.2f} s {what}", True)
        return 0.02
