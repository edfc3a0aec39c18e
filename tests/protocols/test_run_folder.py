"""Run folders: names, where they may lie, who works in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aeqlab.protocols import run_lock
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.local_disk import _from_mounts, check_runs_folder, synced_by
from aeqlab.protocols.run_folder import RunFolder, find_run, is_alive, slug

_HOLD = "import sys; from aeqlab.protocols.run_lock import RunLock; from pathlib import Path; "
_HOLD += "RunLock(Path(sys.argv[1])).take(); print('held', flush=True); sys.stdin.read()"


def test_a_folder_is_named_by_time_and_experiment(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "runs", "Linear Regression / β = 0.1")
    stamp, time_, *name, mark = folder.path.name.split("-")
    assert (len(stamp), len(time_), len(mark)) == (8, 6, 4)
    assert "-".join(name) == "linear-regression-0-1"
    assert folder.inputs.is_dir()
    assert folder.checkpoints.is_dir()
    folder.release()
    assert {path.name for path in folder.path.iterdir()} == {"inputs", "checkpoints", ".lock"}


@pytest.mark.parametrize(("name", "made"), [("", "run"), ("...", "run"), ("A b", "a-b"), ("x" * 90, "x" * 40)])
def test_any_name_makes_a_folder_name(name: str, made: str) -> None:
    assert slug(name) == made


def test_a_folder_in_use_is_refused_by_the_name_of_its_holder(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "one")
    folder.record.touch()
    folder.release()
    assert not is_alive(folder.path)
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder.path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline().strip() == b"held"
    assert is_alive(folder.path)
    with pytest.raises(RecordError, match=rf"in use by process {other.pid} on .*Wait for it to end, or stop it"):
        RunFolder.take(folder.path)
    other.kill()  # the system takes the lock back, whatever the file says
    other.communicate()
    assert not is_alive(folder.path)
    RunFolder.take(folder.path).release()


@pytest.mark.skipif(sys.platform == "win32", reason="whoever looks holds it for an instant there")
def test_two_may_look_at_once_who_works_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.create(tmp_path, "one")
    folder.release()
    real, meanwhile = run_lock._unlock, []

    def unlock(handle: int) -> None:
        monkeypatch.setattr(run_lock, "_unlock", real)
        meanwhile.append(is_alive(folder.path))
        real(handle)

    monkeypatch.setattr(run_lock, "_unlock", unlock)
    assert not is_alive(folder.path)
    assert meanwhile == [False]


def test_what_is_no_run_folder_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no record\.sqlite"):
        RunFolder.take(tmp_path)


def test_a_file_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RecordError, match="is a file"):
        RunFolder.create(tmp_path / "runs", "x")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that nobody can write, as /proc is")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"cannot be written.*--runs"):
        RunFolder.create(Path("/proc/self/runs"), "x")
    if os.geteuid() != 0:  # root may write anywhere
        tmp_path.chmod(0o500)
        with pytest.raises(RecordError, match=r"cannot be written.*--runs"):
            RunFolder.create(tmp_path / "runs", "x")


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home/ada/runs", None), ("/net/data/runs", "nfs4"), ("/net/data/local/runs", None), ("/mnt/my share/x", "cifs"),
     ("/run/user/1/gvfs/x", "fuse.gvfsd-fuse")],
)  # fmt: skip
def test_network_file_systems_are_told_by_the_table_of_mounts(tmp_path: Path, folder: str, kind: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\nserver:/x /net/data nfs4 rw 0 0\n/dev/vdb /net/data/local xfs rw 0 0\n"
        "//server/share /mnt/my\\040share cifs rw 0 0\ngvfsd-fuse /run/user/1/gvfs fuse.gvfsd-fuse rw 0 0\n"
    )
    assert _from_mounts(Path(folder), mounts) == kind


@pytest.mark.parametrize(
    ("part", "name"),
    [("Dropbox", "Dropbox"), ("OneDrive - A University", "OneDrive"), ("Nextcloud", "Nextcloud"), ("data", None)],
)
def test_synced_folders_are_told_by_their_names(tmp_path: Path, part: str, name: str | None) -> None:
    assert synced_by(tmp_path / part / "runs") == name
    if name:
        with pytest.raises(RecordError, match=rf"kept in step by {name}.*--runs"):
            check_runs_folder(tmp_path / part / "runs")


def test_a_folder_with_a_mark_of_a_sync_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".stfolder").mkdir()
    assert synced_by(tmp_path / "runs") == "Syncthing"


def test_a_disk_nearly_full_is_a_warning(tmp_path: Path) -> None:
    disk = check_runs_folder(tmp_path, needed_bytes=10**18)
    assert "nearly full" in disk.warnings[0]
    assert disk.free_bytes > 0


def test_a_run_is_found_by_less_than_its_name(tmp_path: Path) -> None:
    names = ["20260101-000000-lin-abcd", "20260102-000000-lin-efgh", "20260103-000000-net-abcd"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.sqlite").touch()
    assert find_run(names[0], tmp_path).name == names[0]
    assert find_run("efgh", tmp_path).name == names[1]
    assert find_run("last", tmp_path).name == names[2]
    assert find_run(str(tmp_path / names[0]), tmp_path / "elsewhere").name == names[0]
    with pytest.raises(RecordError, match="may be"):
        find_run("abcd", tmp_path)
    with pytest.raises(RecordError, match="last one there is 20260103"):
        find_run("zzzz", tmp_path)
