"""Saving a YAML file that a person wrote: what was not changed stays to the letter, comments stay where they are.

ruamel.yaml keeps comments and quotes; sections that did not change are then taken from the old text as they stood, with their
spaces. The result is read back strictly before it is written, so that a file is never left that says something else.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import FileErrors, RecordError
from aeqlab.protocols.yaml import parse, read_text
from aeqlab.protocols.yaml_tree import parse_scalar
from aeqlab.protocols.yaml_write import write_yaml

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_TOP = re.compile(r"([A-Za-z_][\w-]*)[ \t]*:(?=\s|$)")
FLOW_WIDTH = 4096  #: no line is broken that was not


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file as it was read: its text, and what tells whether it has changed since."""

    path: Path
    text: str

    def changed(self) -> bool:
        """Tell whether the file on disk is another one by now; one that is gone is."""
        try:
            return read_text(self.path) != self.text
        except FileErrors:
            return True


def edited(text: str, wanted: Mapping[str, Any]) -> str:
    """Edit a YAML text until it says what is wanted, and keep its comments.

    Args:
        text: the file as it stands; empty for a new one.
        wanted: plain values by key, in the order for a new file.
    Returns:
        The new text; reading it strictly gives `wanted`, in whatever order of keys.
    """
    if not text.strip():
        return fresh(wanted)
    tree, _ = parse(text, "")
    old = tree.plain()
    if old == wanted:
        return text
    try:
        yaml = _yaml(text)
        document = yaml.load(text)
        _into(document, tree.plain(), wanted)
        out = io.StringIO()
        yaml.dump(document, out)
        for candidate in (_spliced(text, out.getvalue(), old, wanted), out.getvalue()):
            if _says(candidate, wanted):
                return candidate
    except Exception as exc:  # whatever ruamel does not read or write: the strict reader decides what stands in the file
        raise RecordError(f"the file cannot be edited and keep its comments: {exc}. Save it under another name.") from exc
    raise RecordError("the file cannot be edited and keep its comments. Save it under another name.")


def fresh(wanted: Mapping[str, Any]) -> str:
    """Write a new file: one line per entry, as the examples are."""
    parts = []
    for key, value in wanted.items():
        if isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
            lines = [f"  {name}: {_flow(one)}" for name, one in value.items()]
        elif isinstance(value, list) and len(value) > 1 and all(isinstance(one, dict) for one in value):
            lines = [f"  - {_flow(one)}" for one in value]
        else:
            parts.append(f"{key}: {_flow(value)}")
            continue
        parts += [f"{key}:", *lines]
    text = "\n".join(parts) + "\n"
    return text if _says(text, wanted) else write_yaml(dict(wanted))


def save(path: Path, text: str) -> OnDisk:
    """Write a file whole or not at all.

    Raises:
        RecordError: it cannot be written; the old content stands.
    """
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError as exc:
        raise RecordError(f"{path} cannot be written: {exc.strerror or exc}. Choose another place.") from exc
    return OnDisk(path, text)


def _says(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        tree, problems = parse(text, "")
    except FileErrors:
        return False
    return not problems and tree.plain() == wanted


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = FLOW_WIDTH
    if re.search(r"^- ", text, re.MULTILINE):
        yaml.indent(mapping=2, sequence=2, offset=0)
    else:
        yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _into(node: Any, old: Any, new: Any) -> Any:
    """Change a node of ruamel's until it says what is new; returns what is to stand in its place."""
    if old == new and type(old) is type(new):
        return node
    if isinstance(new, Mapping) and _is_map(node) and isinstance(old, dict):
        _rename(node, old, new)
        for key in [key for key in node if key not in new]:
            _take_out(node, key)
        before = ""
        for key, value in new.items():
            if key in node:
                changed = _into(node[key], old.get(key), value)
                if isinstance(changed, list) and isinstance(node[key], dict):
                    _comment_after(node, key, changed)
                node[key] = changed
            else:
                node.insert(list(node).index(before) + 1 if before else 0, key, _made(value))
            before = key
        return node
    if isinstance(new, Sequence) and not isinstance(new, str) and isinstance(node, list) and isinstance(old, list):
        return _into_list(node, list(old), list(new))
    if _is_map(node) and isinstance(new, list) and any(_akin(old, one) or old == one for one in new):
        from ruamel.yaml.comments import CommentedSeq

        node.ca.comment = None  # its mapping has it too
        entries = CommentedSeq([node])  # one entry becomes one of several
        entries.fa.set_block_style()
        return _into_list(entries, [old], list(new))
    return _made(new)


def _rename(node: Any, old: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Give a key another name where one went and one came that is worth the same, so that its comments stay."""
    gone, come = [key for key in node if key not in new], [key for key in new if key not in node]
    if len(gone) == len(come) == 1 and isinstance(new[come[0]], Mapping) and old.get(gone[0]) == new[come[0]]:
        at = list(node).index(gone[0])
        comment = node.ca.items.pop(gone[0], None)
        value = node.pop(gone[0])
        node.insert(at, come[0], value)
        old[come[0]] = old.pop(gone[0])
        if comment is not None:
            node.ca.items[come[0]] = comment


def _take_out(node: Any, key: str) -> None:
    """Take a key out; what is written above the next one stays there."""
    keys = list(node)
    after = keys[keys.index(key) + 1 :]
    token = (node.ca.items.get(key) or [None] * 4)[2]
    rest = "" if token is None else token.value.partition("\n")[2]
    del node[key]
    lines = [line.strip().removeprefix("#").removeprefix(" ") for line in rest.splitlines() if line.strip()]
    if lines and after:
        node.yaml_set_comment_before_after_key(after[0], before="\n".join(lines), indent=node.lc.col or 0)


def _comment_after(node: Any, key: str, entries: Any) -> None:
    """Let what is written above the next key stay there, where the value of this one now goes over several lines."""
    from ruamel.yaml.error import CommentMark
    from ruamel.yaml.tokens import CommentToken

    token = (node.ca.items.get(key) or [None] * 4)[2]
    first, _, rest = ("", "", "") if token is None else token.value.partition("\n")
    if token is not None:
        node.ca.items[key][2] = CommentToken(f"{first}\n", CommentMark(0), None) if first else None
    if rest:
        entries.ca.items[len(entries) - 1] = [CommentToken(f"\n{rest}", CommentMark(0), None), None, None, None]


def _is_map(node: Any) -> bool:
    return isinstance(node, dict)


def _into_list(node: Any, old: list[Any], new: list[Any]) -> Any:
    """Change a list: entries that are the same stay, those between them are changed in their places, added or taken out."""
    if not any(isinstance(one, dict | list) for one in [*old, *new]):
        return _made(new)
    for at, value in enumerate(new):
        same = next((k for k in range(at, len(old)) if old[k] == value), None)
        if same is not None and not any(one in new for one in old[at:same]):
            for _ in range(same - at):
                del node[at], old[at]
        elif at < len(old) and old[at] not in new and _akin(old[at], value):
            node[at], old[at] = _into(node[at], old[at], value), value
        elif same is None or same != at:
            node.insert(at, _made(value))
            old.insert(at, value)
    while len(node) > len(new):
        del node[len(new)]
    return node


def _akin(old: Any, new: Any) -> bool:
    """Tell whether an entry is a changed one and not another: it has a name or a channel in common, or it is no mapping."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return type(old) is type(new)
    keys = ("name", "names", "channel", "channels", "when", "of")
    named = any(key in old and old.get(key) == new.get(key) for key in keys)
    return named or 2 * sum(new.get(key) == value for key, value in old.items()) >= len(old)


def _made(value: Any) -> Any:
    """Make a node of plain values, on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        mapping = CommentedMap((str(key), _made(one)) for key, one in value.items())
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, str):
        return value if _bare(value) else DoubleQuotedScalarString(value)
    if isinstance(value, Sequence):
        sequence = CommentedSeq(_made(one) for one in value)
        if len(value) > 1 and all(isinstance(one, Mapping) for one in value):
            sequence.fa.set_block_style()
        else:
            sequence.fa.set_flow_style()
        return sequence
    return value


def _bare(text: str) -> bool:
    """Tell whether a text can stand without quotes, and is a text still when it is read."""
    try:
        return bool(_BARE.fullmatch(text)) and isinstance(parse_scalar(text), str)
    except ValueError:
        return False


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return value if _bare(value) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _spliced(text: str, dumped: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Take sections that did not change from the old text, with their spaces."""
    before, after = dict(_sections(text)), _sections(dumped)
    if len(before) != len(_sections(text)):
        return dumped
    parts = []
    for key, part in after:
        if key in before and (key == "" or (key in old and old[key] == new.get(key))):
            part = before[key]
        elif key in before and (gap := re.match(rf"{re.escape(key)}[ \t]*:[ \t]+(?=\S)", before[key])):
            part = re.sub(rf"\A{re.escape(key)}: (?=\S)", gap[0], part)
        parts.append(part)
    return "".join(parts)


def _sections(text: str) -> list[tuple[str, str]]:
    """Cut a text before every key at its left edge; what comes first has no key."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines(keepends=True):
        match = _TOP.match(line)
        if match is not None:
            found.append((match[1], []))
        found[-1][1].append(line)
    return [(key, "".join(lines)) for key, lines in found if lines]
