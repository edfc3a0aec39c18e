"""The conformance suite on every kind of device: all pass, and each broken one fails at its own line and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aeqlab.backends.checks import checked_vector
from aeqlab.backends.device import Device, Readout
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.conformance import Line, LineVerdict, conform
from aeqlab.protocols.conformance_lines import LINES
from aeqlab.protocols.errors import AbortRequested
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.hold_settings import HomeostasisSettings

NAMES = [name for name, _ in LINES]
INTEGRAL = HomeostasisSettings(controller="integral")


def simulated(energy: str = "linear", **more: Any) -> Callable[[], Device]:
    return lambda: SimulatedSettings(energy=energy, **more).open(seed=1, base=Path())


def failed(lines: list[Line]) -> list[str]:
    return [line.name for line in lines if line.verdict is LineVerdict.FAIL]


def texts(lines: list[Line]) -> str:
    return "\n".join(f"{line.name}: {line.verdict}: {line.text}" for line in lines)


@pytest.mark.parametrize("controller", ["ideal", "integral", "pid", "quasi-static"])
@pytest.mark.parametrize("energy", ["linear", "spring", "hopfield"])
def test_simulated_devices_conform(energy: str, controller: Any) -> None:
    open_device = simulated(energy, control_limits=(-6.0, 6.0), epsilon=0.05)
    lines = conform(open_device, homeostasis=HomeostasisSettings(controller=controller))
    assert failed(lines) == [], texts(lines)
    assert [line.name for line in lines] == NAMES


@pytest.mark.parametrize("coupling", ["cosh", "mirror"])
def test_a_device_with_a_convex_coupling_conforms(coupling: str) -> None:
    lines = conform(simulated("linear", coupling=coupling), homeostasis=INTEGRAL)
    assert failed(lines) == [], texts(lines)


def test_a_batch_and_couplings_per_knob_conform() -> None:
    lines = conform(simulated("linear", batch=4, epsilon=[0.02 + 0.01 * k for k in range(21)]), homeostasis=INTEGRAL)
    assert failed(lines) == [], texts(lines)


@pytest.mark.parametrize("controller", ["integral", "pid", "quasi-static"])
def test_the_slow_device_conforms(controller: Any) -> None:
    lines = conform(
        lambda: SlowSettings(energy="linear").open(seed=1, base=Path()), homeostasis=HomeostasisSettings(controller=controller)
    )
    assert failed(lines) == [], texts(lines)


@pytest.mark.parametrize("relaxation", ["once", "joint"])
def test_the_hopfield_engine_conforms(relaxation: Any) -> None:
    pytest.importorskip("torch")
    settings = HopfieldSettings(
        widths=(6, 8, 3), weight_couplings=(0.02, 0.01), bias_couplings=(0.01, 0.01), parameter_relaxation=relaxation,
        dtype="float64", stop="residual", tolerance=1e-10, max_sweeps=10_000, threads=1,
    )  # fmt: skip
    lines = conform(lambda: settings.open(seed=1, base=Path()))
    assert failed(lines) == [], texts(lines)
    by_name = {line.name: line for line in lines}
    for name in ("release restores the free equilibrium", "more nudge never raises the cost"):
        assert ("one-shot" in by_name[name].text) == (relaxation == "once")


@pytest.mark.parametrize("preset", ["tour-engine", "digits", "mnist-dense", "fashion-dense"])
def test_engines_of_presets_conform(preset: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their couplings are so soft that theta, left floating for a line, runs to where no output answers."""
    pytest.importorskip("torch")
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    device = load_experiment(preset).experiment.device
    lines = conform(lambda: device.open(seed=1, base=Path()))
    assert failed(lines) == [], texts(lines)


# Ways to be broken, each a real device with one promise taken away ------------------------------------------------


def wrong_sign(device: Device) -> Device:
    """Nudge away from the target."""
    inner = device._nudge
    device._nudge = lambda y, beta: inner(y, -beta)  # type: ignore[method-assign]
    return device


def leaking_clamp(device: Any) -> Device:
    """Let the knobs give way by a fifth of what theta moves while a nudge is on."""
    inner_nudge, inner_release, inner_freeze, inner = device._nudge, device._release, device._freeze, device._advance
    since: list[Any] = [None, None]

    def nudge(y: Any, beta: float) -> None:
        if beta and not device._holding:
            since[:] = [device._controls(), device.true_parameters()]
        inner_nudge(y, beta)

    def release() -> None:
        since[:] = [None, None]
        inner_release()

    def freeze() -> None:
        since[:] = [None, None]
        inner_freeze()

    def advance(seconds: float | None) -> Readout:
        readout: Readout = inner(seconds)
        if since[0] is not None and not device._holding:
            device._physics.set_controls(since[0] + 0.2 * (readout.parameters - since[1]))
        return readout

    device._nudge, device._release, device._freeze, device._advance = nudge, release, freeze, advance
    return device


def ignored_limit(device: Device) -> Device:
    """Take any control value, cutting it to the limits without a word."""
    info = device.info

    def set_controls(u: Any) -> None:
        device._check_open()
        values = checked_vector("control knobs", u, len(info.controls), info.dtype)
        device._set_controls(np.clip(values, info.controls.low, info.controls.high))

    device.set_controls = set_controls  # type: ignore[method-assign]
    return device


def dead_ideal_controller(device: Any) -> Device:
    """Say that theta is held, and do nothing for it."""
    device.hold_exactly = lambda on: None
    return device


def stale_as_fresh(device: Any) -> Device:
    """Serve the values of the tick before as those of now, at every third tick."""
    inner, inner_state, inner_restore = device._advance, device.state, device.restore
    count = [0]
    last: list[Any] = [None, None]

    def advance(seconds: float | None) -> Readout:
        readout: Readout = inner(seconds)
        count[0] += 1
        if count[0] % 3 == 0 and last[0] is not None:
            readout = readout._replace(outputs=last[0], parameters=last[1])
        last[:] = [readout.outputs.copy(), None if readout.parameters is None else readout.parameters.copy()]
        return readout

    def restore(state: dict[str, Any]) -> None:
        inner_restore(state)
        count[0], last[:] = state["count"], state["last"]

    device._advance, device.restore = advance, restore
    device.state = lambda: {**inner_state(), "count": count[0], "last": list(last)}
    return device


def keeps_what_is_staged(device: Any) -> Device:
    """Keep inputs that were presented before a freeze for the first reading after it."""
    inner = device._freeze

    def freeze() -> None:
        kept = device._next_inputs
        inner()
        device._next_inputs = kept

    device._freeze = freeze
    return device


BROKEN: list[tuple[Callable[[Any], Device], HomeostasisSettings, str]] = [
    (wrong_sign, INTEGRAL, "more nudge never raises the cost"),
    (leaking_clamp, HomeostasisSettings(controller="ideal"), "clamp really clamps"),
    (ignored_limit, INTEGRAL, "limits refused"),
    (dead_ideal_controller, HomeostasisSettings(controller="ideal"), "homeostasis holds theta"),
    (stale_as_fresh, HomeostasisSettings(controller="ideal"), "readings are fresh"),
    (keeps_what_is_staged, INTEGRAL, "freeze drops what is staged"),
]


@pytest.mark.parametrize(("sabotage", "settings", "line"), BROKEN, ids=[s.__name__ for s, _, _ in BROKEN])
@pytest.mark.parametrize("energy", ["linear", "spring"])
def test_a_broken_device_fails_at_its_own_line(
    sabotage: Callable[[Any], Device], settings: HomeostasisSettings, line: str, energy: str
) -> None:
    lines = conform(lambda: sabotage(simulated(energy, control_limits=(-6.0, 6.0))()), homeostasis=settings)
    assert failed(lines) == [line], texts(lines)


@pytest.mark.parametrize("energy", ["linear", "spring"])
def test_a_controller_of_zero_gain_fails_at_its_own_line(energy: str) -> None:
    dead = HomeostasisSettings(controller="integral", ki=0.0, timeout=30.0)
    assert failed(conform(simulated(energy), homeostasis=dead)) == ["homeostasis holds theta"]


def test_a_stale_reading_of_a_noisy_device_fails_at_its_own_line() -> None:
    lines = conform(lambda: stale_as_fresh(SlowSettings(energy="linear").open(seed=1, base=Path())), homeostasis=INTEGRAL)
    assert failed(lines) == ["readings are fresh"], texts(lines)


def test_a_line_that_is_stopped_says_by_what_and_the_others_go_on() -> None:
    def refuses_state(device: Any) -> Device:
        def refuse(state: dict[str, Any]) -> None:
            raise DeviceConfigError("no state is taken today")

        device.restore = refuse
        return device

    lines = conform(lambda: refuses_state(simulated()()))
    assert failed(lines) == ["state restores"]
    assert "no state is taken today" in texts(lines)


def test_an_interrupt_leaves_the_device_frozen_and_closed() -> None:
    opened: list[Device] = []
    ticks = [0]

    def open_device() -> Device:
        opened.append(simulated()())
        return opened[0]

    def interrupt() -> None:
        ticks[0] += 1
        if ticks[0] == 30:
            raise AbortRequested("enough")

    with pytest.raises(AbortRequested):
        conform(open_device, homeostasis=INTEGRAL, interrupt=interrupt)
    assert opened[0].closed
