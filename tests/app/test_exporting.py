"""`aeqlab export` and `aeqlab bundle` as a person uses them: results on stdout, warnings and refusals in sentences."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aeqlab.app.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with one short run."""
    folder = tmp_path_factory.mktemp("runs")
    arguments = ["run", "linear-regression", "--set", "data.samples=20", "--set", "data.test_samples=4", "--quiet"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--runs", str(folder)])
    assert exit_.value.code == 0
    return folder


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    """Run one command: exit code, lines on stdout, stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(words)
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out.splitlines(), err


def test_export_of_the_last_run_says_what_it_wrote(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, err = command(capsys, "export", "--runs", str(runs))
    (folder,) = (path for path in runs.iterdir() if path.is_dir())
    assert (code, err) == (0, "")
    assert lines[0].startswith(f"{folder.name}-csv (")
    assert "  steps        20 rows" in lines
    assert (Path(f"{folder.name}-csv") / "steps.csv").read_text().count("\n") == 21
    code, lines, err = command(capsys, "export", folder.name[-4:], "--runs", str(runs), "--table", "steps")
    assert (code, lines) == (1, [])
    assert err.startswith(f"{folder.name}-csv: is there already.")
    arguments = ("--format", "hdf5", "--to", "x.h5", "--table", "steps", "--table", "notes")
    code, lines, err = command(capsys, "export", str(folder), *arguments)
    assert (code, lines[1:], err) == (0, ["  steps  20 rows", "  notes  0 rows"], "")


def test_bundle_says_what_it_lacks(runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, lines, err = command(capsys, "bundle", "last", "--runs", str(runs), "--to", "paper.zip")
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("paper.zip (")
    (folder,) = (path for path in runs.iterdir() if path.is_dir())
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "experiment.yaml").unlink()
    code, lines, err = command(capsys, "bundle", str(tmp_path / "copy"), str(folder), "--to", "paper.zip", "--force")
    assert code == 0
    assert "warning: copy: there is no experiment.yaml." in err


@pytest.mark.parametrize("word", ["export", "bundle"])
def test_a_folder_that_is_no_run_is_refused(word: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, lines, err = command(capsys, word, "empty")
    assert (code, lines) == (1, [])
    assert err == "empty: nothing here that a run leaves behind.\n"
    code, lines, err = command(capsys, word, "unknown")
    assert (code, lines) == (2, [])
    assert err.startswith("No run 'unknown' in runs.")
