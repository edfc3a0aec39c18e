"""One conversation with one instrument over VISA: whole transactions, in step, one owner at a time.

A query is one locked transaction. A reply that comes too late is never handed to the next query: a connection is out of step from
the moment it sends until the reply is there to its last byte, and whoever finds it so first finds back by the instrument's own
name (`resync`). A link that breaks says so at once, and stays broken until `reopen`. Opening and closing send nothing but the
question for the name.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from numpy.typing import NDArray

from aeqlab.drivers import blocks
from aeqlab.drivers.errors import AddressError, DriverError, LinkLostError, ReplyError, ReplyLateError, SettingError
from aeqlab.drivers.identity import Identity, parse_identity
from aeqlab.drivers.latency import Latency, Stopwatch
from aeqlab.drivers.line import QUIET_S, Line, Silence, broken, line_of
from aeqlab.drivers.readings import finite

Array = NDArray[Any]
Reply = TypeVar("Reply")
#: Pauses before each attempt to open again, in s.
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Wire:
    """How an instrument is reached.

    Attributes:
        address: VISA address, such as `TCPIP::127.0.0.1::5025::SOCKET` or `ASRL/dev/ttyACM0::INSTR`.
        visa: VISA library: `@py` (pyvisa-py), `@ivi` (that of a vendor), or the path of one.
        timeout_s: longest wait for a reply, until its last byte.
        read_end, write_end: what ends a reply and a command.
        baud_rate: of a serial line.
        wakes_s: a board that resets when it is opened answers after so long.
        identify: the question for its name.
    Raises:
        SettingError: a time or a rate that none can be.
    """

    address: str
    visa: str = "@py"
    timeout_s: float = 2.0
    read_end: str = "\n"
    write_end: str = "\n"
    baud_rate: int = 115200
    wakes_s: float = 0.0
    identify: str = "*IDN?"

    def __post_init__(self) -> None:
        if not 0.0 < self.timeout_s < math.inf:  # nan too
            raise SettingError(f"{self.address}: timeout_s {self.timeout_s:g} is no wait for a reply. Give a time in s above 0.")
        if not 0.0 <= self.wakes_s < math.inf:
            raise SettingError(f"{self.address}: wakes_s {self.wakes_s:g} is no time to wake in. Give 0 s or more.")
        if self.baud_rate <= 0:
            raise SettingError(f"{self.address}: baud_rate {self.baud_rate} is none. The usual one is 115200.")


class Connection:
    """An open conversation. Every call may come from any thread; one is carried out at a time.

    Args:
        wire: how the instrument is reached.
        name: how messages call it.
        parse: reads the answer to the question for its name, where that has not the four fields of `*IDN?`.
    """

    def __init__(self, wire: Wire, name: str = "", parse: Callable[[str], Identity] = parse_identity) -> None:
        self.wire = wire
        self._parse = parse
        self.name = name or wire.address
        self.where = f"{name} at {wire.address}" if self.name != wire.address else wire.address  #: name and address, for messages
        self.identity: Identity | None = None  #: of the last opening
        self._lock = threading.RLock()
        self._end, self._write_end = wire.read_end.encode("ascii"), wire.write_end.encode("ascii")
        self._resource: Any = None
        self._line: Line | None = None  # None: there is no link
        self._called = ""  # its name, to the letter
        self._behind = False  # something was sent and did not end well: bytes may still be on their way
        self._awaited = False  # what was sent last has a reply
        self._watch = Stopwatch()
        self.unasked = 0  #: times that something came which nobody had asked for

    @property
    def is_open(self) -> bool:
        """Whether the link stands, as far as is known."""
        return self._line is not None

    def latency(self) -> Latency:
        """Get how long the replies took."""
        return self._watch.latency()

    # opening
    def open(self) -> Identity:
        """Open the link and ask for the instrument's name; returns it.

        Raises:
            AddressError: nothing can be reached there, or it does not say its name.
        """
        with self._lock:
            if self._line is not None and self.identity is not None:
                return self.identity
            try:
                self._line = line = self._opened()
                if line.streams:
                    line.drain()
                self._behind = False
                self._called = self.query(self.wire.identify).strip()
                self.identity = self._parse(self._called)
            except broken(DriverError) as exc:
                self.close()
                if isinstance(exc, AddressError):
                    raise
                raise AddressError(f"{self.where}: it does not say its name: {_said(exc)}") from exc
            except BaseException:  # interrupted: a link without a name is of no use
                self.close()
                raise
            return self.identity

    def close(self) -> None:
        """Close the link; the instrument stays as it is. May be called twice."""
        with self._lock:
            resource, self._resource, self._line = self._resource, None, None
            if resource is not None:
                with contextlib.suppress(*broken()):
                    resource.close()

    def reopen(self, attempts: int = len(BACK_OFF_S)) -> Identity:
        """Close the link and open it again, with longer and longer pauses; who calls meanwhile is told that there is no link.

        Args:
            attempts: how often it is tried, at least once.
        Returns:
            The instrument's name, which may have changed: whoever meant one instrument checks it.
        Raises:
            AddressError: it cannot be reached any more.
        """
        self.close()
        attempt = 0
        while True:
            time.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
            attempt += 1
            try:
                return self.open()
            except AddressError:
                if attempt >= attempts:
                    raise

    # talking
    def write(self, command: str) -> None:
        """Send a command that has no reply.

        Raises:
            LinkLostError: the link broke, or is broken.
        """
        self._exchange(command, self._message(command), None)

    def query(self, command: str, ahead: bytes = b"") -> str:
        """Send a question and get its reply, without what ends it.

        Args:
            command: the question.
            ahead: a command with a block, as `block` makes it, that goes before the question in the same packet: an instrument
                that has to be woken for each costs more than the exchange.
        Raises:
            ReplyLateError, LinkLostError, ReplyError.
        """
        return self._exchange(command, ahead + self._message(command), self._text)

    def block(self, command: str, values: Array, dtype: str = "<f4") -> bytes:
        """Make a command with a binary block after it, such as `SOUR:BLOC `, whole, to be sent ahead of a question.

        Args:
            command: what stands before the block, a blank included.
            values: numbers, any shape.
            dtype: type of each in the block.
        Raises:
            SettingError: a number is not finite, or the type cannot hold it.
        """
        return blocks.encode(values, dtype, command.encode("ascii"), self._write_end)

    def write_block(self, command: str, values: Array, dtype: str = "<f4") -> None:
        """Send a command with a binary block after it, as `block` makes it.

        Raises:
            SettingError: as for `block`; nothing was sent.
            LinkLostError: the link broke, or is broken.
        """
        self._exchange(command, self.block(command, values, dtype), None)

    def query_block(self, command: str, dtype: str = "<f4", count: int | None = None, ahead: bytes = b"") -> Array:
        """Send a question and get the numbers of the binary block it is answered with; `ahead` as for `query`.

        Raises:
            ReplyLateError, LinkLostError, ReplyError: as for `query`; no block, another number of numbers than `count`, or
                some that are not finite or mean an overload.
        """
        data = self._exchange(command, ahead + self._message(command), self._block)
        try:
            values = blocks.decode(data, dtype, count)
        except ReplyError as exc:
            raise ReplyError(f"{self.where}: the reply to {command!r}: {exc}") from exc
        return finite(values, self.where)

    def resync(self) -> None:
        """Find back in step: throw away what comes late, until the instrument answers with its own name.

        Who waits for a reply and has heard nothing of it yet goes on waiting for it after the name, for one timeout: it may
        be another name, or come from an instrument that answers some questions out of turn.

        Raises:
            LinkLostError: it does not, or another instrument does. Open it again.
        """
        with self._lock:
            line = self._standing()
            missing = self._awaited and not line.heard
            self._behind = True
            try:
                line.drain()
                missing = missing and not line.heard
                line.send(self._message(self.wire.identify))
                while line.until(self._end).decode("ascii", "replace").strip() != self._called:
                    missing = False
                line.drain(line.timeout_s if missing else QUIET_S)
            except broken(ReplyError, Silence) as exc:
                self.close()
                why = "it does not say its name" if isinstance(exc, Silence) else _said(exc)
                raise LinkLostError(f"{self.where}: it did not come back in step ({why}). Open it again.") from exc
            self._behind = False

    # inside
    def _message(self, command: str) -> bytes:
        try:
            return (command + self.wire.write_end).encode("ascii")
        except UnicodeEncodeError:
            raise SettingError(f"{self.where}: {command!r} is not plain ASCII; nothing was sent.") from None

    def _text(self, line: Line) -> str:
        reply = line.until(self._end)
        try:
            return reply.decode("ascii").rstrip("\r")
        except UnicodeDecodeError as exc:
            raise ReplyError(f"it is no text: {reply[:60]!r}") from exc

    def _block(self, line: Line) -> memoryview:
        begin = 2 + blocks.digits_of(line.first(2)[:2])
        length = blocks.length_of(line.first(begin)[2:begin])
        end = begin + length
        whole = end + len(self._end)
        came = line.first(whole)
        if came[end:whole] != self._end:
            raise ReplyError(f"after the {length} bytes of its block comes {bytes(came[end:whole])!r}")
        line.skip(whole)
        return memoryview(came)[begin:end]

    def _standing(self) -> Line:
        if self._line is None:
            raise LinkLostError(f"{self.where}: there is no link. Open it first.")
        return self._line

    @overload
    def _exchange(self, command: str, message: bytes, read: None) -> None: ...
    @overload
    def _exchange(self, command: str, message: bytes, read: Callable[[Line], Reply]) -> Reply: ...
    def _exchange(self, command: str, message: bytes, read: Callable[[Line], Reply] | None) -> Reply | None:
        """Carry out one transaction: in step before it, and known to be out of step unless it ends well.

        Args:
            command: for messages.
            message: all that is sent.
            read: gets the whole reply; None: there is none.
        """
        with self._lock:
            line = self._line or self._standing()
            try:
                if not self._behind and line.arrived():  # bytes that nobody asked for
                    self.unasked += 1
                    self._behind = True
                if self._behind:
                    self.resync()
                self._behind, self._awaited = True, read is not None
                if read is None:
                    line.send(message)
                    self._behind = False
                    return None
                begin = time.perf_counter()
                line.send(message)
                reply = read(line)
                if line.left:
                    raise ReplyError("more came than the reply")
                self._watch.took(time.perf_counter() - begin)
                self._behind = False
                return reply
            except Exception as exc:
                self._watch.failed()
                if isinstance(exc, broken()):
                    self.close()
                    raise LinkLostError(f"{self.where}: the link broke ({_said(exc)}). What it does now is unknown.") from exc
                if isinstance(exc, ReplyError):
                    raise ReplyError(f"{self.where}: the reply to {command!r}: {exc}") from exc
                if not isinstance(exc, Silence):
                    raise
                if line.heard:
                    raise ReplyError(f"{self.where}: the reply to {command!r} was cut short after {line.heard} bytes.") from exc
                raise ReplyLateError(f"{self.where}: no reply to {command!r} within {self.wire.timeout_s:g} s.") from exc

    def _opened(self) -> Line:
        """Open the resource, with what ends a line set for libraries that look for it themselves."""
        import pyvisa

        wire = self.wire
        try:
            manager = pyvisa.ResourceManager(wire.visa)
        except (ValueError, OSError) as exc:
            raise AddressError(
                f"{self.where}: the VISA library {wire.visa!r} cannot be used: {_said(exc)}. Install it, or leave it at '@py'."
            ) from exc
        options: dict[str, Any] = {"baud_rate": wire.baud_rate} if wire.address.upper().startswith("ASRL") else {}
        timeout_ms = round(1000 * wire.timeout_s)
        try:
            self._resource = manager.open_resource(
                wire.address, open_timeout=timeout_ms, timeout=timeout_ms, read_termination=wire.read_end,
                write_termination=wire.write_end, **options,
            )  # fmt: skip
            line = line_of(self._resource, wire.timeout_s)
        except Exception as exc:  # pyvisa-py raises bare exceptions here
            raise AddressError(f"{self.where}: it cannot be opened: {_said(exc)}. Is it switched on and connected?") from exc
        if wire.wakes_s:
            time.sleep(wire.wakes_s)
        return line


def _said(exc: BaseException) -> str:
    text = str(exc).strip().splitlines()
    said = text[0][:160] if text else type(exc).__name__
    return said if isinstance(exc, DriverError) else f"{type(exc).__name__}: {said}"
