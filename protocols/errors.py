"""Errors of the protocols: what can go wrong between a person's wish and an experiment.

ProtocolError
├── FileErrors             everything wrong with the files of an experiment, all at once, each with file and line
├── RunFailedError         a run that was started from Python failed; it has the run
├── DataError              a data set that is missing, damaged or does not fit
├── FetchError             a data set that could not be fetched; what is there is not touched
├── RecordError            a run folder or record that cannot be written or read; what is in it is not touched
│   └── UnknownRunError    no run is meant by a word, or more than one
├── ExportError            an export or a bundle cannot be made; nothing was left behind
├── CheckpointError        a checkpoint that is damaged or of another experiment
├── SessionError           the owner of the device refuses or is gone
│   ├── NotAllowedError    the command is not allowed in this state, or without the control token
│   ├── FrozenError        the session froze the device; says why
│   │   └── LateError      because this client was late: continue, and do the sample again
│   └── SessionLostError   the session no longer answers; the state of the rig is unknown
├── CapabilityError        a protocol asks for an ability this device does not have
├── IdentifyError          how a device answers could not be found out, or its wiring is wrong; names every fault
├── HoldError              homeostasis could not hold theta and the experiment says not to go on without
└── Interrupted            not an error: someone asked for it
    ├── StopRequested      end at the sample boundary
    ├── AbortRequested     end at the next tick
    └── SkipRequested      leave this stage and go on with the next
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class ProtocolError(Exception):
    """Base of every error of this layer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file, and how to mend it.

    `file` is the file as it was named, or the `--set` argument, empty for what was written in Python; `line` and `column` count
    from 1, None where there is no line. `key` is the path of the key, such as `sequence.0.train.beta`, empty where none is
    concerned.
    """

    file: str
    line: int | None
    column: int | None
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}, column {self.column}"
        parts = (f"{place}:" if place else "", f"{self.key}:" if self.key else "", self.message, self.hint)
        return " ".join(part for part in parts if part)


class FileErrors(ProtocolError):
    """Everything wrong with the files of an experiment, all at once; one line of the message per problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[FileErrors], tuple[tuple[Problem, ...]]]:
        return FileErrors, (self.problems,)


class RunFailedError(ProtocolError):
    """A run that was started from Python failed; the message says why and where its record is.

    Attributes:
        run: the `Run`, as `load_run` gives it.
    """

    def __init__(self, message: str, run: Any = None) -> None:
        self.run = run
        super().__init__(message)


class DataError(ProtocolError):
    """A data set is missing, damaged, or does not fit the device."""


class FetchError(ProtocolError):
    """A data set could not be fetched; what is there was not touched, what came is kept. May be retried."""


class RecordError(ProtocolError):
    """A run folder or its record cannot be written or read; what is in it was not touched."""


class UnknownRunError(RecordError):
    """No run is meant by a word that was given, or more than one."""


class ExportError(ProtocolError):
    """An export or a bundle cannot be made as it was asked for; nothing was left behind."""


class CheckpointError(ProtocolError):
    """A checkpoint is damaged, or belongs to another experiment."""


class SessionError(ProtocolError):
    """The session that owns the device refuses, or is gone."""


class NotAllowedError(SessionError):
    """The command is not allowed in the present state, or not without the control token."""


class FrozenError(SessionError):
    """The session froze the device; the message says why. May be retried after `continue`."""


class LateError(FrozenError):
    """The session froze the device because this client was not heard in time. Continue, and do the sample again."""


class SessionLostError(SessionError):
    """The session no longer answers; the state of the rig is unknown."""


class CapabilityError(ProtocolError):
    """A protocol asks for an ability that this device does not have; the message names both."""


class IdentifyError(ProtocolError):
    """How a device answers could not be found out, or something is wrong with its wiring; every fault is named."""


class HoldError(ProtocolError):
    """Homeostasis could not hold theta, and the experiment says not to go on without. May be retried."""


class Interrupted(ProtocolError):
    """Someone asked for it: base of the three ways to leave early."""


class StopRequested(Interrupted):
    """End at the sample boundary."""


class AbortRequested(Interrupted):
    """End at the next tick."""


class SkipRequested(Interrupted):
    """Leave this stage, go on with the next one."""
