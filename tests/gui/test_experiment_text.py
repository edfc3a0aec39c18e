"""The text of an experiment: changed by path with comments surviving, undone, saved, and noticed when the file changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aeqlab.app.window.models.experiment_edits import difference
from aeqlab.app.window.models.experiment_examined import examine
from aeqlab.app.window.models.experiment_inline import Typed, inline
from aeqlab.app.window.models.experiment_text import (
    ChangedOnDiskError,
    EditError,
    ExperimentText,
    FileText,
    RunsOwnFileError,
    preset_summaries,
    read_file,
)
from aeqlab.protocols.experiment import load_text, preset_names, preset_text
from aeqlab.protocols.yaml import parse


def plain(text: str) -> Any:
    return parse(text, "x")[0].plain()


def of(text: str) -> ExperimentText:
    return ExperimentText(FileText(None, "x", text))


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_opens_is_saved_byte_for_byte_and_says_what_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_bytes(preset_text(name).encode())
    document = ExperimentText(read_file(path))
    assert not document.modified
    document.save()
    assert path.read_bytes() == preset_text(name).encode()
    assert len(preset_summaries()[name]) > 20


def test_windows_ends_of_lines_and_the_mark_before_the_text_stay(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    raw = b"\xef\xbb\xbf" + preset_text("xor").replace("\n", "\r\n").encode()
    path.write_bytes(raw)
    document = ExperimentText(read_file(path))
    assert "\r" not in document.text
    document.set(("seed",), 7)
    document.set(("seed",), 1)
    document.save()
    assert path.read_bytes() == raw


@pytest.mark.parametrize("name", preset_names())
def test_set_then_get_and_undo_at_every_value_of_every_preset(name: str) -> None:
    text = preset_text(name)

    def paths(value: Any, path: tuple[int | str, ...] = ()) -> Any:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in inner:
            yield (*path, key)
            yield from paths(item, (*path, key))

    for path in list(paths(plain(text)))[::3]:
        document = of(text)
        document.set(path, 0.125)
        found = plain(document.text)
        for step in path:
            found = found[step]
        assert found == 0.125
        assert set(comments(document.text)) <= set(comments(text))
        if not any(isinstance(step, int) for step in path) and len(path) > 1:
            assert comments(document.text) == comments(text), path
        document.undo()
        assert document.text == text


def test_only_the_value_changes() -> None:
    text = preset_text("compare-methods")
    document = of(text)
    document.set(("device", "epsilon"), Typed("2e-1"))
    assert document.text == text.replace("epsilon: 0.1", "epsilon: 2e-1")
    document.set(("sequence", 0, "compare", "seeds"), 7)
    assert document.text == text.replace("epsilon: 0.1", "epsilon: 2e-1").replace("seeds: 5  ", "seeds: 7  ")


def test_new_keys_stand_where_they_belong_and_what_is_missing_on_the_way_is_made() -> None:
    document = of(preset_text("scan-knob"))
    document.set(("settling", "accept", "ticks"), 4, order=())
    document.set(("data", "test_samples"), 5)
    document.set(("operator",), "Ada: the first", order=["name", "seed", "operator", "device"])
    lines = document.text.splitlines()
    assert "data: {kind: legendre, degree: 4, samples: 100, test_samples: 5}" in lines
    assert lines.index("operator: 'Ada: the first'") == lines.index("seed: 1") + 1
    assert plain(document.text)["settling"] == {"accept": {"ticks": 4}}
    assert len(comments(document.text)) == len(comments(preset_text("scan-knob")))


@pytest.mark.parametrize(
    "entry", ["evaluate", "evaluate:", "evaluate: {}", "{evaluate: {}}", "evaluate:   # how good", "evaluate:\n      on: test"]
)
def test_options_of_a_stage_are_set_however_it_is_written(entry: str) -> None:
    document = of(f"sequence:\n  - {entry}\nthen: hold\n")
    document.set(("sequence", 0, "evaluate", "samples"), 4)
    assert plain(document.text)["sequence"][0]["evaluate"]["samples"] == 4
    assert ("how good" in document.text) == ("how good" in entry)


SEQUENCE = """\
sequence:
  # first
  - train: {beta: 0.1}    # one

  # second
  - evaluate: {}          # two
  - repeat:
      times: 2
      sequence: [infer, evaluate, {hold: {seconds: 1}}]
then: freeze
"""


def test_items_move_with_their_comments() -> None:
    document = of(SEQUENCE)
    document.move(("sequence",), 1, 0)
    assert document.text.startswith(
        "sequence:\n  # second\n  - evaluate: {}          # two\n\n  # first\n  - train: {beta: 0.1}    # one\n"
    )
    document.move(("sequence", 2, "repeat", "sequence"), 2, 0)
    assert "[{hold: {seconds: 1}}, infer, evaluate]" in document.text
    document.undo()
    document.undo()
    assert document.text == SEQUENCE


def test_items_are_copied_inserted_and_taken_out() -> None:
    document = of(SEQUENCE)
    document.duplicate(("sequence",), 0)
    document.insert(("sequence",), 4, {"ask": {"text": "Well?"}})
    document.insert(("sequence", 3, "repeat", "sequence"), 0, "hold")
    document.remove(("sequence", 2))
    found = plain(document.text)["sequence"]
    assert [one if isinstance(one, str) else next(iter(one)) for one in found] == ["train", "train", "repeat", "ask"]
    assert found[2]["repeat"]["sequence"][0] == "hold"
    for _ in range(3):
        document.remove(("sequence", 0))
    document.remove(("sequence", 0))
    assert plain(document.text) == {"sequence": [], "then": "freeze"}
    document.insert(("sequence",), 0, {"evaluate": {}})
    assert plain(document.text)["sequence"] == [{"evaluate": {}}]


def test_marks_beside_a_stage_are_set_and_taken_out_again() -> None:
    document = of(SEQUENCE)
    document.set(("sequence", 0, "off"), True)
    document.set(("sequence", 1, "pause_after"), True)
    assert plain(document.text)["sequence"][0] == {"train": {"beta": 0.1}, "off": True}
    document.remove(("sequence", 0, "off"))
    document.remove(("sequence", 1, "pause_after"))
    assert document.text == SEQUENCE


def test_a_layout_that_is_not_changed_by_hand_is_written_anew_with_its_comments() -> None:
    document = of("a:\n  - - x   # one\n    - y\n  - z     # two\n")
    document.remove(("a", 0, 0))
    assert plain(document.text) == {"a": [["y"], "z"]}
    assert "two" in document.text


def test_what_is_repeated_elsewhere_is_not_changed_behind_ones_back() -> None:
    document = of("a: &one {x: 1}\nb: *one\n")
    with pytest.raises(EditError, match="repeats another part"):
        document.set(("b", "x"), 2)
    with pytest.raises(EditError, match="repeat this"):
        document.set(("a", "x"), 2)
    document.set(("b",), 3)
    assert plain(document.text) == {"a": {"x": 1}, "b": 3}


def test_nothing_is_changed_by_path_while_the_syntax_is_wrong() -> None:
    document = of("name: x\ndevice: {kind: slow\nthen: hold\n")
    with pytest.raises(EditError, match="mended first"):
        document.set(("then",), "freeze")
    assert not document.modified


def test_what_belongs_together_is_undone_together() -> None:
    document = of("a: 1\n")
    for typed in ("2", "25", "256"):
        document.set(("a",), Typed(typed), key="a")
    document.several(lambda: document.set(("b",), 1), lambda: document.set(("c",), 2))
    document.undo()
    assert document.text == "a: 256\n"
    document.undo()
    assert document.text == "a: 1\n"
    document.redo()
    document.redo()
    assert plain(document.text) == {"a": 256, "b": 1, "c": 2}
    with pytest.raises(EditError):
        document.several(lambda: document.set(("d",), 1), lambda: document.insert(("b",), 0, 1))
    assert plain(document.text) == {"a": 256, "b": 1, "c": 2}


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("a: 1\n", encoding="utf-8")
    document = ExperimentText(read_file(path))
    document.set(("a",), 2)
    assert document.changed_on_disk() == ""
    path.write_text("a: 3\n", encoding="utf-8")
    assert "changed on the disk" in document.changed_on_disk()
    with pytest.raises(ChangedOnDiskError, match="Nothing was saved"):
        document.save()
    assert path.read_text(encoding="utf-8") == "a: 3\n"
    document.save(overwrite=True)
    assert path.read_text(encoding="utf-8") == "a: 2\n"
    other = tmp_path / "other.yaml"
    other.write_text("b: 1\n", encoding="utf-8")
    with pytest.raises(ChangedOnDiskError, match="there already"):
        document.save(other)
    path.unlink()
    assert "moved or deleted" in document.changed_on_disk()
    document.save()
    assert document.changed_on_disk() == ""


def test_what_a_run_was_asked_to_do_is_not_overwritten(tmp_path: Path) -> None:
    asked = tmp_path / "run" / "experiment.yaml"
    asked.parent.mkdir()
    asked.write_text("a: 1\n", encoding="utf-8")
    (asked.parent / "record.sqlite").touch()
    document = ExperimentText(read_file(asked))
    document.set(("a",), 2)
    with pytest.raises(RunsOwnFileError, match="could not be resumed"):
        document.save(overwrite=True)
    assert asked.read_text(encoding="utf-8") == "a: 1\n", "what a run was asked to do stays as it was"
    document.save(tmp_path / "mine.yaml")


def test_problems_have_their_lines_and_all_come_at_once() -> None:
    text = (
        preset_text("tour")
        .replace("epsilon: 0.1", "epsilon: -1")
        .replace("degree: 2", "degre: 2")
        .replace("seconds: 0.5", "seconds: zero")
    )
    found = examine(text, "tour", Path.cwd())
    assert [one.line for one in found.problems] == sorted(one.line or 0 for one in found.problems)
    assert {one.key for one in found.problems} >= {"device.epsilon", "data.degre", "sequence.9.hold.seconds"}
    assert found.tree is not None
    assert found.loaded is None
    by_path = {row.path: row for row in found.rows}
    assert by_path["sequence", 9].wrong
    assert by_path["sequence", 6, "repeat", "sequence", 0].moves == "theta, by nudges of -0.25 and 0.25 (centered)"


def test_stages_are_told_in_words() -> None:
    found = examine(preset_text("scan-knob"), "scan-knob", Path.cwd())
    assert not found.problems
    assert found.rows[1].moves == "u3 from -0.5 to 0.5 and back"
    assert all(row.lasts for row in found.rows)


#: Some of every kind of letter, figure, sign and space, and all that YAML takes for its own.
LETTERS = "abyeonÄßéжλ中あ𝛽0159²½٣.,:;!?-_'\"`()[]{}<>#&*|>%@~=+/\\^$€°×→\u00a0\u2009\u3000 "

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False),
    st.text(st.sampled_from(LETTERS), max_size=12),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc: {}[]#,'\"-x", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@example("\xa0𝛽")
@example('\u2028\u0085𝛽: "')
@given(VALUES)
def test_what_is_written_on_a_line_is_read_again(value: Any) -> None:
    assert plain(f"a: [{inline(value)}, 1]\n") == {"a": [value, 1]}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["device.epsilon", "device.options.x", "sequence.1.scan.over", "homeostasis", "new.key"]), VALUES)
def test_set_then_get(path: str, value: Any) -> None:
    steps = tuple(int(step) if step.isdecimal() else step for step in path.split("."))
    text = preset_text("scan-knob")
    document = of(text)
    document.set(steps, value)
    found, wanted = plain(document.text), copy.deepcopy(plain(text))
    for step in steps:
        found = found[step]
    assert found == value
    document.undo()
    assert plain(document.text) == wanted


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.text("ab\n", max_size=12), st.text("ab\n", max_size=12))
def test_a_difference_makes_one_of_the_other(old: str, new: str) -> None:
    assert difference(old, new).on(old) == new


def test_a_text_is_loaded_as_its_file_is(tmp_path: Path) -> None:
    assert load_text(preset_text("xor"), "xor", tmp_path).experiment.name == "xor"
