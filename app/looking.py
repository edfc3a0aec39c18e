"""The commands `runs` and `show`: what run folders tell, live or ended, whole or damaged."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aeqlab.app.exits import ExitCode, say
from aeqlab.app.running import found_in_words, shortest
from aeqlab.app.words import NAMES, name_in_words, size_in_words, state_in_words, value_in_words
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.load import Rows, Run, load_run
from aeqlab.protocols.run_folder import DEFAULT_RUNS, find_run
from aeqlab.protocols.run_list import RunLine, read_line
from aeqlab.protocols.run_story import story_of_run
from aeqlab.protocols.verdict import guardian_verdict
from aeqlab.protocols.words import cost_in_words, count_in_words, duration_in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAST_RUNS = 30
LAST_EVENTS = 12
LAST_EVALUATIONS = 10
READ_SHOWN = 4  #: readings of a scan


def list_runs(runs: Path | None, *, everything: bool) -> int:
    """Print a table of the runs in a folder, newest last; returns the exit code."""
    where = runs or DEFAULT_RUNS
    folders = sorted({path.parent for name in ("record.sqlite", "experiment.yaml") for path in where.glob(f"*/{name}")})
    if not folders:
        say(f"No runs in {where}. `aeqlab run linear-regression` makes one; --runs names another folder.")
        return ExitCode.OK
    shown = folders if everything else folders[-LAST_RUNS:]
    if len(shown) < len(folders):
        say(f"The last {len(shown)} of {len(folders)} runs; --all shows every one.")
    for line in columns([("run", "state", "steps", "time", "result"), *(_row(read_line(path)) for path in shown)]):
        print(line)
    return ExitCode.OK


def show_run(word: str, runs: Path | None) -> int:
    """Print what a run did; returns the exit code."""
    run = load_run(find_run(word, runs or DEFAULT_RUNS))
    for section in (_head, _stages, _scans, _training, _evaluations, _notes, _events):
        for line in section(run):
            print(line)
    for sentence in run.missing:
        say(f"warning: {sentence}")
    return ExitCode.OK


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align the cells of rows; the last column is as long as it is."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        yield "  ".join([f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)] + [row[-1]]).rstrip()


def _row(run: RunLine) -> tuple[str, str, str, str, str]:
    if run.alive:
        return _live_row(run)
    summary = run.summary
    result = "" if run.result is None else f"{name_in_words(run.result[0])} {value_in_words(*run.result)}"
    result += f" ({'; '.join(run.marks)})" if run.marks else ""
    seconds = summary.get("seconds")
    time = "" if seconds is None else duration_in_words(float(seconds))
    return run.path.name, run.state, f"{summary['steps']:,}" if "steps" in summary else "", time, result


def _live_row(run: RunLine) -> tuple[str, str, str, str, str]:
    """Ask the run itself how far it is."""
    from aeqlab.protocols.control import send

    try:
        now = send(run.path, "status", timeout_s=1.0)
    except ProtocolError:
        return run.path.name, run.state, "", "", ""
    count = count_in_words(now["done"], now["total"], now["unit"])
    left = "" if now["remaining_s"] is None else f"{duration_in_words(now['remaining_s'])} left"
    if now["question"]:
        return run.path.name, now["state"], f"{count} {now['stage']}", left, f"waiting for an answer: {now['question']}"
    result = "" if now["cost"] is None else f"{cost_in_words(now['cost_name'])} {now['cost']:.4g}"
    return run.path.name, now["state"], f"{count} {now['stage']}", left, result


def _head(run: Run) -> Iterator[str]:
    meta, provenance = run.meta, run.provenance
    yield f"{run.path.name}"
    yield f"  {state_in_words(run.state, run.reason)}"
    yield f"  {story_of_run(run.path).sentence}"
    attempts = provenance.get("attempts") or [{}]
    versions = attempts[-1].get("versions", {})
    verdict = guardian_verdict(run.path / "session")
    size = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    rows = {
        "folder": f"{shortest(run.path)} ({size_in_words(size)})",
        "device": f"{meta.get('device', 'not opened')}, {meta.get('parameters', 0):,} parameters" if meta else "",
        "data": (provenance.get("data") or {}).get("name", ""),
        "seed": str(meta.get("seed", "")),
        "operator": str(provenance.get("operator") or ""),
        "begun": f"{attempts[0].get('started', '')} on {attempts[0].get('host', 'an unknown computer')}",
        "attempts": "" if len(attempts) == 1 else str(len(attempts)),
        "software": ", ".join(f"{name} {version}" for name, version in versions.items() if name in ("aeqlab", "numpy", "torch")),
        **found_in_words(run.summary),
        "guardian": "" if verdict is None else verdict.sentence(),
    }
    yield from _aligned(rows)


def _stages(run: Run) -> Iterator[str]:
    stages = run.stages
    if not len(stages):
        return
    yield "stages"
    rows = []
    for i in range(len(stages)):
        row = stages.row(i)
        took = "" if math.isnan(row["ended_at"]) else duration_in_words(row["ended_at"] - row["started_at"])
        found = {key: value for key, value in _json(row["result"]).items() if key not in ("stage", "best", "points", "methods")}
        words = ", ".join(
            f"{name_in_words(key)} {value_in_words(key, value)}"
            for key, value in found.items()
            if value is not None or key in NAMES  # a cost that is not known is a finding, a beta that a method has not is none
        )
        rows.append((f"  {row['path']}", row["kind"], row["outcome"] or "going on", took, words))
    yield from columns(rows)


def _scans(run: Run) -> Iterator[str]:
    """Say in a line of each scan what was set from where to where, what was read, and how many points came to rest."""
    rows = []
    for scan in run.scans:
        if scan.kind == "set":  # its result says all there is
            continue
        over = " x ".join(f"{axis.name} {_ends(scan.setpoints[axis.name], axis.unit)}" for axis in scan.axes)
        read = ", ".join(f"{name} {_ends(values, scan.units[name])}" for name, values in list(scan.values.items())[:READ_SHOWN])
        more = len(scan.values) - READ_SHOWN
        whole = int(np.prod(scan.shape))
        points = f"{len(scan.points):,} points" if scan.complete else f"{len(scan.points):,} of {whole:,} points"
        restless = int((scan.points["settled"] == 0).sum())
        said = f"{points}, {restless:,} not at rest" if restless else points
        rows.append((f"  {scan.path}", scan.kind, said, over, read + (f", and {more} more" if more > 0 else "")))
    if rows:
        yield "scans"
        yield from columns(rows)


def _ends(values: NDArray[Any], unit: str) -> str:
    known = _known(values)
    if not known.size:
        return "not read"
    unit = "" if unit == "1" else f" {unit}"
    low, high = known.min(), known.max()
    return f"{low:.4g}{unit}" if low == high else f"{low:.4g} to {high:.4g}{unit}"


def _training(run: Run) -> Iterator[str]:
    steps = run.steps
    if not len(steps):
        return
    yield "training"
    yield from _aligned(
        {
            "cost": _course(steps["cost_free"]),
            **_other_costs(steps),
            "homeostasis ended": _verdicts(steps, "hold_verdict"),
            "nudged phase ended": _verdicts(steps, "settle_verdict"),
            "hold error at the clamp": _spread(steps["hold_error"], "tolerances"),
            "moved by a step": _spread(steps["moved"], steps.units["moved"]),
            "steps not used": f"{int((steps['used'] == 0).sum()):,}" if (steps["used"] == 0).any() else "",
        }
    )


def _evaluations(run: Run) -> Iterator[str]:
    evaluations = run.evaluations
    if not len(evaluations):
        return
    yield "evaluations"
    head = ("  step", "set", "samples", "theta held", "cost", "error rate")
    rows = [head]
    for i in range(max(0, len(evaluations) - LAST_EVALUATIONS), len(evaluations)):
        row = evaluations.row(i)
        rates = (float(row[name]) for name in ("held_rate", "error_rate"))
        held, error = ("" if math.isnan(rate) else value_in_words("held_rate", rate) for rate in rates)
        cost = value_in_words("cost_free", float(row["cost_free"]))
        rows.append((f"  {row['step']:,}", row["dataset"], f"{row['samples']:,}", held, cost, error))
    yield from columns(rows)


def _notes(run: Run) -> Iterator[str]:
    notes = run.notes
    if not len(notes):
        return
    yield "notes"
    rows = []
    for i in range(len(notes)):
        row = notes.row(i)
        rows.append((f"  {_when(row['at'])}", f"step {row['step']:,}", row["author"], " ".join(row["text"].split())))
    yield from columns(rows)


def _events(run: Run) -> Iterator[str]:
    events = run.events
    if not len(events):
        return
    yield "events"
    rows = []
    for i in range(max(0, len(events) - LAST_EVENTS), len(events)):
        row = events.row(i)
        text, *further = str(row["text"]).splitlines() or [""]
        rows.append((f"  {_when(row['at'])}", f"step {row['step']:,}", row["kind"], f"{row['word']}{': ' if text else ''}{text}"))
        rows += [("", "", "", f"  {line}") for line in further]  # such as those of a safety report
    yield from columns(rows)


def _when(at: float) -> str:
    return datetime.fromtimestamp(float(at)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _aligned(rows: dict[str, str]) -> Iterator[str]:
    rows = {name: value for name, value in rows.items() if value}
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        yield f"  {name:{width}}  {value}"


def _known(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values[np.isfinite(values)])


def _other_costs(steps: Rows) -> dict[str, str]:
    """Say how the first cost of the steps went where none was read without a nudge: under a nudge, or of a probe without one."""
    if _known(steps["cost_free"]).size:
        return {}
    probed = (steps["beta_1"] == 0) & (steps["beta_2"] == 0)
    costs = {"cost_1": steps["cost_1"][~probed], "cost_probe": steps["cost_1"][probed]}
    return {cost_in_words(name): _course(values) for name, values in costs.items()}


def _course(values: NDArray[Any]) -> str:
    """Say how a cost went: mean over the first and the last twentieth of the steps that read it."""
    costs = _known(values)
    part = max(1, len(costs) // 20)
    return f"{costs[:part].mean():.4g} to {costs[-part:].mean():.4g} over {len(costs):,} readings" if len(costs) else ""


def _spread(values: NDArray[Any], unit: str) -> str:
    known = _known(values)
    if not known.size:
        return ""
    median, high = np.percentile(known, [50, 95])
    return f"median {median:.3g}, 95 % below {high:.3g}, worst {known.max():.3g}{'' if unit == '1' else f' {unit}'}"


def _verdicts(steps: Rows, name: str) -> str:
    counts = Counter(word for word in steps[name] if word)
    return ", ".join(f"{word} {count:,}" for word, count in counts.most_common())


def _json(text: str) -> dict[str, Any]:
    try:
        tree = json.loads(text) if text else {}
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}
