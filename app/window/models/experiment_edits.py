"""Changes of a YAML text by path that leave everything else as it was typed: comments, blank lines, columns, quotes.

Each changes the few characters it must (`Splice`), and is then read back: what comes out has to be what was meant, or nothing is
changed. A text laid out in a way that this does not know is written anew by ruamel.yaml, which keeps comments too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from aeqlab.app.window.models import experiment_layout as layout
from aeqlab.app.window.models.experiment_inline import inline, meant
from aeqlab.app.window.models.experiment_layout import EditError, Splice, UnknownLayoutError
from aeqlab.app.window.models.experiment_spans import Path_, Span, Step, at, read_text


def difference(old: str, new: str) -> Splice:
    """Find the one splice that makes a text of another: what is between the beginning and the end that they share."""
    most = min(len(old), len(new))
    start = 0
    while start < most and old[start] == new[start]:
        start += 1
    tail = 0
    while tail < most - start and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return Splice(start, len(old) - tail, new[start : len(new) - tail])


def set_value(text: str, path: Path_, value: Any, order: Sequence[str] = ()) -> str:
    """Set the value at a path; what is missing on the way becomes a mapping, a bare word of a stage its mapping.

    Args:
        text: the YAML.
        path: keys and indices from 0.
        value: plain values, or `Typed`.
        order: keys of the mapping that the value is in, in the order in which a new one is to stand among them.
    Raises:
        EditError: it cannot be set there.
    """
    if not path:
        raise EditError("The whole text is changed by typing it.")

    def by_hand(root: Span) -> Splice:
        return layout.set_value(text, root, path, value, order)

    def on_plain(tree: Any) -> Any:
        return _put(tree, path, meant(value))

    return _changed(text, path, by_hand, on_plain)


def remove(text: str, path: Path_) -> str:
    """Take out the entry at a path, a key or an item of a list; where there is none, nothing changes.

    Raises:
        EditError: it cannot be taken out.
    """

    def on_plain(tree: Any) -> Any:
        parent = _there(tree, path[:-1])
        if isinstance(parent, dict | list):
            del parent[path[-1]]  # type: ignore[arg-type]
        return tree

    root = read_text(text).root
    if root is not None and at(root, path) is None:
        return text
    return _changed(text, path, lambda root: layout.remove(text, root, path), on_plain)


def rename(text: str, path: Path_, key: str) -> str:
    """Give the entry of a mapping at a path another key; its value stays.

    Raises:
        EditError: it cannot be renamed.
    """

    def by_hand(root: Span) -> Splice:
        parent, index = layout.entry(root, path)
        return Splice(parent.keys[index].start, parent.keys[index].end, inline(key))

    def on_plain(tree: Any) -> Any:
        parent = _there(tree, path[:-1])
        renamed = {key if name == path[-1] else name: item for name, item in parent.items()}
        parent.clear()
        parent.update(renamed)
        return tree

    return _changed(text, path, by_hand, on_plain)


def insert(text: str, path: Path_, index: int, value: Any) -> str:
    """Put a value into the list at a path, before the item of that index or at its end; a list that is missing is made.

    Raises:
        EditError: there is no list, and something else stands in its place.
    """

    def on_plain(tree: Any) -> Any:
        found = _there(tree, path)
        if not isinstance(found, list):
            return _put(tree, path, [meant(value)])
        found.insert(index, meant(value))
        return tree

    return _changed(text, path, lambda root: layout.insert(text, root, path, index, value), on_plain)


def move(text: str, path: Path_, start: int, to: int) -> str:
    """Move an item of the list at a path, so that it has another index afterwards; comments above it go with it.

    Raises:
        EditError: there is no such item.
    """

    def on_plain(tree: Any) -> Any:
        items = _there(tree, path)
        items.insert(to, items.pop(start))
        return tree

    return _changed(text, path, lambda root: layout.move(text, root, path, start, to), on_plain)


def duplicate(text: str, path: Path_, index: int) -> str:
    """Put a copy of an item of the list at a path behind it.

    Raises:
        EditError: there is no such item.
    """

    def on_plain(tree: Any) -> Any:
        items = _there(tree, path)
        items.insert(index + 1, copy.deepcopy(items[index]))
        return tree

    return _changed(text, path, lambda root: layout.duplicate(text, root, path, index), on_plain)


def _changed(text: str, path: Path_, by_hand: Callable[[Span], Splice], on_plain: Callable[[Any], Any]) -> str:
    """Change a text, read it back, and take ruamel.yaml where that is not what was meant."""
    read = read_text(text)
    if read.root is None or read.tree is None:
        line = read.problems[0].line if read.problems else None
        where = "" if line is None else f" Line {line}:"
        said = read.problems[0].message if read.problems else ""
        raise EditError(f"The text has a mistake that must be mended first.{where} {said}".strip())
    root, before = read.root, read.tree.plain()
    _refuse_repeated(root, path)
    wanted = on_plain(copy.deepcopy(before))
    try:
        done = by_hand(root).on(text)
        if _reads_as(done, wanted):
            return done
    except UnknownLayoutError:
        pass
    from aeqlab.app.window.models.experiment_rewrite import rewritten

    new = rewritten(text, before, wanted)
    if new is None or not _reads_as(new, wanted):
        raise EditError(f"{'.'.join(map(str, path))} cannot be changed here as the text is laid out. Change it in the text.")
    return new


def _refuse_repeated(root: Span, path: Path_) -> None:
    """Refuse to change within what stands once and is meant at several places."""
    span = root
    for step in path:
        index = span.index(step)
        if span.style == "alias" or index is None:
            break
        span = span.items[index]
        if span.anchored:
            raise EditError(
                "Other places of the text repeat this (& and *), so it would change there too. Change it in the text."
            )
    if span.style == "alias" and at(root, path) is not span:
        raise EditError(f"This repeats another part of the text (*{span.text}). Write it out in the text to change it here.")


def _reads_as(text: str, wanted: Any) -> bool:
    tree = read_text(text).tree
    return tree is not None and _same(tree.plain(), wanted)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and bool(a == b)


def _there(tree: Any, path: Path_) -> Any:
    for step in path:
        if isinstance(tree, dict):
            tree = tree.get(str(step))
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree


def _put(tree: Any, path: Path_, value: Any) -> Any:
    """Put a value into plain ones as `set_value` does into a text."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(tree, list) and isinstance(step, int):
        if step >= len(tree):
            raise EditError(f"The list has {len(tree)} items; there is none of the index {step}.")
        tree[step] = _put(tree[step], rest, value)
        return tree
    if not isinstance(tree, dict):
        tree = {}
    tree[str(step)] = _put(tree.get(str(step)), rest, value)
    return tree


__all__ = ["EditError", "Path_", "Splice", "Step", "difference", "duplicate", "insert", "move", "remove", "rename", "set_value"]
