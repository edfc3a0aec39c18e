"""The stages `set` and `ramp`: what they leave behind, that they end exactly where they should, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import experiment, run_sequence
from scan_helpers import ENGINE, INSIDE, SIMULATED, SLOW, behind_its_session, slow_device_here, with_data

from aeqlab.protocols import load_run
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.load import Run
from aeqlab.protocols.record import PointRow, Record, StepRow
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.run_state import Requests, RunState

DEVICES = pytest.mark.parametrize("text", [SIMULATED, INSIDE, SLOW], ids=["simulated", "inside", "slow"])


@pytest.fixture(autouse=True)
def _slow_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_device_here(monkeypatch)


def _ok(folder: Path, sequence: str, text: str) -> Run:
    result, run = run_sequence(folder, sequence, text)
    assert result.state is RunState.FINISHED, result.reason
    assert "nudge off" in result.device
    assert run.missing == []
    return run


def _found(run: Run, stage: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.stages["result"][stage])
    return found


def _with(text: str, *lines: str) -> str:
    return text.replace("  - evaluate: {samples: 1}", "\n".join(f"  - {line}" for line in lines))


# set ----------------------------------------------------------------------------------------------------------------


@DEVICES
def test_what_is_set_is_reached_reported_and_stays(tmp_path: Path, text: str) -> None:
    run = _ok(tmp_path, "set: {u3: 0.5, x0: 0.2, read: [theta3, s]}\nset: {homeostasis.gain: 0.5, read: [u3]}", text)
    first = _found(run)
    assert first["asked"] == {"u3": 0.5, "x0": 0.2}
    assert first["reports"] == pytest.approx({"u3": 0.5}, abs=2e-5)
    assert first["reached"] is True
    assert first["read"]["theta[3]"] == pytest.approx(0.5, abs=1e-3)
    assert first["read"]["s[0]"] == pytest.approx(0.5 * np.sin(2 * np.pi * 0.2), abs=2e-3)
    scan = run.scans[0]
    assert (scan.kind, scan.shape) == ("set", (1,))
    assert scan.setpoints["x0"].item() == 0.2
    assert np.isnan(scan.readbacks["x0"]).all()


def test_many_quantities_are_one_point(tmp_path: Path) -> None:
    values = ", ".join(f"u{k}: {k / 100}" for k in range(81))
    run = _ok(tmp_path, f"set: {{{values}, read: [u]}}", SIMULATED.replace("frequencies: 2", "frequencies: 40"))
    (scan,) = run.scans
    assert scan.values["u[80]"].tolist() == scan.setpoints["u80"].tolist() == [0.8]


def test_blanks_around_a_name_mean_nothing(tmp_path: Path) -> None:
    lines = 'set: {" homeostasis.gain": 0.5, "x0 ": 0.2, read: [" u3 "]}\nramp: {quantity: "settling.window ", to: 4, seconds: 1}'
    run = _ok(tmp_path, lines, SIMULATED)
    assert _found(run)["asked"] == {"homeostasis.gain": 0.5, "x0": 0.2}
    assert set(run.scans[0].setpoints) == {"homeostasis.gain", "x0"}
    assert run.scans[1].setpoints["settling.window"][-1] == 4.0


@DEVICES
def test_theta_is_brought_elsewhere_and_held_there(tmp_path: Path, text: str) -> None:
    run = _ok(tmp_path, "set: {theta2: 0.4, read: [theta, held]}\nhold: {seconds: 1}", text)
    assert _found(run)["read"]["theta[2]"] == pytest.approx(0.4, abs=1e-3)
    assert _found(run)["read"]["held"] == 1.0
    assert run.theta[2] == pytest.approx(0.4, abs=1e-6)


def test_a_setting_of_a_loop_stays_and_is_there_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("set: {homeostasis.max_ticks: 11, homeostasis.tolerance: 1.0e-300}", "train: {beta: 0.1, samples: 4}")
    requests, plain = Requests(), Record.step

    def step(self: Record, row: StepRow) -> None:
        plain(self, row)
        requests.ask_stop("the test")

    with monkeypatch.context() as patch:
        patch.setattr(Record, "step", step)
        result = run_experiment(experiment(tmp_path, _with(SIMULATED, *lines)), runs=tmp_path / "runs", requests=requests)
    assert result.state is RunState.STOPPED, result.reason
    result = resume_run(result.folder)
    run = load_run(result.folder)
    assert result.state is RunState.FINISHED, result.reason
    assert run.steps["hold_ticks"].tolist() == [11] * 4  # no tolerance is that small: it gives up when it was told to
    assert set(run.steps["attempt"]) == {1, 2}


def test_without_waiting_no_time_passes(tmp_path: Path) -> None:
    run = _ok(tmp_path, "set: {u3: 0.5, wait: false}\nset: {u1: 0.1, read: [u3, t]}", SLOW)
    assert _found(run)["waited"] is False
    assert len(run.scans[0].points) == 0
    assert _found(run, 1)["read"]["u[3]"] == pytest.approx(0.5, abs=2e-5)  # staged, and taken when time passed


def test_a_nudge_does_not_outlive_its_stage(tmp_path: Path) -> None:
    run = _ok(
        tmp_path,
        "set: {beta: 0.2, sample: 3, read: [cost, cost_free]}\nset: {theta0: 0, sample: 3, read: [cost, cost_free]}",
        SIMULATED,
    )
    nudged, free = _found(run)["read"], _found(run, 1)["read"]
    assert nudged["cost_free"] is None  # under a nudge there is none
    assert free["cost_free"] == free["cost"] > nudged["cost"]


def test_the_engine_is_set_too(tmp_path: Path) -> None:
    with_data(tmp_path)
    run = _ok(
        tmp_path, 'set: {"w1[2,1]": 0.4, x0: 0.3, coupling: 0.5, read: ["w1[2,1]", held]}\nset: {u3: 0.2, read: [u3]}', ENGINE
    )
    assert _found(run)["read"] == {"w1[2,1]": 0.4, "held": 1.0}
    assert _found(run, 1)["reports"]["u3"] == pytest.approx(0.2)


def test_a_far_jump_is_a_warning_of_the_check(tmp_path: Path) -> None:
    loaded = experiment(
        tmp_path, _with(SLOW.replace("[-2, 2]", "[-10, 10]"), "set: {u3: 8, theta1: 0}".replace(", theta1: 0", ""))
    )
    (warning,) = loaded.warnings
    assert "u3: 8 V is 40% of its range away from where it rests, and it goes there at 10 V/s" in warning.message
    assert (warning.key, warning.line) == ("sequence.0.set.u3", 8)
    assert not experiment(tmp_path, _with(SLOW, "set: {u3: 0.5}")).warnings


@pytest.mark.parametrize(
    ("line", "said"),
    [("set: {}", "the key 'quantities' is missing"),
     ("set: {u3: 5}", "5 is outside -2 to 2"), ("set: {u3: half}", "a number is expected"),
     ("set: {v3: 0.5}", "no quantity 'v3'"), ("set: {u3: 0.5, theta1: 0.1}", "Move one of the two"),
     ("set: {u3: 0.1, u: 0.2}", "set the same control knob"), ("set: {beta: 0.1}", "Say which: sample: 0"),
     ("set: {u3: 0.1, read: [held]}", "theta is not held by it here"), ("set: {u3: 0.1, sample: 99}", "60 training samples"),
     ("set: {theta1: 0.1, wait: false, read: [held]}", "theta is not held by it here"),
     ("ramp: {quantity: u3, to: 0.5}", "give either seconds or rate_per_s"),
     ("ramp: {quantity: u3, to: 5, seconds: 1}", "5 is outside"),
     ("ramp: {quantity: u3, from: -3, to: 0, seconds: 1}", "-3 is outside"),
     ("ramp: {quantity: u3, to: 0, seconds: 1, parameters: locked}", "no time that could pass"),
     ("ramp: {quantity: theta3, to: 0, seconds: 1, parameters: frozen}", "nothing holds it"),
     ("ramp: {quantity: u3, to: 0, seconds: 1000, every_s: 1.0e-6}", "read less often"),
     ("ramp: {quantity: homeostasis.reads, to: 9, seconds: 1}", "a whole number, which does not go evenly"),
     ("ramp: {quantity: u3, from: -1.0e+308, to: 1.0e+308, seconds: 1}", "farther than any number")],
)  # fmt: skip
def test_mistakes_are_found_before_the_start(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(FileErrors) as caught:
        experiment(tmp_path, _with(SIMULATED, line))
    assert said in str(caught.value)
    assert "line 8" in str(caught.value)


@pytest.mark.parametrize(
    "line", ["ramp: {quantity: u3, to: 1, rate_per_s: 20}", "ramp: {quantity: u3, from: 0, to: 1, seconds: 0.05}"]
)
def test_a_ramp_faster_than_the_slew_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(FileErrors, match="u3 would go 20 V/s, and it slews at 10 V/s"):
        experiment(tmp_path, _with(SLOW, line))


def test_every_place_of_a_ramp_has_its_own_way_and_slew(tmp_path: Path) -> None:
    line = 'set: {u1: -1.5, u3: 1.5}\nramp: {quantity: "u[1-3]", to: 0, seconds: 0.1}'  # their mean stands there already
    result, _ = run_sequence(tmp_path, line, SLOW)
    assert result.state is RunState.FAILED
    assert "u[1] of u[1-3] would go 15 V/s, and it slews at 10 V/s. Give it 0.15 s or more" in result.reason


def test_a_ramp_from_where_it_stands_is_refused_when_that_is_known(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, "set: {u3: -1.5}\nramp: {quantity: u3, to: 1.5, seconds: 0.2}", SLOW)
    assert result.state is RunState.FAILED
    assert "would go 15 V/s, and it slews at 10 V/s. Give it 0.3 s or more" in result.reason
    assert len(run.scans) == 1


# ramp ---------------------------------------------------------------------------------------------------------------


@DEVICES
def test_a_knob_goes_evenly_and_ends_exactly(tmp_path: Path, text: str) -> None:
    run = _ok(tmp_path, "ramp: {quantity: u3, to: 0.5, seconds: 2, read: [theta3, u3]}\nset: {u1: 0, read: [u3, theta3]}", text)
    ramp = run.scans[0]
    assert ramp.setpoints["u3"][-1] == 0.5
    t = ramp.points["t"] - ramp.points["t"][0]
    slope = np.polyfit(t, ramp.setpoints["u3"], 1)[0]
    assert slope == pytest.approx(0.25, rel=0.15)
    assert (np.diff(ramp.setpoints["u3"]) >= 0).all()
    assert _found(run)["took_s"] == pytest.approx(2.0, rel=0.2)
    assert ramp.readbacks["u3"][-1] == pytest.approx(0.5, abs=1e-3)
    assert _found(run, 1)["read"]["theta[3]"] == pytest.approx(0.5, abs=1e-3)  # it stays


SPREAD = (-1.068, 1.865, -1.368, -0.641, 0.356)


def _spread(row: str) -> str:
    return "set: {" + ", ".join(f"{row}{k}: {value}" for k, value in enumerate(SPREAD)) + "}"


@DEVICES
def test_several_knobs_go_each_from_where_it_stands(tmp_path: Path, text: str) -> None:
    run = _ok(tmp_path, f"{_spread('u')}\nramp: {{quantity: u, to: 0.2, seconds: 5, every_s: 0.01, read: [u]}}", text)
    ramp = run.scans[1]
    u = np.array([ramp.values[f"u[{k}]"] for k in range(5)]).T
    np.testing.assert_allclose(u[0], SPREAD, atol=0.1)
    np.testing.assert_allclose(u[-1], 0.2, atol=1e-4)
    assert np.abs(np.diff(u, axis=0)).max() < 0.1  # none of them jumps
    left = (u - 0.2) / (np.array(SPREAD) - 0.2)  # the share of its way that each has before it
    assert np.ptp(left, axis=1).max() < 1e-3
    assert ramp.setpoints["u"][-1] == 0.2
    np.testing.assert_allclose(ramp.setpoints["u"], u.mean(axis=1), atol=1e-4)
    assert set(ramp.points["direction"]) == {0}


@pytest.mark.parametrize("text", [SIMULATED, SLOW], ids=["simulated", "slow"])
def test_several_targets_go_each_from_where_it_stands(tmp_path: Path, text: str) -> None:
    small = _spread("theta").replace("-1.068", "-0.1").replace("1.865", "0.3").replace("-1.368", "-0.2")
    run = _ok(tmp_path, f"{small}\nramp: {{quantity: theta, to: 0.1, seconds: 8, read: [theta]}}", text)
    first = [run.scans[1].values[f"theta[{k}]"][0] for k in range(5)]
    np.testing.assert_allclose(first, [-0.1, 0.3, -0.2, -0.641, 0.356], atol=0.35)
    assert np.ptp(first) > 0.5
    np.testing.assert_allclose(run.theta, 0.1, atol=1e-12)


def test_inputs_go_each_from_its_own_and_sample_by_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    presented, plain = [], RunSession.present

    def present(self: RunSession, inputs: Any) -> None:
        presented.append(inputs)
        plain(self, inputs)

    monkeypatch.setattr(RunSession, "present", present)
    with_data(tmp_path)
    _ok(tmp_path, "ramp: {quantity: x, to: 0.5, seconds: 100, sample: 3, parameters: frozen}", ENGINE)
    x = np.random.default_rng(5).uniform(0, 1, (20, 4))[3]
    np.testing.assert_array_equal(presented[0], [x])
    np.testing.assert_allclose(presented[1], [x + (0.5 - x) / 100], rtol=0, atol=5e-3)
    np.testing.assert_array_equal(presented[-1], [[0.5] * 4])


@DEVICES
def test_from_a_value_that_is_given_all_of_them_begin(tmp_path: Path, text: str) -> None:
    run = _ok(tmp_path, f"{_spread('u')}\nramp: {{quantity: u, from: 0.1, to: 0.2, seconds: 1, read: [u]}}", text)
    for k in range(5):
        assert run.scans[1].values[f"u[{k}]"].min() >= 0.1 - 1e-4
    assert set(run.scans[1].points["direction"]) == {1}


@DEVICES
def test_a_target_of_theta_goes_along_with_the_holds(tmp_path: Path, text: str) -> None:
    run = _ok(tmp_path, "ramp: {quantity: theta1, from: -0.1, to: 0.2, seconds: 8, read: [theta1]}", text)
    ramp = run.scans[0]
    assert ramp.setpoints["theta1"][-1] == 0.2
    np.testing.assert_allclose(ramp.values["theta[1]"], ramp.setpoints["theta1"], atol=2e-3)
    assert (np.diff(ramp.setpoints["theta1"]) > 0).all()
    assert run.theta[1] == pytest.approx(0.2)


def test_readings_come_as_often_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behind_its_session(monkeypatch)
    run = _ok(tmp_path, "ramp: {quantity: x0, to: 1, rate_per_s: 0.5, every_s: 0.5, parameters: frozen}", SLOW)
    np.testing.assert_allclose(np.diff(run.scans[0].points["t"]), [0.5] * 4, atol=0.05)
    assert run.scans[0].setpoints["x0"][-1] == 1.0


def test_the_engine_is_ramped_too(tmp_path: Path) -> None:
    with_data(tmp_path)
    run = _ok(
        tmp_path,
        'ramp: {quantity: "w1[2,1]", to: 0.4, seconds: 10, read: ["w1[2,1]"]}\nramp: {quantity: u3, to: 0.2, seconds: 5}',
        ENGINE,
    )
    assert run.scans[0].values["w1[2,1]"][-1] == 0.4
    assert run.scans[1].setpoints["u3"][-1] == 0.2


def test_a_setting_that_is_no_number_is_ramped_from_one(tmp_path: Path) -> None:
    line = "ramp: {quantity: homeostasis.tolerance, to: 0.01, seconds: 1%s}"
    result, _ = run_sequence(tmp_path, line % "", SIMULATED)
    assert "homeostasis.tolerance is 'auto', so there is no number to begin from. Say `from`" in result.reason
    run = _ok(tmp_path, line % ", from: 0.001", SIMULATED)
    assert run.scans[0].setpoints["homeostasis.tolerance"][-1] == 0.01


def test_a_ramp_to_where_it_stands_is_over_at_once(tmp_path: Path) -> None:
    run = _ok(tmp_path, "ramp: {quantity: u3, from: 0.1, to: 0.1, rate_per_s: 1}", SIMULATED)
    assert len(run.scans[0].points) == 1


@pytest.mark.parametrize("quantity", ["u3", "u"])
@pytest.mark.parametrize("text", [SIMULATED, SLOW], ids=["simulated", "slow"])
def test_a_ramp_stopped_and_resumed_is_the_same_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, quantity: str
) -> None:
    ramp = f"ramp: {{quantity: {quantity}, to: 0.5, seconds: 2, every_s: 0.1, read: [theta, t]}}"
    written = _with(text, _spread("u"), ramp, "set: {x0: 0, read: [theta3]}")
    runs, plain = [], Record.point
    for stopped in (False, True):
        folder = tmp_path / str(stopped)
        folder.mkdir()
        requests, seen = Requests(), []

        def point(self: Record, row: PointRow, requests: Requests = requests, seen: list[PointRow] = seen) -> None:
            plain(self, row)
            seen.append(row)
            if len(seen) == 7:
                requests.ask_stop("the test")

        with monkeypatch.context() as patch:
            if stopped:
                patch.setattr(Record, "point", point)
            result = run_experiment(experiment(folder, written), runs=folder / "runs", requests=requests)
        if stopped:
            assert result.state is RunState.STOPPED, result.reason
            result = resume_run(result.folder)
        assert result.state is RunState.FINISHED, result.reason
        runs.append(load_run(result.folder))
    whole, resumed = runs
    for column in ("theta[0]", "theta[3]", "t"):
        np.testing.assert_array_equal(resumed.scans[1].values[column], whole.scans[1].values[column], err_msg=column)
    assert _found(resumed, -1)["read"] == _found(whole, -1)["read"]
