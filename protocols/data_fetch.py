"""Fetching the files of a data set: from mirrors over HTTP, going on where a transfer broke off, or from a folder.

What comes is written beside the file, to NAME.part, and takes its place only when its SHA-256 is right. A part is kept whatever
ends a transfer, so the next one asks for the rest alone. A file that is there already is touched by nothing but a right one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from aeqlab.protocols.data_sets import CHUNK, KnownFile, KnownSet, look_at
from aeqlab.protocols.errors import DataError, FetchError, RecordError
from aeqlab.protocols.images import file_of_images
from aeqlab.protocols.run_folder import is_disk_full
from aeqlab.protocols.run_inputs import sha256_of
from aeqlab.protocols.run_lock import RunLock

TIMEOUT_S = 30.0  #: a server that is silent for so long is given up
GOES = 5  #: how often one address is asked to go on after a transfer that brought something and broke off
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

#: Told of the progress: the file's name, bytes there, bytes in all.
OnBytes = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was done for one file: `there` already, `fetched` whole, or `resumed`; where it is, and from where it came."""

    file: KnownFile
    path: Path
    how: str
    source: str = ""


class _MirrorError(Exception):
    """This address cannot give the file; the message says why. The next one may."""


class _BrokenOffError(Exception):
    """The transfer ended early; asking for the rest may help.

    `came` is the number of bytes it brought, `anew` whether they stand at the beginning of the part.
    """

    def __init__(self, message: str, came: int, anew: bool) -> None:
        super().__init__(message)
        self.came, self.anew = came, anew


class _NotThereError(_MirrorError):
    """The server says that there is no such file."""


def fetch(
    data: KnownSet,
    folder: Path,
    *,
    source: str | None = None,
    on_bytes: OnBytes = lambda name, done, total: None,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[Fetched]:
    """Fetch the files of a data set that are not there yet or damaged, one after the other.

    Args:
        data: which.
        folder: where they belong.
        source: a folder or an http address that offers them, itself or in a folder with the set's name; None for the mirrors.
        on_bytes: called as bytes come.
        timeout_s: silence of a server after which it is given up, in s.
    Yields:
        What was done, file by file.
    Raises:
        DataError: the source is neither an address nor a folder.
        FetchError: a file could not be had, or not be written; says why. What came is kept and may be gone on with.
    """
    places = _places(data, source)
    wanted = []
    for file in data.files:
        there = file_of_images(folder, file.stem)
        if there is not None and look_at(file, there).state == "good":
            yield Fetched(file, there, "there")
        else:
            wanted.append(file)
    if not wanted:
        return  # nothing to write: the folder may be one that only others may write to
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unwritable(folder, exc) from exc
    lock = RunLock(folder / ".fetch.lock")
    try:
        lock.take()
    except RecordError as exc:
        raise FetchError(str(exc)) from exc
    try:
        for file in wanted:
            yield _one(file, folder, places, on_bytes, timeout_s)
    finally:
        lock.release()


def part_of(path: Path) -> Path:
    """Get the file beside `path` that takes what comes."""
    return path.with_name(f"{path.name}.part")


def _one(file: KnownFile, folder: Path, places: list[list[str | Path]], on_bytes: OnBytes, timeout_s: float) -> Fetched:
    """Get one file from the first place that has it; each place comes with the folders that may be meant by it."""
    before = file_of_images(folder, file.stem)
    target = folder / file.name
    whys = []
    for alternatives in places:
        for place in alternatives:
            where = f"{place}{file.name}" if isinstance(place, str) else str(place)
            try:
                if isinstance(place, str):
                    resumed = _download(file, where, target, on_bytes, timeout_s)
                else:
                    target, resumed = _copy(file, place, folder, on_bytes), False
            except _NotThereError as exc:
                whys.append(f"{where}: {exc}")
                continue
            except _MirrorError as exc:
                whys.append(f"{where}: {exc}")
                break
            _put_aside(before, target)
            return Fetched(file, target, "resumed" if resumed else "fetched", where)
    have = _size(part_of(target))
    kept = f" {have:,} of {file.size:,} bytes are kept beside it: fetch again to go on." if have else ""
    raise FetchError(f"{target} could not be fetched. {'; '.join(whys)}.{kept} --from names another address or folder.")


def _put_aside(before: Path | None, target: Path) -> None:
    """Rename a damaged file of another name, such as an unpacked one, which would be found before the good one."""
    if before is not None and before != target:
        with contextlib.suppress(OSError):
            before.replace(before.with_name(f"{before.name}.damaged"))


def _places(data: KnownSet, source: str | None) -> list[list[str | Path]]:
    """List the places to look in, each with the folders that may be meant by it."""
    if source is None:
        return [[mirror] for mirror in data.mirrors]
    if re.match(r"https?://[^/]", source, re.IGNORECASE):
        address = source if source.endswith("/") else f"{source}/"
        return [[f"{address}{data.name}/", address]]
    if "://" in source:
        raise DataError(f"--from {source}: an address begins with http:// or https://; anything else is a folder.")
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise DataError(f"--from {source}: no such folder, and not an address that begins with http:// or https://.")
    return [[folder / data.name, folder]]


# over HTTP


def _download(file: KnownFile, url: str, target: Path, on_bytes: OnBytes, timeout_s: float) -> bool:
    """Get a file from one address; returns whether it went on from what an earlier transfer had left."""
    part = part_of(target)
    resumed = _size(part) > 0
    why = ""
    for _ in range(GOES):
        have = _size(part)
        if have > file.size:
            _discard(part)
            have, resumed = 0, False
        if have < file.size:
            try:
                anew = _transfer(file, url, part, on_bytes, timeout_s)
            except _BrokenOffError as exc:
                why = str(exc)
                resumed = resumed and not exc.anew
                if not exc.came:
                    break
                continue
            resumed = resumed and not anew
        found = sha256_of(part)
        if found == file.sha256:
            _into_place(part, target)
            return resumed
        _discard(part)
        why = f"what came is another file: its SHA-256 is {found}, expected {file.sha256}"
        if not resumed:
            break
        resumed = False  # what was there before may be of another file: once more from the start
    raise _MirrorError(why)


def _transfer(file: KnownFile, url: str, part: Path, on_bytes: OnBytes, timeout_s: float) -> bool:
    """Ask for what is missing of a part and write it down; returns whether the server began anew.

    Raises:
        _BrokenOffError: it ended early; the part holds what came.
        _MirrorError: the server does not have this file.
        FetchError: it cannot be written.
    """
    have = _size(part)
    _see_that_there_is_room(part, file.size - have)
    with _opened(url, _headers(url, part, have), have, timeout_s) as response:
        if response.status == 416:  # the server's file is not longer than what is there, so that is of another file
            _discard(part)
            raise _MirrorError(f"it has no more than the {have:,} bytes that are there, and {file.size:,} are expected")
        anew = _begins_anew(response, file, have)
        done = start = 0 if anew else have
        with _writable(part, "wb" if anew else "ab") as out:
            if anew:
                _note(part, url, response.headers.get("ETag", ""))
            while done < file.size:
                try:
                    chunk = response.read1(min(CHUNK, file.size - done))
                except (OSError, http.client.HTTPException) as exc:
                    why = f"{_why(exc, timeout_s)}, after {done:,} of {file.size:,} bytes"
                    raise _BrokenOffError(why, done - start, anew) from exc
                if not chunk:
                    why = f"the connection ended after {done:,} of {file.size:,} bytes"
                    raise _BrokenOffError(why, done - start, anew)
                _write(out, part, chunk)
                done += len(chunk)
                on_bytes(file.name, done, file.size)
    return anew


def _opened(url: str, headers: dict[str, str], have: int, timeout_s: float) -> Any:
    """Send a request; returns the response, also that of a server which has nothing beyond `have`."""
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as exc:
        if exc.code == 416 and have:
            return exc
        with exc:
            if exc.code in (403, 404, 410):  # a store that is not to be listed says 403 of what it does not have
                raise _NotThereError(f"it is not there ({exc.code} {exc.reason})") from exc
            raise _MirrorError(f"the server answered {exc.code} {exc.reason}") from exc
    except urllib.error.URLError as exc:
        reason = exc.reason if isinstance(exc.reason, Exception) else exc
        raise _MirrorError(_why(reason, timeout_s)) from exc
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise _MirrorError(_why(exc, timeout_s)) from exc


def _headers(url: str, part: Path, have: int) -> dict[str, str]:
    headers = {"User-Agent": "aeqlab", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        noted = _noted(part)
        if noted.get("url") == url and noted.get("etag"):
            headers["If-Range"] = noted["etag"]
    return headers


def _begins_anew(response: Any, file: KnownFile, have: int) -> bool:
    """See what a response holds: the rest that was asked for, or the whole file from a server that does not know ranges."""
    if response.status == 206 and have:
        said = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if said is None or int(said[1]) != have:
            raise _MirrorError(f"the server sent other bytes than those asked for, from {have:,} on")
        if said[3] != "*" and int(said[3]) != file.size:
            raise _MirrorError(f"its file has {int(said[3]):,} bytes, {file.size:,} are expected: another file")
        return False
    if response.status != 200:
        raise _MirrorError(f"the server answered {response.status} {response.reason}")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) != file.size:
        raise _MirrorError(f"its file has {int(length):,} bytes, {file.size:,} are expected: another file")
    return True


def _why(exc: BaseException, timeout_s: float) -> str:
    """Say in words what a connection failed of."""
    match exc:
        case socket.gaierror():
            return "the name of the server cannot be found (no network?)"
        case TimeoutError():
            return f"the server was silent for {timeout_s:g} s"
        case ConnectionRefusedError():
            return "nothing answers there"
        case ssl.SSLCertVerificationError():
            return f"the certificate of the server is not trusted ({exc.verify_message})"
        case ConnectionError():
            return "the connection was cut"
        case OSError():
            return f"it cannot be reached ({exc.strerror or exc})"
        case _:
            return f"the answer of the server cannot be understood ({type(exc).__name__})"


# from a folder


def _copy(file: KnownFile, place: Path, folder: Path, on_bytes: OnBytes) -> Path:
    """Copy a file from a folder if it is the right one; returns where it is now, under the name that it has there."""
    origin = file_of_images(place, file.stem)
    if origin is None:
        raise _NotThereError(f"{file.name} is not there")
    found = look_at(file, origin)
    if found.state != "good":
        raise _MirrorError(f"{origin.name} is another file: {found.detail}")
    target = folder / origin.name
    part = part_of(target)
    size = origin.stat().st_size
    _discard(part)
    _see_that_there_is_room(part, size)
    with origin.open("rb") as source, _writable(part, "wb") as out:
        while chunk := source.read(CHUNK):
            _write(out, part, chunk)
            on_bytes(target.name, out.tell(), size)
    if sha256_of(part) != sha256_of(origin):
        _discard(part)
        raise FetchError(f"{target}: what was written is not what was read from {origin}. Is the disk in order?")
    _into_place(part, target)
    return target


# the part


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0


def _writable(part: Path, mode: str) -> IO[bytes]:
    """Open a part, unbuffered: what was written is there whatever happens next."""
    try:
        return cast("IO[bytes]", part.open(mode, buffering=0))
    except OSError as exc:
        raise _unwritable(part, exc) from exc


def _write(out: IO[bytes], part: Path, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[out.write(rest) :]
    except OSError as exc:
        raise _unwritable(part, exc) from exc


def _into_place(part: Path, target: Path) -> None:
    """Let a part that is right take the place of the file, so that a reader finds the old one or the new one."""
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as exc:
        raise _unwritable(target, exc) from exc
    _note_of(part).unlink(missing_ok=True)


def _discard(part: Path) -> None:
    for path in (part, _note_of(part)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _note_of(part: Path) -> Path:
    """Get the file that notes where a part comes from and which version of the file it is of."""
    return part.with_name(f"{part.name}.json")


def _note(part: Path, url: str, etag: str) -> None:
    strong = etag if etag.startswith('"') else ""  # a weak one does not promise the same bytes
    try:
        _note_of(part).write_text(json.dumps({"url": url, "etag": strong}), encoding="utf-8")
    except OSError as exc:
        raise _unwritable(_note_of(part), exc) from exc


def _noted(part: Path) -> dict[str, str]:
    try:
        note = json.loads(_note_of(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in note.items() if isinstance(value, str)} if isinstance(note, dict) else {}


def _see_that_there_is_room(part: Path, size: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < size:
        raise FetchError(f"{part.parent}: {size:,} bytes more are needed, {free:,} are free. Make room and fetch again.")


def _unwritable(path: Path, exc: OSError) -> FetchError:
    if is_disk_full(exc):
        return FetchError(f"{path}: the disk is full. What came is kept; make room and fetch again to go on.")
    return FetchError(f"{path} cannot be written: {exc.strerror or exc}. AEQLAB_DATA names the folder for data.")
