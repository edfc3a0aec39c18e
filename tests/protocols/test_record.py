"""The record: committed row by row, read by others meanwhile, superseded and never deleted, whole when the disk is full."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.load import load_run
from aeqlab.protocols.record import EvaluationRow, Record, StepRow, blob


def _record(folder: Path) -> Record:
    return Record.create(folder / "record.sqlite", durable=False, facts={"name": "test", "state": "running"})


def _step(number: int, theta: float = 0.5) -> StepRow:
    return StepRow(number, 1, 0, number - 1, 1e9, cost_1=0.1 * number, cost_free=0.2 * number, theta=blob(np.full(3, theta)))


def _evaluation(step: int) -> EvaluationRow:
    return EvaluationRow(step, 1, 0, 1e9, "test", 10, "homeostasis", "last", 0.5, None, 1.0, 0.1)


def _read(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_rows_are_there_as_soon_as_they_are_acknowledged(tmp_path: Path) -> None:
    record = _record(tmp_path)
    for number in (1, 2, 3):
        record.step(_step(number))
        assert _read(record.path, "SELECT max(step), count(*) FROM steps") == [(number, number)]
    record.close()


def test_a_row_comes_back_as_it_was_given(tmp_path: Path) -> None:
    record = _record(tmp_path)
    theta = np.array([1.0, -2.5, 3e-300])
    record.step(
        StepRow(
            7, 1, 2, 3, 1e9, 4.5, -0.1, 0.1, 1.5, 1.25, None, 2, True, False, False, True, 3,
            "ticks", 50, 0.5, 2, 0.75, "settled", 9, 0.25, blob(theta),
        )
    )  # fmt: skip
    record.close()
    names = [column.name for column in schema.BY_NAME["steps"].columns]
    row = dict(zip(names, _read(record.path, "SELECT * FROM steps")[0], strict=True))
    assert (row["step"], row["epoch"], row["sample"], row["t"]) == (7, 2, 3, 4.5)
    assert (row["beta_1"], row["beta_2"], row["cost_1"], row["cost_2"], row["cost_free"]) == (-0.1, 0.1, 1.5, 1.25, None)
    assert (row["wrong"], row["used"], row["sham"], row["partial"], row["cost_rose"], row["tries"]) == (2, 1, 0, 0, 1, 3)
    assert (row["hold_verdict"], row["hold_ticks"], row["settle_verdict"], row["settle_ticks"]) == ("ticks", 50, "settled", 9)
    np.testing.assert_array_equal(np.frombuffer(row["theta"], "<f8"), theta)  # type: ignore[call-overload]


def test_step_rows_have_the_columns_of_the_schema_in_order() -> None:
    names = [column.name for column in schema.BY_NAME["steps"].columns]
    assert names == ["id", "attempt", *StepRow._fields]
    names = [column.name for column in schema.BY_NAME["evaluations"].columns]
    assert sorted(names) == sorted(["id", "attempt", *EvaluationRow._fields])
    assert names[2:] == list(EvaluationRow._fields)


def test_it_ends_as_a_single_file(tmp_path: Path) -> None:
    record = _record(tmp_path)
    record.step(_step(1))
    assert (tmp_path / "record.sqlite-wal").exists()
    record.close()
    record.close()
    assert [path.name for path in tmp_path.iterdir()] == ["record.sqlite"]
    assert _read(record.path, "PRAGMA user_version") == [(schema.SCHEMA_VERSION,)]


def test_a_second_attempt_supersedes_and_deletes_nothing(tmp_path: Path) -> None:
    record = _record(tmp_path)
    for number in range(1, 6):
        record.step(_step(number))
    record.evaluation(_evaluation(5))
    kept = record.last_rows()  # the checkpoint
    for number in (6, 7, 8):
        record.step(_step(number, theta=9.0))
    record.evaluation(_evaluation(8))
    record.close()
    again = Record.reopen(record.path, durable=False, from_step=5)
    again.supersede(kept)
    assert again.attempt == 2
    again.step(_step(6, theta=1.0))
    again.close()
    assert _read(record.path, "SELECT count(*) FROM steps") == [(9,)]
    assert _read(record.path, "SELECT step, attempt FROM current_steps") == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2)]
    assert _read(record.path, "SELECT step FROM current_evaluations") == [(5,)]


def test_each_attempt_supersedes_only_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    record = _record(tmp_path)
    marks = []
    for number in range(1, 5):
        record.step(_step(number))
        marks.append(record.last_rows())
    record.close()
    second = Record.reopen(record.path, durable=False, from_step=3)
    second.supersede(marks[2])
    second.step(_step(4, theta=2.0))
    second.step(_step(5, theta=2.0))
    second.close()
    third = Record.reopen(record.path, durable=False, from_step=2)
    third.supersede(marks[1])
    third.step(_step(3, theta=3.0))
    third.close()
    assert _read(record.path, "SELECT step, attempt FROM current_steps") == [(1, 1), (2, 1), (3, 3)]


def test_the_newest_theta_is_that_of_a_step_or_of_a_stage_and_superseded_as_they_are(tmp_path: Path) -> None:
    record = _record(tmp_path)

    def newest() -> float:
        return float(load_run(tmp_path).theta[0])

    def left(theta: float) -> None:
        record.theta(1, 1, blob(np.full(3, theta)))

    left(0.1)
    assert newest() == 0.1
    record.step(_step(1, theta=0.2))
    assert newest() == 0.2
    left(0.2)  # the step said so
    left(0.3)
    kept = record.last_rows()
    left(0.4)
    left(0.4)
    assert newest() == 0.4
    assert _read(record.path, "SELECT after_row FROM thetas") == [(0,), (1,), (1,)]
    record.close()
    record = Record.reopen(record.path, durable=False, from_step=1)
    record.supersede(kept)
    assert newest() == 0.3
    left(0.3)  # stands there already
    record.step(_step(2, theta=0.5))
    assert newest() == 0.5
    record.close()
    assert _read(record.path, "SELECT attempt FROM thetas") == [(1,), (1,), (1,)]


def test_a_record_of_the_first_version_is_read(tmp_path: Path) -> None:
    record = _record(tmp_path)
    record.step(_step(1, theta=0.2))
    record.close()
    connection = sqlite3.connect(record.path)
    for statement in (
        "DROP VIEW current_thetas", "DROP TABLE thetas", "ALTER TABLE attempts DROP COLUMN kept_thetas", "PRAGMA user_version = 1"
    ):  # fmt: skip
        connection.execute(statement)
    connection.commit()
    connection.close()
    run = load_run(tmp_path)
    assert run.theta.tolist() == [0.2] * 3
    assert run.attempts["kept_stages"].tolist() == [0]
    assert run.missing == []
    assert len(run.thetas) == 0
    with pytest.raises(RecordError, match="a record of version 1"):
        Record.reopen(record.path, durable=False, from_step=1)


def test_readers_see_a_growing_record_and_never_a_torn_row(tmp_path: Path) -> None:
    record = _record(tmp_path)
    seen: list[int] = []
    wrong: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            count, last, blobs = _read(record.path, "SELECT count(*), max(step), min(length(theta)) FROM steps")[0]
            if count and (count != last or blobs != 24):
                wrong.append(f"{count} rows, last step {last}, {blobs} bytes")
            seen.append(count or 0)  # type: ignore[arg-type]

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 2001):
        record.step(_step(number))
    done.set()
    reader.join()
    record.close()
    assert not wrong
    assert seen == sorted(seen)


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    record = _record(tmp_path)
    pages = record._connection.execute("PRAGMA page_count").fetchone()[0]
    record._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    written = 0

    def fill() -> None:
        nonlocal written
        for number in range(1, 100_000):
            record.step(_step(number))
            written = number

    with pytest.raises(RecordError, match=r"disk is full.*Every row written so far is kept"):
        fill()
    assert written > 10
    with pytest.raises(RecordError, match="disk is full"):
        record.state(written, "failed", "the disk is full " * 1000)
    record._connection.execute("PRAGMA max_page_count = 1073741823")
    record.state(written, "failed", "the disk is full", ended=True)
    record.close()
    assert _read(record.path, "SELECT count(*), max(step) FROM steps") == [(written, written)]
    assert _read(record.path, "SELECT value FROM meta WHERE key = 'state'") == [('"failed"',)]


def test_a_record_is_not_overwritten(tmp_path: Path) -> None:
    _record(tmp_path).close()
    with pytest.raises(RecordError, match="not overwritten"):
        _record(tmp_path)


def test_a_record_of_another_version_is_not_continued(tmp_path: Path) -> None:
    record = _record(tmp_path)
    record._connection.execute("PRAGMA user_version = 99")
    record.close()
    with pytest.raises(RecordError, match="version 99"):
        Record.reopen(record.path, durable=False, from_step=0)


def test_a_file_that_is_no_record_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "record.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(RecordError, match="damaged"):
        Record.reopen(tmp_path / "record.sqlite", durable=False, from_step=0)


def test_a_rig_syncs_every_row(tmp_path: Path) -> None:
    for durable, level in ((True, 2), (False, 1)):
        record = Record.create(tmp_path / f"{durable}.sqlite", durable=durable, facts={})
        assert record._connection.execute("PRAGMA synchronous").fetchone() == (level,)
        record.close()


def test_the_reader_in_the_documentation_needs_no_aeqlab(project_root: Path, tmp_path: Path) -> None:
    text = (project_root / "docs" / "record.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert "aeqlab" not in code
    assert len([line for line in code.splitlines() if line]) <= 15
    record = _record(tmp_path)
    record.step(_step(1, theta=0.75))
    record.evaluation(_evaluation(1))
    script = tmp_path / "reader.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(record.path)], capture_output=True, text=True, timeout=60, check=True
    )
    record.close()
    assert "1 0.2 0.1 [0.75 0.75 0.75]" in done.stdout
    assert "test 0.5 None" in done.stdout
    assert "steps.theta <f8 (parameters,) parameter unit target of theta" in done.stdout
