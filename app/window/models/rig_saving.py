"""What is written when a rig file is saved: made in one thread, written in another, so that no window waits for a disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.app.window.models import rig_yaml
from aeqlab.app.window.models.rig_cells import Row
from aeqlab.app.window.models.rig_tables import Table, write_table
from aeqlab.protocols.errors import RecordError


class OverwriteError(RecordError):
    """A file is there that would be lost; it may be written over if a person says so."""


@dataclass(frozen=True, slots=True)
class Saving:
    """A rig file to be written.

    Attributes:
        target: where to.
        before: the text that it was read from, whose comments stay.
        tree: what it is to say.
        tables: tables of values per knob that go with it, their rows, and their paths from the folder of the rig file.
        disk: the file that it was loaded from, as it was then; None for a new one.
        state: what the draft was.
    """

    target: Path
    before: str
    tree: Mapping[str, Any]
    tables: tuple[tuple[Table, tuple[Row, ...], str], ...]
    disk: rig_yaml.OnDisk | None
    state: Any

    def write(self, *, over: bool = False) -> rig_yaml.OnDisk:
        """Write it, whole or not at all; may take a while, and wait for the disk.

        Args:
            over: a file that somebody else changed meanwhile, or another one that is there, may be written over.
        Raises:
            OverwriteError: such a file is there.
            RecordError: it cannot be written, or the comments of the file cannot be kept; the old content stands.
        """
        target = self.target
        same = self.disk is not None and target == self.disk.path
        if not over:
            if same and self.disk is not None and self.disk.changed():
                raise OverwriteError(
                    f"{target} was changed by somebody else meanwhile. Save it under another name, or write over it."
                )
            if not same and target.exists():
                raise OverwriteError(f"{target} is there already. Choose another name, or write over it.")
        text = rig_yaml.edited(self.before, self.tree)
        folder = target.resolve().parent
        for table, rows, path in self.tables:
            if rows:
                write_table(table, rows, folder / path)
        return rig_yaml.save(target, text)
