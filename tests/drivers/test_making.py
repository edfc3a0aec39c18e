"""Instruments by the words of a rig file: which keys there are, what is wrong all at once, what a driver makes of a use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aeqlab.drivers.board import Board
from aeqlab.drivers.daq970a import Daq970a
from aeqlab.drivers.errors import SettingError
from aeqlab.drivers.identity import Identity
from aeqlab.drivers.instrument import Direction, Instrument
from aeqlab.drivers.keithley2450 import Keithley2450
from aeqlab.drivers.making import DRIVERS, Spec, Use, keys_in_markdown, make_instrument, problems_of
from aeqlab.drivers.qdac2 import Qdac2, Range

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
    ],
)
def test_what_is_wrong_is_said_before_anything_is_opened(
    driver: str, uses: list[Use], options: dict[str, Any], complaint: str
) -> None:
    assert complaint in said(driver, uses, **options)
    with pytest.raises(SettingError):
        made(driver, uses, **options)


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
    spec = Spec("stage", "motor.py:Motor", "COM3", options={"steps": 5})
    motor = make_instrument(spec, [], Path(), lambda word: Motor)
    assert isinstance(motor, Motor)
    assert (motor.name, motor.address, motor.steps) == ("stage", "COM3", 5)
    with pytest.raises(SettingError, match="takes no 'stpes'"):
        make_instrument(Spec("stage", "motor.py:Motor", options={"stpes": 5}), [], Path(), lambda word: Motor)
    with pytest.raises(SettingError, match="is no class derived from"):
        make_instrument(spec, [], Path(), lambda word: dict)


def test_the_keys_in_the_documentation_are_those_in_the_code(project_root: Path) -> None:
    text = (project_root / "docs" / "drivers.md").read_text(encoding="utf-8")
    assert keys_in_markdown() in text
    assert all(f"### `{name}`" in text for name in DRIVERS)
