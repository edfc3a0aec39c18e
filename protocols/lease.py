"""Leases: one owner per instrument address, by a file lock that vanishes with the process that holds it.

The lock is the operating system's, so a killed holder never leaves one behind; a small file beside it says who holds it, for
the sentence in which a second session is refused. Everything lies in the user's state folder (`AEQLAB_STATE` overrides it).
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from aeqlab.protocols.errors import NotAllowedError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes], *, look: bool = False) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes], *, look: bool = False) -> bool:
        """Lock it; who only looks does so together with others who look, or each would take another one for a holder."""
        try:
            fcntl.flock(file.fileno(), (fcntl.LOCK_SH if look else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def state_folder() -> Path:
    """Get the folder of leases and of what sessions leave behind; made if it is not there.

    Raises:
        NotAllowedError: it cannot be made.
    """
    named = os.environ.get("AEQLAB_STATE")
    if named:
        folder = Path(named)
    else:
        import platformdirs

        folder = Path(platformdirs.user_state_dir("aeqlab", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise NotAllowedError(
            f"{folder}: the folder of leases cannot be made: {exc.strerror}. Set AEQLAB_STATE to a folder that can be written to."
        ) from exc
    return folder


def no_room(exc: OSError, folder: Path) -> str:
    """Say that a session cannot keep its files: where, why, and what to do.

    Args:
        exc: what the operating system said.
        folder: the session folder.
    """
    named = os.environ.get("AEQLAB_STATE")
    where = exc.filename or folder
    state = f"the state folder {named}" if named else "the user's state folder"
    return (
        f"{where}: {exc.strerror or exc}. A session keeps its files in {folder} and in {state}: make room there, or set "
        "AEQLAB_STATE to another folder that can be written to."
    )


def slug(address: str) -> str:
    """Make a file name of an address: readable, and different for different addresses."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", address).strip("-.")[:60] or "device"
    return f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:10]}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: address, process, user, since when (seconds since 1970), session folder, and as what."""

    address: str
    pid: int
    user: str
    since: float
    folder: str
    what: str = "session"

    def sentence(self) -> str:
        """Say it for a person."""
        since = datetime.fromtimestamp(self.since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"{self.what} of {self.user}, process {self.pid}, since {since}, folder {self.folder}"


class Lease:
    """A lease that is held until `release`, or until this process ends in whatever way."""

    def __init__(self, holder: Holder, file: IO[bytes], beside: Path) -> None:
        self.holder = holder
        self._file: IO[bytes] | None = file
        self._beside = beside

    def release(self) -> None:
        """Give the lease back. May be called twice."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._beside.unlink(missing_ok=True)
            _let_go(self._file, self._beside.with_suffix(".lock"))
            self._file = None

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def acquire(address: str, folder: str, what: str = "session", wait_s: float = 0.1, *, must_be_named: bool = True) -> Lease:
    """Take the lease of an address for this process.

    Args:
        address: the instrument's address and serial number.
        folder: session folder, told to whoever is refused.
        what: as what it is held.
        wait_s: how long to wait for it (a look by `holder_of` takes it for an instant).
        must_be_named: a name that cannot be written, as on a full disk, is an error; otherwise the lease is held without it.
    Raises:
        NotAllowedError: someone else holds it; the message names them.
        OSError: its files cannot be written.
    """
    path = state_folder() / f"{slug(address)}.lock"
    beside = path.with_suffix(".holder")
    until = time.monotonic() + wait_s
    while (file := _locked(path)) is None:
        if time.monotonic() >= until:
            held = _read(beside)
            by = held.sentence() if held else "another process"
            raise NotAllowedError(f"{address} belongs to another: {by}. Attach to that session, or end it first.")
        time.sleep(0.02)
    with contextlib.suppress(OSError):
        beside.unlink(missing_ok=True)  # first of all: a holder that was killed would be taken for this one
    holder = Holder(address, os.getpid(), _user(), time.time(), folder, what)
    lease = Lease(holder, file, beside)
    try:
        _write_name(beside, holder)
    except OSError:
        if must_be_named:
            lease.release()
            raise
    return lease


@contextlib.contextmanager
def held_for_safety(address: str, folder: str, what: str, wait_s: float) -> Iterator[str]:
    """Hold the lease of an address while its device is made safe, which no file that cannot be written may prevent.

    Args:
        address, folder, what, wait_s: as for `acquire`.
    Yields:
        Why the lease is not held, if it cannot be; empty if it is.
    Raises:
        NotAllowedError: someone else holds it, and is the one to ask.
    """
    lease, why = None, ""
    try:
        lease = acquire(address, folder, what, wait_s, must_be_named=False)
    except OSError as exc:
        why = str(exc)
    except NotAllowedError as exc:
        if not isinstance(exc.__cause__, OSError):  # the state folder itself cannot be made
            raise
        why = str(exc)
    try:
        yield why
    finally:
        if lease is not None:
            lease.release()


@contextlib.contextmanager
def held_for_a_moment(path: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs, if nobody has it; whether it is ours. The file is gone afterwards."""
    file = _locked(path)
    try:
        yield file is not None
    finally:
        if file is not None:
            _let_go(file, path)


def holder_of(address: str) -> Holder | None:
    """Get who holds the lease of an address now; None if it is free."""
    return _holder(state_folder() / f"{slug(address)}.lock", address)


def last_holder(beside: Path) -> tuple[Holder | None, bool]:
    """Get whoever held the lease last that goes with a file of the same name, and whether it is held now.

    The name of whoever was killed stays until the next owner; whoever let go of it is known no more.
    """
    named = _read(beside.with_suffix(".holder"))
    return named, _holder(beside.with_suffix(".lock"), "") is not None


def _holder(path: Path, address: str) -> Holder | None:
    try:
        with path.open("r+b") as file:
            if _lock(file, look=True):  # free: the lock goes again with the file
                return None
    except FileNotFoundError:
        return None
    return _read(path.with_suffix(".holder")) or Holder(address, 0, "unknown", 0.0, "unknown")


def _locked(path: Path) -> IO[bytes] | None:
    """Open and lock a file; None where someone else has it.

    Whoever lets go of a lock removes its file. Who was waiting for that file holds a lock that nobody else would look for, so it
    counts only if the file still stands where it was opened.
    """
    while True:
        file = path.open("ab")
        if not _lock(file):
            file.close()
            return None
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _write_name(beside: Path, holder: Holder) -> None:
    new = beside.with_suffix(f".holder-{os.getpid()}")
    try:
        new.write_text(json.dumps(asdict(holder)), encoding="utf-8")
        new.replace(beside)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _let_go(file: IO[bytes], path: Path) -> None:
    """Give a lock up and remove its file while it is held; Windows removes no open file, and none that others have open."""
    if sys.platform == "win32":
        file.close()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    file.close()  # closing gives up the lock


def _read(path: Path) -> Holder | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
