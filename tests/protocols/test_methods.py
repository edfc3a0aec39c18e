"""The methods of `train`: which device can do which, what eqprop, autodiff and coupled follow, and the controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inside import SLOW, in_this_process
from numpy.typing import NDArray
from run_helpers import SMALL, experiment, run_sequence

from aeqlab.backends.device import capabilities
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.kinds import DeviceSettings
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols import load_run
from aeqlab.protocols.aeqprop import StepReport, nudging_pair
from aeqlab.protocols.baselines import autodiff_step, sgd_step, spall_gains, spsa_step
from aeqlab.protocols.contrast import coupled_step, eqprop_step
from aeqlab.protocols.data import load_data
from aeqlab.protocols.errors import CapabilityError, FileErrors
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.methods import ASKED_FOR, METHODS, offered, possible, table
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.session import Session
from aeqlab.protocols.stages.train_options import AEQPROP_METHODS, BASELINES, TrainOptions
from aeqlab.protocols.training import Training

Array = NDArray[Any]
ENGINE = HopfieldSettings(
    widths=(3, 5, 4, 2), gains=(1.0, 1.0, 1.0), weight_couplings=(0.1,) * 3, bias_couplings=(0.1,) * 3,
    dtype="float64", stop="residual", tolerance=1e-13, max_sweeps=5000,
)  # fmt: skip
SIMULATED = {
    "linear": {"frequencies": 3, "s_squared": 0.3},
    "spring": {"inputs": 2, "hidden": 2, "outputs": 3},
    "hopfield": {"layers": [3, 5, 2]},
}
SMALL_ENGINE = "{kind: hopfield, widths: [1, 6, 1], input_interval: [-1, 1], intervals: [[-9, 9], [-9, 9]], gains: [0.3, 0.3]}"


def session_of(name: str) -> Session:
    """Open a device that holds its parameters itself and settles tightly."""
    settings: Any = ENGINE if name == "engine" else SimulatedSettings(energy=name, options=SIMULATED[name], batch=2)
    tight = SettlingSettings(accept="settled", tolerance=1e-6)
    session = Session(settings.open(seed=2, base=Path()), homeostasis=HomeostasisSettings(accept={"ticks": 700}), settling=tight)
    theta = session.parameters()
    session.device_call("write_parameters", theta + 0.1 * np.random.default_rng(3).normal(size=len(theta)))
    return session


def example(session: Session) -> tuple[Array, Array]:
    info, rng = session.info, np.random.default_rng(5)
    low, high = np.maximum(info.inputs.low, -1), np.minimum(info.inputs.high, 1)
    x = rng.uniform(low, high, (2, len(info.inputs)))
    outputs = session.device_call("outputs_of", session.device_call("equilibrium", session.parameters(), x))
    return x, outputs + rng.uniform(0.1, 0.4, outputs.shape)


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def followed(session: Session, step: Any, x: Array, y: Array, **more: Any) -> Array:
    """Do a step with learning rate 1 and get the gradient it followed; theta is put back."""
    before = session.parameters()
    report = step(session, x, y, theta=None, learning_rate=1.0, **more)
    assert report.used
    session.device_call("write_parameters", before)
    return np.asarray(before - report.theta_after)


@pytest.mark.parametrize(
    "settings",
    [
        SimulatedSettings(energy="linear"), SimulatedSettings(energy="hopfield"), SimulatedSettings(energy="spring"),
        SlowSettings(energy="linear"), SlowSettings(energy="linear", knows_energy=True), ENGINE,
    ],
    ids=lambda s: f"{s.kind}-{getattr(s, 'energy', '')}-{getattr(s, 'knows_energy', '')}",
)  # fmt: skip
def test_what_the_table_says_of_a_device_is_what_it_has(settings: DeviceSettings) -> None:
    assert offered(settings) == capabilities(settings.open(seed=1, base=Path())) & ASKED_FOR


def test_the_table_has_every_method_and_stands_in_the_guide() -> None:
    assert list(METHODS) == [*AEQPROP_METHODS, *BASELINES]
    guide = (Path(__file__).resolve().parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert table() in guide, f"docs/experiments.md: the table of methods is out of date; it is now\n{table()}"


@pytest.mark.parametrize("name", ["linear", "spring", "hopfield", "engine"])
def test_sgd_and_autodiff_follow_the_gradient_of_the_loss(name: str) -> None:
    session = session_of(name)
    x, y = example(session)
    wanted = session.device_call("loss_gradient", session.parameters(), x, y)
    found = [followed(session, sgd_step, x, y), followed(session, autodiff_step, x, y, through="implicit")]
    if name == "engine":
        found += [followed(session, autodiff_step, x, y), followed(session, autodiff_step, x, y, through="unrolled")]
    for gradient in found:
        np.testing.assert_allclose(gradient, wanted, atol=1e-8)


@pytest.mark.parametrize("name", ["linear", "spring", "hopfield", "engine"])
@pytest.mark.parametrize(("variant", "order"), [("optimistic", 1), ("pessimistic", 1), ("centered", 2)])
def test_eqprop_follows_the_gradient_to_its_order_in_beta(name: str, variant: str, order: int) -> None:
    session = session_of(name)
    x, y = example(session)
    wanted = session.device_call("loss_gradient", session.parameters(), x, y)
    off = []
    for beta in (0.1, 0.05):
        gradient = followed(session, eqprop_step, x, y, pair=nudging_pair(variant, beta))
        off.append(np.linalg.norm(gradient - wanted) / np.linalg.norm(wanted))
        assert cosine(gradient, wanted) > (0.99 if order == 1 else 0.9999)
    assert off[0] / off[1] == pytest.approx(2.0**order, rel=0.12)
    assert off[1] < (0.15 if order == 1 else 0.004)


def test_eqprop_reads_the_cost_without_a_nudge_where_it_is_asked_to() -> None:
    session = session_of("spring")
    x, y = example(session)
    free = []
    for variant, phases in (("optimistic", 2), ("pessimistic", 2), ("centered", 3)):
        report = eqprop_step(session, x, y, theta=None, learning_rate=1e-9, pair=nudging_pair(variant, 0.1))
        assert report.cost_free is not None
        assert (report.beta_1, report.beta_2) == nudging_pair(variant, 0.1)
        assert report.cost_2 < report.cost_1
        free.append(report.cost_free)
        assert phases
    np.testing.assert_allclose(free, free[0], rtol=1e-6)
    report = eqprop_step(session, x, y, theta=None, learning_rate=1e-9, pair=(-0.05, 0.05), free_phase=False)
    assert report.cost_free is None


def test_coupled_learning_is_the_gradient_where_the_hessian_is_the_identity_and_not_elsewhere() -> None:
    cosines = {}
    for name in ("linear", "spring", "hopfield", "engine"):
        if name == "linear":  # with c = 0 the Hessian of E in s is 1
            device = SimulatedSettings(energy="linear", options={"frequencies": 3}, batch=2).open(seed=2, base=Path())
            session = Session(device, homeostasis=HomeostasisSettings(accept={"ticks": 700}))
        else:
            session = session_of(name)
        x, y = example(session)
        wanted = session.device_call("loss_gradient", session.parameters(), x, y)
        cosines[name] = cosine(followed(session, coupled_step, x, y, beta=0.01), wanted)
    assert cosines["linear"] > 0.999999
    assert all(0.3 < cosines[name] < 0.999 for name in ("spring", "hopfield", "engine")), cosines


def test_coupled_learning_lowers_the_cost_of_a_spring_net(tmp_path: Path) -> None:
    result, run = run_sequence(
        tmp_path,
        "train: {method: coupled, beta: 0.2, learning_rate: 0.1, samples: 120}\nevaluate: {}",
        SMALL.replace("energy: linear", "energy: spring").replace("{frequencies: 3}", "{inputs: 1, hidden: 3}")
        .replace("ticks: 12", "ticks: 40"),
    )  # fmt: skip
    assert result.state is RunState.FINISHED, result.reason
    cost = run.steps["cost_free"]
    assert cost[-30:].mean() < 0.7 * cost[:30].mean()
    assert result.summary["follows"] == "coupled: not the gradient"
    assert (run.steps["beta_2"] == 0).all()  # a clamp is no nudge


def test_after_a_step_nothing_is_clamped_and_a_freeze_lets_go() -> None:
    session = session_of("spring")
    x, y = example(session)
    coupled_step(session, x, y, theta=None, learning_rate=1e-12, beta=0.5)
    free = session.device_call("outputs_of", session.device_call("equilibrium", session.parameters(), x))
    np.testing.assert_allclose(session.hold().readout.outputs, free, atol=1e-5)
    session.device_call("clamp_outputs", y)
    assert session.status().state == "nudged"
    assert session.standing[1]
    session.freeze("a test")
    session.continue_()
    np.testing.assert_allclose(session.hold().readout.outputs, free, atol=1e-5)


@pytest.mark.parametrize("method", ["eqprop", "coupled", "autodiff", "sgd"])
def test_a_device_that_cannot_is_told_what_it_lacks(method: str) -> None:
    session = Session(SlowSettings(energy="linear", options={"frequencies": 1}).open(seed=1, base=Path()))
    x, y = np.zeros((1, 1)), np.zeros((1, 1))
    calls: dict[str, Any] = {
        "eqprop": lambda: eqprop_step(session, x, y, theta=None, learning_rate=0.1, pair=(0.0, 0.1)),
        "coupled": lambda: coupled_step(session, x, y, theta=None, learning_rate=0.1, beta=0.1),
        "autodiff": lambda: autodiff_step(session, x, y, theta=None, learning_rate=0.1),
        "sgd": lambda: sgd_step(session, x, y, theta=None, learning_rate=0.1),
    }
    with pytest.raises(CapabilityError, match="Use spsa, finite-difference or Æqprop"):
        calls[method]()


@pytest.mark.parametrize(
    ("device", "train", "key", "words"),
    [
        ("kind: slow", "method: eqprop, beta: 0.1, learning_rate: 1", "method", ["KnowsEnergy", "spsa", "knows_energy: true"]),
        ("kind: slow, knows_energy: true", "method: coupled, beta: 0.1, learning_rate: 1", "method", ["OutputClamp", "eqprop"]),
        ("kind: slow", "method: autodiff, learning_rate: 1", "method", ["Differentiable or Unrolls"]),
        ("kind: simulated", "method: autodiff, learning_rate: 1, through: unrolled", "through", ["Unrolls"]),
        ("kind: simulated", "method: eqprop, variant: centered, beta: 2.1, learning_rate: 1", "beta", ["nudges with -1.05"]),
    ],
)
def test_a_check_refuses_a_method_on_a_device_that_cannot(
    tmp_path: Path, device: str, train: str, key: str, words: list[str]
) -> None:
    text = SMALL.replace("kind: simulated", device).replace("method: centered, beta: 0.2", train)
    with pytest.raises(FileErrors) as caught:
        experiment(tmp_path, text)
    problem = next(p for p in caught.value.problems if p.key == f"sequence.0.train.{key}")
    assert all(word in str(problem) for word in words), str(problem)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "eqprop", "learning_rate": 1}, "needs beta as well"),
        ({"method": "eqprop", "beta": 0.1}, "needs learning_rate"),
        ({"method": "coupled", "beta": 1.5, "learning_rate": 1}, "beta goes up to 1"),
        ({"method": "sgd", "learning_rate": 1, "variant": "centered"}, "variant is for eqprop"),
        ({"method": "sgd", "learning_rate": 1, "through": "implicit"}, "through is for autodiff"),
        ({"method": "sgd", "learning_rate": 1, "decay": "spall"}, "decay is for spsa"),
        ({"method": "spsa", "learning_rate": 1, "stability": 10}, "stability is that of decay"),
        ({"method": "centered", "beta": 0.1, "control": "sham"}, "shuffled-targets"),
        ({"method": "sgd", "learning_rate": [1.0, -1.0]}, "greater than 0"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainOptions.model_validate(options)


def test_every_method_trains_every_device_that_can(tmp_path: Path) -> None:
    """On the simulated device, the engine and the slow one: theta moves, the cost falls, the record is whole."""
    devices = {
        "simulated": "{kind: simulated, energy: linear, options: {frequencies: 3}}",
        "engine": SMALL_ENGINE,
        "slow": "{kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}, knows_energy: true}",
    }
    for name, device in devices.items():
        text = SMALL.replace(SMALL.splitlines()[3].removeprefix("device: "), device)
        if name != "simulated":
            text = text.replace("homeostasis: {controller: integral, accept: {ticks: 12}}\nsettling: {accept: {ticks: 12}}\n", "")
        settings = experiment(tmp_path, text).experiment.device
        wanted = [m for m in possible(offered(settings)) if m not in AEQPROP_METHODS]
        if name == "slow":
            wanted = ["eqprop", "autodiff", "sgd"]
        stages = []
        for method in wanted:
            beta = ", beta: 0.2" if method in ("eqprop", "coupled") else ""
            probe = ", perturbation: 0.01" if method in ("spsa", "finite-difference") else ""
            stages.append(f"train: {{method: {method}, learning_rate: 0.02{beta}{probe}, samples: 3}}")
        folder = tmp_path / name
        folder.mkdir()
        result, run = run_sequence(folder, "\n".join(stages), text)
        assert result.state is RunState.FINISHED, result.reason
        assert len(run.steps) == 3 * len(wanted)
        assert (run.steps["used"] == 1).all()
        assert (np.linalg.norm(np.diff(run.steps["theta"], axis=0), axis=1) > 1e-5).all()


def test_rates_by_block_are_those_of_each_block(tmp_path: Path) -> None:
    text = SMALL.replace(SMALL.splitlines()[3].removeprefix("device: "), SMALL_ENGINE).replace("controller: integral, ", "")
    moved = []
    for rates in ("0.1", "[0.1, 0.2, 0.1, 0.1]"):
        folder = tmp_path / str(len(moved))
        folder.mkdir()
        result, run = run_sequence(folder, f"train: {{method: sgd, learning_rate: {rates}, samples: 2, shuffle: false}}", text)
        assert result.state is RunState.FINISHED, result.reason
        moved.append(run.steps["theta"][0])
    start = np.zeros(len(moved[0]))
    start[6:12] = moved[1][6:12] - 2 * (moved[1][6:12] - moved[0][6:12])  # b1 begins at 0
    np.testing.assert_allclose(start[6:12], 0.0, atol=1e-6)
    np.testing.assert_array_equal(np.delete(moved[0], np.arange(6, 12)), np.delete(moved[1], np.arange(6, 12)))
    with_wrong = text.replace("method: centered, beta: 0.2", "method: sgd, learning_rate: [0.1, 0.2]")
    ended = run_experiment(experiment(tmp_path, with_wrong), runs=tmp_path / "runs")
    assert ended.state is RunState.FAILED
    assert "2 rates for 4 blocks of parameters (w1, b1, w2, b2)" in ended.reason


def test_the_gains_of_spsa_are_constant_or_decay_as_spall_advises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a_k = a / (A + k + 1)^0.602, c_k = c / (k + 1)^0.101, k from 0; Spall 1998."""
    assert spall_gains(0, 0.2, 0.05) == (0.2, 0.05)
    assert spall_gains(99, 0.2, 0.05, 100.0) == pytest.approx((0.2 / 24.27840, 0.05 / 1.592209), rel=1e-6)
    gains: list[tuple[float, float]] = []

    def noted(*args: Any, learning_rate: float, perturbation: float, **more: Any) -> StepReport:
        gains.append((learning_rate, perturbation))
        return spsa_step(*args, learning_rate=learning_rate, perturbation=perturbation, **more)

    monkeypatch.setattr("aeqlab.protocols.training.spsa_step", noted)
    plain = "train: {method: spsa, learning_rate: 0.02, perturbation: 0.01, samples: 3}"
    decaying = plain.replace("samples: 3", "samples: 4, decay: spall, stability: 2")
    result, _ = run_sequence(tmp_path, f"{plain}\n{decaying}\n{decaying}")
    assert result.state is RunState.FINISHED, result.reason
    wanted = [(0.02 / (2 + k + 1) ** 0.602, 0.01 / (k + 1) ** 0.101) for k in range(4)]
    np.testing.assert_allclose(gains, [(0.02, 0.01)] * 3 + wanted * 2)


# the free phase
STEPS = {
    "centered": "method: centered, beta: 0.2",
    "spsa": "method: spsa, learning_rate: 0.005, perturbation: 0.01",
    "finite-difference": "method: finite-difference, learning_rate: 0.02, perturbation: 0.01",
    "eqprop": "method: eqprop, variant: centered, beta: 0.2, learning_rate: 0.02",
    "sgd": "method: sgd, learning_rate: 0.02",
}


@pytest.mark.parametrize("method", STEPS)
def test_the_cost_without_a_nudge_is_read_as_often_as_the_file_says(tmp_path: Path, method: str) -> None:
    """`sgd` holds theta at beta = 0 in every step anyway, and so reads it in every one."""
    wishes = {"": [1, 1, 1, 1, 1], ", free_phase: {every: 3}": [1, 0, 0, 1, 0], ", free_phase: false": [0, 0, 0, 0, 0]}
    stages = [f"train: {{{STEPS[method]}{wish}, samples: 5}}" for wish in wishes]
    result, run = run_sequence(tmp_path, "\n".join(stages))
    assert result.state is RunState.FINISHED, result.reason
    wanted = [1] * 15 if method == "sgd" else [read for each in wishes.values() for read in each]
    assert np.isfinite(run.steps["cost_free"]).astype(int).tolist() == wanted
    assert np.isfinite(run.steps["cost_1"]).all()


@pytest.mark.parametrize(
    "method", [pytest.param(one, marks=pytest.mark.slow if one in ("finite-difference", "eqprop") else ()) for one in STEPS]
)
def test_on_the_wall_clock_it_is_read_in_every_tenth_step_and_a_repetition_finds_it(tmp_path: Path, method: str) -> None:
    text = SLOW.replace("{frequencies: 2}}", "{frequencies: 2}, knows_energy: true, clock: wall, speed: 100}")
    text = text.replace("ticks: 12", "ticks: 3")
    stages = f"repeat: {{until: cost < 0, times: 2, sequence: [train: {{{STEPS[method]}, samples: 12}}]}}"
    with in_this_process():
        result, run = run_sequence(tmp_path, stages, text)
    assert result.state is RunState.FINISHED, result.reason
    wanted = [1] * 24 if method == "sgd" else [1, *[0] * 9, 1, 0] * 2
    assert np.isfinite(run.steps["cost_free"]).astype(int).tolist() == wanted


# controls
def test_frozen_theta_does_the_steps_and_learns_nothing(tmp_path: Path) -> None:
    inside = SMALL.replace("controller: integral, ", "")
    for number, text in enumerate((SMALL, inside)):
        for method in ("method: centered, beta: 0.2", "method: sgd, learning_rate: 0.05"):
            folder = tmp_path / f"{number}-{method[8:11]}"
            folder.mkdir()
            result, run = run_sequence(folder, f"train: {{{method}, control: frozen-theta, samples: 8}}\nevaluate: {{}}", text)
            assert result.state is RunState.FINISHED, result.reason
            theta = run.steps["theta"]
            np.testing.assert_array_equal(theta, np.broadcast_to(theta[0], theta.shape))
            assert (run.steps["used"] == 0).all()
            assert (run.steps["tries"] == 1).all()
            if "centered" in method:
                assert (run.steps["moved"] > 1e-6).all()  # the nudged phase was real
            assert result.summary["control"] == "frozen-theta, not training"
            assert result.summary["skipped"] == 0


def test_shuffled_targets_teach_no_more_than_their_mean(tmp_path: Path) -> None:
    text = SMALL.replace("samples: 60", "samples: 300").replace("frequencies: 3", "frequencies: 4")
    costs, orders = {}, []
    for name, control in (("real", ""), ("shuffled", ", control: shuffled-targets")):
        folder = tmp_path / name
        folder.mkdir()
        stages = f"train: {{method: sgd, learning_rate: 0.005, epochs: 3{control}}}\nevaluate: {{}}"
        result, run = run_sequence(folder, stages, text)
        assert result.state is RunState.FINISHED, result.reason
        costs[name] = result.summary["test_cost_free"]
        assert ("control" in result.summary) is bool(control)
        orders.append(run.steps["sample"])
    np.testing.assert_array_equal(*orders)  # the same inputs in the same order
    test = load_data(experiment(tmp_path, text).experiment.data, seed=5, base=tmp_path).test
    assert test is not None
    mean_alone = 0.5 * float(np.var(test.targets))
    assert costs["real"] < 0.5 * mean_alone
    assert costs["shuffled"] > 0.85 * mean_alone


def test_shuffled_targets_are_drawn_anew_in_each_epoch_and_go_on_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = "method: sgd, learning_rate: 1.0e-9, control: shuffled-targets, epochs: 2"
    text = SMALL.replace("method: centered, beta: 0.2", stage).replace("  - evaluate: {}\n", "")
    whole = run_experiment(experiment(tmp_path, text), runs=tmp_path / "whole")
    requests = Requests()

    train_on = Training._train_on

    def stop_in_the_second_epoch(self: Training, samples: Any, number: int) -> None:
        train_on(self, samples, number)
        if self.done == 74:
            requests.ask_stop("a test")

    monkeypatch.setattr(Training, "_train_on", stop_in_the_second_epoch)
    halves = run_experiment(experiment(tmp_path, text), runs=tmp_path / "halves", requests=requests)
    assert halves.state is RunState.STOPPED
    monkeypatch.undo()
    halves = resume_run(halves.folder)
    assert whole.state is halves.state is RunState.FINISHED
    costs = [load_run(result.folder).steps["cost_free"] for result in (whole, halves)]
    np.testing.assert_array_equal(*costs)
    by_sample = [costs[0][:60][np.argsort(load_run(whole.folder).steps["sample"][:60])],
                 costs[0][60:][np.argsort(load_run(whole.folder).steps["sample"][60:])]]  # fmt: skip
    assert (np.abs(by_sample[0] - by_sample[1]) > 1e-3).mean() > 0.5
