"""Addresses as a person writes them, and as VISA wants them."""

from __future__ import annotations

import re

from aeqlab.drivers.errors import AddressError

_HOST = re.compile(r"(?P<host>[A-Za-z0-9.-]+):(?P<port>\d{1,5})")
_WINDOWS = re.compile(r"COM(?P<number>\d+)", re.IGNORECASE)
_UNIX = re.compile(r"/dev/\S+")


def visa_address(text: str) -> str:
    """Make a VISA address of what a person wrote: `192.168.1.5:5025`, `COM3`, `/dev/ttyACM0`, or a VISA address as it is.

    `COM3` is `ASRL3::INSTR` for a vendor's VISA and for pyvisa-py alike, which puts the `COM` in front of the number by itself.

    Raises:
        AddressError: it is none of these.
    """
    text = text.strip()
    if match := _HOST.fullmatch(text):
        if not 0 < int(match["port"]) < 65536:
            raise AddressError(f"{text}: {match['port']} is no port; ports go from 1 to 65535.")
        return f"TCPIP::{match['host']}::{match['port']}::SOCKET"
    if match := _WINDOWS.fullmatch(text):
        return f"ASRL{match['number']}::INSTR"
    if _UNIX.fullmatch(text):
        return f"ASRL{text}::INSTR"
    if "::" in text:
        return text
    raise AddressError(f"{text}: write host:port, a serial port such as COM3 or /dev/ttyACM0, or a VISA address with `::` in it.")
