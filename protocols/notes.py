"""Notes of people for a run that ended: added to its record in one short write, while nobody else works in its folder."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.run_lock import RunLock

MOST_LETTERS = 10_000


def add_note(folder: Path, author: str, text: str) -> None:
    """Add a note to the record of a run that ended; a run that is going on takes its notes by `control.send`.

    Args:
        folder: the run folder.
        author: who writes it.
        text: what.
    Raises:
        RecordError: the text is empty or too long; there is no record, it cannot be written, or it is of a newer version; or a
            process works in the folder. Nothing was written.
    """
    if not text.strip():
        raise RecordError("A note needs a text.")
    if len(text) > MOST_LETTERS:
        raise RecordError(f"A note may have {MOST_LETTERS:,} letters; this one has {len(text):,}.")
    record = folder / "record.sqlite"
    if not record.exists():
        raise RecordError(f"{folder}: there is no record.sqlite here, so this is not the folder of a run.")
    lock = RunLock(folder / ".lock")
    lock.take()
    try:
        _insert(record, author, text)
    except sqlite3.Error as exc:
        raise RecordError(f"{record}: the note cannot be written ({exc}). Nothing was changed.") from exc
    finally:
        lock.release()


def _insert(record: Path, author: str, text: str) -> None:
    connection = sqlite3.connect(record, timeout=5.0)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > schema.SCHEMA_VERSION:
            raise RecordError(
                f"{record}: a record of version {version}, this program knows version {schema.SCHEMA_VERSION}. "
                "Write the note with a newer aeqlab."
            )
        with connection:
            (attempt,) = connection.execute("SELECT coalesce(max(attempt), 1) FROM attempts").fetchone()
            step = connection.execute("SELECT step FROM steps ORDER BY id DESC LIMIT 1").fetchone() or (0,)
            connection.execute(schema.insert("notes"), (attempt, time.time(), step[0], author, text))
    finally:
        connection.close()
