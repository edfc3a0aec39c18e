"""The fields of a form, made from the same models that check the files: kind, limits, unit, default and meaning of each."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from aeqlab.app.window.models.experiment_inline import inline
from aeqlab.backends import costs, couplings
from aeqlab.backends.energy_kinds import OPTIONS, UserOptions
from aeqlab.backends.named_files import Names
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.options import MARKS


class Kind(Enum):
    """How a field is filled in."""

    NUMBER = "a number"
    WHOLE = "a whole number"
    SWITCH = "true or false"
    CHOICE = "one of some words"
    TEXT = "a text"
    PATH = "the path of a file or a folder"
    LIST = "a list of values"
    VALUE = "one of several kinds of values, as YAML on one line"
    SECTION = "settings of their own"
    VARIANT = "one of several kinds of settings, or a word"
    SECTIONS = "a list of settings"
    NAMED = "settings by a name of one's own"
    STAGES = "stages, in order"


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the kinds that a field may be of.

    Attributes:
        word: what it is called, such as `slow` or `settled`.
        value: what stands in the file for a word without settings.
        model: its settings; None for a word alone.
    """

    word: str
    value: Any = None
    model: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form.

    Attributes:
        key: as a file writes it.
        kind: how it is filled in.
        meaning: one sentence or more.
        takes: which values, in words, such as `a number above 0, at most 10`.
        unit: of the value; empty for a plain number, or where it is none.
        default: what it is when it is left out, in words.
        needed: it cannot be left out.
        choices: of CHOICE all words; of others words that may be meant.
        tag: of VARIANT, the key that says which; empty where the value itself does.
        follows: of VARIANT, a key beside it that says which instead.
        variants: of VARIANT.
        model: of SECTION, SECTIONS and NAMED; None where the keys are free.
        free: of SECTION without a model, what each value is.
        long: of TEXT, it may have several lines.
    """

    key: str
    kind: Kind
    meaning: str = ""
    takes: str = ""
    unit: str = ""
    default: str = ""
    needed: bool = False
    choices: tuple[str, ...] = ()
    tag: str = ""
    follows: str = ""
    variants: tuple[Variant, ...] = ()
    model: type[BaseModel] | None = None
    free: Field | None = None
    long: bool = False

    def variant_of(self, value: Any, beside: Mapping[str, Any]) -> Variant | None:
        """Find which of its variants a plain value is; None where it is none of them, or not given."""
        if self.follows:
            word = str(beside.get(self.follows))
            return next((one for one in self.variants if one.word == word), self.variants[-1])
        if isinstance(value, dict):
            if self.tag:
                return next((one for one in self.variants if one.word == value.get(self.tag)), None)
            fits = [one for one in self.variants if one.model is not None]
            return max(fits, key=lambda one: len(value.keys() & _keys(one.model)), default=None)
        return next((one for one in self.variants if one.model is None and same(one.value, value)), None)


@dataclass(frozen=True, slots=True)
class Section:
    """The fields of one model.

    Attributes:
        title: one sentence about it.
        fields: in their order.
        free: what a key is that is none of these; None where such a key is a mistake.
    """

    title: str
    fields: tuple[Field, ...]
    free: Field | None = None

    @property
    def order(self) -> tuple[str, ...]:
        """Keys in their order."""
        return tuple(field.key for field in self.fields)


#: Words that a text may be, beside what is a person's own.
_SUGGESTED: dict[str, tuple[str, ...]] = {
    "energy": tuple(OPTIONS),
    "coupling": tuple(couplings.BUILT_IN),
    "cost": tuple(costs.BUILT_IN),
    "theta": ("random", "best"),
    "torch_device": ("cpu", "cuda"),
}
_LONG = ("notes", "text")  #: texts of several lines
_UNITS = {"V_per_s": "V/s", "per_s": "/s", "s": "s", "V": "V", "A": "A", "h": "h", "Hz": "Hz", "bytes": "bytes", "bits": "bit"}
_UNITS |= {"ticks": "ticks", "seconds": "s"}
_OF_NAME = re.compile(rf"(?:.*?_)?({'|'.join(_UNITS)})")
_OF_MEANING = (
    (re.compile(r"\bin lags\b|this many lags"), "lags"),
    (re.compile(r"\bin 1/s\b"), "1/s"),
    (re.compile(r"this many ticks"), "ticks"),
    (re.compile(r"\bin s\b|\bin seconds\b"), "s"),
)
_LEFT_OUT = re.compile(r"(?:left out|default(?: then)?|empty|null)(?::| for) ([^;)]*[^;).])")
_BOUNDS = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))


@cache
def section_of(model: type[BaseModel]) -> Section:
    """Get the fields of a model."""
    about = (model.__doc__ or "").strip().splitlines()
    fields = tuple(_field(info.alias or name, info.annotation, info) for name, info in model.model_fields.items())
    if model is StageEntry:
        fields = tuple(replace(one, default="") for one in fields)
    extra = model.model_config.get("json_schema_extra")
    free = None
    if isinstance(extra, dict) and "additionalProperties" in extra:
        free = Field("", Kind.NUMBER, "value of a quantity", "a number")
    elif model.model_config.get("extra") == "allow":
        free = Field("", Kind.VALUE, "passed on under this name", Kind.VALUE.value)
    return Section(about[0] if about else "", fields, free)


def experiment_section() -> Section:
    """Get the fields of an experiment."""
    return section_of(Experiment)


@cache
def stage_variants() -> tuple[Variant, ...]:
    """Get the stages by their words."""
    section = section_of(StageEntry)
    return tuple(Variant(one.key, model=one.model) for one in section.fields if one.key not in MARKS)


def stage_meaning(word: str) -> str:
    """Say what a stage does."""
    return next((one.meaning for one in section_of(StageEntry).fields if one.key == word), "")


def same(a: Any, b: Any) -> bool:
    """Tell whether two plain values are the same; true is not 1."""
    return type(a) is type(b) and bool(a == b)


def known_keys(variant: Variant | None) -> frozenset[str]:
    """Get the keys that the settings of a variant have."""
    return frozenset() if variant is None or variant.model is None else _keys(variant.model)


@cache
def _keys(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(info.alias or name for name, info in model.model_fields.items())


def _field(key: str, annotation: Any, info: FieldInfo) -> Field:
    marks = [mark for mark in info.metadata if isinstance(mark, Names)]
    members = list(_members(annotation, marks))
    meaning = (info.description or "").strip()
    needed = info.is_required()
    base = Field(key, Kind.VALUE, meaning, needed=needed, default=_default(info, meaning), choices=_SUGGESTED.get(key, ()))
    bounds = _bounds(info.metadata)
    models = [one for one, _ in members if _is_model(one)]
    words = [value for one, _ in members if get_origin(one) is Literal for value in get_args(one)]
    words += [choice.value for one, _ in members if isinstance(one, type) and issubclass(one, Enum) for choice in one]
    if models:
        return _of_models(base, models, [one for one, _ in members if not _is_model(one)], info)
    if len(members) != 1:
        kinds = [_takes(one, inner or bounds) for one, inner in members]
        choices = tuple(map(inline, words))
        unit = _unit(key, meaning) if any(one in (float, int) for one, _ in members) else ""
        return replace(base, choices=choices, takes=" or ".join(dict.fromkeys(kinds)), unit=unit)
    ((one, inner),) = members
    takes = _takes(one, [*bounds, *inner])
    if words:
        return replace(base, kind=Kind.CHOICE, choices=tuple(map(_word, words)), takes=takes)
    if one is bool:
        return replace(base, kind=Kind.SWITCH, choices=("true", "false"), takes=takes)
    if one in (int, float):
        kind = Kind.WHOLE if one is int else Kind.NUMBER
        return replace(base, kind=kind, takes=takes, unit=_unit(key, meaning))
    if one is str:
        return replace(base, kind=Kind.PATH if Names.PATH in marks else Kind.TEXT, takes=takes, long=key in _LONG)
    return _of_collection(base, one, takes)


def _of_models(base: Field, models: list[type[BaseModel]], others: list[Any], info: FieldInfo) -> Field:
    tag = str(info.discriminator or _tag(info.annotation))
    if tag:
        variants = tuple(Variant(str(get_args(model.model_fields[tag].annotation)[0]), model=model) for model in models)
        return replace(base, kind=Kind.VARIANT, tag=tag, variants=variants, takes=Kind.VARIANT.value)
    if UserOptions in models:
        known = tuple(Variant(word, model=model) for word, model in OPTIONS.items())
        variants = (*known, Variant("of one's own", model=UserOptions))
        return replace(base, kind=Kind.VARIANT, follows="energy", variants=variants, takes="options of the energy")
    words = [Variant(inline(value), value) for one in others for value in _values(one)]
    if words or len(models) > 1:
        settings = [Variant(next(iter(_keys(model))), model=model) for model in models]
        return replace(base, kind=Kind.VARIANT, variants=(*words, *settings), takes=Kind.VARIANT.value)
    return replace(base, kind=Kind.SECTION, model=models[0], takes=Kind.SECTION.value)


def _of_collection(base: Field, annotation: Any, takes: str) -> Field:
    origin, args = get_origin(annotation), get_args(annotation)
    inner = [one for one, _ in _members(args[-1] if origin is dict else args[0], [])] if args else []
    model = inner[0] if len(inner) == 1 and _is_model(inner[0]) else None
    if origin is dict and model is not None:
        return replace(base, kind=Kind.NAMED, model=model, takes=takes)
    if origin is dict:
        free = Field(
            "", Kind.NUMBER if inner == [float] else Kind.VALUE, base.meaning, "a number" if inner == [float] else "any value"
        )
        return replace(base, kind=Kind.SECTION, free=free, takes=takes)
    if model is StageEntry:
        return replace(base, kind=Kind.STAGES, model=model, takes=takes)
    if model is not None:
        return replace(base, kind=Kind.SECTIONS, model=model, takes=takes)
    return replace(base, kind=Kind.LIST, takes=takes)


def _members(annotation: Any, marks: list[Names], metadata: Sequence[Any] = ()) -> Iterator[tuple[Any, list[str]]]:
    """Take a type apart: what a value may be, but for nothing, each with its own bounds in words."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        marks += [mark for mark in more if isinstance(mark, Names)]
        found = [one for mark in more for one in (mark.metadata if isinstance(mark, FieldInfo) else (mark,))]
        yield from _members(inner, marks, found)
    elif origin is Union or origin is types.UnionType:
        for one in get_args(annotation):
            yield from _members(one, marks)
    elif annotation is not type(None):
        yield annotation, _bounds(metadata)


def _tag(annotation: Any) -> str:
    """Find the key that tells the members of a union apart, where it is said within the type."""
    args = get_args(annotation)
    if get_origin(annotation) is Annotated:
        said = [mark.discriminator for mark in args[1:] if isinstance(mark, FieldInfo) and mark.discriminator]
        return str(said[0]) if said else _tag(args[0])
    is_union = get_origin(annotation) is Union or isinstance(annotation, types.UnionType)
    return next(filter(None, map(_tag, args)), "") if is_union else ""


def _values(annotation: Any) -> tuple[Any, ...]:
    if annotation is bool:
        return True, False
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _word(value: Any) -> str:
    return value if isinstance(value, str) else inline(value)


def _is_model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)


def _bounds(metadata: Sequence[Any]) -> list[str]:
    found = []
    for mark in metadata:
        for name, word in _BOUNDS:
            limit = getattr(mark, name, None)
            if isinstance(limit, (int, float)) and abs(limit) < 1e100 and limit != 2**63 - 1:
                found.append(f"{word} {limit:,}" if isinstance(limit, int) else f"{word} {limit:g}")
    return found


def _takes(annotation: Any, bounds: Sequence[str]) -> str:
    """Say which values a type takes."""
    origin, args = get_origin(annotation), get_args(annotation)
    within = f", {', '.join(bounds)}" if bounds and annotation in (int, float) else ""
    if origin is Literal:
        return f"one of {', '.join(map(_word, args))}" if len(args) > 1 else f"the word {_word(args[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(choice.value) for choice in annotation)}"
    if origin is tuple and Ellipsis not in args:
        return f"{len(args)} values: [{', '.join('...' for _ in args)}]"
    if origin in (list, tuple):
        inner = " or ".join(dict.fromkeys(_takes(one, limits) for one, limits in _members(args[0], [])))
        return f"a list, each {inner}"
    if origin is dict:
        return "values by name"
    return {int: f"a whole number{within}", float: f"a number{within}", str: "a text", bool: "true or false"}.get(
        annotation, "any value"
    )


def _unit(key: str, meaning: str) -> str:
    match = _OF_NAME.fullmatch(key)
    if match is not None:
        return _UNITS[match[1]]
    return next((unit for pattern, unit in _OF_MEANING if pattern.search(meaning)), "")


def _default(info: FieldInfo, meaning: str) -> str:
    """Say what a field is when it is left out."""
    default = info.default
    if info.is_required():
        return ""
    if default is PydanticUndefined or isinstance(default, BaseModel) or default in ({}, []):
        return ""
    if default is None or default == "":
        found = _LEFT_OUT.search(meaning)
        return found[1].strip() if found else ""
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, tuple):
        default = [list(one) if isinstance(one, tuple) else one for one in default]
    if isinstance(default, float):
        return f"{default:g}"
    return default if isinstance(default, str) else inline(default)
