"""What pydantic found wrong, in sentences: where in the file, what was expected, what stands there, how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from aeqlab.protocols.errors import Problem
from aeqlab.protocols.known_keys import Loc, known_keys, models_at
from aeqlab.protocols.nearest import did_you_mean, nearest
from aeqlab.protocols.stages.options import MARKS
from aeqlab.protocols.yaml import Node

#: Kinds of pydantic errors that say only that something else was expected, and what.
_EXPECTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "dataclass_type": "a mapping (key: value)",
    "none_required": "nothing",
}
_ONE_OF = {"literal_error", "enum"}
_SENTENCES = {
    "greater_than": "it must be above {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be below {lt}",
    "less_than_equal": "it must be at most {le}",
    "finite_number": "it must be finite",
    "string_too_short": "it needs at least {min_length} characters",
    "string_too_long": "it may have at most {max_length} characters",
    "too_short": "it needs at least {min_length} entries",
    "too_long": "it may have at most {max_length} entries",
}
_CHOICES = re.compile(r"'([^']*)'|\b(?!or\b)(\w+)\b")
MOST_NAMES = 14  #: listed at once
_YES_NO = {"yes": "true", "on": "true", "no": "false", "off": "false"}


@dataclass(frozen=True, slots=True)
class _Found:
    """One of pydantic's errors: the node it concerns, its path in the file, and the union members on the way to it."""

    node: Node
    path: Loc
    unions: tuple[tuple[Loc, str], ...]
    error: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.error["type"])

    @property
    def loc(self) -> Loc:
        """Where pydantic found it, with the labels of union members."""
        return tuple(self.error["loc"])

    @property
    def shape_only(self) -> bool:
        return self.kind in _EXPECTED or self.kind in _ONE_OF


def explain(exc: ValidationError, tree: Node, model: type[BaseModel]) -> list[Problem]:
    """Turn a validation error into problems, at most one per place and mistake.

    Args:
        exc: what validating the tree raised.
        tree: the tree that was validated.
        model: the model it was validated against.
    """
    found = [_walk(tree, dict(error)) for error in exc.errors(include_url=False, include_input=False)]
    misspelt = {
        (f.path[:-1], nearest(str(f.path[-1]), known_keys(model, f.loc[:-1]))) for f in found if f.kind == "extra_forbidden"
    }
    groups = [g for g in _grouped(found) if g[0].kind != "missing" or (g[0].path[:-1], g[0].loc[-1]) not in misspelt]
    return list(dict.fromkeys(_problem(group, model) for group in groups))


def place_of(tree: Node, path: Iterable[int | str]) -> Node:
    """Find the node at a path, or the deepest one on the way to it that exists; a mapping's entry stands where its key does."""
    node = tree
    for part in path:
        key = str(part)
        if isinstance(part, int) and isinstance(node.value, dict):
            continue  # a single entry where a list of them may stand
        if isinstance(node.value, dict) and key not in node.value:
            key = _with_unit(key, node.value)
        if isinstance(node.value, dict) and key in node.value:
            node = _entry(node, key)
        elif isinstance(node.value, list) and str(part).isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
        else:
            break
    return node


def _with_unit(key: str, keys: Iterable[str]) -> str:
    """Find the key that is meant where it bears its unit, such as limits_V or slew_mm_per_s; else it is the key itself."""
    head, rate = (key.removesuffix("_per_s"), "_per_s") if key.endswith("_per_s") else (key, "")
    pattern = re.compile(rf"{re.escape(head)}_[A-Za-z%µΩ/]+{rate}")
    return next((one for one in keys if pattern.fullmatch(one)), key)


def _entry(parent: Node, key: str, *, by_key: bool = False) -> Node:
    """Get an entry of a mapping; a list or mapping (with `by_key`, anything) gets the place of its key."""
    assert isinstance(parent.value, dict)
    child = parent.value[key]
    if key in parent.places and (by_key or isinstance(child.value, list | dict)):
        line, column = parent.places[key]
        return Node(child.value, child.file, line, column, child.text, child.quoted, child.places)
    return child


def _walk(tree: Node, error: dict[str, Any]) -> _Found:
    node = tree
    path: Loc = ()
    unions: list[tuple[Loc, str]] = []
    loc: Loc = tuple(error["loc"])
    for i, part in enumerate(loc):
        value = node.value
        if isinstance(value, dict) and isinstance(part, str) and part not in value:
            part = _with_unit(part, value)
        if isinstance(value, dict) and isinstance(part, str) and part in value:
            node = _entry(node, part, by_key=error["type"] == "extra_forbidden")
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            node = value[part]
        elif not (error["type"] == "missing" and i == len(loc) - 1) and value != part:
            unions.append((path, str(part)))  # neither a missing key, nor a bare word that stands for a mapping: - evaluate
            continue
        path = (*path, part)
    return _Found(node, path, tuple(unions), error)


def _grouped(found: list[_Found]) -> Iterable[list[_Found]]:
    """Bring together what the members of one union said of one value, and keep those members that it was meant for."""
    rest = list(found)
    while rest:
        first = rest[0]
        for place, _ in first.unions:
            same = [f for f in rest if any(p == place for p, _ in f.unions)]
            labels = {label for f in same for p, label in f.unions if p == place}
            if len(labels) > 1:
                rest = [f for f in rest if f not in same]
                meant = [f for f in same if f.path != place or not f.shape_only]
                if meant:
                    label = next(label for p, label in meant[0].unions if p == place)
                    for f in meant:
                        if (place, label) in f.unions:
                            yield [f]
                else:
                    yield same
                break
        else:
            rest.pop(0)
            yield [first]


def _problem(group: list[_Found], model: type[BaseModel]) -> Problem:
    first = group[0]
    node, path, error = first.node, first.path, first.error
    key = ".".join(map(str, path))
    loc = first.loc
    if first.kind == "extra_forbidden":
        return _unknown_key(first, key, known_keys(model, loc[:-1]))
    if first.kind == "missing":
        if isinstance(loc[-1], int):
            return node.problem(f"the list is too short: entry {loc[-1] + 1} is missing.", key=key)
        return node.problem(f"the key {loc[-1]!r} is missing.", _description(model, loc), key=key)
    if first.kind in ("union_tag_invalid", "union_tag_not_found"):
        return _union_tag(first, key)
    if first.kind == "value_error":
        message = str(error["ctx"]["error"]) if "ctx" in error else str(error["msg"])
        return _said_by_a_model(node, message, key)
    if first.shape_only:
        return _other_expected(group, key, model)
    if first.kind == "string_pattern_mismatch":
        return node.problem(f"{_shown(node)} does not have the right form.", _description(model, loc), key=key)
    if first.kind in _SENTENCES:
        limits = {name: f"{value:g}" if isinstance(value, float) else value for name, value in error.get("ctx", {}).items()}
        said = _SENTENCES[first.kind].format_map(limits)
        return node.problem(f"{_shown(node)} is not allowed: {said}.", _description(model, loc), key=key)
    return node.problem(_sentence(str(error["msg"])), key=key)


def _said_by_a_model(node: Node, message: str, key: str) -> Problem:
    """Point at the key with which a model's own sentence begins, such as `gains: ...`, if the file has it."""
    word, _, rest = message.partition(" ")
    name = word.rstrip(":")
    if isinstance(node.value, dict) and name in node.value:
        node, key = _entry(node, name), f"{key}.{name}" if key else name
        message = rest if word.endswith(":") else message
    return node.problem(_sentence(message), key=key)


def _unknown_key(found: _Found, key: str, names: list[str]) -> Problem:
    word = str(found.path[-1]) if found.path else ""
    hint = did_you_mean(word, names).strip() or f"Known here: {_listed(names)}."
    if word.isdecimal():
        hint = "Numbers are written without a comma: 0.1, 1000."
    return found.node.problem(f"there is no key {_cut(word)!r} here.", hint, key=key)


def _union_tag(found: _Found, key: str) -> Problem:
    context = found.error["ctx"]
    tag = str(context["discriminator"]).strip("'")
    node = found.node
    if found.kind == "union_tag_not_found":
        return node.problem(f"the key {tag!r} is missing.", "It says which of several kinds is meant.", key=key)
    words = _choices(str(context["expected_tags"]))
    if isinstance(node.value, dict) and tag in node.value:
        node, key = node.value[tag], f"{key}.{tag}"
    hint = did_you_mean(str(context["tag"]), words).strip()
    return node.problem(f"one of {_listed(words)} is expected, not {_shown(node)}.", hint, key=key)


def _other_expected(group: list[_Found], key: str, model: type[BaseModel]) -> Problem:
    node = group[0].node
    words = [word for f in group if f.kind in _ONE_OF for word in _choices(str(f.error["ctx"]["expected"]))]
    if any(m.__name__ == "StageEntry" for m in models_at(model, group[0].loc)):
        stages = [key for key in known_keys(model, group[0].loc) if key not in MARKS]
        hint = did_you_mean(str(node.value), stages).strip() or f"There are {_listed(stages)}."
        return node.problem(f"a stage is expected here, such as - evaluate: {{}}, not {_shown(node)}.", hint, key=key)
    phrases = [_phrase(f, model) for f in group if f.kind in _EXPECTED]
    if len(words) > 1:
        phrases.append(f"one of {_listed(words)}")
    elif words:
        phrases.append(f"the word {words[0]}" if words[0].isalpha() else words[0])
    message = f"{' or '.join(dict.fromkeys(phrases))} is expected, not {_shown(node)}."
    return node.problem(message, _mend(node, phrases, words), key=key)


def _phrase(found: _Found, model: type[BaseModel]) -> str:
    """Say what was expected; of a mapping, which keys it has."""
    if found.kind.startswith("model"):
        name = found.error.get("ctx", {}).get("class_name")
        for candidate in models_at(model, found.loc):
            if candidate.__name__ == name and candidate.model_fields:
                return f"a mapping {{{', '.join(f'{key}: ...' for key in list(candidate.model_fields)[:4])}}}"
    return _EXPECTED[found.kind]


def _mend(node: Node, phrases: list[str], words: list[str]) -> str:
    """Say how to mend a value of the wrong type, where a usual slip is recognised."""
    text = node.text or ""
    wants_number = any("number" in phrase for phrase in phrases)
    if "true or false" in phrases and text.lower() in _YES_NO:
        return f"Write {_YES_NO[text.lower()]}."
    if wants_number and node.quoted and re.fullmatch(r"[-+0-9.eE]+", text):
        return "Take the quotes away."
    if wants_number and re.fullmatch(r"[-+]?\d+,\d+", text):
        return f"Write {text.replace(',', '.')}, with a point."
    if wants_number and re.fullmatch(r"[-+]?\d[\d_]*", text):
        return f"Write {text.replace('_', '')}."
    if "a whole number" in phrases and isinstance(node.value, float) and node.value.is_integer():
        return f"Write {int(node.value)}."
    if phrases == ["a text"] and text and not node.quoted:
        return f"Put it in quotes: '{text}'."
    if words and isinstance(node.value, str):
        return did_you_mean(node.value, words).strip()
    return ""


def _description(model: type[BaseModel], loc: Loc) -> str:
    """Get what the description of the key at `loc` says."""
    for found in models_at(model, loc[:-1]):
        for name, info in found.model_fields.items():
            if (info.alias or name) == loc[-1] and info.description:
                return _sentence(info.description[:1].upper() + info.description[1:])
    return ""


def _shown(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    if node.value is None:
        return "an empty value"
    if isinstance(node.value, str):
        return f"the text {_cut(node.value)!r}"
    return _cut(node.text or str(node.value))


def _listed(words: list[str]) -> str:
    shown = [word if re.fullmatch(r"[\w.-]+", word) else repr(word) for word in words]
    return ", ".join(shown[:MOST_NAMES]) + (f" and {len(shown) - MOST_NAMES} more" if len(shown) > MOST_NAMES else "")


def _choices(expected: str) -> list[str]:
    """Take apart what pydantic says is expected: 'a', 'b' or 'c'."""
    found = [quoted or bare for quoted, bare in _CHOICES.findall(expected)]
    return [word.encode().decode("unicode_escape") if "\\" in word else word for word in found]


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
