"""A rig in a notebook: by hand and by runs on one device, cells that are interrupted, and how it is left."""

from __future__ import annotations

import contextlib
import inspect
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import client_of, inputs_of, served, slow, targets_of

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import LimitError
from aeqlab.backends.linear import LinearEnergy, LinearOptions
from aeqlab.protocols import Experiment, load_experiment, load_run, open_rig
from aeqlab.protocols.errors import FileErrors, FrozenError, NotAllowedError, RunFailedError
from aeqlab.protocols.load import Run
from aeqlab.protocols.rig import Rig
from aeqlab.protocols.run_folder import find_run
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.run_state import Requests
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.stages.registry import stage_kinds
from aeqlab.protocols.stages.train_options import TrainOptions
from aeqlab.protocols.status import SessionState

DEVICE: dict[str, Any] = {"kind": "simulated", "energy": "linear", "epsilon": 0.1, "options": {"frequencies": 3}}
DATA: dict[str, Any] = {"kind": "legendre", "degree": 4, "samples": 30, "test_samples": 5}
LONG = {"accept": {"ticks": 1_000_000}}


def made(**changes: Any) -> Experiment:
    """Make the experiment of a rig."""
    return Experiment(**({"name": "bench", "seed": 3, "device": DEVICE, "data": DATA, "sequence": ["evaluate"]} | changes))


@contextmanager
def rig_of(where: str, **changes: Any) -> Iterator[Rig]:
    """Open a rig on a device in this process, or on a slow one through a session served by a thread, in virtual time or not."""
    if where == "here":
        with open_rig(made(**changes), quiet=True) as rig:
            yield rig
        return
    experiment = made(**changes, device={"kind": "slow", "energy": "linear", "options": {"frequencies": 3}})
    settings = {"homeostasis": experiment.homeostasis, "settling": experiment.settling}
    clock = Clock.WALL if where == "wall" else Clock.VIRTUAL
    with served(slow(clock), **settings) as server, rig_on(server, experiment) as rig:
        yield rig


def rig_on(server: SessionServer, experiment: Experiment) -> Rig:
    """Open a rig on a session that is served."""
    return Rig(client_of(server, "open_rig"), load_experiment(experiment), runs=Path("runs"), quiet=True)


def test_cells_after_one_another_are_the_sequence_in_one_run() -> None:
    with open_rig(made(), quiet=True) as rig:
        cells = [rig.train(beta=0.1, samples=10), rig.train(method="centered", beta=0.1, samples=10)]
        assert rig.status().state is SessionState.IDLE
    with open_rig(made(), quiet=True) as rig:
        whole = rig.run([{"train": {"beta": 0.1, "samples": 10}}, TrainOptions(beta=0.1, samples=10)])
    for column in ("sample", "cost_1", "cost_2", "theta", "t"):
        np.testing.assert_array_equal(np.concatenate([cell.steps[column] for cell in cells]), whole.steps[column], err_msg=column)
    assert len(set(whole.steps["sample"])) == 20


@pytest.mark.parametrize("where", ["here", "served"])
def test_theta_goes_on_from_cell_to_cell_where_a_loop_holds_it(where: str) -> None:
    with rig_of(where, homeostasis={"controller": "integral"}) as rig:
        restored = rig.stage.restore(theta="random", spread=0.2)
        first = rig.train(beta=0.1, samples=3)
        assert rig.status().state is SessionState.HOLDING
        held = rig.parameters()
        second = rig.train(beta=0.1, samples=3)
    assert np.abs(first.theta - restored.theta).max() < 0.2
    assert np.abs(held - first.theta).max() < 2e-3  # as far as a noisy loop holds it
    assert np.linalg.norm(second.steps["theta"][0] - first.theta) == pytest.approx(second.steps["moved"][0], abs=2e-3)
    assert second.provenance["after"] == first.path.name
    assert restored.provenance["after"] is None


def test_a_run_of_a_rig_is_a_run_like_any_other() -> None:
    with open_rig(made(tags=["bench 1"]), quiet=True) as rig:
        run = rig.run("evaluate", name="look", notes="after lunch", data=DATA | {"test_samples": 2}, operator="ada")
        assert run.path.parent == Path("runs").absolute()
        assert rig.evaluate(runs="others").path.parent == Path("others").absolute()
    assert find_run("last", Path("runs")) == Path("runs") / run.path.name
    assert (run.state, run.meta["notes"], run.meta["tags"], run.meta["then"]) == ("finished", "after lunch", ["bench 1"], "hold")
    assert run.summary["stages"]["0"]["samples"] == 2
    assert run.provenance["operator"] == "ada"
    again = load_experiment(run.path / "experiment.yaml").experiment
    assert (again.name, again.data.test_samples, again.sequence[0].kind) == ("look", 2, "evaluate")  # type: ignore[union-attr]


@pytest.mark.parametrize("where", ["here", "virtual"])
def test_what_a_cell_set_stands_in_the_next(where: str) -> None:
    with rig_of(where) as rig:
        rig.stage.set(quantities={"x0": 0.3, "homeostasis.gain": 0.5})
        theta = np.linspace(0.1, 0.3, rig.info.n_parameters)
        rig.device_call("write_parameters", theta) if "WritableParameters" in rig.abilities else rig.set_target(theta)
        run = rig.stage.scan(over=[{"quantity": "theta0", "values": [0.1]}], read=["s", "theta"])
        found = float(run.scans[0].values["s[0]"][0])
        rig.present(np.array([[-0.4]]))
        other = float(rig.stage.scan(over=[{"quantity": "theta0", "values": [0.1]}], read=["s"]).scans[0].values["s[0]"][0])
    again = load_experiment(run.path / "experiment.yaml").experiment
    assert again.homeostasis.gain == 0.5
    there, elsewhere = LinearEnergy(LinearOptions(frequencies=3)).features(np.array([[0.3], [-0.4]])) @ theta
    assert found == pytest.approx(there, abs=2e-3)
    assert other == pytest.approx(elsewhere, abs=2e-3)


def _asking(patch: pytest.MonkeyPatch, how: str) -> None:
    """Ask the next run to abort, or to freeze and then to stop, at its fourth sample boundary."""
    point, points = RunSession.point, 0

    def pointed(self: RunSession) -> None:
        nonlocal points
        points += 1
        if points == 4:
            self.requests.ask_abort("the test") if how == "abort" else self.requests.ask_freeze("the test")
        point(self)

    patch.setattr(RunSession, "point", pointed)
    patch.setattr(Requests, "wait", lambda self, timeout_s: self.ask_stop("the test"))


@pytest.mark.parametrize("how", ["abort", "freeze"])
@pytest.mark.parametrize("what", ["scan", "ramp"])
@pytest.mark.parametrize("where", ["here", "virtual"])
def test_a_setting_of_a_stage_that_was_left_is_not_that_of_the_next_cell(
    monkeypatch: pytest.MonkeyPatch, where: str, what: str, how: str
) -> None:
    options: dict[str, Any] = {"over": [{"quantity": "homeostasis.gain", "values": [1, 4, 4, 4]}]}
    if what == "ramp":
        options = {"quantity": "homeostasis.gain", "from": 2, "to": 4, "seconds": 1000}
    with rig_of(where, homeostasis={"controller": "integral", "gain": 0.75}) as rig:
        with monkeypatch.context() as patch:
            _asking(patch, how)
            left = getattr(rig.stage, what)(**options, sample=0)
        assert left.state == ("aborted" if how == "abort" else "stopped"), left.reason
        rig.continue_()
        run = rig.evaluate()
    assert load_experiment(run.path / "experiment.yaml").experiment.homeostasis.gain == 0.75


@pytest.mark.parametrize("how", ["abort", "freeze"])
def test_a_coupling_is_put_back_or_said(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    options: dict[str, Any] = {"over": [{"quantity": "coupling", "values": [0.5] * 4}], "sample": 0}
    with rig_of("here", homeostasis={"controller": "integral"}) as rig:
        with monkeypatch.context() as patch:
            _asking(patch, how)
            left = rig.stage.scan(**options)
        said = [text for text in left.events["text"] if "The coupling stays at 0.5 times" in text]
        assert bool(said) is (how == "freeze")  # a device that is frozen has it as it is
        assert rig._lent.coupling == (0.5 if said else 1.0)


@pytest.mark.parametrize("kind", stage_kinds().values(), ids=lambda kind: kind.name)
def test_every_stage_is_a_method_with_its_options(kind: Any) -> None:
    with open_rig(made(), quiet=True) as rig:
        name = kind.name.replace("-", "_")
        method = getattr(rig.stage, name)
        assert name in dir(rig.stage)
        assert name in dir(rig)
        parameters = inspect.signature(method).parameters
        assert set(kind.options.model_fields) <= set(parameters)
        for option, field in kind.options.model_fields.items():
            assert (parameters[option].default is inspect.Parameter.empty) is field.is_required()
        assert kind.summary in method.__doc__
        with pytest.raises(FileErrors, match=rf"(?m)^sequence\.0\.{kind.name}\.nonsense: .* no (key|quantity) 'nonsense'"):
            method(nonsense=1)
        assert not Path("runs").exists()


def test_what_is_no_stage_and_no_call_is_no_attribute() -> None:
    with open_rig(made()) as rig:
        with pytest.raises(AttributeError, match="there is no stage 'trian'; there are train, evaluate"):
            rig.stage.trian(beta=0.1)
        with pytest.raises(AttributeError, match="trian"):
            rig.trian(beta=0.1)
        assert rig.last_readout is None  # of the session


def test_by_hand_within_the_limits() -> None:
    with open_rig(made(limits={"controls": [-0.5, 0.5], "beta": [-0.2, 0.2]}), quiet=True) as rig:
        rig.present(inputs_of(rig))
        with pytest.raises(LimitError, match=r"-0.5 to 0.5"):
            rig.set_controls(np.full(7, 0.6))
        with pytest.raises(LimitError, match=r"0.2"):
            rig.nudge(targets_of(rig), 0.3)
        rig.set_controls(np.full(7, 0.25))
        rig.nudge(targets_of(rig), 0.1)
        readout = rig.advance(0.5)
        assert readout.dt >= 0.5
        assert rig.status().state is SessionState.NUDGED
        rig.release()
        np.testing.assert_array_equal(rig.controls(), np.full(7, 0.25))
        assert rig.hold().accepted
        assert rig.settle().accepted
        assert rig.read().outputs.shape == (1, 1)
        rig.device_call("write_parameters", np.zeros(7))
        np.testing.assert_array_equal(rig.parameters(), np.zeros(7))
        assert "bench on simulated linear" in repr(rig)
    assert rig.left.startswith("Device frozen: nudge off")


def test_settings_of_loops_that_were_changed_are_those_of_runs_too() -> None:
    with open_rig(made(), quiet=True) as rig:
        rig.configure(homeostasis={"controller": "integral", "accept": {"ticks": 7}})
        run = rig.train(beta=0.1, samples=2)
    assert list(run.steps["hold_ticks"]) == [7, 7]
    assert "ticks: 7" in run.experiment


def _interrupt_at(tick: int) -> Callable[[], None]:
    count = 0

    def hook() -> None:
        nonlocal count
        count += 1
        if count == tick:
            raise KeyboardInterrupt

    return hook


@pytest.mark.parametrize("where", ["here", "served", "wall"])
@pytest.mark.parametrize("call", ["hold", "settle", "advance"])
def test_an_interrupted_cell_leaves_the_device_frozen_and_says_how_to_go_on(where: str, call: str) -> None:
    with rig_of(where, homeostasis={"controller": "integral", **LONG}, settling=LONG) as rig:
        rig.configure(homeostasis={"controller": "integral", "accept": {"ticks": 30}})
        rig.present(inputs_of(rig))
        rig.hold()
        rig.configure(homeostasis={"controller": "integral", **LONG})
        rig.nudge(targets_of(rig), 0.1)
        rig.point_interrupt = _interrupt_at(3)
        arguments = {"hold": (), "settle": (), "advance": (900_000.0,)}[call]
        with pytest.raises(KeyboardInterrupt) as interrupted:
            getattr(rig, call)(*arguments)
        assert "is frozen, nudge 0, the knobs where they were; rig.continue_() goes on" in interrupted.value.__notes__[0]
        status = rig.status()
        assert (status.state, status.beta) == (SessionState.FROZEN, 0.0)
        assert f"interrupted by Ctrl-C during {call}; rig.continue_() goes on" in status.reason
        u, knobs = rig.controls(), rig.info.controls
        assert ((knobs.low <= u) & (u <= knobs.high)).all()
        rig.read()
        np.testing.assert_array_equal(rig.controls(), u)
        with pytest.raises(FrozenError, match="Continue to go on"):
            rig.advance()
        with pytest.raises(NotAllowedError, match=r"interrupted by Ctrl-C .* call rig.continue_\(\)"):
            rig.evaluate()
        assert not Path("runs").exists()
        rig.continue_()
        rig.configure(
            homeostasis={"controller": "integral", "accept": {"ticks": 30}},
            settling={"accept": {"ticks": 30}},
        )
        assert rig.hold().accepted
        assert rig.train(beta=0.1, samples=1).state == "finished"


def test_a_tick_that_always_interrupts_hinders_neither_the_freeze_nor_what_is_asked_afterwards() -> None:
    def hook() -> None:
        raise KeyboardInterrupt

    with served(slow(Clock.WALL)) as server, rig_on(server, made()) as rig:
        rig.present(inputs_of(rig))
        rig.point_interrupt = hook
        with pytest.raises(KeyboardInterrupt):
            rig.advance(1000.0)
        for _ in range(20):
            assert rig.status().state is SessionState.FROZEN
        rig.operator.make_safe("the test")
        assert rig.status().state is SessionState.SAFE


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("fails", [False, True])
def test_ctrl_c_in_a_call_without_a_tick_counts_at_its_end(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_rig(made()) as rig:
        rig.present(inputs_of(rig))
        advance = rig.operator.device.advance

        def pressed(seconds: float | None = None) -> Any:
            signal.raise_signal(signal.SIGINT)
            readout = advance(seconds)
            if fails:
                raise LimitError("beyond")
            return readout

        monkeypatch.setattr(rig.operator.device, "advance", pressed)
        handler = signal.getsignal(signal.SIGINT)
        with pytest.raises(LimitError if fails else KeyboardInterrupt) as left:
            rig.advance()
        assert "is frozen" in left.value.__notes__[0]
        assert "interrupted by Ctrl-C during advance" in rig.status().reason
        assert signal.getsignal(signal.SIGINT) is handler
        monkeypatch.undo()


def test_another_error_at_a_tick_freezes_nothing() -> None:
    def hook() -> None:
        raise ZeroDivisionError

    with open_rig(made()) as rig:
        rig.present(inputs_of(rig))
        rig.point_interrupt = hook
        with pytest.raises(ZeroDivisionError):
            rig.hold()
        assert rig.status().state is SessionState.IDLE


@pytest.mark.parametrize(("then", "state"), [("freeze", "frozen"), ("hold", "frozen"), ("safe", "safe")])
def test_an_error_in_the_with_leaves_the_device_as_declared_and_says_so(then: str, state: str) -> None:
    rig = open_rig(made(then=then), quiet=True)

    def cell() -> None:
        with rig:
            rig.present(inputs_of(rig))
            rig.nudge(targets_of(rig), 0.1)
            rig.advance()
            raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError) as failed:
        cell()
    assert failed.value.__notes__ == [f"The rig was closed. {rig.left}"]
    assert rig.left.startswith(f"Device {state}")
    assert rig.status().state == state
    assert "ZeroDivisionError in the `with` of a rig: division by zero" in rig.status().reason
    assert "closed. Device" in repr(rig)


@pytest.mark.parametrize("fails", [False, True])
def test_a_session_of_others_goes_on_as_it_stands_unless_the_with_fails(fails: bool) -> None:
    with served(slow(Clock.VIRTUAL)) as server:
        rig = rig_on(server, made(homeostasis={"controller": "integral"}))
        rig.operator.outlives = True
        with contextlib.suppress(LookupError), rig:
            rig.present(inputs_of(rig))
            rig.hold()
            rig.nudge(targets_of(rig), 0.1)
            if fails:
                raise LookupError("where")
        assert rig.left.startswith("Device frozen" if fails else "Device as it stands, nudge off; its session goes on")
        with client_of(server, "run next") as following:
            status = following.status()
            assert (status.state, status.beta) == ((SessionState.FROZEN if fails else SessionState.IDLE), 0.0)
            assert status.by == ("run of open_rig" if fails else "")  # so that the next run goes on
        rig.close()  # a second time


def test_a_rig_that_only_looked_leaves_the_device_alone() -> None:
    with served(slow(Clock.VIRTUAL)) as server:
        with rig_on(server, made()) as rig:
            assert rig.info.n_parameters == 7
        assert rig.left == "Device idle."
        assert server.standing == (SessionState.IDLE, 0.0)


def test_a_run_is_refused_where_others_control_or_froze_the_device() -> None:
    with served(slow(Clock.VIRTUAL)) as server, rig_on(server, made()) as rig:
        with client_of(server, "ada", control=False) as ada:
            ada.freeze("smoke")
            with pytest.raises(NotAllowedError, match=r"is frozen, by ada .*: smoke. Look at it, then call rig.continue_\(\)"):
                rig.evaluate()
            rig.continue_()
            ada.take_control()
            with pytest.raises(NotAllowedError, match=r"does not control it, ada .* controls it. Call rig.take_control\(\)"):
                rig.evaluate()
        rig.take_control()
        assert rig.stage.hold(seconds=0.1, then="freeze").state == "finished"
        assert rig.status().state is SessionState.FROZEN
        assert rig.stage.hold(seconds=0.1).state == "finished"  # what a run left standing goes on by itself
        assert rig.status().control == rig.operator.who
        assert not list(Path("runs").glob("*/session"))


def test_a_run_that_fails_raises_and_the_rig_goes_on() -> None:
    Path("mine.py").write_text("def look(session, options):\n    raise RuntimeError('no light')\n", encoding="utf-8")
    with open_rig(made(), quiet=True) as rig:
        with pytest.raises(RunFailedError, match="no light") as failed:
            rig.run("mine.py:look")
        assert isinstance(failed.value.run, Run)
        assert rig.evaluate().state == "finished"


def test_events_of_a_session_are_in_the_record_of_one_run() -> None:
    with open_rig(made(), quiet=True) as rig:
        first, second = rig.evaluate(then="freeze"), rig.evaluate()
    texts = [list(run.events["text"]) for run in (first, second)]
    assert f"run {first.path.name} finished" in texts[0]
    assert f"run {first.path.name} finished" not in texts[1]


def test_a_rig_is_refused_in_the_sentences_of_the_file() -> None:
    Path("bench.yaml").write_text("name: bench\ndevice: {kind: slwo}\nsequence: [evaluate]\n", encoding="utf-8")
    with pytest.raises(FileErrors, match=r"bench.yaml, line 2, column \d+: device.kind: one of .* Did you mean 'slow'"):
        open_rig("bench.yaml")


def test_numbers_of_a_run_of_a_rig_are_as_load_run_gives_them() -> None:
    with open_rig("linear-regression", "data.samples=3", quiet=True) as rig:
        run = rig.train(beta=0.1)
    assert run.steps["theta"].shape == (3, rig.info.n_parameters)
    np.testing.assert_array_equal(load_run(run.path).theta, run.theta)
    assert json.loads(run.stages["result"][0])["steps"] == 3
