"""Properties of PyMeasure's instruments as knobs and readouts: its Keithley 2400 on an emulated one in YAML, and byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import until

pytest.importorskip("pymeasure")
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.emulated.scpi import POWER_ON, Call, Command, Front
from aeqlab.drivers.emulated.server import TcpServed
from aeqlab.drivers.errors import (
    IdentityError,
    LinkLostError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)
from aeqlab.drivers.instrument import Direction
from aeqlab.drivers.pymeasure import Property, PyMeasure

NAME = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C33 Mar 31 2015"
FORMAT = ":FORMAT:ELEMENTS VOLTAGE, CURRENT, RESISTANCE, TIME, STATUS"
KNOB, READOUT = Property("source_voltage", "V", (-2.0, 2.0), 1e-4), Property("current", "A", fields=5)
OPTIONS: dict[str, Any] = {
    "knobs": {"1": KNOB},
    "readouts": {"2": READOUT},
    "arm": {"source_mode": "voltage", "compliance_current": 1e-3, "source_enabled": True},
    "off": {"source_enabled": False},
}
MODEL = "keithley.Keithley2400"

#: An emulated 2400, described in the YAML of pyvisa-sim.
YAML = f"""
spec: "1.1"
devices:
  smu:
    eom:
      GPIB INSTR: {{q: "\\n", r: "\\n"}}
    error:
      status_register: [{{q: "*ESR?", command_error: 32, query_error: 4}}]
      error_queue: [{{q: "SYST:ERR?", default: '0,"No error"', command_error: '-222,"Parameter data out of range"'}}]
    dialogues:
      - {{q: "*IDN?", r: "{NAME}"}}
      - {{q: "{FORMAT}"}}
      - {{q: ":MEASURE:CURRENT?", r: "+1.500000E+00,+2.500000E-05,+9.910000E+37,+1.0E+00,+2.1E+04"}}
      - {{q: ":MEASURE:VOLTAGE?", r: "+9.900000E+37,+2.500000E-05,+9.910000E+37,+1.0E+00,+2.1E+04"}}
    properties:
      mode:
        default: CURR
        getter: {{q: ":SOURCE:FUNCTION?", r: "{{:s}}"}}
        setter: {{q: ":SOURCE:FUNCTION {{:s}}"}}
      volts:
        default: 0.0
        getter: {{q: ":SOURCE:VOLTAGE?", r: "{{:+.6E}}"}}
        setter: {{q: ":SOURCE:VOLTAGE {{:f}}"}}
        specs: {{min: -1.5, max: 1.5, type: float}}
      limit:
        default: 0.1
        getter: {{q: ":SENSE:CURRENT:PROTECTION?", r: "{{:+.6E}}"}}
        setter: {{q: ":SENSE:CURRENT:PROTECTION {{:f}}"}}
        specs: {{min: 0, max: 1.05, type: float}}
      output:
        default: 0
        getter: {{q: "OUTPUT?", r: "{{:d}}"}}
        setter: {{q: "OUTPUT {{:d}}"}}
        specs: {{valid: [0, 1], type: int}}
resources:
  GPIB::24::INSTR: {{device: smu}}
"""


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[PyMeasure]:
    pytest.importorskip("pyvisa_sim")
    file = tmp_path / "keithley2400.yaml"
    file.write_text(YAML, encoding="utf-8")
    wire = Wire("GPIB::24::INSTR", visa=f"{file}@sim", timeout_s=0.5)
    with PyMeasure(wire, MODEL, "smu", serial="1234567", answers=("MODEL 2400",), **OPTIONS) as smu:
        yield smu


def test_its_keithley_2400_on_an_emulated_one_in_yaml(simulated: PyMeasure) -> None:
    smu = simulated
    assert str(smu.identity) == "KEITHLEY INSTRUMENTS INC. MODEL 2400, serial number 1234567, firmware C33 Mar 31 2015"
    knob, readout = smu.channels["1"], smu.channels["2"]
    assert (knob.direction, knob.unit, knob.low, knob.high) == (Direction.OUT, "V", -2.0, 2.0)
    assert (readout.direction, readout.unit) == (Direction.IN, "A")
    assert [str(change) for change in smu.plan()] == [
        f"command of PyMeasure's class from not sent to {FORMAT}",
        "source_mode from current to voltage", "compliance_current from 0.1 to 0.001", "source_enabled from False to True",
    ]  # fmt: skip
    smu.arm()
    assert smu.plan() == []
    smu.write(["1"], np.array([1.25]))
    assert smu.written(["1"]).tolist() == [1.25]
    assert smu.measure(["2"]).tolist() == [2.5e-5]
    with pytest.raises(RefusedError, match=r"outside its range.*-222"):
        smu.write(["1"], np.array([1.75]))
    assert smu.settings()["source_enabled"] == "True"
    smu.off(["1"])
    assert smu.settings()["source_enabled"] == "False"


def test_an_overload_is_no_number(tmp_path: Path) -> None:
    pytest.importorskip("pyvisa_sim")
    file = tmp_path / "keithley2400.yaml"
    file.write_text(YAML, encoding="utf-8")
    wire = Wire("GPIB::24::INSTR", visa=f"{file}@sim", timeout_s=0.5)
    with PyMeasure(wire, MODEL, "smu", readouts={"2": Property("voltage", "V")}) as smu, pytest.raises(ReplyError):
        smu.measure(["2"])


class Bench:
    """An emulated 2400 on a socket: what is heard, and what goes wrong."""

    def __init__(self) -> None:
        self.front = Front(NAME, [
            Command("SOURce:FUNCtion", lambda call: self.mode, self._set_mode, (1, 1)),
            Command("SOURce:VOLTage", lambda call: f"{self.volts:+.6E}", self._set_volts, (1, 1)),
            Command("SENSe:CURRent:PROTection", lambda call: f"{self.limit:+.6E}", self._set_limit, (1, 1)),
            Command("OUTPut", lambda call: str(int(self.on)), self._switch, (1, 1)),
            Command("FORMat:ELEMents", do=lambda call: None),
            Command("MEASure:CURRent", lambda call: "1.5,2.5E-05,9.91E+37,1,21000"),
        ], no_error='0,"No error"')  # fmt: skip
        self.reset()
        self.served = TcpServed(self.front)

    def reset(self) -> None:
        self.mode, self.volts, self.limit, self.on = "CURR", 0.0, 0.1, False

    def _set_mode(self, call: Call) -> None:
        self.mode = call.text()

    def _set_volts(self, call: Call) -> None:
        self.volts = call.number(0, -1.5, 1.5)

    def _set_limit(self, call: Call) -> None:
        self.limit = call.number()

    def _switch(self, call: Call) -> None:
        self.on = call.switch()

    def driver(self, **options: Any) -> PyMeasure:
        return PyMeasure(Wire(self.served.address, timeout_s=0.4), MODEL, "smu", **{**OPTIONS, **options})

    def heard(self) -> bytes:
        said = b"".join(self.served.heard)
        self.served.heard.clear()
        return said


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    with made.served:
        yield made


@pytest.fixture
def smu(bench: Bench) -> Iterator[PyMeasure]:
    with bench.driver() as opened:
        bench.heard()
        yield opened


def test_opening_changes_nothing_though_the_class_would(bench: Bench) -> None:
    with bench.driver():
        assert bench.heard() == b"*IDN?\n*ESR?\n"


def test_arming_sends_what_the_class_would_have_sent(bench: Bench, smu: PyMeasure) -> None:
    smu.arm()
    said = bench.heard()
    assert said.startswith(FORMAT.encode() + b"\n:SOURCE:FUNCTION?\n:SOURCE:FUNCTION VOLT\n")
    assert b"OUTPUT 1\nSYST:ERR?\n" in said
    smu.arm()
    assert FORMAT.encode() not in bench.heard()


def test_a_knob_is_set_and_read_back_and_a_readout_is_asked(bench: Bench, smu: PyMeasure) -> None:
    smu.write(["1"], np.array([0.125]))
    assert bench.heard() == b":SOURCE:VOLTAGE 0.125\nSYST:ERR?\n:SOURCE:VOLTAGE?\n"
    assert smu.measure(["2"]).tolist() == [2.5e-5]
    assert bench.heard() == b":MEASURE:CURRENT?\n"
    with pytest.raises(SettingError, match=r"3 V is outside -2 to 2 V"):
        smu.write(["1"], np.array([3.0]))
    assert bench.heard() == b""


def test_what_is_not_the_one_that_is_meant_is_asked_for_its_name_alone(bench: Bench) -> None:
    for options in ({"serial": "7"}, {"answers": ("MODEL 2410",)}):
        with pytest.raises(IdentityError):
            bench.driver(**options).open()
    assert bench.heard() == b"*IDN?\n" * 2


@pytest.mark.parametrize("reply", [b"\n", b"1,amps,1,1,1\n", b"1,1\n", b"1\n", b"1,nan,1,1,1\n", b"1,9.9E37,1,1,1\n"])
def test_what_is_no_reading_never_becomes_a_number(bench: Bench, smu: PyMeasure, reply: bytes) -> None:
    bench.served.faults.spoil = lambda _: reply
    with pytest.raises(ReplyError):
        smu.measure(["2"])


def test_a_late_reply_is_not_that_of_the_next_question(bench: Bench, smu: PyMeasure) -> None:
    bench.served.faults.late_s = 0.6
    with pytest.raises((ReplyLateError, LinkLostError)):
        smu.measure(["2"])
    bench.served.faults.late_s = 0.0
    if not smu.connection.is_open:
        smu.reopen()
    assert smu.written(["1"]).tolist() == [0.0]


def test_after_a_dropped_link_it_is_as_it_was_and_after_a_reboot_it_is_set_up_again(bench: Bench, smu: PyMeasure) -> None:
    smu.arm()
    bench.served.drop()
    with pytest.raises(LinkLostError):
        smu.measure(["2"])
    smu.reopen()
    assert not smu.rebooted()
    assert smu.plan() == []
    bench.reset()
    bench.front.events = POWER_ON
    assert smu.rebooted()
    assert len(smu.plan()) == 4


def test_a_look_at_its_health_tells_a_reboot_and_complaints(bench: Bench, smu: PyMeasure) -> None:
    smu.healthy()
    bench.front.events = POWER_ON
    with pytest.raises(RebootedError, match="its settings are gone"):
        smu.healthy()
    assert smu.rebooted()
    bench.front.complain(-222)
    with pytest.raises(RefusedError, match="outside its range"):
        smu.healthy()
    smu.healthy()


def test_an_error_queue_without_an_end_is_left(bench: Bench, smu: PyMeasure) -> None:
    bench.front.no_error = '-113,"Undefined header"'
    with pytest.raises(ReplyError, match="'SYST:ERR\\?' has no end: the last reply was '-113"):
        smu.complaints()
    bench.front.no_error = '0,"No error"'
    assert smu.complaints() == []


def test_arming_ends_at_what_is_not_taken(bench: Bench) -> None:
    bench.front.complain(-222)
    with bench.driver() as smu, pytest.raises(RefusedError):
        smu.arm()
    assert not bench.on


def test_a_reboot_is_remembered_until_it_is_asked_for(bench: Bench, smu: PyMeasure) -> None:
    smu.arm()
    bench.reset()
    bench.front.events = POWER_ON
    smu.reopen()
    assert len(smu.plan()) == 4
    smu.reopen()  # its event register was taken by the first time
    assert smu.rebooted()
    assert not smu.rebooted()


def test_a_garbled_event_register_is_no_good_news(bench: Bench, smu: PyMeasure) -> None:
    bench.served.faults.spoil = lambda reply: b"x" + reply
    with pytest.raises(ReplyError, match="the event status register is said to be"):
        smu.rebooted()


def test_what_cannot_be_set_keeps_nothing_else_from_going_off(bench: Bench) -> None:
    with bench.driver(off={"source_mode": "nonsense", "source_enabled": False}) as smu:
        smu.arm()
        assert bench.on
        with pytest.raises(SettingError, match="source_mode cannot be set to 'nonsense'"):
            smu.off(["1"])
        until(lambda: not bench.on)


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("keithley.Keithley2401", {}, "PyMeasure has no instrument 'keithley.Keithley2401'. Do you mean"),
        ("nobody.Keithley2400", {}, "PyMeasure has no instruments 'nobody'"),
        (MODEL, {"knobs": {"1": Property("source_volts", "V")}}, "has no property 'source_volts'. Do you mean source_voltage"),
        (MODEL, {"knobs": {"1": Property("reset", "V")}}, "has no property 'reset'"),
        (MODEL, {"knobs": {"1": Property("current", "A")}}, "current of Keithley2400 can be read and not set"),
        (MODEL, {"knobs": {"1": Property("source_mode", "V")}}, "source_mode has no range in PyMeasure. Give it limits"),
        (MODEL, {"knobs": {"1": Property("source_voltage", "V", (-300.0, 2.0))}}, "go beyond its range, -210 to 210 V"),
        (MODEL, {"knobs": {"1": Property("source_voltage", "V", (2.0, 1.0))}}, "the lowest and the highest value, not 2 and 1"),
        (MODEL, {"knobs": {"1": Property("source_voltage", "V", (1.0, 2.0))}}, "0 is outside its limits"),
        (MODEL, {"knobs": {"1": KNOB}, "readouts": {"1": READOUT}}, "1 is a knob and a readout"),
        (MODEL, {"readouts": {"2": Property("currant", "A")}}, "has no property 'currant'. Do you mean current"),
        (MODEL, {"arm": {"source": 1}}, "has no property 'source'"),
        (MODEL, {"off": {"current": 0}}, "can be read and not set"),
    ],
)
def test_what_cannot_be_bound_is_told_before_anything_is_sent(model: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError) as caught:
        PyMeasure(Wire("TCPIP::127.0.0.1::1::SOCKET"), model, "smu", **options)
    assert says in str(caught.value)


def test_a_range_is_that_of_the_class_where_no_limits_are_given() -> None:
    smu = PyMeasure(Wire("TCPIP::127.0.0.1::1::SOCKET"), MODEL, "smu", knobs={"1": Property("source_voltage", "V")})
    assert (smu.channels["1"].low, smu.channels["1"].high) == (-210.0, 210.0)


def test_a_property_of_a_part_of_an_instrument() -> None:
    front = Front("Agilent Technologies,E36312A,MY1,1.0", [
        Command("VOLTage", lambda call: "1.0", lambda call: None), Command("MEASure:VOLTage", lambda call: "0.25"),
    ])  # fmt: skip
    with TcpServed(front) as served:
        options: dict[str, Any] = {"readouts": {"2": Property("ch_1.voltage", "V")}}
        with PyMeasure(Wire(served.address, timeout_s=0.4), "keysight.KeysightE36312A", "psu", **options) as psu:
            assert psu.measure(["2"]).tolist() == [0.25]
            assert b"".join(served.heard).endswith(b"MEASure:VOLTage? (@1)\n")
        with pytest.raises(SettingError, match=r"has no property 'ch_1\.volts'"):
            PyMeasure(
                Wire(served.address), "keysight.KeysightE36312A", "psu", readouts={"2": Property("ch_1.volts", "V")}
            ).open()  # fmt: skip
