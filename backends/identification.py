"""What was found out about a rig: how each parameter answers its knob, noise, and how soft the outputs are; kept in a dated file.

An identification belongs to the rig it was made on: its fingerprint names the instruments, the channels and the limits. One of
another rig is foreign, one that is too old is stale; neither is used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DeviceConfigError

Array = NDArray[Any]
FORMAT = "aeqlab identification 1"
NAME = "identified-{}.json"
ARRAYS = (
    "gain", "gain_error", "lag_s", "lag_error_s", "dead_time_s", "dead_time_error_s", "noise", "noise_error", "repeatability",
    "output_noise", "softness", "softness_error",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identification:
    """How a device answers. Errors are standard uncertainties of what stands before them.

    Attributes:
        t: when it was made, in s since 1970.
        fingerprint: what it was made on, by name.
        gain, gain_error: d(theta)/du of every knob on its own parameter, shape (parameters,), unit of theta per unit of u.
        lag_s, lag_error_s: first-order lag of each; where ticks are longer than it, an upper bound with an error as large.
        dead_time_s, dead_time_error_s: dead time of each, half an aperture and half a period included.
        noise, noise_error: read noise of each parameter, standard deviation of one reading.
        repeatability: how far apart it comes back to from the two sides, after steps there and back: noise, and play.
        output_noise: read noise of each output, shape (outputs,).
        softness, softness_error: what each output moves for a nudge with beta (y - s) = 1, knobs standing still and parameters
            floating, shape (outputs,): the inverse of its stiffness. nan where it was not measured.
        notes: what else was found, in sentences.
    """

    t: float
    fingerprint: Mapping[str, str]
    gain: Array
    gain_error: Array
    lag_s: Array
    lag_error_s: Array
    dead_time_s: Array
    dead_time_error_s: Array
    noise: Array
    noise_error: Array
    repeatability: Array
    output_noise: Array
    softness: Array
    softness_error: Array
    notes: tuple[str, ...] = field(default=())

    @property
    def when(self) -> str:
        """Get when it was made, for people."""
        return datetime.fromtimestamp(self.t).astimezone().strftime("%Y-%m-%d %H:%M:%S")

    def unfit(self, fingerprint: Mapping[str, str], fresh_s: float, now: float | None = None) -> str:
        """Say why it must not be used; empty where it may be.

        Args:
            fingerprint: of the rig that would use it.
            fresh_s: how old it may be, in s.
            now: present time, in s since 1970; None: that of the computer.
        """
        differing = sorted(
            name for name in {*fingerprint, *self.fingerprint} if fingerprint.get(name) != self.fingerprint.get(name)
        )
        if differing:
            name = differing[0]
            more = f", and {len(differing) - 1} more" if len(differing) > 1 else ""
            then, here = self.fingerprint.get(name, "not there"), fingerprint.get(name, "not there")
            return f"the identification of {self.when} is of another rig: {name} was {then}, here it is {here}{more}."
        age = (time.time() if now is None else now) - self.t
        if age > fresh_s:
            return f"the identification of {self.when} is stale: {age / 3600:.3g} h old, and {fresh_s / 3600:g} h are allowed."
        return ""

    def tree(self) -> dict[str, Any]:
        """Get it as plain values."""
        found: dict[str, Any] = {"format": FORMAT, "t": self.t, "when": self.when, "fingerprint": dict(self.fingerprint)}
        for name in ARRAYS:
            found[name] = [None if not np.isfinite(value) else value for value in getattr(self, name).tolist()]
        return found | {"notes": list(self.notes)}

    @classmethod
    def of_tree(cls, tree: Any, where: str) -> Identification:
        """Make it of plain values. Raises DeviceConfigError where they are not of an identification."""
        if not isinstance(tree, dict) or tree.get("format") != FORMAT:
            raise DeviceConfigError(f"{where}: this is no identification of this version. Identify again.")
        try:
            arrays = {name: np.array([np.nan if v is None else float(v) for v in tree[name]]) for name in ARRAYS}
            fingerprint = {str(name): str(value) for name, value in tree["fingerprint"].items()}
            made = cls(float(tree["t"]), fingerprint, **arrays, notes=tuple(map(str, tree["notes"])))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise DeviceConfigError(f"{where}: this identification is damaged ({exc}). Identify again.") from exc
        lengths = {len(getattr(made, one.name)) for one in fields(made) if one.name in ARRAYS[:9]}
        if len(lengths) != 1:
            raise DeviceConfigError(f"{where}: this identification is damaged: its rows differ in length. Identify again.")
        return made

    def save(self, folder: Path) -> Path:
        """Write it into a folder, whole or not at all, under a name with its date; returns the path.

        Raises:
            DeviceConfigError: it cannot be written.
        """
        stamp = datetime.fromtimestamp(self.t).strftime("%Y%m%d-%H%M%S")
        path = folder / NAME.format(stamp)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(self.tree(), indent=1), encoding="utf-8")
            part.replace(path)
        except OSError as exc:
            raise DeviceConfigError(f"{path}: the identification cannot be written: {exc.strerror or exc}.") from exc
        return path


def newest(folder: Path) -> Identification | None:
    """Read the newest identification of a folder; None where there is none.

    Raises:
        DeviceConfigError: it is damaged.
    """
    found = sorted(folder.glob(NAME.format("*"))) if folder.is_dir() else []
    if not found:
        return None
    try:
        tree = json.loads(found[-1].read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise DeviceConfigError(
            f"{found[-1]}: this identification cannot be read: {exc}. Delete it, and identify again."
        ) from exc
    return Identification.of_tree(tree, str(found[-1]))
