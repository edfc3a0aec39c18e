"""Finding instruments: what VISA lists without opening anything, and who answers at an address that a person named."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pyvisa

from aeqlab.drivers.connection import Connection, Wire
from aeqlab.drivers.errors import AddressError, DriverError
from aeqlab.drivers.identity import Identity
from aeqlab.drivers.latency import Latency

#: An address that a person writes: a host and a port, or a serial port.
_HOST = re.compile(r"(?P<host>[A-Za-z0-9.-]+):(?P<port>\d{1,5})")
_SERIAL = re.compile(r"(?:COM\d+|/dev/\S+)")
ASKED = 5  #: times it is asked for its name, to see how long an answer takes


@dataclass(frozen=True, slots=True)
class Found:
    """Who answered at an address, and how fast."""

    address: str
    identity: Identity
    latency: Latency


def listed(visa: str = "@py") -> list[str]:
    """List the addresses that a VISA library finds, opening none.

    Raises:
        AddressError: the library cannot be used.
    """
    try:
        manager = pyvisa.ResourceManager(visa)
        return sorted(manager.list_resources("?*"))
    except (ValueError, OSError, pyvisa.errors.VisaIOError) as exc:
        raise AddressError(f"the VISA library {visa!r} cannot be used: {exc}") from exc


def visa_address(text: str) -> str:
    """Make a VISA address of what a person wrote: `192.168.1.5:5025`, `COM3`, `/dev/ttyACM0`, or a VISA address as it is.

    Raises:
        AddressError: it is none of these.
    """
    text = text.strip()
    if match := _HOST.fullmatch(text):
        if not 0 < int(match["port"]) < 65536:
            raise AddressError(f"{text}: {match['port']} is no port; ports go from 1 to 65535.")
        return f"TCPIP::{match['host']}::{match['port']}::SOCKET"
    if _SERIAL.fullmatch(text):
        return f"ASRL{text}::INSTR"
    if "::" in text:
        return text
    raise AddressError(f"{text}: write host:port, a serial port such as COM3 or /dev/ttyACM0, or a VISA address with `::` in it.")


def probe(wire: Wire) -> Found:
    """Open one address, ask for the name and nothing else, and close it again.

    Raises:
        AddressError: nothing answers there.
        DriverError: it stopped answering.
    """
    wire = replace(wire, address=visa_address(wire.address))
    connection = Connection(wire)
    try:
        identity = connection.open()
        for _ in range(ASKED):
            connection.query(wire.identify)
        return Found(wire.address, identity, connection.latency())
    finally:
        connection.close()


def probe_all(wires: list[Wire]) -> list[Found | DriverError]:
    """Probe several addresses, each by itself: one that fails keeps no other from being asked."""
    answers: list[Found | DriverError] = []
    for wire in wires:
        try:
            answers.append(probe(wire))
        except DriverError as exc:
            answers.append(exc)
    return answers
