"""Python values as the tree that a file of the same content gives: what a notebook says is held to the rules of YAML.

The values are written as YAML and read again, so that there is one set of rules; only places such as lines are left out.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel

from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.overrides import forget_lines, placeless
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.yaml import MAX_BYTES, Node, parse
from aeqlab.protocols.yaml_tree import MAX_DEPTH, MAX_NODES
from aeqlab.protocols.yaml_write import write_yaml

_FEWER = "Write fewer; long lists belong into a table of their own."
#: Word of a stage by the model of its options.
_STAGES = {
    model: word for word, name in StageEntry.words().items() for model in get_args(StageEntry.model_fields[name].annotation)
}


def tree_of(values: Any) -> tuple[str, Node, list[Problem]]:
    """Make the tree of Python values: plain ones, models of settings and of stages, paths, and numpy's arrays and numbers.

    Returns:
        The YAML text, its tree without places, and what is wrong with the values; its problems name keys and no file.
    Raises:
        FileErrors: there is no tree, because the values are too many or too deep.
    """
    plain = _Plain()
    text = write_yaml(plain.of(values, (), 0))
    try:
        if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise FileErrors([Problem("", None, None, "", f"larger than {MAX_BYTES // 1024} KiB.", _FEWER)])
        tree, problems = parse(text, "")
    except FileErrors as exc:
        raise FileErrors([*plain.problems, *placeless(exc.problems)]) from exc
    tree = tree.copy()
    forget_lines(tree)
    return text, tree, [*plain.problems, *placeless(problems)]


class _Plain:
    """Makes values plain, and collects what cannot be made so."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._nodes = 0

    def of(self, value: Any, path: tuple[str, ...], depth: int, *, in_list: bool = False) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            message = f"more than {MAX_NODES} values, or deeper than {MAX_DEPTH} levels."
            raise FileErrors([*self.problems, Problem("", None, None, ".".join(path[:8]), message, _FEWER)])
        if isinstance(value, BaseModel):
            dumped = value.model_dump(mode="json")
            word = _STAGES.get(type(value)) if in_list else None
            return self.of(dumped if word is None else {word: dumped}, path, depth)
        if isinstance(value, dict):
            return {self._key(key, path): self.of(item, (*path, str(key)), depth + 1) for key, item in value.items()}
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, (list, tuple)):
            return [self.of(item, (*path, str(i)), depth + 1, in_list=True) for i, item in enumerate(value)]
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif isinstance(value, Enum):
            value = value.value
        elif isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        hint = "Text, numbers, true, false, lists and mappings can be written into an experiment."
        if callable(value):
            hint = "Name code by where it is found: 'file.py:function' or 'module:function'."
        message = f"a {type(value).__name__} cannot be part of an experiment."
        self.problems.append(Problem("", None, None, ".".join(path), message, hint))
        return None

    def _key(self, key: Any, path: tuple[str, ...]) -> str:
        if not isinstance(key, str):
            message = f"a key must be a word, not the {type(key).__name__} {str(key)[:40]}."
            self.problems.append(Problem("", None, None, ".".join(path), message, "Put it in quotes."))
        return str(key)
