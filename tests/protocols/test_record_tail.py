"""Following a record as it grows: every row once, in order, also over a resume, and of a damaged one what can be read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_helpers import steps, write_steps
from run_helpers import experiment, read_steps, same_runs, start_worker, wait_for

from aeqlab.protocols import load_run
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.record import Record
from aeqlab.protocols.record_tail import RecordTail
from aeqlab.protocols.run import resume_run, run_experiment

SOME: dict[str, Any] = {
    "steps": ("step", "cost_free", "theta"),
    "stages": None,
    "alarms": None,
    "traces": ("step", "phase", "points", "t", "u"),
}


class Kept:
    """What somebody has who follows a record."""

    def __init__(self, tail: RecordTail) -> None:
        self.tail = tail
        self.steps: list[int] = []
        self.anew = 0
        self.facts: dict[str, Any] = {}
        self.missing: list[str] = []
        self.outcomes: dict[int, str] = {}

    def look(self) -> bool:
        news = self.tail.more()
        if news.anew:
            self.anew += 1
            self.steps.clear()
            self.outcomes.clear()
        self.steps += news.rows.get("steps", {}).get("step", np.array([], dtype=int)).tolist()
        for rows in (news.rows.get("stages"), news.changed.get("stages")):
            if rows:
                self.outcomes |= dict(zip(rows["id"].tolist(), rows["outcome"].tolist(), strict=True))
        self.facts = news.facts or self.facts
        self.missing += news.missing
        return news.any


def test_rows_come_once_and_only_when_there_are_new_ones(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "record.sqlite", durable=False, facts={"name": "tail"})
    with RecordTail(tmp_path / "record.sqlite", {"steps": ("step", "cost_1", "theta")}) as tail:
        news = tail.more()
        assert news.facts is not None
        assert (news.facts["name"], news.rows, news.more) == ("tail", {}, False)
        assert not tail.more().any
        write_steps(record, steps(5))
        assert tail.more().rows["steps"]["step"].tolist() == [1, 2, 3, 4, 5]
        write_steps(record, steps(450, begin=6))
        found, blocks = [], 0
        while (news := tail.more()).any:
            rows = news.rows["steps"]
            found += rows["step"].tolist()
            assert rows["theta"].shape == (len(rows["step"]), 3)
            assert rows["cost_1"].dtype == np.float64
            blocks += 1
        assert found == list(range(6, 456))
        assert blocks == 3
        record.facts(name="other")
        assert tail.more().facts == {**(news.facts or {}), **load_run(tmp_path).meta}
    record.close()


def test_a_live_run_is_followed_to_its_end_and_over_its_resume(tmp_path: Path) -> None:
    loaded = experiment(tmp_path)
    process = start_worker("run", tmp_path / "experiment-under-test.yaml", tmp_path / "runs", STAYS_AT=60)
    wait_for(lambda: bool(list((tmp_path / "runs").glob("*/record.sqlite"))), "the record")
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/record.sqlite"))
    with RecordTail(folder / "record.sqlite", SOME) as tail:
        kept = Kept(tail)
        last = read_steps(process, 20)
        wait_for(lambda: kept.look() and kept.steps[-1:] >= [last], "twenty steps")
        process.kill()
        process.wait()
        while kept.look():
            pass
        assert kept.steps == list(range(1, len(kept.steps) + 1))
        assert kept.outcomes == {1: ""}
        resume_run(folder)
        while kept.look():
            pass
        assert kept.anew >= 1
        assert kept.steps == list(range(1, 61))
        assert kept.facts["state"] == "finished"
        assert list(kept.outcomes.values()) == ["finished", "finished"]
    whole = run_experiment(loaded, runs=tmp_path / "whole")
    same_runs(load_run(folder), load_run(whole.folder))


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="There is no table 'losses' in a record; there are meta"):
        RecordTail(tmp_path, {"losses": None})
    with pytest.raises(RecordError, match="The table steps has no column loss; it has id, attempt, step"):
        RecordTail(tmp_path, {"steps": ("loss",)})


def test_a_record_that_cannot_be_read_says_so_once_and_is_read_when_it_can(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with RecordTail(path, {"steps": None}) as tail:
        assert tail.more().missing == ["record.sqlite cannot be read: there is no such file."]
        assert not tail.more().any
        record = Record.create(path, durable=False, facts={})
        write_steps(record, steps(3))
        record.close()
        assert tail.more().rows["steps"]["step"].tolist() == [1, 2, 3]


def test_of_a_damaged_or_older_record_the_rest_is_given(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    record = Record.create(path, durable=False, facts={})
    write_steps(record, steps(3))
    record.note(3, "ada", "the door was open")
    record.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP VIEW current_steps")
        connection.execute("DROP TABLE alarms")
    connection.close()
    with RecordTail(path, {"steps": ("step",), "alarms": None, "notes": ("text",)}) as tail:
        news = tail.more()
    assert news.rows["steps"]["step"].tolist() == [1, 2, 3]
    assert news.rows["notes"]["text"].tolist() == ["the door was open"]
    assert news.missing == ["record.sqlite, alarms: the whole table is not there and reads as empty."]


class Passing(RecordTail):
    """Fails at one table as often as it is told to, as a disk does that comes back."""

    left = 2

    def _read_table(self, connection: sqlite3.Connection, name: str, *rest: Any) -> None:
        if name == "steps" and self.left:
            self.left -= 1
            raise sqlite3.OperationalError("disk I/O error")
        super()._read_table(connection, name, *rest)


def test_an_error_that_passes_gives_no_table_up(tmp_path: Path) -> None:
    run = run_experiment(experiment(tmp_path), runs=tmp_path / "runs").folder
    with Passing(run / "record.sqlite", SOME) as tail:
        kept = Kept(tail)
        assert kept.look()
        assert kept.steps == []
        assert kept.outcomes, "the others are read meanwhile"
        assert kept.missing == ["record.sqlite, steps: could not be read at once, and is tried again: disk I/O error."]
        kept.look()
        assert len(kept.missing) == 1, "it is said once"
        kept.look()
        assert kept.steps == list(range(1, 61))
        assert not kept.look(), "and then no more than once"
