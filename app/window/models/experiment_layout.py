"""The one place of a YAML text that a change by path has to touch, in the layout that the text has there.

Anything else than flow and block collections written in the usual way raises `UnknownLayoutError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aeqlab.app.window.models.experiment_inline import inline
from aeqlab.app.window.models.experiment_spans import Path_, Span, at


class EditError(Exception):
    """A change that cannot be made by path; the message says what to do in the text instead."""


class UnknownLayoutError(Exception):
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


def _nested(path: Path_, value: Any) -> Any:
    for step in reversed(path):
        value = {str(step): value}
    return value


def entry(root: Span, path: Path_) -> tuple[Span, int]:
    """Find the mapping or list that an entry is in, and its place there."""
    parent = at(root, path[:-1])
    index = None if parent is None else parent.index(path[-1])
    if parent is None or index is None:
        raise EditError(f"There is nothing at {'.'.join(map(str, path))}.")
    return parent, index


def set_value(text: str, root: Span, path: Path_, value: Any, order: Sequence[str]) -> Splice:
    """Set a value, or add it with what is missing on the way."""
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
        raise UnknownLayoutError
    return _replace(text, root, path[:depth], {str(missing[0]): new})


def _replace(text: str, root: Span, path: Path_, value: Any) -> Splice:
    parent, index = entry(root, path)
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


def remove(text: str, root: Span, path: Path_) -> Splice:
    """Take out an entry."""
    parent, index = entry(root, path)
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
    parent, index = entry(root, path)
    if parent.is_mapping:
        colon = text.index(":", parent.keys[index].end)
        return Splice(colon + 1, span.end, f" {empty}")
    return Splice(span.start, span.end, empty)


def _list_at(root: Span, path: Path_, *indices: int) -> Span:
    span = at(root, path)
    if span is None or not span.is_list or not all(0 <= index < len(span.items) for index in indices):
        raise EditError(f"There is no such item of a list at {'.'.join(map(str, path))}.")
    return span


def insert(text: str, root: Span, path: Path_, index: int, value: Any) -> Splice:
    """Put a value into a list."""
    span = at(root, path)
    if span is None or not span.is_list:
        if span is not None and (span.is_collection or span.text):
            raise EditError(f"At {'.'.join(map(str, path))} a list is needed, and something else stands there.")
        if span is None:
            return set_value(text, root, path, [value], ())
        parent, _ = entry(root, path)
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


def move(text: str, root: Span, path: Path_, start: int, to: int) -> Splice:
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


def duplicate(text: str, root: Span, path: Path_, index: int) -> Splice:
    """Copy an item of a list behind itself."""
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
            raise UnknownLayoutError  # the dash shares its line with another
        begin = _line_start(text, begin - 1)


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end
