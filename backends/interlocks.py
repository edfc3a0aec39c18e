"""Interlocks: conditions on what is read that stop a rig, such as `temperature > 300 or abs(s) > 2`.

A condition is compared, never run: names of readouts and monitors, numbers, `< <= > >=`, `and`, `or`, `not`, `abs()`, brackets.
What is missing, not a number or too old counts as tripped: nobody knows that all is well.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Action = Literal["warn", "freeze", "safe"]
_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(\.\d*)?([eE][-+]?\d+)?|\.\d+)|(?P<word>[A-Za-z_][\w\[\].-]*)|(?P<sign><=|>=|[-<>()]))")
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
DEEPEST = 30  #: brackets within brackets


class Reading(NamedTuple):
    """A value, its unit, and how old it is in s; nan for one that is missing."""

    value: float
    unit: str
    age_s: float


Readings = Mapping[str, Reading]
Number = Callable[[Readings], float]
Truth = Callable[[Readings], bool]


@dataclass(frozen=True, slots=True)
class Interlock:
    """One condition that stops a rig.

    Attributes:
        name: for people.
        when: the condition as it was written.
        action: warn, freeze or make safe.
        stale_s: data older than this counts as tripped.
        names: what it reads.
        truth: whether it is met.
    """

    name: str
    when: str
    action: Action
    stale_s: float
    names: tuple[str, ...]
    truth: Truth

    def tripped(self, readings: Readings) -> str:
        """Say why it is tripped, with the values that it reads; empty where it is not."""
        for name in self.names:
            reading = readings.get(name)
            if reading is None or math.isnan(reading.value):
                return f"interlock {self.name}: {name} is missing, which counts as tripped ({self.when})"
            if not reading.age_s <= self.stale_s:
                return f"interlock {self.name}: {name} is {reading.age_s:.3g} s old, which counts as tripped ({self.when})"
        if not self.truth(readings):
            return ""
        values = ", ".join(f"{name} = {readings[name].value:.6g} {readings[name].unit}".rstrip() for name in self.names)
        return f"interlock {self.name}: {self.when}, and {values}"


def interlock(name: str, when: str, action: Action, stale_s: float, known: Iterable[str]) -> Interlock:
    """Make an interlock.

    Args:
        name, when, action, stale_s: as of `Interlock`.
        known: names of all that can be read.
    Raises:
        ValueError: the condition cannot be understood, or names something that is not there.
    """
    parser = _Parser(when, tuple(known))
    truth = parser.whole()
    if not parser.names:
        raise ValueError(f"{when!r} reads nothing, so it is always the same. Name a readout or a monitor.")
    return Interlock(name, when, action, stale_s, tuple(parser.names), truth)


class _Parser:
    """Reads one condition."""

    def __init__(self, text: str, known: tuple[str, ...]) -> None:
        self.text, self.known = text, known
        self.names: dict[str, None] = {}
        self._tokens = self._split()
        self._at = self._depth = 0

    def whole(self) -> Truth:
        truth = self._either()
        if self._at < len(self._tokens):
            raise self._wrong(f"after its end comes {self._tokens[self._at]!r}")
        return truth

    def _split(self) -> list[str]:
        found, at = [], 0
        while self.text[at:].strip():
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self._wrong(f"{self.text[at:].strip()[:10]!r} is not understood")
            found.append(match[0].strip())
            at = match.end()
        return found

    def _wrong(self, why: str) -> ValueError:
        return ValueError(f"{self.text!r}: {why}. Write a condition such as temperature > 300 or abs(s) > 2.")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        token = self._peek()
        if wanted and token not in wanted:
            raise self._wrong(
                f"{' or '.join(wanted)} is expected, not {token!r}" if token else f"{' or '.join(wanted)} is missing"
            )
        self._at += 1
        return token

    def _either(self) -> Truth:
        parts = [self._both()]
        while self._peek() == "or":
            self._take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda readings: any(part(readings) for part in parts)

    def _both(self) -> Truth:
        parts = [self._one()]
        while self._peek() == "and":
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda readings: all(part(readings) for part in parts)

    def _one(self) -> Truth:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong("it has too many brackets")
        try:
            if self._peek() == "not":
                self._take()
                inner = self._one()
                return lambda readings: not inner(readings)
            if self._peek() == "(":
                self._take()
                inside = self._either()
                self._take(")")
                return inside
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Truth:
        left = self._number()
        compare = _COMPARED[self._take(*_COMPARED)]
        right = self._number()
        return lambda readings: compare(left(readings), right(readings))

    def _number(self) -> Number:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong("it has too many brackets or signs")
        try:
            return self._value()
        finally:
            self._depth -= 1

    def _value(self) -> Number:
        token = self._take()
        if token == "-":
            inner = self._number()
            return lambda readings: -inner(readings)
        if token == "abs":
            self._take("(")
            inner = self._number()
            self._take(")")
            return lambda readings: abs(inner(readings))
        if not token:
            raise self._wrong("a value is missing at its end")
        if token[0].isdigit() or token[0] == ".":
            value = float(token)
            return lambda readings: value
        if token not in self.known:
            near = difflib.get_close_matches(token, self.known, 1)
            meant = f" Did you mean {near[0]}?" if near else f" There are {', '.join(self.known[:12])}."
            raise ValueError(f"{self.text!r}: there is no {token!r} that is read.{meant}")
        self.names[token] = None
        return lambda readings: readings[token].value
