"""Gains that were kept: a dated file beside the identifications of a rig, or in the session folder, read when a session opens.

Gains belong to a device and to what was identified of it: those of another device are foreign, those that are older than an
identification of it, or too old altogether, are stale. Neither is used, and why is said in a sentence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import SessionError
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.tuning import GIVEN, Tuning

FORMAT = "aeqlab gains 1"
NAME = "gains-{}.json"
FRESH_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class GainsPlace:
    """Where gains are kept, and how old they may be to be used again, in s."""

    folder: Path
    fresh_s: float = FRESH_S


@dataclass(frozen=True, slots=True)
class KeptGains:
    """Gains as they were kept.

    Attributes:
        t: when, in s since 1970.
        by: who kept them.
        belongs: what they were tried on, by name.
        identified: when that was identified, in s since 1970; None where it never is.
        tuning: the gains.
        given: ki, kp and kd of the experiment that they go with; None: the standard gains.
        path: the file; None for what was kept in no file.
    """

    t: float
    by: str
    belongs: Mapping[str, str]
    identified: float | None
    tuning: Tuning
    given: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def when(self) -> str:
        """Get when they were kept, for people."""
        return datetime.fromtimestamp(self.t).astimezone().strftime("%Y-%m-%d %H:%M:%S")

    def unfit(self, belongs: Mapping[str, str], identified: float | None, fresh_s: float, now: float | None = None) -> str:
        """Say why they must not be used; empty where they may be.

        Args:
            belongs: what names the device that would use them.
            identified: when it was identified, in s since 1970; None: it was not, or never is.
            fresh_s: how old they may be, in s.
            now: present time, in s since 1970; None: that of the computer.
        """
        differing = sorted(name for name in {*belongs, *self.belongs} if belongs.get(name) != self.belongs.get(name))
        head = f"the gains that {self.by} kept on {self.when}"
        if differing:
            name = differing[0]
            then, here = self.belongs.get(name, "not there"), belongs.get(name, "not there")
            return f"{head} are of another device: {name} was {then}, here it is {here}."
        if self.identified != identified:
            what = "has no identification now" if identified is None else "was identified anew since"
            return f"{head} are stale: the device {what}."
        age = (time.time() if now is None else now) - self.t
        if age > fresh_s:
            return f"{head} are stale: {age / 3600:.3g} h old, and {fresh_s / 3600:g} h are allowed."
        return ""

    def save(self, folder: Path) -> Path:
        """Write them into a folder, whole or not at all, under a name with their date; returns the path.

        Raises:
            SessionError: they cannot be written.
        """
        path = folder / NAME.format(datetime.fromtimestamp(self.t).strftime("%Y%m%d-%H%M%S"))
        tree = {
            "format": FORMAT, "t": self.t, "when": self.when, "by": self.by, "belongs": dict(self.belongs),
            "identified": self.identified, **self.tuning.tree(), "given": dict(self.given),
        }  # fmt: skip
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(tree, indent=1).encode("utf-8"))
        except OSError as exc:
            raise SessionError(f"{path}: the gains cannot be written: {exc.strerror or exc}. The trial goes on.") from exc
        return path


def given_by(settings: HomeostasisSettings) -> dict[str, Any]:
    """Get the gains that settings give themselves, by name."""
    return {name: getattr(settings, name) for name in GIVEN if getattr(settings, name) is not None}


def newest_gains(place: GainsPlace, knobs: int) -> KeptGains | None:
    """Read the newest gains of a folder; None where there are none.

    Raises:
        SessionError: the file is damaged, or of another number of knobs.
    """
    found = sorted(place.folder.glob(NAME.format("*"))) if place.folder.is_dir() else []
    if not found:
        return None
    path = found[-1]
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if tree["format"] != FORMAT:
            raise ValueError(f"its format is {str(tree['format'])[:40]!r}")
        identified = tree["identified"]
        return KeptGains(
            float(tree["t"]),
            str(tree["by"]),
            {str(name): str(value) for name, value in tree["belongs"].items()},
            None if identified is None else float(identified),
            Tuning.of_tree(tree, knobs),
            dict(tree["given"]),
            path,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise SessionError(
            f"{path}: these gains cannot be read: {exc}. They are not used; delete the file, or keep anew."
        ) from exc
