"""Copies of what an experiment is made from, so that its run folder can be run again from there.

Files that are named in the experiment, such as code and tables of parameters, are copied into `inputs/`, and the experiment
written to the folder names the copies. Data files (`data.path`) stay where they are; the full path is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from aeqlab.backends.user_code import ORIGINALS
from aeqlab.protocols.errors import RecordError

_COPY_BYTES = 64 * 1024 * 1024
_USER_CODE = re.compile(r"^(?P<file>.+\.py)(?P<name>:[A-Za-z_]\w*)?$")


def keep_inputs(tree: dict[str, Any], base: Path, folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Copy the files that an experiment names.

    Args:
        tree: the experiment as plain values, defaults filled in.
        base: folder from which its paths resolve.
        folder: the run folder; copies go to its `inputs/`.
    Returns:
        The tree with the copies named instead, and for each file its path, its copy ("" for none) and SHA-256.
    Raises:
        RecordError: a file cannot be copied.
    """
    keeper = _Keeper(base, folder)
    kept = {key: keeper.walk(value, data=key == "data") for key, value in tree.items() if key != "runs"}
    keeper.write_originals()
    return kept, keeper.files


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Keeper:
    def __init__(self, base: Path, folder: Path) -> None:
        self.base = base
        self.folder = folder
        self.files: list[dict[str, str]] = []
        self._copies: dict[Path, str] = {}

    def write_originals(self) -> None:
        """Say beside the copies of what they are copies, so that messages can name the user's own files."""
        originals = {Path(file["copy"]).name: file["path"] for file in self.files if file["copy"].endswith(".py")}
        if not originals:
            return
        try:
            (self.folder / "inputs" / ORIGINALS).write_text(json.dumps(originals, indent=1), encoding="utf-8")
        except OSError as exc:
            raise RecordError(f"{self.folder / 'inputs' / ORIGINALS} cannot be written: {exc.strerror or exc}.") from exc

    def walk(self, value: Any, *, data: bool = False) -> Any:
        if isinstance(value, dict):
            return {key: self._path_of(item) if data and key == "path" else self.walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.walk(item) for item in value]
        return self._word(value) if isinstance(value, str) and 0 < len(value) < 4096 else value

    def _path_of(self, value: Any) -> Any:
        """Data stays where it is: too large to copy, and its loader says its SHA-256."""
        if not isinstance(value, str):
            return value
        path = (self.base / Path(value).expanduser()).resolve()
        return str(path) if path.exists() else value

    def _word(self, word: str) -> str:
        code = _USER_CODE.match(word)
        name, rest = (code["file"], code["name"] or "") if code else (word, "")
        try:
            path = (self.base / name).resolve()
            if not Path(name).suffix or not path.is_file():
                return word
            return self._copy(path) + rest
        except (OSError, ValueError) as exc:
            raise RecordError(f"{word}: the file cannot be copied into {self.folder}: {exc}.") from exc

    def _copy(self, path: Path) -> str:
        if path in self._copies:
            return self._copies[path]
        digest = sha256_of(path)
        if path.stat().st_size > _COPY_BYTES:
            self.files.append({"path": str(path), "copy": "", "sha256": digest})
            return str(path)
        taken = set(self._copies.values())
        copy, number = f"inputs/{path.name}", 1
        while copy in taken:
            number += 1
            copy = f"inputs/{path.stem}-{number}{path.suffix}"
        shutil.copyfile(path, self.folder / copy)
        self._copies[path] = copy
        self.files.append({"path": str(path), "copy": copy, "sha256": digest})
        return copy
