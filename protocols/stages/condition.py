"""Conditions of a repetition: a name, a comparison, a number, such as `cost < 0.01`. Taken apart by form, never run as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_FORM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be so: the value of that name, compared with that number."""

    name: str
    comparison: str
    number: float

    def holds(self, found: Mapping[str, float]) -> bool:
        """Tell whether it is so; nothing can be said of a value that is no number, or not there."""
        return self.name in found and _COMPARE[self.comparison](found[self.name], self.number)

    def __str__(self) -> str:
        return f"{self.name} {self.comparison} {self.number:g}"


def condition(text: str) -> Condition:
    """Take a condition apart.

    Raises:
        ValueError: it is none.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text[:60]!r} is no condition. Write a name, one of < <= > >=, and a number, such as 'test_error_rate < 0.05'"
        )
    return Condition(match[1], match[2], float(match[3]))
