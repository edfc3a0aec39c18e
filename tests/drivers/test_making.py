"""Instruments by the words of a rig file: which keys there are, what is wrong all at once, what a driver makes of a use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aeqlab.drivers.board import Board
from aeqlab.drivers.daq970a import Daq970a
from aeqlab.drivers.errors import SettingError
from aeqlab.drivers.identity import Identity
from aeqlab.drivers.instrument import Direction, Instrument, Silence
from aeqlab.drivers.keithley2450 import Keithley2450
from aeqlab.drivers.making import Spec, Use, make_instrument, problems_of, when_silent_of
from aeqlab.drivers.qdac2 import Qdac2, Range
from aeqlab.drivers.rig_keys import DRIVERS, keys_in_markdown

SUPPLY = {
    "models": ["PS-2"],
    "outputs": [{"channels": "1-2", "unit": "V", "limits": [-5, 5], "step": 0.001, "set": "V{channel} {value}"}],
}
ADDRESS = "TCPIP::127.0.0.1::5025::SOCKET"
OUT, IN = Direction.OUT, Direction.IN


def made(driver: str, uses: list[Use], base: Path = Path(), **options: Any) -> Instrument:
    return make_instrument(Spec("it", driver, ADDRESS, options=options), uses, base)


def said(driver: str, uses: list[Use], address: str = ADDRESS, **options: Any) -> str:
    return " ".join(problems_of(Spec("it", driver, address, options=options), uses, Path()))


def test_the_low_range_is_taken_where_the_limits_fit() -> None:
    box = made(
        "qdac2", [Use("1", OUT, "V", -2, 2, slew_per_s=5), Use("2", OUT, "V", -5, 5), Use("i3", IN, "A", nplc=2)], filter="DC"
    )
    assert isinstance(box, Qdac2)
    assert {key: out.range for key, out in box._outputs.items()} == {"1": Range.LOW, "2": Range.HIGH}
    assert box._outputs["1"].slew_V_per_s == 5
    assert box._currents["3"].nplc == 2


def test_each_driver_serves_its_uses() -> None:
    scanner = made("daq970a", [Use("101", IN, "V", nplc=10), Use("102", IN, "V")], range_V=10, nplc=1)
    assert isinstance(scanner, Daq970a)
    assert [scanner._inputs[key].nplc for key in ("101", "102")] == [10, 1]  # type: ignore[index]
    smu = made("keithley2450", [Use("1", OUT, "V", held_off=True)], source="voltage", limit=1e-3)
    assert isinstance(smu, Keithley2450)
    assert smu._stays_off
    board = made("board", [Use("1", OUT, "V", -1, 1, rest=0.5, slew_per_s=2), Use("2001", OUT, "V", -1, 1)], average=4)
    assert isinstance(board, Board)
    assert {setting.name for setting, key, _ in board._wanted if key == "1"} == {
        "rest value",
        "slew to rest",
        "limits in V",
        "output",
    }


@pytest.mark.parametrize(
    ("driver", "uses", "options", "complaint"),
    [
        ("qdac", [], {}, "Did you mean qdac2?"),
        ("qdac2", [Use("25", OUT, "V")], {}, "there is no output 25; its outputs are 1 to 24"),
        ("qdac2", [Use("3", IN, "A")], {}, "there is no input 3; its currents are i1 to i24"),
        ("qdac2", [Use("1", OUT, "V", slew_per_s=1e9)], {}, "slew 1e+09 V/s is outside"),
        (
            "qdac2",
            [],
            {"filtre": "DC"},
            "qdac2 has no key 'filtre'; its keys are range, filter, current_range. Did you mean filter?",
        ),
        ("qdac2", [], {"filter": "LOW"}, "filter: "),
        ("daq970a", [Use("101", OUT, "V")], {}, "there is no output 101; it has no outputs"),
        ("daq970a", [Use("101", IN, "V", nplc=0.5)], {}, "an aperture of 0.5 PLC lets hum through"),
        ("daq970a", [Use("101", IN, "V")], {"range_V": 3}, "range 3 V is none it has"),
        ("keithley2450", [], {}, "keithley2450 needs source"),
        ("keithley2450", [], {"source": "current", "source_range": 2e-3}, "no source range 0.002 A"),
        ("board", [], {"average": 0}, "average: "),
        ("scpi", [], {}, "one of file and description"),
        ("scpi", [], {"file": "not-there.yaml"}, "not-there.yaml"),
        ("scpi", [], {"description": {"models": ["X"], "outptus": []}}, "outptus"),
        ("scpi", [Use("7", OUT, "V")], {"description": SUPPLY}, "there is no output 7; its outputs are 1, 2."),
        ("scpi", [Use("1", IN, "V")], {"description": SUPPLY}, "there is no input 1; it has no inputs."),
        ("scpi", [Use("1", OUT, "A")], {"description": SUPPLY}, "output 1 is in V, and the rig file gives it in A."),
        ("scpi", [Use("1", OUT, "V", -9, 1)], {"description": SUPPLY}, "output 1: -9 to 1 V go beyond its range, -5 to 5 V."),
        ("daq970a", [Use("101", IN, "V")], {"range_V": "10"}, "range_V: input should be a valid number"),
        ("board", [], {"binary": "yes"}, "binary: input should be a valid boolean"),
        ("own.py:Motor", [], {}, "own.py:Motor: there is no file own.py"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_opened(
    driver: str, uses: list[Use], options: dict[str, Any], complaint: str
) -> None:
    assert complaint in said(driver, uses, **options)
    with pytest.raises(SettingError):
        made(driver, uses, **options)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"address": "the rack"}, "the rack: write host:port"),
        ({"timeout_s": 0.0}, "timeout_s 0 is no wait"),
        ({"timeout_s": float("nan")}, "timeout_s nan is no wait"),
        ({"wakes_s": -1.0}, "wakes_s -1 is no time"),
        ({"wakes_s": float("inf")}, "wakes_s inf is no time"),
        ({"baud_rate": 0}, "baud_rate 0 is none"),
    ],
)
def test_a_wire_that_cannot_be_is_refused(given: dict[str, Any], complaint: str) -> None:
    spec = Spec("it", "qdac2", **{"address": ADDRESS, **given})
    assert any(complaint in problem for problem in problems_of(spec, [], Path()))


def test_addresses_may_be_written_as_a_person_does() -> None:
    for text, address in (("127.0.0.1:5025", ADDRESS), ("COM3", "ASRL3::INSTR")):
        box = make_instrument(Spec("it", "board", text), [], Path())
        assert isinstance(box, Board)
        assert box.connection.wire.address == address
        assert box.connection.wire.read_end == ("\r\n" if text == "COM3" else "\n")


def test_what_an_instrument_does_in_silence_is_told_by_its_driver() -> None:
    assert [when_silent_of(Spec("it", driver)) for driver in ("qdac2", "scpi", "own.py:Motor")] == [
        Silence.HOLDS, Silence.UNKNOWN, Silence.UNKNOWN,
    ]  # fmt: skip


def test_a_rig_file_is_checked_without_visa() -> None:
    code = """
import sys
from pathlib import Path
from aeqlab.drivers.making import Spec, Use, make_instrument, problems_of, when_silent_of
for driver, options in (("qdac2", {}), ("daq970a", {}), ("board", {}), ("keithley2450", {"source": "current"})):
    assert problems_of(Spec("it", driver, "127.0.0.1:5025", options=options), [], Path()) == []
assert "pyvisa" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_everything_wrong_comes_at_once() -> None:
    text = said("qdac2", [Use("30", OUT, "V")], "", filter=3)
    assert "no address" in text
    assert "filter" in text
    assert "no output 30" in said("qdac2", [Use("30", OUT, "V")], "")


class Motor(Instrument):
    def __init__(self, name: str, address: str, steps: int = 1) -> None:
        super().__init__(name)
        self.address, self.steps = address, steps

    def open(self) -> Identity:
        return Identity("m", "Motor", "1")

    def close(self) -> None: ...

    @property
    def channels(self) -> dict[str, Any]:
        return {}


def test_a_users_class_gets_its_name_its_address_and_its_keys() -> None:
    spec = Spec("stage", "motor:Motor", "COM3", options={"steps": 5})
    motor = make_instrument(spec, [], Path(), lambda word: Motor)
    assert isinstance(motor, Motor)
    assert (motor.name, motor.address, motor.steps) == ("stage", "COM3", 5)
    wrong = Spec("stage", "motor:Motor", options={"stpes": 5, "volts": 1})
    with pytest.raises(SettingError, match=r"takes no 'stpes'; it takes steps\. Did you mean steps\? .* takes no 'volts'"):
        make_instrument(wrong, [], Path(), lambda word: Motor)
    with pytest.raises(SettingError, match="nothing was given that imports it"):
        make_instrument(spec, [], Path())
    with pytest.raises(SettingError, match="is no class derived from"):
        make_instrument(spec, [], Path(), lambda word: dict)


def test_the_keys_in_the_documentation_are_those_in_the_code(project_root: Path) -> None:
    text = (project_root / "docs" / "drivers.md").read_text(encoding="utf-8")
    assert keys_in_markdown() in text
    assert all(f"### `{name}`" in text for name in DRIVERS)
