"""What a run counts while it trains: used, skipped, held, sham steps, costs; kept in checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class Tally:
    """Counts and sums over the training steps of a run, sham steps apart."""

    steps: int = 0
    used: int = 0
    skipped: int = 0
    partial: int = 0
    nudged: int = 0  # steps with a nudged phase, in which the cost may rise
    cost_rose: int = 0
    holds: int = 0
    held: int = 0
    retries: int = 0
    shams: int = 0
    sham_moved: float = 0.0
    used_moved: float = 0.0
    judged: int = 0  # holds of which the truth is known
    judged_held: int = 0
    judged_good: int = 0
    false_held: int = 0
    false_rejected: int = 0

    def judge(self, accepted: bool, true_error: float | None) -> None:
        """Count a hold against the truth, the worst true error in tolerances; None where it is not known."""
        if true_error is None:
            return
        good = true_error <= 1.0
        self.judged += 1
        self.judged_held += accepted
        self.judged_good += good
        self.false_held += accepted and not good
        self.false_rejected += good and not accepted

    def plus(self, other: Tally) -> Tally:
        """Add the counts of two."""
        mine, theirs = asdict(self), asdict(other)
        return Tally(**{name: mine[name] + theirs[name] for name in mine})

    def state(self) -> dict[str, Any]:
        """Get the counts as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Tally:
        """Make a tally of what `state` gave."""
        return cls(**state)

    @property
    def held_rate(self) -> float | None:
        """Share of homeostatic phases that ended with theta held; None before the first."""
        return self.held / self.holds if self.holds else None

    def summary(self) -> dict[str, Any]:
        """Say what was counted, by name; what never happened is left out."""
        said: dict[str, Any] = {"steps": self.steps}
        if self.steps:
            said["held_rate"] = self.held_rate
            said["skipped"] = self.skipped
        if self.nudged:
            said["cost_rose"] = self.cost_rose
        if self.judged_held:
            said["false_held_rate"] = self.false_held / self.judged_held
        if self.judged_good:
            said["false_rejected_rate"] = self.false_rejected / self.judged_good
        if self.shams:
            said["sham_steps"] = self.shams
            said["sham_moved_mean"] = self.sham_moved / self.shams
            said["moved_mean"] = self.used_moved / self.used if self.used else None
        return said
