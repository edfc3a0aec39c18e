"""Code of the user's own that settings name, as `file.py:Name`: found without importing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from aeqlab.backends.user_code import is_user_code
from aeqlab.protocols.places import is_file


def user_code(settings: BaseModel) -> Iterator[str]:
    """Find the code that settings name, in files and in modules, as it is named."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, str) and is_user_code(value):
            yield value


def user_files(settings: BaseModel, base: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Find the Python files that settings name, each with the key that names it."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, str) and is_user_code(value):
            file = value.rpartition(":")[0]
            if file.endswith(".py"):
                yield (name,), base / file


def missing_user_files(settings: BaseModel, base: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find those of them that are not there, each with a sentence."""
    for key, file in user_files(settings, base):
        if not is_file(file):
            yield key, f"there is no file {file}."
