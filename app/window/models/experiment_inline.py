"""Plain values as YAML on one line, the way a person writes them: text without quotes where none are needed."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.yaml import parse, parse_scalar

_PLAIN = re.compile(r"[\w./][\w ./()<>=+*@%^-]*(:(?=[\w./])[\w ./()<>=+*@%^-]+)*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff]")


class Typed(str):
    """A scalar as it was typed: `1e-3` stays `1e-3`; what is no number, true, false or null is a text."""

    __slots__ = ()

    @property
    def meant(self) -> Any:
        """Get the value."""
        try:
            return parse_scalar(str(self))
        except ValueError:
            return str(self)


class Written(str):
    """A value as it was typed, as YAML on one line: `[1e-3, 0.5]` stays so."""

    __slots__ = ()

    @property
    def meant(self) -> Any:
        """Get the value. Raises FileErrors where it is none."""
        tree, problems = parse(str(self), "")
        if problems:
            raise FileErrors(problems)
        return tree.plain()


def inline(value: Any) -> str:
    """Write a value on one line, so that the strict reader gives it back."""
    if isinstance(value, Typed):
        return _text(str(value)) if isinstance(value.meant, str) else str(value)
    if isinstance(value, Written):
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))}: {inline(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]"


def meant(value: Any) -> Any:
    """Get the plain value of what is to be written: of what was typed, what the reader takes it for."""
    if isinstance(value, Typed | Written):
        return value.meant
    if isinstance(value, dict):
        return {str(key): meant(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [meant(item) for item in value]
    return value


def _number(value: float) -> str:
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def _text(text: str) -> str:
    try:
        is_text = isinstance(parse_scalar(text), str)
    except ValueError:
        is_text = False
    if is_text and _PLAIN.fullmatch(text) and not text.endswith((" ", ":")):
        return text
    if _CONTROL.search(text):
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
    return "'" + text.replace("'", "''") + "'"
