"""The session file: everything the processes of a session must know, as one JSON file in the session folder.

The launcher writes it, the session opens the device by it, and the guardian, which may come to know of the device only when
nobody else is left, opens it again by it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aeqlab.backends.device import Device
from aeqlab.backends.kinds import DeviceSettings, open_device
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.errors import SessionError
from aeqlab.protocols.gains_file import GainsPlace
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.limits import SessionLimits
from aeqlab.protocols.notify import NotifyEntry

NAME = "session.json"


class SessionFile(BaseModel):
    """What a session is started with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: DeviceSettings = Field(description="the device")
    seed: int = Field(default=0, ge=0, description="seed of the device's named streams")
    base: Path = Field(default=Path(), description="folder from which paths in the device's settings count")
    name: str = Field(default="", max_length=200, description="name of the session, for people")
    address: str = Field(default="", description="what the lease is taken on; left out: from the device")
    plant: Path | None = Field(default=None, description="folder of the emulated hardware, where it runs in a process of its own")
    switch_off: bool = Field(default=False, description="whether that hardware is ended when all is over")
    homeostasis: HomeostasisSettings = Field(default_factory=HomeostasisSettings, description="how theta is held")
    settling: SettlingSettings = Field(default_factory=SettlingSettings, description="when a phase has come to rest")
    limits: SessionLimits | None = Field(default=None, description="session limits, inside the device's own")
    notify: list[NotifyEntry] = Field(default=[], description="whom to tell of alarms")
    with_client: bool = Field(default=False, description="end when the last client has left")
    then: Literal["freeze", "safe", "hold"] = Field(default="freeze", description="how the device is left at the end")

    @classmethod
    def read(cls, path: Path) -> SessionFile:
        """Read one, or the one of a session folder.

        Raises:
            SessionError: it is not there or not one; the message says what is wrong with it.
        """
        path = path / NAME if path.is_dir() else path
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as exc:
            raise SessionError(f"{path}: the session file cannot be read: {exc.strerror}.") from exc
        except ValidationError as exc:
            first = exc.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "file"
            raise SessionError(f"{path}: {where}: {first['msg']}") from exc

    def write(self, folder: Path) -> None:
        """Write it into a session folder."""
        write_private(folder / NAME, self.model_dump_json(indent=1).encode("utf-8"))

    def changed(self, **values: Any) -> SessionFile:
        """Get a copy with other values."""
        return self.model_copy(update=values)

    def open(self) -> Device:
        """Open the device; hardware that runs by itself is taken over from whoever held it, because the lease says that we may.

        Raises:
            BackendError: it cannot be opened; its state is unknown.
        """
        if self.plant is not None:
            from aeqlab.backends.plant_link import reopen

            return reopen(self.plant, self.device if isinstance(self.device, SlowSettings) else None, self.base)
        return open_device(self.device, seed=self.seed, base=self.base)

    def difference(self, settings: DeviceSettings, seed: int, base: Path) -> str:
        """Say in what another description of a device differs from this one's; empty where both mean the same device."""
        if self.device != settings:
            mine, other = self.device.model_dump(), settings.model_dump()
            name = next((key for key in {**mine, **other} if mine.get(key) != other.get(key)), "kind")
            return f"its device.{name} is {mine.get(name)}, here it is {other.get(name)}"
        if self.seed != seed:
            return f"its seed is {self.seed}, here it is {seed}"
        named = [value for value in settings.model_dump().values() if isinstance(value, str) and ":" in value]
        if named and self.base != base.resolve():  # code of the user's own is found from there
            return f"its {named[0]} is that in {self.base}"
        return ""

    def gains_place(self, folder: Path) -> GainsPlace:
        """Say where its gains are kept: beside the identifications of a rig, else in the session folder."""
        if isinstance(self.device, RigSettings):
            rig = self.device.described
            if rig.identification is not None:
                return GainsPlace(self.base / rig.identification, 3600.0 * rig.fresh_h)
        return GainsPlace(folder)

    @property
    def outlives(self) -> bool:
        """Whether the device goes on when the session is gone: only then can a guardian do anything."""
        if isinstance(self.device, RigSettings):
            return True
        return self.plant is not None or (isinstance(self.device, SlowSettings) and self.device.address is not None)

    @property
    def leased(self) -> list[str]:
        """What is leased beside `address`: the instruments of a rig, each by itself, so that no two rigs share one."""
        return self.device.instrument_addresses if isinstance(self.device, RigSettings) else []


def write_private(path: Path, content: bytes) -> None:
    """Write a small file that only this user can read, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    beside.replace(path)


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append one JSON line; a disk that is full costs the line and nothing else."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    except OSError:
        return
