"""`--set key=value`: values put into the tree of an experiment after the file was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.yaml import Node, parse


def apply_overrides(tree: Node, overrides: Iterable[str], *, stages: Sequence[str], keys: Sequence[str]) -> list[Problem]:
    """Put values into a tree.

    Args:
        tree: the experiment's tree, which is changed; its first alias-free copy.
        overrides: `key=value` each; the value by the rules of YAML. A key that begins with the name of a stage means the first
            stage of that name: `train.epochs=1`.
        stages: names of the stages.
        keys: keys of an experiment.
    Returns:
        What could not be done; the rest was.
    """
    problems: list[Problem] = []
    for override in overrides:
        label = f"--set {override if len(override) <= 80 else override[:80] + '...'}"
        key, equals, text = override.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            problems.append(Problem(label, None, None, "", "key=value is expected.", "For example --set train.epochs=1."))
            continue
        try:
            value, found = _value(text, label)
        except FileErrors as exc:
            problems += exc.problems
            continue
        problems += found
        if parts[0] in stages and parts[0] not in keys:
            path = _first_stage(tree, parts[0])
            if path is None:
                problems.append(
                    Problem(label, None, None, parts[0], f"the sequence has no stage {parts[0]}.", "Add one to the file.")
                )
                continue
            parts = [*path, *parts]
        elif parts[0] not in keys:
            hint = did_you_mean(parts[0], [*keys, *stages]).strip() or f"Known: {', '.join([*keys, *stages])}."
            problems.append(Problem(label, None, None, key, f"there is no key {parts[0]!r}.", hint))
            continue
        if problem := _put(tree, parts, value, label):
            problems.append(problem)
    return problems


def _value(text: str, label: str) -> tuple[Node, list[Problem]]:
    """Parse a value; it has no line of its own."""
    if not text.strip():
        return Node(None, label, text=""), []
    try:
        node, problems = parse(text, label)
    except FileErrors as exc:
        raise FileErrors(placeless(exc.problems)) from exc
    node = node.copy()
    forget_lines(node)
    return node, placeless(problems)


def placeless(problems: Iterable[Problem]) -> list[Problem]:
    """Leave out the lines of problems: those of a text that no person wrote."""
    return [Problem(p.file, None, None, p.key, p.message, p.hint) for p in problems]


def forget_lines(node: Node) -> None:
    """Leave out the places of a tree, so that its problems name keys alone."""
    node.line = node.column = None
    node.places.clear()
    children = node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    for child in children:
        forget_lines(child)


def _first_stage(tree: Node, name: str) -> list[str] | None:
    """Find the path to the first stage of a name, those within `repeat` included."""
    sequence = tree.value.get("sequence") if isinstance(tree.value, dict) else None
    if sequence is None or not isinstance(sequence.value, list):
        return None
    for i, entry in enumerate(sequence.value):
        if entry.value == name or (isinstance(entry.value, dict) and name in entry.value):
            return ["sequence", str(i)]
        if isinstance(entry.value, dict) and "repeat" in entry.value and (inner := _first_stage(entry.value["repeat"], name)):
            return ["sequence", str(i), "repeat", *inner]
    return None


def _put(tree: Node, parts: list[str], value: Node, label: str) -> Problem | None:
    """Put a value at a path; what is missing on the way becomes a mapping, a bare word of a stage its mapping."""
    node = tree
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(node.value, list):
            if not part.isdecimal() or not part.isascii() or int(part[:9]) >= len(node.value):
                message = f"{'.'.join(parts[:i])} is a list of {len(node.value)}; {part!r} is not one of its places."
                return Problem(label, None, None, ".".join(parts), message, "Count from 0.")
            if last:
                node.value[int(part)] = value
                return None
            node = node.value[int(part)]
            continue
        if not isinstance(node.value, dict):
            word = node.value if isinstance(node.value, str) else None
            node.value = {word: Node({}, label)} if word == part and parts[i - 1].isdecimal() else {}
            node.text = None
        if last:
            node.value[part] = value
            node.places.pop(part, None)
            return None
        node = node.value.setdefault(part, Node({}, label))
    return None
