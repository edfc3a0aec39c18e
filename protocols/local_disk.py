"""Whether a folder can keep a run: writable, on a local disk, not synced away, with room left.

The record is an SQLite file in WAL mode, which needs a file system with shared memory between processes; network shares
have none, and programs that sync folders move files away while they are written.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from aeqlab.protocols.errors import RecordError

NEARLY_FULL_BYTES = 500 * 1024 * 1024
TOO_FULL_BYTES = 8 * 1024 * 1024
_NETWORK = {
    "nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "afpfs", "ceph", "coda", "davfs", "gfs2", "glusterfs", "gpfs",
    "lustre", "beegfs", "ncpfs", "9p", "v9fs", "drvfs", "sshfs", "webdav", "ftp",
}  # fmt: skip
_NETWORK_FUSE = (
    "sshfs",
    "rclone",
    "s3fs",
    "gvfsd",
    "gdfs",
    "google-drive",
    "onedrive",
    "davfs",
    "curlftpfs",
    "glusterfs",
    "ceph",
    "smb",
)
_SYNCED = {
    "dropbox": "Dropbox", "onedrive": "OneDrive", "google drive": "Google Drive", "googledrive": "Google Drive",
    "mobile documents": "iCloud Drive", "icloud drive": "iCloud Drive", "iclouddrive": "iCloud Drive",
    "cloudstorage": "a cloud provider", "nextcloud": "Nextcloud", "owncloud": "ownCloud", "box sync": "Box",
    "pclouddrive": "pCloud", "megasync": "MEGA", "seafile": "Seafile", "syncthing": "Syncthing",
}  # fmt: skip
_SYNCED_AT_HOME = {"box": "Box", "mega": "MEGA", "my drive": "Google Drive", "sync": "Syncthing"}
_SYNC_MARKERS = {".stfolder": "Syncthing", ".dropbox": "Dropbox", ".dropbox.cache": "Dropbox", ".owncloudsync.log": "ownCloud"}
_ELSEWHERE = "Choose a folder on a local disk with --runs, and copy finished runs where they should go."


@dataclass(frozen=True, slots=True)
class Disk:
    """What was found of a folder that may keep runs: bytes free, and warnings in sentences."""

    free_bytes: int
    warnings: tuple[str, ...] = ()


def check_runs_folder(folder: Path, *, needed_bytes: int = 0) -> Disk:
    """Check that a folder (which need not exist yet) can keep a run; creates nothing that stays.

    Args:
        folder: where run folders will be made.
        needed_bytes: estimate of what a run will write.
    Raises:
        RecordError: it is no folder, is read-only, on a network, synced, or full; the sentence says which.
    """
    folder = folder.absolute()
    standing = folder
    while not standing.exists() and standing != standing.parent:
        standing = standing.parent
    if not standing.is_dir():
        raise RecordError(f"{standing}: this is a file, so no runs folder can be made at {folder}. {_ELSEWHERE}")
    network = network_file_system(standing)
    if network:
        raise RecordError(f"{folder} is on a network file system ({network}), which cannot keep a record safely. {_ELSEWHERE}")
    synced = synced_by(folder)
    if synced:
        raise RecordError(f"{folder} is kept in step by {synced}, which moves files while they are written. {_ELSEWHERE}")
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as exc:
        raise RecordError(f"{folder} cannot be written: {exc.strerror or exc}. {_ELSEWHERE}") from exc
    return Disk(*_room(standing, needed_bytes))


def free_bytes(folder: Path) -> int:
    """Measure the room left on the disk of a folder, in bytes."""
    return shutil.disk_usage(folder).free


def nearly_full(folder: Path) -> str | None:
    """Say that the disk of a folder is nearly full, where it is."""
    try:
        free = free_bytes(folder)
    except OSError:
        return None
    return f"The disk is nearly full: {free / 1e6:.0f} MB left in {folder}." if free < NEARLY_FULL_BYTES else None


def _room(folder: Path, needed: int) -> tuple[int, tuple[str, ...]]:
    free = free_bytes(folder)
    if free < TOO_FULL_BYTES:
        wanted = f"a run wants {TOO_FULL_BYTES / 1e6:.0f} MB at least"
        if needed > TOO_FULL_BYTES:
            wanted += f", and this one may write {needed / 1e6:.0f} MB"
        raise RecordError(f"{folder}: its disk has {free / 1e6:.1f} MB left; {wanted}. Make room, or choose another with --runs.")
    if free < max(NEARLY_FULL_BYTES, 2 * needed):
        need = f"; this run may write {needed / 1e6:.0f} MB" if needed else ""
        return free, (f"{folder}: the disk is nearly full, {free / 1e6:.0f} MB left{need}.",)
    return free, ()


def synced_by(folder: Path) -> str | None:
    """Name the program that keeps a folder in step with a cloud, by the names of the folders above it; None: none known."""
    resolved = folder.resolve()
    home = Path.home().resolve()
    if resolved.is_relative_to(home) and resolved != home:
        name = _SYNCED_AT_HOME.get(resolved.relative_to(home).parts[0].lower())
        if name:
            return name
    for part in resolved.parts:
        word = part.lower()
        name = _SYNCED.get(word) or _SYNCED.get(word.split(" - ")[0].split(" (")[0])
        if name:
            return name
    for above in (resolved, *resolved.parents):
        for marker, name in _SYNC_MARKERS.items():
            if (above / marker).exists() and above != home:
                return name
    for variable in ("OneDrive", "OneDriveCommercial", "OneDriveConsumer"):
        root = os.environ.get(variable)
        if root and resolved.is_relative_to(Path(root).resolve()):
            return "OneDrive"
    return None


def network_file_system(folder: Path) -> str | None:
    """Name the network file system a folder is on; None where it is local, or the system does not say."""
    if sys.platform == "win32":
        return _windows_remote(folder)
    if sys.platform == "darwin":
        return None  # SQLite itself refuses WAL there, see `record._connect`
    return _from_mounts(folder.resolve(), Path("/proc/mounts"))


def _from_mounts(folder: Path, mounts: Path) -> str | None:
    """Find the file system of a folder in a table of mounts; the longest mount point above it counts, the last of equals."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    kind, longest = "", -1
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = Path(fields[1].encode("ascii", "backslashreplace").decode("unicode_escape"))
        if folder.is_relative_to(point) and len(point.parts) >= longest:
            kind, longest = fields[2], len(point.parts)
    if kind in _NETWORK or (kind.startswith("fuse") and any(word in kind for word in _NETWORK_FUSE)):
        return kind
    return None


def _windows_remote(folder: Path) -> str | None:
    resolved = folder.resolve()
    if str(resolved).startswith("\\\\"):
        return "a network share"
    remote = 4  # DRIVE_REMOTE
    drive_type: int = ctypes.windll.kernel32.GetDriveTypeW(resolved.anchor)  # type: ignore[attr-defined]
    return "a network drive" if drive_type == remote else None
