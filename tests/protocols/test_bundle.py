"""Bundles: complete, checked, readable without aeqlab, and the same bytes each time."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml
from record_helpers import make_record, steps, write_steps
from run_helpers import SMALL, experiment

from aeqlab.protocols import load_run
from aeqlab.protocols.bundle import READER, bundle_runs
from aeqlab.protocols.errors import ExportError, RecordError
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.run import run_experiment


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run whose experiment names a file of its own."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "theta.csv").write_text("\n".join(["0.1"] * 7))
    text = SMALL.replace("  - evaluate: {}", "  - restore: {theta: theta.csv}\n  - evaluate: {}")
    return run_experiment(experiment(folder, text), runs=folder / "runs").folder


def unpacked(file: Path, folder: Path) -> Path:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return folder


def test_everything_is_in_it_and_the_checksums_hold(finished: Path, tmp_path: Path) -> None:
    done = bundle_runs([finished])
    assert done.file == Path(f"{finished.name}.zip")
    assert not done.missing
    out = unpacked(done.file, tmp_path / "out")
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == set(done.names)
    run = {"experiment.yaml", "inputs/theta.csv", "inputs/originals.json", "provenance.json", "record.sqlite"}
    there = {name.removeprefix(f"{finished.name}/") for name in files}
    assert there - {"log.txt"} == run | {"CITATION.cff", "README.txt", "SHA256SUMS", "read_record.py"}
    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == files - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert f"  {finished.name}  60 training steps, seed 5, finished" in (out / "README.txt").read_text()
    citation = yaml.safe_load((out / "CITATION.cff").read_text())
    assert [author["family-names"] for author in citation["preferred-citation"]["authors"]] == [
        "Scellier", "Mishra", "Bengio", "Ollivier",
    ]  # fmt: skip
    assert load_run(out / finished.name).steps["cost_1"].tolist() == load_run(finished).steps["cost_1"].tolist()


def test_what_stages_wrote_is_in_it_and_what_serves_the_run_is_not(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / finished.name
    shutil.copytree(finished, run)
    for name in ("comparison.csv", "mine/far/below.txt", "session/asked.json", "control.json", ".lock", "record.sqlite-shm",
                 ".x.1.part", "inputs/__pycache__/mine.pyc", "inputs/.x.1.part", "checkpoints/more.aeq"):  # fmt: skip
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("something")
    (run / "link.txt").symlink_to(run / "comparison.csv")
    new = set(bundle_runs([run], "new.zip").names) - set(bundle_runs([finished], "old.zip").names)
    assert new == {f"{finished.name}/comparison.csv", f"{finished.name}/mine/far/below.txt"}
    assert f"{finished.name}/checkpoints/more.aeq" in bundle_runs([run], "all.zip", checkpoints=True).names


def test_a_run_made_again_inside_the_folder_of_the_first_is_one_of_its_own(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / finished.name
    shutil.copytree(finished, run)
    again = run_experiment(load_experiment(run / "experiment.yaml"), runs=run / "runs").folder
    assert bundle_runs([run], "new.zip").names == bundle_runs([finished], "old.zip").names
    assert f"{again.name}/inputs/theta.csv" in bundle_runs([again], "again.zip").names


def test_the_reader_in_it_needs_no_aeqlab(finished: Path, tmp_path: Path) -> None:
    out = unpacked(bundle_runs([finished]).file, tmp_path / "out")
    probe = "import sys, runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0]); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", probe, "read_record.py", f"{finished.name}/record.sqlite"],
        cwd=out, env={"PATH": "", "SYSTEMROOT": "C:\\Windows"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *rest, imported = done.stdout.splitlines()
    assert first == 'state: "finished"'
    assert [line.split()[0] for line in rest[:60]] == [str(step) for step in range(1, 61)]
    assert rest[60].startswith("test ")
    modules = set(ast.literal_eval(imported))
    assert "numpy" in modules
    assert not [module for module in modules if module.split(".")[0] == "aeqlab"]


def test_the_reader_is_short_and_is_the_one_in_the_document(project_root: Path) -> None:
    text = READER.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    assert f"```python\n{text}```" in (project_root / "docs" / "record.md").read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    first = bundle_runs([finished], "one.zip").file.read_bytes()
    copy = tmp_path / "elsewhere" / finished.name
    shutil.copytree(finished, copy)
    for path in copy.rglob("*"):
        path.touch()
    assert bundle_runs([copy], "two.zip").file.read_bytes() == first
    ended = json.loads((finished / "provenance.json").read_text())["attempts"][-1]
    assert ended["ended"]
    with zipfile.ZipFile("one.zip") as archive:
        *minute, second = time.gmtime(load_run(finished).attempts["ended_at"][-1])[:6]
        assert {info.date_time for info in archive.infolist()} == {(*minute, second // 2 * 2)}  # zip files know even seconds
        assert archive.namelist()[:-1] == sorted(archive.namelist()[:-1])


def test_a_bundle_that_lies_in_the_run_folder_is_replaced_and_not_taken_along(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / finished.name
    shutil.copytree(finished, run)
    first = bundle_runs([run], run / "mine.zip").file.read_bytes()
    assert bundle_runs([run], run / "mine.zip", force=True).file.read_bytes() == first


def test_a_live_run_is_bundled_as_a_single_file(tmp_path: Path) -> None:
    record = make_record(tmp_path / "live", 20, close=False)
    write_steps(record, steps(5, begin=21))
    done = bundle_runs([tmp_path / "live"])
    out = unpacked(done.file, tmp_path / "out")
    assert [path.name for path in (out / "live").iterdir()] == ["record.sqlite"]
    copy = sqlite3.connect(out / "live" / "record.sqlite")
    assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert copy.execute("SELECT count(*) FROM current_steps").fetchone() == (25,)
    copy.close()
    assert len(done.missing) == 3
    record.close()


def test_several_runs_and_their_checkpoints(finished: Path, tmp_path: Path) -> None:
    make_record(tmp_path / "other", 5)
    done = bundle_runs([tmp_path / "other", finished], "all.zip", checkpoints=True)
    assert any(name.startswith(f"{finished.name}/checkpoints/best-") for name in done.names)
    assert "other/record.sqlite" in done.names
    assert done.names == bundle_runs([finished, tmp_path / "other"], "again.zip", checkpoints=True).names
    with pytest.raises(ExportError, match="have one name, and a bundle keeps runs by their names"):
        bundle_runs([finished, finished])


def test_what_cannot_be_bundled_is_a_sentence_and_leaves_nothing(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nothing here that a run leaves behind"):
        bundle_runs([tmp_path])
    with pytest.raises(ExportError, match="There is no run to bundle"):
        bundle_runs([])
    Path("mine.zip").write_text("mine")
    with pytest.raises(ExportError, match="is there already"):
        bundle_runs([finished], "mine.zip")
    assert bundle_runs([finished], "mine.zip", force=True).file.stat().st_size > 1000
    broken = tmp_path / "broken"
    make_record(broken, 400)
    content = bytearray((broken / "record.sqlite").read_bytes())
    middle = len(content) // 2  # rows of steps
    content[middle : middle + 30_000] = b"\xff" * 30_000
    (broken / "record.sqlite").write_bytes(content)
    with pytest.raises(ExportError, match=r"cannot be copied: .*`aeqlab export` gets out of it what can be read"):
        bundle_runs([broken], "broken.zip")
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["broken", "mine.zip"]
