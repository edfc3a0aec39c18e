"""What goes wrong on an emulated bench, on command or by the script in its file: the faults of RIGS section 5.

late       replies come `seconds` late, by the wall       mute       no reply comes; what was said is done
deaf       nothing is heard and nothing answered          garbled    replies are not what they should be
short      replies are cut to half                        gone       nothing listens any more; it does not come back
count      a reply has a number too few, or too many      word       a reply has a word in the place of a number
overload   likewise 9.9E+37                               nan        likewise no number
dropped    every link breaks, at once                     rebooted   it is switched off and on, at once
stuck      a channel stays as it is                       complaint  an error of its own is queued, at once
jump       what a channel drives or senses is at once     drift      what a channel says or drives goes away by `by` V/s;
           `by` V from where it was, and stays there                 ended, it stays where it came to
cable      a channel has `gain`: 0 broken, -1 reversed    swapped    a channel has changed places with `other`
limited    a source delivers `gain` of what it is told, held back by a limit of its own, which it tells
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeqlab.backends.bench_spoil import spoiler
from aeqlab.drivers.emulated.keithley2450 import Keithley2450

if TYPE_CHECKING:
    from aeqlab.backends.bench import Bench
    from aeqlab.backends.bench_file import Port, Wiring

AT_ONCE = ("dropped", "rebooted", "complaint", "gone", "jump")
BEFALLS = {"jump": ("u", "theta", "s"), "drift": ("u", "theta", "s", "x", "temperature"), "cable": ("u", "x", "i", "theta", "s")}
OF_CHANNEL = ("stuck", "jump", "drift", "cable", "swapped")  #: what befalls one channel
SPOILS = ("garbled", "short", "count", "word", "overload", "nan")
GARBAGE = b"\x15?+1.#QNAN\xff"
INTERRUPTED = -410  #: a question came before a reply was read, which is thrown away (IEEE 488.2, 6.3.2.3)


class Fault(BaseModel):
    """One fault of one instrument."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal[
        "late", "mute", "deaf", "garbled", "short", "count", "word", "overload", "nan", "gone", "dropped", "rebooted", "stuck",
        "complaint", "jump", "drift", "cable", "swapped", "limited",
    ]  # fmt: skip
    instrument: str = Field(description="its name in the file of the bench")
    at_s: float = Field(default=0.0, ge=0, description="when it begins, in s of the bench; of a script only")
    for_s: float | None = Field(default=None, gt=0, description="how long it lasts, in s of the bench; null: until it is ended")
    seconds: float = Field(default=1.0, gt=0, le=3600, description="late: how late, in s of the wall")
    channel: str = Field(default="", description="stuck, jump, drift, cable, swapped: which channel, such as 3")
    other: str = Field(default="", description="swapped: with which channel of the same instrument")
    by: float = Field(default=0.1, description="jump: how far, in V; drift: how fast, in V/s")
    gain: float = Field(default=0.0, description="cable: 0 is broken, -1 has its two ends swapped; limited: what is left")
    code: int = Field(default=-350, description="complaint: the number of the error")

    @model_validator(mode="after")
    def _fits(self) -> Fault:
        if (self.kind in OF_CHANNEL) != bool(self.channel):
            raise ValueError(f"a channel is needed by {', '.join(OF_CHANNEL)}, and by nothing else")
        if (self.kind == "swapped") != bool(self.other):
            raise ValueError("another channel is needed by swapped, and by nothing else")
        if self.kind in AT_ONCE and self.for_s is not None:
            raise ValueError(f"{self.kind} happens at once and lasts for no time; leave for_s out")
        return self

    def wrong(self, ports: Mapping[str, Mapping[str, Port]], wires: Wiring | None = None) -> str | None:
        """Say what is wrong with it on a bench with these instruments and channels, and this wiring; None: nothing."""
        if self.instrument not in ports:
            return f"fault {self.kind}: there is no instrument {self.instrument!r}."
        own = ports[self.instrument]
        for channel in filter(None, (self.channel, self.other)):
            if channel not in own:
                return f"fault {self.kind}: {self.instrument} has no channel {channel}."
        if self.kind == "swapped" and own[self.channel].takes != own[self.other].takes:
            return f"fault swapped: {self.instrument}[{self.channel}] and {self.instrument}[{self.other}] are of two kinds."
        if self.kind == "limited" and not any(port.unit == "A" for port in own.values()):
            return f"fault limited: {self.instrument} is no source with a limit of its own."
        if wires is not None and self.kind in BEFALLS:
            wire = wires[self.instrument].get(self.channel)
            drives = self.kind == "drift" and wire is not None and wire.port.drives and wire.quantity != "u"
            if wire is None or wire.quantity not in BEFALLS[self.kind] or drives:
                what = "is wired to nothing" if wire is None else f"is wired to {wire.quantity}, which has none"
                return f"fault {self.kind}: {self.instrument}[{self.channel}] {what}."
        return None


def begin(bench: Bench, fault: Fault) -> None:
    """Let a fault begin.

    Raises:
        ValueError: such a channel cannot have it: it is wired to nothing, or to what cannot jump.
    """
    name = fault.instrument
    faults, terminals = bench.served[name].faults, bench.terminals[name]
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
        case "count" | "word" | "overload" | "nan":
            faults.spoil = spoiler(fault.kind)
        case "gone":
            bench.served[name].close()
        case "dropped":
            bench.drop(name)
        case "rebooted":
            bench.reboot(name)
        case "stuck":
            terminals.stuck.add(fault.channel)
        case "complaint":
            with bench.lock(name):
                bench.emulated[name].front.complain(fault.code)
                faults.lost += fault.code == INTERRUPTED
        case "jump":
            terminals.jump(fault.channel, fault.by)
        case "drift":
            terminals.drift(fault.channel, fault.by)
        case "cable":
            terminals.pull(fault.channel, fault.gain)
        case "swapped":
            terminals.swap(fault.channel, fault.other)
        case "limited":
            _hold_back(bench, name, fault.gain)


def end(bench: Bench, fault: Fault) -> None:
    """Put right what a fault made wrong; what happened at once stays as it is."""
    faults, terminals = bench.served[fault.instrument].faults, bench.terminals[fault.instrument]
    if fault.kind not in AT_ONCE:
        bench.physics.note("mended", kind=fault.kind, instrument=fault.instrument, channel=fault.channel)
    match fault.kind:
        case "late":
            faults.late_s = 0.0
        case "mute":
            faults.mute = False
        case "deaf":
            faults.deaf = False
        case _ if fault.kind in SPOILS:
            faults.spoil = None
        case "stuck":
            terminals.stuck.discard(fault.channel)
        case "drift":
            terminals.drift(fault.channel, 0.0)
        case "cable":
            terminals.pull(fault.channel, 1.0)
        case "swapped":
            terminals.swap(fault.channel, fault.other)
        case "limited":
            _hold_back(bench, fault.instrument, 1.0)


def _hold_back(bench: Bench, name: str, part: float) -> None:
    smu = bench.emulated[name]
    if not isinstance(smu, Keithley2450):
        raise ValueError(f"{name} is no source with a limit of its own")
    with bench.lock(name):
        smu.hold_back(part)


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
