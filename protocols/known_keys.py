"""Which keys a model knows at a place of the tree: found by following its types, for the nearest valid name."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Loc = tuple[int | str, ...]


def known_keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """Get the names of the fields that the model at `loc` has; `loc` may hold the labels of unions, as pydantic gives them."""
    return list(dict.fromkeys(name for found in models_at(model, loc) for name in _fields(found)))


def models_at(model: type[BaseModel], loc: Loc) -> list[type[BaseModel]]:
    """Get the models that may stand at `loc`."""
    candidates: list[Any] = [model]
    for part in loc:
        inner = [found for candidate in candidates for found in _step(candidate, part)]
        if inner:
            candidates = inner
        elif isinstance(part, str):  # the label of a union's member: its name, or the word that tells it apart
            candidates = [c for c in candidates if _labelled(c, part)] or candidates
        else:
            return []
    return [c for c in candidates if _is_model(c)]


def _step(candidate: Any, part: int | str) -> Iterator[Any]:
    if _is_model(candidate):
        if isinstance(part, str) and part in _fields(candidate):
            yield from _members(candidate.model_fields[_fields(candidate)[part]].annotation)
        return
    origin, args = get_origin(candidate), get_args(candidate)
    if isinstance(part, int) and isinstance(origin, type) and issubclass(origin, Sequence):
        for arg in args:
            if arg is not Ellipsis:
                yield from _members(arg)
    if isinstance(part, str) and isinstance(origin, type) and issubclass(origin, Mapping) and len(args) == 2:
        yield from _members(args[1])


def _members(annotation: Any) -> Iterator[Any]:
    """Take unions and annotations apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin is Union or origin is types.UnionType:
        for arg in get_args(annotation):
            yield from _members(arg)
    else:
        yield annotation


def _labelled(candidate: Any, label: str) -> bool:
    if not _is_model(candidate):
        return False
    words = {candidate.__name__}
    for info in candidate.model_fields.values():
        if get_origin(info.annotation) is Literal:
            words.update(str(word) for word in get_args(info.annotation))
    return label in words


def _fields(model: type[BaseModel]) -> dict[str, str]:
    """Get the keys of a model as a file writes them, each with the name of its field."""
    return {info.alias or name: name for name, info in model.model_fields.items()}


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)
