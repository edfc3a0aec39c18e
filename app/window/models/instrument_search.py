"""Finding instruments for a rig: what VISA lists, who answers at an address that a person named, which driver is made for it.

All of this waits, so it is called in a job, never in the window's thread. Only what is named is opened, and asked for its name
alone; one that a session owns is not even asked.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from aeqlab.drivers.addresses import visa_address
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.errors import DriverError
from aeqlab.drivers.finding import listed, probe
from aeqlab.drivers.identity import Identity
from aeqlab.drivers.offers import drivers_for
from aeqlab.protocols.lease import holder_of, state_folder

#: The drivers that know their instrument by its name, and what a rig file calls such a one unless somebody says otherwise.
SHORT = {"qdac2": "dac", "daq970a": "adc", "keithley2450": "smu", "board": "board"}


@dataclass(frozen=True, slots=True)
class Asked:
    """How an instrument is to be asked for its name.

    Attributes:
        address: as a person writes it, or a VISA address.
        name: how the rig calls it; empty for one that is not in the rig yet.
        driver: that the rig file names for it; empty: any.
        serial: that the rig file gives; empty: any.
        visa, timeout_s, baud_rate, wakes_s: as of `Wire`.
    """

    address: str
    name: str = ""
    driver: str = ""
    serial: str = ""
    visa: str = "@py"
    timeout_s: float = 2.0
    baud_rate: int = 115200
    wakes_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of asking.

    Attributes:
        asked: how it was asked.
        address: the VISA address; as it was written where it makes no sense.
        identity: who answered; None where nobody did.
        drivers: those that are made for it.
        latency_s: how long an answer takes, median, in s.
        problem: what is wrong, as a sentence; empty where nothing is.
    """

    asked: Asked
    address: str
    identity: Identity | None = None
    drivers: tuple[str, ...] = ()
    latency_s: float = 0.0
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether the one that is meant answered."""
        return self.identity is not None and not self.problem


def list_addresses(visa: str = "@py") -> list[str]:
    """List what VISA finds, opening none. Instruments on a network socket are never among them.

    Raises:
        AddressError: the library cannot be used.
    """
    return listed(visa)


def opens_a_port(address: str) -> bool:
    """Tell whether asking opens a serial port, which resets many boards."""
    try:
        return visa_address(address).upper().startswith("ASRL")
    except DriverError:
        return False


def identify(asked: Asked) -> Answer:
    """Ask one instrument for its name; whatever goes wrong is in the answer, as a sentence."""
    try:
        address = visa_address(asked.address)
    except DriverError as exc:
        return Answer(asked, asked.address, problem=str(exc))
    if held := owner_of(address):
        return Answer(asked, address, problem=held)
    try:
        found = probe(
            Wire(address, asked.visa, asked.timeout_s, baud_rate=asked.baud_rate, wakes_s=asked.wakes_s,
                 read_end="\r\n" if asked.driver == "board" and opens_a_port(address) else "\n")
        )  # fmt: skip
    except DriverError as exc:
        return Answer(asked, address, problem=str(exc))
    drivers = tuple(drivers_for(found.identity))
    answer = Answer(asked, address, found.identity, drivers, found.latency.median_s)
    return Answer(asked, address, found.identity, drivers, found.latency.median_s, _not_meant(answer))


def identify_all(asked: Sequence[Asked]) -> list[Answer]:
    """Ask several, one after another: one that does not answer keeps no other from being asked."""
    return [identify(one) for one in asked]


def owner_of(address: str) -> str:
    """Say which session owns the instrument at an address; empty where none does."""
    words = ("instrument", address.casefold())
    with contextlib.suppress(OSError):
        for file in sorted(state_folder().glob("*.holder")):
            try:
                held = str(json.loads(file.read_text(encoding="utf-8"))["address"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if tuple(held.casefold().split(" ")[:2]) == words and (holder := holder_of(held)) is not None:
                return (
                    f"{address} belongs to a session: {holder.sentence()}. It was not asked for its name. Open that session "
                    "in place of it, or end it first."
                )
    return ""


def _not_meant(answer: Answer) -> str:
    """Say where another instrument answers than the one that the rig file means."""
    asked, found = answer.asked, answer.identity
    assert found is not None
    where = f"{asked.name} at {answer.address}" if asked.name else answer.address
    if asked.driver in SHORT and asked.driver not in answer.drivers:
        meant = f", or choose the driver {answer.drivers[0]}" if answer.drivers else " or its driver"
        return f"{where}: {found} answers, which is no {asked.driver}. Correct its address{meant}."
    if asked.serial and asked.serial.strip() != found.serial:
        return (
            f"{where}: {found} answers, and the rig file means serial number {asked.serial}. Correct the address, or the serial "
            "number if the instrument was replaced; its calibration and identification are those of the other one."
        )
    return ""


def name_for(driver: str, taken: Sequence[str]) -> str:
    """Suggest a name for an instrument in a rig file, such as dac, adc or smu; a number follows where it is taken."""
    base = SHORT.get(driver, "box")
    name, k = base, 2
    while name in taken:
        name, k = f"{base}{chr(96 + k)}", k + 1  # dacb, not dac2: dac21 would be channel 1 of it, or 21 of dac
    return name
