"""Faults of the emulated bench: each shows at the driver as RIGS section 5 says, and the hardware goes on as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from aeqlab.backends.bench import Bench
from aeqlab.backends.bench_faults import Fault, begin, end
from aeqlab.backends.bench_file import BenchSettings
from aeqlab.backends.bench_spoil import spoiler
from aeqlab.backends.journal import Journal, read_journal
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import DriverError, LinkLostError, RefusedError, ReplyError, ReplyLateError
from aeqlab.drivers.qdac2 import Output, Qdac2

FILE: dict[str, Any] = {
    "physics": {"energy": "linear", "options": {"frequencies": 0}},
    "profile": "ideal",
    "clock": "lockstep",
    "instruments": {"dac": {"kind": "qdac2"}, "adc": {"kind": "daq970a"}},
    "wiring": {"dac[1]": "u[0]", "dac[2]": "x[0]", "adc[101]": "theta[0]", "adc[102]": "s[0]"},
}


class Rig:
    """A bench and its DAC, armed and at 0.5 V."""

    def __init__(self, stack: ExitStack, journal: Path, **changes: Any) -> None:
        self.bench = stack.enter_context(Bench(BenchSettings.model_validate({**FILE, **changes}), journal=journal))
        self.folder = journal
        wire = Wire(self.bench.addresses["dac"], timeout_s=0.3)
        self.dac = stack.enter_context(Qdac2(wire, "dac", outputs={"1": Output(), "2": Output()}))
        self.dac.open()
        self.dac.arm()
        self.set(0.5)

    def set(self, value: float) -> None:
        self.dac.write(["1"], np.array([value]))

    def journal(self) -> Journal:
        self.bench.physics.flush()
        return read_journal(self.folder)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize(
    ("fault", "shows", "stands"),
    [
        ({"kind": "late", "seconds": 0.5}, ReplyLateError, 0.25),
        ({"kind": "mute"}, ReplyLateError, 0.25),
        ({"kind": "deaf"}, ReplyLateError, 0.5),
        ({"kind": "garbled"}, ReplyError, 0.25),
        ({"kind": "dropped"}, LinkLostError, 0.5),
        ({"kind": "rebooted"}, LinkLostError, 0.0),
        ({"kind": "gone"}, LinkLostError, 0.5),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_fault_shows_at_the_driver_and_the_knob_stands_as_the_hardware_has_it(
    stack: ExitStack, tmp_path: Path, fault: dict[str, Any], shows: type[Exception], stands: float
) -> None:
    rig = Rig(stack, tmp_path / "j")
    made = Fault(instrument="dac", **fault)
    begin(rig.bench, made)
    with pytest.raises(shows):
        rig.set(0.25)
    rig.bench.spend(1.0)
    assert rig.bench.physics.theta[0] == pytest.approx(stands, abs=1e-6)
    assert rig.journal().last_applied() == pytest.approx([stands], abs=1e-6)
    assert rig.journal().happened("fault")[0].details == {"kind": made.kind, "instrument": "dac", "channel": ""}
    if made.kind == "gone":
        with pytest.raises(DriverError):
            rig.dac.reopen(attempts=1)
        return
    end(rig.bench, made)
    rig.dac.reopen()
    if rig.dac.rebooted():
        rig.dac.arm()
    rig.set(-0.5)
    rig.bench.spend(1.0)
    assert rig.bench.physics.theta[0] == pytest.approx(-0.5, abs=1e-6)


def test_a_reply_that_is_cut_short_is_no_number(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    begin(rig.bench, Fault(kind="short", instrument="dac"))
    with pytest.raises(ReplyError, match="lost its end"):
        rig.dac.written(["1"])


def test_a_channel_that_is_stuck_and_mended(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    stuck = Fault(kind="stuck", instrument="dac", channel="1")
    begin(rig.bench, stuck)
    rig.set(0.1)
    rig.bench.spend(1.0)
    assert rig.bench.physics.theta[0] == pytest.approx(0.5, abs=1e-6)
    end(rig.bench, stuck)
    rig.set(0.1)
    rig.bench.spend(1.0)
    assert rig.bench.physics.theta[0] == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "says"), [("count", "2 numbers came"), ("word", "no number"), ("nan", "no finite number"), ("overload", "overload")]
)
def test_a_reply_whose_numbers_are_none_is_refused(stack: ExitStack, tmp_path: Path, kind: str, says: str) -> None:
    rig = Rig(stack, tmp_path / "j")
    begin(rig.bench, Fault.model_validate({"kind": kind, "instrument": "dac"}))
    with pytest.raises(ReplyError, match=says):
        rig.dac.written(["1"])
    assert rig.dac.complaints() == []  # what is no number of a channel comes as it should
    end(rig.bench, Fault.model_validate({"kind": kind, "instrument": "dac"}))
    assert rig.dac.written(["1"]) == pytest.approx([0.5], abs=1e-6)


def test_blocks_of_numbers_are_spoiled_and_lists_of_channels_are_not() -> None:
    block = b"#18" + np.array([1.0, 2.0], "<f4").tobytes() + b"\n"
    assert np.isnan(np.frombuffer(spoiler("nan")(block)[3:-1], "<f4")[1])
    assert np.frombuffer(spoiler("overload")(block)[3:-1], "<f4")[1] > 9.8e37
    assert spoiler("count")(block) == b"#14" + np.array([1.0], "<f4").tobytes() + b"\n"
    assert spoiler("count")(b"1.5,2.5;0\n") == b"1.5;0\n"
    for other in (b"#214(@101,102,103)\n", b"QDevil, QDAC-II, 121, 11-1.14\n", b'0, "No error"\n', b"1;0\n"):
        assert spoiler("word")(other) == other


def test_a_jump_and_a_drift_of_a_knob_are_no_fault_of_its_setting(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    rig.bench.spend(2.0)
    begin(rig.bench, Fault(kind="jump", instrument="adc", channel="101", by=0.2))
    assert rig.bench.physics.theta[0] == pytest.approx(0.7, abs=1e-6)
    rig.bench.spend(5.0)
    assert rig.bench.physics.theta[0] == pytest.approx(0.7, abs=1e-3)
    drift = Fault(kind="drift", instrument="dac", channel="1", by=0.01)
    begin(rig.bench, drift)
    rig.bench.spend(10.0)
    end(rig.bench, drift)
    rig.bench.spend(10.0)
    assert rig.bench.physics.theta[0] == pytest.approx(0.8, abs=2e-3)
    assert rig.journal().last_applied() == pytest.approx([0.5], abs=1e-6)


def test_an_output_that_jumps_stays_there(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    rig.bench.spend(2.0)
    before = rig.bench.physics.outputs[0]
    begin(rig.bench, Fault(kind="jump", instrument="adc", channel="102", by=0.1))
    assert rig.bench.physics.outputs[0] == pytest.approx(before + 0.1, abs=2e-3)
    rig.bench.spend(5.0)
    assert rig.bench.physics.outputs[0] == pytest.approx(before + 0.1, abs=0.03)


def test_a_reading_drifts_and_what_is_read_does_not(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    terminals = rig.bench.terminals["adc"]
    begin(rig.bench, Fault(kind="drift", instrument="adc", channel="101", by=0.01))
    rig.bench.spend(10.0)
    assert terminals.sense("101", 0.02) == pytest.approx(0.6, abs=1e-3)
    assert rig.bench.physics.theta[0] == pytest.approx(0.5, abs=1e-6)


def test_a_cable_that_is_reversed_or_changes_places(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    reversed_ = Fault(kind="cable", instrument="dac", channel="1", gain=-1.0)
    begin(rig.bench, reversed_)
    rig.bench.spend(2.0)
    assert rig.bench.physics.theta[0] == pytest.approx(-0.5, abs=1e-3)
    end(rig.bench, reversed_)
    swapped = Fault(kind="swapped", instrument="dac", channel="1", other="2")
    begin(rig.bench, swapped)
    rig.set(0.25)
    rig.bench.spend(2.0)
    assert rig.bench.truth()["x"][0] == pytest.approx(0.25, abs=1e-3)
    assert rig.bench.physics.theta[0] == pytest.approx(0.5, abs=1e-3)
    end(rig.bench, swapped)
    rig.set(0.1)
    rig.bench.spend(2.0)
    assert rig.bench.physics.theta[0] == pytest.approx(0.1, abs=1e-3)


def test_what_cannot_befall_a_channel_is_told(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    with pytest.raises(ValueError, match="x does not jump"):
        begin(rig.bench, Fault(kind="jump", instrument="dac", channel="2"))
    with pytest.raises(ValueError, match="wired to nothing"):
        begin(rig.bench, Fault(kind="drift", instrument="dac", channel="9"))
    ports = {name: one.ports() for name, one in rig.bench.settings.instruments.items()}
    assert "no source" in str(Fault(kind="limited", instrument="dac").wrong(ports))
    assert "no channel 99" in str(Fault(kind="swapped", instrument="dac", channel="1", other="99").wrong(ports))


def test_a_question_that_interrupts_loses_its_reply_and_is_told(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    begin(rig.bench, Fault(kind="complaint", instrument="dac", code=-410))
    with pytest.raises(RefusedError, match="out of step") as caught:
        rig.dac.written(["1"])
    assert caught.value.codes == (-410,)
    assert rig.dac.written(["1"]) == pytest.approx([0.5], abs=1e-6)


def test_a_box_that_keeps_dead_links_refuses_others_until_it_lets_them_go(stack: ExitStack, tmp_path: Path) -> None:
    boxes = {**FILE["instruments"], "dac": {"kind": "qdac2", "sockets": 2, "keeps_dead_s": 30.0}}
    rig = Rig(stack, tmp_path / "j", instruments=boxes)
    dropped = Fault(kind="dropped", instrument="dac")
    begin(rig.bench, dropped)
    rig.dac.reopen(attempts=1)  # its other socket
    assert rig.dac.written(["1"]) == pytest.approx([0.5], abs=1e-6)
    begin(rig.bench, dropped)
    with pytest.raises(DriverError, match="does not say its name"):
        rig.dac.reopen(attempts=1)
    rig.bench.spend(31.0)
    rig.dac.reopen(attempts=1)
    assert rig.dac.written(["1"]) == pytest.approx([0.5], abs=1e-6)
    begin(rig.bench, dropped)
    begin(rig.bench, Fault(kind="rebooted", instrument="dac"))  # then it has forgotten them all
    rig.dac.reopen(attempts=1)


def test_a_complaint_waits_in_the_queue(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "j")
    begin(rig.bench, Fault(kind="complaint", instrument="dac", code=-350))
    assert [complaint.code for complaint in rig.dac.complaints()] == [-350]


def test_a_script_lets_faults_begin_and_end_by_the_clock_of_the_bench(stack: ExitStack, tmp_path: Path) -> None:
    script = [
        {"kind": "stuck", "instrument": "dac", "channel": "1", "at_s": 2.0, "for_s": 3.0},
        {"kind": "mute", "instrument": "adc", "at_s": 4.0},
    ]
    rig = Rig(stack, tmp_path / "j", faults=script)
    rig.bench.spend(3.0 - rig.bench.clock.now())
    assert rig.bench.terminals["dac"].stuck == {"1"}
    rig.bench.spend(3.0)
    assert not rig.bench.terminals["dac"].stuck
    assert rig.bench.served["adc"].faults.mute
    events = rig.journal().events
    assert [event.name for event in events] == ["start", "fault", "fault", "mended"]
    np.testing.assert_allclose([event.t for event in events], [0, 2, 4, 5], atol=0.03)


def test_what_is_wrong_with_a_script_is_told_with_the_rest() -> None:
    script = [
        {"kind": "mute", "instrument": "dca"},
        {"kind": "stuck", "instrument": "adc", "channel": "199"},
        {"kind": "jump", "instrument": "dac", "channel": "2"},
        {"kind": "drift", "instrument": "dac", "channel": "9"},
    ]
    with pytest.raises(ValidationError) as caught:
        BenchSettings.model_validate({**FILE, "faults": script})
    assert "there is no instrument 'dca'" in str(caught.value)
    assert "adc has no channel 199" in str(caught.value)
    assert "dac[2] is wired to x, which has none" in str(caught.value)
    assert "dac[9] is wired to nothing" in str(caught.value)
    serial = {**FILE["instruments"], "dac": {"kind": "qdac2", "serve": "serial"}}
    with pytest.raises(ValidationError, match="dac is on a serial port"):
        BenchSettings.model_validate({**FILE, "instruments": serial, "faults": [{"kind": "dropped", "instrument": "dac"}]})
    for wrong in ({"kind": "stuck"}, {"kind": "rebooted", "for_s": 1.0}, {"kind": "mute", "channel": "1"}, {"kind": "fire"}):
        with pytest.raises(ValidationError):
            Fault.model_validate({"instrument": "dac", **wrong})
