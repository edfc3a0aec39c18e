"""A conversation over a socket: whole, in step, and honest about a link that broke. A server on the loopback does every fault."""

from __future__ import annotations

import contextlib
import itertools
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import pyvisa
from scripted import HANG_UP, NAME, TOLD, Later, Reply, Script, Server, serving, until

from aeqlab.drivers import connection as module
from aeqlab.drivers import line as lines
from aeqlab.drivers.blocks import TYPES, encode
from aeqlab.drivers.connection import Connection, Wire
from aeqlab.drivers.errors import (
    AddressError,
    DriverError,
    IdentityError,
    LinkLostError,
    OverloadError,
    ReplyError,
    ReplyLateError,
    SettingError,
)
from aeqlab.drivers.identity import check_identity
from aeqlab.drivers.readings import finite, numbers
from aeqlab.drivers.visa_line import VisaLine

TIMEOUT_S = 1.0  #: of whoever waits in vain; a thread may be held up for nearly as long before a reply counts as late
PATIENT_S = 60.0


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[Server]:
    with serving(script) as found:
        yield found


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(server.address, timeout_s=TIMEOUT_S)


@pytest.fixture
def hasty(wire: Wire) -> Iterator[Connection]:
    """A connection that gives up soon."""
    connection = Connection(wire, "dac")
    connection.open()
    yield connection
    connection.close()


@pytest.fixture
def link(server: Server) -> Iterator[Connection]:
    """A connection that would wait for long: whatever ends at once did not wait for its timeout."""
    connection = Connection(Wire(server.address, timeout_s=PATIENT_S), "dac")
    connection.open()
    yield connection
    connection.close()


@pytest.fixture
def slow(link: Connection) -> Connection:
    """The same, where that is what a test is about."""
    return link


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01, 0.02))


@pytest.fixture
def through_visa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the VISA library carry the bytes, as that of a vendor does."""
    monkeypatch.setattr(module, "line_of", VisaLine)


def until_it_raises(call: Callable[[], object], error: type[DriverError]) -> None:
    for _ in range(100):
        try:
            call()
        except error:
            return
        except DriverError:
            pass
    pytest.fail(f"{error.__name__} was never raised")


class AtOnce:
    """See that what happens inside takes far less than a timeout of 60 s."""

    def __enter__(self) -> None:
        self.begin = time.monotonic()

    def __exit__(self, *exc: object) -> None:
        assert time.monotonic() - self.begin < 30.0


# what is said and heard
def test_a_query_and_a_write(script: Script, link: Connection) -> None:
    script.on("MEAS?", b"1.5\n", b"2.5\n")
    assert link.query("MEAS?") == "1.5"
    link.write("SOUR:VOLT 1")
    assert link.query("MEAS?") == "2.5"
    assert script.seen == [b"*IDN?", b"MEAS?", b"SOUR:VOLT 1", b"MEAS?"]
    latency = link.latency()
    assert (latency.exchanges, latency.failed) == (3, 0)
    assert 0 < latency.median_s <= latency.longest_s < PATIENT_S


def test_what_is_no_ascii_is_not_sent(script: Script, link: Connection) -> None:
    for call in (link.query, link.write):
        with pytest.raises(SettingError, match="is not plain ASCII"):
            call("TEMP°?")
    assert script.seen == [b"*IDN?"]


def test_an_empty_reply_is_one(script: Script, link: Connection) -> None:
    script.on("LIST?", b"\n")
    assert link.query("LIST?") == ""


@pytest.mark.parametrize("visa", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "!"])
def test_ends(end: str, visa: bool, request: pytest.FixtureRequest) -> None:
    if visa:
        request.getfixturevalue("through_visa")
    script = Script(end=end.encode())
    script.on("A?", b"1\n2" + end.encode() if end == "!" else b"1,2" + end.encode())
    values = np.array([float(np.frombuffer(end[-1:].encode() * 4, "<f4")[0])] * 3)  # a block full of what ends a reply
    script.on("B?", encode(values) + end.encode())
    with serving(script) as server:
        link = Connection(Wire(server.address, timeout_s=PATIENT_S, read_end=end, write_end=end))
        assert link.open().serial == "7"
        assert link.query("A?") == ("1\n2" if end == "!" else "1,2")
        np.testing.assert_array_equal(link.query_block("B?", count=3), values.astype("f4"))
        assert link.query("A?")
        link.close()
    assert script.seen == [b"*IDN?", b"A?", b"B?", b"A?"]


def test_a_carriage_return_more_than_asked_for_is_none_of_the_reply(script: Script, link: Connection) -> None:
    script.on("A?", b"1.5\r\n")
    assert link.query("A?") == "1.5"


def test_only_the_name_is_asked_and_nothing_is_sent_at_the_end(script: Script, wire: Wire) -> None:
    link = Connection(wire)
    assert not link.is_open
    identity = link.open()
    assert link.open() is identity is link.identity
    assert link.is_open
    link.close()
    link.close()
    assert not link.is_open
    time.sleep(0.05)
    assert script.seen == [b"*IDN?"]


def test_a_name_that_is_asked_for_in_another_way(script: Script, server: Server) -> None:
    script.on("ID?", b"Lab,Box,3\n")
    link = Connection(Wire(server.address, identify="ID?"))
    assert link.open().model == "Box"
    link.close()
    assert script.seen == [b"ID?"]


def test_small_messages_are_sent_at_once(link: Connection) -> None:
    line = link._line
    assert isinstance(line, lines.SocketLine)
    assert line._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_messages_name_the_instrument(hasty: Connection, wire: Wire) -> None:
    assert hasty.where == f"dac at {wire.address}"
    assert Connection(wire).where == wire.address
    with pytest.raises(ReplyLateError, match=f"^dac at {wire.address}: no reply to 'A\\?' within 1 s."):
        hasty.query("A?")


# blocks
@pytest.mark.parametrize("visa", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_blocks_there_and_back(script: Script, server: Server, dtype: str, visa: bool, request: pytest.FixtureRequest) -> None:
    if visa:
        request.getfixturevalue("through_visa")
    told: list[bytes] = []

    def answer(message: bytes) -> Reply:
        if message.startswith(b"BLOC "):
            told.append(message[5:])
            return ()
        return (told[-1] + b"\n",)

    script.otherwise = answer
    link = Connection(Wire(server.address, timeout_s=PATIENT_S))
    link.open()
    rng = np.random.default_rng(1)
    for size in (0, 1, 10, 4096):
        values = rng.integers(-30000, 30000, size)
        if dtype[1] == "f":
            values = values / 7
        link.write_block("BLOC ", values, dtype)
        np.testing.assert_array_equal(link.query_block("BLOC?", dtype, size), values.astype(dtype))
        assert told[-1] == encode(values, dtype)
    link.write_block("BLOC ", np.full((4, 4), 0x0A0A), "<i2")  # nothing but newlines
    np.testing.assert_array_equal(link.query_block("BLOC?", "<i2"), np.full(16, 0x0A0A))
    assert link.query("*IDN?") == NAME.decode()
    link.close()


def test_a_block_ahead_of_a_question_goes_in_one_packet(
    script: Script, link: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    put = lines.SocketLine._put
    monkeypatch.setattr(lines.SocketLine, "_put", lambda self, message: (sent.append(message), put(self, message))[1])
    block = encode(np.arange(3.0))
    script.on("A?", b"1.5\n")
    script.on("B?", block + b"\n")
    script.seen.clear()
    assert link.query("A?", link.block("BLOC ", np.arange(3.0))) == "1.5"
    np.testing.assert_array_equal(link.query_block("B?", count=3, ahead=link.block("BLOC ", np.arange(3.0))), np.arange(3.0))
    assert script.seen == [b"BLOC " + block, b"A?", b"BLOC " + block, b"B?"]
    assert sent == [b"BLOC " + block + b"\nA?\n", b"BLOC " + block + b"\nB?\n"]


def test_silence_after_a_block_ahead(script: Script, hasty: Connection) -> None:
    script.on("A?", (Later(0.1, b"late\n", told=True),), b"1.5\n")
    with pytest.raises(ReplyLateError, match=re.escape("no reply to 'A?'")):
        hasty.query("A?", hasty.block("BLOC ", np.arange(3.0)))
    script.told.set()
    assert hasty.query("A?") == "1.5"  # and not what came late


def test_a_block_in_pieces(script: Script, link: Connection) -> None:
    block = encode(np.arange(4096.0)) + b"\n"
    script.on("B?", (block[:1], 0.02, block[1:4], 0.02, block[4:9000], 0.02, block[9000:-1], 0.02, block[-1:]))
    np.testing.assert_array_equal(link.query_block("B?", count=4096), np.arange(4096))
    assert link.query("*IDN?") == NAME.decode()


def test_a_long_reply_whose_end_is_torn(script: Script, server: Server) -> None:
    long = b"1.5," * 100_000
    script.on("LONG?", (long[:99_999], 0.02, long[99_999:] + b"\r", 0.05, b"\n"))
    link = Connection(Wire(server.address, read_end="\r\n", timeout_s=PATIENT_S))
    script.on("*IDN?", NAME + b"\r\n")
    link.open()
    assert link.query("LONG?") == long.decode()
    link.close()


def test_what_no_block_can_hold_is_not_sent(script: Script, link: Connection) -> None:
    for values, dtype in (([1e39], "<f4"), ([np.nan], "<f4"), ([70000], "<i2")):
        with pytest.raises(SettingError):
            link.write_block("BLOC ", np.array(values), dtype)
    assert link.query("*IDN?") == NAME.decode()
    assert script.seen == [b"*IDN?", b"*IDN?"]


# late replies
LATE: dict[str, Reply] = {
    "before the resync": (TOLD, b"1.0\n"),
    "while it is drained": (TOLD, 0.02, b"1.0\n"),
    "before the name": (TOLD, 0.2, b"1.0\n"),
    "after the name": (Later(0.3, b"1.0\n", told=True),),
    "in two pieces": (TOLD, 0.1, b"1", 0.1, b".0\n"),
    "never": (),
}


def ask_after_a_late_one(script: Script, link: Connection, command: str, pause_s: float = 0.0) -> None:
    """See that the next queries get what is theirs, after one whose reply did not come in time."""
    script.on("FAST?", *(b"%d\n" % k for k in range(10, 90)))
    with pytest.raises(ReplyLateError):
        link.query(command)
    script.told.set()
    time.sleep(pause_s)
    for k in range(10, 20):
        assert link.query("FAST?") == str(k)
        time.sleep(0.02)
    assert link.latency().failed == 1


@pytest.mark.parametrize("late", LATE)
def test_a_late_reply_never_answers_the_next_query(script: Script, hasty: Connection, late: str) -> None:
    script.on("SLOW?", LATE[late])
    ask_after_a_late_one(script, hasty, "SLOW?", 0.2 if "resync" in late else 0.0)
    assert script.seen.count(b"*IDN?") == 2


@pytest.mark.parametrize("late", ["before the resync", "after the name"])
def test_nor_does_it_through_the_visa_library(script: Script, through_visa: None, hasty: Connection, late: str) -> None:
    assert isinstance(hasty._line, VisaLine)
    script.on("SLOW?", LATE[late])
    ask_after_a_late_one(script, hasty, "SLOW?", 0.2 if "resync" in late else 0.0)


@pytest.mark.parametrize("pause_s", [0.02, 0.2])
def test_a_late_reply_that_is_the_name_itself(script: Script, hasty: Connection, pause_s: float) -> None:
    name = NAME + b"\n"
    script.on("*IDN?", (TOLD, pause_s, name), (0.1, name), name)
    ask_after_a_late_one(script, hasty, "*IDN?")


def test_a_reply_that_nobody_waits_for_any_more_is_found_before_the_next_question(
    script: Script, server: Server, link: Connection
) -> None:
    def arrives() -> None:
        line = link._line
        assert isinstance(line, lines.SocketLine)
        until(lambda: bool(select.select([line._socket], [], [], 0.0)[0]))

    script.on("SET 1", b"OK\n")  # home-built boards answer commands too
    script.on("A?", b"1\n", b"2\n")
    link.write("SET 1")
    arrives()
    assert link.query("A?") == "1"
    script.on("B?", b"7\n")
    assert link.query("B?") == "7"
    server.says(b"8\n")
    arrives()
    assert link.query("A?") == "2"


def test_a_write_finds_back_in_step_first(script: Script, hasty: Connection) -> None:
    script.on("SLOW?", (TOLD, 0.1, b"1.0\n"))
    with pytest.raises(ReplyLateError):
        hasty.query("SLOW?")
    script.told.set()
    hasty.write("VOLT 1")
    until(lambda: script.seen[-1] == b"VOLT 1")
    assert script.seen == [b"*IDN?", b"SLOW?", b"*IDN?", b"VOLT 1"]


def test_whoever_is_interrupted_leaves_no_reply_for_the_next(
    script: Script, link: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.on("A?", (0.05, b"1\n"), b"2\n")

    def interrupted(self: object, end: bytes) -> bytes:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(lines.Line, "until", interrupted)
    with pytest.raises(KeyboardInterrupt):
        link.query("A?")
    assert link.query("A?") == "2"


def test_one_that_never_comes_back_in_step_is_lost(script: Script, hasty: Connection) -> None:
    link = hasty
    script.on("SLOW?", ())
    script.on("*IDN?", b"Other,Model,8,1\n")
    with pytest.raises(ReplyLateError):
        link.query("SLOW?")
    with pytest.raises(LinkLostError, match=r"did not come back in step.*Open it again"):
        link.query("A?")
    assert not link.is_open
    with pytest.raises(LinkLostError, match="there is no link"):
        link.query("A?")
    assert b"A?" not in script.seen


def test_one_that_never_stops_talking_is_lost_in_time(script: Script, server: Server, hasty: Connection) -> None:
    script.on("A?", tuple(itertools.chain(*[(b"1\n2", 0.01)] * 10_000)))
    with AtOnce():
        until_it_raises(lambda: hasty.query("A?"), LinkLostError)  # the first may still look like a reply
    server.hang_up()


# replies that are wrong
WRONG: dict[str, tuple[str, Reply]] = {
    "cut short": ("A?", (b"1.",)),
    "cut short, the rest later": ("A?", (b"1.", TOLD, 0.05, b"5\n")),
    "garbled": ("A?", (b"1.\xff\x80\n",)),
    "garbled, with an end in the middle": ("A?", (b"1\n.5\n",)),
    "two replies": ("A?", (b"1.5\n2.5\n",)),
    "a block where a number was meant": ("A?", (encode(np.arange(100.0)) + b"\n",)),
    "no block": ("B?", (b"1.5\n",)),
    "nothing but an end": ("B?", (b"\n",)),
    "an error": ("B?", (b'-113,"Undefined header"\n',)),
    "a block of no definite length": ("B?", (b"#0\x00\x00\x00\x00\n",)),
    "letters for a length": ("B?", (b"#2x4\x00\x00\x00\x00\n",)),
    "a length too long": ("B?", (b"#216" + bytes(12) + b"\n",)),
    "a length too short": ("B?", (b"#18" + bytes(12) + b"\n",)),
    "a length beyond all measure": ("B?", (b"#9999999999" + bytes(12) + b"\n",)),
    "a block cut short": ("B?", (b"#212" + bytes(5),)),
    "a block without its end": ("B?", (b"#212" + bytes(12),)),
    "bytes after a block": ("B?", (b"#212" + bytes(12) + b"\n" + bytes(3),)),
    "half a number": ("B?", (b"#15" + bytes(5) + b"\n",)),
    "too few numbers": ("B?", (b"#18" + bytes(8) + b"\n",)),
    "too many numbers": ("B?", (b"#216" + bytes(16) + b"\n",)),
    "not finite": ("B?", (encode(np.zeros(2)) [:-4] + struct.pack("<f", np.nan) + b"\n",)),
}  # fmt: skip


#: Of these more could still come, so they are waited for.
CUT = {
    "cut short",
    "cut short, the rest later",
    "a length too long",
    "a block cut short",
    "a block without its end",
    "nothing but an end",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_after_a_wrong_reply_it_is_in_step_again(script: Script, wrong: str, request: pytest.FixtureRequest) -> None:
    link: Connection = request.getfixturevalue("hasty" if wrong in CUT else "link")
    command, reply = WRONG[wrong]
    script.on(command, reply, encode(np.arange(3.0)) + b"\n" if command == "B?" else b"7\n")
    with pytest.raises(ReplyError, match=r"^dac at TCPIP::127") as caught:
        link.query(command) if command == "A?" else link.query_block(command, count=3)
    assert str(caught.value).count("dac at") == 1
    script.told.set()
    if command == "A?":
        assert link.query(command) == "7"
    else:
        np.testing.assert_array_equal(link.query_block(command, count=3), [0, 1, 2])
    assert link.latency().failed <= 1


@pytest.mark.parametrize("value", [9.9e37, -9.9e37])
def test_an_overload_in_a_block(script: Script, link: Connection, value: float) -> None:
    script.on("B?", encode(np.array([1.0, value])) + b"\n")
    with pytest.raises(OverloadError, match="number 2 of 2 is an overload") as caught:
        link.query_block("B?")
    assert caught.value.places == (1,)
    assert script.seen.count(b"*IDN?") == 1
    assert link.query("*IDN?")  # the reply was whole: nothing to find back from
    assert script.seen.count(b"*IDN?") == 2


# links that break
@pytest.mark.parametrize("steps", [(HANG_UP,), (b"1.", HANG_UP), (0.05, HANG_UP)])
def test_hanging_up_is_not_silence(script: Script, slow: Connection, steps: Reply) -> None:
    script.on("A?", steps)
    with AtOnce(), pytest.raises(LinkLostError, match=r"dac at .*the link broke.*unknown"):
        slow.query("A?")
    assert not slow.is_open
    for call in (lambda: slow.query("A?"), lambda: slow.write("A"), lambda: slow.query_block("A?"), slow.resync,
                 lambda: slow.write_block("A ", np.zeros(1))):  # fmt: skip
        with AtOnce(), pytest.raises(LinkLostError, match="there is no link"):
            call()


def test_hanging_up_in_a_block(script: Script, slow: Connection) -> None:
    script.on("B?", (b"#216" + bytes(5), HANG_UP))
    with AtOnce(), pytest.raises(LinkLostError):
        slow.query_block("B?")


def test_a_write_to_one_that_hung_up(server: Server, slow: Connection) -> None:
    server.hang_up()
    until(lambda: bool(select.select([slow._line._socket], [], [], 0.0)[0]))  # type: ignore[union-attr]
    with AtOnce(), pytest.raises(LinkLostError):  # at the first: nothing is told to nobody in silence
        slow.write("VOLT 1")
    assert not slow.is_open


def test_a_pipe_that_breaks_in_the_middle_of_a_write(slow: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, message: bytes) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(lines.SocketLine, "_put", broken)
    with pytest.raises(LinkLostError, match="Broken pipe"):
        slow.write("VOLT 1")


def test_one_that_takes_nothing_more(script: Script, hasty: Connection) -> None:
    script.on("STOP", (300.0,))
    hasty.write("STOP")
    with AtOnce():
        until_it_raises(lambda: hasty.write_block("BLOC ", np.zeros(100_000)), LinkLostError)


def test_it_comes_back(server: Server, slow: Connection, short_pauses: None, script: Script) -> None:
    script.on("A?", b"1\n")
    server.stop()
    with AtOnce(), pytest.raises(LinkLostError):
        slow.query("A?")
    threading.Timer(0.05, server.start).start()
    assert slow.reopen(attempts=400).serial == "7"
    assert slow.query("A?") == "1"
    assert script.seen == [b"*IDN?", b"*IDN?", b"A?"]


def test_it_gives_up(server: Server, slow: Connection, short_pauses: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    server.stop()
    monkeypatch.setattr(time, "sleep", pauses.append)
    with AtOnce(), pytest.raises(AddressError, match="cannot be opened"):
        slow.reopen(attempts=3)
    assert [pause for pause in pauses if pause in (0.01, 0.02)] == [0.01, 0.02, 0.02]
    assert not slow.is_open


def test_who_calls_while_it_is_opened_again_need_not_wait(
    server: Server, slow: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (1.0,))
    thread = threading.Thread(target=slow.reopen)
    thread.start()
    until(lambda: not slow.is_open)
    with AtOnce(), pytest.raises(LinkLostError):
        slow.write("VOLT 1")
    thread.join(60.0)
    assert slow.is_open


def test_another_instrument_answers_after_it_was_opened_again(script: Script, slow: Connection, short_pauses: None) -> None:
    before = slow.identity
    assert before is not None
    script.on("*IDN?", b"Maker,Model,8,1.0\n")
    after = slow.reopen()
    assert after != before
    with pytest.raises(IdentityError, match=r"Maker Model, serial number 8.*asked for is 7"):
        check_identity(after, slow.where, serial=before.serial)
    script.on("*IDN?", b"Elsewhere,Thing,1,1.0\n")
    with pytest.raises(IdentityError, match=r"Elsewhere Thing, serial number 1.* not Maker Model"):
        check_identity(slow.reopen(), slow.where, maker=before.maker, models=(before.model,))
    assert slow.query("*IDN?").startswith("Elsewhere")


# addresses that lead nowhere
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "visa"),
    [
        ("TCPIP::127.0.0.1::{port}::SOCKET", "@py"),
        ("TCPIP::no-such-host.invalid::5025::SOCKET", "@py"),
        ("TCPIP::192.0.2.1::5025::SOCKET", "@py"),
        ("TCPIP::127.0.0.1::99999::SOCKET", "@py"),
        ("TCPIP::127.0.0.1::port::SOCKET", "@py"),
        ("ASRL/dev/no-such-port::INSTR", "@py"),
        ("the box on the left", "@py"),
        ("", "@py"),
        ("TCPIP::127.0.0.1::{port}::SOCKET", "@no_such_library"),
        ("TCPIP::127.0.0.1::{port}::SOCKET", "no-such-file.so"),
    ],
)
def test_addresses_that_lead_nowhere(address: str, visa: str) -> None:
    address = address.format(port=free_port())
    link = Connection(Wire(address, visa=visa, timeout_s=0.5), "dac")
    with AtOnce(), pytest.raises(AddressError) as caught:
        link.open()
    message = str(caught.value)
    assert message.startswith(f"dac at {address}: ")
    assert message.endswith((".", "?"))
    assert "\n" not in message
    assert not link.is_open


@pytest.mark.parametrize("visa", [False, True])
@pytest.mark.parametrize(
    ("name", "said"),
    [((), "no reply"), ((b"Maker,Mod",), ""), ((b"NOP\n",), "no maker"), ((b"\xff\xfe\n",), "no text"), ((HANG_UP,), "")],
)
def test_one_that_does_not_say_its_name(
    script: Script, wire: Wire, name: Reply, said: str, visa: bool, request: pytest.FixtureRequest
) -> None:
    if visa:
        request.getfixturevalue("through_visa")
    script.replies[b"*IDN?"] = [name]
    link = Connection(wire, "dac")
    with AtOnce(), pytest.raises(AddressError, match=f"dac at .*does not say its name.*{said}"):
        link.open()
    assert not link.is_open
    assert script.seen == [b"*IDN?"]
    script.on("*IDN?", NAME + b"\n")
    assert link.open().serial == "7"
    link.close()


def test_what_it_says_of_itself_when_it_is_opened_is_no_reply(script: Script) -> None:
    class Greets(Server):
        def _serve(self, link: socket.socket) -> None:
            link.sendall(b"Welcome to Model\n> ")
            super()._serve(link)

    server = Greets(script)
    link = Connection(Wire(server.address, timeout_s=PATIENT_S))
    assert link.open().model == "Model"
    link.close()
    server.stop()


def test_an_opening_that_is_interrupted_leaves_nothing_open(script: Script, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, end: bytes) -> bytes:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(lines.Line, "until", interrupted)
    link = Connection(wire)
    with pytest.raises(KeyboardInterrupt):
        link.open()
    assert not link.is_open
    assert link.open().serial == "7"
    link.close()


# many callers
def test_two_threads_never_mix_replies(script: Script, link: Connection) -> None:
    def answer(message: bytes) -> Reply:
        if message.startswith(b"BLOC? "):
            return (encode(np.full(5, int(message[6:]))) + b"\n",)
        return (message[5:] + b"\n",)

    script.otherwise = answer
    wrong: list[Any] = []

    def ask(start: int) -> None:
        try:
            for k in range(start, start + 300):
                if k % 3:
                    if (reply := link.query(f"ECHO {k}")) != str(k):
                        wrong.append((k, reply))
                elif not np.array_equal(values := link.query_block(f"BLOC? {k}", count=5), np.full(5, k)):
                    wrong.append((k, values))
        except DriverError as exc:
            wrong.append(exc)

    threads = [threading.Thread(target=ask, args=(1000 * number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert link.latency().exchanges == 901


# the VISA library of a bus that carries messages
class Bus:
    """A resource on a bus that carries messages: what was not read is thrown away by a device clear, and by nothing else."""

    resource_name = "GPIB0::8::INSTR"
    resource_class = "INSTR"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ready: list[bytes] = []

    def clear(self) -> None:
        self.calls.append("clear")
        self.ready.clear()

    def write_raw(self, message: bytes) -> None:
        self.calls.append(message.decode().strip())
        self.ready = {"*IDN?": [NAME + b"\n"], "A?": [b"1\n"]}.get(self.calls[-1], [])

    def set_visa_attribute(self, *_: object) -> None:
        raise NotImplementedError

    def ignore_warning(self, *_: object) -> Any:

        return contextlib.nullcontext()

    @property
    def visalib(self) -> Bus:
        return self

    session = 0
    timeout = 0

    def read(self, session: int, count: int) -> tuple[bytes, int]:
        from pyvisa.constants import StatusCode
        from pyvisa.errors import VisaIOError

        self.calls.append("read")
        if not self.ready:
            self.calls.append("unasked")
            time.sleep(self.timeout / 1000)
            raise VisaIOError(StatusCode.error_timeout)
        return self.ready.pop(0), 0

    def close(self) -> None:
        self.calls.append("close")


def test_an_instrument_on_a_bus_is_never_read_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus()

    class Manager:
        def __init__(self, visa: str) -> None: ...

        def open_resource(self, *_: object, **__: object) -> Bus:
            return bus

    monkeypatch.setattr(pyvisa, "ResourceManager", Manager)
    link = Connection(Wire("GPIB0::8::INSTR", timeout_s=0.05))
    link.open()
    link.query("A?")
    link.write("SET")
    assert "clear" not in bus.calls
    assert bus.calls == ["*IDN?", "read", "A?", "read", "SET"]
    with pytest.raises(ReplyLateError):
        link.query("LATE?")
    bus.calls.clear()
    assert link.query("A?") == "1"
    assert "unasked" not in bus.calls
    assert bus.calls[:3] == ["clear", "*IDN?", "read"]
    link.close()


def test_a_command_has_the_whole_time_whatever_the_reply_before_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus()
    allowed: list[int] = []
    sent = bus.write_raw

    def write_raw(message: bytes) -> None:
        allowed.append(bus.timeout)
        sent(message)

    monkeypatch.setattr(bus, "write_raw", write_raw)
    line = VisaLine(bus, 0.05)
    line.send(b"LATE?\n")
    with pytest.raises(lines.Silence):
        line.until(b"\n")
    line.send(b"SET\n")
    assert allowed == [50, 50]


# numbers in a reply
def test_numbers() -> None:
    np.testing.assert_array_equal(numbers("+1.5E-03,-2, 3 ", 3, "adc"), [1.5e-3, -2, 3])
    assert numbers("", 0, "adc").shape == (0,)
    assert numbers("9.7E37", 1, "adc")[0] == 9.7e37
    for large in (np.array([1e30, -9.7e37], "f4"), np.array([-9.7e37] * 9), np.array([2**31 - 1] * 9, "i4"), np.zeros(0)):
        assert finite(large, "adc") is large


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("1,2", "2 numbers came, 3 were asked for"),
        ("", "0 numbers came"),
        ("1,2,3,4", "4 numbers came"),
        ("1,2,", "no number"),
        ("1,2,x", "no number"),
        ("1,2,1_0", "no number"),
        ("1,nan,3", "number 2 of 3 is no finite number"),
        ("inf,2,-inf", "numbers 1, 3 of 3 are each no finite number"),
        ("1,2,9.91E37", "number 3 of 3 is no finite number"),
        ("1,2,1e999", "no finite number"),
    ],
)
def test_numbers_that_are_none(reply: str, said: str) -> None:
    with pytest.raises(ReplyError, match=f"^adc: .*{said}") as caught:
        numbers(reply, 3, "adc")
    assert not isinstance(caught.value, OverloadError)


@pytest.mark.parametrize("reply", ["1,+9.90000000E+37,3", "1,-9.9E37,3", "1,9.9e+38,3"])
def test_an_overload_is_told_as_one(reply: str) -> None:
    with pytest.raises(OverloadError, match="number 2 of 3 is an overload") as caught:
        numbers(reply, 3, "adc")
    assert caught.value.places == (1,)
