"""A small instrument whose every reply a test scripts: bytes, pauses, bytes from a moment later on, and hanging up.

It answers on a socket of the loopback (`Server`) or on a pseudo-terminal (`Board`), and keeps all that it was told.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HANG_UP = None
TOLD = "told"
NAME = b"Maker,Model,7,1.0"


@dataclass(frozen=True)
class Later:
    """Bytes that come so many seconds from now, or from when the script is told, whatever is asked and answered meanwhile."""

    seconds: float
    data: bytes
    told: bool = False


#: One step of a reply: bytes are sent, a number is a pause in s, `Later` happens by itself, `TOLD` waits until the test says that
#: nobody waits for the reply any more (`Script.told`), `HANG_UP` ends the link.
Step = bytes | float | str | Later | None
Reply = tuple[Step, ...]


@dataclass
class Script:
    """What the instrument answers to which message, and what it was told.

    Attributes:
        end: what ends a message, and a reply where `says` adds it.
        seen: every message to the letter, without its end, oldest first.
    """

    end: bytes = b"\n"
    seen: list[bytes] = field(default_factory=list)
    replies: dict[bytes, list[Reply]] = field(default_factory=dict)
    otherwise: Callable[[bytes], Reply] = lambda message: ()
    told: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.replies.setdefault(b"*IDN?", [(NAME + self.end,)])

    def on(self, message: str, *replies: Reply | bytes) -> None:
        """Answer a message with these, one after another; the last one stays."""
        self.replies[message.encode()] = [(reply,) if isinstance(reply, bytes) else reply for reply in replies]

    def reply_to(self, message: bytes) -> Reply:
        self.seen.append(message)
        waiting = self.replies.get(message)
        if waiting is None:
            return self.otherwise(message)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def converse(self, receive: Callable[[], bytes], send: Callable[[bytes], object]) -> None:
        """Answer until the other end has gone or a reply hangs up; a block in a message is taken by its length."""
        kept = bytearray()
        while True:
            while (message := self._first_of(kept)) is None:
                piece = receive()
                if not piece:
                    return
                kept += piece
            for step in self.reply_to(message):
                if step is HANG_UP:
                    return
                if isinstance(step, Later):
                    self._by_itself(step, send)
                elif isinstance(step, bytes):
                    send(step)
                elif isinstance(step, str):
                    self.told.wait(60.0)
                else:
                    time.sleep(step)

    def _first_of(self, kept: bytearray) -> bytes | None:
        start = 0
        if kept.startswith(b"BLOC #"):
            digits = int(kept[6:7] or b"0")
            if len(kept) < 7 + digits:
                return None
            start = 7 + digits + int(kept[7 : 7 + digits])
        at = kept.find(self.end, start)
        if at < 0:
            return None
        message = bytes(kept[:at])
        del kept[: at + len(self.end)]
        return message

    def _by_itself(self, step: Later, send: Callable[[bytes], object]) -> None:
        def say() -> None:
            if step.told:
                self.told.wait(60.0)
            time.sleep(step.seconds)
            with contextlib.suppress(OSError):
                send(step.data)

        threading.Thread(target=say, daemon=True).start()


class Server:
    """The instrument on a port of the loopback; it may go and come back on the same port."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls = 0
        self.port = 0
        self._links: list[socket.socket] = []
        self.start()

    @property
    def address(self) -> str:
        return f"TCPIP::127.0.0.1::{self.port}::SOCKET"

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Hang up everywhere, and refuse from now on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def says(self, data: bytes) -> None:
        """Say something by itself, to whoever called last."""
        self._links[-1].sendall(data)

    def hang_up(self) -> None:
        while self._links:
            with contextlib.suppress(OSError):
                self._links.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                self.calls += 1
                self._links.append(link)
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), link:
            self.script.converse(lambda: link.recv(65536), link.sendall)


class Board:
    """The instrument on a pseudo-terminal.

    Args:
        script: what it says.
        deaf_s: it resets when it is opened: so long it loses what it is told, and then says `banner`.
    """

    def __init__(self, script: Script, deaf_s: float = 0.0, banner: bytes = b"") -> None:
        import tty

        self.script = script
        self._deaf_s, self._banner = deaf_s, banner
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self._name = os.ttyname(self._theirs)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"ASRL{self._name}::INSTR"

    def unplug(self) -> None:
        """Pull the cable."""
        for end in (self._theirs, self._ours):
            with contextlib.suppress(OSError):
                os.close(end)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            if self._deaf_s:
                time.sleep(self._deaf_s)
                os.set_blocking(self._ours, False)
                with contextlib.suppress(BlockingIOError):
                    self.script.seen.append(b"lost: " + os.read(self._ours, 65536))
                os.set_blocking(self._ours, True)
                self._send(self._banner)
            self.script.converse(lambda: os.read(self._ours, 65536), self._send)

    def _send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._ours, data) :]


@contextlib.contextmanager
def serving(script: Script) -> Iterator[Server]:
    server = Server(script)
    try:
        yield server
    finally:
        server.stop()


def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Wait until something is so; a command without a reply is heard some time after it was sent."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.002)
