"""Older and newer records open: what an older one lacks is empty, what a newer one adds is left out, and damage is said."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from record_helpers import make_record

from aeqlab.protocols import load_run
from aeqlab.protocols import record_schema as schema


def edit(folder: Path, *statements: str, version: int | None = None) -> None:
    """Change a record by hand."""
    connection = sqlite3.connect(folder / "record.sqlite", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    if version is not None:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def old_record(folder: Path) -> None:
    """Make a record as a first version might have written it: few tables, few columns, no description of them, no views."""
    connection = sqlite3.connect(folder / "record.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute("CREATE TABLE attempts (attempt INTEGER PRIMARY KEY, started_at REAL, state TEXT)")
    connection.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, attempt INTEGER, step INTEGER, cost_1 REAL, theta BLOB)")
    connection.execute("INSERT INTO meta VALUES ('state', ?)", (json.dumps("finished"),))
    connection.executemany("INSERT INTO attempts VALUES (?, 1.8e9, 'finished')", [(1,), (2,)])
    rows = [(1 + step // 6, step, 0.5 * step, np.full(3, float(step)).tobytes()) for step in range(1, 11)]
    connection.executemany("INSERT INTO steps (attempt, step, cost_1, theta) VALUES (?, ?, ?, ?)", rows)
    connection.close()


def test_an_older_record_opens_without_a_word(tmp_path: Path) -> None:
    old_record(tmp_path)
    run = load_run(tmp_path)
    assert run.state == "finished"
    assert len(run.steps) == 10
    np.testing.assert_array_equal(run.steps["cost_1"], 0.5 * run.steps["step"])
    assert np.isnan(run.steps["cost_free"]).all()
    assert np.isnan(run.steps["used"]).all()
    assert run.steps["hold_verdict"].tolist() == [""] * 10
    assert run.steps["theta"].shape == (10, 3)
    np.testing.assert_array_equal(run.theta, [10.0, 10.0, 10.0])
    np.testing.assert_array_equal(run.theta_at(4), [4.0, 4.0, 4.0])
    assert run.attempts["kept_steps"].shape == (2,)
    for name in ("evaluations", "traces", "reports", "stages", "events", "alarms", "notes"):
        rows = run.rows(name)
        assert {name: len(values) for name, values in rows.items()} == dict.fromkeys(rows, 0)
    assert run.missing == []


def test_a_column_that_should_be_there_is_missed(tmp_path: Path) -> None:
    make_record(tmp_path, 20)
    edit(tmp_path, "ALTER TABLE steps DROP COLUMN cost_2", "DROP VIEW current_steps")
    run = load_run(tmp_path)
    assert len(run.steps) == 20
    assert np.isnan(run.steps["cost_2"]).all()
    assert np.isfinite(run.steps["cost_1"]).all()
    assert run.missing == ["record.sqlite, steps: the column cost_2 is not there and reads as empty."]


@pytest.mark.parametrize("table", ["notes", "meta", "columns", "attempts"])
def test_a_table_that_should_be_there_is_missed(tmp_path: Path, table: str) -> None:
    make_record(tmp_path, 20)
    edit(tmp_path, f"DROP TABLE {table}")
    run = load_run(tmp_path)
    assert len(run.rows(table)) == 0
    assert len(run.steps) == 20
    assert run.missing == [f"record.sqlite, {table}: the whole table is not there and reads as empty."]


def test_a_newer_record_opens_as_far_as_it_can(tmp_path: Path) -> None:
    make_record(tmp_path, 20)
    edit(
        tmp_path,
        "ALTER TABLE steps ADD COLUMN entropy REAL DEFAULT 1.5",
        "ALTER TABLE steps DROP COLUMN moved",
        "ALTER TABLE steps DROP COLUMN tries",
        "CREATE TABLE weather (id INTEGER PRIMARY KEY, wind REAL)",
        "DROP TABLE alarms",
        version=99,
    )
    run = load_run(tmp_path)
    assert len(run.steps) == 20
    assert "entropy" not in run.steps
    assert np.isnan(run.steps["moved"]).all()
    assert np.isfinite(run.steps["cost_1"]).all()
    assert len(run.alarms) == 0
    assert run.missing == [
        f"record.sqlite has version 99, newer than this program's ({schema.SCHEMA_VERSION}); what it does not know is left out.",
        "record.sqlite, steps: the columns tries, moved are not there and read as empty.",
        "record.sqlite, alarms: the whole table is not there and reads as empty.",
    ]


def test_a_letter_that_is_none_costs_itself_alone(tmp_path: Path) -> None:
    make_record(tmp_path, 20)
    edit(tmp_path, "UPDATE steps SET hold_verdict = CAST(x'7469ff' AS TEXT) WHERE id = 7")
    verdicts = load_run(tmp_path).steps["hold_verdict"]
    assert len(verdicts) == 20
    assert verdicts[6] == "ti\N{REPLACEMENT CHARACTER}"


def test_a_snapshot_stands_still_while_the_run_goes_on(tmp_path: Path) -> None:
    record = make_record(tmp_path, 20, close=False)
    run = load_run(tmp_path)
    with run.snapshot():
        assert len(run.events) == 0
        record.event(20, "warning", "word", "text")
        record.scan(20, 1, [{"quantity": "u0", "values": [0.5], "kind": "control", "unit": "V"}], [1], [])
        assert len(run.events) == len(run.scans) == 0
        assert len(run.steps["step"]) == 20
    assert len(run.events) == len(run.scans) == 1
    record.close()
