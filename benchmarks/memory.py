"""Memory of a run over many steps: flat after its warm-up, whatever the number of steps.

    python benchmarks/memory.py [steps]

A real run, record and checkpoints included, of physics made small: 7 parameters, 2 ticks a phase. Its memory is asked for at
every progress report; the slope is that of a straight line through the second half, where all that is bounded has been filled.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from _bench import machine

from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import run_experiment

DEFAULT_STEPS = 20_000
SAMPLES = 1_000
POINTS = 2_000
GOAL_MB_PER_HOUR = 1.0
EXPERIMENT = """
name: memory
seed: 1
device: {{kind: simulated, energy: linear, epsilon: 0.1, options: {{frequencies: 3}}}}
data: {{kind: legendre, degree: 4, samples: {samples}, test_samples: 10}}
homeostasis: {{controller: integral, accept: {{ticks: 2}}}}
settling: {{accept: {{ticks: 2}}}}
sequence:
  - train: {{method: centered, beta: 0.1, epochs: {epochs}, free_phase: false}}
then: freeze
"""


class Watch:
    """Seconds, steps and bytes as progress was reported, in room taken beforehand: or it would be taken for growth."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._seen = np.full((POINTS, 3), np.nan)
        self._count = 0
        self._every_s = 0.1
        self._begin = time.monotonic()

    def note(self, progress: Progress) -> None:
        """Note the memory now, if the last time was long enough ago."""
        now = time.monotonic() - self._begin
        if self._count == POINTS:  # half as dense from here on
            self._seen[: POINTS // 2] = self._seen[::2].copy()
            self._count, self._every_s = POINTS // 2, 2 * self._every_s
        if not self._count or now >= self._seen[self._count - 1, 0] + self._every_s:
            self._seen[self._count] = now, progress.done, self._process.memory_info().rss
            self._count += 1

    @property
    def seen(self) -> np.ndarray:
        """Get what was seen, columns seconds, steps, bytes."""
        return self._seen[: self._count]


def main() -> None:
    epochs = max(1, int(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_STEPS) // SAMPLES)
    watch = Watch()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "memory.yaml"
        path.write_text(EXPERIMENT.format(samples=SAMPLES, epochs=epochs), encoding="utf-8")
        result = run_experiment(load_experiment(path), runs=Path(name) / "runs", on_progress=watch.note)
    if result.exit_code:
        sys.exit(f"{result.state}: {result.reason}")
    show(watch.seen, epochs * SAMPLES)


def show(seen: np.ndarray, steps: int) -> None:
    """Print how memory went; seen has columns seconds, steps, bytes."""
    half = seen[len(seen) // 2 :]
    if len(half) < 10:
        sys.exit(f"{steps:,} steps ended after {seen[-1][0]:.1f} s, too soon to tell a slope; give more steps.")
    per_second = np.polyfit(half[:, 0], half[:, 2], 1)[0]
    per_step = np.polyfit(half[:, 1], half[:, 2], 1)[0]
    print(f"memory of a run of {steps:,} steps in {seen[-1][0]:.0f} s  ({machine()})")
    for share in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0):
        seconds, done, rss = seen[min(len(seen) - 1, int(share * len(seen)))]
        print(f"  {done:>10,.0f} steps  {seconds:7.1f} s  {rss / 1e6:8.2f} MB")
    print(
        f"slope of the second half: {per_second * 3600 / 1e6:+.2f} MB/h (goal {GOAL_MB_PER_HOUR:g}), "
        f"{per_step * 1e6 / 1e6:+.2f} MB per 10^6 steps; highest less lowest {np.ptp(half[:, 2]) / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
