"""A conversation through a VISA library, for every link that is neither a socket nor a serial port of pyvisa-py."""

from __future__ import annotations

import contextlib
from typing import Any

from pyvisa import constants
from pyvisa.errors import VisaIOError

from aeqlab.drivers.line import PIECE, QUIET_S, Line


class VisaLine(Line):
    """Any link, through the VISA library.

    On a bus that carries messages (GPIB, USB, VXI-11, HiSLIP) an instrument that is read without being asked reports an error of
    its own, so such a line does not stream: it is drained by the bus's own means, a device clear. A library keeps what came after
    the end of a reply, and throws away what has no end: a reply cut short is silence here, and two replies are found at the next
    question only.
    """

    def __init__(self, resource: Any, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self._resource = resource
        self._serial = str(resource.resource_name).upper().startswith("ASRL")
        self.streams = self._serial or resource.resource_class == "SOCKET"
        with contextlib.suppress(Exception):  # not every library and not every kind of link has it
            resource.set_visa_attribute(constants.ResourceAttribute.tcpip_nodelay, True)

    def drain(self, first_s: float = QUIET_S) -> None:
        """Throw away what comes, or what the instrument has ready."""
        if self.streams:
            super().drain(first_s)
        else:
            self._kept = b""
            self._resource.clear()

    def _put(self, message: bytes) -> None:
        self._resource.timeout = round(1000 * self.timeout_s)  # the last wait for bytes may have left it at next to nothing
        self._resource.write_raw(message)

    def _some(self, seconds: float) -> bytes:
        resource, codes = self._resource, constants.StatusCode
        if not seconds and (not self.streams or (self._serial and not resource.bytes_in_buffer)):
            return b""
        resource.timeout = max(1, round(1000 * seconds))  # at 0 a library may tear what has just begun to come
        with resource.ignore_warning(codes.success_device_not_present, codes.success_max_count_read):
            try:
                data: bytes = resource.visalib.read(resource.session, PIECE)[0]
            except VisaIOError as exc:
                if exc.error_code != codes.error_timeout:
                    raise
                return b""
        return data
