"""The morning after a night with one fault at a random time: its cause is in one sentence, and three clicks away at most."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton, QWidget
from pytestqt.qtbot import QtBot
from shell_helpers import LONG_MS

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
import struck
from nights import NIGHTS, bad_night

from aeqlab.app.window.application import Target, make_window

QUICK = ("gone", "jump", "rebooted")
SAMPLES = 9
SEED = 20261126


class Hand:
    """A hand with a mouse, which counts how often it clicks, and only clicks what can be seen."""

    def __init__(self, window: QWidget) -> None:
        self.window, self.clicks = window, 0

    def sees(self, widget: QWidget) -> bool:
        """Tell whether all of a widget is on the screen, and nothing lies over its middle."""
        middle = widget.rect().center()
        there = self.window.childAt(widget.mapTo(self.window, middle))
        whole = widget.visibleRegion().boundingRect() == widget.rect()
        return widget.isVisible() and whole and there is not None and (there is widget or widget.isAncestorOf(there))

    def click(self, widget: QWidget) -> None:
        """Click into the middle of a widget."""
        assert self.sees(widget), f"{widget.accessibleName() or widget} cannot be clicked: it is hidden, or something covers it"
        self.clicks += 1
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=QPoint(widget.width() // 2, widget.height() // 2))


@pytest.mark.parametrize("name", [pytest.param(one, marks=() if one in QUICK else pytest.mark.slow) for one in NIGHTS])
def test_the_cause_of_a_bad_night_is_at_most_three_clicks_from_opening_the_window(
    qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    when = int(np.random.default_rng([SEED, list(NIGHTS).index(name)]).integers(2, SAMPLES))
    monkeypatch.setattr(struck, "STRUCK", when)
    run, what = bad_night(tmp_path, name, 16 + when if name == "drift" else SAMPLES)

    window = make_window(qapp, tmp_path / "runs", Target())  # type: ignore[arg-type]
    qtbot.addWidget(window)
    window.show()
    try:
        hand = Hand(window)
        qtbot.waitUntil(lambda: hand.sees(window.first.look_back), timeout=LONG_MS)
        hand.click(window.first.look_back)
        story = window.past.story
        qtbot.waitUntil(lambda: story.story is not None and story.story.path == run.path, timeout=LONG_MS)
        qtbot.waitUntil(lambda: hand.sees(story.sentence), timeout=LONG_MS)
        assert what in story.sentence.text(), "the summary says it in one sentence"
        item = story.causes.topLevelItem(0)
        assert item is not None
        assert what in item.text(0), "and it is the first of what went wrong"
        button = story.causes.itemWidget(item, 5)
        assert isinstance(button, QPushButton)
        qtbot.waitUntil(lambda: hand.sees(button), timeout=LONG_MS)

        hand.click(button)
        replay = window.past.replay
        qtbot.waitUntil(lambda: replay.moment is not None and what in replay.happened.text(), timeout=LONG_MS)
        qtbot.waitUntil(lambda: hand.sees(replay.happened), timeout=LONG_MS)
        assert replay.moment is not None
        assert abs(replay.moment.step - when) <= (20 if name == "drift" else 1), "it shows the step that was struck"
        assert "now" in replay.happened.text()
        assert hand.clicks <= 3
    finally:
        window.close()
