"""The sequence of a run for whoever looks at it: what a running one answers, or what the folder of one that ended tells.

Both come in one shape, `ToldSequence`, each row with what it moves and how long it takes in words. `edit_of` makes the text of
the command `edit` of the rows that are to come.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aeqlab.backends.errors import BackendError
from aeqlab.backends.settings import Dimensions
from aeqlab.protocols.control import send
from aeqlab.protocols.crosscheck import device_facts
from aeqlab.protocols.data import DataWidths, data_widths
from aeqlab.protocols.errors import DataError, FileErrors
from aeqlab.protocols.experiment import LoadedExperiment, load_experiment
from aeqlab.protocols.sequence_plan import SequencePlan
from aeqlab.protocols.stage_words import how_long, what_moves
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.repeat import RepeatOptions

TO_COME, RUNNING, OFF, DONE = "to come", "running", "off", "done"
NOT_REACHED, SKIPPED, BROKEN_OFF = "not reached", "skipped", "broken off"


@dataclass(frozen=True, slots=True)
class ToldStage:
    """One stage.

    Attributes:
        path: its place, such as `2`, or `2.*.0` within a repetition.
        depth: how deep in repetitions it lies.
        word: of the stage.
        options: those that are not as they would be by themselves, in one line.
        state: done, skipped, running, to come, off; of a run that does not run also `broken off` and `not reached`.
        moves, lasts: what it moves and how long it takes, in words; empty where that is not known.
        off, pause_after: its marks.
        entry: as a file has it; None within a repetition.
    """

    path: str
    depth: int
    word: str
    options: str
    state: str
    moves: str = ""
    lasts: str = ""
    off: bool = False
    pause_after: bool = False
    entry: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def editable(self) -> bool:
        """Whether it may be changed: it has not begun, and is no stage of a repetition."""
        return self.entry is not None and self.state in (TO_COME, OFF)


@dataclass(frozen=True, slots=True)
class ToldSequence:
    """All stages in their order.

    Attributes:
        rows: those of the experiment, each followed by those it repeats.
        begun: how many of the experiment's own have begun.
        edits: how often it was changed while the run went on.
        then: freeze, safe or hold.
        live: a run answered, so that it can be changed.
    """

    rows: tuple[ToldStage, ...]
    begun: int
    edits: int
    then: str
    live: bool

    @property
    def own(self) -> tuple[ToldStage, ...]:
        """Get the stages of the experiment itself, without those they repeat."""
        return tuple(row for row in self.rows if row.depth == 0)

    @property
    def to_come(self) -> list[dict[str, Any]]:
        """Get the entries that have not begun, as a file has them."""
        return [dict(row.entry) for row in self.own[self.begun :] if row.entry is not None]

    @property
    def where(self) -> str:
        """Say where it stands, such as `train, 2 of 4`."""
        own = self.own
        running = next((k for k, row in enumerate(own) if row.state == RUNNING), None)
        if running is not None:
            return f"{own[running].word}, {running + 1} of {len(own)}"
        done = sum(row.state not in (TO_COME, OFF, NOT_REACHED) for row in own)
        return f"{done} of {len(own)} done"


Words = Callable[[StageEntry], tuple[str, str]]


def ask_sequence(folder: Path, words: Words, timeout_s: float = 1.0) -> ToldSequence:
    """Ask the run that works in a folder. Raises ProtocolError where it does not answer, as `control.send`."""
    told = send(folder, "sequence", timeout_s=timeout_s)
    return _told(told, words, live=True)


def read_sequence(folder: Path, stages: Sequence[tuple[str, str]], words: Words) -> ToldSequence:
    """Read it from the folder of a run that does not run.

    Args:
        folder: of the run.
        stages: path and outcome of each stage that began, as the record has them; of one that did not end the outcome is empty.
        words: gives what a stage moves and how long it takes.
    Raises:
        FileErrors: the experiment cannot be read.
        CheckpointError: the changed sequence cannot be.
    """
    plan = SequencePlan(load_experiment(folder / "experiment.yaml").experiment, folder)
    plan.recall()
    told = _told(plan.listed(), words, live=False)
    ends = {path: outcome for path, outcome in stages if "." not in path}
    begun = max((int(path) + 1 for path in ends if path.isdigit()), default=0)
    rows = []
    state = NOT_REACHED
    for row in told.rows:
        if row.depth == 0:
            state = _ended(row, ends, begun)
        rows.append(replace(row, state=state))
    return replace(told, rows=tuple(rows), begun=begun)


def _ended(row: ToldStage, ends: dict[str, str], begun: int) -> str:
    if row.path in ends:
        outcome = ends[row.path]
        return DONE if outcome == "finished" else SKIPPED if outcome.startswith(SKIPPED) else BROKEN_OFF
    return OFF if row.off else DONE if int(row.path) < begun else NOT_REACHED


def _told(told: dict[str, Any], words: Words, *, live: bool) -> ToldSequence:
    rows = []
    for row in told["stages"]:
        entry = row.get("entry")
        moves, lasts = words(StageEntry.model_validate(entry)) if entry is not None else ("", "")
        rows.append(
            ToldStage(
                str(row["path"]), int(row["depth"]), str(row["word"]), str(row["options"]), str(row["state"]), moves, lasts,
                bool(row.get("off")), bool(row.get("pause_after")), entry,
            )
        )  # fmt: skip
    return ToldSequence(_with_inner_words(rows, words), int(told["begun"]), int(told["edits"]), str(told["then"]), live)


def _with_inner_words(rows: list[ToldStage], words: Words) -> tuple[ToldStage, ...]:
    """Say of stages within a repetition what they move, too; their entries lie in that of the repetition."""
    found: list[ToldStage] = []
    inner: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row.entry is not None:
            inner = dict(_inner(StageEntry.model_validate(row.entry), row.path, words))
        moves, lasts = inner.get(row.path, (row.moves, row.lasts))
        found.append(replace(row, moves=moves, lasts=lasts))
    return tuple(found)


def _inner(entry: StageEntry, path: str, words: Words) -> list[tuple[str, tuple[str, str]]]:
    if not isinstance(entry.options, RepeatOptions):
        return []
    found = []
    for k, one in enumerate(entry.options.sequence):
        found.append((f"{path}.*.{k}", words(one)))
        found += _inner(one, f"{path}.*.{k}", words)
    return found


class StageWords:
    """What stages of one run move and how long they take, in words; its device and data are looked at once.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._loaded: LoadedExperiment | None = None
        self._dimensions: Dimensions | None = None
        self._widths: DataWidths | None = None
        self._known: dict[str, tuple[str, str]] = {}
        try:
            self._loaded = loaded = load_experiment(folder / "experiment.yaml")
        except (FileErrors, OSError):
            return  # what moves can be said all the same
        try:
            self._dimensions, _ = device_facts(loaded.experiment.device, loaded.base)
        except (BackendError, OSError):
            self._dimensions = None
        try:
            data = loaded.experiment.data
            self._widths = None if data is None else data_widths(data, loaded.base)
        except (DataError, OSError):
            self._widths = None

    @property
    def data_kind(self) -> str:
        """Get the kind of the data, such as mnist; empty where there are none."""
        data = None if self._loaded is None else self._loaded.experiment.data
        return "" if data is None else str(data.kind)

    def __call__(self, entry: StageEntry) -> tuple[str, str]:
        """Say what a stage moves and how long it takes."""
        key = entry.model_dump_json()
        if key not in self._known:
            loaded = self._loaded
            lasts = "" if loaded is None else how_long(entry, loaded.experiment, self._dimensions, self._widths)
            self._known[key] = what_moves(entry.options), lasts
        return self._known[key]


def edit_of(told: ToldSequence, rows: Sequence[Any], *, pause_after_running: bool | None = None) -> str:
    """Make the text of an `edit` that puts entries in the place of those to come.

    Args:
        told: the sequence that the change is meant for; where it is not so any more, the run refuses.
        rows: the entries to come, as a file has them.
        pause_after_running: a mark for the stage that runs; None leaves it.
    """
    change: dict[str, Any] = {"begun": told.begun, "edits": told.edits, "sequence": list(rows)}
    if pause_after_running is not None:
        change["pause_after_running"] = pause_after_running
    return json.dumps(change)
