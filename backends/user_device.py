"""A device of the user's own: a class derived from `Device` in their file, named in the experiment; it lives inside the run.

Their code is imported when the device is opened, never by reading or checking the settings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from aeqlab.backends.device import Device, DeviceInfo
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.named_files import Names
from aeqlab.backends.settings import BetaBounds, Dimensions, UnknownUntilPreparing
from aeqlab.backends.user_code import ClassName, blamed, construct, load, spoken

#: What a user writes and a run calls. Not `_freeze` and `_make_safe`: where these raise, the next safer way is tried.
_BLAMED = ("_present", "_set_controls", "_controls", "_nudge", "_release", "_advance")


class CustomSettings(BaseModel):
    """A device of your own: a class derived from Device; it lives inside the run, without a session or a guardian."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    served: ClassVar[bool] = False
    imperfections: ClassVar[None] = None  # a device of one's own is as imperfect as its author makes it

    kind: Literal["custom"] = Field(default="custom", description="a class of your own, inside the run")
    code: ClassName = Field(description="file.py:Class or module:Class, derived from aeqlab.backends.device.Device")
    options: Annotated[dict[str, Any], Names.FILES] = Field(
        default={}, description="passed to the class by name; seed is passed too if it takes one and none is given"
    )

    @property
    def has_user_code(self) -> bool:
        """True: opening it runs code of the user's own."""
        return True

    def dimensions(self, base: Path) -> Dimensions:
        """Say nothing.

        Raises:
            UnknownUntilPreparing: always; only the user's class can say it.
        """
        raise UnknownUntilPreparing(f"how many knobs {self.code} has")

    def beta_bounds(self, base: Path) -> BetaBounds:
        """Say nothing. Raises as `dimensions`."""
        raise UnknownUntilPreparing(f"the bounds on beta of {self.code}")

    def open(self, *, seed: int, base: Path) -> Device:
        """Import the class and make the device.

        Raises:
            DeviceConfigError: there is no such class, it is no `Device`, or it does not take these options.
            UserCodeError: their code raised; names file and line.
        """
        found = load(self.code, base)
        what = f"device {spoken(self.code, base)}"
        if not (inspect.isclass(found) and issubclass(found, Device)):
            raise DeviceConfigError(f"{what}: it is not a class derived from aeqlab.backends.device.Device. Derive it from that.")
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise DeviceConfigError(f"{what}: {', '.join(missing)} still to be written.")
        options = dict(self.options)
        if "seed" not in options and _takes_seed(found):
            options["seed"] = seed
        device: Device = construct(what, found, options)
        with blamed(what):
            info = device.info
        if not isinstance(info, DeviceInfo):
            raise DeviceConfigError(f"{what}: info must be a DeviceInfo, this one is a {type(info).__name__}")
        for name in _BLAMED:
            setattr(device, name, _blaming(what, getattr(device, name)))
        return device


def _takes_seed(found: type) -> bool:
    try:
        return "seed" in inspect.signature(found).parameters
    except (TypeError, ValueError):
        return False


def _blaming(what: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Let what a user's method raises name its file and line."""

    @wraps(method)
    def call(*args: Any) -> Any:
        with blamed(what):
            return method(*args)

    return call
