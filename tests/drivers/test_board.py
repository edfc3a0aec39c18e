"""The open board, byte by byte: over TCP and serial, 12 and 16 bits, binary and text, nudge, watchdog, resets, frames."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from aeqlab.drivers import blocks
from aeqlab.drivers.board import Board
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.emulated.board import Board as Emulated
from aeqlab.drivers.emulated.clock import LockstepClock
from aeqlab.drivers.emulated.server import PtyServed, Served, TcpServed
from aeqlab.drivers.emulated.terminals import Bare
from aeqlab.drivers.errors import (
    AddressError,
    IdentityError,
    LinkLostError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)  # fmt: skip
from aeqlab.drivers.instrument import Direction
from aeqlab.drivers.line import SocketLine

no_ports = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
LSB16, LSB12 = 16 / 2**16, 16 / 2**12  # of a range of 16 V, in which round numbers are codes


class Bench:
    """An emulated board that is served, and what it is wired to."""

    def __init__(self, serve: Callable[..., Served] = TcpServed, **options: Any) -> None:
        self.clock, self.wired = LockstepClock(), Bare()
        options = {"outputs": 4, "inputs": 3, "nudges": 2, "low": -8.0, "high": 8.0, **options}
        self.board = Emulated(terminals=self.wired, clock=self.clock, **options)
        self.served = serve(self.board.front, self.clock)

    @property
    def wire(self) -> Wire:
        end = "\r\n" if isinstance(self.served, PtyServed) else "\n"
        return Wire(self.served.address, timeout_s=0.4, read_end=end)  # type: ignore[attr-defined]

    def heard(self) -> bytes:
        """Take what was heard since this was last asked."""
        said = b"".join(self.served.heard)
        self.served.heard.clear()
        return said


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    with made.served:
        yield made


@pytest.fixture
def board(bench: Bench) -> Iterator[Board]:
    with Board(bench.wire, "board", serial="B0001") as opened:
        bench.heard()
        yield opened


def test_opening_asks_and_changes_nothing(bench: Bench) -> None:
    bench.board.outputs[2].value = 0.5
    with Board(bench.wire, "board") as board:
        assert str(board.identity) == "aeqlab BOARD-16, serial number B0001, firmware 1.0"
        assert bench.heard() == (
            b"*IDN?\n*ESR?\nSYSTem:ERRor?\nSYSTem:CHANnels?\nSYSTem:RANGe?\nSENSe:AVERage?\nSOURce:REST?\nSOURce:SLEW?\nOUTPut?\n"
            b"SOURce:LIMits?\nNUDGe:BETA? MAXimum\n"
        )  # fmt: skip
        assert list(board.channels) == ["1", "2", "3", "4", "1001", "1002", "1003", "2001", "2002"]
        first = board.channels["1"]
        assert (first.direction, first.unit, first.low, first.high) == (Direction.OUT, "V", -8.0, pytest.approx(8 - LSB16))
        assert first.step == pytest.approx(LSB16, rel=1e-6)
        assert board.channels["1003"].direction is Direction.IN
        assert board.beta_max == 1.0
        assert not board.rebooted()
    assert bench.board.outputs[2].value == 0.5


@pytest.mark.parametrize("serial", ["B0002", "0001"])
def test_another_serial_number_is_another_board(bench: Bench, serial: str) -> None:
    with pytest.raises(IdentityError, match=f"the serial number asked for is {serial}"):
        Board(bench.wire, "board", serial=serial).open()
    assert bench.heard() == b"*IDN?\n"


def test_another_instrument_is_refused_by_its_name(bench: Bench) -> None:
    bench.board.front.name = "QDevil, QDAC-II, 121, 11-1.14"
    with pytest.raises(IdentityError, match=r"QDAC-II, serial number 121.* answers, not aeqlab BOARD-12 or BOARD-16"):
        Board(bench.wire, "board").open()
    assert bench.heard() == b"*IDN?\n"


def test_a_block_is_loaded_and_applied_at_once(bench: Bench, board: Board) -> None:
    bench.board.front.carry_out(b"OUTP ON")
    values = np.array([0.25, -0.5, 0.1])
    board.write(["1", "2", "4"], values)
    assert bench.heard() == b"SOURce:BLOCk (@1:2,4)," + blocks.encode(values, "<f4") + b"\n*TRG\n*ESR?\n"
    assert bench.wired.driven["1"] == 0.25
    assert bench.wired.driven["4"] == pytest.approx(0.1, abs=LSB16 / 2)
    echoed = board.written(["4", "1"])
    assert bench.heard() == b"SOURce:BLOCk? (@4,1)\n"
    assert echoed == pytest.approx([round(0.1 / LSB16) * LSB16, 0.25], abs=1e-7)


def test_a_tick_is_one_packet_and_nothing_is_sent_of_one_that_is_refused(
    bench: Bench, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    put = SocketLine._put
    monkeypatch.setattr(SocketLine, "_put", lambda self, message: (sent.append(message), put(self, message))[1])
    board.write(["1", "2001", "2"], np.array([0.25, 0.125, -0.5]))
    block = blocks.encode(np.array([0.25, -0.5]), "<f4")
    line = b"SOURce:BLOCk (@1:2)," + block + b"\n*TRG\nNUDGe:STATe OFF;:NUDGe:TARGet 0.125,(@2001)\n*ESR?\n"
    assert sent == [line]
    assert board.written(["2001", "2", "1"]).tolist() == [0.125, -0.5, 0.25]
    sent.clear()
    for wrong in ([np.nan, 0.0], [0.0, 8.5]):
        with pytest.raises(SettingError, match="is outside"):
            board.write(["1", "2"], np.array(wrong))
    assert sent == []


def test_a_range_that_changes_counts_at_once(bench: Bench) -> None:
    """The ranges of a row of channels are remembered, and forgotten as soon as one is another."""
    with Board(bench.wire, "board", limits_V={"2": (-1.0, 1.0)}) as board:
        board.write(["1", "2"], np.array([0.0, 0.5]))
        board.write(["1", "2"], np.array([0.0, 2.0]))
        board.write(["1", "2"], np.array([0.0, 0.5]))
        board.arm()
        with pytest.raises(SettingError, match="channel 2: 2 V is outside -1 to 1 V"):
            board.write(["1", "2"], np.array([0.0, 2.0]))
        with pytest.raises(SettingError, match="a channel is there twice"):
            board.write(["2", "2"], np.array([0.0, 0.0]))
        board.write(["1", "2"], np.array([2.0, 1.0 + 1e-10]))  # rounding alone is none
        assert board.written(["2", "1"]).tolist() == pytest.approx([1.0, 2.0], abs=LSB16)


def test_nothing_moves_before_the_trigger(bench: Bench, board: Board) -> None:
    bench.board.front.carry_out(b"OUTP ON")
    board.connection.write_block("SOURce:BLOCk ", np.full(4, 0.5), "<f4")
    assert board.written(["1", "2"]).tolist() == [0.0, 0.0]
    board.connection.write("*TRG")
    assert board.written(["1", "2"]).tolist() == [0.5, 0.5]


def test_text_does_the_same(bench: Bench) -> None:
    bench.wired.laid["1002"] = 0.5
    with Board(bench.wire, "board", binary=False) as board:
        bench.heard()
        board.write(["1", "3"], np.array([0.123456789, -1.0]))
        assert bench.heard() == b"SOURce:BLOCk:ASCii (@1,3),0.123456789,-1\n*TRG\n*ESR?\n"
        assert board.written(["3", "1"]) == pytest.approx([-1.0, round(0.123456789 / LSB16) * LSB16])
        assert bench.heard() == b"SOURce:BLOCk:ASCii? (@3,1);*ESR?\n"
        assert board.measure(["1002", "1001"]).tolist() == [0.5, 0.0]
        assert bench.heard() == b"SENSe:BLOCk:ASCii? (@1002,1001);*ESR?\n"


@pytest.mark.parametrize(("bits", "lsb"), [(12, LSB12), (16, LSB16)])
def test_values_come_in_the_steps_of_the_converter(bits: int, lsb: float) -> None:
    bench = Bench(bits=bits)
    bench.wired.laid["1001"] = 0.3
    with bench.served, Board(bench.wire, "board") as board:
        assert board.identity is not None
        assert board.identity.model == f"BOARD-{bits}"
        board.write(["1"], np.array([0.3]))
        assert board.written(["1"])[0] == pytest.approx(round(0.3 / lsb) * lsb, abs=1e-6)
        assert board.measure(["1001"])[0] == pytest.approx(round(0.3 / lsb) * lsb, abs=1e-6)
        assert board.channels["1"].step == pytest.approx(lsb)


@pytest.mark.parametrize(
    ("keys", "values"),
    [(["1"], [8.1]), (["1"], [np.nan]), (["1001"], [0.0]), (["9"], [0.0]), (["1", "2"], [0.0]), (["2001"], [-9.0])],
)
def test_what_is_out_of_range_is_never_sent(bench: Bench, board: Board, keys: list[str], values: list[float]) -> None:
    with pytest.raises(SettingError, match=r"^board"):
        board.write(keys, np.array(values))
    assert bench.heard() == b""


def test_arming_says_what_it_changes_and_the_board_holds_the_limits(bench: Bench) -> None:
    board = Board(bench.wire, "board", limits_V={"1": (-0.5, 0.5)}, rest_V={"1": 0.25}, slew_V_per_s={"1": 5.0}, average=4
    )  # fmt: skip
    with board:
        bench.heard()
        assert [str(change) for change in board.plan()] == [
            "conversions averaged from 1 to 4",
            "channel 1: rest value from 0 V to 0.25 V",
            "channel 1: slew to rest from 1 V/s to 5 V/s",
            "channel 1: limits in V from -8,7.999756 to -0.5,0.5",
            "channel 1: output from OFF to ON",
        ]
        assert b"OFF" not in bench.heard()
        board.arm()
        assert board.plan() == []
        assert (board.channels["1"].low, board.channels["1"].high) == (-0.5, 0.5)
        assert board.settings()["output 1: limits in V"] == "-0.5,0.5"
        assert board.settings()["output 2: output"] == "OFF"
        bench.heard()
        with pytest.raises(SettingError, match=r"0\.6 V is outside -0\.5 to 0\.5 V"):
            board.write(["1"], np.array([0.6]))
        assert bench.heard() == b""
        board.connection.write("SOUR:VOLT 0.6,(@1)")  # whoever asks: the board itself refuses
        assert board.written(["1"])[0] == 0.0
        with pytest.raises(RefusedError, match="outside its range"):
            board.check()
        board.write(["1"], np.array([0.5]))
        assert 0.5 - LSB16 <= board.written(["1"])[0] <= 0.5


def test_limits_that_the_present_value_breaks_are_refused(bench: Bench) -> None:
    bench.board.outputs[1].value = 2.0
    with Board(bench.wire, "board", limits_V={"1": (-1.0, 1.0)}) as board:
        with pytest.raises(RefusedError, match="does not go with another"):
            board.arm()
        assert board.complaints() == []
    assert not bench.board.outputs[1].on  # never driven without its limits


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limits_V": {"1": (1.0, -1.0)}}, "limits are the lowest and the highest value, not 1 and -1 V"),
        ({"limits_V": {"1": (float("nan"), 1.0)}}, "limits are the lowest and the highest value"),
        ({"rest_V": {"1": float("inf")}}, "rest value inf V is outside"),
    ],
)
def test_settings_that_it_cannot_have_are_refused_without_a_link(bench: Bench, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Board(bench.wire, "board", **options)


@pytest.mark.parametrize("said", ["8,-8,16,16", "-8,8,0,16", "-8,8,16.5,16", "-8,8,1e9,16"])
def test_a_range_that_makes_no_sense_is_refused_at_opening(bench: Bench, said: str) -> None:
    bench.served.faults.spoil = lambda reply: said.encode() + b"\n" if reply.endswith(b",16,16\n") else reply
    with pytest.raises(ReplyError, match="it says that it has 4, 3 and 2 channels of"):
        Board(bench.wire, "board").open()


def test_a_refused_set_is_told_in_sentences(bench: Bench, board: Board) -> None:
    bench.board.outputs[1].high = 0.5  # the board knows better than what was read when it was opened
    with pytest.raises(RefusedError, match=r"board.* reports: A value is outside its range.*-222"):
        board.write(["1", "2"], np.array([0.6, 0.6]))
    assert [bench.board.outputs[k].value for k in (1, 2)] == [0.0, 0.0]


def test_measuring_averages_and_takes_its_time(bench: Bench, board: Board) -> None:
    bench.wired.laid.update({"1001": 0.1, "1003": -0.2})
    bench.board.average = 8
    before = bench.clock.now()
    values = board.measure(["1003", "1001"])
    assert bench.heard() == b"SENSe:BLOCk? (@1003,1001)\n"
    assert values == pytest.approx([-0.2, 0.1], abs=LSB16)
    assert bench.clock.now() - before == pytest.approx(8 * 100e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_an_input_at_its_rail_is_no_number(bench: Bench, binary: bool) -> None:
    bench.wired.laid["1002"] = 12.0
    with Board(bench.wire, "board", binary=binary) as board:
        with pytest.raises(ReplyError):
            board.measure(["1001", "1002"])
        assert board.measure(["1001"]).tolist() == [0.0]


def test_lost_frames_are_counted_repeated_ones_refused_and_a_reset_noticed(bench: Bench, board: Board) -> None:
    board.measure(["1001"])
    bench.board.frames += 3
    board.measure(["1001"])
    assert board.lost_frames == 3
    bench.board.frames -= 1
    with pytest.raises(ReplyError, match="frame 5 came twice"):
        board.measure(["1001"])
    bench.board.frames = 0
    with pytest.raises(RebootedError, match="its frames count from 1 after 5"):
        board.measure(["1001"])


@pytest.mark.parametrize(
    "spoil",
    [lambda reply: reply[:-3] + b"\n", lambda reply: b"#9" + reply[2:], lambda reply: b"nonsense\n", lambda reply: b"#14abcd\n"],
)
def test_a_spoiled_block_is_refused_whole(bench: Bench, board: Board, spoil: Callable[[bytes], bytes]) -> None:
    bench.served.faults.spoil = spoil
    with pytest.raises((ReplyError, ReplyLateError)):
        board.measure(["1001", "1002"])
    bench.served.faults.spoil = None
    assert board.measure(["1001", "1002"]).tolist() == [0.0, 0.0]


def test_the_board_nudges_by_itself(bench: Bench, board: Board) -> None:
    board.nudge(np.array([0.5, -0.25]), -0.125)
    assert bench.heard() == (
        b"NUDGe:BETA 0;TARGet 0.5,-0.25,(@2001:2002);BETA -0.125;STATe ON\nNUDGe:STATe?;BETA?;*ESR?\n"
    )  # fmt: skip
    assert bench.wired.driven == {**bench.wired.driven, "2001": 0.5, "2002": -0.25, "beta": -0.125}
    assert board.written(["2002", "2001"]).tolist() == [-0.25, 0.5]
    bench.heard()
    board.nudge(np.array([0.5, -0.25]), 0.25)  # another beta, the same targets
    assert bench.heard() == b"NUDGe:BETA 0.25;STATe ON\nNUDGe:STATe?;BETA?;*ESR?\n"
    assert board.nudge_stands() == 0.25
    board.release()
    assert bench.wired.driven["beta"] == 0.0
    bench.heard()
    with pytest.raises(SettingError, match=r"beta 1\.5 is outside -1 to 1"):
        board.nudge(np.array([0.5, -0.25]), 1.5)
    assert bench.heard() == b""


def test_targets_never_meet_the_beta_of_others(bench: Bench, board: Board) -> None:
    now: dict[str, float] = {}
    met: list[tuple[float, float, float]] = []

    def drive(key: str, value: float, *how: float) -> None:
        now[key] = value
        if now.get("beta"):
            met.append((now["2001"], now["2002"], now["beta"]))

    bench.wired.drive = drive  # type: ignore[method-assign]
    board.nudge(np.array([0.5, -0.25]), -0.125)
    board.nudge(np.array([1.0, 0.75]), 0.125)
    board.write(["2001"], np.array([-1.0]))  # by itself: the nudge goes off
    assert board.nudge_stands() == 0.0
    board.nudge(np.array([1.0, 0.75]), 0.125)
    assert [pair for k, pair in enumerate(met) if k == 0 or pair != met[k - 1]] == [
        (0.5, -0.25, -0.125), (1.0, 0.75, 0.125),
    ]  # fmt: skip


def test_a_nudge_that_is_refused_is_off(bench: Bench, board: Board) -> None:
    board.watch(1.0)
    bench.clock.spend(2.0)
    with pytest.raises(RefusedError, match="watchdog has bitten"):
        board.nudge(np.array([0.5, -0.25]), 0.125)
    assert bench.wired.driven["beta"] == 0.0


def test_it_holds_the_limits_it_was_given(bench: Bench) -> None:
    board = Board(bench.wire, "board", limits_V={"1": (-1.0, 1.0)})
    assert [board.holds_limits(key) for key in ("1", "2", "2001")] == [True, False, False]


def test_a_nudge_that_is_not_confirmed_is_not_left_on(bench: Bench, board: Board) -> None:
    bench.served.faults.spoil = lambda reply: b"1;much;0\n" if b";" in reply else reply
    with pytest.raises(ReplyError, match="no number"):
        board.nudge(np.array([0.5, -0.25]), 0.125)
    assert bench.wired.driven["beta"] == 0.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_watchdog_that_never_bites_is_none(bench: Bench, board: Board, seconds: float) -> None:
    with pytest.raises(SettingError, match="waits for more than 0 s"):
        board.watch(seconds)
    assert bench.heard() == b""


def test_both_stages_of_the_watchdog_are_confirmed(bench: Bench, board: Board) -> None:
    bench.served.faults.spoil = lambda reply: b"2,0\n" if reply == b"2,6\n" else reply
    with pytest.raises(RefusedError, match="was set to 2 s and 6 s, and is at 2 s and 0 s"):
        board.watch(2.0)


def test_off_is_confirmed(bench: Bench, board: Board) -> None:
    bench.board.front.carry_out(b"OUTP ON;:SOUR:VOLT 1,(@1:4)")
    bench.heard()
    board.off(["1", "2", "2001"])
    assert bench.heard() == b"NUDGe:STATe OFF\nOUTPut OFF,(@1:2)\nNUDGe:STATe?\nOUTPut? (@1:2)\n"
    assert [bench.wired.driven[key] for key in "1234"] == [0.0, 0.0, 1.0, 1.0]


def test_the_watchdog_bites_in_two_stages(bench: Bench, board: Board) -> None:
    bench.board.front.carry_out(b"OUTP ON;:SOUR:VOLT 1,(@1:4);REST 0.5,(@1:4);SLEW 0.25,(@1:4);:NUDG:BETA 0.1;STAT ON")
    assert board.watch(2.0)
    assert bench.heard() == b"SYSTem:WDOG 2,6\nSYSTem:WDOG?\n"
    bench.clock.spend(1.9)
    assert board.bitten() == 0  # a question is traffic
    bench.clock.spend(1.9)
    bench.board.catch_up()
    assert bench.wired.driven["beta"] == 0.1
    bench.clock.spend(0.2)
    bench.board.catch_up()
    assert (bench.wired.driven["beta"], bench.wired.driven["1"]) == (0.0, 1.0)
    bench.clock.spend(4.9)  # one second into the ramp
    bench.board.catch_up()
    assert bench.wired.driven["1"] == pytest.approx(0.75, abs=LSB16)
    assert board.bitten() == 2
    with pytest.raises(RefusedError, match="watchdog has bitten"):
        board.write(["1"], np.array([0.0]))
    assert bench.board.stage == 2
    bench.clock.spend(100.0)
    bench.board.catch_up()
    assert bench.wired.driven["1"] == 0.5
    assert board.watch(None)
    board.write(["1"], np.array([0.0]))
    bench.clock.spend(100.0)
    assert board.bitten() == 0


def test_a_dropped_link_is_opened_again_and_nothing_was_lost(bench: Bench, board: Board) -> None:
    board.serial = ""  # any, and from then on the same
    board.write(["1"], np.array([0.5]))
    bench.served.drop()  # type: ignore[attr-defined]
    with pytest.raises(LinkLostError):
        board.measure(["1001"])
    board.reopen()
    assert not board.rebooted()
    assert board.written(["1"]).tolist() == [0.5]
    bench.board.front.name = "aeqlab,BOARD-16,B0002,1.0"
    with pytest.raises(IdentityError, match="the serial number asked for is B0001"):
        board.reopen()


def test_a_reboot_is_noticed(bench: Bench, board: Board) -> None:
    board.write(["1"], np.array([0.5]))
    bench.board.reboot()
    assert board.rebooted()
    assert not board.rebooted()
    assert board.written(["1"]).tolist() == [0.0]
    bench.board.reboot()
    with pytest.raises(RebootedError, match="its settings are gone"):
        board.write(["1"], np.array([0.5]))
    assert board.rebooted()
    bench.board.reboot()
    with pytest.raises(RebootedError, match="its settings are gone"):
        board.nudge_stands()


def test_a_late_reply_is_not_that_of_the_next_question(bench: Bench, board: Board) -> None:
    board.measure(["1001"])
    bench.wired.laid["1001"] = 0.5
    bench.served.faults.late_s = 0.5
    with pytest.raises(ReplyLateError):
        board.measure(["1001"])
    bench.served.faults.late_s = 0.0
    assert board.written(["1"]).tolist() == [0.0]
    assert board.measure(["1001"]).tolist() == [0.5]
    assert board.lost_frames == 1


@no_ports
def test_over_a_serial_port_too() -> None:
    bench = Bench(PtyServed, bits=12)
    bench.wired.laid.update({"1001": 0.5, "1003": 0.78125})
    with bench.served, Board(bench.wire, "board") as board:
        values = np.frombuffer(b"\x00\x0a\x0d\x3e" * 4, "<f4").astype(float)  # its bytes look like the ends of lines
        board.write(["1", "2", "3", "4"], values)
        assert board.written(["1", "2", "3", "4"]) == pytest.approx(values, abs=LSB12)
        for _ in range(3):
            assert board.measure(["1001", "1003"]) == pytest.approx([0.5, 0.78125])
        assert board.lost_frames == 0


@no_ports
def test_a_board_that_resets_when_its_port_is_opened() -> None:
    clock = LockstepClock()
    emulated = Emulated(2, 2, low=-8.0, high=8.0, clock=clock, starts_s=1.0)
    emulated.outputs[1].value = 0.5
    with PtyServed(emulated.front, clock, opened=emulated.reboot) as served:
        wire = Wire(served.address, timeout_s=0.5, read_end="\r\n")
        with pytest.raises(AddressError, match="does not say its name"):
            Board(wire, "board").open()  # it still starts up
        emulated.starts_s = 0.0
        time.sleep(0.05)  # a pseudo-terminal that is closed and opened again at once was never seen to be closed
        with Board(wire, "board") as board:
            assert board.written(["1"]).tolist() == [0.0]
            board.write(["1"], np.array([0.25]))
            assert not board.rebooted()
            board.reopen()
            assert board.rebooted()
            assert board.written(["1"]).tolist() == [0.0]
