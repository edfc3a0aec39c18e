"""Fields of a form, made from the models that check a rig file: their kinds, words, defaults, and what they are for."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from aeqlab.protocols.yaml_tree import parse_scalar

NUMBER, WHOLE, TEXT, CHOICE, OTHER = "number", "whole", "text", "choice", "other"


@dataclass(frozen=True, slots=True)
class KeyField:
    """A key that a form can fill.

    Attributes:
        key: as in the file.
        kind: number, whole, text, choice, or other: what only the file itself can hold, such as a mapping.
        words: what can be chosen, by the value it stands for.
        needed: it has no default.
        default: what counts where it is left out, in words.
        about: what it is for.
    """

    key: str
    kind: str
    words: tuple[tuple[str, Any], ...] = ()
    needed: bool = False
    default: str = ""
    about: str = ""

    def value(self, text: str) -> Any:
        """Make a value of what was typed or chosen: None for nothing, and the text itself where it is no number."""
        text = text.strip()
        if not text:
            return None
        if self.kind == CHOICE:
            return dict(self.words).get(text, text)
        if self.kind == TEXT:
            return text
        try:
            return parse_scalar(text)
        except ValueError:
            return text

    def shown(self, value: Any) -> str:
        """Write a value as the form shows it."""
        if value is None:
            return ""
        for word, one in self.words:
            if one == value and type(one) is type(value):
                return word
        return f"{value:g}" if isinstance(value, float) else str(value)


@cache
def fields_of(model: type[BaseModel], leave_out: frozenset[str] = frozenset()) -> tuple[KeyField, ...]:
    """Get the fields of a model, in its order."""
    found = []
    for key, about in model.model_fields.items():
        if key in leave_out:
            continue
        kind, words = _kind(about.annotation)
        default = "" if about.is_required() else _in_words(about.default)
        found.append(KeyField(key, kind, words, about.is_required(), default, about.description or ""))
    return tuple(found)


def _in_words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, str | int) else ""


def _kind(annotation: Any) -> tuple[str, tuple[tuple[str, Any], ...]]:
    parts = list(_parts(annotation))
    words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    if words:
        return CHOICE, tuple((str(word), word) for word in words)
    if bool in parts:
        return CHOICE, (("yes", True), ("no", False))
    if any(get_origin(part) is not None or part not in (int, float, str) for part in parts):
        return OTHER, ()
    return (NUMBER if float in parts else WHOLE if int in parts else TEXT), ()


def _parts(annotation: Any) -> Iterable[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin is Union or origin is types.UnionType:
        for one in get_args(annotation):
            yield from _parts(one)
    elif annotation is not type(None):
        yield annotation
