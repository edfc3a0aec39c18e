"""Memory of an open window beside a fast run: flat after its warm-up, however many steps the run has.

    QT_QPA_PLATFORM=offscreen python benchmarks/window_memory.py [minutes]

The window is a process of its own that shows the run; its memory is asked for once a second. The floor is an empty window of Qt,
open for the same time. The slope is that of a straight line through the second half.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from _bench import machine
from window import EMPTY, WATCHES, is_of, steps_of

MINUTES = 20.0
GOAL_MB_PER_HOUR = 1.0


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", "linear-regression", "--set", "data.samples=10000000", "--quiet", "--runs", folder]
        run = subprocess.Popen([sys.executable, "-m", "aeqlab.app.cli", *words])
        started = [run]
        try:
            while not (there := [path for path in Path(folder).glob("*/control.json") if is_of(path, run.pid)]):
                time.sleep(0.01)
            for code, *more in ((f"{EMPTY}\na.exec()",), (WATCHES, folder, str(there[0].parent))):
                started.append(subprocess.Popen([sys.executable, "-c", code, *more]))
            empty, window = (psutil.Process(one.pid) for one in started[1:])
            seen, began = [], time.monotonic()
            while time.monotonic() < began + 60.0 * minutes:
                seen.append((time.monotonic() - began, empty.memory_info().rss, window.memory_info().rss))
                time.sleep(1.0)
            steps = steps_of(there[0].parent)
        finally:
            for one in started:
                one.kill()
                one.wait()
    half = np.array(seen[len(seen) // 2 :])
    print(f"memory of a window beside a run of {steps:,} steps in {minutes:g} min  ({machine()})")
    for name, column in (("an empty window of Qt", 1), ("the window, showing the run", 2)):
        slope = np.polyfit(half[:, 0], half[:, column], 1)[0] * 3600 / 1e6
        first, last = seen[0][column] / 1e6, seen[-1][column] / 1e6
        goal = f" (goal {GOAL_MB_PER_HOUR:g})" if column == 2 else ""
        print(f"  {name:30} {first:7.1f} MB at first, {half[0, column] / 1e6:7.1f} MB at half time, {last:7.1f} MB at the end; "
              f"slope of the second half {slope:+.2f} MB/h{goal}")  # fmt: skip


if __name__ == "__main__":
    main()
