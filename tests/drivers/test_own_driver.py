"""The driver in docs/drivers.md works as it stands there, and the base class refuses for it what every driver refuses."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from aeqlab.backends.errors import DeviceConfigError, DeviceLostError
from aeqlab.backends.rig_bus import Bus
from aeqlab.backends.user_code import load
from aeqlab.drivers.errors import RefusedError, SettingError
from aeqlab.drivers.instrument import Change, Complaint, Instrument
from aeqlab.drivers.making import Spec, make_instrument


class Motor:
    serial = "42"

    def __init__(self, port: str = "COM3") -> None:
        self.port = port
        self.target, self.moves, self.stopped, self.connected = 0.0, 0, False, True

    def go_to(self, place: float) -> None:
        self.target, self.moves = place, self.moves + 1

    def where(self) -> float:
        return self.target + 0.001

    def stop(self) -> None:
        self.stopped = True

    def disconnect(self) -> None:
        self.connected = False


@pytest.fixture
def code(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The code in the docs, and the maker's package that it imports."""
    maker = ModuleType("maker")
    maker.Motor = Motor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "maker", maker)
    text = (project_root / "docs" / "drivers.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(code)


@pytest.fixture
def made(code: str) -> tuple[Any, Motor]:
    names: dict[str, Any] = {}
    exec(code, names)
    stage = names["Stage"]("stage", "COM3")
    stage.close()  # it was not opened yet
    stage.open()
    return stage, stage.motor


@pytest.mark.parametrize(("serial", "said"), [("42", ""), ("43", "the serial number asked for is 43")])
def test_a_rig_file_names_it_and_compares_its_serial_number(code: str, tmp_path: Path, serial: str, said: str) -> None:
    (tmp_path / "stage.py").write_text(code, encoding="utf-8")
    spec = Spec("stage", "stage.py:Stage", serial=serial, options={"port": "COM4"})
    stage: Any = make_instrument(spec, (), tmp_path, lambda word: load(word, tmp_path))
    bus = Bus({"stage": stage}, ("stage",), lambda: 0.0)
    with pytest.raises(DeviceConfigError, match=said) if said else nullcontext():
        bus.open()
        assert stage.motor.port == "COM4"
    bus.close()
    with pytest.raises(SettingError, match=r"stage.py:Stage takes no 'prt'; it takes port. Did you mean port\?"):
        make_instrument(Spec("stage", "stage.py:Stage", options={"prt": "COM4"}), (), tmp_path, lambda word: load(word, tmp_path))


def test_it_is_another_one_when_it_is_opened_again(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stage.py").write_text(code, encoding="utf-8")
    stage = make_instrument(
        Spec("stage", "stage.py:Stage", options={"port": "COM4"}), (), tmp_path, lambda word: load(word, tmp_path)
    )
    now = [0.0]
    bus = Bus({"stage": stage}, ("stage",), lambda: now[0])
    bus.open()
    bus.broken("stage", "it is gone")
    monkeypatch.setattr(Motor, "serial", "99")
    now[0] = 1e3
    with pytest.raises(DeviceLostError, match="serial number 99"):
        bus.retry()
    bus.close()


def test_it_sets_measures_and_stops(made: tuple[Any, Motor]) -> None:
    stage, motor = made
    with stage:
        motor = stage.motor  # opened again
        assert str(stage.identity) == "Maker Stage 2, serial number 42"
        stage.write(["x"], np.array([12.5]))
        np.testing.assert_array_equal(stage.written(["x"]), [12.5])
        np.testing.assert_allclose(stage.measure(["encoder"]), [12.501])
        stage.off(["x"])
        stage.check()
    assert (motor.stopped, motor.connected) == (True, False)
    assert (stage.complaints(), stage.plan(), stage.settings(), stage.watch(1.0), stage.rebooted()) == ([], [], {}, False, False)


@pytest.mark.parametrize(
    ("keys", "values", "said"),
    [
        (["x"], [25.1], r"stage, channel x: 25.1 mm is outside 0 to 25 mm, the range of this output\. Choose"),
        (["x"], [np.nan], "nan mm is outside"),
        (["x"], [[1.0]], "1 channels, and values of shape"),
        (["x"], [1.0, 2.0], "1 channels, and values of shape"),
        (["y"], [1.0], "there is no output 'y'; its outputs are x to x"),
        (["encoder"], [1.0], "there is no output 'encoder'"),
        (["x", "x"], [1.0, 2.0], "a channel is there twice in x, x"),
    ],
)
def test_what_it_may_not_do_never_reaches_it(made: tuple[Any, Motor], keys: list[str], values: Any, said: str) -> None:
    stage, motor = made
    with pytest.raises(SettingError, match=said):
        stage.write(keys, np.array(values))
    assert motor.moves == 0


def test_an_end_that_rounding_passed_is_the_end(made: tuple[Any, Motor]) -> None:
    stage, motor = made
    stage.write(["x"], np.array([25.0 + 1e-10]))
    assert motor.target == 25.0


def test_only_inputs_are_measured_and_only_outputs_are_switched_off(made: tuple[Any, Motor]) -> None:
    stage, motor = made
    with pytest.raises(SettingError, match="there is no input 'x'; its inputs are encoder to encoder"):
        stage.measure(["x"])
    with pytest.raises(SettingError, match="there is no output 'encoder'"):
        stage.off(["encoder"])
    assert not motor.stopped


def test_complaints_are_raised_with_their_sentences_and_codes(made: tuple[Any, Motor], monkeypatch: pytest.MonkeyPatch) -> None:
    stage, _ = made
    monkeypatch.setattr(stage, "complaints", lambda: [Complaint(-222, "Too far."), Complaint(-350, "Errors were lost.")])
    with pytest.raises(RefusedError, match=r"stage reports: Too far\. Errors were lost\.") as refused:
        stage.check()
    assert refused.value.codes == (-222, -350)


def test_a_change_is_said_for_a_person() -> None:
    assert str(Change("3", "range", "HIGH", "LOW")) == "channel 3: range from HIGH to LOW"
    assert str(Change("", "trigger", "BUS", "IMM")) == "trigger from BUS to IMM"


def test_the_base_alone_is_no_instrument() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Instrument("nothing")  # type: ignore[abstract]
