"""Any instrument that speaks in lines of text, described in YAML alone: commands, replies, limits, errors, what arming sets.

What each key means stands in `scpi_description.py`. Nothing is guessed: a range, a unit or a reply that is not described is not
used. What can be confirmed is confirmed: by the answer to a set command, by the error queue, or by reading back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from aeqlab.drivers.connection import Connection, Wire
from aeqlab.drivers.errors import RefusedError, ReplyError
from aeqlab.drivers.identity import Identity, check_identity, parse_identity
from aeqlab.drivers.instrument import Array, Change, Channel, Complaint, Direction
from aeqlab.drivers.readings import numbers
from aeqlab.drivers.scpi_description import Arm, Inputs, Outputs, ScpiDescription, filled
from aeqlab.drivers.visa import ENTRIES, Setting, Step, Value, VisaInstrument, same

_ENTRY = re.compile(r'\s*(?P<code>[-+]?\d+)\s*[,;:]?\s*"?(?P<text>.*?)"?\s*')

TALKATIVE = 3  #: once or twice, what comes unasked may be noise on the line

#: Some channels of one group: the group, their places among those that are meant, and their names there.
Part = tuple[Outputs | Inputs, list[int], list[str]]


class Scpi(VisaInstrument):
    """An instrument that is described in YAML.

    Args:
        wire: how it is reached; ends of lines and baud rate of the description come before those of the wire.
        description: what it understands and says.
        name: how the rig calls it.
        serial: its serial number; empty: any.
    """

    def __init__(self, wire: Wire, description: ScpiDescription, name: str = "", *, serial: str = "") -> None:
        ends = {
            "identify": description.identify, "read_end": description.read_end, "write_end": description.write_end,
            "baud_rate": description.baud_rate,
        }  # fmt: skip
        wire = replace(wire, **{key: value for key, value in ends.items() if value is not None})  # type: ignore[arg-type]
        super().__init__(wire, name, serial=serial)
        self.connection = Connection(wire, name, _reader(description.identity_pattern))
        self.description = description
        self._groups: dict[str, tuple[Outputs | Inputs, str]] = {}  # of every key: its group, and its channel there
        self._channels: dict[str, Channel] = {}
        groups: tuple[Outputs | Inputs, ...] = (*description.outputs, *description.inputs)
        for group in groups:
            direction = Direction.OUT if isinstance(group, Outputs) else Direction.IN
            slew = group.slew_per_s if isinstance(group, Outputs) else float("inf")
            for channel in group.channels:
                key = group.key.format(channel=channel)
                self._groups[key] = (group, channel)
                self._channels[key] = Channel(key, direction, group.unit, *group.limits, group.step, slew)
        self._settings = [(_setting(arm), arm, channel) for arm in description.arm for channel in arm.channels or ("",)]
        self._present: list[Value] = []
        self._talkative = 0  # times in a row that setting it brought something nobody had asked for

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Get its channels by key, as they are described."""
        return self._channels

    # opening, settings and errors
    def _known(self, identity: Identity) -> Identity:
        try:
            check_identity(identity, self.where, maker=self.description.maker, models=self.description.models, serial=self.serial)
        except BaseException:
            self.close()
            raise
        return super()._known(identity)

    def _adopt(self) -> None:
        self._present = [s.read(self.ask(filled(s.ask, [channel])), self.where) for s, _, channel in self._settings]

    def questions(self) -> tuple[str, ...]:
        """List the questions for what arming sets, and for what its description has for the record."""
        asked = [filled(setting.ask, [channel]) for setting, _, channel in self._settings]
        return (*asked, *self.description.record.values())

    def settings(self) -> dict[str, str]:
        """Get what arming sets, and what the description has for the record, as it stands now."""
        self._adopt()
        found = {
            f"{setting.name} {channel}".strip(): setting.show(value)
            for (setting, _, channel), value in zip(self._settings, self._present, strict=True)
        }
        return found | {name: self.ask(query).strip() for name, query in self.description.record.items()}

    def _steps(self) -> list[Step]:
        steps = []
        for (setting, arm, channel), present in zip(self._settings, self._present, strict=True):
            if not same(present, _bare(arm.wanted)):
                change = Change(channel, setting.name, setting.show(present), setting.show(arm.wanted))
                stage = self.description.arm.index(arm)
                steps.append(Step(filled(arm.set, [channel], arm.wanted), (change,), stage))
        return steps

    def _events(self) -> int:
        """Get the event status register; 0 where none is described: then it cannot tell that it was off."""
        if not self.description.events:
            return 0
        reply = self.ask(self.description.events).strip()
        if not reply.lstrip("+").isdigit():
            raise ReplyError(f"{self.where}: the event status register is said to be {reply[:40]!r}")
        return int(reply)

    def healthy(self) -> None:
        """See that it was not switched off and on and does not complain, as far as its description tells how to ask."""
        self._see(self._events())
        self.check()

    def complaints(self) -> list[Complaint]:
        """Empty its error queue; oldest first. None where no queue is described."""
        found: list[Complaint] = []
        errors = self.description.errors
        while errors is not None and errors.query and len(found) < ENTRIES:
            reply = self.connection.query(errors.query).strip()
            if reply.casefold() == errors.none.casefold():
                return found
            found.append(self._complaint(reply))
        if found:
            raise ReplyError(
                f"{self.where}: its error queue has no end: after {len(found)} entries it says {reply[:60]!r}. If "
                "that is what it says when there is no error, write it as `none` of its description."
            )
        return found

    def _complaint(self, reply: str) -> Complaint:
        """Make a sentence of an entry of its error queue, or of an answer to a set command that is not the good one."""
        errors = self.description.errors
        sentences = errors.sentences if errors is not None else {}
        match = _ENTRY.fullmatch(reply)
        code, text = (int(match["code"]), match["text"]) if match else (0, reply)
        meaning = sentences.get(str(code)) or sentences.get(text) or sentences.get(reply)
        return Complaint(code, f"{meaning} ({reply})" if meaning else f"{reply!r}: see its manual for this error.")

    # channels
    def _parts(self, keys: Sequence[str]) -> list[Part]:
        """Part keys by their group; returns each group with the places of its keys and their channels."""
        parts: dict[int, Part] = {}
        for at, key in enumerate(keys):
            group, channel = self._groups[key]
            _, places, channels = parts.setdefault(id(group), (group, [], []))
            places.append(at)
            channels.append(channel)
        return list(parts.values())

    def _write(self, keys: Sequence[str], values: Array) -> None:
        unasked = self.connection.unasked
        self._each([one for part in self._parts(keys) for one in self._sets(part, values)])
        self.check()
        # without complaints too: what an instrument makes of a value that it cannot give, such as the nearest it can, is no error
        for group, places, channels in self._parts(keys):
            if isinstance(group, Outputs) and group.answer is None and group.ask is not None:
                self._compare([keys[at] for at in places], values[places], self._asked(group.ask, group, channels))
        self._talkative = self._talkative + 1 if self.connection.unasked > unasked else 0
        if self._talkative >= TALKATIVE:
            what = "It answers when it is set, which nobody asked for. Write its good answer as `answer` of these outputs."
            raise RefusedError(self.where, [f"{what} A bad one is not noticed otherwise, and each costs a moment."], [])

    def _sets(self, part: Part, values: Array) -> list[tuple[str, str | None]]:
        """List the commands that set some channels of a group, and what each is answered with."""
        group, places, channels = part
        assert isinstance(group, Outputs)
        alike = _alike(channels, values[places].tolist(), together="{list}" in group.set)
        return [(filled(group.set, some, value), group.answer) for some, value in alike]

    def _each(self, commands: Sequence[tuple[str, str | None]]) -> None:
        """Send every command; one that is refused keeps no other from being sent, for they may lead to safety.

        Raises:
            RefusedError: some have an answer that is not the good one.
        """
        refused: list[Complaint] = []
        for command, answer in commands:
            if answer is None:
                self.connection.write(command)
            elif (said := self.ask(command).strip()) != answer:
                complaint = self._complaint(said)
                refused.append(Complaint(complaint.code, f"{complaint.text} This was its answer to {command!r}."))
        if refused:
            raise RefusedError(self.where, [one.text for one in refused], [one.code for one in refused])

    def _compare(self, keys: Sequence[str], wanted: Array, found: Array) -> None:
        steps = np.array([self._channels[key].step for key in keys])
        away = np.abs(found - wanted) > np.maximum(0.51 * steps, 1e-6 * np.abs(wanted))
        if away.any():
            at = int(np.argmax(away))
            unit = self._channels[keys[at]].unit
            self._refuse(f"Channel {keys[at]} was set to {wanted[at]:.9g} {unit} and is at {found[at]:.9g} {unit}.")

    def _written(self, keys: Sequence[str]) -> Array:
        found = np.empty(len(keys))
        for group, places, channels in self._parts(keys):
            assert isinstance(group, Outputs)
            if group.ask is None:
                which = ", ".join(keys[at] for at in places[:8])
                raise ReplyError(f"{self.where}: its description has no `ask` for channel {which}, so it cannot say what is set.")
            found[places] = self._asked(group.ask, group, channels)
        return found

    def _measure(self, keys: Sequence[str]) -> Array:
        found = np.empty(len(keys))
        for group, places, channels in self._parts(keys):
            assert isinstance(group, Inputs)
            found[places] = self._asked(group.measure, group, channels)
        return found

    def _asked(self, query: str, group: Outputs | Inputs, channels: list[str]) -> Array:
        """Ask for values of some channels of a group: of all at once where its query has a list."""
        if group.block is not None:
            return self.connection.query_block(filled(query, channels), group.block, len(channels)).astype(np.float64)
        if "{list}" in query:
            return numbers(self.ask(filled(query, channels)), len(channels), self.where)
        return np.array([numbers(self.ask(filled(query, [channel])), 1, self.where)[0] for channel in channels])

    def _off(self, keys: Sequence[str]) -> None:
        """Switch outputs off, or set them to 0 where nothing is described to switch; confirmed as far as that is described."""
        parts = self._parts(keys)
        commands: list[tuple[str, str | None]] = []
        for group, places, channels in parts:
            assert isinstance(group, Outputs)
            if group.switch_off is None:
                commands += self._sets((group, places, channels), np.zeros(len(keys)))
            else:
                commands += [(filled(group.switch_off, some), group.answer) for some in _some(group.switch_off, channels)]
        self._each(commands)
        on = [one for group, places, channels in parts for one in self._not_off(group, [keys[at] for at in places], channels)]
        if on:
            self._refuse(f"Channel {', '.join(on)} was brought to its safe end, and does not say that it is there.")
        self.check()

    def _not_off(self, group: Outputs | Inputs, keys: list[str], channels: list[str]) -> list[str]:
        """List the outputs that do not say that they are off, where they can say it."""
        assert isinstance(group, Outputs)
        if group.off_ask is not None:
            asked = [(some, self.ask(filled(group.off_ask, some)).strip()) for some in _some(group.off_ask, channels)]
            return [key for some, said in asked if said != group.off_reply for key in some]
        if group.switch_off is None and group.ask is not None:
            found = self._asked(group.ask, group, channels)
            return [key for key, value in zip(keys, found.tolist(), strict=True) if abs(value) > 0.51 * group.step]
        return []


def _bare(wanted: Value) -> Value:
    """Get a text without the quotation marks that a reply may have around it."""
    return wanted.strip().strip('"') if isinstance(wanted, str) else wanted


def _setting(arm: Arm) -> Setting:
    return Setting(arm.name, arm.ask, arm.set, "", unit="text" if isinstance(arm.wanted, str) else "")


def _some(template: str, channels: list[str]) -> list[list[str]]:
    """Get the channels for each message: all in one where it has a list, else one by one."""
    return [channels] if "{list}" in template else [[channel] for channel in channels]


def _alike(channels: list[str], values: list[float], together: bool) -> list[tuple[list[str], float]]:
    """Pair channels with values: one by one, or all that get the same value together."""
    if not together:
        return [([channel], value) for channel, value in zip(channels, values, strict=True)]
    found: dict[float, list[str]] = {}
    for channel, value in zip(channels, values, strict=True):
        found.setdefault(value, []).append(channel)
    return [(some, value) for value, some in found.items()]


def _reader(pattern: str | None) -> Callable[[str], Identity]:
    """Get what reads the name: four fields with commas, or the groups of a pattern."""
    if pattern is None:
        return parse_identity
    shape = re.compile(pattern)

    def read(reply: str) -> Identity:
        match = shape.fullmatch(reply.strip())
        if match is None:
            raise ReplyError(f"its name {reply.strip()[:80]!r} is not of the form {pattern!r}")
        groups = match.groupdict(default="")
        return Identity(*(groups.get(part, "") for part in ("maker", "model", "serial", "firmware")))

    return read
