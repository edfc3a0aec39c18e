"""Changes of a YAML text by path that leave everything else as it was typed: comments, blank lines, columns, quotes.

Each changes the few characters it must (`Splice`), and is then read back: what comes out has to be what was meant, or nothing is
changed. A text laid out in a way that this does not know is written anew by ruamel.yaml, which keeps comments too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from aeqlab.app.window.models.experiment_inline import inline, meant
from aeqlab.app.window.models.experiment_spans import Path_, Span, Step, at, spans_of
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.yaml import parse


class EditError(Exception):
    """A change that cannot be made by path; the message says what to do in the text instead."""


class _Unknown(Exception):
    """A layout that is left to ruamel.yaml."""


@dataclass(frozen=True, slots=True)
class Splice:
    """Put `new` in place of the characters from `start` to `end`."""

    start: int
    end: int
    new: str

    def on(self, text: str) -> str:
        """Change a text."""
        return text[: self.start] + self.new + text[self.end :]


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
        return _set(text, root, path, value, order)

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

    try:
        root = spans_of(text)
    except (yaml.YAMLError, ValueError):
        root = None
    if root is not None and at(root, path) is None:
        return text
    return _changed(text, path, lambda root: _remove(text, root, path), on_plain)


def rename(text: str, path: Path_, key: str) -> str:
    """Give the entry of a mapping at a path another key; its value stays.

    Raises:
        EditError: it cannot be renamed.
    """

    def by_hand(root: Span) -> Splice:
        parent, index = _entry(root, path)
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

    return _changed(text, path, lambda root: _insert(text, root, path, index, value), on_plain)


def move(text: str, path: Path_, start: int, to: int) -> str:
    """Move an item of the list at a path, so that it has another index afterwards; comments above it go with it.

    Raises:
        EditError: there is no such item.
    """

    def on_plain(tree: Any) -> Any:
        items = _there(tree, path)
        items.insert(to, items.pop(start))
        return tree

    return _changed(text, path, lambda root: _move(text, root, path, start, to), on_plain)


def duplicate(text: str, path: Path_, index: int) -> str:
    """Put a copy of an item of the list at a path behind it.

    Raises:
        EditError: there is no such item.
    """

    def on_plain(tree: Any) -> Any:
        items = _there(tree, path)
        items.insert(index + 1, copy.deepcopy(items[index]))
        return tree

    return _changed(text, path, lambda root: _duplicate(text, root, path, index), on_plain)


def _changed(text: str, path: Path_, by_hand: Callable[[Span], Splice], on_plain: Callable[[Any], Any]) -> str:
    """Change a text, read it back, and take ruamel.yaml where that is not what was meant."""
    try:
        root = spans_of(text)
        before = parse(text, "")[0].plain()
    except FileErrors as exc:
        line = exc.problems[0].line
        where = "" if line is None else f" Line {line}:"
        raise EditError(f"The text has a mistake that must be mended first.{where} {exc.problems[0].message}") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise EditError("The text has a mistake that must be mended first.") from exc
    _refuse_repeated(root, path)
    wanted = on_plain(copy.deepcopy(before))
    try:
        new = by_hand(root).on(text)
        if _reads_as(new, wanted):
            return new
    except _Unknown:
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
    try:
        found = parse(text, "")[0].plain()
    except FileErrors:
        return False
    return _same(found, wanted)


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


# by hand
def _nested(path: Path_, value: Any) -> Any:
    for step in reversed(path):
        value = {str(step): value}
    return value


def _entry(root: Span, path: Path_) -> tuple[Span, int]:
    parent = at(root, path[:-1])
    index = None if parent is None else parent.index(path[-1])
    if parent is None or index is None:
        raise EditError(f"There is nothing at {'.'.join(map(str, path))}.")
    return parent, index


def _set(text: str, root: Span, path: Path_, value: Any, order: Sequence[str]) -> Splice:
    span, depth = root, 0
    for step in path:
        index = span.index(step)
        if index is None:
            break
        span, depth = span.items[index], depth + 1
    missing = path[depth:]
    if not missing:
        return _replace(text, root, path, value)
    new = _nested(missing[1:], value)
    if span.is_mapping:
        return _add(text, span, str(missing[0]), new, order if len(missing) == 1 else ())
    if span.is_list:
        raise EditError(f"The list has {len(span.items)} items; there is none of the index {missing[0]}.")
    if depth == 0:
        raise _Unknown
    return _replace(text, root, path[:depth], {str(missing[0]): new})


def _replace(text: str, root: Span, path: Path_, value: Any) -> Splice:
    parent, index = _entry(root, path)
    span = parent.items[index]
    written = inline(value)
    if span.style == "scalar" and span.start == span.end:  # nothing is written: behind the colon or the dash
        return Splice(span.start, span.end, f" {written}")
    if span.style == "block" and parent.is_mapping:
        colon = text.index(":", parent.keys[index].end)
        return Splice(colon + 1, span.end, f" {written}")
    if span.style == "scalar" and text[span.start] == '"' and isinstance(value, str) and written.startswith("'"):
        written = _in_double_quotes(value)
    return Splice(span.start, span.end, written)


def _in_double_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _add(text: str, mapping: Span, key: str, value: Any, order: Sequence[str]) -> Splice:
    """Add a key to a mapping that lacks it, behind the last of those that come before it."""
    ahead = set(order[: order.index(key)]) if key in order else set()
    before = [i for i, one in enumerate(mapping.keys) if one.text in ahead]
    behind = max(before) if before else len(mapping.keys) - 1
    written = f"{inline(key)}: {inline(value)}"
    if mapping.style == "flow":
        if not mapping.keys:
            return Splice(mapping.start + 1, mapping.start + 1, written)
        end = max(mapping.items[behind].end, mapping.keys[behind].end)
        return Splice(end, end, f", {written}")
    end = _line_end(text, mapping.items[behind].end)
    indent = " " * mapping.column
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = "".join(f"\n{indent}  - {_item(item)}" for item in value)
        return Splice(end, end, f"\n{indent}{inline(key)}:{items}")
    return Splice(end, end, f"\n{indent}{written}")


def _item(value: Any) -> str:
    """Write an item of a block list; a mapping of one entry without its braces, as in `- train: {...}`."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        return f"{inline(key)}: {inline(inner)}"
    return inline(value)


def _remove(text: str, root: Span, path: Path_) -> Splice:
    parent, index = _entry(root, path)
    starts = [one.start for one in (parent.items if parent.is_list else parent.keys)]
    last = index == len(starts) - 1
    if parent.style == "flow":
        ends = [max(one.end, start) for one, start in zip(parent.items, starts, strict=True)]
        if len(starts) == 1:
            return Splice(parent.start + 1, parent.end - 1, "")
        return Splice(ends[index - 1], ends[index], "") if last else Splice(starts[index], starts[index + 1], "")
    if len(starts) == 1:
        return _emptied(text, root, path[:-1], parent)
    if parent.is_list:
        begin, end = _chunk(text, parent, index)
        return Splice(begin, min(end + 1, len(text)), "") if end < len(text) else Splice(max(begin - 1, 0), end, "")
    begin = _line_start(text, starts[index])
    if text[begin : starts[index]].strip():  # it shares its line with the dash of a list
        return Splice(starts[index], starts[index + 1], "")
    end = _line_end(text, max(parent.items[index].end, parent.keys[index].end))
    return Splice(begin, end + 1, "") if end < len(text) else Splice(max(begin - 1, 0), end, "")


def _emptied(text: str, root: Span, path: Path_, span: Span) -> Splice:
    """Write an empty list or mapping in place of one in block style."""
    empty = "[]" if span.is_list else "{}"
    if not path:
        raise EditError("This is all there is in the text; it cannot be taken out.")
    parent, index = _entry(root, path)
    if parent.is_mapping:
        colon = text.index(":", parent.keys[index].end)
        return Splice(colon + 1, span.end, f" {empty}")
    return Splice(span.start, span.end, empty)


def _list_at(root: Span, path: Path_, *indices: int) -> Span:
    span = at(root, path)
    if span is None or not span.is_list or not all(0 <= index < len(span.items) for index in indices):
        raise EditError(f"There is no such item of a list at {'.'.join(map(str, path))}.")
    return span


def _insert(text: str, root: Span, path: Path_, index: int, value: Any) -> Splice:
    span = at(root, path)
    if span is None or not span.is_list:
        if span is not None and (span.is_collection or span.text):
            raise EditError(f"At {'.'.join(map(str, path))} a list is needed, and something else stands there.")
        if span is None:
            return _set(text, root, path, [value], ())
        parent, _ = _entry(root, path)
        if parent.style == "block" and parent.is_mapping:
            return Splice(span.start, span.end, f"\n{' ' * parent.column}  - {_item(value)}")
        return Splice(span.start, span.end, f" [{inline(value)}]")
    if not span.items:
        return Splice(span.start + 1, span.end - 1, inline(value))
    if span.style == "flow":
        if index < len(span.items):
            return Splice(span.items[index].start, span.items[index].start, f"{inline(value)}, ")
        return Splice(span.items[-1].end, span.items[-1].end, f", {inline(value)}")
    line = f"{' ' * span.column}- {_item(value)}"
    if index < len(span.items):
        begin, _ = _chunk(text, span, index)
        return Splice(begin, begin, f"{line}\n")
    _, end = _chunk(text, span, len(span.items) - 1)
    return Splice(end, end, f"\n{line}")


def _move(text: str, root: Span, path: Path_, start: int, to: int) -> Splice:
    """Put the items into another order, each into the place of another; what is between them stays."""
    span = _list_at(root, path, start, to)
    if span.style == "flow":
        places = [(one.start, one.end) for one in span.items]
    else:
        places = [_chunk(text, span, index) for index in range(len(span.items))]
    order = list(range(len(places)))
    order.insert(to, order.pop(start))
    new = []
    for k, (begin, _) in enumerate(places):
        if k:
            new.append(text[places[k - 1][1] : begin])
        new.append(text[slice(*places[order[k]])])
    return Splice(places[0][0], places[-1][1], "".join(new))


def _duplicate(text: str, root: Span, path: Path_, index: int) -> Splice:
    span = _list_at(root, path, index)
    item = span.items[index]
    if span.style == "flow":
        return Splice(item.end, item.end, f", {text[item.start : item.end]}")
    _, end = _chunk(text, span, index)
    return Splice(end, end, f"\n{text[_line_start(text, _dash(text, span, index)) : end]}")


def _chunk(text: str, span: Span, index: int) -> tuple[int, int]:
    """Find the lines of an item of a block list, with the comments right above it; the last line feed is not among them."""
    begin = _line_start(text, _dash(text, span, index))
    while begin > 0:
        above = _line_start(text, begin - 1)
        line = text[above : begin - 1]
        if not line.lstrip().startswith("#") or len(line) - len(line.lstrip()) != span.column:
            break
        begin = above
    return begin, _line_end(text, span.items[index].end)


def _dash(text: str, span: Span, index: int) -> int:
    """Find the dash of an item of a block list."""
    floor = span.items[index - 1].end if index else span.start
    begin = _line_start(text, span.items[index].start)
    while True:
        place = begin + span.column
        if text[place : place + 1] == "-" and not text[begin:place].strip():
            return place
        if begin <= floor:
            raise _Unknown  # the dash shares its line with another
        begin = _line_start(text, begin - 1)


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


__all__ = ["EditError", "Path_", "Splice", "Step", "difference", "duplicate", "insert", "move", "remove", "rename", "set_value"]
