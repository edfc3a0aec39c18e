"""The stage `ask`: waits for a person, or for the time-out that answers in place of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from aeqlab.protocols.question import Question
from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession

GO_ON = ("continue", "stop")
STOP = "stop"  #: the choice that ends the run
Word = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")]


class AskOptions(StageOptions):
    """Ask a person, and wait for the answer; theta goes on being held meanwhile."""

    text: str = Field(min_length=1, max_length=2000, description="the question")
    choices: list[Word] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="the words to choose from (default: continue, stop); the answer stop ends the run",
    )
    answer: Literal["text", "number"] | None = Field(default=None, description="ask for a text or a number in place of a choice")
    limits: list[float] | None = Field(
        default=None, min_length=2, max_length=2, description="lowest and highest number, for answer: number"
    )
    timeout_s: float | None = Field(
        default=None, gt=0, le=1e7, description="wait at most so long, on the wall; then the answer is what `then` says"
    )
    then: str | float | None = Field(default=None, description="the answer if nobody answered in time, needed with timeout_s")

    @model_validator(mode="after")
    def _fits(self) -> AskOptions:
        if self.choices is not None and self.answer is not None:
            raise ValueError("give either choices or answer, not both")
        if self.choices is not None and len(set(self.choices)) < len(self.choices):
            raise ValueError("choices: one of them stands there twice")
        if self.limits is not None and self.answer != "number":
            raise ValueError("limits are those of a number; say answer: number")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError(f"limits: [{self.limits[0]:g}, {self.limits[1]:g}]: the lower one comes first")
        if (self.timeout_s is None) is not (self.then is None):
            raise ValueError("timeout_s and then go together: how long to wait, and the answer if nobody answered")
        if self.then is not None and (wrong := self.question().wrong(str(self.then))):
            raise ValueError(f"then: {wrong.rstrip('.')}")
        return self

    def question(self) -> Question:
        """Make the question."""
        limits = None if self.limits is None else (self.limits[0], self.limits[1])
        choices = () if self.answer is not None else tuple(self.choices or GO_ON)
        return Question(self.text, choices=choices, number=self.answer == "number", limits=limits)

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers it finds."""
        return frozenset({"waited_s"} | ({"answer"} if self.answer == "number" else set()))


def run(session: RunSession, options: AskOptions) -> dict[str, Any]:
    """Ask; see `protocols/asking.py`, which this stage starts."""
    from aeqlab.protocols.asking import ask

    return ask(session, options)
