"""Identification on emulated benches: what it finds is true within what it says, and every wrong wire is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import bench_of, open_rig, rig_tree

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.identification import Identification, newest
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.controllers import make_controller
from aeqlab.protocols.errors import AbortRequested
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.identify import Found, Identifying
from aeqlab.protocols.identify_codes import codes
from aeqlab.protocols.identify_fit import Course, fit_lags
from aeqlab.protocols.session import Session

Array = NDArray[Any]


def identified(
    bench: dict[str, Any], realisation: str = "one-shot", kind: str = "boxes", **more: Any
) -> tuple[Found, dict[str, Array]]:
    """Identify a rig on a bench; returns what was found, and the truth."""
    with bench_of(kind, **bench) as made, open_rig(made, realisation) as rig:
        found = Identifying(Session(rig), fingerprint=rig.fingerprint(), **more).run()
        physics = made.physics
        noise = physics.profile.noise_V
        truth = {
            "lag": physics.tau_theta, "extra": physics.profile.filter_s, "noise": np.hypot(noise, 3e-5 / np.sqrt(12.0)),
            "u": np.array(made.truth()["u"]),
        }  # fmt: skip
        return found, truth


def test_what_it_finds_is_true_within_what_it_says() -> None:
    found, truth = identified({"frequencies": 7})
    made = found.made
    assert found.faults == ()
    assert found.doubts == ()
    assert found.took_s < 20.0
    np.testing.assert_allclose(made.gain, 1.0, atol=0.02)  # errors of the outputs' own gain are part of it
    off = np.abs(made.lag_s - truth["lag"]) / made.lag_error_s
    assert (off < 3.0).all()
    assert np.mean(off < 2.0) >= 0.9
    assert (made.dead_time_s > 0).all()
    assert truth["noise"] / 2 < made.output_noise[0] < 5 * truth["noise"]  # thermal motion is part of it
    assert made.softness[0] == pytest.approx(1.6, rel=0.25)
    assert (made.softness_error < 0.1 * made.softness).all()
    assert (made.repeatability < 5e-4).all()
    assert np.abs(truth["u"]).max() < 0.01  # nothing is left moved


def test_a_quick_board_shows_its_lags_well() -> None:
    found, truth = identified({"frequencies": 3}, "coupling", "tcp")
    off = np.abs(found.made.lag_s - truth["lag"]) / found.made.lag_error_s
    assert found.faults == ()
    assert (off < 3.0).all()
    assert (found.made.lag_error_s < 0.5 * found.made.lag_s).all()


FAULTS = [
    ("swapped controls", {"wiring": {"dac[2]": "u[4]", "dac[5]": "u[1]"}}, ["u1 moves theta[4] and u4 moves theta[1]: swapped"]),
    (
        "swapped readouts",
        {"wiring": {"adc[103]": "theta[5]", "adc[106]": "theta[2]"}},
        ["u2 moves theta[5] and u5 moves theta[2]: swapped"],
    ),
    ("dead knob", {"gains": {"dac[4]": 0.0}}, ["u3 moves nothing"]),
    ("dead readout", {"gains": {"adc[104]": 0.0}}, ["u3 moves nothing"]),
    ("wrong sign", {"gains": {"dac[4]": -1.0}}, ["u3 moves theta[3] the wrong way: its sign is reversed"]),
    ("nudge the wrong way", {"gains": {"smu[1]": -1.0}}, ["the nudge of s pushes it away from its target"]),
    ("nudge not connected", {"gains": {"smu[1]": 0.0}}, ["the nudge of s does not move it"]),
]


def wired(changes: dict[str, Any]) -> dict[str, Any]:
    """Put changes into the wiring of a bench of seven knobs, channel by channel."""
    wiring = {f"dac[{k + 1}]": f"u[{k}]" for k in range(7)} | {f"adc[{101 + k}]": f"theta[{k}]" for k in range(7)}
    wiring |= {"dac[8]": "x[0]", "adc[108]": "s[0]", "smu[1]": "i[0]"} | changes.get("wiring", {})
    return {"wiring": wiring, "gains": changes.get("gains", {})}


@pytest.mark.parametrize(("name", "changes", "said"), FAULTS, ids=[one[0] for one in FAULTS])
def test_every_wrong_wire_is_named(name: str, changes: dict[str, Any], said: list[str]) -> None:
    found, _ = identified(wired(changes))
    text = " ".join(found.faults)
    assert all(part in text for part in said), text


def test_of_a_wrongly_wired_knob_no_gain_is_doubted() -> None:
    bench = {"frequencies": 8, "wiring": {f"dac[{k + 1}]": f"u[{k}]" for k in range(17)} | {"dac[1]": "u[1]", "dac[2]": "u[0]"}}
    bench["wiring"] |= {f"adc[{101 + k}]": f"theta[{k}]" for k in range(17)}
    bench["wiring"] |= {"dac[18]": "x[0]", "adc[118]": "s[0]", "smu[1]": "i[0]"}
    found, _ = identified(bench)
    assert "swapped" in found.faults[0]
    assert found.doubts == ()


def test_a_knob_of_half_the_gain_is_doubted_not_refused() -> None:
    found, _ = identified(wired({"gains": {"dac[4]": 0.5}}))
    assert found.faults == ()
    assert len(found.doubts) == 1
    assert re.match(r"u3 has 0\.(49|5|51) of the usual gain", found.doubts[0])


@pytest.mark.slow
def test_a_hundred_random_faults_are_named_and_none_is_invented() -> None:
    rng = np.random.default_rng(0)
    missed = []
    for seed in range(100):
        kind = ["controls", "parameters", "dead", "sign", "half", "three"][seed % 6]
        a, b, c = rng.choice(7, 3, replace=False).tolist()
        changes: dict[str, Any] = {}
        if kind == "controls":
            changes, words = {"wiring": {f"dac[{a + 1}]": f"u[{b}]", f"dac[{b + 1}]": f"u[{a}]"}}, [f"u{a}", f"u{b}"]
        elif kind == "parameters":
            changes = {"wiring": {f"adc[{101 + a}]": f"theta[{b}]", f"adc[{101 + b}]": f"theta[{a}]"}}
            words = [f"u{a}", f"u{b}"]
        elif kind == "three":
            turn = {f"dac[{p + 1}]": f"u[{q}]" for p, q in ((a, b), (b, c), (c, a))}
            changes, words = {"wiring": turn}, [f"u{a} moves theta[{b}]", f"u{b} moves theta[{c}]", f"u{c} moves theta[{a}]"]
        else:
            changes = {"gains": {f"dac[{a + 1}]": {"dead": 0.0, "sign": -1.0, "half": 0.5}[kind]}}
            words = [f"u{a}"]
        found, _ = identified({**wired(changes), "seed": seed})
        told = [*found.faults, *found.doubts]
        named = all(any(word in line for line in told) for word in words)
        others = [line for line in told if not any(f"u{k} " in line or f"u{k}:" in line for k in (a, b, c))]
        if not named or others or (kind != "half" and not found.faults):
            missed.append((seed, kind, words, told))
    assert missed == []


def measured(rig: Any) -> tuple[Array, Array]:
    """Measure what an identification only estimates: gains by large steps of one knob after the other, noise by many readings."""
    n = len(rig.info.controls)

    def at(u: Array, reads: int) -> Array:
        rig.set_controls(u)
        rig.advance(2.0)
        return np.stack([rig.advance().parameters for _ in range(reads)])

    still = at(np.zeros(n), 300)
    walk = ((still[6:] - still[:-6]) ** 2).mean(axis=0) / 2 - ((still[1:] - still[:-1]) ** 2).mean(axis=0) / 2  # five steps of it
    noise = np.sqrt(np.maximum(((still[1:] - still[:-1]) ** 2).mean(axis=0) / 2 - walk.mean() / 5, 1e-12))
    gain = np.array([(at(0.5 * row, 8).mean(axis=0) - at(-0.5 * row, 8).mean(axis=0))[k] for k, row in enumerate(np.eye(n))])
    return gain, noise


@pytest.mark.slow
def test_stated_uncertainties_cover_the_truth() -> None:
    off: dict[str, list[float]] = {"gain": [], "lag": [], "noise": []}
    for seed in range(20):
        with bench_of(frequencies=7, seed=seed, profile="bench") as bench, open_rig(bench) as rig:
            made = Identifying(Session(rig), fingerprint=rig.fingerprint()).run().made
            lag = bench.physics.tau_theta
            gain, noise = measured(rig)
        off["gain"] += (np.abs(made.gain - gain) / made.gain_error).tolist()
        off["lag"] += (np.abs(made.lag_s - lag) / made.lag_error_s).tolist()
        off["noise"] += (np.abs(made.noise - noise) / made.noise_error).tolist()
    for name, found in off.items():
        covered = float(np.mean(np.array(found) < 2.0))
        assert 0.90 <= covered <= (0.99 if name == "gain" else 1.0), (name, covered)


def test_courses_are_fitted_with_honest_uncertainties() -> None:
    rng = np.random.default_rng(1)
    t = np.repeat(np.arange(1, 25)[:, None] * 0.02, 40, axis=1)
    lag, dead, noise = rng.uniform(0.03, 0.08, 40), rng.uniform(0.0, 0.03, 40), 0.003
    values = 1 - np.exp(-np.maximum(t - dead, 0) / lag) + noise * rng.standard_normal(t.shape)
    fit = fit_lags(Course(t, values, np.full(40, noise)), 0.0, 0.02)
    assert np.mean(np.abs(fit.lag_s - lag) < 2 * fit.lag_error_s) >= 0.9
    assert np.mean(np.abs(fit.dead_s - dead) < 2 * fit.dead_error_s) >= 0.9
    assert (fit.lag_error_s < 0.3 * lag).all()


@pytest.mark.parametrize(("knobs", "most"), [(1, 4), (7, 8), (16, 7), (16, 40), (256, 12)])
def test_codes_tell_all_knobs_apart(knobs: int, most: int) -> None:
    table = codes(knobs, most, np.random.default_rng(0))
    assert set(np.unique(table)) <= {-1.0, 1.0}
    alike = np.abs((table - table.mean(0)).T @ (table - table.mean(0))) / len(table)
    np.fill_diagonal(alike, 0.0)
    assert alike.max() < 0.999  # no two are equal or opposite
    assert (table.std(axis=0) > 0).all()


def test_a_device_without_room_for_steps_is_not_taken_for_identified() -> None:
    device = SlowSettings(energy="linear", options={"frequencies": 1}, control_limits=(-1e-9, 1e-9)).open(seed=1, base=Path())
    faults = Identifying(Session(device)).run().faults
    assert any("moves nothing" in one for one in faults)  # steps of a nanovolt are lost in its noise


def test_an_interrupt_puts_the_knobs_back_and_takes_the_nudge_off() -> None:
    with bench_of() as bench, open_rig(bench) as rig:
        session = Session(rig)
        ticks = 0

        def leave() -> None:
            nonlocal ticks
            ticks += 1

        session.point_interrupt = leave
        with pytest.raises(AbortRequested):
            Identifying(session, progress=_abort_at("nudging outputs")).run()
        rig.advance()
        rig.advance()
        truth = bench.truth()
        assert truth["i"][0] == 0.0
        assert np.abs(truth["u"]).max() < 0.01


def _abort_at(word: str) -> Any:
    def progress(what: str, part: float) -> None:
        if what == word:
            raise AbortRequested("enough")

    return progress


def test_it_is_kept_in_a_dated_file_and_used_the_next_time(tmp_path: Path) -> None:
    with bench_of() as bench:
        with open_rig(bench, folder=tmp_path) as rig:
            assert rig.unfit == "it was never identified."
            found = Identifying(Session(rig), fingerprint=rig.fingerprint()).run()
            path = Path(rig.take_identification(found.made.tree()))
            assert path.parent == tmp_path
            assert rig.info.response is not None
        with open_rig(bench, folder=tmp_path) as again:
            assert again.identified is not None
            np.testing.assert_allclose(again.identified.gain, found.made.gain)
            gains = make_controller(HomeostasisSettings(controller="integral"), again.info)
            gains.prepare()
            k, tau, d = again.info.response.gain, again.info.response.lag_s, again.info.response.dead_time_s  # type: ignore[union-attr]
            wait = d + 0.5 * again.info.tick_s  # type: ignore[operator]
            np.testing.assert_allclose(gains.rate, np.minimum(1 / (4 * k * tau), 1 / (2 * k * (tau + wait))))
        with open_rig(bench, folder=tmp_path, tick_s=0.3) as other:
            assert "is of another rig: tick was 0.18 s, here it is 0.3 s" in other.unfit
            assert any("is not used" in text and "tick was 0.18 s" in text for text in other.take_told())
            with pytest.raises(DeviceConfigError, match="of another rig"):
                other.take_identification(found.made.tree())
        instruments = rig_tree(bench)["instruments"]
        instruments["adc"] |= {"nplc": 10}
        with open_rig(bench, folder=tmp_path, instruments=instruments) as quieter:
            assert "is of another rig: nplc of adc was 1, here it is 10" in quieter.unfit
        with open_rig(bench, folder=tmp_path, fresh_h=1e-9) as old:
            assert "is stale" in old.unfit
            assert old.info.response is None


def test_a_damaged_file_is_no_identification(tmp_path: Path) -> None:
    with bench_of() as bench, open_rig(bench) as rig:
        tree = Identifying(Session(rig), fingerprint=rig.fingerprint()).run().made.tree()
    path = Identification.of_tree(tree, "here").save(tmp_path)
    assert newest(tmp_path) is not None
    for damaged in ("{", '{"format": "other"}', path.read_text(encoding="utf-8").replace('"gain"', '"gian"')):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(DeviceConfigError, match="dentif"):
            newest(tmp_path)
        with bench_of() as bench, open_rig(bench, folder=tmp_path) as rig:
            assert rig.identified is None
            assert rig.unfit


@pytest.mark.parametrize(("profile", "seed"), [("ideal", 1), ("bench", 1), ("bad", 1), ("bad", 2)])
def test_a_bad_rig_is_told_what_it_lacks_and_others_are_not(profile: str, seed: int) -> None:
    found, _ = identified({"profile": profile, "frequencies": 3, "seed": seed})
    assert found.faults == ()  # it is rightly wired, and its nudge moves it
    if profile != "bad":
        assert found.doubts == ()
        return
    assert any("steps of training are small beside the noise" in text and "It lacks quieter" in text for text in found.doubts)
    assert found.made.notes == found.doubts  # so that whoever trains by it hears of it each time
