"""Serving an emulated instrument on loopback: over TCP, or as a serial port on a pseudo-terminal. Faults on command.

What a message does to the instrument happens under one lock, in the order in which messages arrive, whoever sent them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aeqlab.drivers.emulated.clock import Clock, WallClock
from aeqlab.drivers.emulated.scpi import Conversation, Front

REMEMBERED = 10_000  #: pieces of what was heard

Lock = contextlib.AbstractContextManager[Any]  #: such as a threading.RLock: whoever has it may take it again


@dataclass
class Faults:
    """What goes wrong with the replies of an instrument until it is put right.

    Attributes:
        late_s: every reply comes so much later, in s.
        mute: no reply comes at all.
        spoil: makes another reply of each, such as one that is cut short.
        deaf: what is sent is thrown away, and no reply comes.
        lost: so many of the next replies are thrown away.
    """

    late_s: float = 0.0
    mute: bool = False
    spoil: Callable[[bytes], bytes] | None = None
    deaf: bool = False
    lost: int = 0


class Served:
    """Common ground of both ways: the front, the lock, what a message costs, the faults.

    Args:
        front: of the instrument.
        clock: of the bench.
        message_s: what a message costs besides what it does, in s of the bench.
        lock: under which messages are carried out; None: one of its own.
    """

    def __init__(
        self, front: Front, clock: Clock | None = None, message_s: float = 0.0, *, lock: Lock | None = None
    ) -> None:  # fmt: skip
        self.front, self.clock, self.message_s = front, clock or WallClock(), message_s
        self.faults = Faults()
        self.heard: list[bytes] = []  #: what came last, as it came
        self._lock: Lock = lock if lock is not None else threading.RLock()
        self._over = threading.Event()

    def _hear(self, talk: Conversation, data: bytes, send: Callable[[bytes], None]) -> None:
        with self._lock:
            self.heard.append(data)
            if len(self.heard) > 2 * REMEMBERED:  # a bench runs for days
                del self.heard[:REMEMBERED]
            if self.faults.deaf:
                return
            replies = talk.hear(data, lambda: self.clock.spend(self.message_s))  # however the line cuts it into pieces
        for reply in replies:
            if self.faults.lost:
                self.faults.lost -= 1
                continue
            if self.faults.mute:
                continue
            if self.faults.late_s:
                self._over.wait(self.faults.late_s)
            send(self.faults.spoil(reply) if self.faults.spoil is not None else reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving. May be called twice."""
        self._over.set()


class TcpServed(Served):
    """An instrument on a TCP socket of loopback.

    Args:
        port: 0: any that is free.
        sockets: so many links at once; a further one is taken and closed again.
        keeps_dead_s: a link that broke without a word takes its place among them for so much longer, in s of the bench.
    """

    def __init__(
        self, front: Front, clock: Clock | None = None, message_s: float = 0.0, *, port: int = 0, sockets: int = 16,
        keeps_dead_s: float = 0.0, lock: Lock | None = None,
    ) -> None:  # fmt: skip
        super().__init__(front, clock, message_s, lock=lock)
        self._sockets, self._links = sockets, set[socket.socket]()
        self._keeps_dead_s, self._dead = keeps_dead_s, list[float]()  # and when each dead link is let go
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"port {self.port}", daemon=True).start()

    @property
    def address(self) -> str:
        """VISA address."""
        return f"TCPIP::127.0.0.1::{self.port}::SOCKET"

    def drop(self, *, forgotten: bool = False) -> None:
        """Break every link, as a cable that is pulled does, or an instrument that reboots and has forgotten them all."""
        links = list(self._links)
        if forgotten:
            self._dead.clear()
        elif self._keeps_dead_s:
            self._dead += [self.clock.now() + self._keeps_dead_s] * len(links)
        for link in links:
            self._links.discard(link)
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _taken(self) -> int:
        """Count the places that are taken, those by dead links among them."""
        self._dead = [until for until in self._dead if until > self.clock.now()]
        return len(self._links) + len(self._dead)

    def close(self) -> None:
        """Stop serving, links included."""
        super().close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            if self._taken() >= self._sockets:
                link.close()
                continue
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links.add(link)
            threading.Thread(target=self._talk, args=(link,), daemon=True).start()

    def _talk(self, link: socket.socket) -> None:
        talk = Conversation(self.front)
        with link, contextlib.suppress(OSError):
            while data := link.recv(65536):
                self._hear(talk, data, link.sendall)
        self._links.discard(link)


class PtyServed(Served):
    """An instrument on a pseudo-terminal, which stands in for a serial port; not on Windows.

    Args:
        end: what ends a reply.
        opened: is called whenever somebody opens the port, before what they send is heard: a board that resets then.
    """

    def __init__(
        self, front: Front, clock: Clock | None = None, message_s: float = 0.0, *, end: bytes = b"\r\n",
        opened: Callable[[], None] | None = None, lock: Lock | None = None,
    ) -> None:  # fmt: skip
        super().__init__(front, clock, message_s, lock=lock)
        if sys.platform == "win32":
            raise OSError("there are no pseudo-terminals on Windows; serve the instrument over TCP")
        import tty

        self._end, self._opened = end, opened
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.port = os.ttyname(self._theirs)
        if opened is not None:  # its own end would hide that of others
            os.close(self._theirs)
        threading.Thread(target=self._talk, name=self.port, daemon=True).start()

    @property
    def address(self) -> str:
        """VISA address."""
        return f"ASRL{self.port}::INSTR"

    def close(self) -> None:
        """Stop serving; whoever has the port open reads nothing more."""
        if not self._over.is_set():
            super().close()
            for end in (self._ours,) if self._opened is not None else (self._theirs, self._ours):
                with contextlib.suppress(OSError):
                    os.close(end)

    def _talk(self) -> None:
        while not self._over.is_set():
            if self._opened is not None and not self._wait_until_opened(self._opened):
                return
            talk = Conversation(self.front, self._end)
            with contextlib.suppress(OSError):  # nobody has it open any more
                while data := os.read(self._ours, 65536):
                    self._hear(talk, data, lambda reply: _write_all(self._ours, reply))
            if self._opened is None:
                return

    def _wait_until_opened(self, opened: Callable[[], None]) -> bool:
        """Wait until somebody has the port open; False where serving ended first."""
        import select

        poll = select.poll()
        poll.register(self._ours)
        while any(event & select.POLLHUP for _, event in poll.poll(0)):
            if self._over.wait(0.002):
                return False
        with self._lock:
            opened()
        return True


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
