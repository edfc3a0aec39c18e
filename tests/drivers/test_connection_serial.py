"""A conversation over a serial line: a pseudo-terminal stands for the port."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from scripted import NAME, TOLD, Board, Later, Reply, Script, until

from aeqlab.drivers import connection as module
from aeqlab.drivers.blocks import encode
from aeqlab.drivers.connection import Connection, Wire
from aeqlab.drivers.errors import AddressError, LinkLostError, ReplyError, ReplyLateError
from aeqlab.drivers.visa_line import VisaLine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
TIMEOUT_S = 0.6


@pytest.fixture
def script() -> Script:
    return Script(end=b"\r\n")


@pytest.fixture
def board(script: Script) -> Iterator[Board]:
    found = Board(script)
    yield found
    found.unplug()


def wire_to(board: Board, timeout_s: float = TIMEOUT_S, wakes_s: float = 0.0) -> Wire:
    return Wire(board.address, timeout_s=timeout_s, read_end="\r\n", write_end="\r\n", wakes_s=wakes_s)


@pytest.fixture(params=["pyserial", "visa"])
def link(board: Board, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    if request.param == "visa":
        monkeypatch.setattr(module, "line_of", VisaLine)
    late = "late" in request.node.name  # others wait long for a thread that is held up
    connection = Connection(wire_to(board, timeout_s=TIMEOUT_S if late else 5.0), "board")
    connection.open()
    yield connection
    connection.close()


def test_queries_and_writes(script: Script, link: Connection) -> None:
    script.on("A?", b"1.5\r\n", b"2.5\r\n")
    assert link.identity is not None
    assert link.identity.serial == "7"
    assert link.query("A?") == "1.5"
    link.write("SET 1")
    assert link.query("A?") == "2.5"
    assert script.seen == [b"*IDN?", b"A?", b"SET 1", b"A?"]


def test_blocks_with_ends_in_their_data(script: Script, link: Connection) -> None:
    told: list[bytes] = []

    def answer(message: bytes) -> Reply:
        if message.startswith(b"BLOC "):
            told.append(message[5:])
            return ()
        return (told[-1] + b"\r\n",)

    script.otherwise = answer
    values = np.concatenate([np.frombuffer(b"\r\n\n\r" * 3, ">i2"), np.arange(-400, 400)])
    for dtype in ("<i2", ">i2", "<f4"):
        link.write_block("BLOC ", values, dtype)
        np.testing.assert_array_equal(link.query_block("BLOC?", dtype, len(values)), values)
        assert told[-1] == encode(values, dtype)
    assert link.query("*IDN?") == NAME.decode()


@pytest.mark.parametrize("late", [(TOLD, 0.1, b"1\r\n"), (Later(0.2, b"1\r\n", told=True),), ()])
def test_a_late_reply_never_answers_the_next_query(script: Script, link: Connection, late: Reply) -> None:
    script.on("SLOW?", late)
    script.on("FAST?", *(b"%d\r\n" % k for k in range(10, 90)))
    with pytest.raises(ReplyLateError):
        link.query("SLOW?")
    script.told.set()
    for k in range(10, 20):
        assert link.query("FAST?") == str(k)


def test_a_garbled_reply(script: Script, link: Connection) -> None:
    script.on("A?", b"1.\xff\r\n", b"7\r\n")
    with pytest.raises(ReplyError, match="no text"):
        link.query("A?")
    assert link.query("A?") == "7"


def test_two_replies_to_one_question(script: Script, link: Connection) -> None:
    script.on("A?", b"1\r\n2\r\n", b"7\r\n")
    with contextlib.suppress(ReplyError):  # a VISA library keeps the second to itself until it is asked again
        assert link.query("A?") == "1"
    time.sleep(0.05)
    assert link.query("A?") == "7"


def test_a_reply_cut_short_is_told_apart_from_none(script: Script, board: Board) -> None:
    link = Connection(wire_to(board))
    link.open()
    script.on("A?", b"1.", b"7\r\n")
    with pytest.raises(ReplyError, match="cut short after 2 bytes"):
        link.query("A?")
    assert link.query("A?") == "7"
    link.close()


def test_the_baud_rate_is_set(board: Board) -> None:
    link = Connection(dataclasses.replace(wire_to(board), baud_rate=9600))
    link.open()
    assert link._resource.baud_rate == 9600
    assert link._resource.visalib.sessions[link._resource.session].interface.baudrate == 9600
    link.close()


def test_one_that_takes_nothing_more(board: Board, script: Script) -> None:
    link = Connection(wire_to(board))
    link.open()
    script.on("STOP", (300.0,))
    link.write("STOP")
    begin = time.monotonic()
    with pytest.raises(LinkLostError, match="the link broke"):
        link.write_block("BLOC ", np.zeros(100_000))
    assert time.monotonic() - begin < 60.0
    assert not link.is_open


def test_a_cable_that_is_pulled(board: Board, script: Script) -> None:
    link = Connection(wire_to(board, timeout_s=20.0), "board")
    link.open()
    board.unplug()
    begin = time.monotonic()
    with pytest.raises(LinkLostError, match="the link broke"):
        link.query("A?")
    assert time.monotonic() - begin < 15.0
    with pytest.raises(LinkLostError, match="there is no link"):
        link.write("SET 1")
    with pytest.raises(AddressError):
        link.reopen(attempts=1)


def test_a_cable_that_is_pulled_while_a_reply_is_awaited(board: Board, script: Script) -> None:
    class Pulls(tuple[bytes, ...]):
        def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]
            time.sleep(0.05)
            board.unplug()
            yield b""

    link = Connection(wire_to(board, timeout_s=20.0), "board")
    link.open()
    script.on("A?", Pulls())
    begin = time.monotonic()
    with pytest.raises(LinkLostError, match="the link broke"):
        link.query("A?")
    assert time.monotonic() - begin < 15.0


def test_a_board_that_resets_when_it_is_opened(script: Script) -> None:
    board = Board(script, deaf_s=2.0, banner=b"Board 1.0 ready\r\n")
    with pytest.raises(AddressError, match="does not say its name"):
        Connection(wire_to(board)).open()
    until(lambda: bool(script.seen))
    board.unplug()
    assert script.seen == [b"lost: *IDN?\r\n"]

    script.seen.clear()
    board = Board(script, deaf_s=0.3, banner=b"Board 1.0 ready\r\n")
    link = Connection(wire_to(board, timeout_s=20.0, wakes_s=1.5))
    begin = time.monotonic()
    assert link.open().model == "Model"
    assert time.monotonic() - begin >= 1.5
    link.close()
    assert script.seen == [b"lost: ", b"*IDN?"] or script.seen == [b"*IDN?"]
    board.unplug()
