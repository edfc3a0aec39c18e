"""The commands `run` and `resume`: start the experiment in this process, show how it goes, say what it found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aeqlab.app.exits import ExitCode, say
from aeqlab.app.words import name_in_words, state_in_words, value_in_words
from aeqlab.protocols.run_folder import DEFAULT_RUNS

if TYPE_CHECKING:
    from aeqlab.app.answering import TerminalAnswers
    from aeqlab.app.progress import ProgressLine
    from aeqlab.protocols.experiment import LoadedExperiment
    from aeqlab.protocols.progress import OnProgress, Progress, RunResult


def run_new(source: str, overrides: Sequence[str], runs: Path | None, *, quiet: bool) -> int:
    """Run an experiment from a file or a preset; returns the exit code."""
    from aeqlab.app.answering import TerminalAnswers
    from aeqlab.app.progress import ProgressLine
    from aeqlab.protocols.experiment import load_experiment
    from aeqlab.protocols.run import run_experiment
    from aeqlab.protocols.run_state import Requests

    loaded = load_experiment(source, overrides)
    told = [str(warning) for warning in loaded.warnings]
    for warning in told:
        say(f"warning: {warning}")
    say_sessions(loaded)
    requests = Requests()
    where = runs_folder(runs, loaded)
    with ProgressLine(quiet=quiet, runs=where) as show, TerminalAnswers(requests) as answers:
        result = run_experiment(loaded, runs=where, requests=requests, on_progress=_both(show, answers), last=True)
    return conclude(result, quiet=quiet, told=told)


def _both(show: ProgressLine, answers: TerminalAnswers) -> OnProgress:
    """Show each progress, and take answers at the terminal where the run asks."""

    def look(progress: Progress) -> None:
        show(progress)
        answers.look(progress)

    return look


def say_sessions(loaded: LoadedExperiment) -> None:
    """Say which session the device of a run belongs to, which ones are not used and why, and which devices nobody saw to."""
    from aeqlab.protocols.client import device_address, lost_sessions, owner_of

    asked = loaded.experiment
    if not asked.device.served:
        return
    address = device_address(asked.device, loaded.base)  # of that one the run itself says it
    for lost in lost_sessions():
        if not lost.taken and lost.address != address:
            say(f"warning: {lost.sentence()}")
    owner, passed = owner_of(asked.device, seed=asked.seed, base=loaded.base, limits=asked.limits)
    if owner is not None:
        say(f"Attaches to the session {owner.name} ({owner.address}).")
    for sentence in passed:
        say(sentence)


def run_again(word: str, runs: Path | None, *, quiet: bool) -> int:
    """Go on with a run from its last checkpoint; returns the exit code."""
    from aeqlab.app.answering import TerminalAnswers
    from aeqlab.app.progress import ProgressLine
    from aeqlab.protocols.errors import FileErrors
    from aeqlab.protocols.experiment import load_experiment
    from aeqlab.protocols.run import resume_run
    from aeqlab.protocols.run_folder import find_run
    from aeqlab.protocols.run_state import Requests

    folder = find_run(word, runs or DEFAULT_RUNS)
    with suppress(FileErrors):  # what is wrong with it is said by the resume
        say_sessions(load_experiment(folder / "experiment.yaml"))
    requests = Requests()
    with ProgressLine(quiet=quiet, runs=folder.parent) as show, TerminalAnswers(requests) as answers:
        result = resume_run(folder, requests=requests, on_progress=_both(show, answers), last=True)
    return conclude(result, quiet=quiet)


def runs_folder(chosen: Path | None, loaded: LoadedExperiment) -> Path:
    """Choose the folder of the run folders: from the command line, from the experiment, or `runs` here."""
    if chosen is not None:
        return chosen
    named = loaded.experiment.runs
    return DEFAULT_RUNS if named is None else loaded.base / named


def conclude(result: RunResult, *, quiet: bool, told: Sequence[str] = ()) -> int:
    """Print how a run ended, where its record is and what it found; returns its exit code.

    Warnings that were `told` before it began are not said again. To resume is advised only where there is a checkpoint.
    """
    from aeqlab.protocols.checkpoint import listed_steps

    for warning in result.warnings:
        if warning not in told:
            say(f"warning: {warning}")
    folder = shortest(result.folder)
    headline = state_in_words(result.state, result.reason)
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
    if result.exit_code in (ExitCode.STOPPED, ExitCode.ABORTED) and listed_steps(result.folder / "checkpoints"):
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
