"""The commands around an emulated bench: bench, alarms, acknowledge, and the demo in small."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aeqlab.app.cli import main
from aeqlab.app.demo import hidden
from aeqlab.backends.bench_link import BenchLink, start_bench
from aeqlab.backends.errors import DeviceConfigError, DeviceLostError
from aeqlab.protocols.bench_loading import bench_names, load_bench
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.load import load_run
from aeqlab.protocols.run import run_experiment


def ends(address: str) -> bool:
    """Tell whether a bench ends within a minute."""
    until = time.monotonic() + 60.0
    while time.monotonic() < until:
        try:
            BenchLink.connect(address).now()
        except (DeviceLostError, OSError):
            return True
        time.sleep(0.02)
    return False


def test_the_benches_that_ship_load_and_are_told() -> None:
    assert bench_names() == ("bench-16", "bench-16-board", "bench-256")
    for name in bench_names():
        assert load_bench(name).settings.clock == "lockstep"
    with pytest.raises(FileErrors, match="Did you mean 'bench-16'"):
        load_bench("bench-15")


def test_a_bench_file_that_is_wrong_is_told_at_its_lines(tmp_path: Path) -> None:
    text = "physics: {energy: linear, options: {frequencies: 1}}\nclock: lockstpe\ninstruments:\n  dac: {kind: qdac2}\n"
    text += "wiring:\n  'dac[1]': 'u[0]'\n"
    (tmp_path / "b.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(FileErrors) as caught:
        load_bench(tmp_path / "b.yaml")
    assert any(problem.line == 2 and "lockstep" in str(problem) for problem in caught.value.problems)


def test_a_bench_in_a_process_of_its_own_can_be_asked_and_struck(tmp_path: Path) -> None:
    link = start_bench(load_bench("bench-16").settings, tmp_path, tmp_path, linger_s=30)
    try:
        assert link.lockstep
        assert set(link.addresses) == {"dac", "adc", "smu"}
        before = link.now()
        assert link.spend(0.5) == pytest.approx(before + 0.5)
        assert len(link.state()["theta"]) == 16
        link.fault("late", "adc", seconds=0.1)
        link.mend("late", "adc")
        with pytest.raises(DeviceConfigError, match="no instrument 'dca'"):
            link.fault("dropped", "dca")
        with BenchLink.connect(link.address)._link:
            pass  # another client comes and goes
    finally:
        link.stop()
        link.close()
    assert ends(link.address)


def test_a_bench_that_cannot_be_served_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_bench("bench-16", (f"instruments.dac.port={port}",)).settings
        with pytest.raises(DeviceConfigError, match=f"dac: port {port} cannot be served"):
            start_bench(settings, tmp_path, tmp_path)


def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = tmp_path / "rig.yaml"
    command = [sys.executable, "-P", "-m", "aeqlab.app.cli", "bench", "bench-16", "--linger", "0", "--rig", str(rig)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        assert lines[0] == "bench-16: lockstep clock. Instruments:\n"
        assert "qdac2" in lines[1]
        address = lines[5].split("'")[1]
        (tmp_path / "e.yaml").write_text("name: e\ndevice: {kind: rig, file: rig.yaml}\nsequence: [identify]\n", encoding="utf-8")
        assert load_experiment(tmp_path / "e.yaml").experiment.device.described.bench == address  # type: ignore[union-attr]
        link = BenchLink.connect(address)
        assert link.now() >= 0.0
        link.close()
        assert process.wait(120) == 0
    for name, said in (("bench-16", "is there already"), ("bench-256", "has no rig file of its own")):
        with pytest.raises(SystemExit) as caught:
            main(["bench", name, "--rig", str(rig)])
        assert caught.value.code == 2
        assert said in capsys.readouterr().err


def test_identify_is_a_run_of_that_stage_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["identify", "tour-slow", "--runs", str(tmp_path / "runs")])
    out, err = capsys.readouterr()
    assert caught.value.code == 0, err
    assert "  identification  gain " in out
    assert ", dead time in s " in out
    (folder,) = (tmp_path / "runs").iterdir()
    assert load_run(folder).stages["kind"].tolist() == ["identify"]
    assert (folder / "identified.png").stat().st_size > 1000


@pytest.mark.usefixtures("own_state")
def test_without_a_session_there_are_no_alarms(capsys: pytest.CaptureFixture[str]) -> None:
    for words, code in ((["alarms"], 0), (["alarms", "nobody"], 2), (["acknowledge"], 2)):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == code, words
    assert "No session is open" in capsys.readouterr().err


def test_the_demo_trains_a_bench_and_leaves_it_safe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--folder", str(tmp_path / "demo"), "--samples", "12", "--quiet"])
    said = capsys.readouterr().out
    assert caught.value.code == 0, said
    assert "stand at 0 to 0 V; nudge 0 A" in said
    for name in ("learned.png", "cost.png", "homeostasis.png", "rig.yaml", "demo.yaml", "data.csv"):
        assert (tmp_path / "demo" / name).stat().st_size > 100
    (folder,) = (tmp_path / "demo" / "runs").iterdir()
    run = load_run(folder)
    assert run.state == "finished"
    assert run.stages["kind"].tolist() == ["identify", "evaluate", "train", "evaluate", "infer"]
    before, after = np.asarray(run.evaluations["cost_free"])
    assert after < before
    assert (np.asarray(run.steps["hold_true_error"]) <= 1.0).mean() > 0.9
    for device in ("{kind: simulated, energy: linear, options: ENERGY}", "{kind: slow, energy: linear, options: ENERGY}"):
        other = device.replace("ENERGY", "{frequencies: 8, constant: false}")  # the same experiment, on another device
        few = [f"device={other}", "train.samples=3", "evaluate.samples=2", "infer.samples=2"]
        result = run_experiment(load_experiment(tmp_path / "demo" / "demo.yaml", few), runs=tmp_path / "others")
        assert result.exit_code == 0, result.reason
    (identified,) = (tmp_path / "demo" / "rig-identified").glob("*.json")
    noise = json.loads(identified.read_text(encoding="utf-8"))["noise"]
    assert max(noise) < 5e-5  # that of the ranges it was armed with, not the step of those it was found in
    served = json.loads((tmp_path / "demo" / "bench" / "served.json").read_text(encoding="utf-8"))
    assert ends(served["control"])
    assert np.abs(hidden(1)).max() <= 0.5
