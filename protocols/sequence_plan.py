"""The sequence of a run as it goes on: which stages are done, which runs, and those to come, which may be changed meanwhile.

A change is a text, YAML or JSON, of all stages to come, held to the rules of an experiment file. A stage may bear two marks
beside its word, as in an experiment file: `off: true`, it is left out, and `pause_after: true`, the run pauses when it is done.

    - train: {method: centered, beta: 0.1, samples: 200}
      pause_after: true
    - {evaluate: {}, off: true}

What was asked at the beginning stays in experiment.yaml; what it was changed into lies beside it, in sequence.yaml, whole or not
at all, and that is what a resume goes on with. Only the stages of the experiment itself are changed, none within a repetition.

Whoever changes what it saw a moment ago says so: `{begun: 2, edits: 1, sequence: [...]}`, as `sequence` told it. Where another
stage began meanwhile, or someone else changed the sequence, the change is refused instead of being made to something else.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import CheckpointError, FileErrors, NotAllowedError, Problem
from aeqlab.protocols.experiment import Experiment, load_values
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.repeat import RepeatOptions
from aeqlab.protocols.yaml import parse, read_text
from aeqlab.protocols.yaml_write import write_yaml

FILE = "sequence.yaml"
MOST_TEXT = 60_000  #: letters of a change
WIDEST = 160  #: letters of the options of a stage in one line
_HEADER = (
    "# The sequence as it was changed while the run went on, which a resume goes on with; experiment.yaml has what was asked.\n"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was understood: the stages to come, and how many had begun and how many changes been made when it was."""

    rows: tuple[StageEntry, ...]
    begun: int
    text: str
    edits: int | None = None


class SequencePlan:
    """The stages of one run; the run takes them one after the other, and any thread may ask for them or change those to come.

    Args:
        experiment: as the run keeps it.
        folder: the run folder: where paths in a change count from, and where the changed sequence is written.
    """

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self._experiment, self._folder = experiment, folder
        self._lock = threading.RLock()
        self._rows = list(experiment.sequence)
        self._states: dict[int, str] = {}  # done, skipped or off, of those that are over
        self._begun = 0
        self._running: int | None = None
        self._over = False
        self.edits = 0
        #: says what of a whole experiment does not fit the open device and its data, by raising FileErrors; None: not known yet
        self.fits: Callable[[Experiment], None] | None = None

    @property
    def entries(self) -> list[StageEntry]:
        """Get all stages, as they are now."""
        return list(self._rows)

    # what the run does
    def take(self, index: int) -> StageEntry | None:
        """Begin the stage at a place; None where there is none: the sequence is over, and cannot be changed any more."""
        with self._lock:
            for before in range(self._begun, index):  # a resumed run goes on after these
                self._states.setdefault(before, "done")
            if index >= len(self._rows):
                self._over, self._running = True, None
                return None
            self._begun, self._running = index + 1, index
            return self._rows[index]

    def ended(self, index: int, how: str) -> bool:
        """Note that a stage is over: done, skipped or off; returns whether the run is to pause."""
        with self._lock:
            self._running, self._states[index] = None, how
            return self._rows[index].pause_after and how != "off"

    def recall(self) -> None:
        """Go on with a sequence that was changed before this process.

        Raises:
            CheckpointError: the file cannot be understood.
        """
        path = self._folder / FILE
        if not path.exists():
            return
        try:
            tree = parse(read_text(path), str(path))[0].plain()
            self._rows = self._rows_of(tree["sequence"], [])
            self.edits = int(tree["edits"])
        except (FileErrors, KeyError, TypeError, ValueError) as exc:
            raise CheckpointError(f"{path} cannot be understood, so the run does not know how to go on: {exc}") from exc

    # what people ask
    def listed(self, path: str = "") -> dict[str, Any]:
        """Say all stages for a person: path, depth, word, options in a line, state and marks; and how often it was changed.

        Args:
            path: of the stage that runs, such as `2.1.0`.
        """
        with self._lock:
            rows: list[dict[str, Any]] = []
            for k, row in enumerate(self._rows):
                state = "running" if k == self._running else self._states.get(k) or ("off" if row.off else "to come")
                marks = {"off": row.off, "pause_after": row.pause_after, "entry": _tree(row)}
                rows.append(_said(str(k), 0, row, state) | marks)
                inner = path.split(".")[2:] if state == "running" else []
                rows += _within(row, str(k), 1, state, inner)
            return {"stages": rows, "begun": self._begun, "edits": self.edits, "then": self._experiment.then}

    def understood(self, text: str) -> Change:
        """Read a change, and see that the whole of it is an experiment that this device can do. Changes nothing yet.

        Args:
            text: the stages to come as a list; or a mapping with `sequence`, and `pause_after_running` for the one that runs;
                and `begun` and `edits`, where the change is meant for the sequence as it was told with these.
        Raises:
            FileErrors: everything that is wrong, each in a sentence; `sequence.3` is the stage with the path 3.
            NotAllowedError: the text is too long, or the sequence is not any more what the change was meant for.
        """
        if len(text) > MOST_TEXT:
            raise NotAllowedError(f"The change has {len(text):,} letters; at most {MOST_TEXT:,} are taken. Write it shorter.")
        node, problems = parse(text or "[]", "edit")
        if problems:
            raise FileErrors(problems)
        tree = node.plain()
        with self._lock:
            begun, before, edits = self._begun, list(self._rows), self.edits
        meant_for: int | None = None
        if isinstance(tree, dict):
            if unknown := sorted(set(tree) - {"sequence", "pause_after_running", "begun", "edits"}):
                hint = "There are sequence, pause_after_running, begun and edits."
                raise FileErrors([Problem("edit", None, None, unknown[0], "this is no key of a change.", hint)])
            if tree.get("begun", begun) != begun:
                raise NotAllowedError(_began(begun))
            if (meant_for := tree.get("edits")) is not None and meant_for != edits:
                raise NotAllowedError(_CHANGED)
            mark = tree.get("pause_after_running")
            if mark is not None and begun:
                if not isinstance(mark, bool):
                    raise FileErrors([Problem("edit", None, None, "pause_after_running", "must be true or false.")])
                before[begun - 1] = before[begun - 1].model_copy(update={"pause_after": mark})
            tree = tree.get("sequence", [_tree(row) for row in before[begun:]])
        if not isinstance(tree, list):
            raise FileErrors([Problem("edit", None, None, "sequence", "must be a list of the stages to come.")])
        return Change(tuple(self._rows_of(tree, before[:begun])), begun, text, meant_for)

    def apply(self, change: Change, who: str) -> str:
        """Put a change in force; returns what is to come, in words.

        Raises:
            NotAllowedError: another stage began since it was understood, the run is at its end, or it cannot be written down.
        """
        with self._lock:
            if self._over:
                raise NotAllowedError("The sequence is at its end; it cannot be changed any more.")
            if change.begun != self._begun:
                raise NotAllowedError(_began(self._begun))
            if change.edits is not None and change.edits != self.edits:
                raise NotAllowedError(_CHANGED)
            tree = {"edits": self.edits + 1, "by": who, "sequence": [_tree(row) for row in change.rows]}
            try:
                write_whole(self._folder / FILE, (_HEADER + write_yaml(tree)).encode("utf-8"))
            except OSError as exc:
                raise NotAllowedError(
                    f"{self._folder / FILE} cannot be written: {exc.strerror or exc}. Nothing was changed."
                ) from exc
            self._rows = list(change.rows)
            self.edits += 1
            left = [row.kind for row in self._rows[self._begun :] if not row.off]
            return f"To come: {', '.join(left[:8])}{', ...' if len(left) > 8 else ''}." if left else "Nothing more is to come."

    # inside
    def _rows_of(self, tree: list[Any], begun: Sequence[StageEntry]) -> list[StageEntry]:
        """Make stages of plain values after those that have begun. Raises FileErrors."""
        if not tree:
            return list(begun)
        values = {**json.loads(self._experiment.model_dump_json()), "sequence": [*map(_tree, begun), *tree]}
        whole = load_values(values, self._folder).experiment
        if self.fits is not None:
            self.fits(whole)
        return [*begun, *whole.sequence[len(begun) :]]


_CHANGED = "Someone else changed the sequence meanwhile. Look at it, and change it again."


def _began(begun: int) -> str:
    return f"Stage {begun - 1} began meanwhile. Look at the sequence, and change it again."


def _tree(entry: StageEntry) -> Any:
    """Get a stage as a file has it."""
    return entry.model_dump(mode="json")


def _within(entry: StageEntry, path: str, depth: int, state: str, inner: list[str]) -> list[dict[str, Any]]:
    """List the stages within a repetition; where it runs, those before the present one of this round are done."""
    options = entry.options
    if not isinstance(options, RepeatOptions):
        return []
    rows: list[dict[str, Any]] = []
    here = int(inner[0]) if inner and inner[0].isdigit() else None
    for k, one in enumerate(options.sequence):
        said = state if here is None or state != "running" else "done" if k < here else "running" if k == here else "to come"
        rows.append(_said(f"{path}.*.{k}", depth, one, said))
        rows += _within(one, f"{path}.*.{k}", depth + 1, said, inner[2:] if said == "running" else [])
    return rows


def _said(path: str, depth: int, entry: StageEntry, state: str) -> dict[str, Any]:
    return {"path": path, "depth": depth, "word": entry.kind, "options": in_one_line(entry.options), "state": state}


def in_one_line(options: StageOptions) -> str:
    """Say the options that are not as they would be by themselves, in one line."""
    said = []
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if value != field.get_default(call_default_factory=True):
            plain = options.model_dump(mode="json").get(field.serialization_alias or field.alias or name, value)
            said.append(f"{name}: {plain if isinstance(plain, str) else json.dumps(plain, default=str)}")
    line = ", ".join(said)
    return line if len(line) <= WIDEST else line[: WIDEST - 3] + "..."
