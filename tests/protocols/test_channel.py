"""Messages on their way: however the bytes are cut, they arrive whole and in order; nobody waits for whoever does not read."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client, Listener
from typing import Any

import pytest
from session_helpers import eventually

from aeqlab.protocols import channel as channel_module
from aeqlab.protocols.channel import Channel

LARGE = 4 * 1024 * 1024
KEPT = channel_module._KEPT


@pytest.fixture(params=["the kernel's times", "its own times"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the bare socket at its other end."""
    if request.param == "its own times":
        monkeypatch.setattr(channel_module, "KERNEL_KEEPS_TIME", False)
    elif not channel_module.KERNEL_KEEPS_TIME:
        pytest.skip("the kernel does not keep times here")
    monkeypatch.setattr(channel_module, "MOVE_S", 60.0)  # longer than a thread of this process is held up
    with Listener(("127.0.0.1", 0), family="AF_INET") as listener:
        connection = Client(listener.address, family="AF_INET")
        other = listener.accept()
    made = Channel(connection, 0.02)
    bare = socket.fromfd(other.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bare.settimeout(60.0)
    yield made, bare
    made.close()
    bare.close()
    other.close()


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack("!i", len(message)) + message for message in messages)


def received(made: Channel, limit: int = LARGE) -> bytes:
    """Receive one message, looking again as long as none begins to come."""
    while (message := made.receive(limit)) is None:
        pass
    return bytes(message)


def exactly(bare: socket.socket, n: int) -> bytes:
    data = bytearray()
    while len(data) < n:
        data += bare.recv(n - len(data))
    return bytes(data)


def test_a_message_may_be_cut_anywhere(pair: tuple[Channel, socket.socket]) -> None:
    made, bare = pair
    message = bytes(range(30))
    whole = framed(message, b"next")
    for cut in range(1, len(whole)):
        bare.sendall(whole[:cut])
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.extend(received(made) for _ in range(2)))  # noqa: B023 - joined below
        reader.start()
        if cut < len(framed(message)):
            eventually(lambda: made._end == cut)  # noqa: B023
        bare.sendall(whole[cut:])
        reader.join(60)
        assert got == [message, b"next"], cut


def test_messages_in_one_segment_and_a_part_of_the_next(pair: tuple[Channel, socket.socket]) -> None:
    made, bare = pair
    messages = [b"", b"one", b"", b"two" * 100]
    whole = framed(*messages, b"the last")
    bare.sendall(whole[:-3])
    assert [received(made) for _ in messages] == messages
    reader: list[bytes] = []
    thread = threading.Thread(target=lambda: reader.append(received(made)))
    thread.start()
    bare.sendall(whole[-3:])
    thread.join(60)
    assert reader == [b"the last"]
    assert made.receive(LARGE) is None


@pytest.mark.parametrize("size", [KEPT - 5, KEPT - 4, KEPT - 3, KEPT, KEPT + 1, 10 * KEPT + 7])
def test_messages_about_as_large_as_the_kept_buffer_and_larger(pair: tuple[Channel, socket.socket], size: int) -> None:
    made, bare = pair
    large = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000) + bytes(size % 1000)
    messages = [b"before", large, b"after", large, large, b"end"]
    sender = threading.Thread(target=lambda: bare.sendall(framed(*messages)))
    sender.start()
    for message in messages:
        assert received(made) == message
    sender.join(60)


def test_more_small_messages_than_the_kept_buffer_holds(pair: tuple[Channel, socket.socket]) -> None:
    made, bare = pair
    messages = [bytes([n % 256]) * (n % 997) for n in range(1000)]
    sender = threading.Thread(target=lambda: bare.sendall(framed(*messages)))
    sender.start()
    assert [received(made) for _ in messages] == messages
    sender.join(60)


@pytest.mark.parametrize("length", [-1, 101, 2**31 - 1])
def test_what_is_too_large_is_refused_by_its_length(pair: tuple[Channel, socket.socket], length: int) -> None:
    made, bare = pair
    bare.sendall(struct.pack("!i", length))
    with pytest.raises(OSError, match="at most 100 are taken"):
        received(made, 100)


@pytest.mark.parametrize("sent", [2, 10, KEPT + 100])
def test_a_message_that_stops_is_given_up_and_goes_on_if_it_comes_after_all(
    pair: tuple[Channel, socket.socket], sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, bare = pair
    message = bytes(max(20, 2 * sent))
    whole = framed(message)
    bare.sendall(whole[:sent])
    monkeypatch.setattr(channel_module, "MOVE_S", 0.05)
    with pytest.raises(TimeoutError, match="within a message"):
        received(made)
    monkeypatch.undo()
    bare.sendall(whole[sent:])
    assert received(made) == message


@pytest.mark.parametrize("sent", [0, 2, 10])
def test_an_end_is_told(pair: tuple[Channel, socket.socket], sent: int) -> None:
    made, bare = pair
    bare.sendall(framed(bytes(20))[:sent])
    bare.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError, match="within a message" if sent else "has ended"):
        received(made)


@pytest.mark.parametrize("gathers", [True, False], ids=["gathered", "joined"])
@pytest.mark.parametrize("soon", [True, False], ids=["soon", "now"])
def test_pieces_arrive_as_one_message(
    pair: tuple[Channel, socket.socket], gathers: bool, soon: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, bare = pair
    monkeypatch.setattr(channel_module, "_GATHERS", gathers and channel_module._GATHERS)
    for pieces in ([b"alone"], [b"head", memoryview(b"tail")], [b"h", *(memoryview(bytes([n]) * n) for n in range(1, 40))]):
        (made.send_soon if soon else made.send)(pieces)
        whole = framed(b"".join(pieces))
        assert exactly(bare, len(whole)) == whole


def test_whoever_does_not_read_holds_nobody_up_and_gets_everything_in_order(pair: tuple[Channel, socket.socket]) -> None:
    made, bare = pair
    block = bytearray(LARGE)
    made.send_soon([b"first", memoryview(block)])  # more than the socket takes
    block[:] = b"x" * LARGE  # what was not taken yet was copied
    assert made._sending.locked()
    made.send_soon([b"second"])
    whole = framed(b"first" + bytes(LARGE), b"second")
    assert exactly(bare, len(whole)) == whole


def test_waiting_messages_have_an_end(pair: tuple[Channel, socket.socket]) -> None:
    made, _ = pair
    for _ in range(channel_module.MOST_WAITING):
        made.send_soon([bytes(LARGE)])
    with pytest.raises(OSError, match="were not taken"):
        made.send_soon([b"one more"])


def test_sending_gives_up_on_whoever_does_not_read(monkeypatch: pytest.MonkeyPatch, pair: tuple[Channel, socket.socket]) -> None:
    made, _ = pair
    if channel_module.KERNEL_KEEPS_TIME:  # shorter than its 5 s
        made._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, channel_module._kernel_time(0.05))
    else:
        made._out.settimeout(0.05)
    with pytest.raises(TimeoutError, match="did not take"):
        made.send([bytes(4 * LARGE)])


def test_an_unheard_channel_is_dropped_from_another_thread(pair: tuple[Channel, socket.socket]) -> None:
    made, _ = pair
    ended: list[Any] = []

    def listen() -> None:
        try:
            received(made)
        except (EOFError, OSError) as exc:
            ended.append(exc)

    thread = threading.Thread(target=listen)
    thread.start()
    made.drop()
    thread.join(60)
    assert ended
