"""A run in a process of its own, for tests that kill it: python run_worker.py run FILE RUNS [KEY=VALUE...] | resume FOLDER.

Writes the number of each step to stdout once it is committed. The environment variable CHECKPOINT_EVERY_S sets the time between
checkpoints; STAYS_AT is the number of a step after which nothing is done any more: whoever kills the run, however late, meets it
before its end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.record import Record, StepRow
from aeqlab.protocols.run import resume_run, run_experiment

_commit = Record.step


def _commit_and_say(self: Record, row: StepRow) -> None:
    _commit(self, row)
    os.write(1, f"{row.step}\n".encode())
    while row.step == int(os.environ.get("STAYS_AT", "0")):
        time.sleep(60.0)


def main() -> int:
    """Run or resume as the command line says; the exit code is that of the run."""
    Record.step = _commit_and_say  # type: ignore[method-assign]
    every = float(os.environ.get("CHECKPOINT_EVERY_S", "30"))
    word, path, *rest = sys.argv[1:]
    if word == "run":
        loaded = load_experiment(Path(path), rest[1:])
        result = run_experiment(loaded, runs=Path(rest[0]), checkpoint_every_s=every)
    else:
        result = resume_run(Path(path), checkpoint_every_s=every)
    print(f"{result.state}: {result.reason} {result.device}", file=sys.stderr)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
