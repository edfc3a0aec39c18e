"""One end of a session's connection: messages as bytes, framed as `multiprocessing.connection` frames them.

Connections are made by `Listener` and `Client` of that module; what is sent afterwards goes straight through the socket below, in
one system call per message where possible, because two cost an exchange of 4,096 floats a second waking of the other side. Arrays
are sent from where they lie, what comes is taken into one buffer that is kept, and the times are left to the kernel where it
keeps them without harm: elsewhere receiving waits for the socket first, by a call of its own.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

_LENGTH = struct.Struct("!i")
_KEPT = 128 * 1024
#: More pieces than this are joined before they are sent; the kernel's own limit is 1,024 on Linux, and 16 where it is lowest.
_PIECES = 16
_GATHERS = hasattr(socket.socket, "sendmsg")
#: Elsewhere a socket may be of no use after its time ran out (Windows), or a single call may wait though told not to (macOS); and
#: where a word has 32 bits, the time may be one of two structures.
KERNEL_KEEPS_TIME = sys.platform == "linux" and sys.maxsize > 2**32
#: How long a message may take to be taken by the other side, or to arrive once it has begun, in seconds.
MOVE_S = 5.0
#: So many messages may wait to be taken.
MOST_WAITING = 16
#: What a socket raises when its time ran out: its own, and the kernel's.
_OUT_OF_TIME = (TimeoutError, BlockingIOError)

Piece = bytes | memoryview


class Channel:
    """Sends and receives whole messages; sending may be done by several threads, receiving by one.

    A message to send is a row of pieces (`wire.parts`); they are on their way, or copied, when the call returns.

    Args:
        connection: made by `multiprocessing.connection`; it belongs to the channel from here on.
        look_s: how long `receive` waits before it lets its caller look at other things.
    """

    def __init__(self, connection: Connection[Any, Any], look_s: float) -> None:
        self._connection = connection
        self._in = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        self._in.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if KERNEL_KEEPS_TIME:
            self._in.settimeout(None)
            self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _kernel_time(look_s))
            self._in.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _kernel_time(MOVE_S))
            self._out = self._now = self._in
            self._at_once = int(socket.MSG_DONTWAIT)
        else:
            self._out = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            self._now = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            self._in.settimeout(look_s)
            self._out.settimeout(MOVE_S)
            self._now.settimeout(0.0)
            self._at_once = 0
        self._sending = threading.Lock()
        self._room = threading.Semaphore(MOST_WAITING)
        self._kept = memoryview(bytearray(_KEPT))  # what came lies in it from _begin to _end
        self._begin = self._end = 0
        self._large: memoryview | None = None  # a message that does not fit in there, of which _arrived bytes have come
        self._arrived = 0

    def send(self, pieces: Sequence[Piece]) -> None:
        """Send a message, waiting until the other side has taken it.

        Raises:
            OSError: the other side is gone, or did not take it within 5 s; the channel is of no use any more.
        """
        with self._sending:
            rest = self._start(pieces)
            if rest is not None:
                self._push(rest)

    def send_soon(self, pieces: Sequence[Piece]) -> None:
        """Send a message without ever waiting: what the other side does not take at once is sent by a thread of its own.

        Raises:
            OSError: the other side is gone, or has left too many messages lying.
        """
        if not self._sending.acquire(blocking=False):
            self._later(self._send_whole, memoryview(b"".join(pieces)))
            return
        handed_on = False
        try:
            rest = self._start(pieces)
            if rest is not None:
                self._later(self._finish, rest)  # which gives the lock back
                handed_on = True
        finally:
            if not handed_on:
                self._sending.release()

    def _start(self, pieces: Sequence[Piece]) -> memoryview | None:
        """Send what is taken at once; returns a copy of the rest, None if there is none."""
        total = len(pieces[0])
        for piece in pieces[1:]:
            total += piece.nbytes if type(piece) is memoryview else len(piece)
        first = _LENGTH.pack(total) + pieces[0]
        total += _LENGTH.size
        try:
            if len(pieces) == 1:
                sent = self._now.send(first, self._at_once)
            elif _GATHERS and len(pieces) <= _PIECES:
                sent = self._now.sendmsg((first, *pieces[1:]), (), self._at_once)
            else:
                sent = self._now.send(b"".join((first, *pieces[1:])), self._at_once)
        except BlockingIOError:
            sent = 0
        return None if sent == total else memoryview(b"".join((first, *pieces[1:])))[sent:]

    def _push(self, rest: memoryview) -> None:
        until = time.monotonic() + MOVE_S
        try:
            while rest:
                rest = rest[self._out.send(rest) :]
                if rest and time.monotonic() > until:
                    raise TimeoutError
        except _OUT_OF_TIME:
            raise TimeoutError(f"the other side did not take a message within {MOVE_S:g} s") from None

    def _later(self, work: Callable[[memoryview], None], message: memoryview) -> None:
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

    def _send_whole(self, message: memoryview) -> None:
        self.send([message])

    def _finish(self, rest: memoryview) -> None:
        try:
            self._push(rest)
        finally:
            self._sending.release()

    def receive(self, limit: int) -> memoryview | None:
        """Receive a message of at most `limit` bytes; None if nothing began to come for `look_s`.

        The message is good until the next call, which may write over it. A call that is interrupted while it waits loses
        nothing: the next one goes on with the same message.

        Raises:
            EOFError: the other side is gone.
            OSError: so it is, or it sent too much, or stopped in the middle of a message.
        """
        if self._large is not None:
            return self._rest_of(self._large)
        if self._begin == self._end:
            self._begin = self._end = 0
            try:
                self._end = self._in.recv_into(self._kept)
            except _OUT_OF_TIME:
                return None
            if not self._end:
                raise EOFError("the connection has ended")
        while self._end - self._begin < _LENGTH.size:
            self._more()
        (length,) = _LENGTH.unpack_from(self._kept, self._begin)
        if not 0 <= length <= limit:
            raise OSError(f"a message of {length} bytes, where at most {limit} are taken")
        if length > _KEPT - _LENGTH.size:
            large = memoryview(bytearray(length))
            come = self._kept[self._begin + _LENGTH.size : self._end]
            large[: len(come)] = come
            self._arrived, self._large = len(come), large
            return self._rest_of(large)
        while self._end - self._begin < _LENGTH.size + length:
            self._more()
        begin = self._begin + _LENGTH.size
        self._begin = begin + length
        return self._kept[begin : self._begin]

    def _rest_of(self, large: memoryview) -> memoryview:
        while self._arrived < len(large):
            self._arrived += self._wait_for(large[self._arrived :])
        self._begin = self._end = 0
        self._large = None
        return large

    def _more(self) -> None:
        """Wait for more of a message that has begun to come into the kept buffer."""
        if self._begin:
            come = bytes(self._kept[self._begin : self._end])
            self._kept[: len(come)] = come
            self._begin, self._end = 0, len(come)
        self._end += self._wait_for(self._kept[self._end :])

    def _wait_for(self, room: memoryview) -> int:
        until = time.monotonic() + MOVE_S
        while True:
            try:
                got = self._in.recv_into(room)
            except _OUT_OF_TIME:
                if time.monotonic() < until:
                    continue
                raise TimeoutError(f"nothing came for {MOVE_S:g} s within a message") from None
            if not got:
                raise EOFError("the connection ended within a message")
            return got

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


def _kernel_time(seconds: float) -> bytes:
    """Write a time as the kernel's `struct timeval`."""
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
