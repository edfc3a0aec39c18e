"""What instruments over VISA that speak SCPI have in common: name, settings, complaints, arming, and whether they were off.

A driver declares its settings (`Setting`), its sentences for errors, and how it reads all settings (`_adopt`). What arming
changes follows from these: what stands against what is wanted, sent, and read back.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from aeqlab.drivers.connection import BACK_OFF_S, Connection, Wire
from aeqlab.drivers.errors import (
    DriverError,
    OverloadError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)
from aeqlab.drivers.identity import Identity, check_identity
from aeqlab.drivers.instrument import Change, Complaint, Instrument
from aeqlab.drivers.readings import OVERLOAD, numbers

Array = NDArray[Any]
Value = str | float
POWER_ON = 128  #: bit of the event status register: it was switched on (IEEE 488.2, 11.5.1.1.2)
FAULTS = 4 | 8 | 16 | 32  #: its bits for errors of query, device, execution and command
EVENTS = "*ESR?"
ENTRIES = 100  #: no error queue is longer than this
#: What the errors of SCPI mean for whoever runs a rig.
SENTENCES: Mapping[int, str] = {
    -101: "A command has a character it does not know. Its firmware may be too old.",
    -102: "A command is not written as it wants it. Its firmware may be too old.",
    -103: "A command is not written as it wants it. Its firmware may be too old.",
    -104: "A command has a value of another kind than it wants.",
    -108: "A command has more values than it takes.",
    -109: "A command has fewer values than it needs.",
    -113: "It does not know a command. See that the driver fits the model and its firmware.",
    -114: "A command names a channel that is not there. Correct the channels of the rig file.",
    -121: "A number is not written as it wants it.",
    -131: "A unit is not one it knows.",
    -200: "It could not carry out a command in its present state.",
    -213: "It was started while it was already running. Stop it first.",
    -214: "It waits for a trigger that cannot come. Arm it again.",
    -221: "A setting does not go with another one. Compare its settings with those of the rig file.",
    -222: "A value is outside its range; the old value stays. Choose a value within, or another range.",
    -223: "It was sent more than it can hold.",
    -224: "A word is not one it knows in this place.",
    -230: "It has no reading to give. Start a measurement first.",
    -350: "Its queue was full: errors were lost. Look for the cause before going on.",
    -410: "A question came before the reply to the one before was read. The link was out of step.",
    -420: "It was asked to reply without a question. The link was out of step.",
}
_ENTRY = re.compile(r'\s*([+-]?\d+)\s*,\s*"((?:[^"]|"")*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an instrument or of its channels: a word, a number with a unit and a range, or a text.

    Attributes:
        name: for people and for the record.
        ask, tell: the question and the command; `{key}` stands for a channel, `{value}` for the value.
        says: what it is for.
        words: what it may be, long form with the short form in capitals; empty: a number, or a text where `unit` is `text`.
        unit, low, high: of a number.
    """

    name: str
    ask: str
    tell: str
    says: str
    words: tuple[str, ...] = ()
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf

    def read(self, field: str, where: str) -> Value:
        """Read its value from a reply.

        Raises:
            ReplyError: it is none of its words, or no number.
        """
        said = field.strip().strip('"')
        if self.words:
            said = {"0": "OFF", "1": "ON"}.get(said, said) if "OFF" in self.words else said
            for word in self.words:
                short = "".join(c for c in word if not c.islower())
                if said.upper() in (word.upper(), short):
                    return short
        elif self.unit == "text":
            return said
        else:
            try:
                value = float(said)
            except ValueError:
                value = math.nan
            if abs(value) < OVERLOAD or (not self.unit and not math.isnan(value)):  # a count may be without end, a quantity not
                return value
        raise ReplyError(f"{where}: its {self.name} is said to be {field[:40]!r}, which is none that it can have")

    def check(self, value: Value, where: str) -> None:
        """See that a value may be sent.

        Raises:
            SettingError: it is outside its range, or none of its words.
        """
        if self.words:
            known = ["".join(c for c in word if not c.islower()) for word in self.words]
            if value not in known:
                raise SettingError(f"{where}: {self.name} {value!r} is none of {', '.join(known)}. {self.says}")
        elif not isinstance(value, str) and not (math.isfinite(value) and self.low <= value <= self.high):
            said = f"{where}: {self.name} {value:g} {self.unit} is outside {self.low:g} to {self.high:g} {self.unit}. {self.says}"
            raise SettingError(said.rstrip())

    def show(self, value: Value) -> str:
        """Write a value with its unit."""
        return value if isinstance(value, str) else f"{value:.9g} {self.unit}".strip()

    def command(self, key: str, value: Value) -> str:
        """Write the command that sets it."""
        return self.tell.format(key=key, value=value if isinstance(value, str) else f"{value:.9g}")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of arming and what it changes.

    Attributes:
        stage: it is sent once all that stands in earlier stages was taken; what lets an output drive comes after its limits.
    """

    command: str
    changes: tuple[Change, ...]
    stage: int = 0


def same(present: Value, wanted: Value) -> bool:
    """Tell whether a setting stands as it is wanted; numbers within a part in a million, as replies are rounded."""
    if isinstance(present, str) or isinstance(wanted, str):
        return present == wanted
    return math.isclose(present, wanted, rel_tol=1e-6, abs_tol=1e-12)


class VisaInstrument(Instrument):
    """An instrument over VISA with the common commands of IEEE 488.2 and the error queue of SCPI.

    Args:
        wire: how it is reached.
        name: how the rig calls it; empty: by its address.
        serial: its serial number; empty: any.

    Attributes:
        connection: the conversation.
        found: complaints that were in its queue when it was opened; they are older than anything sent since.
    """

    maker: ClassVar[str] = ""  #: what the maker's name has in it
    models: ClassVar[tuple[str, ...]] = ()  #: what the model begins with
    sentences: ClassVar[Mapping[int, str]] = {}  #: its own errors, and better words for those of SCPI
    all_errors: ClassVar[bool] = False  #: whether it tells its whole queue in one reply

    def __init__(self, wire: Wire, name: str = "", *, serial: str = "") -> None:
        self.connection = Connection(wire, name)
        super().__init__(self.connection.name)
        self.serial = serial
        self.found: list[Complaint] = []
        self._switched_on = False

    # what a driver fills in
    @abstractmethod
    def _adopt(self) -> None:
        """Read all settings as they stand; only questions."""

    def questions(self) -> tuple[str, ...]:
        """List the questions that change nothing and may be asked at any time, also by hand: those for its settings."""
        return ()

    def _steps(self) -> list[Step]:
        """List what arming sends, from what was read last."""
        return []

    # opening
    @property
    def where(self) -> str:
        """Name and address, for messages."""
        return self.connection.where

    def open(self) -> Identity:
        """Open it, see that it is the one that is meant, read its error queue and its settings; changes nothing.

        Raises:
            AddressError, IdentityError, RefusedError, ReplyError.
        """
        return self._known(self.connection.open())

    def reopen(self, attempts: int = len(BACK_OFF_S)) -> Identity:
        """Open it again after the link was lost; settings are read anew and `rebooted` tells whether it was off meanwhile.

        Raises:
            AddressError, IdentityError, RefusedError, ReplyError.
        """
        return self._known(self.connection.reopen(attempts))

    def close(self) -> None:
        """Let it go; it stays as it is. May be called twice."""
        self.connection.close()

    def _known(self, identity: Identity) -> Identity:
        try:
            serial = self.serial or (self.identity.serial if self.identity is not None else "")  # the very one it was before
            check_identity(identity, self.where, maker=self.maker, models=self.models, serial=serial)
            switched_on = self._events() & POWER_ON  # asked for even the first time, so that the next time means something
            self._switched_on |= bool(switched_on) and self.identity is not None
            self.identity = identity
            self.found = self.complaints()
            self._adopt()
        except DriverError:
            self.close()
            raise
        return identity

    # talking
    def ask(self, question: str, ahead: bytes = b"") -> str:
        """Get a reply; where none comes, look whether the instrument says why.

        Args:
            question: the question.
            ahead: a command with a block that goes before it in one packet, as `Connection.block` makes it.
        Raises:
            RefusedError: it complains of the question.
            ReplyLateError, ReplyError, LinkLostError.
        """
        try:
            return self.connection.query(question, ahead)
        except ReplyLateError as exc:
            if complaints := self.complaints():
                raise RefusedError(self.where, [c.text for c in complaints], [c.code for c in complaints]) from exc
            raise

    def told(self, question: str) -> str:
        """Get a reply, and with it in the same exchange that the instrument was not switched off and on and does not complain.

        The event status register comes after the reply, behind a semicolon (IEEE 488.2, 6.4.3 and 8.4.1). A reply that lost its
        end lacks it, which for a single number nothing else would tell.

        Raises:
            RebootedError: it was switched off and on since this was last asked; the reply does not count.
            RefusedError: it complains.
            ReplyLateError, ReplyError, LinkLostError.
        """
        reply, events = self._parted(self.ask(f"{question};{EVENTS}"))
        if events & FAULTS:
            self.check()
        return reply

    def _parted(self, whole: str) -> tuple[str, int]:
        """Part a reply from the event status register after it; raises RebootedError where that says so."""
        reply, semicolon, said = whole.rpartition(";")
        said = said.strip().lstrip("+")
        if not semicolon or not said.isdigit():
            raise ReplyError(f"{self.where}: a reply lost its end: {whole[-40:]!r}")
        self._see(int(said))
        return reply, int(said)

    def _see(self, events: int) -> None:
        """Keep in mind that it was switched off and on, and raise it, where the event status register says so."""
        if events & POWER_ON:
            self._switched_on = True
            raise RebootedError(f"{self.where}: it was switched off and on; its settings are gone. Arm it again.")

    def healthy(self) -> None:
        """See that it was not switched off and on and does not complain, in one exchange.

        Raises:
            RebootedError, RefusedError.
        """
        self._sound("SYSTem:ERRor:ALL?" if self.all_errors else "SYSTem:ERRor?")

    def _sound(self, message: str) -> None:
        """Send what ends with the question for errors; raise what it says, and what the event status register says after it."""
        reply, _ = self._parted(self.connection.query(f"{message};{EVENTS}"))
        if found := self._entries(reply):
            found += [] if self.all_errors else self.complaints()
            raise RefusedError(self.where, [one.text for one in found], [one.code for one in found])

    def readings(self, reply: str, keys: Sequence[str]) -> Array:
        """Read a measurement of some channels, shape (keys,).

        Raises:
            OverloadError: some are beyond their range; the message names their channels. Nothing of this reply counts.
            ReplyError: another count, or something that is no finite number.
        """
        try:
            return numbers(reply, len(keys), self.where)
        except OverloadError as exc:
            over = [keys[place] for place in exc.places]
            raise OverloadError(
                f"{self.where}: overload on channel {', '.join(over[:8])}{', ...' if len(over) > 8 else ''}: more than the range "
                "measures. Choose a larger range or see what drives it; nothing of this reading was taken.",
                exc.places,
            ) from exc

    def complaints(self) -> list[Complaint]:
        """Empty its error queue; oldest first, each as a sentence.

        Raises:
            ReplyError: a reply is no entry of an error queue.
        """
        if self.all_errors:
            return self._entries(self.connection.query("SYSTem:ERRor:ALL?"))
        found: list[Complaint] = []
        while len(found) < ENTRIES and (entries := self._entries(self.connection.query("SYSTem:ERRor?"))):
            found += entries
        return found

    def _entries(self, reply: str) -> list[Complaint]:
        """Read entries of the error queue; none for `No error`."""
        found: list[tuple[int, str]] = []
        at = 0
        while at < len(reply.rstrip()) or not found:
            entry = _ENTRY.match(reply, at)
            if entry is None:
                raise ReplyError(f"{self.where}: the error queue is said to hold {reply[:60]!r}")
            found.append((int(entry[1]), entry[2].replace('""', '"')))
            at = entry.end()
        return [Complaint(code, self._sentence(code, text)) for code, text in found if code]

    def _sentence(self, code: int, text: str) -> str:
        meaning = self.sentences.get(code) or SENTENCES.get(code) or "See its manual for this error."
        return f'{meaning} ({code:+d}, "{text}")'

    def _events(self) -> int:
        return self._events_after(EVENTS)

    def _events_after(self, question: str, ahead: bytes = b"") -> int:
        """Get the event status register, the only reply to lines that end with the question for it."""
        reply = self.ask(question, ahead)
        try:
            return int(float(reply))
        except ValueError:
            raise ReplyError(f"{self.where}: the event status register is said to be {reply[:40]!r}") from None

    def rebooted(self) -> bool:
        """Tell whether it was switched off and on since it was opened or this was last asked; reads its settings anew then."""
        self._switched_on |= bool(self._events() & POWER_ON)
        if self._switched_on:
            self._adopt()
        answer, self._switched_on = self._switched_on, False
        return answer

    # arming
    def plan(self) -> list[Change]:
        """List what `arm` will change, from the settings as they were read last."""
        return [change for step in self._steps() for change in step.changes]

    def arm(self) -> None:
        """Change what is not as it is wanted, stage by stage, and read everything back after each.

        Raises:
            RefusedError: it complains, or says that a setting is not as it was set; nothing of later stages was sent.
        """
        if self._switched_on:  # what was read before it was off is not how it stands
            self._adopt()
        stages = sorted({step.stage for step in self._steps()}) or [0]
        for stage in stages:
            for step in self._steps():
                if step.stage == stage:
                    self.connection.write(step.command)
            self.check()
            self._adopt()
            left = [step for step in self._steps() if step.stage <= stage or stage == stages[-1]]
            if left:
                said = [f"It was told, and did not change {change}." for step in left for change in step.changes]
                raise RefusedError(self.where, said, [])


def listed(keys: Iterable[str]) -> str:
    """Write a channel list such as `(@101:104,201)`."""
    runs: list[list[int]] = []
    for number in map(int, keys):
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return f"(@{','.join(':'.join(map(str, run)) for run in runs)})"
