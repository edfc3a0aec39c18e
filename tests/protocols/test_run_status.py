"""Where a run stands, as it is shown: how fast it goes and how long it still takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeqlab.protocols.record import Record
from aeqlab.protocols.run_state import Requests
from aeqlab.protocols.run_status import RunStatus


def test_a_pause_says_nothing_of_the_time_that_is_left(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "record.sqlite", durable=False, facts={})
    status = RunStatus(Requests())
    status.change(record, 0, "running", "")
    status.count(0, 100)
    for second in range(3):  # ten steps per second
        status.done = 10 * second
        status.show(float(second), at_once=True)
    assert status.latest.remaining_s == pytest.approx(8.0)
    status.change(record, 20, "paused", "lunch")
    for second in range(3, 5):
        status.show(float(second), at_once=True)
    assert status.latest.remaining_s is None
    status.change(record, 20, "running", "")
    status.show(5.0, at_once=True)
    status.done = 30
    status.show(6.0, at_once=True)
    assert status.latest.remaining_s == pytest.approx(7.0)
    record.close()


def test_a_stage_is_told_as_soon_as_it_begins_not_with_its_first_sample() -> None:
    status = RunStatus(Requests())
    status.show(0.0)
    status.begin_stage("train", "0")
    assert (status.answer()["stage"], status.answer()["path"]) == ("train", "0")
    status.count(3, 10)
    status.show(0.05, at_once=True)
    status.begin_stage("evaluate", "1")
    assert (status.answer()["stage"], status.answer()["done"], status.answer()["total"]) == ("evaluate", 0, None)
