"""Entries of a rig file and rows of the channel table: `u[00-15]` spread to sixteen rows, and gathered again on saving.

What was not changed is written as it stood, to the letter. Rows that came with one entry stay one entry; rows that were added
become one where their names and channels run on, and entries of their own otherwise.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aeqlab.app.window.models.rig_cells import CONTROL, INPUT, MONITOR, NUDGE, OUTPUT, PARAMETER, SUPPLY, Cell, Row
from aeqlab.backends.rig_file import plain_key
from aeqlab.backends.rig_names import names_of, places_of

_ENDS = re.compile(r"(?P<head>.*?)(?P<digits>\d+)(?P<tail>\D*)", re.DOTALL)
_PLACE = re.compile(r"(?P<instrument>[A-Za-z][A-Za-z0-9_-]*)\[(?P<key>[^\[\],]+)\]")
#: Names or channels that need more texts than this, and than one for eight, are not regular: each row gets an entry of its own.
MOST_PARTS = 3

#: Keys of a file for a role: pairs of cells, single cells, and whether one value goes for all rows of an entry.
_PAIRS: Mapping[str, tuple[str, str]] = {"limits": ("low", "high"), "absolute": ("absolute_low", "absolute_high"),
                                         "alarm": ("low", "high")}  # fmt: skip
_EACH = {"rest": "rest", "slew_per_s": "slew", "tolerance": "tolerance"}
_ONE = {"nplc": "nplc", "max_step": "max_step", "period_s": "period_s", "measures": "measures", "value": "value",
        "dangerous": "dangerous"}  # fmt: skip
_KNOB = ("limits", "absolute", "slew_per_s", "rest")
_READ = ("limits", "tolerance", "nplc", "max_step")
KEYS: Mapping[str, tuple[str, ...]] = {
    CONTROL: _KNOB, INPUT: _KNOB, PARAMETER: _READ, OUTPUT: _READ, NUDGE: ("limits", "slew_per_s"),
    MONITOR: ("period_s", "alarm", "measures", "nplc"), SUPPLY: ("value", "limits", "slew_per_s", "dangerous"),
}  # fmt: skip
_BEAR_UNIT = ("limits", "absolute", "rest", "slew_per_s", "tolerance", "max_step")  #: where a new key bears its unit


@dataclass(frozen=True, slots=True)
class Form:
    """How an entry stood in the file.

    Attributes:
        role: of its rows.
        original: the entry, as plain values.
        columns: cells that come from its table, such as rest.
        instruments: those there were, by whose names `k24501` is channel 1 of `k2450`.
    """

    role: str
    original: Mapping[str, Any]
    columns: frozenset[str] = frozenset()
    instruments: tuple[str, ...] = ()
    spelled: Mapping[str, str] = field(init=False)  #: how its keys are written, by what they mean

    def __post_init__(self) -> None:
        object.__setattr__(self, "spelled", {_meant(key): key for key in self.original})

    @property
    def table(self) -> str:
        """Get the path of its table; empty where it has none."""
        return str(self.original.get("table") or "")


def _meant(key: str) -> str:
    return {"names": "name", "channels": "channel"}.get(key, plain_key(key)[0])


def spread_entry(form: Form, uids: Iterable[int], number: int, table: Mapping[str, Sequence[Any]] | None = None) -> list[Row]:
    """Make rows of an entry; whatever does not fit together stays visible in them.

    Args:
        form: the entry as it stands in the file.
        uids: what rows are known by.
        number: of the entry, for `Row.entry`.
        table: columns of its table, in the order of its names.
    """
    role, entry = form.role, form.original
    found = {_meant(str(key)): value for key, value in entry.items()}
    unit = next((unit for key in entry if (unit := plain_key(str(key))[1])), str(found.get("unit") or "V"))
    names = _texts(found.get("name"), lambda text: list(names_of(text)))
    channels = _texts(found.get("channel"), lambda text: [str(place) for place in places_of(text, form.instruments)])
    columns: dict[str, Sequence[Cell]] = {}
    for key in KEYS[role]:
        for cell, values in _cells(key, found.get(key)):
            columns[cell] = values
    for column, given in (table or {}).items():
        if column == "channel":
            channels = [str(value) for value in given]
        else:
            columns[CELL_OF_COLUMN.get(column, column)] = list(given)
    n = max([len(names), len(channels), *(len(values) for values in columns.values())], default=0)
    if not names and not channels and not columns:
        n = 1 if role != NUDGE else 0
    rows = []
    for k, uid in zip(range(n), uids, strict=False):
        cells = {cell: value for cell, values in columns.items() if (value := _kth(values, k)) is not None}
        rows.append(Row(uid, role, _kth(names, k) or "", _kth(channels, k) or "", unit, cells, number))
    return rows


#: Cells by the columns of a table.
CELL_OF_COLUMN = {"limits_low": "low", "limits_high": "high", "slew_per_s": "slew"}
COLUMN_OF_CELL = {cell: column for column, cell in CELL_OF_COLUMN.items()}


def _texts(value: Any, spread: Callable[[str], list[str]]) -> list[str]:
    """Spread a text, or a list of them; one that cannot be spread stands as it is."""
    found: list[str] = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        try:
            found += spread(str(one))
        except ValueError:
            found.append(str(one))
    return found


def _kth(values: Sequence[Any], k: int) -> Any:
    """Get the k-th value, or the only one, which goes for all."""
    if isinstance(values, _ForAll):
        return values[0]
    return values[k] if k < len(values) else None


class _ForAll(list[Any]):
    """One value that goes for all rows."""


def _cells(key: str, value: Any) -> Iterable[tuple[str, list[Cell]]]:
    """Give the cells that a key of an entry fills."""
    if value is None:
        return
    if key in _PAIRS:
        low, high = _PAIRS[key]
        pairs = value if isinstance(value, list) and value and isinstance(value[0], list) else _ForAll([value])
        split = [pair if isinstance(pair, list) and len(pair) == 2 else [str(pair), None] for pair in pairs]
        kind = _ForAll if isinstance(pairs, _ForAll) else list
        yield low, kind(_cell(pair[0]) for pair in split)
        yield high, kind(_cell(pair[1]) for pair in split)
    elif isinstance(value, list):
        yield _EACH.get(key, key), [_cell(one) for one in value]
    else:
        yield {**_EACH, **_ONE}[key], _ForAll([_cell(value)])


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, bool | str):
        return value
    return float(value) if isinstance(value, int | float) else str(value)


def gather_rows(rows: Sequence[Row], forms: Mapping[int, Form]) -> list[tuple[int | None, dict[str, Any]]]:
    """Make entries of the rows of one role, in their order.

    Returns:
        Each entry with the number of the one that it was in the file; None for a new one.
    """
    done: list[tuple[int | None, dict[str, Any]]] = []
    used: set[int] = set()
    for _, group in itertools.groupby(rows, key=_kin):
        those = list(group)
        for part in _parted(those, forms.get(those[0].entry or 0)):
            number = part[0].entry
            form = forms.get(number) if number is not None and number not in used else None
            if form is None and not _regular(part):
                done += [(None, entry_of([row], None)) for row in part]
                continue
            if form is not None and number is not None:
                used.add(number)
            done.append((number if form is not None else None, entry_of(part, form)))
    return done


def _parted(rows: list[Row], form: Form | None) -> list[list[Row]]:
    """Part rows where a few have other values than the rest; lists of values where many have, or where there were some before."""
    if form is not None and (form.table or any(isinstance(form.original.get(form.spelled.get(key, "")), list) and key in _EACH
                                               for key in KEYS[form.role])):  # fmt: skip
        return [rows]
    parts = [list(group) for _, group in itertools.groupby(rows, key=lambda row: sorted(row.cells.items()))]
    return parts if len(parts) <= MOST_PARTS else [rows]


def _kin(row: Row) -> tuple[Any, ...]:
    """Tell rows apart that cannot share an entry."""
    one = tuple(row.cells.get(cell) for cell in ("nplc", "max_step"))
    there = tuple(row.cells.get(cell) is None for cell in ("low", "absolute_low", "slew"))
    alone = row.uid if row.role in (MONITOR, SUPPLY) else None
    return row.role, row.entry, row.unit, one, there, row.cells.get("tolerance") in (None, "auto"), alone


def _regular(rows: Sequence[Row]) -> bool:
    names = gathered_names([row.name for row in rows])
    channels = gathered_channels([row.channel for row in rows])
    most = max(MOST_PARTS, len(rows) // 8)
    return all(isinstance(one, str) or len(one) <= most for one in (names, channels))


def entry_of(rows: Sequence[Row], form: Form | None) -> dict[str, Any]:
    """Write rows of one kind as one entry, each key as it stood where it means the same still."""
    role = rows[0].role
    before = [] if form is None else spread_entry(form, itertools.count(), 0)
    same = len(before) == len(rows)
    out: dict[str, Any] = dict(form.original) if form is not None else {}
    if role != NUDGE:
        _put(out, form, "name", [row.name for row in rows], [row.name for row in before] if same else None, gathered_names)
    if form is None or "channel" not in form.columns:
        channels = [row.channel for row in before] if same else None
        _put(out, form, "channel", [row.channel for row in rows], channels, gathered_channels, role != NUDGE)
    unit, old_unit = rows[0].unit, before[0].unit if before else "V"
    for key in KEYS[role]:
        cells = _PAIRS.get(key) or ({**_EACH, **_ONE}[key],)
        if form is not None and all(cell in form.columns for cell in cells):
            continue
        now = [tuple(row.cells.get(cell) for cell in cells) for row in rows]
        was = [tuple(row.cells.get(cell) for cell in cells) for row in before]
        if same and now == was and (unit == old_unit or not plain_key(_spelled(form, key, unit))[1]):
            continue
        old = form.spelled.get(key) if form is not None else None
        value = _squeezed(now)
        name = _spelled(form, key, unit)
        if old is not None and (value is None or (name != old and plain_key(old)[1] not in ("", unit))):
            place = list(out).index(old)
            items = [(k, v) for k, v in out.items() if k != old]
            new_name = _new_name(key, unit)
            out = dict(items[:place] + ([] if value is None else [(new_name, value)]) + items[place:])
        elif value is not None:
            out[name] = value
    _say_unit(out, unit)
    return out


def _spelled(form: Form | None, key: str, unit: str) -> str:
    old = form.spelled.get(key) if form is not None else None
    if old is not None and plain_key(old)[1] in ("", unit):
        return old
    return _new_name(key, unit)


def _new_name(key: str, unit: str) -> str:
    if key not in _BEAR_UNIT or not re.fullmatch(r"[A-Za-z%µΩ/]+", unit):
        return key
    return f"slew_{unit}_per_s" if key == "slew_per_s" else f"{key}_{unit}"


def _say_unit(out: dict[str, Any], unit: str) -> None:
    """See that an entry says its unit, once, where it is not V."""
    borne = {said for key in out if (said := plain_key(str(key))[1])}
    if "unit" in out:
        out["unit"] = unit
    elif unit != "V" and not borne:
        items = list(out.items())
        out.clear()
        out.update([*items[:1], ("unit", unit), *items[1:]])


def _put(
    out: dict[str, Any], form: Form | None, key: str, now: list[str], before: list[str] | None,
    gathered: Callable[[Sequence[str]], str | list[str]], many_too: bool = True,
) -> None:  # fmt: skip
    """Write names or channels, unless they are what they were; a nudge has `channels` even for one."""
    if now == before:
        return
    value = gathered(now)
    old = form.spelled.get(key) if form is not None else None
    single = isinstance(value, str) and len(now) == 1 and many_too
    name = key if single else f"{key}s"
    if old is not None and old != name:
        items = [(name, value) if k == old else (k, v) for k, v in out.items()]
        out.clear()
        out.update(items)
    elif old is None and key == "name":
        items = list(out.items())
        out.clear()
        out.update([(name, value), *items])
    else:
        out[name] = value


def _squeezed(values: Sequence[tuple[Cell, ...]]) -> Any:
    """Write one value for all where they are the same, else one each; None where none is given."""
    plain = [_plain(one[0]) if len(one) == 1 else [_plain(part) for part in one] for one in values]
    if all(one is None or (isinstance(one, list) and all(part is None for part in one)) for one in plain):
        return None
    return plain[0] if all(one == plain[0] for one in plain) else plain


def _plain(cell: Cell) -> Any:
    """Write whole numbers without a point."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e12:
        return int(cell)
    return cell


def gathered_names(names: Sequence[str]) -> str | list[str]:
    """Write many names in one text such as `u[00-15]`, or in a list of as few texts as possible."""
    found = [head + (f"[{inside}]" if inside else "") + tail for head, inside, tail in _runs(names)]
    try:
        good = list(names_of(found)) == list(names)
    except ValueError:
        good = False
    return _one_or_list(found if good else list(names))


def gathered_channels(channels: Sequence[str]) -> str | list[str]:
    """Write many channels in one text such as `dac[1-16]`, or in a list of texts."""
    matches = [_PLACE.fullmatch(one) for one in channels]
    found: list[str] = []
    if all(match is not None for match in matches):
        places = [(match["instrument"], match["key"]) for match in matches if match is not None]
        for instrument, group in itertools.groupby(places, key=lambda place: place[0]):
            parts = [
                head + (_in_place(head, inside) if inside else "") + tail for head, inside, tail in _runs([k for _, k in group])
            ]
            if all(re.fullmatch(r"[^\[\]]+", part) for part in parts):
                found.append(f"{instrument}[{','.join(parts)}]")
            else:
                found = []
                break
    try:
        good = bool(found) and [str(place) for place in places_of(found)] == list(channels)
    except ValueError:
        good = False
    return _one_or_list(found if good else list(channels))


def _in_place(head: str, inside: str) -> str:
    """Write a run within brackets; one whose keys begin with letters, such as i1 to i3, cannot be one."""
    return inside if not head else f"[{inside}]"


def _one_or_list(found: list[str]) -> str | list[str]:
    return found[0] if len(found) == 1 else found


def _runs(texts: Sequence[str]) -> list[tuple[str, str, str]]:
    """Find runs of texts that count upwards: head, what stands in brackets, tail; a text by itself has nothing in brackets."""
    found: list[tuple[str, str, str]] = []
    at = 0
    while at < len(texts):
        match, n = _ENDS.fullmatch(texts[at]), 1
        if match is not None:
            low = match["digits"]
            width = len(low) if low.startswith("0") else 0
            while at + n < len(texts) and texts[at + n] == f"{match['head']}{int(low) + n:0{width}d}{match['tail']}":
                n += 1
        if match is None or n == 1:
            found.append((texts[at], "", ""))
        else:
            width = len(match["digits"]) if match["digits"].startswith("0") else 0
            found.append((match["head"], f"{match['digits']}-{int(match['digits']) + n - 1:0{width}d}", match["tail"]))
        at += n
    return found
