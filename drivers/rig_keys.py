"""The keys that each driver takes in a rig file: what they are, what they may be, and the table of them for people."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: `strict`: a number in quotation marks or a `yes` is no number; who wrote it meant something else.
_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


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
    limits: Annotated[tuple[float, float], Field(strict=False)] | None = Field(
        default=None, description="within the range of the property; left out: that range"
    )
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


def keys_of(driver: str, options: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Read the keys of a driver; returns them, or None and a sentence for everything that is wrong with them."""
    model = DRIVERS[driver]
    try:
        return model.model_validate(dict(options)), []
    except ValidationError as exc:
        said = []
        for error in exc.errors(include_url=False):
            key = ".".join(map(str, error["loc"]))
            if error["type"] == "extra_forbidden":
                near = difflib.get_close_matches(key, list(model.model_fields), 1)
                meant = f" Did you mean {near[0]}?" if near else ""
                said.append(f"{driver} has no key {key!r}; its keys are {', '.join(model.model_fields)}.{meant}")
            elif error["type"] == "missing":
                about = model.model_fields[key].description if key in model.model_fields else "it is needed"
                said.append(f"{driver} needs {key}: {about}.")
            else:
                said.append(f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}.")
        return None, said


def sentences(exc: ValidationError) -> list[str]:
    """Make a sentence of everything that is wrong with a description, each beginning with its key."""
    return [f"{'.'.join(map(str, e['loc']))}: {e['msg'][0].lower()}{e['msg'][1:]}." for e in exc.errors(include_url=False)]


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
