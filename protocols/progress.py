"""What a run says of itself while it runs, for whoever shows it, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aeqlab.protocols.run_state import RunState


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, at most ten times a second.

    Attributes:
        state, reason: where the run is and why.
        stage, path: word of the stage and its place in the sequence, "" before the first.
        done, total: how much of this stage is done; total None where it is not known.
        unit: of these two: "" for training steps and samples, s for seconds of the device.
        rounds: of each `repeat` under way, the outermost first: the present round from 1, and of how many at most.
        question: what the run waits for an answer to, with what may be answered; empty where it asks nothing.
        epoch: pass through the training set, from 0.
        cost, cost_name: mean of the last costs shown, and which cost it is: cost_free, cost_1 under the first nudge, or
            cost_probe where a baseline moved theta to probe.
        held_rate: share of homeostatic phases in which theta was held, None before the first.
        rate_per_s: steps (samples, or so many of the unit) per second, over the last seconds.
        remaining_s: estimate for this stage, None where it is not known.
        values: what the stage reported last, by name.
    """

    state: RunState
    reason: str
    stage: str = ""
    path: str = ""
    done: float = 0
    total: float | None = None
    unit: str = ""
    rounds: tuple[tuple[int, int], ...] = ()
    question: str = ""
    epoch: int = 0
    cost: float | None = None
    cost_name: str = ""
    held_rate: float | None = None
    rate_per_s: float | None = None
    remaining_s: float | None = None
    values: dict[str, Any] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        folder: the run folder.
        state, reason: the last state and one sentence why.
        summary: what was found, by name, such as `cost_free`, `error_rate`, `held_rate`, `skipped`.
        exit_code: 0 finished, 1 failed, 2 bad input, 3 stopped, 4 aborted, 5 diverged.
        device: how the device was left, confirmed by readback, in a sentence.
        warnings: what else a person should know.
    """

    folder: Path
    state: RunState
    reason: str
    summary: dict[str, Any]
    exit_code: int
    device: str
    warnings: tuple[str, ...] = ()
