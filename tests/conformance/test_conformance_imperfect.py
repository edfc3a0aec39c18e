"""The conformance suite on imperfect hardware: what only costs accuracy passes, what breaks an ability fails and is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.conformance import Line, LineVerdict, conform
from aeqlab.protocols.hold_settings import HomeostasisSettings

HARMLESS: dict[str, dict[str, Any]] = {
    "coarse knobs": {"knob_bits": 16, "knob_range": 8},
    "noise": {"read_noise": 1e-4, "output_noise": 1e-4},
    "drift under noise": {"drift": 1e-3, "drift_time_s": 100, "read_noise": 2e-4, "output_noise": 2e-4},
    "mismatch": {"mismatch": 0.2},
}
IN_TIME: dict[str, dict[str, Any]] = {
    "slew": {"slew_per_s": 1.0},
    "dead time": {"dead_time_s": 0.1},
    "cut late": {"settle_ticks": 20},
    "all": {
        "knob_bits": 16, "knob_range": 8, "read_noise": 1e-4, "output_noise": 1e-4, "slew_per_s": 5, "drift": 1e-4,
        "mismatch": 0.2, "dead_time_s": 0.03,
    },
}  # fmt: skip


def failed(lines: list[Line]) -> dict[str, str]:
    return {line.name: line.text for line in lines if line.verdict is LineVerdict.FAIL}


def simulated(controller: Any, flaws: dict[str, Any], energy: str = "linear") -> list[Line]:
    settings = SimulatedSettings(energy=energy, epsilon=0.05, control_limits=(-6.0, 6.0), imperfections=flaws)
    return conform(lambda: settings.open(seed=1, base=Path()), homeostasis=HomeostasisSettings(controller=controller))


@pytest.mark.parametrize("controller", ["ideal", "integral", "pid", "quasi-static"])
@pytest.mark.parametrize("flaws", HARMLESS | IN_TIME)
def test_an_imperfect_device_conforms_and_says_what_it_is(flaws: str, controller: str) -> None:
    lines = simulated(controller, (HARMLESS | IN_TIME)[flaws])
    assert failed(lines) == {}
    assert "; " in lines[0].text  # the notes of the device


@pytest.mark.parametrize("flaws", HARMLESS)
def test_an_imperfect_engine_conforms(flaws: str) -> None:
    pytest.importorskip("torch")
    settings = HopfieldSettings(
        widths=(6, 8, 3), weight_couplings=(0.02, 0.01), bias_couplings=(0.01, 0.01), imperfections=HARMLESS[flaws],
        dtype="float64", stop="residual", tolerance=1e-10, max_sweeps=10_000, threads=1,
    )  # fmt: skip
    assert failed(conform(lambda: settings.open(seed=1, base=Path()))) == {}


@pytest.mark.parametrize("controller", ["integral", "quasi-static"])
def test_failed_knobs_fail_by_name(controller: str) -> None:
    found = failed(simulated(controller, {"failed_knobs": ["u3", 7]}))
    assert set(found) == {"set then read", "homeostasis holds theta"}
    for text in found.values():
        assert "u3" in text
        assert "u7" in text


def test_a_failed_knob_that_is_not_at_rest_is_not_made_safe() -> None:
    pytest.importorskip("torch")
    settings = HopfieldSettings(
        widths=(6, 8, 3), weight_couplings=(0.02, 0.01), bias_couplings=(0.01, 0.01), dtype="float64", stop="residual",
        tolerance=1e-10, max_sweeps=10_000, threads=1, imperfections={"failed_knobs": ["u_w1[0,3]"]},  # type: ignore[arg-type]
    )  # fmt: skip
    found = failed(conform(lambda: settings.open(seed=1, base=Path())))
    assert set(found) == {"set then read", "make safe"}
    for text in found.values():
        assert "u_w1[0,3]" in text


def test_settling_cut_too_early_fails_where_an_equilibrium_is_promised() -> None:
    found = failed(simulated("integral", {"settle_ticks": 4}, energy="spring"))
    assert "release restores the free equilibrium" in found
    assert "homeostasis holds theta" not in found  # every move of the law gives it time anew


@pytest.mark.parametrize(
    ("flaws", "lines"),
    [
        ({"mismatch": 0.2}, set()),
        ({"failed_knobs": ["u2"]}, {"set then read", "homeostasis holds theta"}),
        ({"settle_ticks": 30}, set()),
    ],
)
def test_the_slow_device_conforms_as_far_as_it_can(flaws: dict[str, Any], lines: set[str]) -> None:
    settings = SlowSettings(energy="linear", imperfections=flaws)
    found = failed(conform(lambda: settings.open(seed=1, base=Path()), homeostasis=HomeostasisSettings(controller="integral")))
    assert set(found) == lines
    assert all("u2" in text for text in found.values())
