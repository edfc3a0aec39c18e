"""Instruments by the words of a rig file: which drivers there are, which keys each takes, and how it serves what it is used for.

A rig uses channels, and says within which limits, how fast, where they rest, with which aperture (`Use`). A driver's table here
says what it makes of that, and which keys of its own a rig file may give it. Everything wrong with one instrument comes at once.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aeqlab.drivers.errors import SettingError
from aeqlab.drivers.instrument import Direction, Instrument

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
LOW_RANGE_V = 2.0  #: the low range of a QDAC-II, nominal
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


class Qdac2Keys(BaseModel):
    """QDevil QDAC-II: outputs 1 to 24; `i1` to `i24` are the currents they deliver."""

    model_config = _STRICT
    range: Literal["LOW", "HIGH"] | None = Field(
        default=None, description="range of its outputs; left out: LOW (2 V) where the absolute limits fit, else HIGH (10 V)"
    )
    filter: Literal["DC", "MED", "HIGH"] | None = Field(
        default=None, description="10 Hz, 10 kHz or 300 kHz behind the converter; left out: as it stands"
    )
    current_range: Literal["LOW", "HIGH"] | None = Field(
        default=None, description="200 nA or 10 mA for the currents that are read; left out: as it stands"
    )


class Daq970aKeys(BaseModel):
    """Keysight 34970A or DAQ970A: inputs 101 and so on, DC voltages."""

    model_config = _STRICT
    range_V: float | None = Field(default=None, description="0.1, 1, 10, 100 or 300; left out: as it stands")
    nplc: float | None = Field(
        default=None, description="aperture of inputs whose entry gives none: 1, 2, 10, 20, 100 or 200 power-line cycles"
    )
    delay_s: float | None = Field(default=None, description="from closing the relay to measuring; left out: as it stands")


class Keithley2450Keys(BaseModel):
    """Keithley 2450: its output is 1, its measurement 2."""

    model_config = _STRICT
    source: Literal["current", "voltage"] = Field(description="what it sources; it measures the other")
    source_range: float | None = Field(default=None, description="in its unit, such as 1e-3 for 1 mA; left out: as it stands")
    limit: float | None = Field(default=None, description="of the other quantity, in its unit; left out: as it stands")
    sense_range: float | None = Field(default=None, description="of what it measures; left out: as it stands")
    nplc: float | None = Field(default=None, description="aperture in power-line cycles, 0.01 to 10; left out: as it stands")
    off_state: Literal["HIMP", "ZERO", "NORM", "GUAR"] | None = Field(
        default=None, description="what its terminals are with the output off; left out: as it stands"
    )


class BoardKeys(BaseModel):
    """The open board: outputs from 1, inputs from 1001, targets of its nudge from 2001."""

    model_config = _STRICT
    average: int = Field(default=1, ge=1, le=1024, description="conversions averaged in each reading, 0.1 ms each")
    binary: bool = Field(default=True, description="whether values go as blocks; false for lines that carry no 8 bits")


class ScpiKeys(BaseModel):
    """Any other instrument, described in YAML: a file of its own, or here."""

    model_config = _STRICT
    file: str | None = Field(default=None, description="YAML file with its description")
    description: dict[str, Any] | None = Field(default=None, description="the description itself, in place of a file")


class PropertyKeys(BaseModel):
    """A property of a PyMeasure instrument."""

    model_config = _STRICT
    name: str = Field(description="such as source_voltage, or ch_1.voltage of a part of the instrument")
    unit: str = Field(description="of its values")
    limits: tuple[float, float] | None = Field(default=None, description="within the range of the property; left out: that range")
    step: float = Field(default=0.0, ge=0, description="resolution; 0: not known")
    fields: int = Field(default=0, ge=0, description="values that a whole reply has, where PyMeasure picks one; 0: not compared")


class PyMeasureKeys(BaseModel):
    """Any instrument of PyMeasure (extra pymeasure)."""

    model_config = _STRICT
    model: str = Field(description="its class, such as keithley.Keithley2400")
    answers: list[str] = Field(default=[], description="what the model in its name begins with")
    knobs: dict[str, PropertyKeys] = Field(default={}, description="properties that are set, by the keys of their channels")
    readouts: dict[str, PropertyKeys] = Field(default={}, description="properties that are read, likewise")
    arm: dict[str, Any] = Field(default={}, description="what properties are brought to by arming")
    off: dict[str, Any] = Field(default={}, description="what properties are set to, in this order, to switch it off")


#: The keys of each driver in a rig file.
DRIVERS: Mapping[str, type[BaseModel]] = {
    "qdac2": Qdac2Keys, "daq970a": Daq970aKeys, "keithley2450": Keithley2450Keys, "board": BoardKeys, "scpi": ScpiKeys,
    "pymeasure": PyMeasureKeys,
}  # fmt: skip
Load = Callable[[str], Any]


def problems_of(spec: Spec, uses: Sequence[Use], base: Path) -> list[str]:
    """List what is wrong with an instrument as far as it is known without connecting; empty where nothing is.

    Args:
        spec: the instrument.
        uses: the channels that are used.
        base: folder from which its paths count.
    """
    if spec.driver not in DRIVERS:
        if ":" in spec.driver:
            return []
        near = difflib.get_close_matches(spec.driver, list(DRIVERS), 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        return [f"there is no driver {spec.driver!r}: choose {', '.join(DRIVERS)}, or your own file.py:Class.{meant}"]
    problems = [] if spec.address else ["it has no address, such as TCPIP::192.168.1.20::5025::SOCKET."]
    keys, said = _keys(spec)
    problems += said
    if keys is not None:
        problems += _channels_wrong(spec.driver, uses)
        try:
            _make(spec, uses, base, keys)
        except (SettingError, ValidationError, OSError, ImportError) as exc:
            problems += _said(exc)
    return problems


def make_instrument(spec: Spec, uses: Sequence[Use], base: Path, load: Load | None = None) -> Instrument:
    """Make an instrument of a rig, not open yet.

    Args:
        spec, uses, base: as for `problems_of`.
        load: imports the user's class that a word names.
    Raises:
        SettingError: everything that is wrong with it.
    """
    if spec.driver not in DRIVERS and ":" in spec.driver and load is not None:
        return _of_users(spec, load(spec.driver))
    if problems := problems_of(spec, uses, base):
        raise SettingError(f"{spec.name}: {' '.join(problems)}")
    keys, _ = _keys(spec)
    return _make(spec, uses, base, keys)


def _keys(spec: Spec) -> tuple[Any, list[str]]:
    model = DRIVERS[spec.driver]
    try:
        return model.model_validate(dict(spec.options)), []
    except ValidationError as exc:
        said = []
        for error in exc.errors(include_url=False):
            key = ".".join(map(str, error["loc"]))
            if error["type"] == "extra_forbidden":
                near = difflib.get_close_matches(key, list(model.model_fields), 1)
                meant = f" Did you mean {near[0]}?" if near else ""
                said.append(f"{spec.driver} has no key {key!r}; its keys are {', '.join(model.model_fields)}.{meant}")
            elif error["type"] == "missing":
                about = model.model_fields[key].description if key in model.model_fields else "it is needed"
                said.append(f"{spec.driver} needs {key}: {about}.")
            else:
                said.append(f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}.")
        return None, said


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


def _channels_wrong(driver: str, uses: Sequence[Use]) -> list[str]:
    """Find channels that no instrument of this kind has."""
    known = _KEYS.get(driver)
    if known is None:
        return []
    found = []
    for use in uses:
        word = "output" if use.direction is Direction.OUT else "input"
        pattern, says = known.get(use.direction, ("", f"it has no {word}s"))
        if not pattern or not re.fullmatch(pattern, use.key):
            found.append(f"there is no {word} {use.key}; {says}.")
    return found


def _make(spec: Spec, uses: Sequence[Use], base: Path, keys: Any) -> Instrument:
    outs = [use for use in uses if use.direction is Direction.OUT]
    ins = [use for use in uses if use.direction is Direction.IN]
    return _MAKERS[spec.driver](spec, outs, ins, base, keys)


def _wire(spec: Spec, **more: Any) -> Any:
    from aeqlab.drivers.connection import Wire

    return Wire(spec.address, spec.visa, spec.timeout_s, baud_rate=spec.baud_rate, wakes_s=spec.wakes_s, **more)


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

    serial_line = spec.address.upper().startswith("ASRL")
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
    """Make an instrument of a user's class: it gets its name, its keys, and address and serial number where it takes them."""
    import inspect

    if not (inspect.isclass(found) and issubclass(found, Instrument)):
        raise SettingError(f"{spec.name}: {spec.driver} is no class derived from aeqlab.drivers.instrument.Instrument.")
    takes = inspect.signature(found).parameters
    whole = any(one.kind is one.VAR_KEYWORD for one in takes.values())
    given = dict(spec.options)
    for key, value in (("address", spec.address), ("serial", spec.serial)):
        if key in takes and key not in given:
            given[key] = value
    if unknown := [key for key in given if key not in takes and not whole]:
        raise SettingError(f"{spec.name}: {spec.driver} takes no {unknown[0]!r}; it takes {', '.join(takes)}.")
    try:
        made = found(spec.name, **given) if "name" not in takes else found(name=spec.name, **given)
    except TypeError as exc:
        raise SettingError(f"{spec.name}: {spec.driver} cannot be made: {exc}.") from exc
    assert isinstance(made, Instrument)
    return made


def _said(exc: Exception) -> list[str]:
    if isinstance(exc, ValidationError):
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg'][0].lower()}{e['msg'][1:]}." for e in exc.errors(include_url=False)]
    return [str(exc)]


def keys_in_markdown() -> str:
    """Write the keys of every driver as tables, for docs/drivers.md."""
    parts = []
    for name, model in DRIVERS.items():
        parts.append(
            f"### `{name}`\n\n{(model.__doc__ or '').splitlines()[0]}\n\n| key | default | meaning |\n| --- | --- | --- |"
        )
        for key, about in model.model_fields.items():
            default = "needed" if about.is_required() else "-" if about.default in (None, [], {}, ()) else f"`{about.default}`"
            parts.append(f"| `{key}` | {default} | {about.description} |")
        parts.append("")
    return "\n".join(parts)
