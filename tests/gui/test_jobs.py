"""Work beside the window's thread: delivered in it, and never to a widget that is gone."""

from __future__ import annotations

import threading

import pytest
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from aeqlab.app.window.jobs import do


def test_what_is_found_arrives_in_the_windows_thread(qtbot: QtBot) -> None:
    owner, found = QObject(), []
    do(owner, lambda: threading.current_thread().name, lambda name: found.extend([name, threading.current_thread()]), name="look")
    qtbot.waitUntil(lambda: len(found) == 2)
    assert found == ["look", threading.main_thread()]


def test_what_goes_wrong_is_told(qtbot: QtBot, caplog: pytest.LogCaptureFixture) -> None:
    owner, told = QObject(), []

    def work() -> None:
        raise ValueError("the disk is full")

    do(owner, work, failed=told.append)
    qtbot.waitUntil(lambda: len(told) == 1)
    assert str(told[0]) == "the disk is full"
    do(owner, work)
    qtbot.waitUntil(lambda: "the disk is full" in caplog.text)


def test_nothing_is_delivered_to_a_widget_that_is_gone(qtbot: QtBot) -> None:
    owner, go, told = QObject(), threading.Event(), []
    do(owner, go.wait, told.append, name="slow")
    slow = next(thread for thread in threading.enumerate() if thread.name == "slow")
    owner.deleteLater()
    qtbot.wait(20)
    go.set()
    slow.join(5.0)
    qtbot.wait(20)
    assert told == []
