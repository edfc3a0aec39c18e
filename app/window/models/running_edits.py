"""A stage of a running run as one types it on a line, and back: `train: {method: centered, beta: 0.1}`, marks left out."""

from __future__ import annotations

from typing import Any

from aeqlab.app.window.models.experiment_inline import inline
from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.options import MARKS, StageOptions
from aeqlab.protocols.yaml import parse


def line_of(entry: dict[str, Any]) -> str:
    """Write an entry on a line, options that are as they would be by themselves left out."""
    stage = StageEntry.model_validate(entry)
    return f"{stage.kind}: {inline(_short(stage.options, entry[stage.kind]))}"


def entry_of(line: str, marks: dict[str, Any]) -> dict[str, Any]:
    """Read an entry from a line; marks of the entry it takes the place of stay.

    Raises:
        FileErrors: it is no YAML, or no stage with options.
    """
    node, problems = parse(line.strip(), "stage")
    if problems:
        raise FileErrors(problems)
    plain = node.plain()
    if isinstance(plain, str):
        plain = {plain: {}}
    if not isinstance(plain, dict) or len([key for key in plain if key not in MARKS]) != 1:
        hint = "Write it as train: {method: centered, beta: 0.1}."
        raise FileErrors([Problem("stage", None, None, "", "one stage and its options are expected.", hint)])
    return {**plain, **{mark: marks[mark] for mark in MARKS if marks.get(mark)}}


def marked(entry: dict[str, Any], mark: str, *, on: bool) -> dict[str, Any]:
    """Set or take away a mark, `off` or `pause_after`."""
    return {key: value for key, value in entry.items() if key != mark} | ({mark: True} if on else {})


def _short(options: StageOptions, written: Any) -> Any:
    if not isinstance(written, dict):
        return written
    usual = {}
    for name, field in type(options).model_fields.items():
        if getattr(options, name) == field.get_default(call_default_factory=True):
            usual[field.serialization_alias or field.alias or name] = usual[name] = True
    return {key: value for key, value in written.items() if key not in usual}
