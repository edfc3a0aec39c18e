"""A whole emulated bench, spoken to by the real drivers over VISA: what is set arrives, what is read is so, and when."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from aeqlab.backends.bench import Bench
from aeqlab.backends.bench_file import BenchSettings
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.journal import Journal, read_journal
from aeqlab.drivers.board import Board
from aeqlab.drivers.connection import Wire
from aeqlab.drivers.daq970a import Daq970a, Input
from aeqlab.drivers.errors import LinkLostError
from aeqlab.drivers.keithley2450 import Keithley2450
from aeqlab.drivers.qdac2 import Output, Qdac2

Array = NDArray[np.float64]
no_ports = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
K, EPS, C = 15, 0.1, 0.5
IDEAL: dict[str, Any] = {
    "physics": {"energy": "linear", "options": {"frequencies": 7, "s_squared": C}, "epsilon": EPS},
    "profile": "ideal",
    "clock": "lockstep",
    "seed": 5,
    "instruments": {
        "dac": {"kind": "qdac2", "serial": "121"},
        "adc": {"kind": "daq970a", "serial": "MY1"},
        "smu": {"kind": "keithley2450"},
    },
    "wiring": {
        "dac[1-15]": "u[0-14]", "dac[16]": "x[0]", "adc[101-115]": "theta[0-14]", "adc[116]": "s[0]", "smu[1]": "i[0]",
        "smu[2]": "s[0]", "adc[117]": "temperature", "adc[201-215]": "u[0-14]",
    },
}  # fmt: skip
BOARD: dict[str, Any] = {
    **IDEAL,
    "instruments": {"board": {"kind": "board", "outputs": 16, "inputs": 16, "beta_max": 2.0}},
    "wiring": {"board[1-15]": "u[0-14]", "board[16]": "x[0]", "board[1001-1015]": "theta[0-14]", "board[1016]": "s[0]",
               "board[2001]": "y[0]"},
}  # fmt: skip
U = [str(k) for k in range(1, 16)]
THETA = [str(k) for k in range(101, 116)]


class Rig:
    """The bench and the three drivers, armed."""

    def __init__(
        self, stack: ExitStack, journal: Path | None = None, nplc: float = 1.0, range_V: float = 10.0, **changes: Any
    ) -> None:
        self.bench = stack.enter_context(Bench(BenchSettings.model_validate({**IDEAL, **changes}), journal=journal))
        self.folder = journal
        where = {name: Wire(address, timeout_s=5.0) for name, address in self.bench.addresses.items()}
        self.dac = stack.enter_context(Qdac2(where["dac"], "dac", serial="121", outputs={str(k): Output() for k in range(1, 17)}))
        inputs = {key: Input(range_V=range_V, nplc=nplc, delay_s=0.0) for key in [*THETA, "116"]}
        self.adc = stack.enter_context(Daq970a(where["adc"], "adc", serial="MY1", inputs=inputs))
        self.smu = stack.enter_context(
            Keithley2450(where["smu"], "smu", source="CURRent", source_range=1e-3, limit=10.0, sense_range=2.0, nplc=1.0)
        )
        for one in (self.dac, self.adc, self.smu):
            one.open()
            one.arm()

    def set(self, u: Array | list[float], x: float | None = None) -> None:
        keys, values = (U, list(u)) if x is None else ([*U, "16"], [*u, x])
        self.dac.write(keys, np.array(values))

    def read(self) -> Array:
        """Get theta and s."""
        return np.asarray(self.adc.measure([*THETA, "116"]))

    def journal(self) -> Journal:
        self.bench.physics.flush()
        assert self.folder is not None
        return read_journal(self.folder)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def features(rig: Rig, x: float) -> Array:
    return np.asarray(rig.bench.physics.energy.features(np.array([[x]]))[0])  # type: ignore[attr-defined]


def equilibrium(phi: Array, u: Array, force: float = 0.0) -> tuple[Array, float]:
    """Solve s (1 + 2c) - theta . phi = force and theta = u + eps (s - theta . phi) phi."""
    n = len(u)
    a = np.zeros((n + 1, n + 1))
    a[0, 0], a[0, 1:] = 1 + 2 * C, -phi
    a[1:, 0], a[1:, 1:] = -EPS * phi, np.eye(n) + EPS * np.outer(phi, phi)
    z = np.linalg.solve(a, np.concatenate([[force], u]))
    return z[1:], float(z[0])


def test_set_u_and_read_theta_gain_one_and_the_lag_of_the_equations(stack: ExitStack) -> None:
    options = {"frequencies": 7, "s_squared": 0.0}  # then s follows, and theta comes to its knob
    rig = Rig(stack, physics={"energy": "linear", "options": options, "epsilon": EPS}, profile={"tau_state_s": 1e-4})
    u = np.linspace(-0.5, 0.5, K)
    rig.set(u)
    began = rig.bench.clock.now() - rig.bench.settings.instruments["dac"].message_s  # the question after the trigger
    values = rig.read()
    now = rig.bench.clock.now()
    # s adjusts at once, so that there is no force: theta_k = u_k (1 - exp(-t/tau)), the mean over 20 ms that end at each reading
    ends = now - 0.02 * np.arange(K, -1, -1.0)
    tau, aperture = 0.05, 0.02
    mean = 1 - tau / aperture * (np.exp(-(ends - aperture - began) / tau) - np.exp(-(ends - began) / tau))
    np.testing.assert_allclose(values[:K], u * mean[:K], atol=2e-4)
    rig.bench.spend(1.0)
    np.testing.assert_allclose(rig.read()[:K], u, atol=3e-5)  # within a step of the scanner: its range times 3e-6


def test_the_free_equilibrium_is_where_the_equations_put_it(stack: ExitStack) -> None:
    rig = Rig(stack)
    u, x = 0.4 * np.cos(np.arange(K)), 0.3
    rig.set(u, x)
    rig.bench.spend(5.0)
    theta, s = equilibrium(features(rig, x), u)
    np.testing.assert_allclose(rig.read(), [*theta, s], atol=2e-5)
    assert rig.smu.measure(["2"])[0] == pytest.approx(s, abs=1e-6)


def test_on_an_imperfect_bench_it_is_there_within_its_errors(stack: ExitStack) -> None:
    rig = Rig(stack, profile="bench", physics={**IDEAL["physics"], "epsilon": EPS})
    u, x = 0.4 * np.cos(np.arange(K)), 0.3
    rig.set(u, x)
    rig.bench.spend(5.0)
    ready = rig.read()
    physics = rig.bench.physics
    np.testing.assert_allclose(ready[:K], physics.theta, atol=1e-4)  # noise, thermal motion, a step of the scanner
    assert np.abs(ready[:K] - u).max() < 0.1
    line = np.array([physics.sense("u", k, 0.0) for k in range(K)])
    assert 1e-4 < np.abs(line - u).max() < 2e-3 + 0.01 * 0.4


def test_a_current_into_the_output_moves_it_by_its_soft_compliance(stack: ExitStack) -> None:
    rig = Rig(stack)
    u, x = np.full(K, 0.1), 0.2
    rig.set(u, x)
    phi = features(rig, x)
    soft = 1 / (2 * C + 1 / (1 + EPS * phi @ phi))
    rig.bench.spend(5.0)
    free = rig.smu.measure(["2"])[0]
    for amperes in (1e-4, -1e-4):  # the bench makes 0.1 V of misfit of it
        rig.smu.write(["1"], np.array([amperes]))
        rig.bench.spend(5.0)
        assert rig.smu.measure(["2"])[0] - free == pytest.approx(1000 * amperes * soft, abs=2e-6)
        theta, s = equilibrium(phi, u, 1000 * amperes)
        np.testing.assert_allclose(rig.read(), [*theta, s], atol=2e-5)


def test_the_journal_holds_every_value_that_was_applied_and_when(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, journal=tmp_path / "j")
    told: list[tuple[float, Array]] = []
    for n in range(4):
        u: Array = np.sin(np.arange(K, dtype=np.float64) + n)
        rig.set(u, 0.1 * n)
        told.append((rig.bench.clock.now(), u))
        rig.bench.spend(0.1)
    rig.smu.write(["1"], np.array([2e-4]))
    rig.bench.spend(0.1)
    rig.smu.off(["1"])
    journal = rig.journal()
    applied = [(t, values) for t, values in zip(journal.applied.t, journal.applied.values, strict=True) if values.any()]
    assert len(applied) == len(told)
    for (t, values), (when, u) in zip(applied, told, strict=True):
        assert when - 0.002 <= t <= when + 1e-9
        np.testing.assert_allclose(values, u, atol=20.48 / 2**25)
    np.testing.assert_allclose(journal.inputs.values[:, 0], [0, 0.1, 0.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(journal.currents.values[:, 0], [0, 0.2, 0], atol=1e-9)
    assert journal.currents.t[2] - journal.currents.t[1] == pytest.approx(0.1, abs=0.01)


def test_the_slew_of_the_instrument_and_of_the_bench_both_hold(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, journal=tmp_path / "j", profile={"slew_V_per_s": 10.0})
    rig.dac.connection.write("SOURce1:VOLTage:SLEW 2")
    rig.set(np.full(K, 0.5))
    rig.bench.spend(1.0)
    fastest = rig.journal().fastest()
    assert fastest[0] == pytest.approx(2.0, rel=1e-6)
    np.testing.assert_allclose(fastest[1:], 10.0, rtol=1e-6)


def test_the_same_seed_gives_the_same_readings(tmp_path: Path) -> None:
    def go(seed: int) -> Array:
        with ExitStack() as stack:
            rig = Rig(stack, profile="bench", seed=seed)
            found = []
            for n in range(4):
                rig.set(np.full(K, 0.1 * n), 0.2)
                found.append(rig.read())
            return np.array(found)

    one = go(1)
    np.testing.assert_array_equal(one, go(1))
    assert np.abs(one - go(2)).max() > 1e-4


def test_a_longer_aperture_has_less_noise_and_whole_cycles_no_hum(stack: ExitStack) -> None:
    spread = {}
    for nplc in (1.0, 10.0):
        rig = Rig(stack, nplc=nplc, profile={"noise_V": 1e-3, "hum_V": 0.1})
        rig.bench.spend(2.0)
        spread[nplc] = float(np.std([rig.read() for _ in range(25)]))
    assert spread[1.0] == pytest.approx(1e-3, rel=0.1)
    assert spread[10.0] == pytest.approx(1e-3 / np.sqrt(10), rel=0.1)


def test_a_dropped_link_leaves_the_knobs_standing(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, journal=tmp_path / "j")
    u = np.linspace(0.1, 0.5, K)
    rig.set(u, 0.2)
    rig.bench.drop("dac")
    rig.bench.spend(5.0)
    np.testing.assert_allclose(rig.read()[:K], equilibrium(features(rig, 0.2), u)[0], atol=2e-5)
    with pytest.raises(LinkLostError):
        rig.dac.written(U)
    rig.dac.reopen()
    np.testing.assert_allclose(rig.dac.written(U), u, atol=1e-6)
    assert [event.name for event in rig.journal().events] == ["start", "dropped"]
    np.testing.assert_allclose(rig.journal().last_applied(), u, atol=1e-6)  # type: ignore[arg-type]


def test_a_rebooted_instrument_has_its_outputs_at_zero(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, journal=tmp_path / "j")
    rig.set(np.full(K, 0.3), 0.2)
    rig.bench.spend(0.1)
    rig.bench.reboot("dac")
    rig.dac.reopen()
    assert rig.dac.rebooted()
    journal = rig.journal()
    assert [event.name for event in journal.events] == ["start", "rebooted"]
    np.testing.assert_array_equal(journal.last_applied(), np.zeros(K))


def test_channels_that_have_failed_stay_as_they_are(stack: ExitStack) -> None:
    rig = Rig(stack)
    rig.set(np.full(K, 0.3))
    rig.bench.terminals["dac"].stuck.add("2")
    rig.bench.terminals["adc"].stuck.add("103")
    before = rig.read()
    rig.set(np.full(K, -0.3))
    rig.bench.spend(5.0)
    assert rig.bench.physics.sense("u", 1, 0.0) == pytest.approx(0.3, abs=1e-6)
    assert rig.read()[2] == before[2]


def test_wires_that_are_broken_swapped_or_half(stack: ExitStack) -> None:
    rig = Rig(stack, gains={"dac[2]": 0.0, "dac[3]": -1.0, "dac[4-5]": 0.5, "adc[106]": -1.0})
    rig.set(np.full(K, 0.4), 0.0)
    rig.bench.spend(5.0)
    u = np.array([0.4, 0.0, -0.4, 0.2, 0.2, *np.full(10, 0.4)])
    theta, s = equilibrium(features(rig, 0.0), u)
    theta[5] *= -1
    np.testing.assert_allclose(rig.read(), [*theta, s], atol=2e-5)
    with pytest.raises(ValidationError, match=r"gains: dac\[20\]: dac\[20\] is not wired"):
        BenchSettings.model_validate({**IDEAL, "gains": {"dac[20]": 0.5}})


def test_a_source_of_voltage_holds_an_output_until_it_is_switched_off(stack: ExitStack, tmp_path: Path) -> None:
    rig = Rig(stack, journal=tmp_path / "j")
    connection = rig.smu.connection
    connection.write("SOURce:FUNCtion VOLTage;:SOURce:VOLTage:RANGe 2;:SOURce:VOLTage 1;:OUTPut ON")
    connection.query("*OPC?")
    rig.bench.spend(2.0)
    assert rig.bench.truth()["outputs"][0] == pytest.approx(1.0, abs=0.03)
    connection.write("OUTPut OFF")
    connection.query("*OPC?")
    rig.bench.spend(2.0)
    assert abs(rig.bench.truth()["outputs"][0]) < 0.01
    assert rig.journal().currents.values[-1, 0] == 0.0  # it is no source of current


@pytest.mark.parametrize(("profile", "least"), [("ideal", 0.999), ("bench", 0.98)])
def test_a_step_of_learning_on_it_goes_down_the_gradient(stack: ExitStack, profile: str, least: float) -> None:
    rig = Rig(stack, profile=profile, range_V=1.0)
    x, y, beta = 0.3, 0.4, 0.2
    goal = 0.3 * np.sin(np.arange(K) + 0.5)
    u = goal.copy()
    for _ in range(6):  # quasi-static homeostasis
        rig.set(u, x)
        rig.bench.spend(1.0)
        u = u + goal - rig.read()[:K]
    rig.set(u, x)
    rig.bench.spend(1.0)
    held = rig.read()
    rig.smu.write(["1"], np.array([-beta * (held[K] - y) / 1000]))  # one shot
    rig.bench.spend(1.0)
    step = rig.read()[:K] - held[:K]
    physics = rig.bench.physics
    phi = np.asarray(physics.energy.features(physics.motion.x)[0])  # type: ignore[attr-defined]
    downhill = -physics.epsilon * (held[K] - y) * phi / (1 + 2 * C)  # dC/dtheta = (s - y) ds/dtheta
    assert np.abs(held[:K] - goal).max() < 1e-3
    assert step @ downhill / np.linalg.norm(step) / np.linalg.norm(downhill) > least


def test_two_hundred_and_fifty_five_knobs_on_eleven_boxes_and_five_scanners() -> None:
    wiring = {f"dac{n}[1-24]": f"u[{24 * n}-{24 * n + 23}]" for n in range(10)} | {
        "dac10[1-15]": "u[240-254]",
        "dac10[16]": "x[0]",
    }
    instruments: dict[str, Any] = {f"dac{n}": {"kind": "qdac2", "serial": str(n)} for n in range(11)}
    for n in range(5):
        instruments[f"adc{n}"] = {"kind": "daq970a", "serial": f"MY{n}", "modules": [20, 20, 20]}
        for slot in range(3):
            first = 60 * n + 20 * slot
            last = min(first + 19, 254)
            if first <= 254:
                wiring[f"adc{n}[{100 * slot + 101}-{100 * slot + 101 + last - first}]"] = f"theta[{first}-{last}]"
    wiring["adc4[320]"] = "s[0]"
    settings = BenchSettings.model_validate(
        {**IDEAL, "physics": {"energy": "linear", "options": {"frequencies": 127}, "epsilon": 0.01}, "instruments": instruments,
         "wiring": wiring, "profile": "bench"}
    )  # fmt: skip
    with Bench(settings) as bench, ExitStack() as stack:
        outputs = {str(k): Output() for k in range(1, 25)}
        boxes = [
            stack.enter_context(Qdac2(Wire(bench.addresses[f"dac{n}"], timeout_s=5.0), f"dac{n}", outputs=outputs))
            for n in range(11)
        ]
        for box in boxes:
            box.open()
            box.arm()
            box.write(list(outputs), np.full(24, 0.1))
        bench.spend(2.0)
        line = np.array([bench.physics.sense("u", k, 0.0) for k in range(255)])
        assert np.abs(line - 0.1).max() < 0.1 * 0.01 + 2e-3
        adc = stack.enter_context(
            Daq970a(Wire(bench.addresses["adc2"], timeout_s=5.0), "adc2", inputs={"101": Input(1.0, 1.0, 0.0)})
        )
        adc.open()
        adc.arm()
        assert adc.measure(["101"])[0] == pytest.approx(bench.physics.theta[120], abs=1e-4)


@pytest.mark.parametrize("serve", ["tcp", pytest.param("serial", marks=no_ports)])
def test_a_board_holds_reads_nudges_and_rests_by_itself(serve: str, tmp_path: Path) -> None:
    instrument = {**BOARD["instruments"]["board"], "serve": serve}
    settings = BenchSettings.model_validate({**BOARD, "instruments": {"board": instrument}})
    with Bench(settings, journal=tmp_path / "j") as bench:
        end = "\r\n" if serve == "serial" else "\n"
        wire = Wire(bench.addresses["board"], timeout_s=5.0, read_end=end)
        rest, slew = dict.fromkeys(U, 0.05), dict.fromkeys(U, 0.5)
        limits = {str(k): (-1.0, 1.0) for k in range(1, 17)}
        with Board(wire, "board", limits_V=limits, rest_V=rest, slew_V_per_s=slew) as board:
            board.open()
            board.arm()
            u, x, y, beta = np.full(K, 0.2), 0.25, 0.5, 0.5
            board.write([*U, "16"], np.array([*u, x]))
            board.nudge(np.array([y]), beta)
            bench.spend(5.0)
            read = board.measure([str(k) for k in range(1001, 1017)])
            physics = bench.physics
            phi = np.asarray(physics.energy.features(physics.motion.x)[0])  # type: ignore[attr-defined]
            theta, s = read[:K], read[K]
            step = 20 / 2**16
            assert (1 + 2 * C) * s - phi @ theta + beta * (s - y) == pytest.approx(0, abs=20 * step)
            np.testing.assert_allclose(theta, u + EPS * (s - phi @ theta) * phi, atol=5 * step)
            board.watch(1.0)
            began = bench.clock.now()
            bench.spend(6.0)  # nobody speaks: off goes the nudge after 1 s, and after 3 s the outputs ramp to rest
            assert board.bitten() == 2
        journal = read_journal(tmp_path / "j")
    assert journal.last_beta() == 0.0
    assert journal.nudges.t[-1] - began == pytest.approx(1.0, abs=0.05)
    ramp = journal.applied.t[(journal.applied.t > began + 2.0) & (journal.applied.values[:, 0] > 0.05 + step)]
    assert ramp[0] - began == pytest.approx(3.0, abs=0.05)
    assert ramp[-1] - began == pytest.approx(3.0 + 0.15 / 0.5, abs=0.05)
    np.testing.assert_allclose(journal.last_applied(), 0.05, atol=step)  # type: ignore[arg-type]


@no_ports
def test_a_board_that_resets_when_its_port_is_opened(tmp_path: Path) -> None:
    instrument = {**BOARD["instruments"]["board"], "serve": "serial", "resets_when_opened": True}
    with Bench(BenchSettings.model_validate({**BOARD, "instruments": {"board": instrument}})) as bench:
        for _ in range(2):
            wire = Wire(bench.addresses["board"], timeout_s=5.0, read_end="\r\n")
            with Board(wire, "board", limits_V={"1": (-1.0, 1.0)}) as board:
                board.open()
                board.arm()
                assert board.written(["1"])[0] == 0.0
                board.write(["1"], np.array([0.5]))
                assert bench.physics.sense("u", 0, 0.0) == pytest.approx(0.5, abs=20 / 2**16)
            time.sleep(0.1)  # a pseudo-terminal that is opened again at once shows nothing of it


def test_on_the_wall_clock_it_moves_while_nobody_speaks(tmp_path: Path) -> None:
    with Bench(
        BenchSettings.model_validate({**IDEAL, "clock": "wall", "speed": 20, "profile": {"slew_V_per_s": 1.0}}),
        journal=tmp_path / "j",
    ) as bench:
        bench.terminals["dac"].drive("1", 0.5)
        until = time.monotonic() + 5.0
        while bench.physics.z[1] < 0.4 and time.monotonic() < until:
            time.sleep(0.01)
        assert bench.physics.z[1] > 0.4
    journal = read_journal(tmp_path / "j")
    assert journal.fastest()[0] == pytest.approx(1.0, rel=1e-6)
    assert len(journal.applied) > 3


def test_everything_that_is_wrong_with_a_file_is_told_at_once() -> None:
    wiring = {
        "dac[1-15]": "u[0-14]", "dac[3]": "x[0]", "dca[16]": "x[0]", "dac[25]": "x[0]", "adc[101-114]": "theta[0-14]",
        "adc[116]": "S[0]", "smu[1]": "u[0]", "dac[17]": "u[0]", "adc[118]": "theta[15]", "dac 18": "x[0]", "dac[19]": "beta[0]",
    }  # fmt: skip
    with pytest.raises(ValidationError) as caught:
        BenchSettings.model_validate({**IDEAL, "wiring": wiring})
    said = str(caught.value)
    for expected in (
        "dac[3] is wired twice, to u[2] and to x[0]",
        "there is no instrument 'dca'. Did you mean dac?",
        "dac has no channel 25",
        "14 channels are wired to 15 quantities",
        "there is no quantity 'S'",
        "smu[1] drives A and cannot be wired to u[0]; it takes i",
        "u[0] is driven twice, by dac[1] and by dac[17]",
        "there are 15 theta, counted from 0, and no theta[15]",
        "'dac 18' is no name with a number",
        "s[0] is sensed by no channel. Wire it, or name it under open.",
    ):
        assert expected in said, said


def test_what_is_not_wired_must_be_named() -> None:
    wiring = {key: value for key, value in IDEAL["wiring"].items() if key != "dac[16]"} | {"adc[101-115]": "theta[0-14]"}
    with pytest.raises(ValidationError, match=r"x\[0\] is driven by no channel"):
        BenchSettings.model_validate({**IDEAL, "wiring": wiring})
    assert BenchSettings.model_validate({**IDEAL, "wiring": wiring, "open": ["x[0]"]})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": 1}, "Extra inputs"),
        ({"profile": "good"}, "profile"),
        ({"profile": {"noise": 1}}, "noise"),
        ({"physics": {"energy": "linear", "batch": 3}}, "batch: the physics of a bench are"),
        ({"instruments": {"dac": {"kind": "qdac3"}}}, "qdac3"),
        ({"instruments": {**IDEAL["instruments"], "dac": {"kind": "qdac2", "channels": 3}}}, "Extra inputs"),
    ],
)
def test_unknown_keys_are_errors(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        BenchSettings.model_validate({**IDEAL, **changes})


def test_ports_that_are_taken_are_told_at_once_and_nothing_is_left_behind() -> None:
    with Bench(BenchSettings.model_validate(IDEAL)) as bench:
        ports = [int(address.split("::")[2]) for address in bench.addresses.values()]
        instruments = {
            name: {**one, "port": port}
            for (name, one), port in zip(IDEAL["instruments"].items(), [ports[0], 0, ports[2]], strict=True)
        }
        with pytest.raises(DeviceConfigError) as caught:
            Bench(BenchSettings.model_validate({**IDEAL, "instruments": instruments}))
    assert f"dac: port {ports[0]} cannot be served" in str(caught.value)
    assert f"smu: port {ports[2]} cannot be served" in str(caught.value)
    twice = {**IDEAL["instruments"], "adc": {"kind": "daq970a", "port": 5099}, "smu": {"kind": "keithley2450", "port": 5099}}
    with pytest.raises(ValidationError, match="smu: port 5099 is that of adc"):
        BenchSettings.model_validate({**IDEAL, "instruments": twice})
