"""Strict reading of YAML: a tree that knows the place of every key and value, and all that is wrong with the text at once.

Stricter than PyYAML's safe loader, on whose parser it stands: duplicate keys are errors; only `true` and `false` are
booleans, so `no` stays a word; `1e-3` is a number; there are no tags, dates, merge keys or base-60 numbers; size, depth and
aliases are bounded. Nothing in a file can run code: the only values are text, numbers, booleans, nothing, lists and mappings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.yaml_syntax import syntax_problems
from aeqlab.protocols.yaml_tree import Node, TreeBuilder, parse_scalar

__all__ = ["FileErrors", "Node", "Problem", "parse", "parse_scalar", "read_text"]

MAX_BYTES = 256 * 1024  #: largest file; the largest preset has 2 thousand bytes


def read_text(path: Path) -> str:
    """Read a YAML file as text.

    Raises:
        FileErrors: it is missing, cannot be read, is too large, or is not UTF-8.
    """

    def failed(message: str, hint: str, line: int | None = None, column: int | None = None) -> FileErrors:
        return FileErrors([Problem(str(path), line, column, "", message, hint)])

    try:
        if path.is_dir():
            raise failed("this is a folder.", "Name the .yaml file in it.")
        if path.exists() and not path.is_file():  # a pipe nobody writes to would be read for ever
            raise failed("not a regular file.", "Save the experiment as a .yaml file.")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise failed("no such file.", "Check the name, or give the name of a preset.") from None
    except (OSError, ValueError) as exc:
        raise failed(
            f"it cannot be read: {getattr(exc, 'strerror', None) or exc}.", "Check its name and its permissions."
        ) from exc
    if len(raw) > MAX_BYTES:
        raise failed(f"larger than {MAX_BYTES // 1024} KiB.", "Is it another file? Long lists belong into a table of their own.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = raw[: exc.start]
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        hint = "Save it as UTF-8 (in the editor: encoding UTF-8)."
        raise failed("this is not text in UTF-8.", hint, before.count(b"\n") + 1, column) from exc


def parse(text: str, file: str, hear: Callable[[yaml.Event], None] | None = None) -> tuple[Node, list[Problem]]:
    """Parse one YAML document.

    Args:
        text: the document.
        file: what to call it in problems.
        hear: told of every event of the parser, for who needs more of the text than its tree.
    Returns:
        Its tree, and everything wrong with it beyond syntax (duplicate keys, tags ...); the tree holds the rest.
    Raises:
        FileErrors: the syntax is wrong, or a bound is crossed, so that there is no tree.
    """
    builder = TreeBuilder(file)
    _refuse_unprintable(text, file)
    loader = yaml.SafeLoader(text)
    try:
        for event in iter(loader.get_event, None):
            builder.take(event)
            if hear is not None:
                hear(event)
    except yaml.YAMLError as exc:
        raise FileErrors(builder.problems + syntax_problems(exc, text, file)) from exc
    except (ValueError, OverflowError, RecursionError) as exc:  # an escape such as "\UFFFFFFFF" is no character
        mark = loader.get_mark()
        problem = Problem(file, mark.line + 1, mark.column + 1, "", "this cannot be read as text.", "Is an escape with \\ wrong?")
        raise FileErrors([*builder.problems, problem]) from exc
    finally:
        loader.dispose()
    if builder.root is None:
        raise FileErrors([Problem(file, 1, 1, "", "the file is empty.", "An experiment has at least device: and sequence:.")])
    return builder.root, builder.problems


def _refuse_unprintable(text: str, file: str) -> None:
    """Refuse characters that YAML does not allow, before the parser meets them."""
    match = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if match is None:
        return
    before = text[: match.start()]
    message = f"the character U+{ord(match[0]):04X} is not allowed in a text file."
    place = before.count("\n") + 1, len(before) - before.rfind("\n")
    raise FileErrors([Problem(file, *place, "", message, "Delete it; is the file damaged?")])
