"""What a plant and its client say to each other: trees of `wire` over a loopback connection, and where to find each other.

    request   [number, operation, payload]
    reply     [number, "ok", payload] or [number, "error", [class, sentence]]; an empty message says "still at it"

In the plant's folder: `plant.json` (address, process, seed), `plant-settings.json`, `plant.key` (readable by its owner alone;
both sides prove that they know it), `plant.log`, `journal/`.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends import errors
from aeqlab.backends.device import Flag
from aeqlab.backends.errors import BackendError, WireError
from aeqlab.backends.plant import Order, Reading

Array = NDArray[np.float64]

ADDRESS_FILE, SETTINGS_FILE, KEY_FILE, LOG_FILE, JOURNAL_FOLDER = (
    "plant.json",
    "plant-settings.json",
    "plant.key",
    "plant.log",
    "journal",
)
#: Silence after which the other side counts as gone, in s of the wall; a busy one says so more often than that.
PATIENCE_S = 1.5
BEAT_S = 0.4
STILL_AT_IT = b""


def pack_order(order: Order) -> Array:
    """Write an order as one row of numbers: seconds, beta (nan: unchanged), which of the rows follow, and those."""
    given = (order.inputs, order.controls, order.targets)
    mask = sum(1 << i for i, part in enumerate(given) if part is not None)
    head = np.array([order.seconds, math.nan if order.beta is None else order.beta, mask])
    return np.concatenate([head, *(part for part in given if part is not None)])


def unpack_order(row: Any, sizes: tuple[int, int, int]) -> Order:
    """Read what `pack_order` wrote.

    Raises:
        WireError: it is something else.
    """
    if not isinstance(row, np.ndarray) or row.dtype != np.float64 or row.ndim != 1 or len(row) < 3:
        raise WireError("an order must be a row of numbers")
    seconds, beta, mask = row[:3].tolist()
    if mask not in range(8) or not (seconds >= 0 and math.isfinite(seconds)):
        raise WireError(f"an order of {seconds} s with the parts {mask}")
    parts: list[Array | None] = []
    at = 3
    for i, size in enumerate(sizes):
        present = bool(int(mask) >> i & 1)
        parts.append(row[at : at + size].copy() if present else None)
        at += size if present else 0
    if at != len(row):
        raise WireError(f"an order of {len(row)} numbers where {at} are needed")
    return Order(seconds, parts[0], parts[1], parts[2], None if math.isnan(beta) else beta)


def pack_reading(reading: Reading) -> Array:
    """Write a reading as one row of numbers."""
    head = np.array([reading.t, reading.dt, reading.age_s, float(reading.flags)])
    return np.concatenate([head, reading.outputs, reading.parameters, reading.controls])


def unpack_reading(row: Array, outputs: int, parameters: int) -> Reading:
    """Read what `pack_reading` wrote."""
    t, dt, age_s, flags = row[:4].tolist()
    middle = 4 + outputs
    end = middle + parameters
    return Reading(t, dt, row[4:middle], row[middle:end], age_s, Flag(int(flags)), row[end:])


def as_error(name: str, sentence: str) -> BackendError:
    """Make the error that a reply names."""
    found = getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, BackendError):
        return found(sentence)
    return BackendError(sentence)


def tune(connection: Connection, patience_s: float | None) -> None:
    """Send without delay, and (patience_s) give up reading or writing after a silence, with an OSError."""
    with suppress(OSError, AttributeError, ValueError):
        twin = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)  # options belong to both
        try:
            twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if patience_s is not None:
                limit: bytes | int = (
                    int(patience_s * 1000)
                    if sys.platform == "win32"
                    else struct.pack("@ll", int(patience_s), int(patience_s % 1 * 1e6))
                )
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        finally:
            twin.close()


def write_private(path: os.PathLike[str] | str, content: bytes) -> None:
    """Write a file that only its owner may read, at once or not at all."""
    beside = f"{os.fspath(path)}.{os.getpid()}"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
    os.replace(beside, path)  # noqa: PTH105 - both are strings here
