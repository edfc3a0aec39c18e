"""Opening a rig: the plan of its file, its instruments side by side, its clock, and the last identification if it is fresh."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aeqlab.backends.errors import DeviceConfigError, DeviceLostError
from aeqlab.backends.rig import Rig
from aeqlab.backends.rig_bus import Bus
from aeqlab.backends.rig_clock import RigClock, WallTime
from aeqlab.backends.rig_plan import plan_of
from aeqlab.backends.user_code import load
from aeqlab.drivers.errors import SettingError
from aeqlab.drivers.making import make_instrument

if TYPE_CHECKING:
    from aeqlab.backends.rig_settings import RigSettings


def open_rig_device(settings: RigSettings, base: Path) -> Rig:
    """Open a rig; see `RigSettings.open`."""
    file = settings.described
    name = Path(settings.file).stem if settings.file else "rig"
    plan = plan_of(file, base, name)
    clock, kind = _clock(file.bench)
    folder = base / file.identification if file.identification is not None else None
    bus: Bus | None = None
    try:
        instruments = {
            name: make_instrument(spec, plan.uses[name], base, lambda word: load(word, base)) for name, spec in plan.specs.items()
        }
        bus = Bus(instruments, plan.order, clock.now)
        bus.open()
        return kind(plan, bus, clock, folder)
    except SettingError as exc:
        clock.close()
        raise DeviceConfigError(f"{plan.name}: {exc}") from exc
    except BaseException:
        if bus is not None:
            bus.close()
        clock.close()
        raise


def _clock(bench: str | None) -> tuple[RigClock, Callable[..., Rig]]:
    """Get the clock of a rig, and of an emulated one also what tells its true values."""
    if bench is None:
        return WallTime(), Rig
    from aeqlab.backends.rig_on_bench import connect

    match = re.fullmatch(r"(?P<host>[^:]+):(?P<port>\d+)", bench)
    if match is None:
        raise DeviceLostError(f"bench: {bench!r} is no address. Write it as `aeqlab bench` prints it, such as 127.0.0.1:5099.")
    return connect(bench)
