"""Taking a rig file into an experiment: read as strictly, its mistakes told at its own lines, its paths from its own folder."""

from __future__ import annotations

import os
from pathlib import Path

from aeqlab.backends.user_code import is_user_code
from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.yaml import Node, parse, read_text

#: Keys of a rig file that name a file beside it, but for those of drivers.
_ROWS = ("controls", "parameters", "inputs", "outputs")


def take_in_rig(tree: Node, base: Path) -> list[Problem]:
    """Put the rig that `device.file` names under `device.rig`, where the experiment does not have it there itself.

    Args:
        tree: of the experiment; changed.
        base: folder from which its paths count.
    Returns:
        What is wrong with the rig file beyond its values, which are checked with those of the experiment.
    """
    device = tree.value.get("device") if isinstance(tree.value, dict) else None
    if device is None or not isinstance(device.value, dict):
        return []
    kind, named = device.value.get("kind"), device.value.get("file")
    described = device.value.get("rig")
    if kind is None or kind.value != "rig" or (described is not None and described.value is not None):
        return []
    if named is None or not isinstance(named.value, str):
        return [device.problem("a rig needs its file.", "Write for example file: bench.yaml.", key="device.file")]
    path = base / named.value
    try:
        rig, problems = parse(read_text(path), named.value)
    except FileErrors as exc:
        return list(exc.problems)
    if isinstance(rig.value, dict):
        _from_its_folder(rig, path.resolve().parent, base.resolve())
        _named(rig, path)
    device.value["rig"] = rig
    return problems


def _named(rig: Node, path: Path) -> None:
    """Give a rig the name of its file, and its identifications a place beside it, where it says neither."""
    assert isinstance(rig.value, dict)
    if "name" not in rig.value:
        rig.value["name"] = Node(path.stem, rig.file, 1, 1)
    folder = path.resolve().parent
    given = rig.value.setdefault("identification", Node(None, rig.file, 1, 1))
    if given.value is None or isinstance(given.value, str):  # a full path: a run folder is elsewhere, and goes on using it
        given.value = str(folder / (given.value or f"{path.stem}-identified"))


def _from_its_folder(rig: Node, folder: Path, base: Path) -> None:
    """Let paths in a rig file, which count from its own folder, count from that of the experiment."""
    if folder == base:
        return
    assert isinstance(rig.value, dict)
    for role in _ROWS:
        row = rig.value.get(role)
        for entry in [] if row is None else row.value if isinstance(row.value, list) else [row]:
            if isinstance(entry.value, dict) and "table" in entry.value:
                _move(entry.value["table"], folder, base)
    instruments = rig.value.get("instruments")
    for one in instruments.value.values() if instruments is not None and isinstance(instruments.value, dict) else []:
        for key, node in one.value.items() if isinstance(one.value, dict) else []:
            if key == "driver" and isinstance(node.value, str) and is_user_code(node.value) and ".py:" in node.value:
                file, _, name = node.value.rpartition(":")
                node.value = f"{_relative(folder / file, base)}:{name}"
            elif key != "address":
                _move(node, folder, base)


def _move(node: Node, folder: Path, base: Path) -> None:
    """Change a path, where it is one of a file."""
    if isinstance(node.value, str) and node.value and (folder / node.value).is_file():
        node.value = _relative(folder / node.value, base)


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # another drive
        return str(path)
