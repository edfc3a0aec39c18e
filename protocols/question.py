"""A question that a run asks, and the one answer it takes: from the terminal, the command line, Python, or the time-out."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

MOST_LETTERS = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, as text; by whom, and how: command, terminal or time-out."""

    text: str
    who: str
    how: str


class Question:
    """A question that stands until it is answered; any thread may answer it, and the first valid answer is taken.

    Args:
        text: the question.
        choices: the words there are to choose from; none: any text.
        number: a number is asked for.
        limits: lowest and highest number.
    """

    def __init__(
        self, text: str, *, choices: tuple[str, ...] = (), number: bool = False, limits: tuple[float, float] | None = None
    ) -> None:
        self.text, self.choices, self.number, self.limits = text, choices, number, limits
        self._lock = threading.Lock()
        self._answer: Answer | None = None

    @property
    def taken(self) -> Answer | None:
        """Get the answer; None while there is none."""
        return self._answer

    @property
    def in_words(self) -> str:
        """Get the question with what may be answered."""
        return f"{self.text} ({self.expected})"

    @property
    def expected(self) -> str:
        """Get what may be answered."""
        if self.choices:
            return ", ".join(self.choices)
        if not self.number:
            return "a text"
        return "a number" if self.limits is None else f"a number from {self.limits[0]:g} to {self.limits[1]:g}"

    def wrong(self, text: str) -> str:
        """Say what is wrong with an answer, and what is expected; empty if it is one."""
        said = text.strip()
        if self.choices:
            return "" if said in self.choices else f"{said[:40]!r} is none of the choices: {', '.join(self.choices)}."
        if self.number:
            low, high = self.limits or (-math.inf, math.inf)
            value = _number(said)
            good = value is not None and low <= value <= high
            return "" if good else f"{said[:40]!r} is not what is asked for: {self.expected}."
        return "" if said and len(said) <= MOST_LETTERS else f"A text is asked for, of at most {MOST_LETTERS:,} letters."

    def answer(self, text: str, who: str, how: str) -> str:
        """Answer it; returns why the answer is not taken, empty if it is."""
        wrong = self.wrong(text)
        if wrong:
            return wrong
        with self._lock:
            if self._answer is not None:
                return f"{self._answer.who} answered {self._answer.text!r} already."
            self._answer = Answer(text.strip(), who, how)
        return ""

    def value(self, answer: Answer) -> str | float:
        """Get an answer as what it is: a number, or a text."""
        return float(answer.text) if self.number else answer.text


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
