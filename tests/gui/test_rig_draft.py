"""A rig file under construction: nothing of an existing file is lost, everything wrong is told where it is mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml

from aeqlab.app.benching import filled, rig_text
from aeqlab.app.window.models.rig_cells import CONTROL, INPUT, MONITOR, NUDGE, OUTPUT, PARAMETER
from aeqlab.app.window.models.rig_check import check_rig
from aeqlab.app.window.models.rig_draft import RigDraft
from aeqlab.app.window.models.rig_entries import gathered_channels, gathered_names
from aeqlab.app.window.models.rig_problems import RigProblem, Step
from aeqlab.backends.rig_file import RigFile
from aeqlab.protocols.errors import FileErrors, RecordError
from aeqlab.protocols.experiment import load_experiment

ADDRESSES = {name: f"TCPIP::10.0.0.{k}::5025::SOCKET" for k, name in enumerate(("dac", "adc", "smu"), 1)}
FILE = """\
# the rig by the window
instruments:
  dac: {driver: qdac2, address: "TCPIP::10.0.0.1::5025::SOCKET", when_silent: holds}   # the big box
  # the scanner of the other lab
  adc:
    driver: daq970a      # firmware 2
    address: TCPIP::10.0.0.2::5025::SOCKET
controls:   {names: "u[0-3]", channels: "dac[1-4]", limits_V: [-1, 1], absolute_V: [-2, 2]} # knobs
# what is read
parameters:
  - names: t[0-1]   # near the door
    channels: adc[101-102]
  - names: t[2-3]   # near the window
    channels: adc[103-104]
inputs:     [{name: z, channel: dac5, limits_V: [-1e-1, 1]}]
# outputs come last
outputs:    [{name: s, channel: adc105}]
nudge:      {realisation: one-shot, channels: "dac[6]", beta_max: 0.2, limits_V: [-1, 1]}
order: [dac, adc]   # the box first
"""


def loaded(folder: Path, text: str = FILE) -> RigDraft:
    (folder / "bench.yaml").write_text(text, encoding="utf-8")
    return RigDraft.load(folder / "bench.yaml")


def uid(draft: RigDraft, name: str) -> int:
    return next(row.uid for row in draft.rows if row.name == name)


def problems(draft: RigDraft) -> tuple[RigProblem, ...]:
    return check_rig(draft.sketch()).problems


def told(draft: RigDraft) -> list[str]:
    return [one.text for one in problems(draft)]


def experiment(folder: Path, rig: str = "bench.yaml") -> Path:
    text = f"name: e\ndevice: {{kind: rig, file: {rig}}}\nsequence: [identify]\n"
    (folder / "e.yaml").write_text(text, encoding="utf-8")
    return folder / "e.yaml"


def test_what_is_not_changed_is_saved_to_the_letter(tmp_path: Path) -> None:
    draft = loaded(tmp_path)
    assert draft.text() == FILE
    assert not draft.changed
    draft.save()
    assert (tmp_path / "bench.yaml").read_text(encoding="utf-8") == FILE
    assert check_rig(draft.sketch()).problems == ()
    preset = filled(rig_text("bench-16") or "", ADDRESSES, "127.0.0.1:5099")
    draft = loaded(tmp_path, preset)
    assert draft.text() == preset
    assert len(draft.rows) == 36
    verdict = check_rig(draft.sketch())
    assert verdict.problems == ()
    assert verdict.if_dies[0] == "dac (16 controls, 1 input): its outputs stay as they are."


def test_an_edit_keeps_comments_and_touches_nothing_else(tmp_path: Path) -> None:
    draft = loaded(tmp_path)
    assert draft.set_cell(uid(draft, "t2"), "nplc", "10") == ""
    draft.set_cell(uid(draft, "t3"), "nplc", "10")
    draft.set_instrument("adc", "range_V", 10)
    draft.put("tick_s", 0.2)
    draft.put("order", ["adc", "dac"])
    assert draft.changed
    draft.save()
    text = (tmp_path / "bench.yaml").read_text(encoding="utf-8")
    want = FILE.replace("channels: adc[103-104]\n", "channels: adc[103-104]\n    nplc: 10\n")
    want = want.replace("5025::SOCKET\ncontrols", "5025::SOCKET\n    range_V: 10\ncontrols").replace("[dac, adc]", "[adc, dac]")
    assert text == want + "tick_s: 0.2\n"
    assert not draft.changed
    load_experiment(experiment(tmp_path))


def test_one_knob_apart_becomes_an_entry_of_its_own_and_comments_stay(tmp_path: Path) -> None:
    draft = loaded(tmp_path)
    draft.set_cell(uid(draft, "u1"), "high", "0.5")
    draft.rename_instrument("dac", "box")
    draft.remove([uid(draft, "z")])
    text = draft.text()
    for line in (
        "  box: {driver: qdac2, address: \"TCPIP::10.0.0.1::5025::SOCKET\", when_silent: holds}   # the big box\n  # the scanner",
        "controls:   # knobs\n", '  - {name: u1, channel: "box[2]", limits_V: [-1, 0.5], absolute_V: [-2, 2]}\n',
        '  - {names: "u[2-3]", channels: "box[3-4]", limits_V: [-1, 1], absolute_V: [-2, 2]}\n# what is read\n',
        "# outputs come last\noutputs:    [{name: s, channel: adc105}]\n",
    ):  # fmt: skip
        assert line in text, text
    draft.set_cell(uid(draft, "u1"), "high", "1")
    draft.rename_instrument("box", "dac")
    assert 'names: "u[0-3]"' in draft.text()


def test_lists_gather_what_runs_on() -> None:
    assert gathered_names([f"u{k:02d}" for k in range(16)]) == "u[00-15]"
    assert gathered_names(["u8", "u9", "u10", "w"]) == ["u[8-10]", "w"]
    assert gathered_channels([f"dac[{k}]" for k in (1, 2, 3, 7)]) == "dac[1-3,7]"
    assert gathered_channels(["dac[1]", "adc[101]", "adc[102]"]) == ["dac[1]", "adc[101-102]"]
    assert gathered_channels(["stage[x]", "stage[y]"]) == "stage[x,y]"
    assert gathered_channels(["dac[i1]", "dac[i2]"]) == ["dac[i1]", "dac[i2]"]


def test_from_nothing_to_a_file_that_check_accepts(tmp_path: Path) -> None:
    draft = RigDraft()
    assert {one.step for one in problems(draft)} == {Step.INSTRUMENTS, Step.CHANNELS}
    assert all(one.missing for one in problems(draft))
    draft.add_instrument("dac", "qdac2", ADDRESSES["dac"], "121", when_silent="holds")
    draft.add_instrument("adc", "daq970a", ADDRESSES["adc"])
    draft.add(CONTROL, "u[00-03]", "dac[1-4]", cells={"low": -1.0, "high": 1.0, "slew": 5.0})
    draft.add(PARAMETER, "theta[00-03]", "adc[101-104]")
    draft.add(INPUT, "z", "dac5")
    draft.add(OUTPUT, "s", "adc105")
    draft.add(NUDGE, "", "dac[6]")
    draft.add(MONITOR, "temperature", "adc[106]", cells={"low": 0.0, "high": 1.0})
    lacks = [(one.text, one.field, one.step) for one in problems(draft)]
    assert ("z has no limits. Give the lowest and the highest value that what hangs on it bears.", "low", Step.LIMITS) in lacks
    assert any("realisation" in text and step == Step.LIMITS for text, _, step in lacks)
    draft.set_cell(uid(draft, "z"), "low", "-1")
    draft.set_cell(uid(draft, "z"), "high", "1")
    draft.put("nudge.realisation", "coupling")
    draft.put("nudge.beta_max", 0.2)
    assert told(draft) == []
    draft.save(tmp_path / "bench.yaml")
    assert (tmp_path / "bench.yaml").read_text(encoding="utf-8") == (
        'instruments:\n  dac: {driver: qdac2, address: "TCPIP::10.0.0.1::5025::SOCKET", serial: "121", when_silent: holds}\n'
        '  adc: {driver: daq970a, address: "TCPIP::10.0.0.2::5025::SOCKET"}\n'
        'controls: {names: "u[00-03]", channels: "dac[1-4]", limits_V: [-1, 1], slew_V_per_s: 5}\n'
        'parameters: {names: "theta[00-03]", channels: "adc[101-104]"}\n'
        'inputs: [{name: z, channel: "dac[5]", limits_V: [-1, 1]}]\noutputs: [{name: s, channel: "adc[105]"}]\n'
        'nudge: {realisation: coupling, channels: "dac[6]", beta_max: 0.2}\n'
        'monitors: [{name: temperature, channel: "adc[106]", alarm: [0, 1]}]\n'
    )
    load_experiment(experiment(tmp_path))


@pytest.mark.parametrize(
    ("name", "field", "typed", "said", "step"),
    [
        ("u1", "channel", "dac1", "channel 1 is used twice, by u0 and by u1", Step.CHANNELS),
        ("u1", "channel", "dac[25]", "there is no output 25; its outputs are 1 to 24", Step.CHANNELS),
        ("u1", "channel", "dca[2]", "there is no instrument 'dca'. Did you mean dac?", Step.CHANNELS),
        ("u1", "channel", "", "u1 has no channel", Step.CHANNELS),
        ("u1", "name", "u2", "'u2' is there twice", Step.CHANNELS),
        ("t1", "unit", "mm", "units V, mm: the parameters have one unit", Step.CHANNELS),
        ("u1", "rest", "1.5", "u1: rest 1.5 V is outside its limits -1 to 1 V", Step.LIMITS),
        ("u1", "high", "3", "go beyond absolute -2 to 2 V", Step.LIMITS),
        ("u1", "low", "2", "the lower one comes first", Step.LIMITS),
        ("u1", "slew", "0", "a number above 0 is needed", Step.LIMITS),
        ("u1", "absolute_high", "50", "output 2: -2 to 50 V go beyond its range, about -10 to 10 V", Step.LIMITS),
        ("u1", "high", "1,5", "High is '1,5'; a number is needed. Write it with a point.", Step.LIMITS),
        ("u1", "high", "", "u1 has no upper limit", Step.LIMITS),
        ("t1", "nplc", "1000", "1000", Step.LIMITS),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_row(tmp_path: Path, name: str, field: str, typed: str, said: str, step: Step) -> None:
    draft = loaded(tmp_path)
    row = uid(draft, name)
    assert draft.set_cell(row, field, typed) == ""
    found = [one for one in problems(draft) if said in one.text]
    assert found, told(draft)
    assert row in {one.row for one in found} or "one unit" in said
    assert {one.step for one in found} == {step}
    if typed:
        draft.save(over=True)
        with pytest.raises(FileErrors):
            load_experiment(experiment(tmp_path))


def test_other_mistakes_are_told_where_they_are_mended(tmp_path: Path) -> None:
    draft = loaded(tmp_path)
    draft.set_instrument("dac", "address", ADDRESSES["adc"])
    draft.set_instrument("adc", "rnge_V", 10)
    draft.set_instrument("dac", "when_silent", "perhaps")
    draft.put("order", ["dac"])
    draft.put("tick_s", 100)
    draft.put("interlocks", [{"name": "a", "when": "temp > 3"}, {"name": "b", "when": "s > 3", "action": "stop"}])
    draft.put("sums", [{"name": "p", "of": "u[0-4]", "limit": 1}])
    draft.put("nudge.beta_max", -1)
    draft.put("colour", "red")
    found = problems(draft)
    for step, instrument, field, said in (
        (Step.INSTRUMENTS, "adc", "", "Did you mean range_V?"), (Step.SAFETY, "dac", "when_silent", "holds, unknown, or off"),
        (Step.SAFETY, "", "interlocks.0.when", "there is no 'temp' that is read"),
        (Step.SAFETY, "", "interlocks.1.action", "one of warn, freeze, safe"), (Step.SAFETY, "", "sums.0.of", "no knob 'u4'"),
        (Step.LIMITS, "", "tick_s", "at most 10"), (Step.LIMITS, "", "nudge.beta_max", "above 0"),
        (Step.SAVE, "", "colour", "no key"),
    ):  # fmt: skip
        assert any((one.step, one.instrument, one.field) == (step, instrument, field) and said in one.text for one in found), (
            said,
            found,
        )
    draft.set_instrument("dac", "when_silent", "holds")
    assert any(one.step == Step.SAFETY and "adc: not in the order" in one.text for one in problems(draft))


def test_values_per_knob_stay_in_their_table(tmp_path: Path) -> None:
    table = (
        "name,rest,slew_per_s,limits_low,limits_high\nu1,0.1,2,-1,1\nu0,0,1,-1,1\nu9,7,7,-1,1\nu3,0.30,4,-1,1\nu2,0.2,3,-1,1\n"
    )
    (tmp_path / "knobs.csv").write_text(table, encoding="utf-8")
    text = FILE.replace("limits_V: [-1, 1], absolute_V: [-2, 2]}", "limits_V: [-1, 1], table: knobs.csv}")
    draft = loaded(tmp_path, text)
    assert [row.cells["rest"] for row in draft.rows[:4]] == [0.0, 0.1, 0.2, 0.3]
    draft.set_cell(uid(draft, "u2"), "rest", "0.25")
    assert told(draft) == []
    draft.save()
    assert (tmp_path / "bench.yaml").read_text(encoding="utf-8") == text
    assert (tmp_path / "knobs.csv").read_text(encoding="utf-8") == table.replace("u2,0.2,", "u2,0.25,")
    load_experiment(experiment(tmp_path))
    book = openpyxl.Workbook()
    for line in table.split():
        book.active.append([part if part[0] == "u" or part[-1].isalpha() else float(part) for part in line.split(",")])
    book.save(tmp_path / "knobs.xlsx")
    draft = loaded(tmp_path, text.replace("knobs.csv", "knobs.xlsx"))
    assert "comes from knobs.xlsx" in draft.set_cell(uid(draft, "u2"), "rest", "0.7")
    assert draft.row(uid(draft, "u2")).cells["rest"] == 0.2  # type: ignore[union-attr]
    draft = loaded(tmp_path, text.replace("knobs.csv", "nowhere.csv"))
    assert any("nowhere.csv cannot be read" in one for one in told(draft))


def test_a_file_that_somebody_else_changed_is_not_written_over(tmp_path: Path) -> None:
    draft = loaded(tmp_path)
    draft.put("tick_s", 0.3)
    (tmp_path / "bench.yaml").write_text(FILE + "name: other\n", encoding="utf-8")
    assert draft.changed_on_disk()
    with pytest.raises(RecordError, match="changed by somebody else"):
        draft.save()
    assert "tick_s" not in (tmp_path / "bench.yaml").read_text(encoding="utf-8")
    (tmp_path / "there.yaml").write_text("x: 1\n", encoding="utf-8")
    with pytest.raises(RecordError, match="is there already"):
        draft.save(tmp_path / "there.yaml")
    with pytest.raises(RecordError, match="cannot be written"):
        draft.save(tmp_path / "nowhere" / "bench.yaml")
    draft.save(over=True)
    assert "tick_s: 0.3" in (tmp_path / "bench.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "controls: 3\n", "instruments: [dac]\n", "controls: {names: 3, channels: [a], limits: 7}\n",
        'controls: {names: "u[0-3", channels: "dac[1-9]", limits_V: [[1], 2, 3], rest: [1, 2]}\n', "nudge: one-shot\n",
        "instruments: {dac: 3}\nmonitors: [3, {name: [1]}]\nsums: 3\ninterlocks: {a: b}\n", "order: dac\nnudge: {channels: 3}\n",
    ],
)  # fmt: skip
def test_a_file_full_of_mistakes_opens_and_keeps_what_is_in_it(tmp_path: Path, text: str) -> None:
    draft = loaded(tmp_path, text)
    assert problems(draft)
    plain: dict[str, Any] = yaml.safe_load(draft.text())
    assert set(yaml.safe_load(text)) <= set(plain)


def test_no_yaml_is_refused_with_its_lines(tmp_path: Path) -> None:
    with pytest.raises(FileErrors, match="line 2"):
        loaded(tmp_path, "controls:\n\tnames: u\n")


def test_the_saved_file_means_what_the_rows_say(tmp_path: Path) -> None:
    draft = loaded(tmp_path)
    for k, row in enumerate(draft.rows[:4]):
        draft.set_cell(row.uid, "rest", str(0.1 * k))
        draft.set_cell(row.uid, "slew", str(1 + k))
    draft.add(CONTROL, "w", "dac[9]", cells={"low": 0.0, "high": 1.0, "slew": 1.0})
    draft.add(PARAMETER, "tw", "adc[109]")
    assert told(draft) == []
    draft.save()
    file = RigFile.model_validate(yaml.safe_load((tmp_path / "bench.yaml").read_text(encoding="utf-8")))
    assert [(row.names, row.rest, row.slew_per_s) for row in file.controls] == [
        ("u[0-3]", pytest.approx([0, 0.1, 0.2, 0.3]), [1, 2, 3, 4]), ("w", 0, 1),
    ]  # fmt: skip
