"""How a command ends: its exit code, and one sentence for every error in place of a traceback."""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of every command, explained in docs/exit-codes.md."""

    OK = 0  #: a run finished; a command did what it was asked
    FAILED = 1  #: it could not be done: the device, the disk, the network, a refused command, a test of `accept` that failed
    BAD_INPUT = 2  #: something wrong in what was given: command line, experiment file, data, checkpoint; nothing was moved
    STOPPED = 3  #: someone stopped the run at a sample boundary
    ABORTED = 4  #: someone aborted the run at a tick
    DIVERGED = 5  #: the physics ran away: a result of the experiment
    INTERRUPTED = 130  #: Ctrl-C in a command that is not a run


def explain(error: BaseException) -> ExitCode:
    """Print one sentence (or one per problem of a file) for an error on stderr and choose the exit code.

    Errors of the project say it in their own words. An operating-system error is told with its file. Anything else is a defect
    of the program or of code it called: its traceback goes to a file and the sentence says where.
    """
    from aeqlab.backends.errors import (
        ArrayRefusedError,
        BackendError,
        DeviceConfigError,
        DivergedError,
        LimitError,
        UserCodeError,
    )
    from aeqlab.protocols.errors import CheckpointError, DataError, FileErrors, ProtocolError, UnknownRunError

    match error:
        case FileErrors():
            say(str(error))
            return ExitCode.BAD_INPUT
        case DivergedError():
            say(str(error))
            return ExitCode.DIVERGED
        case DataError() | CheckpointError() | UnknownRunError() | DeviceConfigError():
            say(str(error))
            return ExitCode.BAD_INPUT
        case LimitError() | ArrayRefusedError() | UserCodeError():
            say(str(error))
            return ExitCode.BAD_INPUT
        case ProtocolError() | BackendError():
            say(str(error))
            return ExitCode.FAILED
        case KeyboardInterrupt():
            say("interrupted")
            return ExitCode.INTERRUPTED
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            say(f"{where}{error.strerror or error}")
            return ExitCode.FAILED
        case _:
            where = _write_down(error)
            say(f"an error inside the program: {type(error).__name__}: {_first_line(error)}. {where}")
            return ExitCode.FAILED


def say(text: str) -> None:
    """Print to stderr, where what is wrong is said; stdout holds results alone."""
    print(text, file=sys.stderr)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"


def _write_down(error: BaseException) -> str:
    """Keep the traceback in a file of the state folder and say where; where that fails, say so."""
    from aeqlab.protocols.lease import state_folder

    try:
        path: Path = state_folder() / "last-error.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as exc:
        return f"Its details could not be written down ({exc.strerror})."
    return f"Details for a report: {path}"
