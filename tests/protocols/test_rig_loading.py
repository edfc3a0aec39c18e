"""A rig file read with its experiment: mistakes at its own lines, paths from its own folder, nothing opened."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from aeqlab.backends.identification import ARRAYS, Identification
from aeqlab.backends.kinds import RigSettings
from aeqlab.protocols.check import check
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import load_experiment, load_values, to_yaml
from aeqlab.protocols.run_inputs import keep_inputs

RIG = """\
instruments:
  dac: {driver: qdac2, address: "TCPIP::10.0.0.1::5025::SOCKET", when_silent: holds}
  adc: {driver: daq970a, address: "TCPIP::10.0.0.2::5025::SOCKET", range_V: 10}
controls:   {names: "u[0-3]", channels: "dac[1-4]", limits_V: [-1, 1], absolute_V: [-2, 2], slew_V_per_s: 5}
parameters: {names: "theta[0-3]", channels: "adc[101-104]"}
inputs:     [{name: z, channel: dac5, limits_V: [-1, 1]}]
outputs:    [{name: s, channel: adc105}]
nudge:      {realisation: one-shot, channels: "dac[6]", beta_max: 0.2, limits_V: [-1, 1]}
"""
EXPERIMENT = """\
name: onrig
device: {kind: rig, file: rigs/bench.yaml}
data: {kind: legendre, degree: 2, samples: 10}
sequence:
  - train: {method: centered, beta: 0.2}
"""


def written(folder: Path, rig: str = RIG, experiment: str = EXPERIMENT) -> Path:
    (folder / "rigs").mkdir(exist_ok=True)
    (folder / "rigs" / "bench.yaml").write_text(rig, encoding="utf-8")
    (folder / "e.yaml").write_text(experiment, encoding="utf-8")
    return folder / "e.yaml"


def problems(folder: Path, rig: str, experiment: str = EXPERIMENT) -> list[str]:
    with pytest.raises(FileErrors) as caught:
        load_experiment(written(folder, rig, experiment))
    return [str(problem) for problem in caught.value.problems]


def test_a_rig_is_taken_in_and_checked_and_named_by_its_file(tmp_path: Path) -> None:
    loaded = load_experiment(written(tmp_path))
    device = loaded.experiment.device
    assert isinstance(device, RigSettings)
    assert device.rig is not None
    assert device.rig.name == "bench"
    assert device.rig.identification == str(tmp_path.resolve() / "rigs" / "bench-identified")
    report = check(loaded)
    assert report.ok
    assert {row.what: (row.count, row.low, row.high) for row in report.envelope}["control knobs"] == (4, -1.0, 1.0)
    assert report.if_dies == ("dac (4 controls, 1 input, nudge): its outputs stay as they are.",)
    assert device.lease_address == "rig TCPIP::10.0.0.1::5025::SOCKET TCPIP::10.0.0.2::5025::SOCKET"
    changed = load_experiment(written(tmp_path), ["device.rig.tick_s=0.5"]).experiment.device
    assert isinstance(changed, RigSettings)
    assert changed.tick_s == 0.5


def test_a_rig_that_is_said_to_be_none_comes_from_its_file(tmp_path: Path) -> None:
    experiment = EXPERIMENT.replace("bench.yaml}", "bench.yaml, rig: null}")
    device = load_experiment(written(tmp_path, experiment=experiment)).experiment.device
    assert isinstance(device, RigSettings)
    assert device.rig is not None  # as in the experiment that identifies the rig of a session


def test_a_saved_experiment_has_the_rig_in_it(tmp_path: Path) -> None:
    loaded = load_experiment(written(tmp_path))
    run = tmp_path / "run"
    (run / "inputs").mkdir(parents=True)
    kept = keep_inputs(loaded.experiment, loaded.base, run)
    again = load_values(kept.tree, run).experiment
    assert isinstance(again.device, RigSettings)
    assert isinstance(loaded.experiment.device, RigSettings)
    assert again.device.rig == loaded.experiment.device.rig
    (tmp_path / "rigs" / "bench.yaml").unlink()
    (tmp_path / "again.yaml").write_text(to_yaml(again), encoding="utf-8")
    assert load_experiment(tmp_path / "again.yaml").experiment.device.kind == "rig"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("limits_V: [-1, 1], absolute_V: [-2, 2]", "limits_V: [-3, 3], absolute_V: [-2, 2]", 4, "go beyond absolute"),
        ("dac[1-4]", "dac[1-5]", 4, "4 names and 5 channels"),
        ("driver: qdac2", "driver: qdac", 2, "Did you mean qdac2"),
        ("range_V: 10", "rnge_V: 10", 3, "Did you mean range_V"),
        ("slew_V_per_s: 5", "slew_V_per_s: fast", 4, "slew_V_per_s"),
        ("beta_max: 0.2", "beta_max: 0.2, beta_mni: 0", 8, "beta_mni"),
        ("realisation: one-shot", "realisation: one-shoot", 8, "one-shot"),
    ],
)
def test_mistakes_are_told_at_their_lines_in_the_rig_file(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    found = problems(tmp_path, RIG.replace(old, new))
    assert any(f"rigs/bench.yaml, line {line}," in one and said in one for one in found), found


def test_a_rig_file_that_is_missing_or_no_yaml_is_said(tmp_path: Path) -> None:
    assert "no such file" in problems(tmp_path, RIG, EXPERIMENT.replace("rigs/bench.yaml", "rigs/other.yaml"))[0]
    assert "rigs/bench.yaml, line 2" in problems(tmp_path, "instruments: [\n")[0]
    assert "a rig needs its file" in problems(tmp_path, RIG, EXPERIMENT.replace(", file: rigs/bench.yaml", ""))[0]


def test_data_outside_the_inputs_limits_and_a_loop_of_its_own_are_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, RIG.replace("dac5, limits_V: [-1, 1]", "dac5, limits_V: [-0.5, 0.5]"))
    assert any("legendre has inputs from -1 to 1" in one for one in found)
    found = problems(tmp_path, RIG, EXPERIMENT + "homeostasis: {controller: ideal}\n")
    assert any("does not hold its parameters by itself" in one for one in found)
    found = problems(tmp_path, RIG, EXPERIMENT.replace("method: centered, beta: 0.2", "method: sgd, learning_rate: 0.1"))
    assert any("the rig device has not" in one for one in found)


def test_unattended_is_refused_where_something_could_do_damage(tmp_path: Path) -> None:
    load_experiment(written(tmp_path, experiment=EXPERIMENT + "unattended: true\n"))
    found = problems(
        tmp_path, RIG.replace("when_silent: holds}", "when_silent: holds, dangerous: true}"), EXPERIMENT + "unattended: true\n"
    )
    assert any("line 6" in one and "it is said to be dangerous, and nothing switches it off" in one for one in found), found


def test_the_time_goes_by_the_ticks_and_by_the_identification_if_there_is_one(tmp_path: Path) -> None:
    path = written(tmp_path)

    def longest() -> float:
        found = check(load_experiment(path)).estimate
        assert found is not None
        assert found.seconds is not None
        return found.seconds[1]

    before = longest()  # 10 samples of two phases, each of some twenty ticks of 0.1 s
    assert 30 < before < 300
    few = {name: np.full(4, 0.1) for name in ARRAYS} | {"lag_s": np.full(4, 0.9)}
    Identification(t=time.time(), fingerprint={}, **few).save(tmp_path / "rigs" / "bench-identified")
    assert longest() == pytest.approx(5.0 * before)


def test_a_run_has_copies_of_the_files_that_keys_of_drivers_name(tmp_path: Path) -> None:
    supply = '  psu: {driver: scpi, file: supply.yaml, address: "TCPIP::10.0.0.3::5025::SOCKET"}\n'
    rig = RIG.replace(
        "controls:", f'{supply}supplies: [{{name: bias, channel: "psu[1]", value: 3, limits_V: [0, 4]}}]\ncontrols:'
    )
    path = written(tmp_path, rig)
    output = 'outputs: [{channels: 1-2, unit: V, limits: [0, 5], set: "VOLT {value},(@{list})", ask: "VOLT? (@{list})"}]\n'
    (tmp_path / "rigs" / "supply.yaml").write_text(f"maker: Example\nmodels: [PS]\n{output}", encoding="utf-8")
    loaded = load_experiment(path)
    run = tmp_path / "run"
    (run / "inputs").mkdir(parents=True)
    kept = keep_inputs(loaded.experiment, loaded.base, run)
    (tmp_path / "rigs" / "supply.yaml").unlink()
    again = load_values(kept.tree, run).experiment  # it is checked with all that it names
    assert isinstance(again.device, RigSettings)
    assert again.device.described.instruments["psu"].options["file"] == "inputs/supply.yaml"
