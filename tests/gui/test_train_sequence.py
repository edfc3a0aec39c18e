"""The sequence of a running run in the window: shown with its states, changed where it has not begun, refused with a reason."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parent))
from train_helpers import LONG_MS, live_run, open_shell

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import SMALL

from aeqlab.app.window.models import commander
from aeqlab.app.window.models.commander import Answer
from aeqlab.app.window.train.running_sequence import RunningSequence
from aeqlab.protocols import load_run
from aeqlab.protocols.control import send
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.sequence_told import TO_COME, ToldSequence, ToldStage

TEXT = SMALL.replace(
    "  - train: {method: centered, beta: 0.2}\n  - evaluate: {}\n",
    "  - evaluate: {}\n  - train: {method: centered, beta: 0.2, epochs: 1000000}\n  - hold: {seconds: 1}\n  - evaluate: {}\n",
)

HOLDS = ToldSequence(
    tuple(ToldStage(str(k), 0, "hold", "seconds: 1", TO_COME, entry={"hold": {"seconds": 1.0}}) for k in range(3)),
    begun=0, edits=4, then="freeze", live=True,
)  # fmt: skip


def listed(widget: RunningSequence) -> list[tuple[str, str, str]]:
    """Get state, stage and marks of each row as they are shown."""
    rows = [widget.tree.topLevelItem(k) for k in range(widget.tree.topLevelItemCount())]
    return [(row.text(0).partition(" ")[2], row.text(1), row.text(4)) for row in rows if row is not None]


@pytest.fixture
def three_holds(qtbot: QtBot) -> RunningSequence:
    """Give the list of a sequence with three stages to come, which was changed four times; the second is chosen."""
    widget = RunningSequence()
    qtbot.addWidget(widget)
    widget.set_value(HOLDS)
    widget.choose("1")
    return widget


def test_a_refusal_is_said_though_the_change_of_somebody_else_is_told_before_it(
    qtbot: QtBot, three_holds: RunningSequence
) -> None:
    with qtbot.waitSignal(three_holds.edit_wanted, timeout=LONG_MS):
        three_holds.take_out()
    three_holds.set_value(replace(HOLDS, edits=5))
    assert three_holds.waiting
    assert not three_holds.out.isEnabled()
    three_holds.take_answer(Answer("edit", "Someone else changed the sequence meanwhile.", done=False))
    assert three_holds.notice.label.text() == "Nothing was changed. Someone else changed the sequence meanwhile."
    assert not three_holds.waiting
    assert three_holds.out.isEnabled()


@pytest.mark.parametrize("told_first", [True, False])
def test_a_change_is_in_force_once_the_run_has_accepted_and_told_it(three_holds: RunningSequence, told_first: bool) -> None:
    three_holds.take_out()
    told = replace(HOLDS, rows=HOLDS.rows[:2], edits=5)
    first, second = (lambda: three_holds.set_value(told)), (lambda: three_holds.take_answer(Answer("edit", "It is changed.")))
    if not told_first:
        first, second = second, first
    first()
    assert three_holds.waiting
    second()
    assert not three_holds.waiting
    assert len(listed(three_holds)) == 3  # two stages, and what comes then
    assert three_holds.current is not None
    assert three_holds.current.path == "0"


def test_stages_to_come_are_changed_while_the_run_goes_on(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = partial(send, timeout_s=LONG_MS / 1000)  # a change is answered once it was checked: that takes its time
    monkeypatch.setattr(commander, "send", patient)
    with live_run(tmp_path, TEXT) as folder, open_shell(qtbot, tmp_path / "runs", folder, monkeypatch) as shell:
        widget = shell.train.sequence

        def changed(times: int) -> None:
            qtbot.waitUntil(
                lambda: widget.told is not None and widget.told.edits == times and not widget.waiting, timeout=LONG_MS
            )

        qtbot.waitUntil(lambda: widget.told is not None and widget.told.begun == 2, timeout=LONG_MS)
        qtbot.waitUntil(lambda: shell.train.live.sequence.text() == "Show sequence: train, 2 of 4", timeout=LONG_MS)
        shell.train.live.sequence.click()
        assert shell.train.pages.currentWidget() is widget
        end = ("", "then FREEZE", "")
        assert listed(widget) == [
            ("done", "1  evaluate", ""), ("running", "2  train", ""), ("to come", "3  hold", ""), ("to come", "4  evaluate", ""),
            end,
        ]  # fmt: skip
        assert "theta, by nudges of -0.1 and 0.1" in widget.tree.topLevelItem(1).text(2)  # type: ignore[union-attr]

        # what has begun is left alone, but for the pause after it
        widget.choose("1")
        assert not widget.out.isEnabled()
        assert widget.line.isReadOnly()
        assert widget.pause.isEnabled()
        widget.tree.setFocus()
        qtbot.keyClick(widget.tree, Qt.Key.Key_Delete)
        assert not widget.waiting
        widget.pause.click()
        changed(1)
        assert listed(widget)[1] == ("running", "2  train", "pause after")

        # move, copy, switch off, take out, add, other options; each recorded
        widget.choose("3")
        qtbot.keyClick(widget.tree, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
        changed(2)
        assert [row[1] for row in listed(widget)[2:4]] == ["3  evaluate", "4  hold"]
        assert widget.current is not None
        assert widget.current.path == "2"
        qtbot.keyClick(widget.tree, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
        changed(3)
        widget.off.click()
        changed(4)
        assert listed(widget)[3] == ("off", "4  evaluate", "off")
        qtbot.keyClick(widget.tree, Qt.Key.Key_Delete)
        changed(5)
        widget.choose("3")
        widget.add_stage("train")
        changed(6)
        assert widget.line.text() == "train: {beta: 0.1}"  # centered is what it is by itself
        widget.line.setText("train: {method: optimistic, beta: 0.1, samples: 7}")
        widget.line.setFocus()
        qtbot.keyClick(widget.line, Qt.Key.Key_Return)
        changed(7)
        assert [(row[0], row[1]) for row in listed(widget)[2:]] == [
            ("to come", "3  evaluate"), ("to come", "4  hold"), ("to come", "5  train"), ("", "then FREEZE"),
        ]  # fmt: skip
        assert widget.told is not None
        assert "samples: 7" in widget.told.rows[4].options

        # a refusal says why; the list stays what the run has, and what was typed stays to be mended
        before = listed(widget)
        widget.line.setText("train: {method: optimistic, bta: 0.1}")
        qtbot.keyClick(widget.line, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: not widget.waiting, timeout=LONG_MS)
        assert "there is no key 'bta' here. Did you mean 'beta'?" in widget.notice.label.text()
        assert listed(widget) == before
        assert "bta" in widget.line.text()
        widget.line.setText("train: {method: ")
        qtbot.keyClick(widget.line, Qt.Key.Key_Return)
        assert "Nothing was sent" in widget.notice.label.text()
        qtbot.keyClick(widget.line, Qt.Key.Key_Escape)
        assert widget.line.text() == "train: {method: optimistic, beta: 0.1, samples: 7}"

        # someone else was faster
        patient(folder, "edit", '{"pause_after_running": false}', who="bob")
        widget.take_out()
        qtbot.waitUntil(lambda: not widget.waiting, timeout=LONG_MS)
        assert "Someone else changed the sequence meanwhile" in widget.notice.label.text() or widget.told.edits == 9
        qtbot.waitUntil(lambda: widget.told is not None and widget.told.edits >= 8, timeout=LONG_MS)

        patient(folder, "skip")
        qtbot.waitUntil(lambda: not is_alive(folder), timeout=LONG_MS)
        qtbot.waitUntil(lambda: widget.told is not None and not widget.told.live, timeout=LONG_MS)
        assert [row[0] for row in listed(widget)[:4]] == ["done", "skipped", "done", "done"]
        assert not widget.add.isEnabled()
        assert "does not run" in widget.hint.text()
        run = load_run(folder)
        edits = [text for word, text in zip(run.events["word"], run.events["text"], strict=True) if word == "edit"]
        assert len(edits) >= 8
        assert "samples: 7" in "".join(edits) or '"samples": 7' in "".join(edits)
