"""The commands `run` and `resume`: start the experiment in this process, show how it goes, say what it found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aeqlab.app.exits import ExitCode, say
from aeqlab.app.words import name_in_words, value_in_words

if TYPE_CHECKING:
    from aeqlab.protocols.experiment import LoadedExperiment
    from aeqlab.protocols.progress import RunResult

DEFAULT_RUNS = Path("runs")


def run_new(source: str, overrides: Sequence[str], runs: Path | None, *, quiet: bool) -> int:
    """Run an experiment from a file or a preset; returns the exit code."""
    from aeqlab.app.progress import ProgressLine
    from aeqlab.protocols.experiment import load_experiment
    from aeqlab.protocols.run import run_experiment

    loaded = load_experiment(source, overrides)
    told = [str(warning) for warning in loaded.warnings]
    for warning in told:
        say(f"warning: {warning}")
    _say_owner(loaded)
    with ProgressLine(quiet=quiet) as show:
        result = run_experiment(loaded, runs=runs_folder(runs, loaded), on_progress=show)
    return conclude(result, quiet=quiet, told=told)


def _say_owner(loaded: LoadedExperiment) -> None:
    """Say which session the device of a run belongs to, and which ones are not used and why."""
    from aeqlab.protocols.client import owner_of

    asked = loaded.experiment
    if not asked.device.served:
        return
    owner, passed = owner_of(asked.device, seed=asked.seed, base=loaded.base, limits=asked.limits)
    if owner is not None:
        say(f"Attaches to the session {owner.name} ({owner.address}).")
    for sentence in passed:
        say(sentence)


def run_again(word: str, runs: Path | None, *, quiet: bool) -> int:
    """Go on with a run from its last checkpoint; returns the exit code."""
    from aeqlab.app.progress import ProgressLine
    from aeqlab.protocols.run import resume_run
    from aeqlab.protocols.run_folder import find_run

    folder = find_run(word, runs or DEFAULT_RUNS)
    with ProgressLine(quiet=quiet) as show:
        result = resume_run(folder, on_progress=show)
    return conclude(result, quiet=quiet)


def runs_folder(chosen: Path | None, loaded: LoadedExperiment) -> Path:
    """Choose the folder of the run folders: from the command line, from the experiment, or `runs` here."""
    if chosen is not None:
        return chosen
    named = loaded.experiment.runs
    return DEFAULT_RUNS if named is None else loaded.base / named


def conclude(result: RunResult, *, quiet: bool, told: Sequence[str] = ()) -> int:
    """Print how a run ended, where its record is and what it found; returns its exit code.

    Warnings that were `told` before it began are not said again.
    """
    for warning in result.warnings:
        if warning not in told:
            say(f"warning: {warning}")
    folder = shortest(result.folder)
    headline = f"{result.state}: {result.reason}" if result.reason else str(result.state)
    if result.exit_code:
        say(headline)
    if quiet:
        print(f"{result.state} {folder}")
        return result.exit_code
    if not result.exit_code:
        print(headline)
    rows = {"record": str(folder), **found_in_words(result.summary)}
    if result.device not in headline:
        rows["device"] = result.device
    rows |= {name: str(folder / result.summary[name]) for name in ("table", "figure") if name in result.summary}
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"  {name:{width}}  {value}")
    if result.exit_code in (ExitCode.STOPPED, ExitCode.ABORTED):
        print(f"Go on: aeqlab resume {folder.name}")
    print(f"More:  aeqlab show {folder.name}")
    sys.stdout.flush()
    return result.exit_code


def found_in_words(summary: dict[str, Any]) -> dict[str, str]:
    """Say what a run found, line by line; what each stage found is for `aeqlab show`."""
    found = {
        name_in_words(name): value_in_words(name, value)
        for name, value in summary.items()
        if name not in ("stages", "best", "methods", "table", "figure")
    }
    found |= {f"  {name}": str(reached) for name, reached in summary.get("methods", {}).items()}
    best = summary.get("best")
    if isinstance(best, dict) and best.get("step", summary.get("steps")) != summary.get("steps"):
        name = str(best["name"]).replace(" ", "_")
        found[f"best {name_in_words(name)}"] = f"{value_in_words(name, best['value'])} at step {best['step']:,}"
    return found


def shortest(path: Path) -> Path:
    """Write a path as a person standing here would: relative where that is shorter."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
