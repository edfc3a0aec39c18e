"""A YAML text written anew by ruamel.yaml with other values, comments kept: for layouts that are not changed by hand."""

from __future__ import annotations

import io
import re
from typing import Any


def rewritten(text: str, before: Any, wanted: Any) -> str | None:
    """Write a text anew so that it has other values.

    Args:
        text: the YAML as it is.
        before: its plain values.
        wanted: the plain values it should have.
    Returns:
        The new text; None where ruamel.yaml cannot read it, or it has another kind of top.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    rows = YAML(typ="rt")
    rows.preserve_quotes = True
    rows.width = 4096
    rows.allow_duplicate_keys = True
    offset = 2 if re.search(r"^\S[^\n]*:[^\n]*\n(\s*(#[^\n]*)?\n)* +- ", text, re.MULTILINE) else 0
    rows.indent(mapping=2, sequence=2 + offset, offset=offset)
    rows.representer.add_representer(type(None), _nothing)
    try:
        tree = rows.load(text)
        if type(before) is not type(wanted) or not isinstance(tree, dict | list):
            return None
        _become(tree, before, wanted)
        out = io.StringIO()
        rows.dump(tree, out)
    except (YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError):
        return None
    return out.getvalue()


def _become(tree: Any, before: Any, wanted: Any) -> None:
    """Change the smallest parts of a tree, so that the rest keeps its comments."""
    if isinstance(wanted, dict):
        for key in [key for key in tree if str(key) not in wanted]:
            del tree[key]
        for key, value in wanted.items():
            _entry(tree, key, before.get(key), value, key in before)
        return
    while len(tree) > len(wanted):
        tree.pop()
    for index, value in enumerate(wanted):
        if index == len(tree):
            tree.append(value)
        else:
            _entry(tree, index, before[index], value, index < len(before))


def _entry(tree: Any, key: Any, before: Any, wanted: Any, there: bool) -> None:
    if there and repr(before) == repr(wanted):
        return
    if there and type(before) is type(wanted) and isinstance(wanted, dict | list) and wanted and before:
        _become(tree[key], before, wanted)
    else:
        tree[key] = wanted


def _nothing(representer: Any, value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
