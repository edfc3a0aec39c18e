"""Finding instruments: what VISA lists without opening anything, and who answers at an address that a person named."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

from aeqlab.drivers.addresses import visa_address
from aeqlab.drivers.connection import Connection, Wire
from aeqlab.drivers.errors import AddressError, DriverError
from aeqlab.drivers.identity import Identity
from aeqlab.drivers.latency import Latency

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
    import pyvisa

    try:
        manager = pyvisa.ResourceManager(visa)
        with warnings.catch_warnings():  # of packages for the network that are not there: sockets are never listed anyway
            warnings.simplefilter("ignore")
            found = manager.list_resources("?*")
        return sorted(address for address in found if not address.upper().endswith("::INTFC"))  # which is no instrument
    except (ValueError, OSError, pyvisa.errors.VisaIOError) as exc:
        raise AddressError(f"the VISA library {visa!r} cannot be used: {exc}") from exc


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
