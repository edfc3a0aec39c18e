"""The stage `scan`: what it sets, waits for and reads on each kind of device, and that everything stands where it stood."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from run_helpers import experiment, run_sequence
from scan_helpers import ENGINE, INSIDE, SIMULATED, SLOW, behind_its_session, slow_device_here, with_data

from aeqlab.protocols import load_run
from aeqlab.protocols.check import check
from aeqlab.protocols.control import obey
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.export_scans import series_of
from aeqlab.protocols.grid import visits
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import Progress, RunResult
from aeqlab.protocols.record import PointRow, Record
from aeqlab.protocols.reports import HoldReport, Verdict
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.run_state import Requests, RunState


@pytest.fixture(autouse=True)
def _slow_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_device_here(monkeypatch)


def _phi(z: float) -> np.ndarray:
    """The features of the linear energy: 1, sin, cos, sin, cos."""
    return np.array([1.0, *(f(k * np.pi * z) for k in (1, 2) for f in (np.sin, np.cos))])


def _found(run: Run, stage: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.stages["result"][stage])
    return found


def _ok(folder: Path, sequence: str, text: str = SIMULATED) -> tuple[RunResult, Run]:
    result, run = run_sequence(folder, sequence, text)
    assert result.state is RunState.FINISHED, result.reason
    assert run.missing == []
    return result, run


# what is read -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SIMULATED, INSIDE, SLOW], ids=["simulated", "inside", "slow"])
def test_outputs_follow_a_control_knob(tmp_path: Path, text: str) -> None:
    scan_yaml = "scan: {over: [{quantity: u3, from: -0.5, to: 0.5, points: 5}], read: [s, theta3, cost_free], sample: 2}"
    _, run = _ok(tmp_path, scan_yaml, text)
    (scan,) = run.scans
    assert (scan.shape, scan.complete, scan.kind, scan.path) == ((5,), True, "scan", "0")
    assert scan.axes[0].values.tolist() == [-0.5, -0.25, 0.0, 0.25, 0.5]
    noise = 1e-3 if text is SLOW else 1e-6
    np.testing.assert_allclose(scan.values["theta[3]"], scan.axes[0].values, atol=noise)  # without force theta stands at u
    np.testing.assert_allclose(scan.readbacks["u3"], scan.setpoints["u3"], atol=2e-5)
    slope = np.diff(scan.values["s[0]"]) / 0.25  # s = theta . phi: straight in each theta
    np.testing.assert_allclose(slope, slope[0], atol=0.02)
    assert (scan.values["cost_free"] > 0).all()
    assert set(scan.points["verdict"]) == {"settled"}
    assert scan.units["s[0]"] == ("V" if text is SLOW else "1")


@pytest.mark.parametrize("text", [SIMULATED, INSIDE, SLOW], ids=["simulated", "inside", "slow"])
def test_a_grid_of_theta_and_input(tmp_path: Path, text: str) -> None:
    over = "[{quantity: theta1, values: [0.1, 0.3]}, {quantity: z, from: -1, to: 1, points: 5}]"
    _, run = _ok(tmp_path, f"scan: {{over: {over}, read: [s, theta1], order: snake}}", text)
    (scan,) = run.scans
    wanted = [[theta * np.sin(np.pi * z) for z in np.linspace(-1, 1, 5)] for theta in (0.1, 0.3)]
    np.testing.assert_allclose(scan.values["s[0]"], wanted, atol=2e-3)
    assert scan.points["point"].tolist() == [0, 1, 2, 3, 4, 9, 8, 7, 6, 5]
    assert scan.points["direction"].tolist() == [1] * 5 + [-1] * 5
    assert np.isnan(scan.readbacks["z"]).all()  # no device reports its inputs


def test_through_a_session_it_is_the_same_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = "[{quantity: theta1, values: [0.1, 0.3]}, {quantity: beta, values: [0, 0.1]}]"
    line = f"scan: {{over: {over}, read: [s, t, cost], sample: 1}}"
    values = []
    for served in (False, True):
        folder = tmp_path / str(served)
        folder.mkdir()
        if served:
            behind_its_session(monkeypatch)
        _, run = _ok(folder, f"{line}\nset: {{u0: 0.1, read: [theta0]}}", SLOW)
        values.append((run.scans[0].values, _found(run, 1)))
    for name in values[0][0]:
        np.testing.assert_array_equal(values[0][0][name], values[1][0][name], err_msg=name)
    assert values[0][1] == values[1][1]


def test_the_engine_is_scanned_too(tmp_path: Path) -> None:
    with_data(tmp_path)
    lines = [
        'scan: {over: [{quantity: "w1[2,1]", from: -1, to: 1, points: 3}], read: [s, "w1[2,1]", energy, cost], sample: 3}',
        "scan: {over: [{quantity: u7, values: [-1, 1]}], read: [theta7, u7, settled], sample: 3}",
        "scan: {over: [{quantity: coupling, values: [0.5, 1]}, {quantity: beta, values: [0, 0.1]}], "
        "read: [s, cost, cost_free], sample: 1}",
        "evaluate: {samples: 4}",
    ]
    result, run = _ok(tmp_path, "\n".join(lines), ENGINE)
    first, second, third = run.scans
    assert first.values["w1[2,1]"].tolist() == [-1.0, 0.0, 1.0]
    assert first.values["energy"][0] != first.values["energy"][2]
    np.testing.assert_allclose(second.values["u[7]"], [-1, 1])
    np.testing.assert_allclose(second.values["theta[7]"], [-1, 1], atol=0.1)
    assert third.shape == (2, 2)
    assert np.isnan(third.values["cost_free"][:, 1]).all()  # under a nudge it is not the loss
    assert (third.values["cost"][:, 1] < third.values["cost"][:, 0]).all()
    assert all(_found(run, k)["came_back"] for k in range(3))
    before, after = tmp_path / "a", tmp_path / "b"
    for folder in (before, after):
        folder.mkdir()
        with_data(folder)
    _, alone = _ok(before, "evaluate: {samples: 4}", ENGINE)
    assert run.evaluations["cost_free"][0] == pytest.approx(alone.evaluations["cost_free"][0], abs=1e-9)  # theta is back
    assert "nudge off" in result.device


def test_by_the_equations_alone(tmp_path: Path) -> None:
    _, run = _ok(
        tmp_path,
        "scan: {over: [{quantity: theta0, values: [0, 0.5]}, {quantity: z, values: [-1, 0.5]}], read: [s, energy], "
        "parameters: locked}",
    )
    (scan,) = run.scans
    np.testing.assert_allclose(scan.values["s[0]"], [[0, 0], [0.5, 0.5]], atol=1e-9)
    np.testing.assert_allclose(scan.values["energy"], 0.0, atol=1e-9)  # the equilibrium of this energy costs nothing
    assert set(scan.points["verdict"]) == {"equations"}
    assert scan.points["ticks"].tolist() == [0] * 4


def test_readings_are_averaged_and_their_deviation_is_the_noise(tmp_path: Path) -> None:
    text = SLOW.replace("control_limits", "noise_V: 1.0e-3, output_noise_V: 2.0e-3, control_limits")
    _, run = _ok(tmp_path, "scan: {over: [{quantity: u0, values: [0, 0.2, 0.4]}], read: [theta0, s], average: 60}", text)
    (scan,) = run.scans
    assert scan.points["readings"].tolist() == [60] * 3
    np.testing.assert_allclose(scan.deviations["theta[0]"], 1e-3, rtol=0.35)
    np.testing.assert_allclose(scan.deviations["s[0]"], 2e-3, rtol=0.35)
    np.testing.assert_allclose(scan.values["theta[0]"], [0, 0.2, 0.4], atol=2e-3)


def test_frames_that_are_not_fresh_are_no_readings(tmp_path: Path) -> None:
    text = SLOW.replace("control_limits", "stale_rate: 0.3, lost_rate: 0.2, control_limits")
    _, run = _ok(tmp_path, "scan: {over: [{quantity: u0, values: [0.2]}], read: [theta0], average: 30}", text)
    assert run.scans[0].points["readings"].tolist() == [30]
    assert run.scans[0].points["ticks"][0] > 40


def test_up_and_down_shows_where_it_was(tmp_path: Path) -> None:
    _, run = _ok(
        tmp_path, "scan: {over: [{quantity: u2, from: 0.1, to: 1, points: 4, spacing: log, up_and_down: true}], read: [theta2]}"
    )
    (scan,) = run.scans
    up = np.geomspace(0.1, 1, 4)
    np.testing.assert_allclose(scan.axes[0].values, [*up, *up[2::-1]])
    assert scan.axes[0].values[3] == 1.0
    assert scan.points["direction"].tolist() == [1, 1, 1, 1, -1, -1, -1]


def test_a_random_order_is_by_the_seed(tmp_path: Path) -> None:
    orders = []
    for name in "ab":
        (tmp_path / name).mkdir()
        _, run = _ok(tmp_path / name, "scan: {over: [{quantity: u2, from: 0, to: 1, points: 12}], read: [theta2], order: random}")
        orders.append(run.scans[0].points["point"].tolist())
        np.testing.assert_allclose(run.scans[0].values["theta[2]"], np.linspace(0, 1, 12), atol=1e-6)
    assert orders[0] == orders[1] != sorted(orders[0])
    assert sorted(orders[0]) == list(range(12))


def test_a_setting_is_scanned_and_comes_back(tmp_path: Path) -> None:
    line = (
        "scan: {over: [{quantity: homeostasis.gain, values: [0.25, 2]}, {quantity: theta1, values: [0.2, -0.2]}], read: [ticks]}"
    )
    _, run = _ok(tmp_path, f"{line}\ntrain: {{beta: 0.2, samples: 2}}", SLOW)
    ticks = run.scans[0].values["ticks"]
    assert ticks[0].sum() > 1.3 * ticks[1].sum()  # a loop of less gain takes longer
    assert run.stages["outcome"].tolist() == ["finished", "finished"]


def test_a_setting_that_is_a_whole_number_is_scanned_by_equal_factors(tmp_path: Path) -> None:
    over = "[{quantity: ' homeostasis.reads ', from: 4, to: 64, points: 5, spacing: log}]"
    _, run = _ok(tmp_path, f"scan: {{over: {over}, read: [' held ']}}")
    np.testing.assert_allclose(run.scans[0].axes[0].values, [4, 8, 16, 32, 64])
    assert run.scans[0].axes[0].name == "homeostasis.reads"
    assert run.scans[0].values["held"].tolist() == [1] * 5


def test_what_does_not_come_to_rest_is_said(tmp_path: Path) -> None:
    text = SIMULATED.replace("{controller: integral}", "{tolerance: 1.0e-300, max_ticks: 12, controller: integral}")
    result, run = _ok(tmp_path, "scan: {over: [{quantity: theta1, values: [0.1, 0.2]}], read: [held, hold_error]}", text)
    (scan,) = run.scans
    assert scan.points["settled"].tolist() == [0, 0]
    assert scan.points["verdict"].tolist() == ["timeout", "timeout"]
    assert scan.values["held"].tolist() == [0.0, 0.0]
    assert any("2 of 2 points did not come to rest (timeout 2)" in warning for warning in result.warnings)


def test_without_waiting_one_tick_passes(tmp_path: Path) -> None:
    _, run = _ok(
        tmp_path, "scan: {over: [{quantity: u2, values: [0, 0.001]}], read: [theta2, duration_s], settle: false, wait_s: 1}", SLOW
    )
    (scan,) = run.scans
    assert scan.points["verdict"].tolist() == ["", ""]
    np.testing.assert_allclose(scan.values["theta[2]"], [0, 0.001], atol=3e-4)  # a second is many lags


def _holds_and_ticks(patch: pytest.MonkeyPatch) -> tuple[list[HoldReport], list[float | None]]:
    """Note the holds that a run makes, and the times it lets pass while no loop goes on."""
    holds: list[HoldReport] = []
    ticks: list[float | None] = []
    hold, advance = RunSession.hold, RunSession.advance

    def held(self: RunSession, theta: Any = None) -> HoldReport:
        holds.append(hold(self, theta))
        return holds[-1]

    def advanced(self: RunSession, seconds: float | None = None) -> Any:
        ticks.append(seconds)
        return advance(self, seconds)

    patch.setattr(RunSession, "hold", held)
    patch.setattr(RunSession, "advance", advanced)
    return holds, ticks


@pytest.mark.parametrize("text", [SIMULATED, SLOW], ids=["simulated", "slow"])
@pytest.mark.parametrize("accept", ["settled", "{ticks: 7}"])
def test_readings_under_homeostasis_are_ends_of_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, accept: str
) -> None:
    text = text.replace("{controller: integral}", f"{{controller: integral, accept: {accept}, tolerance: 0.01}}")
    over = "[{quantity: beta, values: [0, 0.2]}]"
    holds, ticks = _holds_and_ticks(monkeypatch)
    _, run = _ok(tmp_path, f"scan: {{over: {over}, sample: 1, read: [theta0, s, held, hold_error], average: 5}}", text)
    scan, worst = run.scans[0], [report.worst[1] for report in holds]
    assert len(ticks) <= 1  # to find out where theta is
    assert len(holds) == 2 * 6 + 1  # the last one brings everything back
    for k, readings in enumerate((slice(1, 6), slice(7, 12))):
        assert scan.values["hold_error"][k] == pytest.approx(np.mean(worst[readings]))
        assert scan.deviations["hold_error"][k] == pytest.approx(np.std(worst[readings], ddof=1))
        assert scan.values["theta[0]"][k] == pytest.approx(np.mean([r.readout.parameters[0] for r in holds[readings]]))
    assert scan.values["held"].tolist() == [1.0, 1.0]
    assert scan.points["readings"].tolist() == [5, 5]
    assert scan.points["ticks"].tolist() == [sum(r.ticks for r in holds[:6]), sum(r.ticks for r in holds[6:12])]


def test_a_reading_that_is_not_held_makes_the_point_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold, number = RunSession.hold, 0

    def held(self: RunSession, theta: Any = None) -> HoldReport:
        nonlocal number
        number += 1
        report = hold(self, theta)
        return replace(report, accepted=False, verdict=Verdict.TIMEOUT) if number == 3 else report

    monkeypatch.setattr(RunSession, "hold", held)
    result, run = _ok(tmp_path, "scan: {over: [{quantity: x0, values: [0, 0.2]}], read: [held, settled], average: 4}")
    assert run.scans[0].values["held"].tolist() == run.scans[0].values["settled"].tolist() == [0.75, 1.0]
    assert run.scans[0].points["verdict"].tolist() == ["timeout", "settled"]
    assert run.scans[0].points["settled"].tolist() == [0, 1]
    assert any("1 of 2 points did not come to rest (" in warning for warning in result.warnings)


def test_the_check_counts_a_hold_for_every_reading(tmp_path: Path) -> None:
    seconds = []
    for quantity in ("theta0", "u0"):
        line = f"scan: {{over: [{{quantity: {quantity}, from: 0, to: 0.1, points: 10}}], average: 20}}"
        text = SLOW.replace("kind: slow", "kind: slow, clock: wall").replace("evaluate: {samples: 1}", line)
        estimate = check(experiment(tmp_path, text)).estimate
        assert estimate is not None
        assert estimate.seconds is not None
        seconds.append(estimate.seconds[0])
    assert seconds[0] > 8 * seconds[1]


@pytest.mark.parametrize("text", [SIMULATED, SLOW], ids=["simulated", "slow"])
def test_while_it_waits_theta_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    holds, ticks = _holds_and_ticks(monkeypatch)
    over = "[{quantity: beta, values: [0, 0.2]}]"
    _, run = _ok(tmp_path, f"scan: {{over: {over}, sample: 1, read: [theta0, duration_s], wait_s: 20}}", text)
    assert len(ticks) <= 1
    assert len(holds) > 5
    assert (run.scans[0].values["duration_s"] >= 20).all()
    np.testing.assert_allclose(run.scans[0].values["theta[0]"], 0.0, atol=1e-3)


def test_a_device_that_holds_theta_inside_does_so_while_it_waits(tmp_path: Path) -> None:
    lines = [
        "set: {theta: 0.3, read: [theta]}",
        "scan: {over: [{quantity: u3, values: [0.5]}]}",  # theta floats in it, and is written back
        "scan: {over: [{quantity: beta, values: [0.2, -0.2]}], sample: 1, read: [theta, held], wait_s: 20, average: 3}",
    ]
    _, run = _ok(tmp_path, "\n".join(lines), INSIDE)
    for k in range(5):
        np.testing.assert_array_equal(run.scans[2].values[f"theta[{k}]"], 0.3)
    assert run.scans[2].values["held"].tolist() == [1.0, 1.0]


# afterwards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SIMULATED, INSIDE, SLOW], ids=["simulated", "inside", "slow"])
def test_everything_is_back_where_it_was(tmp_path: Path, text: str) -> None:
    lines = [
        "set: {theta1: 0.3, z: 0.25, read: [s, theta]}",
        "scan: {over: [{quantity: theta0, values: [-0.5, 0.5]}, {quantity: z, values: [-1, 1]}, "
        "{quantity: beta, values: [0, 0.1]}], sample: 4}",
        "scan: {over: [{quantity: u, values: [-0.5, 0.5]}, {quantity: z, values: [-1, 1]}]}",
        "set: {homeostasis.gain: 1, read: [s, theta]}",
    ]
    result, run = _ok(tmp_path, "\n".join(lines), text)
    before, after = _found(run, 0)["read"], _found(run, 3)["read"]
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=3e-3 if text is SLOW else 1e-3), name
    assert before["s[0]"] == pytest.approx(0.3 * np.sin(np.pi * 0.25), abs=2e-3)
    assert "nudge off" in result.device


def _asking(monkeypatch: pytest.MonkeyPatch, after: int, ask: Callable[[], None]) -> None:
    """Ask for something as soon as so many points of a scan are written."""
    plain, written = Record.point, []

    def point(self: Record, row: PointRow) -> None:
        plain(self, row)
        written.append(row)
        if len(written) == after:
            ask()

    monkeypatch.setattr(Record, "point", point)


@pytest.mark.parametrize("how", ["skip", "stop", "abort", "freeze"])
def test_left_in_its_middle_the_nudge_is_off_and_theta_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    requests = Requests()
    _asking(monkeypatch, 6, lambda: obey(requests, lambda: {"state": "running", "stage": "scan"}, how, "a test"))

    def watch(now: Progress) -> None:
        if now.state is RunState.PAUSED:
            requests.ask_continue("continue by the test")

    over = "[{quantity: theta0, from: -0.5, to: 0.5, points: 10}, {quantity: beta, values: [-0.1, 0.1]}]"
    text = SIMULATED.replace(
        "  - evaluate: {samples: 1}",
        f"  - set: {{theta0: 0.2, read: [theta0]}}\n  - scan: {{over: {over}, sample: 1}}\n  - set: {{homeostasis.gain: 1}}",
    )
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests, on_progress=watch)
    run = load_run(result.folder)
    expected = {"skip": RunState.FINISHED, "stop": RunState.STOPPED, "abort": RunState.ABORTED, "freeze": RunState.FINISHED}
    assert result.state is expected[how], result.reason
    assert "nudge off" in result.device
    assert run.theta[0] == pytest.approx(0.2, abs=1e-12)  # the target; where it was scanned to is in the points alone
    (scan,) = [one for one in run.scans if one.kind == "scan"]
    assert scan.complete is (how == "freeze")
    assert np.isfinite(scan.values["s[0]"]).sum() == len(scan.points) == (20 if how == "freeze" else 5)


@pytest.mark.parametrize(("text", "order"), [(SIMULATED, "random"), (INSIDE, "snake"), (SLOW, "forward"), (ENGINE, "random")],
                         ids=["simulated", "inside", "slow", "engine"])  # fmt: skip
def test_stopped_and_resumed_is_the_same_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, order: str
) -> None:
    name = "w1" if text is ENGINE else "theta0"
    over = f"[{{quantity: {name}, from: -0.3, to: 0.3, points: 5}}, {{quantity: x0, values: [0.1, 0.9]}}]"
    written = text.replace(
        "  - evaluate: {samples: 1}",
        f"  - set: {{x0: 0.5}}\n  - scan: {{over: {over}, read: [s, theta0, t], order: {order}, sample: 1}}\n"
        "  - evaluate: {samples: 2, on: train}",
    )
    runs = []
    for stopped in (False, True):
        folder = tmp_path / str(stopped)
        folder.mkdir()
        with_data(folder)
        requests = Requests()
        with monkeypatch.context() as patch:
            if stopped:
                _asking(patch, 5, lambda requests=requests: requests.ask_stop("the test"))  # type: ignore[misc]
            result = run_experiment(experiment(folder, written), runs=folder / "runs", requests=requests)
        if stopped:
            assert result.state is RunState.STOPPED, result.reason
            assert len(load_run(result.folder).scans[1].points) == 4
            result = resume_run(result.folder)
        assert result.state is RunState.FINISHED, result.reason
        runs.append(load_run(result.folder))
    whole, resumed = runs
    assert len(resumed.scans) == 2
    for column in ("s[0]", "theta[0]", "t"):
        np.testing.assert_array_equal(resumed.scans[1].values[column], whole.scans[1].values[column], err_msg=column)
    assert resumed.scans[1].points["point"].tolist() == whole.scans[1].points["point"].tolist()
    assert set(resumed.scans[1].points["attempt"]) == {1, 2}
    np.testing.assert_array_equal(resumed.evaluations["cost_free"], whole.evaluations["cost_free"])


def _asking(patch: pytest.MonkeyPatch, after: int, ask: Callable[[], object]) -> None:
    """Ask for something when so many points, that of a `set` before it included, are written."""
    plain, seen = Record.point, []

    def point(self: Record, row: PointRow) -> None:
        plain(self, row)
        seen.append(row)
        if len(seen) == after:
            ask()

    patch.setattr(Record, "point", point)


# as xarray ----------------------------------------------------------------------------------------------------------


def test_a_grid_as_xarray(tmp_path: Path) -> None:
    over = "[{quantity: theta1, values: [0.1, 0.3]}, {quantity: z, from: -1, to: 1, points: 5}]"
    _, run = _ok(tmp_path, f"scan: {{over: {over}, read: [s, 'theta1', held, t], order: snake, average: 2}}", SLOW)
    (scan,) = run.scans
    dataset = scan.to_xarray()
    assert dataset["s[0]"].dims == ("theta1", "z")
    assert dataset["z"].attrs == {"long_name": "input knob", "units": "V"}
    assert dataset["s[0]"].attrs["units"] == dataset["s[0]_deviation"].attrs["units"] == "V"
    assert dataset["s[0]"].sel(theta1=0.3, z=-0.5).item() == scan.values["s[0]"][1, 1]
    np.testing.assert_array_equal(dataset["theta1_readback"], scan.readbacks["theta1"])
    np.testing.assert_array_equal(dataset["s[0]_deviation"], scan.deviations["s[0]"])
    assert dataset["held"].values.tolist() == dataset["settled"].values.tolist() == [[1.0] * 5] * 2
    assert set(dataset["verdict"].values.flat) == {"settled"}
    assert (dataset["t"].sel(theta1=0.3).diff("z") < 0).all()  # the snake came back
    assert dataset.attrs == {"title": "scan", "path": "0"}
    dataset.to_netcdf(tmp_path / "scan.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "scan.nc", engine="h5netcdf") as again:
        xarray.testing.assert_identical(again.load(), dataset)


def test_a_reading_with_the_name_of_an_axis_has_another_in_xarray(tmp_path: Path) -> None:
    _, run = _ok(tmp_path, "scan: {over: [{quantity: 'theta[1]', values: [0.1, 0.3]}], read: [theta1]}")
    dataset = run.scans[0].to_xarray()
    assert dataset["theta[1]"].values.tolist() == [0.1, 0.3]
    np.testing.assert_array_equal(dataset["theta[1]_read"], run.scans[0].values["theta[1]"])


def test_a_ramp_as_xarray(tmp_path: Path) -> None:
    _, run = _ok(tmp_path, "ramp: {quantity: u3, to: 0.5, seconds: 2, read: [theta3]}", SLOW)
    dataset = run.scans[0].to_xarray()
    assert dataset["theta[3]"].dims == ("point",)
    np.testing.assert_array_equal(dataset["u3"], run.scans[0].setpoints["u3"])
    np.testing.assert_array_equal(dataset["t"], run.scans[0].points["t"])
    assert set(dataset.coords) == {"u3", "t"}


def test_a_reading_takes_no_place_of_what_is_said_of_the_points_in_xarray(tmp_path: Path) -> None:
    read = "[s, t, settled, ticks]"
    scan = f"scan: {{over: [{{quantity: u3, values: [0, 0.1]}}], read: {read}, average: 3}}"
    _, run = _ok(tmp_path, f"{scan}\nramp: {{quantity: u3, to: 0.5, seconds: 1, read: {read}}}")
    for scan in run.scans:
        dataset = scan.to_xarray()
        for name in ("t", "settled"):
            np.testing.assert_array_equal(dataset[name], scan.points[name])
            np.testing.assert_array_equal(dataset[f"{name}_read"], scan.values[name])
            np.testing.assert_array_equal(dataset[f"{name}_read_deviation"], scan.deviations[name])
        assert {str(name) for name in dataset.variables} <= {one.name for one in series_of(scan)}  # those of an export


def test_a_scan_that_was_left_has_holes_in_xarray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = Requests()
    _asking(monkeypatch, 2, lambda: requests.ask_stop("the test"))
    text = SIMULATED.replace("evaluate: {samples: 1}", "scan: {over: [{quantity: u3, values: [0, 0.1, 0.2, 0.3]}]}")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests)
    dataset = load_run(result.folder).scans[0].to_xarray()
    assert np.isnan(dataset["settled"].values).tolist() == [False, False, True, True]
    assert dataset["verdict"].values.tolist() == ["settled", "settled", "", ""]


# bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ("over: [{quantity: u3, from: -3, to: 0, points: 4}]", "over.0.quantity", "-3 is outside -2 to 2"),
        ("over: [{quantity: u3, values: [0, 9]}]", "over.0.values", "9 is outside -2 to 2"),
        ("over: [{quantity: u3, from: 0, to: 1, points: 1000000000}]", "", "1,000,000,000 points are too many"),
        ("over: [{quantity: u3, from: 0, to: 1, points: 1001}, {quantity: u2, from: 0, to: 1, points: 1000}]", "", "1,001,000"),
        ("over: [{quantity: u3, from: -1, to: 1, points: 9, spacing: log}]", "over.0", "two numbers of one sign"),
        ("over: [{quantity: u3, values: []}]", "over.0.values", "at least 1"),
        ("over: []", "over", "at least 1"),
        ("over: [{quantity: u3}]", "over.0", "from, points, to is missing"),
        ("over: [{quantity: u3, values: [1], to: 2}]", "over.0.values", "so to must be left out"),
        ("over: [{quantity: thta, values: [1]}]", "over.0.quantity", "Did you mean 'theta'"),
        ("over: [{quantity: u3, values: [1]}, {quantity: u, values: [1]}]", "over.1.quantity", "move the same control knob"),
        ("over: [{quantity: u3, values: [1]}, {quantity: theta, values: [1]}]", "", "Move one of the two"),
        ("over: [{quantity: u3, values: [1]}], parameters: homeostasis", "parameters", "Say parameters: frozen"),
        ("over: [{quantity: theta3, values: [1]}], parameters: frozen", "parameters", "nothing holds it"),
        ("over: [{quantity: beta, values: [0.1]}]", "", "Say which: sample: 0"),
        ("over: [{quantity: beta, values: [-5]}], sample: 0", "over.0.values", "outside"),
        ("over: [{quantity: u3, values: [1]}], read: [cost]", "read.0", "Say which: sample: 0"),
        ("over: [{quantity: u3, values: [1]}], read: [s, held]", "read.1", "theta is not held by it here"),
        ("over: [{quantity: u3, values: [1]}], read: [tehta]", "read.0", "Did you mean 'theta'?"),
        ("over: [{quantity: u3, values: [1]}], read: [s, s0]", "read", "s[0] is read twice"),
        ("over: [{quantity: u3, values: [1]}], sample: 60", "sample", "there are 60 training samples"),
        ("over: [{quantity: homeostasis.gain, values: [0]}]", "over.0.values", "greater than 0"),
        ("over: [{quantity: homeostasis.reads, from: 4, to: 9, points: 3}]", "over.0.quantity", "reads: 6.5: it must be"),
        ("over: [{quantity: 'homeostasis.reads ', values: [4, 4.1, 9]}]", "over.0.values", "reads: 4.1: it must be"),
        ("over: [{quantity: u3, from: -1.0e+308, to: 1.0e+308, points: 3}]", "over.0.from", "farther than any number"),
        ("over: [{quantity: ' homeostasis.gain', values: [1]}, {quantity: 'homeostasis.gain ', values: [1]}]", "over.1.quantity",
         "move the same setting"),
        ("over: [{quantity: u3, from: 0, to: 1, points: 3, up_and_down: true}], order: random", "", "an order of its own"),
        ("over: [{quantity: u3, values: [1], spacing: linaer}]", "over.0.spacing", "linear"),
        ("over: [{quantity: beta, values: [0.1]}], sample: 1, settle: false", "settle", "nothing holds it"),
        ("over: [{quantity: theta3, values: [1]}], settle: false", "settle", "Leave settle out, or say parameters: frozen"),
        ("over: [{quantity: z, values: [1]}], parameters: locked, wait_s: 1", "wait_s", "in which no time passes"),
        ("over: [{quantity: z, values: [1]}], parameters: locked, average: 2", "average", "the same every time"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_the_start(tmp_path: Path, options: str, key: str, said: str) -> None:
    text = SIMULATED.replace("  - evaluate: {samples: 1}", f"  - scan: {{{options}}}")
    with pytest.raises(FileErrors) as caught:
        experiment(tmp_path, text)
    found = [problem for problem in caught.value.problems if said in f"{problem.message} {problem.hint}"]
    assert found, str(caught.value)
    assert found[0].key == ".".join(filter(None, ("sequence.0.scan", key)))
    assert found[0].line == 8


def test_what_the_slow_device_cannot_is_found_before_the_start(tmp_path: Path) -> None:
    for options, said in (
        ("over: [{quantity: coupling, values: [1]}]", "cannot scale its coupling"),
        ("over: [{quantity: z, values: [1]}], read: [energy]", "does not know its energy"),
        ("over: [{quantity: z, values: [1]}], parameters: locked", "does not know its equations"),
    ):
        with pytest.raises(FileErrors, match=said):
            experiment(tmp_path, SLOW.replace("  - evaluate: {samples: 1}", f"  - scan: {{{options}}}"))


def test_limits_of_the_experiment_count(tmp_path: Path) -> None:
    text = SIMULATED.replace("sequence:", "limits: {controls: [-0.5, 0.5]}\nsequence:")
    with pytest.raises(FileErrors, match=r"0\.6 is outside -0\.5 to 0\.5"):
        experiment(tmp_path, text.replace("evaluate: {samples: 1}", "scan: {over: [{quantity: u3, values: [0.6]}]}"))


def test_a_device_of_the_users_own_is_asked_when_it_is_open(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    inputs, states, parameters = 1, 1, 2\n\n"
        "    def energy(self, theta, x, s):\n        return 0.5 * (s[:, 0] - theta[0] * x[:, 0] - theta[1]) ** 2\n",
        encoding="utf-8",
    )
    text = SIMULATED.replace("energy: linear", "energy: 'mine.py:Mine'").replace(", options: {frequencies: 2}", "")
    result, run = run_sequence(tmp_path, "scan: {over: [{quantity: u99, values: [0]}]}", text)
    assert (result.state, result.exit_code) == (RunState.FAILED, 2)
    assert "sequence.0.scan.over.0.quantity" in result.reason
    assert "u[0] to u[1]" in result.reason
    assert not len(run.stages)


def test_an_experiment_with_a_scan_there_and_back(tmp_path: Path) -> None:
    line = "scan: {over: [{quantity: u2, from: 0.1, to: 1, points: 4, spacing: log}, {quantity: z, values: [0]}], read: [theta2]}"
    result, _ = _ok(tmp_path, line)
    again = run_experiment(experiment(tmp_path, (result.folder / "experiment.yaml").read_text()), runs=tmp_path / "again")
    np.testing.assert_array_equal(
        load_run(again.folder).scans[0].values["theta[2]"], load_run(result.folder).scans[0].values["theta[2]"]
    )


# order --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 3), (3, 2), (2, 2, 3), (3, 3, 2, 2)])
def test_a_snake_goes_from_neighbour_to_neighbour(shape: tuple[int, ...]) -> None:
    order = visits(shape, "snake")
    assert sorted(order.tolist()) == list(range(int(np.prod(shape))))
    places = np.array(np.unravel_index(order, shape)).T
    assert (np.abs(np.diff(places, axis=0)).sum(axis=1) == 1).all()


def test_forward_begins_every_line_anew() -> None:
    assert visits((2, 3), "forward").tolist() == [0, 1, 2, 3, 4, 5]
