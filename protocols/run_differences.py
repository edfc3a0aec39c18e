"""Several runs side by side: what their experiments differ in, what they found, and mean and spread over seeds.

found = compare_runs([path, path, ...]); found.differences, found.groups
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.run_list import RunLine, read_line
from aeqlab.protocols.yaml import parse

ABSENT = "–"  #: stands where an experiment does not have a key
#: What says nothing of the physics: runs that differ in no other key are one experiment with several seeds.
_OF_NO_MATTER = ("seed", "notes", "tags", "operator", "notify", "runs", "name")
MOST_LETTERS = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """A key in which experiments differ, and its value in each, in the order of the runs."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """What runs of one experiment found: mean, standard deviation of one run (nan: one alone), and how many had it."""

    name: str
    mean: float
    spread: float
    count: int


@dataclass(frozen=True, slots=True)
class Group:
    """Runs whose experiments differ in their seeds alone: their places among the runs, and what they found, by name."""

    runs: tuple[int, ...]
    found: tuple[Spread, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side.

    Attributes:
        lines: of each run.
        differences: keys in which the experiments differ.
        groups: runs of one experiment each.
        missing: what could not be read, in sentences.
    """

    lines: tuple[RunLine, ...]
    differences: tuple[Difference, ...]
    groups: tuple[Group, ...]
    missing: tuple[str, ...]


def compare_runs(paths: Iterable[Path]) -> Comparison:
    """Put runs side by side, by their records and their `experiment.yaml`; damaged ones as far as they can be read."""
    lines = [read_line(path) for path in paths]
    missing = [f"{line.path.name}: {said}" for line in lines for said in line.wrong]
    flat: list[dict[str, Any] | None] = []
    for line in lines:
        try:
            text = (line.path / "experiment.yaml").read_text(encoding="utf-8")
            tree, problems = parse(text, "experiment.yaml")
        except (OSError, ValueError, FileErrors) as exc:
            missing.append(f"{line.path.name}: its experiment cannot be compared: {exc}")
            flat.append(None)
            continue
        missing += [f"{line.path.name}: {problem}" for problem in problems]
        flat.append(dict(_flat("", tree.plain())))
    return Comparison(tuple(lines), tuple(differing(flat)), tuple(_grouped(lines, flat)), tuple(missing))


def differing(experiments: Sequence[Mapping[str, Any] | None]) -> list[Difference]:
    """List the keys whose values are not the same in all experiments; of one that cannot be read every value is absent."""
    keys = dict.fromkeys(key for one in experiments if one is not None for key in one)
    found = []
    for key in keys:
        values = tuple(ABSENT if one is None or key not in one else _said(one[key]) for one in experiments)
        known = [value for value, one in zip(values, experiments, strict=True) if one is not None]
        if len(set(known)) > 1:
            found.append(Difference(key, values))
    return found


def _grouped(lines: Sequence[RunLine], experiments: Sequence[Mapping[str, Any] | None]) -> list[Group]:
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(experiments):
        matters = {key: value for key, value in (one or {}).items() if key.split(".")[0] not in _OF_NO_MATTER}
        key = f"alone {place}" if one is None else json.dumps(matters, sort_keys=True, default=str)
        groups.setdefault(key, []).append(place)
    return [Group(tuple(places), tuple(_spreads([lines[place] for place in places]))) for places in groups.values()]


def _spreads(lines: Sequence[RunLine]) -> list[Spread]:
    names = dict.fromkeys(name for line in lines for name, value in line.summary.items() if _is_number(value))
    found = []
    for name in names:
        values = [float(line.summary[name]) for line in lines if _is_number(line.summary.get(name))]
        spread = statistics.stdev(values) if len(values) > 1 else math.nan
        found.append(Spread(name, statistics.fmean(values), spread, len(values)))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flat(key: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for place, item in enumerate(value):
            yield from _flat(f"{key}.{place}", item)
    else:
        yield key, value


def _said(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}..."
