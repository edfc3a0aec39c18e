"""One row of the channel table of a rig: what can be said of a knob or a readout, field by field, and what a person may type.

A cell holds a number, a word, nothing (left out), or the text that was typed where it is no number: nothing typed is lost, and
the check says what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

Cell = float | str | bool | None
CONTROL, PARAMETER, INPUT, OUTPUT, NUDGE, MONITOR, SUPPLY = (
    "control", "parameter", "input", "output", "nudge", "monitor", "supply",
)  # fmt: skip
#: Roles of a channel, in the order of a rig file, each with the key of its section.
SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        CONTROL: "controls", PARAMETER: "parameters", INPUT: "inputs", OUTPUT: "outputs", NUDGE: "nudge", MONITOR: "monitors",
        SUPPLY: "supplies",
    }
)  # fmt: skip
ROLES = tuple(SECTIONS)
KNOBS = frozenset({CONTROL, INPUT})
DRIVEN = frozenset({CONTROL, INPUT, NUDGE, SUPPLY})  #: what drives the rig; the others are read
READ = frozenset({PARAMETER, OUTPUT})
_NUMBER = re.compile(r"[-+−]?(\d+(\.\d*)?|\.\d+)([eE][-+−]?\d+)?")


class About(NamedTuple):
    """A field of the table: its key, its title, in what it is measured, which roles have it, and what it is."""

    key: str
    title: str
    unit: str  #: "unit": that of the row; "unit/s"; else as it stands
    roles: frozenset[str]
    text: str
    words: tuple[str, ...] = ()  #: what may stand there besides a number


_ALL = frozenset(ROLES)
FIELDS: tuple[About, ...] = (
    About("role", "Role", "", _ALL, "What the channel is for."),
    About("name", "Name", "", _ALL - {NUDGE}, "What it is called in plots, alarms and interlocks."),
    About("channel", "Channel", "", _ALL, "The instrument and its channel, such as dac[3]."),
    About("unit", "Unit", "", _ALL, "Unit of its values, as its instrument has it."),
    About("low", "Low", "unit", _ALL, "Lowest value that may be set; of a readout, below it the rig is made safe; of a "
          "monitor, below it there is an alarm."),
    About("high", "High", "unit", _ALL, "Highest value that may be set; of a readout, above it the rig is made safe; of a "
          "monitor, above it there is an alarm."),
    About("absolute_low", "Absolute low", "unit", KNOBS, "What the hardware behind it bears; left out: the limits."),
    About("absolute_high", "Absolute high", "unit", KNOBS, "What the hardware behind it bears; left out: the limits."),
    About("rest", "Rest", "unit", KNOBS, "Where it is at rest and under SAFE; left out: 0."),
    About("value", "Value", "unit", frozenset({SUPPLY}), "What a supply is set to when the rig is armed."),
    About("slew", "Slew", "unit/s", DRIVEN, "Fastest change per second; left out: none."),
    About("tolerance", "Tolerance", "unit", READ, "Allowed |theta - target|; left out: auto.", ("auto",)),
    About("max_step", "Max step", "unit", READ, "A larger change in a tick is a jump: an alarm."),
    About("nplc", "Aperture", "PLC", READ | {MONITOR}, "Aperture in power-line cycles; left out: as it stands."),
    About("period_s", "Period", "s", frozenset({MONITOR}), "A monitor is read this often; left out: 10 s."),
    About("measures", "Measures", "", frozenset({MONITOR}), "The knob whose true value it is; SAFE is confirmed by it."),
)  # fmt: skip
BY_KEY: Mapping[str, About] = MappingProxyType({one.key: one for one in FIELDS})
WORDS = frozenset({"role", "name", "channel", "unit", "measures"})  #: fields that hold words; all others hold numbers


@dataclass(frozen=True, slots=True)
class Row:
    """A channel and its role.

    Attributes:
        uid: what it is known by while its name and channel change.
        role: one of `ROLES`.
        name, channel, unit: as in a rig file; empty where they are not known yet.
        cells: all other fields by key; one that is not there is left out.
        entry: the entry of the file that it came with; None for one that was added.
    """

    uid: int
    role: str
    name: str = ""
    channel: str = ""
    unit: str = "V"
    cells: Mapping[str, Cell] = field(default_factory=dict)
    entry: int | None = None

    def get(self, key: str) -> Cell:
        """Get a field by its key; None where it is left out."""
        if key in ("role", "name", "channel", "unit"):
            return str(getattr(self, key))
        return self.cells.get(key)

    def shown(self, key: str) -> str:
        """Write a field as the table shows it."""
        return shown(self.get(key))

    @property
    def called(self) -> str:
        """Name it in a sentence: by its name, else by its channel, else by its role."""
        return self.name or self.channel or f"a {self.role}"


def has(role: str, key: str) -> bool:
    """Tell whether a role has a field."""
    return role in BY_KEY[key].roles


def typed(key: str, text: str) -> Cell:
    """Make a cell of what was typed: a word, a number, nothing, or the text itself where it is no number."""
    text = text.strip()
    if key in WORDS:
        return text
    if not text:
        return None
    if text in BY_KEY[key].words:
        return text
    if _NUMBER.fullmatch(text):
        value = float(text.replace("−", "-"))
        return value if math.isfinite(value) else text
    return text


def wrong(key: str, cell: Cell) -> str:
    """Say why a cell cannot stand so; empty where it can."""
    about = BY_KEY[key]
    if key in WORDS or cell is None or isinstance(cell, float | int) or cell in about.words:
        return ""
    hint = " Write it with a point." if re.fullmatch(r"[-+]?\d+,\d+", str(cell)) else ""
    words = "".join(f" or {word}" for word in about.words)
    return f"{about.title} is {str(cell)[:30]!r}; a number{words} is needed.{hint}"


def shown(cell: Cell) -> str:
    """Write a cell as a person would."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.12g}"
    return str(cell)


def unit_of(row: Row, key: str) -> str:
    """Get the unit of a field of a row, such as V, V/s, s or PLC."""
    unit = BY_KEY[key].unit
    return {"unit": row.unit, "unit/s": f"{row.unit}/s"}.get(unit, unit)
