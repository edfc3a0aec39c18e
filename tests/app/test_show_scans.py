"""What `aeqlab show` and `aeqlab check` say of scans."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeqlab.app.checking import check_experiment
from aeqlab.app.looking import show_run
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols import load_run
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.run import run_experiment


def test_the_preset_says_a_line_of_each_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlowSettings, "served", False)  # in this process, which saves starting a session
    loaded = load_experiment("scan-knob", ["sequence.2.scan.over.0.points=3", "sequence.2.scan.over.1.points=2"])
    result = run_experiment(loaded, runs=tmp_path)
    assert show_run(str(result.folder), None) == 0
    lines = capsys.readouterr().out.splitlines()
    scans = lines[lines.index("scans") + 1 : lines.index("events")]
    assert len(scans) == 3
    assert "step-response" in scans[0]
    assert "21 points" in scans[1]
    assert "u3 -0.5 to 0.5 V" in scans[1]
    assert "theta[3] -0." in scans[1]
    assert "6 points" in scans[2]
    assert "theta0 -1 to 1 V x theta1 -1 to 1 V" in scans[2]
    assert "cost_free" in scans[2]
    _, there_and_back, landscape = load_run(result.folder).scans
    up, down = there_and_back.values["s[0]"][:11], there_and_back.values["s[0]"][:9:-1]
    assert abs(up - down).max() < 1e-3  # this device has no hysteresis
    assert landscape.shape == (3, 2)


def test_the_check_counts_points(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_experiment("scan-knob", ["scan.over.0.points=501"]) == 0
    out = capsys.readouterr().out
    assert "points, " in out
    assert int(out.split(" points, ")[0].split()[-1].replace(",", "")) > 1001
