"""What goes wrong on an emulated bench, on command or by the script in its file: the faults of RIGS section 5.

late       replies come `seconds` late, by the wall       mute       no reply comes; what was said is done
deaf       nothing is heard and nothing answered          garbled    replies are not what they should be
short      replies are cut to half                        gone       nothing listens any more; it does not come back
dropped    every link breaks, at once                     rebooted   it is switched off and on, at once
stuck      a channel stays as it is                       complaint  an error of its own is queued, at once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from aeqlab.backends.bench import Bench

AT_ONCE = ("dropped", "rebooted", "complaint", "gone")
GARBAGE = b"\x15?+1.#QNAN\xff"


class Fault(BaseModel):
    """One fault of one instrument."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["late", "mute", "deaf", "garbled", "short", "gone", "dropped", "rebooted", "stuck", "complaint"]
    instrument: str = Field(description="its name in the file of the bench")
    at_s: float = Field(default=0.0, ge=0, description="when it begins, in s of the bench; of a script only")
    for_s: float | None = Field(default=None, gt=0, description="how long it lasts, in s of the bench; null: until it is ended")
    seconds: float = Field(default=1.0, gt=0, le=3600, description="late: how late, in s of the wall")
    channel: str = Field(default="", description="stuck: which channel, such as 3")
    code: int = Field(default=-350, description="complaint: the number of the error")

    @model_validator(mode="after")
    def _fits(self) -> Fault:
        if (self.kind == "stuck") != bool(self.channel):
            raise ValueError("a channel is needed by stuck, and by nothing else")
        if self.kind in AT_ONCE and self.for_s is not None:
            raise ValueError(f"{self.kind} happens at once and lasts for no time; leave for_s out")
        return self

    def wrong(self, ports: Mapping[str, Mapping[str, object]]) -> str | None:
        """Say what is wrong with it on a bench with these instruments and channels; None: nothing."""
        if self.instrument not in ports:
            return f"fault {self.kind}: there is no instrument {self.instrument!r}."
        if self.channel and self.channel not in ports[self.instrument]:
            return f"fault {self.kind}: {self.instrument} has no channel {self.channel}."
        return None


def begin(bench: Bench, fault: Fault) -> None:
    """Let a fault begin."""
    name = fault.instrument
    faults = bench.served[name].faults
    bench.physics.note("fault", kind=fault.kind, instrument=name, channel=fault.channel)
    match fault.kind:
        case "late":
            faults.late_s = fault.seconds
        case "mute":
            faults.mute = True
        case "deaf":
            faults.deaf = True
        case "garbled":
            faults.spoil = lambda reply: GARBAGE + reply[-1:]
        case "short":
            faults.spoil = lambda reply: reply[: (len(reply) - 1) // 2] + reply[-1:]
        case "gone":
            bench.served[name].close()
        case "dropped":
            bench.drop(name)
        case "rebooted":
            bench.reboot(name)
        case "stuck":
            bench.terminals[name].stuck.add(fault.channel)
        case "complaint":
            with bench.lock(name):
                bench.emulated[name].front.complain(fault.code)


def end(bench: Bench, fault: Fault) -> None:
    """Put right what a fault made wrong; what happened at once stays as it is."""
    faults = bench.served[fault.instrument].faults
    if fault.kind not in AT_ONCE:
        bench.physics.note("mended", kind=fault.kind, instrument=fault.instrument, channel=fault.channel)
    match fault.kind:
        case "late":
            faults.late_s = 0.0
        case "mute":
            faults.mute = False
        case "deaf":
            faults.deaf = False
        case "garbled" | "short":
            faults.spoil = None
        case "stuck":
            bench.terminals[fault.instrument].stuck.discard(fault.channel)


class Script:
    """Faults that begin and end by the clock of the bench."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        ends = [(fault.at_s + fault.for_s, fault, False) for fault in faults if fault.for_s is not None]
        self._due = sorted([(fault.at_s, fault, True) for fault in faults] + ends, key=lambda one: one[0])

    def go_on(self, bench: Bench) -> None:
        """Let begin and end what is due by now."""
        while self._due and self._due[0][0] <= bench.clock.now():
            _, fault, begins = self._due.pop(0)
            (begin if begins else end)(bench, fault)
