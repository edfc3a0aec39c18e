"""The command `instruments`: list what VISA finds, and ask those that are named who they are; sends nothing but that question."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from aeqlab.app.exits import ExitCode, say
from aeqlab.drivers.addresses import visa_address
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import AddressError, DriverError
from aeqlab.drivers.finding import Found, listed, probe_all


def show_instruments(addresses: Sequence[str], *, visa: str, timeout_s: float, baud_rate: int, wakes_s: float) -> int:
    """List instruments, or ask the named ones for their names; returns the exit code, 1 where one of them does not answer."""
    if math.isnan(timeout_s) or math.isnan(wakes_s):
        say("--timeout and --wakes are times in s, not nan.")
        return ExitCode.BAD_INPUT
    if not addresses:
        try:
            return _list(listed(visa))
        except AddressError as exc:
            say(str(exc))
            return ExitCode.FAILED
    named = []
    for text in addresses:
        try:
            named.append(visa_address(text))
        except AddressError as exc:
            say(str(exc))
    if len(named) < len(addresses):
        return ExitCode.BAD_INPUT
    wires = [Wire(address, visa, timeout_s, baud_rate=baud_rate, wakes_s=wakes_s) for address in named]
    worst = ExitCode.OK
    for answer in probe_all(wires):
        if isinstance(answer, DriverError):
            say(str(answer))
            worst = ExitCode.FAILED
        else:
            _tell(answer)
    return worst


def _list(found: Sequence[str]) -> int:
    for address in found:
        print(address)
    if not found:
        say("VISA finds nothing by itself. Instruments on a network socket are never listed: name them, as 192.168.1.5:5025.")
    else:
        say(
            "None was opened. `aeqlab instruments ADDRESS` asks one for its name; opening a serial port may reset a board. "
            "Instruments on a network socket are never listed: name them, as 192.168.1.5:5025."
        )
    return ExitCode.OK


def _tell(found: Found) -> None:
    who = found.identity
    print(f"{found.address}\n  {who}\n  answers in {1000 * found.latency.median_s:.3g} ms")
    print(f"  in a rig file: {{address: {json.dumps(found.address)}, serial: {json.dumps(who.serial)}}}")
