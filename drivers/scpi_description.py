"""The description of an instrument in YAML: what each key means, and a sentence for what is wrong with it."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from aeqlab.drivers.blocks import TYPES

MOST_CHANNELS = 10000
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")
_KEY = re.compile(r"[A-Za-z0-9_]+")


class _Number(float):
    """A number that a template writes with ten digits, unless it says otherwise, such as `{value:.3f}`."""

    def __format__(self, spec: str) -> str:
        return super().__format__(spec or ".10g")


def filled(template: str, channels: Sequence[str], value: float | str = "") -> str:
    """Fill a template in: `{channel}` is the first channel, `{list}` all with commas between, `{value}` the value."""
    written = value if isinstance(value, str) else _Number(value)
    return template.format(channel=channels[0] if channels else "", list=",".join(channels), value=written)


def _fields(template: str) -> set[str]:
    try:
        return {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as exc:
        raise ValueError(f"{template!r} is no template: {exc}. A brace that is meant as such is written twice.") from None


def _check(template: str, may: set[str], what: str, value: float | str = 0.0) -> None:
    if unknown := _fields(template) - may:
        raise ValueError(
            f"{what} {template!r} has {', '.join('{' + one + '}' for one in sorted(unknown))}; it may have "
            f"{', '.join('{' + one + '}' for one in sorted(may))}. A brace that is meant as such is written twice."
        )
    try:
        filled(template, ["1"], value)
    except (ValueError, TypeError, KeyError, IndexError) as exc:
        raise ValueError(f"{what} {template!r} cannot be filled in: {exc}") from None


def _channels(given: Any) -> tuple[str, ...]:
    """Read channels such as `1-4`, `[1-4, 7, CH9]` or `3`."""
    found: list[str] = []
    for part in given if isinstance(given, list | tuple) else [given]:
        if isinstance(part, bool) or not isinstance(part, str | int):
            raise ValueError(f"a channel is a number, a word or a range such as 1-4, not {part!r}")
        text = str(part).strip()
        if match := _RANGE.fullmatch(text):
            first, last = int(match[1]), int(match[2])
            if not first <= last < first + MOST_CHANNELS:
                raise ValueError(f"the range of channels {text} goes down, or has more than {MOST_CHANNELS}")
            found += [str(channel) for channel in range(first, last + 1)]
        elif _KEY.fullmatch(text):
            found.append(text)
        else:
            raise ValueError(f"a channel is a number, a word or a range such as 1-4, not {text!r}")
    if twice := _twice(found):
        raise ValueError(f"channel {', '.join(twice[:8])} is there twice")
    return tuple(found)


def _twice(keys: Sequence[str]) -> list[str]:
    return [key for key, count in Counter(keys).items() if count > 1]


Channels = Annotated[tuple[str, ...], BeforeValidator(_channels)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Group(_Part):
    """What outputs and inputs have in common.

    Attributes:
        channels: such as `1-4` or `[1-4, 7]`, as the instrument counts them.
        key: how the rig calls each, where outputs and inputs are counted alike: `m{channel}`.
        unit: of their values.
        limits: lowest and highest value, in this unit.
        step: resolution in this unit; 0: not known.
        block: type of the numbers where the reply is a binary block, such as `<f4`; else it is text with commas between.
    """

    channels: Channels = Field(min_length=1)
    key: str = "{channel}"
    unit: str = Field(min_length=1)
    limits: tuple[float, float]
    step: float = Field(default=0.0, ge=0.0)
    block: str | None = None

    @field_validator("key")
    @classmethod
    def _the_key(cls, key: str) -> str:
        if _fields(key) != {"channel"} or not _KEY.fullmatch(key.replace("{channel}", "1")):
            raise ValueError(f"a key is a word with {{channel}} in it, such as m{{channel}}, not {key!r}")
        return key

    @field_validator("limits")
    @classmethod
    def _the_limits(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if not (math.isfinite(limits[0]) and math.isfinite(limits[1]) and limits[0] < limits[1]):
            raise ValueError(f"limits are the lowest and the highest value, not {limits[0]:g} and {limits[1]:g}")
        return limits

    @field_validator("block")
    @classmethod
    def _the_block(cls, block: str | None) -> str | None:
        if block is not None and block not in TYPES:
            raise ValueError(f"the numbers of a block are one of {', '.join(TYPES)}, not {block!r}")
        return block

    def _checked(self, template: str | None, what: str, value: bool = False) -> None:
        """See that a template says which of several channels it means, and whether it has a value."""
        if template is None:
            return
        _check(template, {"channel", "list", "value"} if value else {"channel", "list"}, what)
        fields = _fields(template)
        if value and "value" not in fields:
            raise ValueError(f"{what} {template!r} has no {{value}}")
        if {"channel", "list"} <= fields:
            raise ValueError(f"{what} {template!r} has both {{channel}} and {{list}}; it may have one of them")
        if len(self.channels) > 1 and not {"channel", "list"} & fields:
            raise ValueError(
                f"{what} {template!r} does not say which of {len(self.channels)} channels: it has no {{channel}} or {{list}}"
            )
        if self.block is not None and not value and "list" not in fields and len(self.channels) > 1:
            raise ValueError(f"{what} {template!r} is answered with a block, so it needs {{list}}")


class Outputs(_Group):
    """Outputs that are set in the same way.

    Attributes:
        set: command that sets one (`{channel}`) or several (`{list}`) to one `{value}`, or `{value:.3f}` for so many digits.
        ask: query of what is set; without it this cannot be read back.
        answer: what a good set or off command is answered with, where these have an answer.
        slew_per_s: fastest change by itself, in units per s.
        switch_off: command that switches off; without it, off is 0.
        off_ask, off_reply: query whether it is off, and the reply when it is.
    """

    set: str
    ask: str | None = None
    answer: str | None = None
    slew_per_s: float = Field(default=math.inf, gt=0.0)
    switch_off: str | None = None
    off_ask: str | None = None
    off_reply: str | None = None

    @model_validator(mode="after")
    def _templates(self) -> Self:
        self._checked(self.set, "set", value=True)
        self._checked(self.ask, "ask")
        for template, what in ((self.switch_off, "switch_off"), (self.off_ask, "off_ask")):
            if template is not None:
                _check(template, {"channel", "list"}, what)
        if (self.off_ask is None) != (self.off_reply is None):
            raise ValueError("off_ask and off_reply belong together: the query whether it is off, and the reply when it is")
        if self.off_ask is not None and self.switch_off is None:
            raise ValueError("off_ask asks whether switch_off did its work; there is no switch_off")
        if self.off_ask is not None and "{list}" in self.off_ask and "{list}" not in str(self.switch_off):
            raise ValueError("off_ask has {list} and switch_off has not: one of them is for one channel, the other for several")
        if self.switch_off is None and not self.limits[0] <= 0.0 <= self.limits[1]:
            raise ValueError("without switch_off, off is 0, which lies outside the limits: say how it is switched off")
        return self


class Inputs(_Group):
    """Inputs that are measured in the same way.

    Attributes:
        measure: query of one (`{channel}`) or of several (`{list}`).
    """

    measure: str

    @model_validator(mode="after")
    def _templates(self) -> Self:
        self._checked(self.measure, "measure")
        return self


class Errors(_Part):
    """Its errors.

    Attributes:
        query: takes one entry from its error queue; empty: it has none, its errors are answers to set commands.
        none: the reply when the queue is empty.
        sentences: what each error means and how to mend it, by its number or its text.
    """

    query: str = ""
    none: str = ""
    sentences: dict[str, str] = {}

    @model_validator(mode="after")
    def _together(self) -> Self:
        if bool(self.query) != bool(self.none):
            raise ValueError("query and none belong together: what asks for an error, and the reply when there is none")
        return self

    @field_validator("sentences", mode="before")
    @classmethod
    def _numbers_too(cls, given: Any) -> Any:
        return {str(key): value for key, value in given.items()} if isinstance(given, dict) else given


class Arm(_Part):
    """A setting that arming brings to a value and reads back.

    Attributes:
        name: as a person calls it, with its unit.
        set: command; `{value}` stands for what is wanted, `{channel}` for each of `channels`.
        ask: query of it.
        wanted: a number, or the text of the reply.
        channels: of which channels; empty: of the instrument.
    """

    name: str = Field(min_length=1)
    set: str
    ask: str
    wanted: float | str
    channels: Channels = ()

    @model_validator(mode="after")
    def _templates(self) -> Self:
        for template, what, may in ((self.set, "set", {"channel", "value"}), (self.ask, "ask", {"channel"})):
            _check(template, may, what, self.wanted)
            if ("channel" in _fields(template)) != bool(self.channels):
                raise ValueError(f"{what} {template!r} has {{channel}} when there are channels, and only then")
        return self


class ScpiDescription(_Part):
    """What an instrument understands and says.

    Attributes:
        maker: what its maker's name has in it.
        models: what its model begins with, one of these.
        identify: question for its name.
        identity_pattern: regular expression of the answer with groups `maker`, `model`, `serial`, `firmware`, where that is not
            four fields with commas between.
        read_end, write_end: what ends its replies and its commands.
        baud_rate: of a serial line.
        outputs, inputs: its channels.
        errors: how it tells its errors; without it, nothing is known of them.
        events: query of its event status register, `*ESR?`; without it, it cannot be told that it was switched off.
        arm: settings that arming makes.
        record: further queries for the record, by name.
    """

    maker: str = ""
    models: tuple[str, ...] = Field(min_length=1)
    identify: str = "*IDN?"
    identity_pattern: str | None = None
    read_end: str | None = Field(default=None, min_length=1)
    write_end: str | None = Field(default=None, min_length=1)
    baud_rate: int | None = Field(default=None, gt=0)
    outputs: tuple[Outputs, ...] = ()
    inputs: tuple[Inputs, ...] = ()
    errors: Errors | None = None
    events: str = ""
    arm: tuple[Arm, ...] = ()
    record: dict[str, str] = {}

    @field_validator("identity_pattern")
    @classmethod
    def _the_pattern(cls, pattern: str | None) -> str | None:
        try:
            groups = set(re.compile(pattern).groupindex) if pattern is not None else {"model"}
        except re.error as exc:
            raise ValueError(f"{pattern!r} is no regular expression: {exc}") from None
        if "model" not in groups or groups - {"maker", "model", "serial", "firmware"}:
            raise ValueError("an identity pattern has a group (?P<model>...), and may have maker, serial and firmware")
        return pattern

    @model_validator(mode="after")
    def _each_channel_once(self) -> Self:
        keys = [group.key.format(channel=c) for group in (*self.outputs, *self.inputs) for c in group.channels]
        if not keys:
            raise ValueError("it has neither outputs nor inputs: describe at least one")
        if twice := _twice(keys):
            raise ValueError(
                f"channel {', '.join(twice[:8])} is described twice; where outputs and inputs are counted alike, give one of "
                "them a key such as m{channel}"
            )
        return self
