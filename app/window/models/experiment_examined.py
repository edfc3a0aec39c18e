"""What can be said of the text of an experiment as it stands: its tree, every problem at its line, its stages in words.

Found by the reader that also reads files, so that a form, an editor and `aeqlab check` say the same. Nothing is run or imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_spans import read_text
from aeqlab.backends.errors import BackendError
from aeqlab.backends.settings import Dimensions
from aeqlab.protocols.crosscheck import device_facts
from aeqlab.protocols.data import DataWidths, data_widths
from aeqlab.protocols.errors import DataError, FileErrors, Problem
from aeqlab.protocols.experiment import LoadedExperiment, load_text
from aeqlab.protocols.stage_words import how_long, what_moves
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.options import MARKS
from aeqlab.protocols.yaml import Node


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of the sequence.

    Attributes:
        path: of its entry, such as ("sequence", 2) or ("sequence", 2, "repeat", "sequence", 0).
        kind: its word.
        moves: what it moves, in words.
        lasts: how long it takes, in words; empty where that is not known yet.
        off, pause_after: its marks.
        wrong: it has mistakes, so that nothing can be said of it.
    """

    path: Path_
    kind: str
    moves: str = ""
    lasts: str = ""
    off: bool = False
    pause_after: bool = False
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found.

    Attributes:
        text: that was examined.
        tree: of it; None where its syntax is wrong.
        problems: with which it cannot run, in order of their lines.
        warnings: what is allowed and probably not meant.
        loaded: the experiment; None where there are problems.
        rows: its stages, those within `repeat` after theirs.
    """

    text: str
    tree: Node | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    loaded: LoadedExperiment | None = None
    rows: tuple[StageRow, ...] = ()

    @property
    def plain(self) -> Any:
        """Plain values of the tree; None without one."""
        return None if self.tree is None else self.tree.plain()


def tree_of_text(text: str, label: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """Read a text as YAML alone: its tree, and what keeps it from being read."""
    read = read_text(text)
    return read.tree, tuple(replace(one, file=label) for one in read.problems)


def examine(text: str, label: str, base: Path, path: Path | None = None) -> Examined:
    """Examine the text of an experiment; may read the rig file and the headers of data files that it names, so not in a window.

    Args:
        text: the YAML.
        label: what to call it in problems.
        base: folder from which its paths resolve.
        path: the file it belongs to.
    """
    tree, wrong = tree_of_text(text, label)
    try:
        loaded: LoadedExperiment | None = load_text(text, label, base, path)
    except FileErrors as exc:
        loaded, wrong = None, exc.problems
    rows = () if tree is None else rows_of(tree, loaded)
    if loaded is None:
        return Examined(text, tree, wrong, rows=rows)
    return Examined(text, tree, (), loaded.warnings, loaded, rows)


def problems_at(problems: tuple[Problem, ...], path: Path_, *, within: bool = False) -> list[Problem]:
    """Find the problems of the key at a path; with `within` also those of what is inside it."""
    key = ".".join(map(str, path))
    return [one for one in problems if one.key == key or (within and (one.key.startswith(f"{key}.") or not key))]


def rows_of(tree: Node, loaded: LoadedExperiment | None = None) -> tuple[StageRow, ...]:
    """Say what each stage of a tree moves, and, of an experiment that was loaded, how long it takes."""
    dimensions, widths = _facts(loaded)
    entries = tree.value.get("sequence") if isinstance(tree.value, dict) else None
    return tuple(_rows_of(entries, ("sequence",), loaded, dimensions, widths))


def _facts(loaded: LoadedExperiment | None) -> tuple[Dimensions | None, DataWidths | None]:
    if loaded is None:
        return None, None
    experiment = loaded.experiment
    try:
        dimensions, _ = device_facts(experiment.device, loaded.base)
    except BackendError:
        dimensions = None
    try:
        widths = None if experiment.data is None else data_widths(experiment.data, loaded.base)
    except (DataError, OSError):
        widths = None
    return dimensions, widths


def _rows_of(
    entries: Node | None, path: Path_, loaded: LoadedExperiment | None, dimensions: Dimensions | None, widths: DataWidths | None
) -> Iterator[StageRow]:
    if entries is None or not isinstance(entries.value, list):
        return
    for index, node in enumerate(entries.value):
        here = (*path, index)
        plain = node.plain()
        kind, off, pause = _word(plain)
        try:
            entry = StageEntry.model_validate_json(json.dumps(plain), strict=True)
        except ValidationError:
            yield StageRow(here, kind, off=off, pause_after=pause, wrong=True)
        else:
            lasts = "" if loaded is None else how_long(entry, loaded.experiment, dimensions, widths)
            yield StageRow(here, kind, what_moves(entry.options), lasts, entry.off, entry.pause_after)
        inner = node.value.get("repeat") if isinstance(node.value, dict) else None
        if inner is not None and isinstance(inner.value, dict):
            yield from _rows_of(inner.value.get("sequence"), (*here, "repeat", "sequence"), loaded, dimensions, widths)


def _word(plain: Any) -> tuple[str, bool, bool]:
    """Get the word of an entry and its marks, as far as they can be read."""
    if isinstance(plain, str):
        return plain, False, False
    if not isinstance(plain, dict):
        return "", False, False
    word = next((key for key in plain if key not in MARKS), "")
    return word, plain.get("off") is True, plain.get("pause_after") is True
