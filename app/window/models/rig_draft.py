"""A rig file under construction: instruments, channels, nudge and safety, edited field by field, loaded and saved with comments.

A draft belongs to one thread; `sketch()` gives what can be checked in another. Nothing here opens an instrument.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aeqlab.app.window.models import rig_yaml
from aeqlab.app.window.models.rig_cells import NUDGE, SECTIONS, Cell, Row, has, typed
from aeqlab.app.window.models.rig_entries import CELL_OF_COLUMN, Form, spread_entry
from aeqlab.app.window.models.rig_problems import INSTRUMENT_NAME, Sketch
from aeqlab.app.window.models.rig_saving import Saving
from aeqlab.app.window.models.rig_tables import Table
from aeqlab.app.window.models.rig_tree import OF_CHANNELS, plain_tree
from aeqlab.backends.rig_names import names_of, places_of
from aeqlab.protocols.errors import FileErrors, RecordError
from aeqlab.protocols.yaml import parse, read_text


class RigDraft:
    """A rig file under construction.

    Attributes:
        path: where it was loaded from or saved to; None for a new one.
        rows: its channels, in their order.
        instruments: entries by name, as in a file.
        rest: nudge without its channels, order, sums, interlocks, tick_s and what else a rig file has.
        errors: what was wrong with the file that was read, beyond its values.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.rows: list[Row] = []
        self.instruments: dict[str, dict[str, Any]] = {}
        self.rest: dict[str, Any] = {}
        self.errors: tuple[str, ...] = ()
        self._uids = itertools.count(1)
        self._numbers = itertools.count(1)
        self._forms: dict[int, Form] = {}
        self._tables: dict[int, Table] = {}
        self._disk: rig_yaml.OnDisk | None = None
        self._text = ""
        self._plain: dict[str, Any] = {}  # what the file says that was read
        self._saved: Any = None

    # loading
    @classmethod
    def load(cls, path: str | Path) -> RigDraft:
        """Read a rig file; one with errors is read as far as it can be.

        Raises:
            FileErrors: it cannot be read, or is no YAML.
        """
        path = Path(path)
        draft = cls()
        draft.read(read_text(path), path)
        draft._disk = rig_yaml.OnDisk(path, draft._text)
        draft._saved = draft._state()
        return draft

    def read(self, text: str, path: Path | None = None) -> None:
        """Take everything from a text, in place of what there is.

        Raises:
            FileErrors: it is no YAML, or no mapping.
        """
        tree, problems = parse(text, str(path or "rig.yaml"))
        plain = tree.plain()
        if not isinstance(plain, dict):
            raise FileErrors([tree.problem("a rig file has keys such as instruments: and controls:.", "Is it another file?")])
        self.path, self._text, self._disk, self._plain = path, text, None, plain
        self._forms, self._tables, self.rows = {}, {}, []
        found = plain.get("instruments")
        self.instruments = {
            str(name): dict(entry) if isinstance(entry, dict) else {"driver": entry}
            for name, entry in (found if isinstance(found, dict) else {}).items()
        }
        self.errors = tuple(map(str, problems))
        for role, section in SECTIONS.items():
            entries = plain.get(section)
            if role == NUDGE and not isinstance(entries, dict):
                continue
            for entry in entries if isinstance(entries, list) else [] if entries is None else [entries]:
                self._take(role, entry if isinstance(entry, dict) else {"name": entry})
        done = {"instruments", *SECTIONS.values()}
        self.rest = {key: value for key, value in plain.items() if key not in done}
        nudge = plain.get("nudge")
        if nudge is not None:
            self.rest["nudge"] = nudge
        if isinstance(nudge, dict):
            form = Form(NUDGE, nudge)
            self.rest["nudge"] = {key: value for plain, key in form.spelled.items() if plain not in OF_CHANNELS
                                  for value in [nudge[key]]}  # fmt: skip

    def _take(self, role: str, entry: dict[str, Any]) -> None:
        number = next(self._numbers)
        form = Form(role, entry, instruments=tuple(self.instruments))
        columns: dict[str, list[Any]] = {}
        if form.table and self.base is not None:
            names = form.original.get("names", form.original.get("name"))
            try:
                table = Table.read(self.base / form.table, list(names_of(names)))
                columns = table.columns
                self._tables[number] = table
            except (ValueError, TypeError, RecordError) as exc:
                self.errors = (*self.errors, str(exc))
        form = replace(form, columns=frozenset(CELL_OF_COLUMN.get(one, one) for one in columns))
        self._forms[number] = form
        self.rows += spread_entry(form, self._uids, number, columns)

    @property
    def base(self) -> Path:
        """Get the folder from which its paths count."""
        return Path.cwd() if self.path is None else self.path.resolve().parent

    # rows
    def row(self, uid: int) -> Row | None:
        """Get a row by what it is known by."""
        return next((row for row in self.rows if row.uid == uid), None)

    def named(self, role: str) -> list[str]:
        """List the names of a role."""
        return [row.name for row in self.rows if row.role == role and row.name]

    def add(
        self, role: str, names: str = "", channels: str = "", unit: str = "V", cells: Mapping[str, Cell] | None = None
    ) -> list[Row]:
        """Add rows: as many as there are names, or else channels; returns them.

        Args:
            role: of all of them.
            names, channels: one or many, such as u[00-15] and dac[1-16].
            unit: of their values.
            cells: of every one of them.
        Raises:
            ValueError: names or channels are not written so, or there are more of the ones than of the others.
        """
        called = list(names_of(names.strip())) if names.strip() and has(role, "name") else []
        places = [str(place) for place in places_of(channels.strip(), self.instruments)] if channels.strip() else []
        if called and places and len(called) != len(places):
            raise ValueError(f"{len(called)} names and {len(places)} channels: there is one each. Write as many of both.")
        n = max(len(called), len(places), 1)
        new = [
            Row(next(self._uids), role, called[k] if called else "", places[k] if places else "", unit, dict(cells or {}))
            for k in range(n)
        ]
        last = max((k for k, row in enumerate(self.rows) if row.role == role), default=len(self.rows) - 1)
        self.rows[last + 1 : last + 1] = new
        return new

    def remove(self, uids: Iterable[int]) -> None:
        """Take rows out."""
        gone = set(uids)
        self.rows = [row for row in self.rows if row.uid not in gone]

    def set_cell(self, uid: int, key: str, text: str) -> str:
        """Put what was typed into a field of a row; returns why it cannot be changed here, empty where it was.

        What is no number stands as it was typed, and the check says so. Limits and slew of a nudge are those of all its channels.
        """
        for k, row in enumerate(self.rows):
            if row.uid != uid:
                continue
            if not has(row.role, key):
                return f"a {row.role} has no {key.replace('_', ' ')}."
            if said := self.fixed(row, key):
                return said
            value = typed(key, text)
            if key in ("role", "name", "channel", "unit"):
                word = str(value or "")
                changed = self._with_word(row, key, word)
            else:
                cells = {**row.cells, key: value}
                changed = replace(row, cells={one: cell for one, cell in cells.items() if cell not in (None, "")})
            self.rows[k] = changed
            if row.role == NUDGE and key in ("unit", "low", "high", "slew"):
                self.rows = [
                    replace(one, unit=changed.unit, cells=changed.cells) if one.role == NUDGE else one for one in self.rows
                ]
            return ""
        return "that row is gone."

    def fixed(self, row: Row, key: str) -> str:
        """Say why a field of a row cannot be changed here; empty where it can."""
        form = self._forms.get(row.entry) if row.entry is not None else None
        table = self._tables.get(row.entry) if row.entry is not None else None
        if form is not None and table is not None and not table.writable and (key in form.columns or key == "name"):
            return f"{key.replace('_', ' ')} of {row.called} comes from {form.table}: change it there, and open the rig again."
        return ""

    def _with_word(self, row: Row, key: str, word: str) -> Row:
        match key:
            case "role":
                return self._with_role(row, word)
            case "name":
                return replace(row, name=word)
            case "channel":
                return replace(row, channel=self._place(word))
        return replace(row, unit=word)

    def _with_role(self, row: Row, role: str) -> Row:
        if role not in SECTIONS or role == row.role:
            return row
        return replace(row, role=role, entry=None, cells={key: cell for key, cell in row.cells.items() if has(role, key)})

    def _place(self, text: str) -> str:
        try:
            places = places_of(text, self.instruments) if text else ()
        except ValueError:
            return text
        return str(places[0]) if len(places) == 1 else text

    # instruments
    def add_instrument(self, name: str, driver: str, address: str = "", serial: str = "", **more: Any) -> None:
        """Add an instrument.

        Raises:
            ValueError: the name is taken, or none that an instrument can have.
        """
        self._see_name(name)
        entry: dict[str, Any] = {"driver": driver, "address": address}
        if serial:
            entry["serial"] = serial
        self.instruments[name] = {**entry, **more}
        order = self.rest.get("order")
        if isinstance(order, list):
            self.rest["order"] = [*order, name]

    def _see_name(self, name: str) -> None:
        if not INSTRUMENT_NAME.fullmatch(name):
            raise ValueError(f"{name!r}: the name of an instrument begins with a letter; letters, digits, _ and - follow.")
        if name in self.instruments:
            raise ValueError(f"there is an instrument {name!r} already. Choose another name.")

    def set_instrument(self, name: str, key: str, value: Any) -> None:
        """Set a key of an instrument; None takes it out."""
        if value is None:
            self.instruments[name].pop(key, None)
        else:
            self.instruments[name][key] = value

    def remove_instrument(self, name: str) -> None:
        """Take an instrument out; its channels stay, and the check says so."""
        self.instruments.pop(name, None)
        order = self.rest.get("order")
        if isinstance(order, list):
            self.rest["order"] = [one for one in order if one != name]

    def rename_instrument(self, old: str, new: str) -> None:
        """Give an instrument another name, in its channels and in the order too.

        Raises:
            ValueError: the name is taken, or none that an instrument can have.
        """
        if new == old or old not in self.instruments:
            return
        self._see_name(new)
        self.instruments = {new if name == old else name: entry for name, entry in self.instruments.items()}
        self.rows = [
            replace(row, channel=f"{new}[{row.channel.partition('[')[2]}") if row.channel.startswith(f"{old}[") else row
            for row in self.rows
        ]
        order = self.rest.get("order")
        if isinstance(order, list):
            self.rest["order"] = [new if one == old else one for one in order]

    # other keys
    def get(self, key: str, default: Any = None) -> Any:
        """Get a key of the file such as `tick_s` or `nudge.beta_max`."""
        section, _, part = key.partition(".")
        found = self.rest.get(section, default)
        return (found.get(part, default) if isinstance(found, Mapping) else default) if part else found

    def put(self, key: str, value: Any) -> None:
        """Set a key of the file such as `tick_s` or `nudge.beta_max`; None takes it out."""
        section, _, part = key.partition(".")
        if part:
            before = self.rest.get(section)
            inner = {**(before if isinstance(before, Mapping) else {}), part: value}
            self.rest[section] = {key: one for key, one in inner.items() if one is not None}
        elif value is None:
            self.rest.pop(section, None)
        else:
            self.rest[section] = value

    # saving
    def tree(self) -> dict[str, Any]:
        """Get the file as it would be saved, as plain values."""
        return plain_tree(self.instruments, self.rows, self.rest, self._forms, self._plain)

    def text(self) -> str:
        """Get the file as it would be saved."""
        return self.writer()()

    def writer(self) -> Callable[[], str]:
        """Get what writes the file as it would be saved: it may take a second for a long one, in whatever thread.

        What is returned raises RecordError where the comments of the file cannot be kept.
        """
        before, tree = self._text, self.tree()
        return lambda: rig_yaml.edited(before, tree)

    def sketch(self) -> Sketch:
        """Get what can be checked in another thread."""
        whole = not self._tables or not self.changed  # a table that is not written yet would say something else
        return Sketch(copy.deepcopy(self.instruments), tuple(self.rows), copy.deepcopy(self.rest), self.tree(), self.base, whole,
                      self.errors)  # fmt: skip

    def saving(self, path: str | Path | None = None) -> Saving:
        """Get what is to be written, so that another thread can write it; `take_saved` takes it in afterwards.

        Args:
            path: where to; None: where it was loaded from.
        Raises:
            RecordError: there is no path.
        """
        target = Path(path) if path is not None else self.path
        if target is None:
            raise RecordError("it has no file yet. Choose a name, such as bench.yaml.")
        tables = [
            (table, tuple(row for row in self.rows if row.entry == number), self._forms[number].table)
            for number, table in self._tables.items()
            if table.writable
        ]
        return Saving(target, self._text, self.tree(), tuple(tables), self._disk, self._state())

    def take_saved(self, saving: Saving, disk: rig_yaml.OnDisk) -> None:
        """Go on from what was written; edits that were made meanwhile stay edits."""
        self._disk, self.path, self._text, self._saved = disk, saving.target, disk.text, saving.state
        if self._state() == saving.state:
            self._reform()
            self._saved = self._state()
        else:
            self._plain = parse(disk.text, "")[0].plain()

    def save(self, path: str | Path | None = None, *, over: bool = False) -> Path:
        """Save it, whole or not at all, with the comments of the file it was loaded from; tables of values per knob too.

        Args:
            path: where to; None: where it was loaded from.
            over: a file that somebody else changed meanwhile, or another one that is there, may be written over.
        Raises:
            RecordError: there is no path, the file on disk has changed since, or it cannot be written.
        """
        saving = self.saving(path)
        self.take_saved(saving, saving.write(over=over))
        return saving.target

    def _reform(self) -> None:
        """Take what was saved as what is changed from now on, and keep the rows as they are known."""
        uids = {(row.role, row.name, row.channel): row.uid for row in self.rows}
        if len(uids) < len(self.rows):  # two are alike, so they could not be told apart afterwards
            self._plain = parse(self._text, "")[0].plain()
            return
        path, disk = self.path, self._disk
        self.read(self._text, path)
        self._disk = disk
        self.rows = [replace(row, uid=uids.get((row.role, row.name, row.channel), row.uid)) for row in self.rows]

    def _state(self) -> Any:
        return copy.deepcopy((self.instruments, [replace(row, uid=0, entry=None) for row in self.rows], self.rest))

    @property
    def changed(self) -> bool:
        """Whether there is something that was not saved."""
        return bool(self._saved != self._state()) and bool(self.rows or self.instruments or self._saved is not None)

    def changed_on_disk(self) -> bool:
        """Tell whether somebody else changed the file since it was read; looks at the disk."""
        return self._disk is not None and self._disk.changed()
