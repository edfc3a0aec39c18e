"""Memory of a run over many steps: flat after its warm-up, whatever the number of steps.

    python benchmarks/memory.py [steps]

A real run, record and checkpoints included, of physics made small: 7 parameters, 2 ticks a phase. Its memory is asked for at
every progress report; the slope is that of a straight line through the second half, where all that is bounded has been filled.
"""

from __future__ import annotations

import gc
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


def main() -> None:
    epochs = max(1, int(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_STEPS) // SAMPLES)
    process = psutil.Process()
    seen: list[tuple[float, int, int]] = []  # seconds, steps, bytes
    begin = time.monotonic()

    def note(progress: Progress) -> None:
        now = time.monotonic() - begin
        if not seen or now >= seen[-1][0] + 0.1:
            seen.append((now, progress.done, process.memory_info().rss))

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "memory.yaml"
        path.write_text(EXPERIMENT.format(samples=SAMPLES, epochs=epochs), encoding="utf-8")
        result = run_experiment(load_experiment(path), runs=Path(name) / "runs", on_progress=note)
    gc.collect()
    if result.exit_code:
        sys.exit(f"{result.state}: {result.reason}")
    show(np.array(seen, dtype=np.float64), epochs * SAMPLES)


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
