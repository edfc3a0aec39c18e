"""Instruments described in YAML alone: a supply byte by byte, those of pyvisa-sim, and mistakes told in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError
from scripted import Script, serving

from aeqlab.drivers import blocks
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.emulated.clock import LockstepClock
from aeqlab.drivers.emulated.scpi import POWER_ON, Call, Command, Front, ScpiError, channels
from aeqlab.drivers.emulated.server import TcpServed
from aeqlab.drivers.errors import (
    AddressError,
    IdentityError,
    LinkLostError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)
from aeqlab.drivers.instrument import Direction
from aeqlab.drivers.scpi import Scpi
from aeqlab.drivers.scpi_description import ScpiDescription

SUPPLY = """
maker: Example
models: [PS-4]
outputs:
  - channels: 1-4
    unit: V
    limits: [-5, 5]
    step: 0.001
    set: "SOURce:VOLTage {value},(@{list})"
    ask: "SOURce:VOLTage? (@{list})"
    switch_off: "OUTPut OFF,(@{list})"
    off_ask: "OUTPut? (@{list})"
    off_reply: "0"
inputs:
  - channels: [1-4]
    key: m{channel}
    unit: V
    limits: [-6, 6]
    measure: "MEASure:VOLTage? (@{list})"
  - channels: 1-4
    key: i{channel}
    unit: A
    limits: [0, 2]
    block: "<f4"
    measure: "MEASure:CURRent:BLOCk? (@{list})"
errors:
  query: "SYSTem:ERRor?"
  none: '+0,"No error"'
  sentences: {-222: "The voltage is more than this output gives. Choose less."}
events: "*ESR?"
arm:
  - name: current limit in A
    channels: 1-2
    set: "SOURce{channel}:CURRent {value:.3f}"
    ask: "SOURce{channel}:CURRent?"
    wanted: 0.5
  - {name: trigger, set: "TRIGger {value}", ask: "TRIGger?", wanted: BUS}
record: {temperature in C: "TEMPerature?"}
"""


class Supply:
    """An emulated supply with four outputs, which it also measures."""

    def __init__(self) -> None:
        self.front = Front("Example Instruments,PS-4/B,S77,2.0", self._commands(), self.reset)
        self.reset()

    def reset(self) -> None:
        self.volts = dict.fromkeys(range(1, 5), 0.0)
        self.most = dict.fromkeys(range(1, 5), 5.0)
        self.limit = dict.fromkeys(range(1, 5), 1.0)
        self.on = dict.fromkeys(range(1, 5), True)
        self.trigger, self.stuck = "IMM", False
        self.clips_at = float("inf")

    def reboot(self) -> None:
        self.reset()
        self.front.events = POWER_ON

    def _commands(self) -> list[Command]:
        def each(call: Call) -> list[int]:
            return channels(call.text(), range(1, 5))

        return [
            Command("SOURce:VOLTage", lambda c: ",".join(f"{self.volts[k]:+.6E}" for k in each(c)), self._set, (2, 2)),
            Command("SOURce#:CURRent", lambda c: f"{self.limit[c.suffixes[0]]:.3f}", self._set_limit, (1, 1)),
            Command("TRIGger", lambda c: self.trigger, self._set_trigger, (1, 1)),
            Command("TEMPerature", lambda c: "41.5"),
            Command("OUTPut", lambda c: str(int(any(self.on[k] for k in each(c)))), self._switch, (2, 2)),
            Command("MEASure:VOLTage", lambda c: ",".join(self._measured(k) for k in each(c))),
            Command("MEASure:CURRent:BLOCk", lambda c: blocks.encode(np.array([0.1 * k for k in each(c)]), "<f4")),
        ]  # fmt: skip

    def _measured(self, key: int) -> str:
        return "9.90000000E+37" if abs(self.volts[key]) > 4.5 else f"{self.volts[key] + 1e-3:.8E}"

    def _set(self, call: Call) -> None:
        some = channels(call.text(1), range(1, 5))
        value = call.number(0, *(sign * min(self.most[k] for k in some) for sign in (-1, 1)))
        self.volts.update(dict.fromkeys(some, min(round(value, 3), self.clips_at)))

    def _set_limit(self, call: Call) -> None:
        self.limit[call.suffixes[0]] = call.number(0, 0.0, 2.0)

    def _set_trigger(self, call: Call) -> None:
        if not self.stuck:
            self.trigger = call.word(0, "IMMediate", "BUS").rstrip("adeimt") or "BUS"

    def _switch(self, call: Call) -> None:
        on = call.switch()
        if self.stuck:
            raise ScpiError(-200)
        self.on.update(dict.fromkeys(channels(call.text(1), range(1, 5)), on))


class Bench:
    """The supply, served and described."""

    def __init__(self) -> None:
        self.supply = Supply()
        self.served = TcpServed(self.supply.front, LockstepClock())

    def driver(self, text: str = SUPPLY, **options: Any) -> Scpi:
        return Scpi(Wire(self.served.address, timeout_s=0.4), described(text), "supply", **options)

    def heard(self) -> bytes:
        said = b"".join(self.served.heard)
        self.served.heard.clear()
        return said


def described(text: str) -> ScpiDescription:
    return ScpiDescription.model_validate(yaml.safe_load(text))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    with made.served:
        yield made


@pytest.fixture
def supply(bench: Bench) -> Iterator[Scpi]:
    with bench.driver() as opened:
        bench.heard()
        yield opened


def test_opening_asks_and_changes_nothing(bench: Bench) -> None:
    with bench.driver(serial="S77") as supply:
        assert bench.heard() == (
            b"*IDN?\n*ESR?\nSYSTem:ERRor?\nSOURce1:CURRent?\nSOURce2:CURRent?\nTRIGger?\n"
        )  # fmt: skip
        assert list(supply.channels) == [*"1234", *(f"m{k}" for k in "1234"), *(f"i{k}" for k in "1234")]
        first, measured = supply.channels["1"], supply.channels["i2"]
        assert (first.direction, first.unit, first.low, first.high, first.step) == (Direction.OUT, "V", -5.0, 5.0, 0.001)
        assert (measured.direction, measured.unit) == (Direction.IN, "A")
        assert not supply.rebooted()


def test_another_instrument_or_serial_number_is_asked_for_its_name_alone(bench: Bench) -> None:
    with pytest.raises(IdentityError, match="the serial number asked for is S78"):
        bench.driver(serial="S78").open()
    with pytest.raises(IdentityError, match="answers, not Example PS-5"):
        bench.driver(SUPPLY.replace("PS-4", "PS-5")).open()
    assert bench.heard() == b"*IDN?\n" * 2


def test_equal_values_go_out_together(bench: Bench, supply: Scpi) -> None:
    supply.write(["1", "4", "2"], np.array([1.25, 0.123456789, 1.25]))
    assert bench.heard() == (
        b"SOURce:VOLTage 1.25,(@1,2)\nSOURce:VOLTage 0.123456789,(@4)\nSYSTem:ERRor?\nSOURce:VOLTage? (@1,4,2)\n"
    )  # fmt: skip
    assert supply.written(["4", "1"]).tolist() == [0.123, 1.25]
    assert bench.heard() == b"SOURce:VOLTage? (@4,1)\n"


def test_what_is_out_of_range_is_never_sent(bench: Bench, supply: Scpi) -> None:
    for keys, value in ((["1"], 5.1), (["m1"], 0.0), (["5"], 0.0), (["1"], np.inf)):
        with pytest.raises(SettingError, match=r"^supply"):
            supply.write(keys, np.array([value]))
    assert bench.heard() == b""


def test_measuring_of_several_kinds_keeps_their_order(bench: Bench, supply: Scpi) -> None:
    supply.write(["2"], np.array([2.0]))
    bench.heard()
    assert supply.measure(["i3", "m2", "i1", "m1"]) == pytest.approx([0.3, 2.001, 0.1, 0.001])
    assert bench.heard() == b"MEASure:CURRent:BLOCk? (@3,1)\nMEASure:VOLTage? (@2,1)\n"


def test_an_overload_is_no_number(bench: Bench, supply: Scpi) -> None:
    supply.write(["2"], np.array([4.8]))
    with pytest.raises(ReplyError):
        supply.measure(["m1", "m2"])


def test_errors_become_the_sentences_of_the_description(bench: Bench, supply: Scpi) -> None:
    bench.supply.most[3] = 2.0
    with pytest.raises(
        RefusedError, match=r"The voltage is more than this output gives\. Choose less\. \(-222,\"Data out of range\"\)"
    ) as caught:
        supply.write(["3"], np.array([3.0]))
    assert caught.value.codes == (-222,)
    supply.connection.write("NONSENSE")
    assert [one.text for one in supply.complaints()] == ["'-113,\"Undefined header\"': see its manual for this error."]
    assert supply.complaints() == []


def test_arming_says_what_it_changes_and_reads_it_back(bench: Bench, supply: Scpi) -> None:
    assert [str(change) for change in supply.plan()] == [
        "channel 1: current limit in A from 1 to 0.5", "channel 2: current limit in A from 1 to 0.5", "trigger from IMM to BUS",
    ]  # fmt: skip
    assert bench.heard() == b""
    supply.arm()
    back = b"SYSTem:ERRor?\nSOURce1:CURRent?\nSOURce2:CURRent?\nTRIGger?\n"
    assert bench.heard() == (
        b"SOURce1:CURRent 0.500\nSOURce2:CURRent 0.500\n" + back + b"TRIGger BUS\n" + back
    )  # fmt: skip
    assert supply.plan() == []
    assert supply.settings() == {
        "current limit in A 1": "0.5",
        "current limit in A 2": "0.5",
        "trigger": "BUS",
        "temperature in C": "41.5",
    }


def test_a_limit_that_is_refused_keeps_the_rest_from_being_sent(bench: Bench) -> None:
    text = SUPPLY.replace("wanted: 0.5", "wanted: 2.5")  # the supply takes 2 A at most
    with bench.driver(text) as supply, pytest.raises(RefusedError, match="-222"):
        supply.arm()
    assert bench.supply.trigger == "IMM"


def test_what_arming_did_not_change_is_told(bench: Bench, supply: Scpi) -> None:
    bench.supply.stuck = True
    with pytest.raises(RefusedError, match="trigger from IMM to BUS"):
        supply.arm()


def test_off_is_confirmed(bench: Bench, supply: Scpi) -> None:
    supply.off(["1", "3"])
    assert bench.heard() == b"OUTPut OFF,(@1,3)\nOUTPut? (@1,3)\nSYSTem:ERRor?\n"
    assert bench.supply.on == {1: False, 2: True, 3: False, 4: True}
    bench.supply.stuck = True
    with pytest.raises(RefusedError, match="-200"):
        supply.off(["2"])
    assert supply.complaints() == []
    bench.served.faults.spoil = lambda reply: b"1\n" if reply == b"0\n" else reply
    bench.supply.stuck = False
    with pytest.raises(RefusedError, match="Channel 1, 3 was brought to its safe end, and does not say that it is there"):
        supply.off(["1", "3"])


def test_without_a_switch_off_is_zero_and_without_an_error_queue_it_is_read_back(bench: Bench) -> None:
    text = """
    models: [PS-4]
    outputs:
      - channels: 1-4
        unit: V
        limits: [-5, 5]
        step: 0.001
        set: "SOURce:VOLTage {value},(@{channel})"
        ask: "SOURce:VOLTage? (@{channel})"
    """
    with bench.driver(text) as supply:
        bench.heard()
        supply.write(["1", "2"], np.array([1.0, 1.0]))
        assert bench.heard() == (
            b"SOURce:VOLTage 1,(@1)\nSOURce:VOLTage 1,(@2)\nSOURce:VOLTage? (@1)\nSOURce:VOLTage? (@2)\n"
        )  # fmt: skip
        supply.off(["1"])
        assert bench.supply.volts == {1: 0.0, 2: 1.0, 3: 0.0, 4: 0.0}
        bench.supply.most[3] = 2.0
        with pytest.raises(RefusedError, match="Channel 3 was set to 3 V and is at 0 V"):
            supply.write(["3"], np.array([3.0]))
        assert supply.complaints() == []
        assert not supply.rebooted()


def test_what_is_brought_to_the_nearest_value_without_a_complaint_is_told(bench: Bench, supply: Scpi) -> None:
    bench.supply.clips_at = 2.0
    with pytest.raises(RefusedError, match="Channel 2 was set to 3 V and is at 2 V"):
        supply.write(["2"], np.array([3.0]))


def test_an_instrument_that_answers_when_it_is_set_has_to_be_described_so(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
    models: [Model]
    outputs: [{channels: 1, unit: V, limits: [0, 5], set: "V {value}", ask: "V?"}]
    """
    script = Script()
    script.on("V 1", b"OK\n")
    script.on("V?", b"1\n")
    with serving(script) as server, Scpi(Wire(server.address, timeout_s=0.5), described(text), "box") as box:
        send = box.connection.write

        def sent_and_answered(command: str) -> None:
            send(command)
            line = box.connection._line
            assert line is not None
            line._keep(line._some(5.0))  # so that the answer is there before anything else is asked

        monkeypatch.setattr(box.connection, "write", sent_and_answered)
        box.write(["1"], np.array([1.0]))
        box.write(["1"], np.array([1.0]))
        with pytest.raises(RefusedError, match=r"It answers when it is set, which nobody asked for\. Write its good answer"):
            box.write(["1"], np.array([1.0]))


def test_a_look_at_its_health_tells_a_reboot_and_complaints(bench: Bench, supply: Scpi) -> None:
    supply.healthy()
    bench.supply.front.events |= POWER_ON
    with pytest.raises(RebootedError, match="its settings are gone"):
        supply.healthy()
    assert supply.rebooted()
    bench.supply.front.complain(-222)
    with pytest.raises(RefusedError, match="more than this output gives"):
        supply.healthy()


@pytest.mark.parametrize("reply", [b"1\n", b"1,2,3\n", b"1,volts\n", b"1,nan\n", b"1,9.91E37\n", b"\n"])
def test_what_is_no_reading_never_becomes_a_number(bench: Bench, supply: Scpi, reply: bytes) -> None:
    bench.served.faults.spoil = lambda _: reply
    with pytest.raises(ReplyError):
        supply.measure(["m1", "m2"])
    bench.served.faults.spoil = None
    assert supply.measure(["m1"]).tolist() == [0.001]


def test_a_late_reply_is_not_that_of_the_next_question(bench: Bench, supply: Scpi) -> None:
    bench.served.faults.late_s = 0.6
    with pytest.raises((ReplyLateError, LinkLostError)):
        supply.measure(["m1"])
    bench.served.faults.late_s = 0.0
    if not supply.connection.is_open:
        supply.reopen()
    assert supply.written(["1"]).tolist() == [0.0]


def test_after_a_dropped_link_it_is_as_it_was_and_a_reboot_is_noticed(bench: Bench, supply: Scpi) -> None:
    supply.write(["1"], np.array([1.0]))
    bench.served.drop()
    with pytest.raises(LinkLostError):
        supply.measure(["m1"])
    supply.reopen()
    assert not supply.rebooted()
    assert supply.written(["1"]).tolist() == [1.0]
    bench.supply.reboot()
    assert supply.rebooted()
    bench.supply.front.name = "Example Instruments,PS-4/B,S78,2.0"
    with pytest.raises(IdentityError, match="the serial number asked for is S77"):
        supply.reopen()


# pyvisa-sim's own instruments
GENERATOR = r"""
models: [LSG]
identify: "?IDN"
identity_pattern: '(?P<model>\w+) Serial #(?P<serial>\d+)'
read_end: "\n"
write_end: "\r\n"
outputs:
  - {channels: frequency, unit: Hz, limits: [0, 200000], step: 0.01, set: "!FREQ {value:.2f}", ask: "?FREQ", answer: OK}
  - channels: amplitude
    unit: V
    limits: [0, 10]
    step: 0.01
    set: "!AMP {value:.2f}"
    ask: "?AMP"
    answer: OK
    switch_off: "!OUT 0"
    off_ask: "?OUT"
    off_reply: "0"
errors: {sentences: {FREQ_ERROR: "The frequency is outside 1 Hz to 100 kHz."}}
arm:
  - {name: waveform, set: "!WVF {value}", ask: "?WVF", wanted: 2}
"""


@pytest.fixture
def generator() -> Iterator[Scpi]:
    pytest.importorskip("pyvisa_sim")
    with Scpi(Wire("ASRL1::INSTR", visa="@sim", timeout_s=0.5), described(GENERATOR), "generator", serial="1234") as opened:
        yield opened


def test_an_instrument_of_pyvisa_sim_that_speaks_in_its_own_way(generator: Scpi) -> None:
    assert str(generator.identity) == " LSG, serial number 1234"
    generator.write(["frequency", "amplitude"], np.array([250.125, 2.5]))
    assert generator.written(["amplitude", "frequency"]) == pytest.approx([2.5, 250.12], abs=0.011)
    with pytest.raises(RefusedError, match=r"outside 1 Hz to 100 kHz\. \(FREQ_ERROR\)"):
        generator.write(["frequency", "amplitude"], np.array([150000.0, 1.5]))
    assert generator.written(["amplitude"]).tolist() == [1.5]  # one that is refused keeps no other from being set
    assert generator.written(["frequency"])[0] == pytest.approx(250.12, abs=0.011)
    generator.off(["amplitude"])


def test_an_instrument_of_pyvisa_sim_with_an_error_queue() -> None:
    pytest.importorskip("pyvisa_sim")
    text = """
    maker: SCPI
    models: [MOCK]
    outputs: [{channels: 1, unit: V, limits: [0, 10], step: 0.001, set: ":VOLT:IMM:AMPL {value:.3f}", ask: ":VOLT:IMM:AMPL?"}]
    errors: {query: ":SYST:ERR?", none: "0, No Error", sentences: {1: "The voltage is outside 1 V to 6 V."}}
    """
    with Scpi(Wire("GPIB::4::INSTR", visa="@sim", timeout_s=0.5), described(text), "mock") as mock:
        mock.write(["1"], np.array([2.5]))
        assert mock.written(["1"]).tolist() == [2.5]
        with pytest.raises(RefusedError, match="The voltage is outside 1 V to 6 V"):
            mock.write(["1"], np.array([8.0]))
        assert mock.written(["1"]).tolist() == [2.5]
        assert mock.complaints() == []


def test_one_of_pyvisa_sim_that_says_no_name_is_not_used() -> None:
    pytest.importorskip("pyvisa_sim")
    text = "{models: [MOCK], inputs: [{channels: 1, unit: V, limits: [0, 11], measure: ':READ?'}]}"
    with pytest.raises(AddressError, match="does not say its name"):
        Scpi(Wire("GPIB::5::INSTR", visa="@sim", timeout_s=0.2), described(text), "mock").open()


# mistakes
GOOD = yaml.safe_load(SUPPLY)


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """Get the description with one key changed."""
    data = yaml.safe_load(SUPPLY)
    at = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return data  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (changed("colour", to="red"), "Extra inputs are not permitted"),
        (changed("models", to=[]), "at least 1 item"),
        (changed("outputs", 0, "set", to="VOLT {value}"), "does not say which of 4 channels"),
        (changed("outputs", 0, "set", to="VOLT 3,(@{list})"), "has no {value}"),
        (changed("outputs", 0, "set", to="VOLT {volts},(@{list})"), "has {volts}; it may have {channel}, {list}, {value}"),
        (changed("outputs", 0, "set", to="VOLT {value:d},(@{list})"), "cannot be filled in"),
        (changed("outputs", 0, "set", to="VOLT {value},(@{list}),{channel}"), "both {channel} and {list}"),
        (changed("outputs", 0, "ask", to="VOLT? {value},(@{list})"), "has {value}; it may have {channel}, {list}"),
        (changed("outputs", 0, "ask", to="VOLT? (@{list)"), "is no template"),
        (changed("outputs", 0, "limits", to=[5, -5]), "limits are the lowest and the highest value, not 5 and -5"),
        (changed("outputs", 0, "limits", to=[1, ".inf"]), "limits"),
        (changed("outputs", 0, "channels", to="4-1"), "goes down"),
        (changed("outputs", 0, "channels", to=["1-3", 2]), "channel 2 is there twice"),
        (changed("outputs", 0, "channels", to="1..4"), "a channel is a number, a word or a range"),
        (changed("outputs", 0, "off_reply", to=None), "off_ask and off_reply belong together"),
        (changed("outputs", 0, "unit", to=""), "at least 1 character"),
        (changed("inputs", 0, "key", to="{channel}"), "channel 1, 2, 3, 4 is described twice"),
        (changed("inputs", 0, "key", to="m"), "a key is a word with {channel} in it"),
        (changed("inputs", 1, "block", to="f4"), "the numbers of a block are one of <f4"),
        (changed("inputs", 1, "measure", to="MEAS? {channel}"), "answered with a block, so it needs {list}"),
        (changed("arm", 0, "channels", to=[]), "has {channel} when there are channels, and only then"),
        (changed("identity_pattern", to="(?P<name>.*)"), "has a group (?P<model>...)"),
        (changed("errors", "none", to=""), "query and none belong together"),
        (changed("identity_pattern", to="("), "is no regular expression"),
        ({"models": ["X"]}, "neither outputs nor inputs"),
        (changed("models", to=[" "]), "it is empty"),
        (changed("identify", to=""), "it is empty"),
        (changed("outputs", 0, "step", to=float("inf")), "finite number"),
        (changed("outputs", 0, "set", to="VOLT {value:.0f},(@{list})"), "writes '-4' for -3.765433 V, and its step is 0.001 V"),
        (changed("outputs", 0, "set", to="VOLT {value:%},(@{list})"), "writes '-500.000000%' for -5 V"),
        (changed("outputs", 0, "set", to="VOLT {value:*>8.3f},(@{list})"), "writes '**-5.000' for -5 V"),
        (changed("outputs", 0, "set", to="VOLT {value:{value}},(@{list})"), "the format of {value} has another field in it"),
        (changed("outputs", 0, "set", to="VOLT {value} µV,(@{list})"), "one line of plain ASCII characters"),
        (changed("outputs", 0, "ask", to="VOLT? (@{list})\n"), "one line of plain ASCII characters"),
        (changed("outputs", 0, "ask", to="VOLT? (@{list:.1})"), "{list} stands as it is, without a format"),
        (changed("inputs", 0, "measure", to="MEAS? {channel!r}"), "{channel} stands as it is, without a format"),
        (changed("record", to={"temperature": "TEMP°?"}), "one line of plain ASCII characters"),
        (changed("read_end", to="§"), "is not plain ASCII"),
        (changed("arm", 0, "wanted", to=float("nan")), "finite number"),
        (changed("arm", 0, "wanted", to=True), 'write 1 or "ON", not true'),
        (changed("arm", 0, "wanted", to=0.12345), "writes '0.123' for 0.12345. Let it write more digits"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_sentences(data: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ScpiDescription.model_validate(data)
    assert says in str(caught.value)


def test_replies_are_compared_without_blanks_and_quotation_marks_around_them(bench: Bench) -> None:
    text = SUPPLY.replace('off_reply: "0"', 'off_reply: " 0 "').replace("wanted: BUS", "wanted: '\"BUS\"'")
    with bench.driver(text) as supply:
        supply.arm()
        assert supply.plan() == []
        supply.off(["1", "2", "3", "4"])


def test_an_error_queue_without_an_end_is_told_at_opening(bench: Bench) -> None:
    with pytest.raises(ReplyError, match=r"has no end: after 100 entries it says.*No error.*write it as `none`"):
        bench.driver(SUPPLY.replace('+0,"No error"', "No error")).open()


def test_the_example_of_the_documentation_is_one(bench: Bench, project_root: Path) -> None:
    text = (project_root / "docs" / "drivers.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(maker:.*?)```", text, re.DOTALL)
    with bench.driver(example) as supply:
        supply.arm()
        supply.write(["1", "2"], np.array([1.0, 1.0]))
        assert supply.measure(["m2"]) == pytest.approx([1.001])
        supply.off(["1", "2"])


def test_without_a_switch_zero_must_be_within_the_limits() -> None:
    data = changed(
        "outputs", 0, to={**GOOD["outputs"][0], "limits": [1, 5], "switch_off": None, "off_ask": None, "off_reply": None}
    )
    with pytest.raises(ValidationError, match="off is 0, which lies outside the limits"):
        ScpiDescription.model_validate(data)
