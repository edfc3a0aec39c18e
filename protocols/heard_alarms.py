"""What a run hears of the alarms of its device's session: each is a row in the record, which says when it was over."""

from __future__ import annotations

from aeqlab.protocols.record import Record
from aeqlab.protocols.status import SessionEvent


class HeardAlarms:
    """Keeps the alarms of a session in the record of a run."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._rows: dict[str, int] = {}  # by number

    def hear(self, event: SessionEvent) -> None:
        """Take an event of the session; those of alarms begin with the number of the alarm and its kind."""
        if event.kind == "alarm":
            number, kind, text = event.text.split(": ", 2)
            self._rows[number] = self._record.alarm(kind, text, of_session=True)
        elif event.kind == "alarm over":
            row = self._rows.get(event.text.split(": ", 1)[0])
            if row is not None:
                self._record.alarm_cleared(row)
