"""The bytes of one conversation: what is sent, what has come since, and until when the rest may come.

A socket and a serial port that pyvisa-py has opened are spoken to directly: its own reading takes the end of a link for silence
and comes byte by byte on a serial port, its own writing waits for ever for an instrument that takes nothing, and both cost more
than the exchange. Every other link goes through the VISA library. What breaks raises one of `broken()`; silence is `Silence`.
"""

from __future__ import annotations

import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from aeqlab.drivers.errors import ReplyError

#: A line is taken for quiet when nothing came for so long, in s.
QUIET_S = 0.05
#: No reply has more bytes than this before it ends.
LONGEST = 256 * 1024 * 1024
PIECE = 65536  #: bytes that are asked for at a time


class Silence(Exception):
    """A reply did not come whole within its time."""


def broken(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """List what a broken link raises, and `more`: pyserial's errors are OSError; HiSLIP of pyvisa-py raises RuntimeError.

    Only who opens a link pays for the import of VISA: a rig file is checked without it.
    """
    from pyvisa.errors import InvalidSession, VisaIOError

    return VisaIOError, OSError, InvalidSession, RuntimeError, *more


class Line(ABC):
    """What carries the bytes; keeps those that came and were not read yet.

    Args:
        timeout_s: a reply has to be whole so long after its question was sent.
    Attributes:
        heard: bytes that came since something was last sent.
        streams: it may be listened to without having been asked.
    """

    streams = True

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.heard = 0
        self._kept: bytes | bytearray = b""  # what came in one piece is not copied
        self._deadline = 0.0

    @abstractmethod
    def _put(self, message: bytes) -> None:
        """Send a message, all of it."""

    @abstractmethod
    def _some(self, seconds: float) -> bytes:
        """Wait so long for bytes, 0 for not at all; returns what has come, empty for nothing."""

    @property
    def left(self) -> int:
        """Get how many bytes are there that were not read."""
        return len(self._kept)

    def send(self, message: bytes) -> None:
        """Send a message; the time for its reply begins."""
        self.heard = 0
        self._put(message)
        self._deadline = time.monotonic() + self.timeout_s

    def arrived(self) -> bool:
        """Tell whether something is there to be read, without waiting. Raises one of `broken()` if the other end has gone."""
        self._keep(self._some(0.0))
        return bool(self._kept)

    def until(self, end: bytes) -> bytes:
        """Read up to what ends a reply, which is left out.

        Raises:
            Silence: it did not come in time.
        """
        start = 0
        while (at := self._kept.find(end, start)) < 0:
            start = max(0, len(self._kept) - len(end) + 1)
            self._wait()
            if len(self._kept) > LONGEST:
                raise ReplyError(f"it goes on and on: {len(self._kept)} bytes came and no end")
        reply = bytes(self._kept[:at])
        self.skip(at + len(end))
        return reply

    def first(self, count: int) -> bytes | bytearray:
        """Get at least so many bytes, whatever they are; they stay here until they are skipped.

        Raises:
            Silence: they did not come in time.
        """
        while len(self._kept) < count:
            self._wait()
        return self._kept

    def skip(self, count: int) -> None:
        """Throw away so many bytes of those that are here."""
        self._kept = self._kept[count:]

    def drain(self, first_s: float = QUIET_S) -> None:
        """Throw away what comes until nothing does for a moment.

        Args:
            first_s: how long something may take to come, if nothing is there yet.
        Raises:
            ReplyError: it does not stop.
        """
        patience = QUIET_S if self._kept else first_s
        end = time.monotonic() + first_s + self.timeout_s
        while True:
            self._kept = b""
            self._keep(self._some(patience))
            if not self._kept:
                return
            if time.monotonic() > end:
                raise ReplyError("it goes on talking without being asked")
            patience = QUIET_S

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        data = self._some(max(left, 0.0))
        if not data and left <= 0:
            raise Silence
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        self.heard += len(data)
        if not self._kept:
            self._kept = data
        else:
            if isinstance(self._kept, bytes):
                self._kept = bytearray(self._kept)
            self._kept += data


class SocketLine(Line):
    """A TCP socket. Small messages are sent at once: waiting for more to send costs 40 ms in each write-then-read."""

    def __init__(self, line: socket.socket, timeout_s: float) -> None:
        super().__init__(timeout_s)
        if refused := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(refused, os.strerror(refused))
        line.getpeername()  # raises where there is none: pyvisa-py calls such a socket open
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setblocking(False)
        self._socket = line
        if hasattr(select, "poll"):  # Windows has none
            poll = select.poll()
            poll.register(line, select.POLLIN)
            self._ready: Callable[[float], Any] = poll.poll
        else:
            self._ready = lambda ms: select.select([line], [], [], ms / 1000)[0]

    def arrived(self) -> bool:
        """Tell whether something is there to be read, without waiting."""
        return bool(self._kept) or (bool(self._ready(0)) and super().arrived())

    def _put(self, message: bytes) -> None:
        try:
            sent = self._socket.send(message)
        except BlockingIOError:
            sent = 0
        if sent < len(message):
            self._socket.settimeout(self.timeout_s)
            self._socket.sendall(message[sent:])
            self._socket.setblocking(False)

    def _some(self, seconds: float) -> bytes:
        if not self._ready(1000 * seconds):
            return b""
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            return b""
        if not data:
            raise ConnectionResetError("the other end closed the link")
        return data


class Port(Protocol):
    """What is used of a serial port of pyserial."""

    timeout: float | None

    @property
    def in_waiting(self) -> int:
        """Get how many bytes have come."""

    def read(self, size: int) -> bytes:
        """Read so many bytes, fewer when the time is over."""

    def write(self, data: bytes) -> int | None:
        """Send bytes; raises OSError when the other end takes none for too long."""


class SerialLine(Line):
    """A serial port."""

    def __init__(self, port: Port, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self._port = port

    def _put(self, message: bytes) -> None:
        self._port.write(message)

    def _some(self, seconds: float) -> bytes:
        waiting = self._port.in_waiting
        if waiting or not seconds:
            return self._port.read(waiting)
        self._port.timeout = seconds
        first = self._port.read(1)
        return first + self._port.read(self._port.in_waiting) if first else b""


def line_of(resource: Any, timeout_s: float) -> Line:
    """Get the line of an open resource of any VISA library.

    Raises:
        OSError: the link was refused.
    """
    sessions = getattr(resource.visalib, "sessions", None)  # only pyvisa-py has them
    interface: Any = getattr(sessions[resource.session], "interface", None) if sessions is not None else None
    if isinstance(interface, socket.socket):
        return SocketLine(interface, timeout_s)
    if hasattr(interface, "in_waiting"):
        return SerialLine(interface, timeout_s)
    from aeqlab.drivers.visa_line import VisaLine

    return VisaLine(resource, timeout_s)
