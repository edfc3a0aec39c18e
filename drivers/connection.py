"""One conversation with one instrument over VISA: whole transactions, in step, one owner at a time.

A query is one locked transaction. A reply that comes too late is never handed to the next query: the connection notices that it
is out of step and finds back by the instrument's own name (`resync`) before it says anything else. A link that breaks says so,
and stays broken until `reopen`. Opening and closing send nothing but the question for the name.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyvisa
from numpy.typing import NDArray
from pyvisa import constants
from pyvisa.errors import InvalidSession, VisaIOError

from aeqlab.drivers import blocks
from aeqlab.drivers.errors import AddressError, DriverError, LinkLostError, ReplyError, ReplyLateError
from aeqlab.drivers.identity import Identity, parse_identity
from aeqlab.drivers.latency import Latency, Stopwatch

Array = NDArray[Any]
#: A line is taken for quiet when nothing came for so long, in s; a resync reads this many replies that are not the name.
QUIET_S, STALE_REPLIES = 0.05, 1000
#: Pauses before each attempt to open again, in s.
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_BROKEN = (OSError, InvalidSession, RuntimeError)  # pyserial's errors are OSError; HiSLIP of pyvisa-py raises RuntimeError


@dataclass(frozen=True, slots=True)
class Wire:
    """How an instrument is reached.

    Attributes:
        address: VISA address, such as `TCPIP::127.0.0.1::5025::SOCKET` or `ASRL/dev/ttyACM0::INSTR`.
        visa: VISA library: `@py` (pyvisa-py), `@ivi` (that of a vendor), or the path of one.
        timeout_s: longest wait for a reply.
        read_end, write_end: what ends a reply and a command.
        baud_rate: of a serial line.
        wakes_s: a board that resets when it is opened answers after so long.
        identify: the question for its name.
    """

    address: str
    visa: str = "@py"
    timeout_s: float = 2.0
    read_end: str = "\n"
    write_end: str = "\n"
    baud_rate: int = 115200
    wakes_s: float = 0.0
    identify: str = "*IDN?"


class Connection:
    """An open conversation. Every call may come from any thread; one is carried out at a time.

    Args:
        wire: how the instrument is reached.
        name: how messages call it.
    """

    def __init__(self, wire: Wire, name: str = "") -> None:
        self.wire = wire
        self.name = name or wire.address
        self.identity: Identity | None = None  #: of the last opening
        self._lock = threading.RLock()
        self._resource: Any = None
        self._called = ""  # its name, to the letter
        self._behind = False  # a reply may still be on its way
        self._watch = Stopwatch()

    @property
    def where(self) -> str:
        """Name and address, for messages."""
        return self.name if self.name == self.wire.address else f"{self.name} at {self.wire.address}"

    @property
    def is_open(self) -> bool:
        """Whether the link stands, as far as is known."""
        return self._resource is not None

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
            if self._resource is not None:
                assert self.identity is not None
                return self.identity
            self._resource = self._opened()
            try:
                self._drain()
                self._called = self._answer_to(self.wire.identify).strip()
                self.identity = parse_identity(self._called)
            except DriverError as exc:
                self.close()
                raise AddressError(f"{self.where}: it does not say its name: {exc}") from exc
            self._behind = False
            return self.identity

    def close(self) -> None:
        """Close the link; the instrument stays as it is. May be called twice."""
        with self._lock:
            resource, self._resource = self._resource, None
            if resource is not None:
                with contextlib.suppress(VisaIOError, *_BROKEN):
                    resource.close()

    def reopen(self, attempts: int = len(BACK_OFF_S)) -> Identity:
        """Close the link and open it again, with longer and longer pauses.

        Args:
            attempts: how often it is tried.
        Returns:
            The instrument's name, which may have changed: whoever meant one instrument checks it.
        Raises:
            AddressError: it cannot be reached any more.
        """
        with self._lock:
            self.close()
            for attempt in range(attempts):
                time.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                try:
                    return self.open()
                except AddressError as exc:
                    failure = exc
            raise failure

    # talking
    def write(self, command: str) -> None:
        """Send a command that has no reply.

        Raises:
            LinkLostError: the link broke, or is broken.
        """
        with self._in_step() as resource:
            resource.write_raw(self._line(command))

    def query(self, command: str) -> str:
        """Send a question and get its reply, without what ends it.

        Raises:
            ReplyLateError, LinkLostError, ReplyError.
        """
        with self._in_step():
            return self._answer_to(command)

    def write_block(self, command: str, values: Array, dtype: str = "<f4") -> None:
        """Send a command with a binary block after it, such as `SOUR:BLOC `.

        Args:
            command: what stands before the block, a blank included.
            values: numbers, any shape.
            dtype: type of each in the block.
        """
        message = command.encode("ascii") + blocks.encode(values, dtype) + self.wire.write_end.encode("ascii")
        with self._in_step() as resource:
            resource.write_raw(message)

    def query_block(self, command: str, dtype: str = "<f4", count: int | None = None) -> Array:
        """Send a question and get the numbers of the binary block it is answered with.

        Raises:
            ReplyLateError, LinkLostError, ReplyError: as for `query`; no block, or another number of numbers than `count`.
        """
        with self._in_step() as resource:
            begin = time.perf_counter()
            resource.write_raw(self._line(command))
            digits = blocks.digits_of(self._bytes(2))
            data = self._bytes(blocks.length_of(self._bytes(digits)))
            end = self._bytes(len(self.wire.read_end))
            if end != self.wire.read_end.encode("ascii"):
                raise ReplyError(f"{self.where}: {command!r} was answered with a block that ends with {end!r}")
            self._watch.took(time.perf_counter() - begin)
            return blocks.decode(data, dtype, count)

    def resync(self) -> None:
        """Find back in step: throw away what comes late, until the instrument answers with its own name.

        Raises:
            LinkLostError: it does not, or another instrument does. Open it again.
        """
        with self._lock:
            resource = self._standing()
            try:
                self._drain()
                resource.write_raw(self._line(self.wire.identify))
                for _ in range(STALE_REPLIES):
                    if resource.read_raw().decode("ascii", "replace").strip() == self._called:
                        break
                else:
                    raise LinkLostError(f"{self.where}: it never came back in step. Open it again.")
                self._drain()
            except (VisaIOError, *_BROKEN) as exc:
                self.close()
                raise LinkLostError(f"{self.where}: it does not answer any more ({_said(exc)}). Open it again.") from exc
            self._behind = False

    # inside
    def _line(self, command: str) -> bytes:
        return (command + self.wire.write_end).encode("ascii")

    def _answer_to(self, command: str) -> str:
        begin = time.perf_counter()
        with self._errors(command):
            self._resource.write_raw(self._line(command))
            reply: bytes = self._resource.read_raw()
            end = self.wire.read_end.encode("ascii")
            if not reply.endswith(end):
                raise ReplyError(f"{self.where}: the reply to {command!r} was cut short: {reply[:60]!r}")
            self._watch.took(time.perf_counter() - begin)
            try:
                return reply[: len(reply) - len(end)].decode("ascii").rstrip("\r")
            except UnicodeDecodeError as exc:
                raise ReplyError(f"{self.where}: the reply to {command!r} is no text: {reply[:60]!r}") from exc

    def _bytes(self, count: int) -> bytes:
        """Read so many bytes, whatever they are."""
        data: bytes = self._resource.read_bytes(count, break_on_termchar=False) if count else b""
        return data

    @contextlib.contextmanager
    def _in_step(self) -> Iterator[Any]:
        """Hold the conversation for one transaction, in step."""
        with self._lock:
            if self._behind:
                self.resync()
            resource = self._standing()
            with self._errors(""):
                yield resource

    @contextlib.contextmanager
    def _errors(self, command: str) -> Iterator[None]:
        """Turn what VISA and the operating system raise into errors of a driver."""
        asked = f" to {command!r}" if command else ""
        try:
            yield
        except ReplyError:
            self._behind = True
            self._watch.failed()
            raise
        except VisaIOError as exc:
            self._watch.failed()
            if exc.error_code == constants.StatusCode.error_timeout and not self._hung_up():
                self._behind = True
                raise ReplyLateError(f"{self.where}: no reply{asked} within {self.wire.timeout_s:g} s.") from exc
            self.close()
            raise LinkLostError(f"{self.where}: the link broke ({_said(exc)}). Its state is unknown.") from exc
        except _BROKEN as exc:
            self._watch.failed()
            self.close()
            raise LinkLostError(f"{self.where}: the link broke ({_said(exc)}). Its state is unknown.") from exc

    def _standing(self) -> Any:
        if self._resource is None:
            raise LinkLostError(f"{self.where}: there is no link. Open it first.")
        return self._resource

    def _opened(self) -> Any:
        """Open the resource, with both ends of a line set and no waiting for more to send."""
        wire = self.wire
        try:
            manager = pyvisa.ResourceManager(wire.visa)
        except (ValueError, OSError) as exc:
            raise AddressError(f"{self.where}: the VISA library {wire.visa!r} cannot be used: {_said(exc)}") from exc
        options: dict[str, Any] = {"baud_rate": wire.baud_rate} if wire.address.upper().startswith("ASRL") else {}
        timeout_ms = round(1000 * wire.timeout_s)
        try:
            resource: Any = manager.open_resource(
                wire.address, open_timeout=timeout_ms, timeout=timeout_ms, read_termination=wire.read_end,
                write_termination=wire.write_end, **options,
            )  # fmt: skip
        except Exception as exc:  # pyvisa-py raises bare exceptions here
            raise AddressError(f"{self.where}: it cannot be opened: {_said(exc)}. Is it switched on and connected?") from exc
        line = self._socket_of(resource)
        if line is not None:
            if refused := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                resource.close()
                raise AddressError(
                    f"{self.where}: it refuses the connection (error {refused}). Is it switched on, the port right?"
                )
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            with contextlib.suppress(Exception):  # not every library and not every kind of link has it
                resource.set_visa_attribute(constants.ResourceAttribute.tcpip_nodelay, True)
        if wire.wakes_s:
            time.sleep(wire.wakes_s)
        return resource

    @staticmethod
    def _socket_of(resource: Any) -> socket.socket | None:
        """Get the socket of a resource of pyvisa-py; None of any other."""
        sessions = getattr(resource.visalib, "sessions", None)
        line = getattr(sessions[resource.session], "interface", None) if sessions is not None else None
        return line if isinstance(line, socket.socket) else None

    def _hung_up(self) -> bool:
        """Tell whether the other end has closed the link: pyvisa-py takes that for silence."""
        line = self._socket_of(self._resource)
        if line is None:
            return False
        try:
            line.setblocking(False)
            return line.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            with contextlib.suppress(OSError):
                line.setblocking(True)

    def _drain(self) -> None:
        """Throw away what comes until nothing does for a moment."""
        resource = self._standing()
        with resource.ignore_warning(constants.StatusCode.success_device_not_present):
            before = resource.timeout
            resource.timeout = round(1000 * QUIET_S)
            try:
                for _ in range(STALE_REPLIES):
                    resource.read_raw()
            except VisaIOError as exc:
                if exc.error_code != constants.StatusCode.error_timeout:
                    raise
            except _BROKEN as exc:
                self.close()
                raise LinkLostError(f"{self.where}: the link broke ({_said(exc)}). Its state is unknown.") from exc
            finally:
                with contextlib.suppress(VisaIOError, *_BROKEN):
                    resource.timeout = before


def numbers(reply: str, count: int, where: str) -> Array:
    """Read the numbers of a reply that has them with commas between, shape (count,).

    Raises:
        ReplyError: another count, something that is no number, or not finite: 9.9E37 and the like mean overload.
    """
    fields = reply.split(",") if reply.strip() else []
    if len(fields) != count:
        raise ReplyError(f"{where}: {len(fields)} numbers came, {count} were asked for")
    try:
        values = np.array([float(field) for field in fields])
    except ValueError:
        raise ReplyError(f"{where}: the reply has something that is no number: {reply[:60]!r}") from None
    return values


def _said(exc: BaseException) -> str:
    text = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {text[0][:160]}" if text else type(exc).__name__
