"""Standard streams of the program that never raise: where they are closed, full or unread, what they get is left away.

What a command did does not depend on whether someone could read of it; `broken` says why a stream could not be written.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class _Bytes(io.FileIO):
    """A file descriptor whose `write` never raises."""

    failed: OSError | None = None

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]  # None: it would block, as RawIOBase says
        if self.failed is None:
            try:
                return super().write(data)
            except OSError as exc:
                self.failed = exc
        return memoryview(data).nbytes


def mend_streams() -> None:
    """Put streams in place that do not raise. A closed one becomes the null device, so that no file of ours gets its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # gets the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as the program
    sys.stdout, sys.stderr = _mended(sys.stdout, 1), _mended(sys.stderr, 2)


def broken(stream: Any) -> str:
    """Flush a stream and say why it could not be written; empty where it could, or where its reader just went away."""
    with suppress(OSError, ValueError):
        stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    failed = raw.failed if isinstance(raw, _Bytes) else None
    if failed is None or failed.errno == errno.EPIPE:
        return ""
    return failed.strerror or str(failed)


def _mended(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None and not isinstance(stream, io.TextIOWrapper):
        return stream  # somebody put their own there
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    raw = _Bytes(number, "w", closefd=False)
    unbuffered = stream is not None and stream.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="replace",  # a terminal that has no such letter shows a question mark
        line_buffering=number == 2 or raw.isatty(),
        write_through=unbuffered,
    )
