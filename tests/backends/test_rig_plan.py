"""A rig file that is wrong is refused before anything is opened, with everything that is wrong with it, by key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from pydantic import ValidationError

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.rig_file import RigFile
from aeqlab.backends.rig_plan import plan_of, rig_problems
from aeqlab.backends.silence import if_computer_dies, unattended_refusal

GOOD: dict[str, Any] = {
    "instruments": {
        "dac": {"driver": "qdac2", "address": "TCPIP::10.0.0.1::5025::SOCKET", "when_silent": "holds"},
        "adc": {"driver": "daq970a", "address": "TCPIP::10.0.0.2::5025::SOCKET", "range_V": 10, "nplc": 1},
    },
    "controls": {"names": "u[0-3]", "channels": "dac[1-4]", "limits_V": [-1, 1], "absolute_V": [-2, 2], "slew_V_per_s": 5},
    "parameters": {"names": "theta[0-3]", "channels": "adc[101-104]", "limits_V": [-1.5, 1.5]},
    "inputs": [{"name": "z", "channel": "dac5", "limits_V": [-1, 1]}],
    "outputs": [{"name": "s", "channel": "adc105"}],
    "nudge": {"realisation": "one-shot", "channels": "dac[6]", "beta_max": 0.2, "limits_V": [-1, 1]},
}

THERMOMETER = {"name": "temperature", "unit": "V", "channel": "adc106", "period_s": 30}
HOT = {"name": "hot", "when": "temperature > 3"}


def rig(**changes: Any) -> RigFile:
    return RigFile.model_validate({**GOOD, **changes})


def said(**changes: Any) -> list[str]:
    return [f"{'.'.join(map(str, key))}: {message}" for key, message in rig_problems(rig(**changes), Path())]


def test_a_good_file_is_worked_out() -> None:
    plan = plan_of(rig(), Path())
    assert plan.controls.names == ("u0", "u1", "u2", "u3")
    assert [str(place) for place in plan.parameters.places] == ["adc[101]", "adc[102]", "adc[103]", "adc[104]"]
    np.testing.assert_array_equal(plan.controls.slew, np.full(4, 5.0))
    assert plan.nudge.beta == (-0.2, 0.2)
    assert plan.order == ("dac", "adc")
    assert sorted(use.key for use in plan.uses["dac"]) == ["1", "2", "3", "4", "5", "6"]


def test_values_per_knob_come_from_lists_and_tables(tmp_path: Path) -> None:
    (tmp_path / "knobs.csv").write_text("name,rest,slew_per_s\nu1,0.1,2\nu0,0,1\nu3,0.3,4\nu2,0.2,3\n", encoding="utf-8")
    plan = plan_of(rig(controls={**GOOD["controls"], "table": "knobs.csv", "limits_V": [[-1, 1]] * 3 + [[-0.5, 0.5]]}), tmp_path)
    np.testing.assert_array_equal(plan.controls.rest, [0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(plan.controls.slew, [1, 2, 3, 4])
    np.testing.assert_array_equal(plan.controls.high, [1, 1, 1, 0.5])


def excel(path: Path, rows: list[list[object]]) -> None:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def test_a_table_may_be_an_excel_file(tmp_path: Path) -> None:
    rows: list[list[object]] = [["name", "rest", "slew_per_s"], ["u1", 0.1, 2], [], ["u0", 0, 1], ["u3", 0.3, 4], ["u2", 0.2, 3]]
    excel(tmp_path / "knobs.xlsx", rows)
    plan = plan_of(rig(controls={**GOOD["controls"], "table": "knobs.xlsx"}), tmp_path)
    np.testing.assert_array_equal(plan.controls.rest, [0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(plan.controls.slew, [1, 2, 3, 4])


def test_an_excel_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "knobs.xlsx"
    file = rig(controls={**GOOD["controls"], "table": "knobs.xlsx"})

    def said() -> str:
        return " ".join(message for _, message in rig_problems(file, tmp_path))

    assert "knobs.xlsx cannot be read" in said()  # it is not there
    path.write_text("name,rest", encoding="utf-8")
    assert "cannot be read as an Excel file" in said()
    excel(path, [["name", "rest"], ["u0", "much"]])
    assert "row 2: rest is 'much', a number is needed" in said()
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert 'pip install "aeqlab[excel]"' in said()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("rest\n1\n", "no column `name`"),
        ("name,rest\nu0,x\n", "row 2: rest is 'x', a number is needed"),
        ("name,rest\nu0,0\nu0,0\n", "row 3: u0 is there twice"),
        ("name,rest\nu0,0\n", "no row for u1, u2, u3"),
        ("name,rust\nu0,0\n", "no column 'rust'"),
    ],
)
def test_a_table_that_is_wrong_is_said(tmp_path: Path, table: str, complaint: str) -> None:
    (tmp_path / "knobs.csv").write_text(table, encoding="utf-8")
    file = rig(controls={**GOOD["controls"], "table": "knobs.csv"})
    assert any(complaint in message for _, message in rig_problems(file, tmp_path))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"controls": {**GOOD["controls"], "limits_V": [-3, 3]}},
            "controls.0.limits: u0, u1 and 2 more: limits -3 to 3 V go beyond absolute -2 to 2 V",
        ),
        (
            {"controls": {**GOOD["controls"], "rest_V": 1.5}},
            "u0, u1 and 2 more: rest 1.5 V is outside its limits",
        ),
        ({"controls": {**GOOD["controls"], "channels": "dac[1-3]"}}, "controls.0.channels: 4 names and 3 channels"),
        ({"controls": {**GOOD["controls"], "channels": "dac[2-5]"}}, "instruments.dac: channel 5 is used twice, by u3 and by z."),
        ({"nudge": {**GOOD["nudge"], "channels": "dac[5]"}}, "channel 5 is used twice, by z and by the nudge."),
        ({"outputs": [{"name": "s", "channel": "adc101"}]}, "instruments.adc: channel 101 is used twice, by theta0 and by s."),
        ({"nudge": {**GOOD["nudge"], "channels": "smu[1]"}}, "smu[1] of the nudge: there is no instrument 'smu'"),
        (
            {"controls": {**GOOD["controls"], "limits_V": [-15, 15], "absolute_V": [-20, 20]}},
            "instruments.dac: output 1 and 3 more: -20 to 20 V go beyond its range, about -10 to 10 V.",
        ),
        (
            {"instruments": {**GOOD["instruments"], "dac": {**GOOD["instruments"]["dac"], "watchdog_s": 5}}},
            "instruments.dac.watchdog_s: qdac2 has no watchdog",
        ),
        ({"controls": {**GOOD["controls"], "channels": "dac[22-25]"}}, "there is no output 25; its outputs are 1 to 24"),
        ({"inputs": [{"name": "z", "channel": "doc5", "limits_V": [-1, 1]}]}, "no instrument 'doc'"),
        ({"inputs": [{"name": "u1", "channel": "dac5", "limits_V": [-1, 1]}]}, "the name 'u1' is there twice"),
        ({"outputs": [{"name": "s", "channel": "adc145"}]}, "there is no input 145"),
        ({"parameters": {"names": "theta[0-2]", "channels": "adc[101-103]"}}, "4 controls and 3 parameters"),
        ({"nudge": {**GOOD["nudge"], "channels": "dac[6-7]"}}, "nudge.channels: 2 channels for 1 outputs"),
        ({"nudge": {"realisation": "feedback", "channels": "dac[6]", "beta_max": 1}}, "limits of its channels are needed"),
        ({"nudge": {**GOOD["nudge"], "realisation": "output-clamp", "beta_max": 2}}, "beta goes from 0 to 1"),
        ({"order": ["dac"]}, "order: adc: not in the order"),
        ({"order": ["dac", "adc", "smu"]}, "no instrument 'smu'"),
        ({"interlocks": [{"name": "hot", "when": "temprature > 300"}]}, "there is no 'temprature' that is read"),
        ({"monitors": [THERMOMETER], "interlocks": [{**HOT, "stale_s": 20}]}, "interlocks.0.stale_s: 20 s is no longer than the"),
        ({"monitors": [THERMOMETER], "interlocks": [HOT, HOT]}, "interlocks.1.name: 'hot' is another interlock already"),
        (
            {"monitors": [{**THERMOMETER, "alarm": [0, 5]}], "interlocks": [{**HOT, "name": "temperature"}]},
            "interlocks.0.name: 'temperature' is the alarm of a monitor already",
        ),
        ({"sums": [{"name": "power", "of": "w[0-1]", "limit": 1}]}, "sums.0.of: there is no knob 'w0'"),
    ],
)
def test_each_mistake_is_told_with_its_key(changes: dict[str, Any], complaint: str) -> None:
    assert any(complaint in line for line in said(**changes)), said(**changes)


@pytest.mark.parametrize("limit", [1e-3, 5.0])
def test_a_nudge_beyond_the_range_of_its_source_is_told_before_anything_is_opened(limit: float) -> None:
    smu = {"driver": "keithley2450", "address": "TCPIP::10.0.0.3::5025::SOCKET", "source": "current", "source_range": 1e-3}
    nudge = {"realisation": "one-shot", "channels": "smu[1]", "beta_max": 0.2, "limits_A": [-limit, limit]}
    lines = said(instruments={**GOOD["instruments"], "smu": smu}, nudge=nudge)
    assert lines == ([] if limit == 1e-3 else [
        "instruments.smu: output 1: -5 to 5 A go beyond its range, about -0.001 to 0.001 A. Make the limits narrower, or "
        "choose another range."
    ])  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [{"name": "z", "channel": "dac25", "limits_V": [-1, 1]}]},
        {"parameters": {**GOOD["parameters"], "names": "u[0-3]"}},
        {"instruments": {**GOOD["instruments"], "dac": {**GOOD["instruments"]["dac"], "filter": "12 Hz"}}},
    ],
)
def test_a_mistake_is_told_once(changes: dict[str, Any]) -> None:
    assert len(said(**changes)) == 1, said(**changes)


def test_all_mistakes_come_at_once() -> None:
    lines = said(
        controls={**GOOD["controls"], "rest_V": 9}, outputs=[{"name": "s", "channel": "adc999"}], order=["adc"],
        instruments={**GOOD["instruments"], "adc": {"driver": "daq970a", "rnage_V": 10}},
    )  # fmt: skip
    text = "\n".join(lines)
    for part in ("rest 9 V", "dac: not in the order", "no address", "no key 'rnage_V'", "Did you mean range_V?"):
        assert part in text
    with pytest.raises(DeviceConfigError, match="the rig cannot be used so"):
        plan_of(rig(order=["adc"]), Path())


def test_keys_bear_one_unit() -> None:
    with pytest.raises(ValidationError, match="different units"):
        rig(controls={**GOOD["controls"], "rest_mm": 0})
    with pytest.raises(ValidationError, match="unit is mm, and limits_V says V"):
        rig(controls={**GOOD["controls"], "unit": "mm"})
    with pytest.raises(ValidationError, match="holds, unknown, or off after"):
        rig(instruments={**GOOD["instruments"], "dac": {**GOOD["instruments"]["dac"], "when_silent": "perhaps"}})


def test_what_becomes_of_it_when_the_computer_dies() -> None:
    plan = plan_of(rig(), Path())
    assert if_computer_dies(plan) == ["dac (4 controls, 1 input, nudge): its outputs stay as they are."]
    assert unattended_refusal(plan) == []
    supply = {"name": "heater", "channel": "dac24", "value": 1, "limits_V": [0, 2]}
    (refusal,) = unattended_refusal(plan_of(rig(supplies=[supply]), Path()))
    assert "it drives heater, and nothing switches it off" in refusal
    guarded = {**GOOD["instruments"], "dac": {**GOOD["instruments"]["dac"], "when_silent": "off after 2 s"}}
    plan = plan_of(rig(supplies=[supply], instruments=guarded), Path())
    assert unattended_refusal(plan) == []
    assert "go off after 2 s" in if_computer_dies(plan)[0]
    silent = {**GOOD["instruments"], "dac": {"driver": "qdac2", "address": "TCPIP::1::SOCKET"}}
    assert "when_silent is unknown" in unattended_refusal(plan_of(rig(instruments=silent), Path()))[0]
