"""Marks of settings that name files of the user's, as in `Annotated[str, Names.PATH]`: of these a run keeps copies."""

from __future__ import annotations

from enum import Enum


class Names(Enum):
    """What a setting names."""

    PATH = "the path of a file or a folder"
    FILES = "a file or code in one, as file.py:Name; or options, of which any word may be that"
    THETA = "a file, or a step of another run, as RUN@step"
