"""What is wrong with a rig file under construction, by the step of the guide, the row and the field where it is mended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from aeqlab.app.window.models.rig_cells import Row

INSTRUMENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_IN_CHANNELS = frozenset({"role", "name", "channel", "unit", "measures"})


class Step(IntEnum):
    """The steps of the guide."""

    INSTRUMENTS = 1
    CHANNELS = 2
    LIMITS = 3
    SAFETY = 4
    SAVE = 5


@dataclass(frozen=True, slots=True)
class RigProblem:
    """One thing that is wrong or missing.

    Attributes:
        step: where it is mended.
        text: what, where and how to mend it.
        row: the row it is about, by `Row.uid`; None for none.
        field: the field of the row, or the key of the file, such as `nudge.beta_max`.
        instrument: the instrument it is about; empty for none.
        missing: something has not been filled in yet, as against something wrong.
    """

    step: Step
    text: str
    row: int | None = None
    field: str = ""
    instrument: str = ""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Sketch:
    """A rig file under construction, as it is at a moment.

    Attributes:
        instruments: entries by name, plain.
        rows: all channels.
        rest: nudge (without its channels), order, sums, interlocks, tick_s and all other keys.
        tree: the file as it would be saved.
        base: folder from which its paths count.
        whole: the file as saved may be checked as one, as no table waits for being written.
        errors: what was wrong with the file that was read beyond its values, and with its tables.
    """

    instruments: Mapping[str, Mapping[str, Any]]
    rows: tuple[Row, ...]
    rest: Mapping[str, Any]
    tree: Mapping[str, Any]
    base: Path
    whole: bool = True
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: all that is wrong, and for a good file what becomes of the rig when this computer dies."""

    problems: tuple[RigProblem, ...]
    if_dies: tuple[str, ...] = ()

    def of_step(self, step: Step) -> list[RigProblem]:
        """List what is to be mended in one step."""
        return [one for one in self.problems if one.step == step]


def step_of(field: str) -> Step:
    """Tell in which step a field of a row is mended."""
    return Step.CHANNELS if field in _IN_CHANNELS else Step.LIMITS
