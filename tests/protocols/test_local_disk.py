"""Whether a folder can keep a run: what is said of a disk without room."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from aeqlab.protocols import local_disk
from aeqlab.protocols.errors import RecordError


def test_a_disk_without_room_says_how_much_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=3_100_000))
    with pytest.raises(RecordError, match=r"3\.1 MB left; a run wants 8 MB at least\. Make room"):
        local_disk.check_runs_folder(tmp_path)
    with pytest.raises(RecordError, match=r"wants 8 MB at least, and this one may write 40 MB\."):
        local_disk.check_runs_folder(tmp_path, needed_bytes=40_000_000)
