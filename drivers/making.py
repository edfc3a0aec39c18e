"""Instruments by the words of a rig file: which drivers there are, which keys each takes, and how it serves what it is used for.

A rig uses channels, and says within which limits, how fast, where they rest, with which aperture (`Use`). A driver's table here
says what it makes of that, and which keys of its own a rig file may give it. Everything wrong with one instrument comes at once.
"""

from __future__ import annotations

import difflib
import importlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aeqlab.drivers.addresses import visa_address
from aeqlab.drivers.errors import AddressError, SettingError
from aeqlab.drivers.instrument import Channel, Direction, Instrument, Silence
from aeqlab.drivers.rig_keys import (
    DRIVERS,
    BoardKeys,
    Daq970aKeys,
    Keithley2450Keys,
    PropertyKeys,
    PyMeasureKeys,
    Qdac2Keys,
    ScpiKeys,
    keys_of,
    sentences,
)

LOW_RANGE_V, HIGH_RANGE_V = 2.0, 10.0  #: ranges of a QDAC-II, nominal
FIRST_INPUT, FIRST_NUDGE = 1001, 2001  #: of an open board


@dataclass(frozen=True, slots=True)
class Spec:
    """An instrument as a rig file names it.

    Attributes:
        name: how the rig calls it.
        driver: one of `DRIVERS`, or the user's `file.py:Class`.
        address, serial, visa, timeout_s, baud_rate, wakes_s: as of `Wire`.
        options: keys of its driver.
    """

    name: str
    driver: str
    address: str = ""
    serial: str = ""
    visa: str = "@py"
    timeout_s: float = 1.0
    baud_rate: int = 115200
    wakes_s: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    """How a rig uses one channel.

    Attributes:
        key: the channel, as the instrument counts it.
        direction: whether it drives or senses.
        unit: in which the rig file gives its values.
        low, high: absolute limits of an output; infinite: none.
        rest: where it rests.
        slew_per_s: fastest change per second; inf: none.
        nplc: aperture of an input in power-line cycles; None: as it stands.
        held_off: an output that stays off until something is held by it, as the source of an output-clamp.
    """

    key: str
    direction: Direction
    unit: str
    low: float = -math.inf
    high: float = math.inf
    rest: float = 0.0
    slew_per_s: float = math.inf
    nplc: float | None = None
    held_off: bool = False


#: The class behind each.
CLASSES: Mapping[str, tuple[str, str]] = {
    "qdac2": ("qdac2", "Qdac2"), "daq970a": ("daq970a", "Daq970a"), "keithley2450": ("keithley2450", "Keithley2450"),
    "board": ("board", "Board"), "scpi": ("scpi", "Scpi"), "pymeasure": ("pymeasure", "PyMeasure"),
}  # fmt: skip
Load = Callable[[str], Any]


def when_silent_of(spec: Spec) -> Silence:
    """Tell what an instrument does when it hears nothing any more, where its driver knows it of every one of its kind.

    A driver of the user's own is not imported for it, and is unknown.
    """
    if spec.driver not in CLASSES:
        return Silence.UNKNOWN
    module, name = CLASSES[spec.driver]
    found: Silence = getattr(importlib.import_module(f"aeqlab.drivers.{module}"), name).when_silent
    return found


def has_watchdog(spec: Spec) -> bool | None:
    """Tell whether an instrument can switch off by itself when it hears nothing; None where only opening it shows that."""
    if spec.driver not in CLASSES:
        return None
    module, name = CLASSES[spec.driver]
    return getattr(importlib.import_module(f"aeqlab.drivers.{module}"), name).watch is not Instrument.watch


def problems_of(spec: Spec, uses: Sequence[Use], base: Path) -> list[str]:
    """List what is wrong with an instrument as far as it is known without connecting; empty where nothing is.

    Args:
        spec: the instrument.
        uses: the channels that are used.
        base: folder from which its paths count.
    """
    if spec.driver not in DRIVERS:
        if ":" in spec.driver:
            place = spec.driver.rpartition(":")[0]
            missing = place.endswith(".py") and not (base / place).is_file()  # what is in it is told when it is run
            return [f"{spec.driver}: there is no file {base / place}."] if missing else []
        near = difflib.get_close_matches(spec.driver, list(DRIVERS), 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        return [f"there is no driver {spec.driver!r}: choose {', '.join(DRIVERS)}, or your own file.py:Class.{meant}"]
    problems = [] if spec.address else ["it has no address, such as TCPIP::192.168.1.20::5025::SOCKET."]
    if not spec.address:  # so that what else is wrong is found all the same
        spec = replace(spec, address="TCPIP::127.0.0.1::5025::SOCKET")
    keys, said = keys_of(spec.driver, spec.options)
    problems += said
    wrong = _channels_wrong(spec.driver, uses)
    problems += wrong.values()
    uses = [use for use in uses if use.key not in wrong]
    if keys is not None:
        problems += _beyond_reach(keys, uses)
        try:
            made = _make(spec, uses, base, keys)
        except (AddressError, SettingError, ValidationError, OSError, ImportError) as exc:
            said = sentences(exc) if isinstance(exc, ValidationError) else [str(exc)]
            problems += [one.strip().removeprefix(f"{spec.name}: ") for one in said]
        else:
            if spec.driver not in _KEYS:
                problems += _uses_wrong(made.channels, uses, _later(keys))
    return problems


def make_instrument(spec: Spec, uses: Sequence[Use], base: Path, load: Load | None = None) -> Instrument:
    """Make an instrument of a rig, not open yet.

    Args:
        spec, uses, base: as for `problems_of`.
        load: imports the user's class that a word names; needed for such a class alone.
    Raises:
        SettingError: everything that is wrong with it.
    """
    if problems := problems_of(spec, uses, base):
        raise SettingError(f"{spec.name}: {' '.join(problems)}")
    if spec.driver not in DRIVERS:
        if load is None:
            raise SettingError(f"{spec.name}: {spec.driver} is a class of your own; nothing was given that imports it.")
        return _of_users(spec, load(spec.driver))
    keys, _ = keys_of(spec.driver, spec.options)
    return _make(spec, uses, base, keys)


#: What a user's class gets of an instrument's entry, where it takes it.
_GIVEN = ("address", "serial", "visa", "timeout_s", "baud_rate", "wakes_s")
_WORDS = {Direction.OUT: "output", Direction.IN: "input"}
_KEYS: Mapping[str, Mapping[Direction, tuple[str, str]]] = {
    "qdac2": {
        Direction.OUT: (r"[1-9]|1\d|2[0-4]", "its outputs are 1 to 24"),
        Direction.IN: (r"i([1-9]|1\d|2[0-4])", "its currents are i1 to i24"),
    },
    "daq970a": {Direction.IN: (r"[123](0[1-9]|[1-3]\d|40)", "its inputs are 101 to 140, 201 to 240 and 301 to 340")},
    "keithley2450": {Direction.OUT: ("1", "its output is 1"), Direction.IN: ("2", "its measurement is 2")},
    "board": {
        Direction.OUT: (r"[1-9]\d{0,2}|2\d{3}", "its outputs are from 1, targets of its nudge from 2001"),
        Direction.IN: (r"1\d{3}", "its inputs are from 1001"),
    },
}  # fmt: skip


def _channels_wrong(driver: str, uses: Sequence[Use]) -> dict[str, str]:
    """Find channels that no instrument of this kind has: a sentence for each."""
    known = _KEYS.get(driver)
    if known is None:
        return {}
    found = {}
    for use in uses:
        word = _WORDS[use.direction]
        pattern, says = known.get(use.direction, ("", f"it has no {word}s"))
        if not pattern or not re.fullmatch(pattern, use.key):
            found[use.key] = f"there is no {word} {use.key}; {says}."
    return found


def _beyond_reach(keys: Any, uses: Sequence[Use]) -> list[str]:
    """Find limits of outputs that no instrument of this kind reaches, in the range that is asked for or else in its largest.

    The ranges are nominal, so a tenth more is let pass here; once an instrument is armed its own are what counts.
    """
    if isinstance(keys, Qdac2Keys):
        most, unit = {"LOW": LOW_RANGE_V}.get(keys.range or "", HIGH_RANGE_V), "V"
    elif isinstance(keys, Keithley2450Keys):
        from aeqlab.drivers.keithley2450 import RANGES, UNIT, Function

        function = Function[keys.source.upper()]
        most, unit = keys.source_range or RANGES[function][-1], UNIT[function]
    else:
        return []
    found: dict[str, list[str]] = {}
    for use in uses:
        far = [end for end in (use.low, use.high) if math.isfinite(end) and abs(end) > 1.1 * most]
        if use.direction is Direction.OUT and use.unit == unit and far:
            text = f"{use.low:g} to {use.high:g} {unit} go beyond its range, about {-most:g} to {most:g} {unit}"
            found.setdefault(text, []).append(use.key)
    return [
        f"output {those[0]}{f' and {len(those) - 1} more' if len(those) > 1 else ''}: {text}. Make the limits narrower, or "
        "choose another range."
        for text, those in found.items()
    ]


def _later(keys: Any) -> set[str]:
    """List the keys of channels that are there only once the instrument is open: those of a part of one of PyMeasure's."""
    given = {**keys.knobs, **keys.readouts} if isinstance(keys, PyMeasureKeys) else {}
    return {key for key, one in given.items() if "." in one.name}


def _uses_wrong(channels: Mapping[str, Channel], uses: Sequence[Use], later: set[str]) -> list[str]:
    """Find uses that do not go with the channels that a description has.

    Args:
        channels: as described.
        uses: the channels that are used.
        later: keys of channels that are there only once the instrument is open.
    """
    found = []
    for use in uses:
        word, channel = _WORDS[use.direction], channels.get(use.key)
        if channel is None and use.key in later:
            continue
        if channel is None or channel.direction is not use.direction:
            there = [key for key, one in channels.items() if one.direction is use.direction]
            near = difflib.get_close_matches(use.key, there, 1)
            first = f"{', '.join(there[:12])}{', ...' if len(there) > 12 else ''}"
            said = f"its {word}s are {first}" if there else f"it has no {word}s"
            found.append(f"there is no {word} {use.key}; {said}.{f' Did you mean {near[0]}?' if near else ''}")
        elif channel.unit != use.unit:
            found.append(f"{word} {use.key} is in {channel.unit}, and the rig file gives it in {use.unit}.")
        elif use.direction is Direction.OUT and (
            (math.isfinite(use.low) and use.low < channel.low) or (math.isfinite(use.high) and use.high > channel.high)
        ):
            found.append(
                f"output {use.key}: {use.low:g} to {use.high:g} {use.unit} go beyond its range, {channel.low:g} to "
                f"{channel.high:g} {channel.unit}. Make the limits narrower."
            )
    return found


def _make(spec: Spec, uses: Sequence[Use], base: Path, keys: Any) -> Instrument:
    outs = [use for use in uses if use.direction is Direction.OUT]
    ins = [use for use in uses if use.direction is Direction.IN]
    return _MAKERS[spec.driver](spec, outs, ins, base, keys)


def _wire(spec: Spec, **more: Any) -> Any:
    from aeqlab.drivers.connection import Wire

    return Wire(visa_address(spec.address), spec.visa, spec.timeout_s, baud_rate=spec.baud_rate, wakes_s=spec.wakes_s, **more)


def _qdac2(spec: Spec, outs: list[Use], ins: list[Use], base: Path, keys: Qdac2Keys) -> Instrument:
    from aeqlab.drivers.qdac2 import Current, Filter, Output, Qdac2, Range

    outputs = {}
    for use in outs:
        fits = max(-use.low, use.high) <= LOW_RANGE_V
        slew = use.slew_per_s if math.isfinite(use.slew_per_s) else None
        outputs[use.key] = Output(
            Range(keys.range or ("LOW" if fits else "HIGH")), None if keys.filter is None else Filter(keys.filter), slew
        )
    of_current = None if keys.current_range is None else Range(keys.current_range)
    currents = {use.key.removeprefix("i"): Current(of_current, None if use.nplc is None else round(use.nplc)) for use in ins}
    return Qdac2(_wire(spec), spec.name, serial=spec.serial, outputs=outputs, currents=currents)


def _daq970a(spec: Spec, outs: list[Use], ins: list[Use], base: Path, keys: Daq970aKeys) -> Instrument:
    from aeqlab.drivers.daq970a import Daq970a, Input

    inputs = {use.key: Input(keys.range_V, keys.nplc if use.nplc is None else use.nplc, keys.delay_s) for use in ins}
    return Daq970a(_wire(spec), spec.name, serial=spec.serial, inputs=inputs)


def _keithley2450(spec: Spec, outs: list[Use], ins: list[Use], base: Path, keys: Keithley2450Keys) -> Instrument:
    from aeqlab.drivers.keithley2450 import Keithley2450

    return Keithley2450(
        _wire(spec), spec.name, serial=spec.serial, source=keys.source, source_range=keys.source_range, limit=keys.limit,
        sense_range=keys.sense_range, nplc=keys.nplc, off_state=keys.off_state,
        stays_off=any(use.held_off for use in outs),
    )  # fmt: skip


def _board(spec: Spec, outs: list[Use], ins: list[Use], base: Path, keys: BoardKeys) -> Instrument:
    from aeqlab.drivers.board import Board

    serial_line = visa_address(spec.address).upper().startswith("ASRL")
    knobs = [use for use in outs if int(use.key) < FIRST_NUDGE]
    return Board(
        _wire(spec, read_end="\r\n" if serial_line else "\n"), spec.name, serial=spec.serial,
        limits_V={use.key: (use.low, use.high) for use in knobs}, rest_V={use.key: use.rest for use in knobs},
        slew_V_per_s={use.key: use.slew_per_s for use in knobs if math.isfinite(use.slew_per_s)},
        average=keys.average, binary=keys.binary,
    )  # fmt: skip


def _scpi(spec: Spec, outs: list[Use], ins: list[Use], base: Path, keys: ScpiKeys) -> Instrument:
    import yaml

    from aeqlab.drivers.scpi import Scpi
    from aeqlab.drivers.scpi_description import ScpiDescription

    if (keys.file is None) == (keys.description is None):
        raise SettingError("scpi needs one of file and description.")
    tree = keys.description
    if keys.file is not None:
        try:
            tree = yaml.safe_load((base / keys.file).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as exc:
            raise SettingError(f"{keys.file}: {exc}") from exc
    return Scpi(_wire(spec), ScpiDescription.model_validate(tree), spec.name, serial=spec.serial)


def _pymeasure(spec: Spec, outs: list[Use], ins: list[Use], base: Path, keys: PyMeasureKeys) -> Instrument:
    from aeqlab.drivers.pymeasure import Property, PyMeasure

    def properties(given: Mapping[str, PropertyKeys]) -> dict[str, Property]:
        return {key: Property(one.name, one.unit, one.limits, one.step, one.fields) for key, one in given.items()}

    return PyMeasure(
        _wire(spec), keys.model, spec.name, serial=spec.serial, answers=tuple(keys.answers), knobs=properties(keys.knobs),
        readouts=properties(keys.readouts), arm=keys.arm, off=keys.off,
    )  # fmt: skip


_MAKERS: Mapping[str, Callable[[Spec, list[Use], list[Use], Path, Any], Instrument]] = {
    "qdac2": _qdac2, "daq970a": _daq970a, "keithley2450": _keithley2450, "board": _board, "scpi": _scpi, "pymeasure": _pymeasure,
}  # fmt: skip


def _of_users(spec: Spec, found: Any) -> Instrument:
    """Make an instrument of a user's class: it gets its name, its keys, and of address, serial and the like what it takes."""
    import inspect

    if not (inspect.isclass(found) and issubclass(found, Instrument)):
        raise SettingError(f"{spec.name}: {spec.driver} is no class derived from aeqlab.drivers.instrument.Instrument.")
    takes = dict(inspect.signature(found).parameters)
    whole = any(one.kind is one.VAR_KEYWORD for one in takes.values())
    names = [key for key, one in takes.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    given = {key: getattr(spec, key) for key in _GIVEN if key in names} | dict(spec.options)
    keyed = ", ".join(key for key in names if key not in ("name", *_GIVEN)) or "no keys of its own"
    problems = []
    for key in spec.options if not whole else ():
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            problems.append(f"{spec.driver} takes no {key!r}; it takes {keyed}.{f' Did you mean {near[0]}?' if near else ''}")
    needed = [key for key in names if takes[key].default is inspect.Parameter.empty]
    problems += [f"{spec.driver} needs {key}." for key in needed if key not in (*given, "name")]
    if problems:
        raise SettingError(f"{spec.name}: {' '.join(problems)}")
    try:
        made = found(name=spec.name, **given) if "name" in names else found(spec.name, **given)
    except TypeError as exc:
        raise SettingError(f"{spec.name}: {spec.driver} cannot be made: {exc}.") from exc
    assert isinstance(made, Instrument)
    made.meant = spec.serial
    return made
