"""Work beside the window's thread: delivered in it, and never to a widget that is gone."""

from __future__ import annotations

import gc
import threading

import pytest
import shiboken6
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot
from shell_helpers import LONG_MS

from aeqlab.app.window.jobs import Post, do


def test_what_is_found_arrives_in_the_windows_thread(qtbot: QtBot) -> None:
    owner, found = QObject(), []
    do(owner, lambda: threading.current_thread().name, lambda name: found.extend([name, threading.current_thread()]), name="look")
    qtbot.waitUntil(lambda: len(found) == 2, timeout=LONG_MS)
    assert found == ["look", threading.main_thread()]


def test_what_goes_wrong_is_told(qtbot: QtBot, caplog: pytest.LogCaptureFixture) -> None:
    owner, told = QObject(), []

    def work() -> None:
        raise ValueError("the disk is full")

    do(owner, work, failed=told.append)
    qtbot.waitUntil(lambda: len(told) == 1, timeout=LONG_MS)
    assert str(told[0]) == "the disk is full"
    do(owner, work)
    qtbot.waitUntil(lambda: "the disk is full" in caplog.text, timeout=LONG_MS)


def test_nothing_is_delivered_to_a_widget_that_is_gone(qtbot: QtBot) -> None:
    owner, go, told = QObject(), threading.Event(), []
    do(owner, go.wait, told.append, name="slow")
    slow = next(thread for thread in threading.enumerate() if thread.name == "slow")
    shiboken6.delete(owner)
    go.set()
    slow.join()  # what it sends is on its way then
    qtbot.wait(20)
    assert told == []


class Owner(QObject):
    """Takes what a thread sends."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []

    def take(self, value: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.taken.append(value)


@pytest.mark.parametrize("latest", [False, True])
def test_a_post_brings_every_value_in_order_or_the_latest_alone(qtbot: QtBot, latest: bool) -> None:
    owner = Owner()
    post = Post(owner, owner.take, latest=latest)
    thread = threading.Thread(target=lambda: [post(k) for k in range(100)])
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: owner.taken[-1:] == [99], timeout=LONG_MS)
    assert owner.taken == ([99] if latest else list(range(100)))


def test_owners_may_go_while_threads_send_to_them(qtbot: QtBot) -> None:
    over = threading.Event()
    threads = []
    for k in range(100):
        owner = Owner()
        post = Post(owner, owner.take)
        threads.append(threading.Thread(target=lambda post=post: [post(k) for k in range(50)]))
        threads[-1].start()
        do(owner, lambda: over.wait(0.001), owner.take)
        if k % 2:
            shiboken6.delete(owner)
        del owner, post
        if k % 20 == 0:
            gc.collect()
            qtbot.wait(1)
    for thread in threads:
        thread.join()
    qtbot.wait(50)
    owner = Owner()
    do(owner, lambda: 7, owner.take)
    qtbot.waitUntil(lambda: owner.taken == [7], timeout=LONG_MS)
