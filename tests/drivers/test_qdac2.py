"""The QDAC-II and its emulated counterpart: every byte of every call, good and bad replies, faults of link and box."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from aeqlab.drivers.connection import Wire
from aeqlab.drivers.emulated.clock import LockstepClock
from aeqlab.drivers.emulated.qdac2 import EmulatedQdac2
from aeqlab.drivers.emulated.server import PtyServed, Served, TcpServed
from aeqlab.drivers.emulated.terminals import Bare
from aeqlab.drivers.errors import (
    IdentityError,
    LinkLostError,
    OverloadError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)
from aeqlab.drivers.instrument import Silence
from aeqlab.drivers.qdac2 import Current, Filter, Output, Qdac2, Range

STEP = 20.48 / 2**25
ADOPT_3 = [
    "SOURce3:VOLTage:MODE?", "SOURce3:DC:TRIGger:SOURce?", "SOURce3:RANGe?", "SOURce3:FILTer?", "SOURce3:VOLTage:SLEW?",
]  # fmt: skip
ENDS_3 = ["SOURce3:RANGe:HIGH:MINimum?", "SOURce3:RANGe:HIGH:MAXimum?"]
OPEN = ["*IDN?", "*ESR?", "SYSTem:ERRor:ALL?"]


class Bench:
    """An emulated box with nothing behind it, served."""

    def __init__(self) -> None:
        self.terminals, self.clock = Bare(), LockstepClock()
        self.box = EmulatedQdac2(self.terminals, self.clock)

    def driver(self, served: TcpServed | PtyServed, serial: str = "121", timeout_s: float = 2.0, **options: object) -> Qdac2:
        options.setdefault("outputs", {"3": Output(), "4": Output()})
        return Qdac2(Wire(served.address, timeout_s=timeout_s), "dac", serial=serial, **options)  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def served(bench: Bench) -> Iterator[TcpServed]:
    with TcpServed(bench.box.front, bench.clock) as served:
        yield served


@pytest.fixture
def dac(bench: Bench, served: TcpServed) -> Iterator[Qdac2]:
    with bench.driver(served) as dac:
        dac.arm()
        served.heard.clear()
        yield dac


def heard(served: Served) -> list[str]:
    """Get the lines that came since the last time."""
    lines = b"".join(served.heard).decode().split("\n")
    served.heard.clear()
    assert lines.pop() == ""
    return lines


def test_opening_only_asks_and_takes_what_stands(bench: Bench, served: TcpServed) -> None:
    bench.box.front.carry_out(b"SOUR3:VOLT 0.5;VOLT:SLEW 12.5;:SOUR3:FILT MED")
    bench.terminals.driven.clear()
    with bench.driver(served, outputs={"3": Output()}, currents={"3": Current()}) as dac:
        assert heard(served) == [*OPEN, *ADOPT_3, "SENSe3:RANGe?", "SENSe3:NPLCycles?", *ENDS_3]
        assert dac.identity is not None
        assert (dac.identity.model, dac.identity.serial) == ("QDAC-II", "121")
        out, sense = dac.channels["3"], dac.channels["i3"]
        assert (out.low, out.high, out.step, out.slew_per_s, out.unit) == (-10.24, 10.24, STEP, 12.5, "V")
        assert (sense.low, sense.high, sense.unit) == (-0.01, 0.01, "A")
        assert not dac.rebooted()
        assert dac.settings()["output 3: filter"] == "MED"
        assert dac.settings()["output 3: slew"] == "12.5 V/s"
    assert bench.terminals.driven == {}
    assert bench.box.outputs[3].volts == pytest.approx(0.5, abs=STEP)


def test_all_24_outputs_are_taken_without_a_list(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, outputs=None) as dac:
        assert list(dac.channels) == [str(k) for k in range(1, 25)]
        assert all(line.endswith("?") for line in heard(served))


def test_another_instrument_is_asked_for_its_name_alone(bench: Bench, served: TcpServed) -> None:
    dac = bench.driver(served, serial="122")
    with pytest.raises(IdentityError, match="serial number asked for is 122"):
        dac.open()
    assert heard(served) == ["*IDN?"]
    bench.box.front.name = "Keysight Technologies,DAQ970A,MY1,1"
    with pytest.raises(IdentityError, match="not QDevil QDAC-II"):
        bench.driver(served).open()
    assert heard(served) == ["*IDN?"]


def test_arming_is_planned_sent_and_read_back(bench: Bench, served: TcpServed) -> None:
    wanted = Output(Range.LOW, Filter.DC, 5.0)
    with bench.driver(served, outputs={"3": wanted}, currents={"3": Current(Range.LOW, 2)}) as dac:
        heard(served)
        assert [str(change) for change in dac.plan()] == [
            "channel 3: slew from 20000000 V/s to 5 V/s", "channel 3: filter from HIGH to DC",
            "channel 3: range from HIGH to LOW", "channel 3: trigger from IMM to INT14",
            "channel 3: current range from HIGH to LOW", "channel 3: current aperture from 1 PLC to 2 PLC",
        ]  # fmt: skip
        assert heard(served) == []
        dac.arm()
        assert heard(served) == [
            "SOURce3:VOLTage?", "SOURce3:VOLTage:LAST?", "SOURce3:VOLTage:SLEW 5", "SOURce3:FILTer DC", "SOURce3:RANGe LOW",
            "SOURce3:DC:TRIGger:SOURce INT14", "SENSe3:RANGe LOW", "SENSe3:NPLCycles 2", "SYSTem:ERRor:ALL?", *ADOPT_3,
            "SENSe3:RANGe?", "SENSe3:NPLCycles?", "SOURce3:RANGe:LOW:MINimum?", "SOURce3:RANGe:LOW:MAXimum?",
            "SOURce:VOLTage? (@3);*ESR?", "SOURce:VOLTage:TRIGgered? (@3)", "SYSTem:ERRor:ALL?",
        ]  # fmt: skip
        assert dac.plan() == []
        assert (dac.channels["3"].low, dac.channels["3"].high) == (-2.048, 2.048)
        dac.arm()
        assert not any(line.startswith("SOURce") and "?" not in line for line in heard(served))


def test_a_range_is_not_changed_away_from_zero(bench: Bench, served: TcpServed) -> None:
    bench.box.front.carry_out(b"SOUR3:VOLT 0.5")
    with bench.driver(served, outputs={"3": Output(Range.LOW)}) as dac:
        heard(served)
        with pytest.raises(SettingError, match=r"output 3: it is at 0\.5 V, and its range changes only at 0 V"):
            dac.arm()
        assert heard(served) == ["SOURce3:VOLTage?"]


def test_a_range_is_not_changed_while_the_output_is_still_on_its_way_to_zero(bench: Bench, served: TcpServed) -> None:
    bench.box.front.carry_out(b"SOUR3:VOLT 1")
    bench.clock.spend(1.0)
    bench.box.front.carry_out(b"SOUR3:VOLT:SLEW 0.1;:SOUR3:VOLT 0")
    with bench.driver(served, outputs={"3": Output(Range.LOW)}) as dac:
        with pytest.raises(SettingError, match=r"output 3: it is at 1 V, and its range changes only at 0 V"):
            dac.arm()
        bench.clock.spend(11.0)
        dac.arm()


def test_a_setting_that_does_not_take_is_told(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, outputs={"3": Output(slew_V_per_s=5.0)}) as dac:
        bench.box._drive = lambda n: setattr(bench.box.outputs[n], "slew", 7.0)  # type: ignore[method-assign]
        with pytest.raises(RefusedError, match=r"did not change channel 3: slew from 7 V/s to 5 V/s"):
            dac.arm()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"outputs": {"25": Output()}}, "no output '25'"), ({"currents": {"0": Current()}}, "no output '0'"),
        ({"outputs": {"3": Output(slew_V_per_s=0.001)}}, "slew 0.001 V/s is outside 0.01 to 2e"),
        ({"outputs": {"3": Output(slew_V_per_s=float("nan"))}}, "slew nan V/s is outside"),
        ({"currents": {"3": Current(nplc=0)}}, "current aperture 0 PLC is outside 1 to"),
    ],
)  # fmt: skip
def test_what_it_cannot_be_is_refused_without_a_link(options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Qdac2(Wire("TCPIP::127.0.0.1::1::SOCKET"), "dac", **options)  # type: ignore[arg-type]


def test_a_block_is_staged_and_triggered_once(bench: Bench, served: TcpServed, dac: Qdac2) -> None:
    dac.write(["4", "3"], np.array([0.123456789, -1 / 3]))
    assert heard(served) == [
        "SOURce4:VOLTage:TRIGgered 0.123456789", "SOURce3:VOLTage:TRIGgered -0.3333333333", "SOURce:DC:INITiate (@4,3)",
        "TINT 14", "SYSTem:ERRor:ALL?;*ESR?",
    ]  # fmt: skip
    assert bench.terminals.driven["3"] == pytest.approx(-1 / 3, abs=0.51 * STEP)
    echo = dac.written(["3", "4"])
    assert heard(served) == ["SOURce:VOLTage? (@3,4);*ESR?"]
    np.testing.assert_allclose(echo, [-1 / 3, 0.123456789], atol=0.51 * STEP)
    assert abs(echo[0] / STEP - round(echo[0] / STEP)) < 0.01  # whole codes


def test_nothing_moves_before_the_trigger(bench: Bench, dac: Qdac2) -> None:
    moved: list[tuple[str, float]] = []
    bench.terminals.drive = lambda key, value, *how: moved.append((key, round(value, 3)))  # type: ignore[method-assign]
    bench.box.front.carry_out(b"SOUR3:VOLT:TRIG 1;:SOUR4:VOLT:TRIG 2;:SOUR:DC:INIT (@3,4)")
    assert moved == []
    bench.box.front.carry_out(b"TINT 5;*TRG")
    assert moved == []
    bench.box.front.carry_out(b"TINT 14;TINT 14")
    assert moved == [("3", 1.0), ("4", 2.0)]


def test_an_output_that_is_not_armed_is_set_by_itself(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served) as dac:
        heard(served)
        dac.write(["3"], np.array([0.25]))
        assert heard(served) == ["SOURce3:VOLTage 0.25", "SYSTem:ERRor:ALL?;*ESR?"]
        assert bench.terminals.driven["3"] == pytest.approx(0.25)


def test_an_output_that_a_list_drives_goes_to_its_voltage_without_a_detour(bench: Bench, served: TcpServed) -> None:
    bench.box.front.carry_out(b"SOUR3:VOLT -3;:SOUR3:VOLT:MODE LIST")
    bench.box.outputs[3].volts = 1.5  # where its list has brought it
    went: list[tuple[float, float]] = []
    with bench.driver(served, outputs={"3": Output(slew_V_per_s=5.0)}) as dac:
        heard(served)
        bench.terminals.drive = lambda key, value, slew, lag: went.append((round(value, 3), slew))  # type: ignore[assignment,method-assign,misc]
        dac.write(["3"], np.array([1.0]))
        assert heard(served) == [
            "SOURce3:VOLTage:SLEW 5", "SOURce3:VOLTage 1", "SOURce3:VOLTage:MODE FIXed", "SYSTem:ERRor:ALL?;*ESR?",
        ]  # fmt: skip
    assert went == [(1.5, 5.0), (1.0, 5.0)]  # never -3 V, and never faster than it may


def test_the_trigger_moves_nothing_that_waits_for_another_one(bench: Bench, dac: Qdac2) -> None:
    bench.box.front.carry_out(b"SOUR7:DC:TRIG:SOUR BUS;:SOUR7:VOLT:TRIG 3;:SOUR7:DC:INIT")
    dac.write(["3"], np.array([1.0]))
    assert (bench.box.outputs[3].volts, bench.box.outputs[7].volts) == (pytest.approx(1.0), 0.0)


def test_a_reboot_is_noticed_by_what_is_said_next(bench: Bench, dac: Qdac2) -> None:
    for talk in (lambda: dac.write(["3"], np.array([0.5])), lambda: dac.written(["3"]), dac.healthy):
        bench.box.reboot()
        with pytest.raises(RebootedError, match="switched off and on; its settings are gone"):
            talk()
        assert dac.rebooted()
        dac.arm()
        dac.healthy()


def test_off_after_a_reboot_is_off(bench: Bench, dac: Qdac2) -> None:
    dac.write(["3"], np.array([0.5]))
    bench.box.reboot()
    dac.off(["3"])
    assert dac.rebooted()


def test_a_reply_that_lost_its_end_is_no_number(bench: Bench, served: TcpServed, dac: Qdac2) -> None:
    dac.write(["3"], np.array([1.25]))
    served.faults.spoil = lambda reply: reply[:5] + b"\n"  # 1.25, to the last digit but two
    with pytest.raises(ReplyError, match="lost its end"):
        dac.written(["3"])


def test_complaints_of_others_are_told_by_a_look_at_its_health(bench: Bench, dac: Qdac2) -> None:
    bench.box.front.carry_out(b"SOUR3:VOLT 99")
    with pytest.raises(RefusedError, match="outside what the output can do") as refused:
        dac.healthy()
    assert refused.value.codes == (-222,)
    dac.healthy()


def test_an_output_that_is_elsewhere_than_it_was_set_is_not_off(bench: Bench, dac: Qdac2, served: TcpServed) -> None:
    dac.write(["4"], np.array([1.0]))
    bench.box.volts = lambda number: 1.0  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="does not say that output 4 is at 0 V"):
        dac.off(["4"])
    with bench.driver(served, outputs={"4": Output(slew_V_per_s=0.5)}) as slow:
        slow.arm()
        slow.off(["4"])  # it ramps, and is on its way


@pytest.mark.parametrize("value", [10.25, -10.25, float("nan"), float("inf")])
def test_a_value_outside_the_range_sends_nothing(served: TcpServed, dac: Qdac2, value: float) -> None:
    with pytest.raises(SettingError, match=r"outside -10\.24 to 10\.24 V"):
        dac.write(["3", "4"], np.array([0.0, value]))
    with pytest.raises(SettingError, match="no output '5'"):
        dac.write(["5"], np.array([0.0]))
    assert heard(served) == []


def test_what_the_box_refuses_stays_and_the_rest_moves(bench: Bench, dac: Qdac2) -> None:
    bench.box.front.carry_out(b"SOUR3:RANG LOW")  # from the front panel, behind the driver's back
    with pytest.raises(RefusedError, match="outside what the output can do in its range") as caught:
        dac.write(["3", "4"], np.array([5.0, 5.0]))
    assert caught.value.codes == (-222,)
    assert (bench.box.outputs[3].volts, round(bench.box.outputs[4].volts, 6)) == (0.0, 5.0)


def test_what_the_box_refuses_does_not_go_to_what_was_staged_before_arming(bench: Bench, served: TcpServed) -> None:
    bench.box.front.carry_out(b"SOUR3:VOLT 0.5;VOLT:TRIG -2")
    with bench.driver(served) as dac:
        dac.arm()
        bench.box.front.carry_out(b"SOUR3:RANG LOW")
        with pytest.raises(RefusedError, match="outside what the output can do in its range"):
            dac.write(["3"], np.array([5.0]))
    assert bench.box.outputs[3].volts == pytest.approx(0.5, abs=1e-6)


def test_off_is_zero_volts_and_is_confirmed(bench: Bench, served: TcpServed, dac: Qdac2) -> None:
    dac.write(["3", "4"], np.array([1.0, -1.0]))
    heard(served)
    dac.off(["3"])
    assert heard(served) == [
        "SOURce3:VOLTage:TRIGgered 0", "SOURce:DC:INITiate (@3)", "TINT 14", "SYSTem:ERRor:ALL?;*ESR?",
        "SOURce:VOLTage:LAST? (@3);*ESR?", "SOURce:VOLTage? (@3);*ESR?",
    ]  # fmt: skip
    assert bench.terminals.driven["3"] == 0.0
    assert bench.terminals.driven["4"] == pytest.approx(-1.0)
    assert "no relay" in dac.off_means
    assert dac.when_silent is Silence.HOLDS
    assert dac.watch(1.0) is False
    bench.box._trigger = lambda source: None  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="does not say that output 4 is at 0 V"):
        dac.off(["4"])


def test_closing_leaves_the_outputs_where_they_are(bench: Bench, served: TcpServed, dac: Qdac2) -> None:
    dac.write(["3"], np.array([1.0]))
    heard(served)
    dac.close()
    dac.close()
    assert heard(served) == []
    assert bench.terminals.driven["3"] == pytest.approx(1.0)


def test_the_box_ramps_by_itself(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, outputs={"3": Output(filter=Filter.DC, slew_V_per_s=2.0)}) as dac:
        dac.arm()
        dac.write(["3"], np.array([1.0]))
        assert bench.terminals.shaped["3"][0] == 2.0
        assert bench.terminals.shaped["3"][1] == pytest.approx(0.0159, rel=0.01)
        for passed, volts in ((0.0, 0.0), (0.25, 0.5), (0.25, 1.0), (1.0, 1.0)):
            bench.clock.spend(passed)
            assert dac.ask("SOURce3:VOLTage:LAST?") == f"{bench.box.volts(3):.9g}"
            assert bench.box.volts(3) == pytest.approx(volts, abs=1e-5)
        bench.clock.spend(1.0)
        dac.write(["3"], np.array([0.0]))
        bench.clock.spend(0.1)
        assert bench.box.volts(3) == pytest.approx(0.8, abs=1e-5)


def test_currents_are_read_all_at_once(bench: Bench, served: TcpServed) -> None:
    bench.terminals.laid = {"i3": 1.25e-8, "i4": -3e-9}
    currents = {"3": Current(Range.LOW, 2), "4": Current(Range.LOW, 1)}
    with bench.driver(served, currents=currents) as dac:
        dac.arm()
        heard(served)
        before = bench.clock.now()
        assert dac.measure(["i4", "i3"]).tolist() == [-3e-9, 1.25e-8]
        assert heard(served) == ["READ? (@4,3);*ESR?"]
        assert bench.clock.now() - before == pytest.approx(2 / 50)
        bench.terminals.laid["i3"] = 1e-6
        with pytest.raises(OverloadError, match="overload on channel i3:"):
            dac.measure(["i3", "i4"])
        with pytest.raises(SettingError, match="no input '3'"):
            dac.measure(["3"])


def test_an_aperture_longer_than_the_timeout_is_refused(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, currents={"3": Current(nplc=100)}) as dac:
        dac.arm()
        heard(served)
        with pytest.raises(SettingError, match=r"takes about 2 s, and timeout_s is 2 s"):
            dac.measure(["i3"])
        assert heard(served) == []


def test_errors_become_sentences(bench: Bench, served: TcpServed, dac: Qdac2) -> None:
    assert dac.complaints() == []
    assert heard(served) == ["SYSTem:ERRor:ALL?"]
    for wrong in (b"NONSENSE", b"SOUR3:VOLT 99", b"SOUR25:VOLT 1"):
        bench.box.front.carry_out(wrong)
    found = dac.complaints()
    assert [one.code for one in found] == [-113, -222, -114]
    assert found[0].text.startswith("It does not know a command.")
    assert found[1].text.endswith('(-222, "Data out of range")')
    assert dac.complaints() == []
    for _ in range(30):
        bench.box.front.carry_out(b"NONSENSE")
    with pytest.raises(RefusedError, match="errors were lost"):
        dac.check()


def test_old_complaints_are_kept_apart(bench: Bench, served: TcpServed) -> None:
    bench.box.front.carry_out(b"NONSENSE")
    with bench.driver(served) as dac:
        assert [one.code for one in dac.found] == [-113]
        dac.arm()


def test_a_question_it_does_not_know_is_told_with_its_reason(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, timeout_s=0.5) as dac, pytest.raises(RefusedError, match="does not know a command"):
        dac.ask("SOURce3:WHAT?")


@pytest.mark.parametrize("reply", [b"1,x\n", b"1\n", b"1,2,3\n", b"nan,1\n", b"9.9E37,0\n", b"\n", b"\xff,1\n"])
def test_bad_replies_never_become_numbers(served: TcpServed, dac: Qdac2, reply: bytes) -> None:
    served.faults.spoil = lambda said: reply
    with pytest.raises(ReplyError):
        dac.written(["3", "4"])
    served.faults.spoil = None
    assert dac.written(["3", "4"]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("reply", [b"fine\n", b'0 "No error"\n', b'-222,"cut\n', b"\n"])
def test_a_garbled_error_queue_is_no_good_news(served: TcpServed, dac: Qdac2, reply: bytes) -> None:
    served.faults.spoil = lambda said: reply
    with pytest.raises(ReplyError):
        dac.write(["3"], np.array([0.5]))


def test_a_setting_that_makes_no_sense_is_refused_at_opening(bench: Bench, served: TcpServed) -> None:
    bench.box.outputs[3].range = "MIDDLE"
    with pytest.raises(ReplyError, match="range is said to be 'MIDDLE'"):
        bench.driver(served).open()


def test_a_reboot_is_noticed_once(bench: Bench, served: TcpServed, dac: Qdac2) -> None:
    dac.write(["3"], np.array([1.0]))
    assert not dac.rebooted()
    bench.box.reboot()
    assert bench.terminals.driven["3"] == 0.0
    assert dac.rebooted()
    assert [str(change) for change in dac.plan()] == [f"channel {key}: trigger from IMM to INT14" for key in "34"]
    assert not dac.rebooted()


def test_a_reboot_during_a_lost_link_is_noticed(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, timeout_s=0.5) as dac:
        dac.arm()
        served.drop()
        bench.box.reboot()
        with pytest.raises(LinkLostError):
            dac.written(["3"])
        dac.reopen()
        assert dac.plan()
        assert dac.rebooted()
        assert not dac.rebooted()


def test_after_a_lost_link_it_goes_on(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, timeout_s=0.5) as dac:
        dac.arm()
        dac.write(["3"], np.array([1.0]))
        served.drop()
        with pytest.raises(LinkLostError):
            dac.write(["3"], np.array([1.5]))
        heard(served)
        dac.reopen()
        assert all(line.endswith("?") for line in heard(served))
        assert dac.plan() == []
        assert not dac.rebooted()
        assert dac.written(["3"])[0] == pytest.approx(1.0)
        dac.write(["3"], np.array([1.25]))
        assert dac.written(["3"])[0] == pytest.approx(1.25)
        bench.box.front.name = "QDevil, QDAC-II, 999, 11-1.14"
        served.drop()
        with pytest.raises(IdentityError, match="999"):
            dac.reopen()


def test_a_late_reply_is_never_taken_for_the_next(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, timeout_s=0.5) as dac:
        dac.arm()
        dac.write(["3", "4"], np.array([1.0, 2.0]))
        served.faults.late_s = 0.8
        with pytest.raises(ReplyLateError):
            dac.connection.query("SOURce3:VOLTage?")
        served.faults.late_s = 0.0
        assert dac.written(["4"])[0] == pytest.approx(2.0)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
def test_over_a_serial_port(bench: Bench) -> None:
    with PtyServed(bench.box.front, bench.clock, end=b"\n") as served, bench.driver(served) as dac:
        dac.arm()
        heard(served)
        dac.write(["3", "4"], np.array([0.5, -0.5]))
        assert heard(served)[-3:] == ["SOURce:DC:INITiate (@3,4)", "TINT 14", "SYSTem:ERRor:ALL?;*ESR?"]
        np.testing.assert_allclose(dac.written(["3", "4"]), [0.5, -0.5], atol=STEP)
        bench.box.reboot()
        assert dac.rebooted()
