"""A large record is read from the pages of its file: the same numbers as SQLite gives, and never while someone writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_helpers import make_record, steps, write_steps

from aeqlab.protocols import load_run, record_table
from aeqlab.protocols.record import Record
from aeqlab.protocols.record_pages import NotPlainError, Wanted, read_blocks
from aeqlab.protocols.record_table import begin_reading

COUNT = 3_000


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_table, "MANY", 100)


def both_ways(folder: Path, monkeypatch: pytest.MonkeyPatch, table: str = "steps", *, plain: bool = True) -> None:
    """Read a table from its pages and by SQLite and compare every value; `plain`: the pages alone must do."""
    with monkeypatch.context() as patch:
        if plain:
            patch.delattr(record_table.TableOfRecord, "_blocks_of_sql")
        run = load_run(folder)
        rows = run.rows(table)
        from_pages = rows.read(*rows)
    with monkeypatch.context() as patch:
        patch.setattr(record_table, "MANY", 10**9)
        rows = load_run(folder).rows(table)
        from_sql = rows.read(*rows)
    assert not run.missing
    for name, expected in from_sql.items():
        assert from_pages[name].dtype == expected.dtype, name
        np.testing.assert_array_equal(from_pages[name], expected, err_msg=name)


def pages_are_read(folder: Path) -> list[int]:
    """Get the rowids as the pages of the file give them."""
    path = folder / "record.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    begin_reading(connection)
    try:
        found = list(read_blocks(connection, path, "steps", {"id": Wanted(0, "rowid"), "step": Wanted(2, "int")}, 2**40))
        return [int(value) for block in found for value in block["id"]]
    finally:
        connection.close()


def test_every_value_is_the_one_sqlite_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_record(tmp_path, COUNT)
    assert pages_are_read(tmp_path) == list(range(1, COUNT + 1))
    both_ways(tmp_path, monkeypatch)
    expected = list(steps(COUNT))
    found = load_run(tmp_path).steps
    assert len(found) == COUNT
    np.testing.assert_array_equal(found["cost_1"], [row.cost_1 for row in expected])
    np.testing.assert_array_equal(found["hold_verdict"], [row.hold_verdict for row in expected])
    assert found["cost_free"].dtype == np.float64
    assert found["tries"].dtype == np.int64
    assert np.isnan(found["theta"][10]).all()
    assert expected[8].theta is not None
    assert found["theta"][8].tobytes() == expected[8].theta


def test_rows_a_resume_superseded_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_record(tmp_path, 1_000)
    for kept, begin in ((700, 701), (1_200, 1_201)):
        record = Record.reopen(tmp_path / "record.sqlite", durable=False, from_step=begin - 1)
        record.supersede({"steps": kept})
        write_steps(record, steps(600, begin=begin))
        record.close()
    both_ways(tmp_path, monkeypatch)
    run = load_run(tmp_path)
    view = sqlite3.connect(tmp_path / "record.sqlite").execute("SELECT id, step FROM current_steps ORDER BY id").fetchall()
    np.testing.assert_array_equal(np.stack([run.steps["id"], run.steps["step"]], axis=1), view)
    assert len(run.all_steps) == 2_200
    assert len(run.steps) == len(view) == 1_500


@pytest.mark.parametrize("parameters", [1, 40, 300, 4_000], ids=lambda n: f"theta of {n}")
def test_long_rows_are_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: int) -> None:
    record = make_record(tmp_path, close=False)
    write_steps(record, steps(150, parameters=parameters))
    record.close()
    both_ways(tmp_path, monkeypatch, plain=parameters < 200)
    assert load_run(tmp_path).steps["theta"].shape == (150, parameters)


def test_rows_of_several_lengths_are_left_to_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record(tmp_path, close=False)
    write_steps(record, steps(200, parameters=3))
    write_steps(record, steps(200, begin=201, parameters=5))
    record.close()
    both_ways(tmp_path, monkeypatch, plain=False)
    theta = load_run(tmp_path).steps["theta"]
    assert theta.shape == (400, 3)
    assert np.isnan(theta[200:]).all()


def test_events_with_long_texts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record(tmp_path, close=False)
    for step in range(300):
        record.event(step, "warning", "word" * (step % 30), "a text of some length, " * (step % 200))
    record.close()
    both_ways(tmp_path, monkeypatch, "events", plain=False)


def test_the_file_of_a_writer_is_not_touched(tmp_path: Path) -> None:
    record = make_record(tmp_path, COUNT, close=False)
    with pytest.raises(NotPlainError):
        pages_are_read(tmp_path)
    rows = load_run(tmp_path).steps
    write_steps(record, steps(50, begin=COUNT + 1))
    assert len(rows["step"]) == len(rows["cost_1"]) == len(rows) == COUNT  # as it was when it was opened
    assert len(load_run(tmp_path).steps) == COUNT + 50
    record.close()


def test_a_column_added_later_is_left_to_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_record(tmp_path, 500)
    connection = sqlite3.connect(tmp_path / "record.sqlite", isolation_level=None)
    connection.execute("ALTER TABLE steps DROP COLUMN moved")
    connection.execute("ALTER TABLE steps ADD COLUMN moved REAL")
    connection.close()
    both_ways(tmp_path, monkeypatch, plain=False)
    assert np.isnan(load_run(tmp_path).steps["moved"]).all()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Get the bytes of a record of 400 steps."""
    folder = tmp_path_factory.mktemp("whole")
    make_record(folder, 400)
    return (folder / "record.sqlite").read_bytes()


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0.05, 1.0), junk=st.binary(min_size=1, max_size=40))
def test_damage_is_said_and_all_columns_stay_of_one_length(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, place: float, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    at = int(place * (len(whole) - len(junk)))
    (folder / "record.sqlite").write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    run = load_run(folder)
    rows = run.steps
    assert {len(values) for values in rows.read(*rows).values()} == {len(rows)}
    assert len(rows) >= 400 or run.missing
