"""The tree of a YAML text: values with their places, built from parser events within bounds, all mistakes collected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from aeqlab.protocols.errors import FileErrors, Problem

MAX_DEPTH = 40  #: deepest nesting
MAX_NODES = 20_000  #: most values, what aliases repeat counted in
MAX_ALIASES = 100  #: most aliases in one file
_NAN = {".nan", ".NaN", ".NAN"}
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NOTHING = {"", "~", "null", "Null", "NULL"}
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

Scalar = None | bool | int | float | str


@dataclass(slots=True)
class Node:
    """A value of a YAML tree and its place.

    Attributes:
        value: a scalar, a list of nodes, or a mapping of nodes by key.
        file, line, column: its place; the line is None for a value that came from `--set`.
        text: a scalar as it was written; None for lists and mappings.
        quoted: a scalar that was written in quotes or as a block.
        places: line and column of every key of a mapping.
        size, depth: number of values in it, itself included, and how deep they nest.
    """

    value: Scalar | list[Node] | dict[str, Node]
    file: str
    line: int | None = None
    column: int | None = None
    text: str | None = None
    quoted: bool = False
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1
    depth: int = 1

    def plain(self) -> Any:
        """Get the tree as plain Python values."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def copy(self) -> Node:
        """Copy the whole tree; what an alias repeated becomes separate."""
        value = self.value
        if isinstance(value, dict):
            value = {key: node.copy() for key, node in value.items()}
        elif isinstance(value, list):
            value = [node.copy() for node in value]
        return Node(value, self.file, self.line, self.column, self.text, self.quoted, dict(self.places), self.size, self.depth)

    def problem(self, message: str, hint: str = "", *, key: str = "") -> Problem:
        """Say that something is wrong here."""
        return Problem(self.file, self.line, self.column, key, message, hint)


def parse_scalar(text: str) -> Scalar:
    """Give a word that stands without quotes its type: nothing, true or false, a whole number, a number, or text.

    Raises:
        ValueError: a number that is too large for a computer, or not a number (.nan).
    """
    if text in _NOTHING:
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > 40:
            raise ValueError("a number with too many digits")
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("a number too large for a computer")
        return value
    if match := _INF.fullmatch(text):
        return float(match[1] + "inf")
    if text in _NAN:
        raise ValueError("not a number (.nan)")
    return text


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    wants_value: bool = False


class TreeBuilder:
    """Builds the tree from parser events, without recursion: `root` when done, `problems` on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._aliases = self._nodes = self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event of the parser."""
        if isinstance(event, yaml.ScalarEvent):
            self._tag(event)
            self._put(self._scalar(event), event.anchor)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._tag(event)
            self._start(event)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            done = self._open.pop()
            self._put(done.node, done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                hint = "Keep one document per file; delete what follows the line ---."
                raise FileErrors([*self.problems, self._problem(event, "a second YAML document begins here.", hint)])

    def _problem(self, event: yaml.Event, message: str, hint: str = "") -> Problem:
        return Problem(self.file, *_place(event), self._path(), message, hint)

    def _path(self) -> str:
        return ".".join(_steps(self._open))

    def _node(self, event: yaml.Event, value: Any, text: str | None = None, quoted: bool = False) -> Node:
        return Node(value, self.file, *_place(event), text, quoted)

    def _tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")
            hint = "Delete it: files hold only text, numbers, true, false, lists and mappings."
            self.problems.append(self._problem(event, f"the tag {_shorten(shown)} is not read.", hint))

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        text, quoted = event.value, event.style is not None
        if match := _NOT_IN_TEXT.search(text):
            message = f"the character U+{ord(match[0]):04X} is not allowed in a text."
            self.problems.append(self._problem(event, message, "Delete it, or the escape that makes it."))
            text = _NOT_IN_TEXT.sub("?", text)
        try:
            value = text if quoted else parse_scalar(text)
        except ValueError as exc:
            self.problems.append(self._problem(event, f"{_shorten(text)} is {exc}.", "Write a number a computer can hold."))
            value = 0.0
        return self._node(event, value, text, quoted)

    def _start(self, event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            problem = self._problem(event, f"nested deeper than {MAX_DEPTH} levels.", "An experiment needs fewer than ten.")
            raise FileErrors([*self.problems, problem])
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(self._node(event, value), event.anchor))

    def _alias(self, event: yaml.AliasEvent) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            problem = self._problem(event, f"more than {MAX_ALIASES} aliases (*name).", "Write the values out.")
            raise FileErrors([*self.problems, problem])
        name = event.anchor or ""
        target = self._anchors.get(name)
        if target is None:
            if name in self._anchors:
                message, hint = f"the alias *{_shorten(name)} stands within what it repeats.", "Write the values out."
            else:
                message = f"the alias *{_shorten(name)} repeats nothing: no & of that name stands before it."
                hint = "If this is a text, put it in quotes."
            self.problems.append(self._problem(event, message, hint))
            target = self._node(event, None, "")
        self._put(target, None, event)

    def _put(self, node: Node, anchor: str | None, alias: yaml.AliasEvent | None = None) -> None:
        """Put a finished node where it belongs: as a key, as a value, as an item, or as the root."""
        if alias is None:
            self._nodes += 1
            if anchor is not None:
                self._anchors[anchor] = node
        else:
            self._nodes += node.size
        if self._nodes > MAX_NODES or len(self._open) + node.depth > MAX_DEPTH + 1:
            line, column = (node.line, node.column) if alias is None else _place(alias)
            message = f"more than {MAX_NODES} values, or deeper than {MAX_DEPTH} levels, counting what aliases repeat."
            hint = "Write fewer; long lists belong into a table of their own."
            problem = Problem(self.file, line, column, self._path(), message, hint)
            raise FileErrors([*self.problems, problem])
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        parent = top.node
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif top.wants_value:
            top.wants_value = False
            if top.key is not None and isinstance(parent.value, dict):
                parent.value[top.key] = node
            top.key = None
        else:
            top.wants_value = True
            top.key = self._key(node, parent)

    def _key(self, node: Node, parent: Node) -> str | None:
        """Check a key; None for one whose value is to be dropped."""
        assert isinstance(parent.value, dict)
        if node.text is None:
            self.problems.append(node.problem("a key must be a word, not a list or a mapping.", "Quote a text with { or [."))
            return None
        key = node.text
        if key == "<<" and not node.quoted:
            self.problems.append(node.problem("merge keys (<<) are not read.", "Write the keys out.", key=self._path()))
            return None
        if not key:
            self.problems.append(node.problem("a key is missing before the colon.", "Write key: value.", key=self._path()))
            return None
        if key in parent.value:
            line = parent.places[key][0]
            message = f"the key {_shorten(key)!r} stands here twice; the first is in line {line}."
            self.problems.append(node.problem(message, "Delete one of them.", key=self._path()))
            return None
        parent.places[key] = node.line or 0, node.column or 0
        return key


def _steps(stack: list[_Open]) -> Iterator[str]:
    for entry in stack:
        if isinstance(entry.node.value, list):
            yield str(len(entry.node.value))
        elif entry.key is not None:
            yield entry.key


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "..."
