"""The slow device: freeze, make safe, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow_helpers import CLEAN, Array, opened, plant_of, run

from aeqlab.backends import wire
from aeqlab.backends.device import Flag, Grade, Readout
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.journal import read_journal
from aeqlab.backends.slow import SlowDevice


def test_freeze_stops_knobs_where_they_are_and_takes_the_nudge_off(tmp_path: Path) -> None:
    device = opened(tmp_path, journal=True, slew_V_per_s=1.0)
    device.present(np.array([[0.2]]))
    device.nudge(np.array([[1.0]]), 0.3)
    device.set_controls(np.full(21, 1.0))
    device.advance(0.3)
    device.set_controls(np.full(21, -1.0))  # staged, and to be forgotten
    device.freeze()
    where = device.controls()
    assert where == pytest.approx(np.full(21, 0.3), abs=2e-5)
    readout = device.advance(0.5)
    assert Flag.FROZEN in readout.flags
    assert Flag.SLEWING not in readout.flags
    assert np.array_equal(device.controls(), where)
    status = device.status()
    assert status["beta"] == 0.0
    assert np.array_equal(status["setpoints"], where)
    journal = read_journal(tmp_path / "journal")
    assert journal.last_beta() == 0.0
    assert journal.happened("freeze")
    last = journal.last_setpoints()
    assert last is not None
    assert np.array_equal(last, where)
    device.set_controls(where)
    assert Flag.FROZEN not in device.advance().flags


def test_make_safe_ramps_to_rest_and_measures_it(tmp_path: Path) -> None:
    device = opened(tmp_path, journal=True, rest_V=0.25)
    device.present(np.array([[0.2]]))
    device.nudge(np.array([[1.0]]), 0.3)
    device.set_controls(np.linspace(-3, 3, 21))
    device.advance(0.5)
    report = device.make_safe()
    assert report.safe
    assert len(report.lines) == 22
    assert report.lines[0].what == "nudge"
    assert all(line.grade is Grade.MEASURED for line in report.lines[1:])
    assert all(line.readback == pytest.approx(0.25, abs=0.005) for line in report.lines[1:])
    assert report.lines[1].readback != report.lines[1].setpoint  # measured, not copied
    assert device.controls() == pytest.approx(np.full(21, 0.25), abs=2e-5)
    assert device.status()["inputs"].tolist() == [0.0]
    journal = read_journal(tmp_path / "journal")
    assert journal.fastest().max() <= 10 * (1 + 1e-9)
    (begun,), (ended,) = journal.happened("make_safe"), journal.happened("at_rest")
    assert ended.t - begun.t == pytest.approx(0.325, abs=0.021)  # 3.25 V at 10 V/s
    assert journal.last_beta() == 0.0


def test_make_safe_without_a_monitor_is_only_echoed(tmp_path: Path) -> None:
    device = opened(tmp_path, monitor=False)
    report = device.make_safe()  # before anything was presented
    assert report.safe
    assert {line.grade for line in report.lines} == {Grade.ECHOED}


def test_make_safe_says_which_knob_is_not_at_rest(tmp_path: Path) -> None:
    device = opened(tmp_path, **CLEAN)
    plant = plant_of(device)
    stuck = plant.dac.move

    def move(dt: float, filtered: Array | None = None) -> bool:
        moved = stuck(dt, filtered)
        plant.dac.output[7] = plant.dac.filtered[7] = 0.5  # an output stage that does not obey
        return moved

    device.present(np.array([[0.2]]))
    run(device, 0.5, np.full(21, 0.5))
    plant.dac.move = move  # type: ignore[method-assign]
    report = device.make_safe()
    assert not report.safe
    assert [line.what for line in report.lines if line.grade is Grade.FAILED] == ["u7"]


# checkpoints -----------------------------------------------------------------------------------------------------------


def drive(device: SlowDevice, ticks: range) -> list[Readout]:
    rng = np.random.default_rng(9)
    table = rng.normal(scale=0.3, size=(1000, 23))
    readouts = []
    for i in ticks:
        if i % 13 == 0:
            device.present(np.clip(table[i, :1], -1, 1)[None])
        if i % 3 == 0:
            device.set_controls(table[i, 2:])
        if i % 13 == 7:
            device.nudge(table[i, 1:2][None], 0.2)
        if i % 13 == 12:
            device.release()
        readouts.append(device.advance())
    return readouts


def same(a: list[Readout], b: list[Readout]) -> bool:
    return all(
        x.t == y.t
        and x.dt == y.dt
        and x.flags == y.flags
        and np.array_equal(x.outputs, y.outputs)
        and x.parameters is not None
        and y.parameters is not None
        and np.array_equal(x.parameters, y.parameters)
        and np.array_equal(x.output_ages_s, y.output_ages_s)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("modal", [True, False])
def test_state_restores_bit_for_bit(tmp_path: Path, modal: bool) -> None:
    changes: dict[str, Any] = {"stale_rate": 0.1, "lost_rate": 0.1, "slew_V_per_s": 5.0}
    first, second = opened(tmp_path, **changes), opened(tmp_path, **changes)
    for device in (first, second):
        plant_of(device).motion._modal = modal
    drive(first, range(100))
    first.nudge(np.array([[0.4]]), 0.1)  # staged when the state is taken
    state = wire.unpack(wire.pack(first.state()))
    expected = drive(first, range(100, 200))
    drive(second, range(37))
    second.restore(state)
    assert same(drive(second, range(100, 200)), expected)
    assert np.array_equal(second.true_parameters(), first.true_parameters())
    assert np.array_equal(second.controls(), first.controls())


def test_one_seed_one_history(tmp_path: Path) -> None:
    a, b, c = (drive(opened(tmp_path, seed), range(60)) for seed in (4, 4, 5))
    assert same(a, b)
    assert not same(a, c)


def test_restore_refuses_what_is_not_its_own_and_stays_as_it_is(tmp_path: Path) -> None:
    device = opened(tmp_path)
    drive(device, range(30))
    good = device.state()
    for damage in (
        {},
        {**good, "format": "x"},
        {**good, "plant": {}},
        {**good, "plant": {**good["plant"], "z": np.zeros(3)}},
        {**good, "plant": {**good["plant"], "past": {"spans": []}}},
        {**good, "plant": {**good["plant"], "reader": {}}},
        {key: value for key, value in good.items() if key != "presented"},
    ):
        with pytest.raises(DeviceConfigError):
            device.restore(damage)
    other = opened(tmp_path)
    other.restore(good)
    assert same(drive(device, range(30, 60)), drive(other, range(30, 60)))


def test_journal_says_when_it_was_put_back(tmp_path: Path) -> None:
    device = opened(tmp_path, journal=True)
    drive(device, range(10))
    state = device.state()
    drive(device, range(10, 20))
    device.restore(state)
    journal = read_journal(tmp_path / "journal")
    (restored,) = journal.happened("restored")
    assert restored.details["row"] == state["plant"]["journal_row"]
    assert restored.number > restored.details["row"]
    assert restored.t == pytest.approx(0.2)


def test_an_input_that_was_staged_is_not_applied_by_a_reading_after_the_freeze(tmp_path: Path) -> None:
    device = opened(tmp_path)
    device.present(np.array([[0.1]]))
    device.advance()
    stands = device.status()["inputs"]
    device.present(np.array([[0.9]]))
    device.freeze()
    device.advance()
    assert np.array_equal(device.status()["inputs"], stands)
