"""The nearest valid name for a word that is not one: `Did you mean 'centered'?`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Find the name most like a word, whatever its case and its dashes; None if none is alike."""
    by_form = {_form(name): name for name in names}
    close = difflib.get_close_matches(_form(word[:100]), by_form, n=1, cutoff=0.6)
    return by_form[close[0]] if close else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Say ` Did you mean 'name'?` with a space before it, or nothing if no name is alike."""
    name = nearest(word, names)
    return "" if name is None else f" Did you mean {name!r}?"


def _form(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")
