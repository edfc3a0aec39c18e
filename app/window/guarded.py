"""Parts of a look at the world, none of which keeps the others from being done."""

from __future__ import annotations

import sys
from collections.abc import Callable


class Guarded:
    """Does one part after another; what goes wrong in one is told as any exception, once and not at every look."""

    def __init__(self) -> None:
        self._wrong: dict[str, str] = {}

    def __call__(self, work: Callable[..., object], *values: object) -> None:
        """Do a part; its mistake is told again when it is another one, or had been over meanwhile."""
        place = getattr(work, "__qualname__", repr(work))
        try:
            work(*values)
        except Exception as exc:  # whatever it is: the state and the other parts have to be shown
            if self._wrong.get(place) != repr(exc):
                self._wrong[place] = repr(exc)
                sys.excepthook(*sys.exc_info())
        else:
            self._wrong.pop(place, None)
