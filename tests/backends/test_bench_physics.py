"""The physics of the emulated bench: apertures, noise, lines, currents, nudges, and time by the bench's clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aeqlab.backends.apertures import Converter, History
from aeqlab.backends.bench_lines import Lines
from aeqlab.backends.bench_physics import BenchPhysics
from aeqlab.backends.bench_profiles import PROFILES, Profile
from aeqlab.backends.journal import read_journal
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.streams import stream
from aeqlab.drivers.emulated.clock import LockstepClock


class Bench:
    """Physics on a clock that the test moves."""

    def __init__(
        self, energy: str = "linear", profile: Profile | None = None, journal: Path | None = None, **options: Any
    ) -> None:
        self.clock = LockstepClock()
        if energy == "linear":
            options = options or {"frequencies": 2, "s_squared": 0.5}
        self.system = SimulatedSettings.model_validate({"energy": energy, "options": options, "epsilon": 0.1})
        self.physics = BenchPhysics(self.system, profile or PROFILES["ideal"], self.clock, seed=3, journal=journal)

    def wait(self, seconds: float) -> None:
        self.clock.spend(seconds)
        self.physics.move_on()


def test_a_mean_over_an_aperture_is_the_integral_of_what_passed() -> None:
    history, w = History(0.0, np.array([0.0]), 5.0), 9.0
    grid = np.linspace(0, 1, 9)
    for begin in np.arange(0, 2, 0.05):
        t = begin + 0.05 * grid
        history.add(t, np.sin(w * t)[:, None], w * np.cos(w * t)[:, None])
    for aperture in (0.001, 0.02, 0.33, 1.9):
        exact = (np.cos(w * (2 - aperture)) - np.cos(w * 2)) / w / aperture
        assert history.mean(0, aperture) == pytest.approx(exact, abs=1e-7)
    assert history.mean(0, 0.0) == pytest.approx(np.sin(w * 2))
    assert history.mean(0, 4.0) == pytest.approx((1 - np.cos(w * 2)) / w / 4, abs=1e-7)  # before it began it stood


def test_noise_falls_with_the_aperture_and_whole_line_cycles_cancel_hum() -> None:
    cycle = 0.02
    quiet = Converter(0.0, 1e-3, 50.0, stream(1, "a"))
    assert quiet.reads(0.5, 1.2345, 2 * cycle) == pytest.approx(0.5, abs=1e-12)
    assert max(abs(quiet.reads(0.5, t, 0.1 * cycle) - 0.5) for t in np.linspace(0, cycle, 40)) > 0.9e-3
    noisy = Converter(1e-5, 0.0, 50.0, stream(1, "b"), gain=2.0, offset=0.1)
    for nplc in (0.1, 1.0, 10.0):
        found = np.array([noisy.reads(0.5, 1.0, nplc * cycle) for _ in range(4000)])
        assert found.std() == pytest.approx(1e-5 / np.sqrt(nplc), rel=0.05)
        assert found.mean() == pytest.approx(1.1, abs=1e-5)
    assert noisy.reads(0.5, 1.0, 0.0) == pytest.approx(1.1)


def test_each_line_has_its_own_slew_and_filter() -> None:
    lines = Lines(4)
    lines.drive(0, 1.0, np.inf, 0.0)
    lines.drive(1, 1.0, 10.0, 0.0)
    lines.drive(2, 1.0, np.inf, 0.02)
    lines.drive(3, -1.0, 10.0, 0.02)
    t = np.linspace(0, 0.3, 301)
    path = lines.path(t)
    ramp = np.minimum(10 * t, 1)
    behind = ramp.copy()
    for i in range(1, len(t)):  # the filter, in steps of 1 ms that are exact for a ramp
        rate, keep = (ramp[i] - ramp[i - 1]) / 1e-3, np.exp(-1e-3 / 0.02)
        behind[i] = ramp[i] - rate * 0.02 + (behind[i - 1] - ramp[i - 1] + rate * 0.02) * keep
    np.testing.assert_allclose(path[:, 0], 1.0)
    np.testing.assert_allclose(path[:, 1], ramp)
    np.testing.assert_allclose(path[:, 2], 1 - np.exp(-t / 0.02))
    np.testing.assert_allclose(path[:, 3], -behind, atol=1e-9)
    for _ in range(10):  # the same in pieces
        assert lines.moving
        at = lines.path(np.array([0.03]))[-1]
        lines.move(0.03, at)
    np.testing.assert_allclose(lines.filtered, path[-1], atol=1e-9)
    assert not lines.slewing.any()


def test_the_equilibrium_and_the_way_there_are_those_of_the_equations() -> None:
    bench = Bench()
    physics = bench.physics
    u, x = np.array([0.2, -0.3, 0.1, 0.25, -0.15]), 0.4
    physics.drive("x", 0, x)
    for k, value in enumerate(u):
        physics.drive("u", k, value)
    bench.wait(2.0)
    phi = physics.energy.features(np.array([[x]]))[0]  # type: ignore[attr-defined]
    eps, c = 0.1, 0.5
    # from s (1 + 2c) = theta . phi and theta = u + eps (s - theta . phi) phi
    s = u @ phi / (1 + 2 * c * (1 + eps * phi @ phi))
    assert physics.sense("s", 0, 0.02) == pytest.approx(s, abs=1e-9)
    theta = np.array([physics.sense("theta", k, 0.02) for k in range(5)])
    assert [physics.sense("u", k, 0.02) for k in range(5)] == u.tolist()
    np.testing.assert_allclose(theta, u + eps * (s - theta @ phi) * phi, atol=1e-9)


def test_a_current_moves_the_output_by_its_soft_compliance_whatever_its_sign() -> None:
    bench = Bench()
    physics, eps, c = bench.physics, 0.1, 0.5
    physics.drive("x", 0, 0.4)
    bench.wait(2.0)
    before = physics.sense("s", 0, 0.02)
    phi2 = float((physics.energy.features(np.array([[0.4]]))[0] ** 2).sum())  # type: ignore[attr-defined]
    soft = 1 / (2 * c + 1 / (1 + eps * phi2))
    for force in (0.01, -0.01, 0.2):
        physics.drive("i", 0, force)
        bench.wait(2.0)
        assert physics.sense("s", 0, 0.02) - before == pytest.approx(force * soft, abs=1e-9)


@pytest.mark.parametrize("energy", ["linear", "spring", "hopfield"])
def test_a_nudge_closed_by_hardware_is_the_energy_of_the_paper(energy: str) -> None:
    options: dict[str, Any] = {"layers": [2, 2, 2]} if energy == "hopfield" else {}
    bench = Bench(energy, **options)
    physics = bench.physics
    for k in range(physics.counts["y"]):
        physics.wire("y", k, 1.0, 0.0)
        physics.drive("y", k, 0.3)
    for k in range(physics.counts["u"]):
        physics.drive("u", k, 0.1 + 0.02 * k)
    for k in range(physics.counts["x"]):
        physics.drive("x", k, 0.4)
    physics.drive("beta", 0, 0.5)
    bench.wait(3.0)
    s, theta = physics.z[: physics.energy.n_states][None], physics.theta
    x = physics.motion.x
    pull = physics.energy.state_gradient(theta, x, s)[0]
    pull[physics.energy.output_index] += 0.5 * (physics.outputs - 0.3)
    np.testing.assert_allclose(pull, 0, atol=1e-6)


def test_an_output_that_hardware_does_not_nudge_is_left_alone() -> None:
    bench = Bench("hopfield", layers=[2, 2, 2])
    physics = bench.physics
    physics.wire("y", 1, 1.0, 0.0)
    physics.drive("beta", 0, 1.0)
    physics.drive("y", 1, 1.0)
    bench.wait(2.0)
    assert physics.outputs == pytest.approx([0.0, 1 / 1.9], abs=1e-6)  # the bias floats along, by epsilon s


def test_the_way_of_a_parameter_behind_its_knob() -> None:
    bench = Bench(frequencies=0)  # without s^2 the energy lets theta follow u with gain 1
    physics = bench.physics
    physics.drive("u", 0, 1.0)
    assert physics.sense("theta", 0, 0.0) == 0.0
    bench.wait(3.0)
    assert physics.sense("theta", 0, 0.0) == pytest.approx(1.0, abs=1e-9)


def test_the_same_seed_gives_the_same_bench_and_another_one_another() -> None:
    def go(seed: int) -> list[float]:
        clock = LockstepClock()
        system = SimulatedSettings.model_validate({"energy": "spring", "epsilon": 0.1})
        physics = BenchPhysics(system, PROFILES["bench"], clock, seed=seed)
        found = []
        for k in range(20):
            physics.drive("u", k % 14, 0.05 * k)
            clock.spend(0.013)
            found.append(physics.sense("theta", k % 14, 0.01))
        return found

    assert go(1) == go(1)
    assert go(1) != go(2)


def test_stretches_that_are_lived_together_pass_as_one_after_another_would(monkeypatch: pytest.MonkeyPatch) -> None:
    def go() -> tuple[list[float], np.ndarray[Any, Any]]:
        bench = Bench(profile=PROFILES["bench"], frequencies=4)
        physics, found = bench.physics, []
        for k in range(12):
            physics.drive("x", 0, 0.06 * k)
            physics.drive("u", k % 9, 0.05 * k)
            bench.wait(1.7)
            found += [physics.sense(name, 0, 0.3, 0.1 * ago) for name in ("theta", "s") for ago in range(4)]
        return found, np.concatenate([physics.outputs, physics.theta])

    together, ends = go()
    monkeypatch.setattr("aeqlab.backends.bench_physics.MOST_AT_ONCE", 1)
    one_by_one, ends_too = go()
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ends, ends_too, rtol=0, atol=1e-10)
    assert len(set(together)) == len(together)


def test_thermal_motion_is_as_large_as_the_profile_says() -> None:
    bench = Bench(profile=Profile(thermal_V=1e-3), frequencies=1)
    found = []
    for _ in range(4000):
        bench.wait(0.02)
        found.append(np.concatenate([bench.physics.outputs, bench.physics.theta]))
    covariance = np.cov(np.array(found[50:]).T)
    phi = bench.physics.energy.features(np.zeros((1, 1)))[0]  # type: ignore[attr-defined]
    row = np.concatenate([[-1.0], phi])
    exact = 1e-6 * np.linalg.inv(np.outer(row, row) + np.diag([0, 10, 10, 10]))
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), np.sqrt(np.diag(exact)), rtol=0.15)


def test_backlash_crosstalk_and_drift_act_on_the_knobs() -> None:
    played = Bench(profile=Profile(backlash_V=0.02, backlash_part=1.0), frequencies=0)
    for value, felt in ((0.1, 0.09), (0.085, 0.09), (0.05, 0.06)):
        played.physics.drive("u", 0, value)
        played.wait(3.0)
        assert played.physics.theta[0] == pytest.approx(felt, abs=1e-9)
    crossed = Bench(profile=Profile(crosstalk=0.01), frequencies=1)
    crossed.physics.drive("u", 1, 1.0)
    crossed.wait(5.0)
    np.testing.assert_allclose(crossed.physics.theta, [0.01, 1.0, 0.01], atol=1e-6)
    drifting = Bench(profile=Profile(drift_V=0.01, drift_time_s=2.0), frequencies=2)
    found = []
    for _ in range(60):
        drifting.wait(2.0)
        found.append(drifting.physics.theta)
    assert np.std(found) == pytest.approx(0.01, rel=0.15)


def test_what_runs_away_saturates_and_comes_back(tmp_path: Path) -> None:
    bench = Bench(journal=tmp_path / "j", frequencies=1)
    physics = bench.physics
    physics.drive("beta", 0, -3.0)
    physics.drive("y", 0, 1.0)
    bench.wait(5.0)
    assert physics.saturated
    assert abs(physics.outputs[0]) == 12.0
    physics.drive("beta", 0, 0.0)
    bench.wait(5.0)
    assert abs(physics.outputs[0]) < 1e-3
    physics.close()
    assert [e.name for e in read_journal(tmp_path / "j").events] == ["start", "saturated"]


def test_a_bench_that_nobody_spoke_to_for_a_year_answers_at_once() -> None:
    bench = Bench(profile=PROFILES["bench"])
    bench.physics.drive("u", 0, 0.5)
    bench.wait(3e7)
    assert bench.physics.sense("theta", 0, 4.0) == pytest.approx(0.5, abs=0.01)


def test_the_journal_holds_what_the_hardware_saw_and_when(tmp_path: Path) -> None:
    bench = Bench(profile=Profile(slew_V_per_s=10.0, filter_s=0.01), journal=tmp_path / "j")
    physics = bench.physics
    bench.wait(1.0)
    physics.drive("u", 1, 0.5)
    physics.drive("u", 2, -0.25)
    physics.drive("i", 0, 0.01)
    bench.wait(0.02)
    physics.drive("u", 1, 0.0)
    bench.wait(1.0)
    physics.drive("y", 0, 0.7)
    physics.drive("beta", 0, 0.2)
    physics.close()
    journal = read_journal(tmp_path / "j")
    np.testing.assert_allclose(journal.setpoints.t, [0.0, 1.0, 1.02])
    np.testing.assert_allclose(journal.setpoints.values[1], [0, 0.5, -0.25, 0, 0])
    assert journal.largest() == pytest.approx([0, 0.2, 0.25, 0, 0])
    assert journal.fastest() == pytest.approx([0, 10, 10, 0, 0])
    assert journal.currents.values[-1] == pytest.approx([0.01])
    assert journal.targets.values[-1] == pytest.approx([0.7])
    assert journal.last_beta() == 0.2
    assert journal.nudges.t[-1] == pytest.approx(2.02)
