"""What a device gives back: one coherent readout per advance, and a graded report when it was made safe."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]


class Flag(IntFlag):
    """What is special about one readout."""

    NONE = 0
    STALE = 1  #: a value is older than the tick it came with
    LOST = 2  #: a read was lost; the last good values stand in its place, their ages say how old they are
    SLEWING = 4  #: a control knob is still on its way to its setpoint
    REFUSED = 8  #: the section-5.1 step of theta was refused, dt is 0
    FROZEN = 16  #: the device is frozen: no nudge, knobs standing still
    UNSETTLED = 32  #: a device that settles at once stopped at its limit of iterations before it came to rest
    SATURATED = 64  #: a knob or the nudge has less than it was told: held back by a limit, or by the end of a range
    JUMPED = 128  #: a reading changed by more within a tick than the device says it can
    AWAY = 256  #: something of the device cannot be reached now, and is being opened again


class Readout(NamedTuple):
    """One coherent readout, the result of `advance`.

    `t` is the device's time and `dt` what passed of it in this advance, in seconds. `outputs` has shape (samples, outputs);
    `parameters` shape (parameters,), or None on a device that holds them itself and keeps them inside. Ages have the shape
    (outputs,) and (parameters,): seconds since each value was measured.
    """

    t: float
    dt: float
    outputs: Array
    parameters: Array | None
    output_ages_s: Array
    parameter_ages_s: Array | None
    flags: Flag = Flag.NONE


class Grade(StrEnum):
    """How a line of a safety report was confirmed, best first."""

    MEASURED = "measured"  #: by another channel than the one that was set
    ECHOED = "echoed"  #: the instrument says so itself
    SENT = "only sent"  #: nothing came back to confirm it
    FAILED = "failed"  #: it could not be done, or the readback says otherwise


@dataclass(frozen=True, slots=True)
class SafetyLine:
    """One thing that was made safe: what, the value asked for, the value confirmed (None: not confirmed), and how well."""

    what: str
    grade: Grade
    setpoint: float | None = None
    readback: float | None = None
    unit: str = "1"
    note: str = ""

    @property
    def confirmed(self) -> bool:
        """True if the instrument itself or a measurement says so."""
        return self.grade in (Grade.MEASURED, Grade.ECHOED)


@dataclass(frozen=True, slots=True)
class SafetyReport:
    """What `make_safe` did, line by line."""

    lines: tuple[SafetyLine, ...] = field(default_factory=tuple)

    @property
    def safe(self) -> bool:
        """True only if there are lines and each one was confirmed, by the instrument itself or by a measurement."""
        return bool(self.lines) and all(line.confirmed for line in self.lines)

    @property
    def failed(self) -> bool:
        """True if a line failed, or nothing was reported: then it is not known where the device stands."""
        return not self.lines or any(line.grade is Grade.FAILED for line in self.lines)

    @property
    def unsure(self) -> str:
        """What was not confirmed, in words; empty where everything was."""
        unsure = ", ".join(f"{line.what} ({line.grade})" for line in self.lines if not line.confirmed)
        return unsure if self.lines else "nothing was reported"
