"""The command `demo`: an emulated bench of 16 knobs, trained over VISA, from nothing to a learned function.

It starts the bench in a process of its own, writes the rig file and the experiment as a person would, and runs that experiment as
`aeqlab run` does: behind a session with its guardian, identified first, all safe at the end. What it wrote can be run again.
"""

from __future__ import annotations

import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.app.benching import filled, rig_text
from aeqlab.app.exits import ExitCode, say
from aeqlab.backends.bench_judge import Judgement, judge
from aeqlab.backends.bench_link import BenchLink, start_bench
from aeqlab.backends.streams import stream
from aeqlab.protocols.bench_loading import load_bench

Array = NDArray[Any]
FREQUENCIES, KNOBS = 8, 16
HIDDEN_V = 0.5  #: the hidden theta lies within this
TEST, GRID = 24, 41
EXPERIMENT = """\
# What `aeqlab demo` ran. Its bench has ended: `aeqlab bench bench-16 --rig new.yaml` starts one; name new.yaml below.
name: demo
seed: {seed}
device: {{kind: rig, file: rig.yaml}}
data: {{kind: table, path: data.csv, inputs: [z], targets: [s], split: column, split_column: set}}
homeostasis: {{controller: quasi-static}}
sequence:
  - evaluate: {{parameters: frozen}}
  - train: {{method: centered, beta: 0.2, samples: {samples}}}
  - evaluate: {{parameters: frozen}}
  - infer: {{inputs: grid.csv, columns: [z], parameters: frozen}}
then: safe
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """How a demo went.

    Attributes:
        folder: what it wrote: rig file, experiment, data, plots, runs.
        before, after: validation cost above the best fit, before and after the training.
        journal: what the bench's hardware saw.
        took_s: on the wall.
    """

    folder: Path
    before: float
    after: float
    journal: Judgement
    took_s: float


def run_demo(folder: Path | None, *, samples: int, seed: int, quiet: bool) -> int:
    """Run the demo, print what it did, and clean up; returns the exit code."""
    from aeqlab.app.running import run_new

    began = time.monotonic()
    where = (folder or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")).resolve()
    where.mkdir(parents=True, exist_ok=True)
    if not quiet:
        print(f"Starts an emulated bench of {KNOBS} knobs, and trains it over VISA. Everything goes to {where}.", flush=True)
    loaded = load_bench("bench-16")
    link = start_bench(loaded.settings.model_copy(update={"seed": seed}), where / "bench", where)
    try:
        write_files(where, link, samples=samples, seed=seed)
        code = run_new(str(where / "demo.yaml"), (), where / "runs", quiet=quiet)
        end = link.state()
    finally:
        link.stop()
        link.close()
    if code != ExitCode.OK:
        return code
    done = conclude(where, end, seed, time.monotonic() - began)
    for line in in_words(done):
        print(line)
    sys.stdout.flush()
    if done.journal.wrong:
        say("The bench's journal shows what must not be: " + "; ".join(done.journal.wrong))
        return ExitCode.FAILED
    return ExitCode.OK


def write_files(folder: Path, link: BenchLink, *, samples: int, seed: int) -> None:
    """Write rig file, experiment and data into a folder."""
    text = rig_text("bench-16")
    assert text is not None
    (folder / "rig.yaml").write_text(filled(text, link.addresses, link.address), encoding="utf-8")
    (folder / "demo.yaml").write_text(EXPERIMENT.format(seed=seed, samples=samples), encoding="utf-8")
    theta, rng = hidden(seed), stream(seed, "demo inputs")
    test = np.linspace(-1.0, 1.0, TEST + 1)[:-1] + 1.0 / TEST
    rows = [("train", z) for z in rng.uniform(-1, 1, samples)] + [("test", z) for z in test]
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["z", "s", "set"])
        writer.writerows([repr(float(z)), repr(float(features(np.array([z]))[0] @ theta)), word] for word, z in rows)
    with (folder / "grid.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["z"])
        writer.writerows([repr(float(z))] for z in np.linspace(-1.0, 1.0, GRID))


def hidden(seed: int) -> Array:
    """Draw the hidden theta that makes the target, shape (16,), in V."""
    return np.asarray(stream(seed, "demo hidden theta").uniform(-HIDDEN_V, HIDDEN_V, KNOBS))


def features(z: Array) -> Array:
    """Compute sin(k pi z), cos(k pi z), k = 1 to 8, shape (n, 16)."""
    angle = np.pi * np.arange(1, FREQUENCIES + 1) * np.asarray(z)[:, None]
    made = np.empty((len(angle), KNOBS))
    made[:, 0::2], made[:, 1::2] = np.sin(angle), np.cos(angle)
    return made


def conclude(folder: Path, end: dict[str, Any], seed: int, took_s: float) -> Demo:
    """Read what the run recorded and what the bench's journal holds, and draw it."""
    from aeqlab.app.demo_figures import draw
    from aeqlab.protocols.load import load_run

    run = load_run(next((folder / "runs").glob("*-demo-*")))
    costs = np.asarray(run.evaluations["cost_free"], dtype=np.float64)
    draw(run, folder, hidden(seed))
    journal = judge(folder / "bench" / "journal", limit_V=1.0, slew_V_per_s=10.0)
    return Demo(folder, float(costs[0]), float(costs[-1]), journal, took_s)


def in_words(done: Demo) -> list[str]:
    """Say how it went."""
    factor = done.before / max(done.after, 1e-12)
    journal = done.journal
    return [
        f"Validation cost above the best fit: {done.before:.4g} before, {done.after:.4g} after, {factor:.3g} times less.",
        f"The bench's own journal: knobs went from {journal.lowest:.3g} to {journal.highest:.3g} V, no faster than "
        f"{journal.fastest:.3g} V/s, and stand at {journal.end_low:.2g} to {journal.end_high:.2g} V; nudge "
        f"{journal.end_current:g} A.",
        f"Plots: {done.folder / 'learned.png'}, {done.folder / 'cost.png'}, {done.folder / 'homeostasis.png'}",
        f"Took {done.took_s:.0f} s.",
    ]
