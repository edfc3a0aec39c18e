"""One end of a session's connection: messages as bytes, framed as `multiprocessing.connection` frames them.

Connections are made by `Listener` and `Client` of that module; what is sent afterwards goes straight through the socket below, in
one system call per message where possible, because two cost an exchange of 4,096 floats a second waking of the other side.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_LENGTH = struct.Struct("!i")
_AT_ONCE = 128 * 1024
#: How long a message may take to be taken by the other side, or to arrive once it has begun, in seconds.
MOVE_S = 5.0
#: So many messages may wait to be taken.
MOST_WAITING = 16


class Channel:
    """Sends and receives whole messages; sending may be done by several threads, receiving by one.

    Args:
        connection: made by `multiprocessing.connection`; it belongs to the channel from here on.
        look_s: how long `receive` waits before it lets its caller look at other things.
    """

    def __init__(self, connection: Connection[Any, Any], look_s: float) -> None:
        self._connection = connection
        self._in = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        self._out = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        self._in.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._now = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        self._now.settimeout(0.0)
        self._look_s = look_s
        self._in.settimeout(look_s)
        self._out.settimeout(MOVE_S)
        self._sending = threading.Lock()
        self._room = threading.Semaphore(MOST_WAITING)
        self._rest = b""

    def send(self, message: bytes) -> None:
        """Send a message, waiting until the other side has taken it.

        Raises:
            OSError: the other side is gone, or did not take it within 5 s; the channel is of no use any more.
        """
        with self._sending:
            self._out.sendall(_LENGTH.pack(len(message)) + message)

    def send_soon(self, message: bytes) -> None:
        """Send a message without ever waiting: what the other side does not take at once is sent by a thread of its own.

        Raises:
            OSError: the other side is gone, or has left too many messages lying.
        """
        if not self._sending.acquire(blocking=False):
            self._later(self.send, message)
            return
        whole = _LENGTH.pack(len(message)) + message
        try:
            try:
                sent = self._now.send(whole)
            except BlockingIOError:
                sent = 0
            if sent < len(whole):
                self._later(self._finish, whole[sent:])  # which gives the lock back
                return
        except OSError:
            self._sending.release()
            raise
        self._sending.release()

    def _later(self, work: Callable[[bytes], None], message: bytes) -> None:
        if not self._room.acquire(blocking=False):
            raise OSError(f"{MOST_WAITING} messages were not taken")

        def run() -> None:
            try:
                work(message)
            except OSError:
                self.drop()
            finally:
                self._room.release()

        threading.Thread(target=run, name="an answer that waits", daemon=True).start()

    def _finish(self, rest: bytes) -> None:
        try:
            self._out.sendall(rest)
        finally:
            self._sending.release()

    def receive(self, limit: int) -> memoryview | None:
        """Receive a message of at most `limit` bytes; None if nothing began to come for `look_s`.

        Raises:
            EOFError: the other side is gone.
            OSError: so it is, or it sent too much, or stopped in the middle of a message.
        """
        data = self._rest
        self._rest = b""
        if len(data) < 4:
            try:
                more = self._in.recv(_AT_ONCE)
            except TimeoutError:
                self._rest = data
                return None
            if not more:
                raise EOFError("the connection has ended")
            data = data + more if data else more
        while len(data) < 4:
            data += self._more(4 - len(data))
        (length,) = _LENGTH.unpack_from(data)
        if not 0 <= length <= limit:
            raise OSError(f"a message of {length} bytes, where at most {limit} are taken")
        end = 4 + length
        if len(data) > end:
            self._rest = data[end:]
        if len(data) >= end:
            return memoryview(data)[4:end]
        whole = bytearray(end)
        whole[: len(data)] = data
        view, at = memoryview(whole), len(data)
        self._in.settimeout(MOVE_S)
        try:
            while at < end:
                got = self._in.recv_into(view[at:])
                if not got:
                    raise EOFError("the connection ended within a message")
                at += got
        finally:
            self._in.settimeout(self._look_s)
        return view[4:]

    def drop(self) -> None:
        """Shut the connection down, from any thread: whoever receives hears that it has ended."""
        with contextlib.suppress(OSError):
            self._in.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything. Only the receiving thread may."""
        self.drop()
        self._in.close()
        self._out.close()
        self._now.close()
        self._connection.close()

    def _more(self, n: int) -> bytes:
        self._in.settimeout(MOVE_S)
        try:
            more = self._in.recv(n)
        finally:
            self._in.settimeout(self._look_s)
        if not more:
            raise EOFError("the connection ended within a message")
        return more
