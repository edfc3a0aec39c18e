"""Settings of a rig: its file, and what was read of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from aeqlab.backends.description import Clock
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.named_files import Names
from aeqlab.backends.rig_file import RigFile
from aeqlab.backends.rig_names import names_of
from aeqlab.backends.settings import BetaBounds, Dimensions, UnknownUntilPreparing
from aeqlab.backends.user_code import is_user_code

if TYPE_CHECKING:
    from aeqlab.backends.rig import Rig


class RigSettings(BaseModel):
    """A rig of real instruments, or of emulated ones that behave like them; it is owned by a session."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    served: ClassVar[bool] = True
    imperfections: ClassVar[None] = None  # hardware is as imperfect as it is

    kind: Literal["rig"] = Field(default="rig", description="instruments, as a rig file describes them")
    file: Annotated[str, Names.PATH] | None = Field(default=None, description="the rig file, such as bench.yaml")
    rig: RigFile | None = Field(default=None, description="the rig itself; left out: from the file")

    @property
    def described(self) -> RigFile:
        """Get the rig.

        Raises:
            DeviceConfigError: its file was not read.
        """
        if self.rig is None:
            raise DeviceConfigError(
                "device: a rig needs its file, such as {kind: rig, file: bench.yaml}. In Python, load_experiment reads it."
            )
        return self.rig

    @property
    def has_user_code(self) -> bool:
        """True if a driver is code of the user's own."""
        return self.rig is not None and any(is_user_code(one.driver) for one in self.rig.instruments.values())

    @property
    def lease_address(self) -> str:
        """Get what the lease of the rig is taken on: its instruments' addresses."""
        found = sorted(filter(None, (one.address for one in self.described.instruments.values())))
        return "rig " + (" ".join(found) or self.described.name)

    @property
    def instrument_addresses(self) -> list[str]:
        """Get what is leased besides: every instrument by its address, and its serial number where that is given."""
        return [
            f"instrument {one.address}{f' {one.serial}' if one.serial else ''}"
            for one in self.described.instruments.values()
            if one.address
        ]

    # what `reaction_of` asks of every device on the wall clock
    @property
    def clock(self) -> Clock:
        """Which clock moves it, as far as its file tells."""
        return Clock.WALL if self.rig is None or self.rig.bench is None else Clock.VIRTUAL

    @property
    def tick_s(self) -> float:
        """Period of a tick, in s."""
        return self.described.tick_s

    @property
    def dead_time_s(self) -> float:
        """Longest time an exchange may take beyond a tick: a reply that does not come, in s."""
        return max(one.timeout_s for one in self.described.instruments.values())

    speed: ClassVar[float] = 1.0

    def dimensions(self, base: Path) -> Dimensions:
        """Say how many of what there are, by the names in the file."""
        rig = self.described

        def count(role: str) -> int:
            return sum(len(names_of(row.names)) for row in rig.rows(role))

        return Dimensions(count("inputs"), count("outputs"), count("parameters"), 1)

    def beta_bounds(self, base: Path) -> BetaBounds:
        """Say nothing. Raises UnknownUntilPreparing: only the rig's own stiffness can say it, once it was identified."""
        raise UnknownUntilPreparing("the stiffness of a rig's outputs")

    def open(self, *, seed: int, base: Path) -> Rig:
        """Open all instruments; moves nothing.

        Raises:
            DeviceConfigError: the file is wrong, or an instrument is another than it says; all at once.
            DeviceLostError: instruments cannot be reached; all at once.
        """
        from aeqlab.backends.rig_open import open_rig_device

        return open_rig_device(self, base)
