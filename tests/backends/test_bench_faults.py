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
from aeqlab.backends.journal import Journal, read_journal
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import DriverError, LinkLostError, ReplyError, ReplyLateError
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
    script = [{"kind": "mute", "instrument": "dca"}, {"kind": "stuck", "instrument": "adc", "channel": "199"}]
    with pytest.raises(ValidationError) as caught:
        BenchSettings.model_validate({**FILE, "faults": script})
    assert "there is no instrument 'dca'" in str(caught.value)
    assert "adc has no channel 199" in str(caught.value)
    serial = {**FILE["instruments"], "dac": {"kind": "qdac2", "serve": "serial"}}
    with pytest.raises(ValidationError, match="dac is on a serial port"):
        BenchSettings.model_validate({**FILE, "instruments": serial, "faults": [{"kind": "dropped", "instrument": "dac"}]})
    for wrong in ({"kind": "stuck"}, {"kind": "rebooted", "for_s": 1.0}, {"kind": "mute", "channel": "1"}, {"kind": "fire"}):
        with pytest.raises(ValidationError):
            Fault.model_validate({"instrument": "dac", **wrong})
