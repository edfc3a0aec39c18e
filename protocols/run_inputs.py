"""Copies of what an experiment is made from, so that its run folder can be run again from there.

Settings that name files say so themselves (`Names`). Their files, such as code, tables of data and of parameters, are copied
into `inputs/`, and so is theta of another run; the experiment written to the folder names the copies. Large files and folders,
such as those of images, stay where they are; the full path is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from aeqlab.backends.named_files import Names
from aeqlab.backends.user_code import ORIGINALS
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.places import is_file, resolve
from aeqlab.protocols.restoring import run_and_step, theta_of_run

COPY_BYTES = 64 * 1024 * 1024  #: up to so many bytes of a file are copied
_USER_CODE = re.compile(r"^(?P<file>.+\.py)(?P<name>:[A-Za-z_]\w*)?$")


@dataclass(frozen=True, slots=True)
class KeptInputs:
    """What was kept.

    Attributes:
        tree: the experiment as plain values, with the copies named instead.
        files: for each file its path, its copy ("" for none) and SHA-256.
        warnings: sentences about what was not copied.
    """

    tree: dict[str, Any]
    files: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def keep_inputs(experiment: BaseModel, base: Path, folder: Path) -> KeptInputs:
    """Copy the files that an experiment names.

    Args:
        experiment: the experiment.
        base: folder from which its paths resolve.
        folder: the run folder; copies go to its `inputs/`.
    Raises:
        RecordError: a file cannot be copied.
        DataError: there is no such run as `restore` names.
        CheckpointError: that run did not keep theta of the step.
    """
    tree = experiment.model_dump(mode="json")
    tree.pop("runs", None)
    keeper = _Keeper(base, folder, KeptInputs(tree))
    keeper.walk(experiment, tree)
    keeper.write_originals()
    return keeper.kept


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Keeper:
    def __init__(self, base: Path, folder: Path, kept: KeptInputs) -> None:
        self.base = base
        self.folder = folder
        self.kept = kept
        self._copies: dict[Path | str, str] = {}

    def walk(self, value: Any, tree: Any) -> None:
        """Go through a model and its plain values side by side, and replace in these what names a file."""
        match value, tree:
            case BaseModel(), dict():
                for name, about in type(value).model_fields.items():
                    key = about.alias or name
                    if key not in tree:
                        continue
                    names = next((mark for mark in about.metadata if isinstance(mark, Names)), None)
                    if names is None:
                        self.walk(getattr(value, name), tree[key])
                    else:
                        tree[key] = self._replaced(tree[key], names)
                for key in value.model_extra or {}:  # keys of a driver, which may name files
                    tree[key] = self._replaced(tree[key], Names.FILES)
            case dict(), dict():
                for key in tree:
                    self.walk(value[key], tree[key])
            case list() | tuple(), list():
                for item, plain in zip(value, tree, strict=True):
                    self.walk(item, plain)

    def write_originals(self) -> None:
        """Say beside the copies of what they are copies, so that messages can name the user's own files."""
        originals = {Path(file["copy"]).name: file["path"] for file in self.kept.files if file["copy"]}
        if not originals:
            return
        try:
            (self.folder / "inputs" / ORIGINALS).write_text(json.dumps(originals, indent=1), encoding="utf-8")
        except OSError as exc:
            raise RecordError(f"{self.folder / 'inputs' / ORIGINALS} cannot be written: {exc.strerror or exc}.") from exc

    def _replaced(self, value: Any, names: Names) -> Any:
        if isinstance(value, dict):
            return {key: self._replaced(item, names) for key, item in value.items()}
        if isinstance(value, list):
            return [self._replaced(item, names) for item in value]
        if not isinstance(value, str) or not 0 < len(value) < 4096:
            return value
        try:
            return self._path(value) if names is Names.PATH else self._word(value, names)
        except (OSError, ValueError) as exc:
            raise RecordError(f"{value}: the file cannot be copied into {self.folder}: {exc}.") from exc

    def _path(self, named: str) -> str:
        path = resolve(self.base, named).resolve()
        if is_file(path):
            return self._copy(path)
        return str(path) if path.exists() else named

    def _word(self, word: str, names: Names) -> str:
        code = _USER_CODE.match(word)
        name, rest = (code["file"], code["name"] or "") if code else (word, "")
        if Path(name).suffix and is_file(path := resolve(self.base, name)):
            return self._copy(path.resolve()) + rest
        return self._theta(word) if names is Names.THETA and "@" in word else word

    def _theta(self, word: str) -> str:
        """Save theta of another run; the present one has still to come to its step."""
        folder, step = run_and_step(word, self.base, self.folder)
        if folder.resolve() == self.folder.resolve():
            return word
        if word not in self._copies:
            self._copies[word] = copy = self._name_for(f"{folder.name}@{step}", ".npy")
            np.save(self.folder / copy, theta_of_run(folder, step))
            self._add(f"{folder.resolve()}@{step}", copy, sha256_of(self.folder / copy))
        return self._copies[word]

    def _copy(self, path: Path) -> str:
        if path in self._copies:
            return self._copies[path]
        digest = sha256_of(path)
        size = path.stat().st_size
        if size > COPY_BYTES:
            self._copies[path] = str(path)
            self._add(str(path), "", digest)
            self.kept.warnings.append(
                f"{path} was not copied: it has {size / 2**20:.0f} MB, and copies are kept up to {COPY_BYTES // 2**20} MB. "
                "The run can be repeated as long as the file stays there."
            )
        else:
            self._copies[path] = copy = self._name_for(path.stem, path.suffix)
            shutil.copyfile(path, self.folder / copy)
            self._add(str(path), copy, digest)
        return self._copies[path]

    def _name_for(self, stem: str, suffix: str) -> str:
        taken = set(self._copies.values())
        copy, number = f"inputs/{stem}{suffix}", 1
        while copy in taken:
            number += 1
            copy = f"inputs/{stem}-{number}{suffix}"
        return copy

    def _add(self, path: str, copy: str, digest: str) -> None:
        self.kept.files.append({"path": path, "copy": copy, "sha256": digest})
