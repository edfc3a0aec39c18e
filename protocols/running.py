"""Running experiments from Python: `run` and `resume`, each in the calling process, each giving the loaded `Run`.

from aeqlab.protocols import run
found = run("linear-regression", "train.beta=0.2", runs="runs")
found.summary["test_cost_free"]
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aeqlab.protocols.errors import RunFailedError
from aeqlab.protocols.experiment import Experiment, LoadedExperiment, load_experiment, load_values
from aeqlab.protocols.load import Run, load_run
from aeqlab.protocols.progress_line import ProgressLine
from aeqlab.protocols.run_folder import DEFAULT_RUNS
from aeqlab.protocols.run_state import Requests, RunState

if TYPE_CHECKING:
    from aeqlab.protocols.lending import Lent
    from aeqlab.protocols.progress import RunResult


def run(
    source: Experiment | LoadedExperiment | str | Path,
    *overrides: str,
    runs: str | Path | None = None,
    quiet: bool = False,
    requests: Requests | None = None,
) -> Run:
    """Run an experiment in this process, as `aeqlab run` does, and load its record.

    Ctrl-C, or the stop button of a notebook, ends it at the end of the sample: the run is given back, its state `stopped`. A
    second one aborts it at the next tick.

    Args:
        source: an experiment, a path, the name of a preset, or what `load_experiment` gave.
        overrides: `key=value` each, as `--set` takes them.
        runs: folder in which the run folder is made; None: the one that the experiment names, or `runs` here.
        quiet: show no progress and no warnings.
        requests: where other threads may ask for pause, stop and the like.
    Returns:
        The run, whose `state` is finished, stopped, aborted or diverged.
    Raises:
        FileErrors: everything that is wrong with the experiment; nothing was started.
        RecordError: no run folder can be made there.
        RunFailedError: it failed, or was found impossible while preparing; its `run` is the record.
    """
    if not isinstance(source, LoadedExperiment):
        loaded = load_experiment(source, overrides)
    elif overrides:
        loaded = load_values(source.experiment.model_dump(mode="json"), source.base, overrides)
    else:
        loaded = source
    return run_loaded(loaded, runs=runs_folder(runs, loaded), quiet=quiet, requests=requests)


def resume(
    word: str | Path | Run, *, runs: str | Path = DEFAULT_RUNS, quiet: bool = False, requests: Requests | None = None
) -> Run:
    """Go on with a run that ended before its time, from its last checkpoint, in the same folder.

    Args:
        word: a `Run`, its folder, the folder's name or the end of it, or `last`.
        runs: folder of the run folders, where a name is given.
        quiet, requests: as for `run`.
    Returns:
        The run, as `run` does.
    Raises:
        UnknownRunError: none is meant by the word, or more than one.
        RecordError: it is in use, cannot be written, or finished.
        CheckpointError: no checkpoint can be read, or it is of another experiment.
        RunFailedError: it failed.
    """
    from aeqlab.protocols.run import resume_run
    from aeqlab.protocols.run_folder import find_run

    folder = word.path if isinstance(word, Run) else find_run(str(word), Path(runs))
    with ProgressLine(quiet=quiet, runs=folder.parent) as line:
        return _loaded(resume_run(folder, on_progress=line, requests=requests), line)


def run_loaded(
    loaded: LoadedExperiment, *, runs: Path, quiet: bool, requests: Requests | None = None, lent: Lent | None = None
) -> Run:
    """Run a loaded experiment and load its record; arguments and errors as for `run`, `lent` as for `run_experiment`."""
    from aeqlab.protocols.run import run_experiment

    told = [str(warning) for warning in loaded.warnings]
    with ProgressLine(quiet=quiet, runs=runs) as line:
        for warning in told:
            line.say(f"warning: {warning}")
        result = run_experiment(loaded, runs=runs, on_progress=line, requests=requests, lent=lent)
        return _loaded(result, line, told)


def runs_folder(chosen: str | Path | None, loaded: LoadedExperiment) -> Path:
    """Choose the folder of the run folders: the one that is given, the experiment's, or `runs` here."""
    if chosen is not None:
        return Path(chosen).expanduser()
    named = loaded.experiment.runs
    return DEFAULT_RUNS if named is None else loaded.base / named


def _loaded(result: RunResult, line: ProgressLine, told: list[str] | None = None) -> Run:
    """Load the record of a run that ended, and say how."""
    for warning in result.warnings:
        if warning not in (told or ()):
            line.say(f"warning: {warning}")
    run = load_run(result.folder)
    if result.state is RunState.FAILED:
        raise RunFailedError(f"{result.reason} {result.device} The record: {result.folder}", run)
    line.say(f"{result.state}: {result.reason} {result.folder}")
    return run
