"""Files in the idx format (the one of MNIST), plain or gzipped: header and contents, each fault told in a sentence."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.errors import DataError

#: Largest contents this reader takes, in bytes; the training images of MNIST are 47 million.
MAX_BYTES = 2**31
_UNSIGNED_BYTE = 0x08
_AGAIN = "Copy or download it again."


@dataclass(frozen=True, slots=True)
class IdxHeader:
    """Shape of the array of unsigned bytes in an idx file; the first number counts the samples."""

    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Number of bytes that must follow the header."""
        return math.prod(self.shape)


def idx_header(path: Path, dimensions: int) -> IdxHeader:
    """Read only the header of an idx file of unsigned bytes; one whose size does not fit it is read whole.

    Args:
        path: the file, plain or gzipped (told apart by its first bytes, not by its name).
        dimensions: number of dimensions it must have: 3 for images, 1 for labels.
    Raises:
        DataError: it is missing, cannot be read, or is not such a file.
    """
    try:
        with path.open("rb") as file:
            stream = _opened(file)
            header = _header(path, stream, dimensions)
        if not _whole(path, header, isinstance(stream, gzip.GzipFile)):
            read_idx(path, dimensions)  # says what is wrong; a gzip file of several parts may be whole all the same
    except _READ_ERRORS as exc:
        raise _unreadable(path, exc) from exc
    return header


def _whole(path: Path, header: IdxHeader, gzipped: bool) -> bool:
    """Tell from its size alone whether a file looks whole: the length of the file, or the one that gzip notes at its end."""
    head = 4 + 4 * len(header.shape)
    with path.open("rb") as file:
        end = file.seek(-4, io.SEEK_END) + 4
        noted = int.from_bytes(file.read(4), "little")
    return noted == (head + header.bytes) % 2**32 if gzipped else end == head + header.bytes


def read_idx(path: Path, dimensions: int) -> tuple[NDArray[np.uint8], str]:
    """Read an idx file of unsigned bytes whole.

    Returns:
        The array, and the SHA-256 of the file.
    Raises:
        DataError: it is missing, damaged, truncated, or holds more or less than its header says.
    """
    try:
        raw = path.read_bytes()
        stream = _opened(io.BytesIO(raw))
        header = _header(path, stream, dimensions)
        body = stream.read(header.bytes + 1)
        if len(body) < header.bytes:
            raise DataError(f"{path}: truncated: {header.bytes} bytes should follow the header, {len(body)} are there. {_AGAIN}")
        if len(body) > header.bytes:
            raise DataError(f"{path}: damaged: more bytes follow than the {header.bytes} of its header. {_AGAIN}")
    except _READ_ERRORS as exc:
        raise _unreadable(path, exc) from exc
    return np.frombuffer(body, np.uint8).reshape(header.shape), hashlib.sha256(raw).hexdigest()


_READ_ERRORS = (OSError, EOFError, zlib.error)


def _opened(file: IO[bytes]) -> Any:
    gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if gzipped else file


def _header(path: Path, stream: Any, dimensions: int) -> IdxHeader:
    head = stream.read(4)
    if len(head) < 4:
        raise DataError(f"{path}: truncated: an idx file begins with 4 bytes, {len(head)} are there. {_AGAIN}")
    if head[:2] != b"\0\0":
        raise DataError(f"{path}: not an idx file: it begins with {head.hex(' ')}, an idx file with 00 00. Is it another file?")
    if head[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path}: numbers of idx type 0x{head[2]:02x}, unsigned bytes (0x08) are needed. Is it another file?")
    if head[3] != dimensions:
        raise DataError(
            f"{path}: an array of {head[3]} dimensions, where {dimensions} are needed (images have 3, labels 1). "
            "Were images and labels exchanged?"
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path}: truncated within its header. {_AGAIN}")
    header = IdxHeader(tuple(int.from_bytes(sizes[4 * i : 4 * i + 4], "big") for i in range(dimensions)))
    if header.bytes > MAX_BYTES:
        raise DataError(f"{path}: damaged: its header asks for {header.bytes} bytes, more than {MAX_BYTES}. {_AGAIN}")
    if not header.bytes:
        raise DataError(f"{path}: its header says {' x '.join(map(str, header.shape))}: nothing is in it. Is it another file?")
    return header


def _unreadable(path: Path, exc: BaseException) -> DataError:
    if isinstance(exc, FileNotFoundError):
        return DataError(f"{path}: no such file.")
    if isinstance(exc, EOFError):
        return DataError(f"{path}: truncated: the compressed data ends too early. {_AGAIN}")
    if isinstance(exc, gzip.BadGzipFile | zlib.error):
        return DataError(f"{path}: damaged: {exc}. {_AGAIN}")
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
    return DataError(f"{path}: cannot be read: {reason}.")
