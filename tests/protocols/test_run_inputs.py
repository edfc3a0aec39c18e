"""What a run keeps of the files its experiment names: all of them, and nothing that only looks like one."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from run_helpers import SMALL, experiment, run_sequence, same_runs

from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols import load_run, run_inputs
from aeqlab.protocols.bundle import bundle_runs
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.images import MnistSettings
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_inputs import keep_inputs
from aeqlab.protocols.run_state import Requests, RunState

TABLE = SMALL.replace(
    "{kind: legendre, degree: 4, samples: 60, test_samples: 12}",
    "{kind: table, path: walls.csv, inputs: [wall], targets: [mass]}",
)


@pytest.fixture
def walls(tmp_path: Path) -> Path:
    """Make a folder with a table of one input and one target."""
    lines = [f"{x:.3f},{x * x:.3f}" for x in np.linspace(-0.9, 0.9, 40)]
    (tmp_path / "walls.csv").write_text("\n".join(["wall,mass", *lines]) + "\n", encoding="utf-8")
    return tmp_path


def written(folder: Path) -> dict[str, object]:
    """Read the experiment that a run folder keeps."""
    kept: dict[str, object] = yaml.safe_load((folder / "experiment.yaml").read_text(encoding="utf-8"))
    return kept


def test_words_that_happen_to_be_names_of_files_stay_words(walls: Path) -> None:
    text = TABLE.replace("name: small", "name: nm.yaml\noperator: walls.csv\ntags: [walls.csv, nm.yaml]\nnotes: nm.yaml")
    asked = "  - ask: {text: walls.csv, choices: [walls.csv, stop], timeout_s: 0.01, then: walls.csv}\n  - evaluate"
    path = walls / "nm.yaml"
    path.write_text(text.replace("  - evaluate", asked), encoding="utf-8")
    result = run_experiment(load_experiment(path), runs=walls / "runs")
    assert result.state is RunState.FINISHED, result.reason
    kept = written(result.folder)
    assert (kept["name"], kept["operator"], kept["notes"]) == ("nm.yaml", "walls.csv", "nm.yaml")
    assert kept["tags"] == ["walls.csv", "nm.yaml"]
    ask = kept["sequence"][1]["ask"]  # type: ignore[index]
    assert (ask["text"], ask["choices"], ask["then"]) == ("walls.csv", ["walls.csv", "stop"], "walls.csv")
    assert sorted(path.name for path in (result.folder / "inputs").iterdir()) == ["originals.json", "walls.csv"]


def test_options_of_the_users_code_may_name_files(walls: Path) -> None:
    code = "def look(session, options):\n    return {'n': len(open(session.base / options['at'][0]).read())}\n"
    (walls / "mine.py").write_text(code)
    result, run = run_sequence(walls, "mine.py:look: {at: [walls.csv], word: no-file.csv}")
    assert result.state is RunState.FINISHED, result.reason
    assert written(result.folder)["sequence"][0]["call"] == {  # type: ignore[index]
        "function": "inputs/mine.py:look", "options": {"at": ["inputs/walls.csv"], "word": "no-file.csv"},
    }  # fmt: skip
    assert json.loads(run.stages["result"][0]) == {"n": len((walls / "walls.csv").read_text())}


def test_a_table_is_kept_and_the_folder_runs_again_without_the_original(walls: Path) -> None:
    first = run_experiment(experiment(walls, TABLE), runs=walls / "runs")
    assert first.state is RunState.FINISHED, first.reason
    assert written(first.folder)["data"]["path"] == "inputs/walls.csv"  # type: ignore[index]
    (file,) = load_run(first.folder).provenance["files"]
    digest = hashlib.sha256((walls / "walls.csv").read_bytes()).hexdigest()
    assert file == {"path": str((walls / "walls.csv").resolve()), "copy": "inputs/walls.csv", "sha256": digest}
    (walls / "walls.csv").unlink()
    moved = walls / "elsewhere"
    shutil.move(first.folder, moved)
    again = run_experiment(load_experiment(moved / "experiment.yaml"), runs=walls / "again")
    same_runs(load_run(moved), load_run(again.folder))
    assert (again.folder / "experiment.yaml").read_bytes() == (moved / "experiment.yaml").read_bytes()


def test_a_large_table_stays_where_it_is_and_is_said(walls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_inputs, "COPY_BYTES", 100)
    result = run_experiment(experiment(walls, TABLE), runs=walls / "runs")
    assert written(result.folder)["data"]["path"] == str((walls / "walls.csv").resolve())  # type: ignore[index]
    assert not list((result.folder / "inputs").iterdir())
    (warning,) = [text for text in result.warnings if "walls.csv was not copied" in text]
    assert warning.endswith("The run can be repeated as long as the file stays there.")
    assert load_run(result.folder).provenance["files"][0]["copy"] == ""
    assert any("walls.csv" in sentence for sentence in bundle_runs([result.folder]).missing)


def test_folders_keep_their_place(tmp_path: Path) -> None:
    for name in ("images", "plant"):
        (tmp_path / name).mkdir()
    update = {"device": SlowSettings(energy="linear", address="plant"), "data": MnistSettings(path="images")}
    tree = keep_inputs(experiment(tmp_path).experiment.model_copy(update=update), tmp_path, tmp_path).tree
    assert tree["device"]["address"] == str((tmp_path / "plant").resolve())
    assert tree["data"]["path"] == str((tmp_path / "images").resolve())


def test_theta_of_another_run_is_kept_and_the_run_repeats_when_that_is_gone(tmp_path: Path) -> None:
    source, _ = run_sequence(tmp_path, "train: {beta: 0.2, samples: 30}")
    wanted = load_run(source.folder).theta_at(17)
    word = f"{source.folder.name}@17"
    sequence = f"restore: {{theta: '{word}'}}\ntrain: {{beta: 0.2, samples: 5}}"
    first, run = run_sequence(tmp_path, sequence)
    assert first.state is RunState.FINISHED, first.reason
    np.testing.assert_array_equal(np.load(first.folder / "inputs" / f"{word}.npy"), wanted)
    assert written(first.folder)["sequence"][0]["restore"]["theta"] == f"inputs/{word}.npy"  # type: ignore[index]
    assert run.provenance["files"][0]["path"] == f"{source.folder.resolve()}@17"
    shutil.rmtree(source.folder)
    again = run_experiment(load_experiment(first.folder / "experiment.yaml"), runs=tmp_path / "again")
    same_runs(run, load_run(again.folder))
    assert load_run(again.folder).stages["result"].tolist() == run.stages["result"].tolist()


def test_the_last_run_is_the_one_before_the_present_one(tmp_path: Path) -> None:
    source, _ = run_sequence(tmp_path, "train: {beta: 0.2, samples: 30}")
    result, run = run_sequence(tmp_path, "restore: {theta: last@17}")
    assert result.state is RunState.FINISHED, result.reason
    np.testing.assert_array_equal(run.theta, load_run(source.folder).theta_at(17))


@pytest.mark.usefixtures("shown_at_every_sample")
def test_a_run_goes_on_from_what_it_kept(walls: Path) -> None:
    source, _ = run_sequence(walls, "train: {beta: 0.2, samples: 30}", TABLE)
    stages = f"  - restore: {{theta: '{source.folder.name}@17'}}\n  - train: {{beta: 0.2, samples: 20}}"
    text = TABLE.replace("  - train: {method: centered, beta: 0.2}", stages)
    whole = run_experiment(experiment(walls, text), runs=walls / "runs")
    requests = Requests()

    def stop(now: Progress) -> None:
        if now.stage == "train" and now.done == 10:
            requests.ask_stop("a test")

    part = run_experiment(experiment(walls, text), runs=walls / "runs", requests=requests, on_progress=stop)
    assert part.state is RunState.STOPPED, part.reason
    shutil.rmtree(source.folder)
    (walls / "walls.csv").unlink()
    assert resume_run(part.folder).state is RunState.FINISHED
    same_runs(load_run(whole.folder), load_run(part.folder))


def test_a_run_that_is_not_there_is_said_before_anything_moves(tmp_path: Path) -> None:
    result, _ = run_sequence(tmp_path, "train: {beta: 0.2, samples: 5}\nrestore: {theta: 'no-such-run@3'}")
    assert result.state is RunState.FAILED
    assert result.exit_code == 2
    assert result.reason.startswith("restore: No run 'no-such-run' in ")
    assert len(load_run(result.folder).steps) == 0
