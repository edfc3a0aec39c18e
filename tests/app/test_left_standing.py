"""A device with an address of its own that a person stopped through a run: the next run finds it so, in another session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aeqlab.app.cli import main
from aeqlab.app.exits import ExitCode
from aeqlab.backends.plant_link import end_plant, start_plant
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.experiment import LoadedExperiment, load_experiment
from aeqlab.protocols.lease import state_folder
from aeqlab.protocols.left_standing import Stands, all_left_standing, left_standing
from aeqlab.protocols.opening import open_operator
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.status import SessionState

RIG = """\
name: rig
device: {kind: slow, energy: linear, options: {frequencies: 3}, address: "ADDRESS"}
data: {kind: legendre, samples: 4}
sequence:
  - train: {beta: 0.1}
"""


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadedExperiment]:
    """An experiment on hardware that runs by itself."""
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    start_plant(SlowSettings(energy="linear", options={"frequencies": 3}), seed=1, base=tmp_path, folder=tmp_path / "plant")
    (tmp_path / "rig.yaml").write_text(RIG.replace("ADDRESS", str(tmp_path / "plant")), encoding="utf-8")
    yield load_experiment(tmp_path / "rig.yaml")
    end_plant(tmp_path / "plant")


def test_a_run_does_not_move_what_a_person_made_safe_through_the_run_before(
    tmp_path: Path, rig: LoadedExperiment, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = Requests()
    requests.ask_abort("safe by ada", safe=True, by="ada")
    assert run_experiment(rig, runs=tmp_path / "runs", requests=requests).state is RunState.ABORTED
    [stands] = all_left_standing()
    assert (stands.device, stands.state, stands.by) == ("slow linear", SessionState.SAFE, "ada")
    for _ in range(2):  # being refused changes nothing of it
        with pytest.raises(NotAllowedError, match=r"slow linear is safe, by ada: safe by ada; run .* aborted") as refused:
            open_operator(rig.experiment, base=tmp_path, folder=tmp_path)
        assert "`aeqlab continue 'slow linear'`" in str(refused.value)
    with pytest.raises(SystemExit) as exit_:
        main(["continue", "slow linear"])
    assert exit_.value.code == ExitCode.OK
    assert f"slow linear at {tmp_path / 'plant'}: safe since 20" in capsys.readouterr().out
    with open_operator(rig.experiment, base=tmp_path, folder=tmp_path) as operator:
        assert operator.status().state is SessionState.IDLE
    assert list(state_folder().glob("*.stands")) == []


@pytest.mark.usefixtures("own_state")
def test_what_cannot_be_read_stands_for_nobody_and_what_is_continued_is_forgotten(tmp_path: Path) -> None:
    stands = Stands("a bench", "bench")
    stands.note((SessionState.SAFE, "ada", "smoke"))
    found = left_standing("a bench")
    assert found is not None
    assert (found.state, found.by, found.reason) == (SessionState.SAFE, "ada", "smoke")
    assert left_standing("another bench") is None
    Stands("a bench", "bench").note(None)
    assert left_standing("a bench") is None
