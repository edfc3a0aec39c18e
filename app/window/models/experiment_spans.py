"""Where every value of a YAML text begins and ends, so that one of them can be changed and all else stays as it was typed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.yaml import Node, parse

Step = int | str
Path_ = tuple[Step, ...]


@dataclass(slots=True)
class Span:
    """A value in a text.

    Attributes:
        start, end: of its characters; of a value that is not written, both where it would stand.
        style: scalar, alias, flow (in brackets) or block (by indentation).
        is_list: a list; else, where it is no scalar, a mapping.
        keys: of a mapping, in order, each with its place.
        items: values of a mapping or a list, in order.
        column: of a block's first key or dash, counted from 0.
        text: of a scalar, its value as text.
        quoted: a scalar in quotes, or one that is a block of text.
        anchored: other places of the text repeat it.
    """

    start: int
    end: int
    style: str
    is_list: bool = False
    keys: list[Span] = field(default_factory=list)
    items: list[Span] = field(default_factory=list)
    column: int = 0
    text: str = ""
    quoted: bool = False
    anchored: bool = False

    @property
    def is_collection(self) -> bool:
        """True for a list or a mapping."""
        return self.style in ("flow", "block")

    @property
    def is_mapping(self) -> bool:
        """True for a mapping."""
        return self.is_collection and not self.is_list

    def index(self, step: Step) -> int | None:
        """Find the place of an entry; None where there is none."""
        if self.is_list:
            return step if isinstance(step, int) and 0 <= step < len(self.items) else None
        if not self.is_mapping:
            return None
        return next((i for i, key in enumerate(self.keys) if key.text == str(step)), None)


@dataclass(frozen=True, slots=True)
class TextRead:
    """A YAML text, read: its tree and where everything in it stands; both None where its syntax is wrong.

    Problems name no file.
    """

    tree: Node | None
    root: Span | None
    problems: tuple[Problem, ...]


@lru_cache(maxsize=8)
def read_text(text: str) -> TextRead:
    """Read a YAML text with the strict reader; the last few are remembered, as one text is asked for several times."""
    builder = _Builder(text)
    try:
        tree, problems = parse(text, "", builder.take)
    except FileErrors as exc:
        return TextRead(None, None, exc.problems)
    return TextRead(tree, builder.root, tuple(problems))


def at(root: Span, path: Iterable[Step]) -> Span | None:
    """Find the span at a path; None where nothing is written there."""
    span = root
    for step in path:
        index = span.index(step)
        if index is None:
            return None
        span = span.items[index]
    return span


class _Builder:
    def __init__(self, text: str) -> None:
        self.root: Span | None = None
        self._text = text
        self._open: list[tuple[Span, bool]] = []  # whether a mapping's key has come and its value has not

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event))
        elif isinstance(event, yaml.AliasEvent):
            self._put(Span(*_place(event), "alias", text=event.anchor or ""))
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            start, _ = _place(event)
            style = "flow" if event.flow_style else "block"
            is_list = isinstance(event, yaml.SequenceStartEvent)
            span = Span(start, start, style, is_list, column=self._column(start), anchored=event.anchor is not None)
            self._open.append((span, False))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            span, _ = self._open.pop()
            span.end = _place(event)[1] if span.style == "flow" else max(one.end for one in span.items)
            self._put(span)

    def _scalar(self, event: yaml.ScalarEvent) -> Span:
        start, end = _place(event)
        if event.style in ("|", ">"):  # ends with the line feeds behind it
            end = start + len(self._text[start:end].rstrip())
        quoted = event.style is not None
        return Span(start, end, "scalar", text=event.value, quoted=quoted, anchored=event.anchor is not None)

    def _column(self, place: int) -> int:
        return place - (self._text.rfind("\n", 0, place) + 1)

    def _put(self, span: Span) -> None:
        if not self._open:
            self.root = span
            return
        parent, wants_value = self._open[-1]
        if parent.is_list:
            parent.items.append(span)
        elif wants_value:
            parent.items.append(span)
            self._open[-1] = parent, False
        else:
            if not parent.keys and parent.style == "block":
                parent.column = self._column(span.start)
            parent.keys.append(span)
            self._open[-1] = parent, True


def _place(event: Any) -> tuple[int, int]:
    """Get where an event begins and ends, in characters."""
    return event.start_mark.index, event.end_mark.index
