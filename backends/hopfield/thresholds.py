"""The adaptive threshold of convergence and what an epoch says of the solver (Appendix C). Plain floats, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Thresholds:
    """One threshold xi_k per layer, lowered at an epoch's end to gamma times the mean distance that its layer was nudged.

    The mean counts the training steps since the last epoch end; evaluations and steps without a nudge do not count.
    """

    xi: list[float]
    gamma: float
    adapts: bool
    steps: int = 0
    distances: list[float] = field(default_factory=list)  # summed over the steps, one per layer
    sweeps: dict[str, int] = field(default_factory=dict)  # by phase
    phases: dict[str, int] = field(default_factory=dict)
    not_converged: int = 0

    def __post_init__(self) -> None:
        self.distances = self.distances or [0.0] * len(self.xi)

    def count_phase(self, phase: str, sweeps: int, converged: bool) -> None:
        """Count a phase of the solver."""
        self.sweeps[phase] = self.sweeps.get(phase, 0) + sweeps
        self.phases[phase] = self.phases.get(phase, 0) + 1
        self.not_converged += not converged

    def count_step(self, distances: Sequence[float]) -> None:
        """Count a training step: L1 distance of the two phases' states, summed over units and samples, one per layer."""
        self.steps += 1
        self.distances = [total + d for total, d in zip(self.distances, distances, strict=True)]

    def end_epoch(self) -> dict[str, float]:
        """Adapt xi_k <- min(xi_k, gamma mean_k), say what was found, and count anew.

        Returns:
            "xi k" from now on and, if there were training steps, "distance k"; mean "sweeps" by phase; "not converged", the
            number of phases that did not meet their threshold.
        """
        said: dict[str, float] = {}
        if self.steps:
            means = [total / self.steps for total in self.distances]
            said |= {f"distance {k}": mean for k, mean in enumerate(means, start=1)}
            if self.adapts:
                self.xi = [min(xi, self.gamma * mean) if mean > 0 else xi for xi, mean in zip(self.xi, means, strict=True)]
        said |= {f"xi {k}": xi for k, xi in enumerate(self.xi, start=1)}
        said |= {f"sweeps {phase}": self.sweeps[phase] / n for phase, n in self.phases.items()}
        said["not converged"] = float(self.not_converged)
        self.steps, self.not_converged = 0, 0
        self.distances = [0.0] * len(self.xi)
        self.sweeps, self.phases = {}, {}
        return said

    def state(self) -> dict[str, Any]:
        """Get everything, for a checkpoint."""
        return {
            "xi": list(self.xi), "steps": self.steps, "distances": list(self.distances),
            "sweeps": dict(self.sweeps), "phases": dict(self.phases), "not_converged": self.not_converged,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back, all of it or nothing."""
        xi, distances = [float(v) for v in state["xi"]], [float(v) for v in state["distances"]]
        if not len(xi) == len(distances) == len(self.xi):
            raise ValueError(f"thresholds of {len(xi)} layers do not fit {len(self.xi)}")
        steps, not_converged = int(state["steps"]), int(state["not_converged"])
        sweeps = {str(k): int(v) for k, v in state["sweeps"].items()}
        phases = {str(k): int(v) for k, v in state["phases"].items()}
        self.xi, self.distances, self.steps, self.not_converged = xi, distances, steps, not_converged
        self.sweeps, self.phases = sweeps, phases
