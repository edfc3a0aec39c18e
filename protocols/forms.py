"""Reports, readouts and descriptions as trees for the wire, and back.

`backends/wire.py` carries JSON values and arrays; here the few frozen classes that cross a socket become such trees, each marked
with its name. Only the classes named here can come out of a message, so reading one can make nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from typing import Any

import numpy as np

from aeqlab.backends.device import (
    Channels,
    Clock,
    ControlResponse,
    DeviceInfo,
    Flag,
    Grade,
    Knobs,
    ParameterBlock,
    Readout,
    SafetyLine,
    SafetyReport,
)
from aeqlab.backends.errors import WireError
from aeqlab.protocols.alarms import Alarm
from aeqlab.protocols.gains import Gains, Trial
from aeqlab.protocols.hand_moves import Jump, Moved
from aeqlab.protocols.reports import HoldReport, SettleReport, Verdict
from aeqlab.protocols.session_view import InterlockView, SessionView
from aeqlab.protocols.status import SessionEvent, SessionState, SessionStatus

#: Classes that travel, and how the fields that JSON would flatten come back.
CLASSES: dict[type, dict[str, Callable[[Any], Any]]] = {
    Knobs: {"names": tuple},
    Channels: {"names": tuple},
    ParameterBlock: {"shape": tuple},
    ControlResponse: {},
    DeviceInfo: {"parameters": tuple, "beta": tuple, "clock": Clock, "notes": tuple},
    SafetyLine: {"grade": Grade},
    SafetyReport: {"lines": tuple},
    HoldReport: {"verdict": Verdict},
    SettleReport: {"verdict": Verdict},
    SessionEvent: {},
    Alarm: {},
    Trial: {"knobs": tuple},
    Gains: {"names": tuple},
    Moved: {"names": tuple},
    Jump: {},
    InterlockView: {},
    SessionView: {"verdicts": tuple, "owners": tuple, "interlocks": tuple, "events": tuple},
    SessionStatus: {"state": SessionState, "clients": tuple},
}
_FIELDS = {cls: tuple(f.name for f in fields(cls) if f.init) for cls in CLASSES}
_AS_IT_IS = frozenset({type(None), bool, int, float, str, np.ndarray})
_BY_NAME = {cls.__name__: cls for cls in CLASSES}


def to_tree(value: Any) -> Any:
    """Turn a value into a tree for `wire.pack`: what the wire carries stays, the classes above are taken apart."""
    kind = type(value)
    if kind in _AS_IT_IS or isinstance(value, (int, float, np.ndarray, np.generic)):
        return value
    if isinstance(value, str):
        return value.value if isinstance(value, StrEnum) else value
    if isinstance(value, Readout):
        return {"~": "Readout", "v": [value[0], value[1], value[2], value[3], value[4], value[5], int(value[6])]}
    if kind in _FIELDS:
        tree = {name: to_tree(getattr(value, name)) for name in _FIELDS[kind]}
        tree["~"] = kind.__name__
        return tree
    if isinstance(value, dict):
        return {key: to_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_tree(item) for item in value]
    raise WireError(f"a {kind.__name__} does not travel in a message")


def from_tree(tree: Any) -> Any:
    """Turn a tree that `to_tree` made back into the value.

    Raises:
        WireError: it names a class that does not travel, or does not fit it.
    """
    if type(tree) in _AS_IT_IS:
        return tree
    if isinstance(tree, list):
        return [from_tree(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    name = tree.get("~")
    if name is None:
        return {key: from_tree(item) for key, item in tree.items()}
    try:
        if name == "Readout":
            *values, flags = tree["v"]
            return Readout._make([*values, Flag(flags)])
        cls = _BY_NAME[name]
        back = CLASSES[cls]
        values_ = {key: from_tree(item) for key, item in tree.items() if key != "~"}
        return cls(**{key: back[key](item) if key in back else item for key, item in values_.items()})
    except (KeyError, TypeError, ValueError) as exc:
        raise WireError(f"a message holds a {str(name)[:40]!r} that is not one: {exc}") from exc
