"""Conformance: does a device keep the promises of the interface? Each line has a verdict and the numbers behind it.

The lines are plain functions in `conformance_lines`; this file opens the device, hands it to them one after the other and
closes it. They move knobs: `aeqlab accept FILE` asks first on a rig.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from numpy.typing import NDArray

from aeqlab.backends.device import Device, capabilities
from aeqlab.backends.errors import BackendError, DeviceLostError
from aeqlab.protocols.conformance_bench import Bench, Broken, NotApplicable
from aeqlab.protocols.conformance_lines import LINES
from aeqlab.protocols.errors import IdentifyError, Interrupted, ProtocolError
from aeqlab.protocols.homeostasis import HomeostasisSettings
from aeqlab.protocols.identify import Identifying
from aeqlab.protocols.session import Session
from aeqlab.protocols.settling import Interrupt, SettlingSettings

Array = NDArray[Any]


class LineVerdict(StrEnum):
    """How one line ended."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Line:
    """One promise: its name, whether it was kept, and a sentence with numbers."""

    name: str
    verdict: LineVerdict
    text: str


def conform(
    open_device: Callable[[], Device],
    *,
    homeostasis: HomeostasisSettings | None = None,
    settling: SettlingSettings | None = None,
    seed: int = 0,
    interrupt: Interrupt | None = None,
    on_line: Callable[[Line], None] | None = None,
) -> list[Line]:
    """Check a device line by line.

    Args:
        open_device: opens it; it is closed at the end.
        homeostasis: the loop it is to be held by; `accept: settled` is used whatever it says.
        settling: when it counts as at rest, likewise.
        seed: of the inputs it is shown.
        interrupt: called at every tick; raises to leave. The device is then frozen and closed.
        on_line: gets each line as it is done.
    Returns:
        All lines in order. A line whose own code is stopped by the device is a failed line, not an exception.
    """
    held = (homeostasis or HomeostasisSettings()).model_copy(update={"accept": "settled"})
    calm = (settling or SettlingSettings()).model_copy(update={"accept": "settled", "tolerance": 0.002, "timeout": 2000.0})
    device = open_device()
    lines: list[Line] = []
    try:
        identified_first(device, interrupt)
        bench = Bench(device, held, calm, seed, interrupt)
        for name, check in LINES:
            line = _line(name, check, bench)
            lines.append(line)
            if on_line is not None:
                on_line(line)
    except Interrupted:
        device.freeze()
        raise
    finally:
        device.close()
    return lines


def identified_first(device: Device, interrupt: Interrupt | None = None) -> None:
    """Identify a device of which nobody knows how it answers, so that a loop can be closed on it.

    Raises:
        IdentifyError: it cannot be told, or it is wrongly wired.
    """
    if "Identifies" not in capabilities(device) or device.identification() is not None:  # type: ignore[attr-defined]
        return
    session = Session(device, who="acceptance")
    session.point_interrupt = interrupt
    found = Identifying(session, fingerprint=device.fingerprint()).run()  # type: ignore[attr-defined]
    if found.faults:
        raise IdentifyError(f"{device.info.name}: {' '.join(found.faults)}")
    device.take_identification(found.made.tree())  # type: ignore[attr-defined]


def _line(name: str, check: Callable[[Bench], str], bench: Bench) -> Line:
    try:
        bench.begin()
        return Line(name, LineVerdict.PASS, check(bench))
    except NotApplicable as exc:
        return Line(name, LineVerdict.NOT_APPLICABLE, str(exc))
    except Broken as exc:
        return Line(name, LineVerdict.FAIL, str(exc))
    except DeviceLostError:
        raise
    except (BackendError, ProtocolError) as exc:
        if isinstance(exc, Interrupted):
            raise
        return Line(name, LineVerdict.FAIL, f"stopped by {type(exc).__name__}: {exc}")
    except Exception as exc:  # a device may raise anything; that is a broken promise, with the place it comes from
        where = traceback.extract_tb(exc.__traceback__)[-1]
        return Line(name, LineVerdict.FAIL, f"{type(exc).__name__} in {where.filename}, line {where.lineno}: {exc}")
