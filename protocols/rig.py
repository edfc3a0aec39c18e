"""A device in a notebook or a script: `open_rig` gives a `Rig`, to set, hold and read by hand, and to run stages on.

with open_rig("bench.yaml") as rig:
    rig.present(x)
    rig.hold()                                  by hand, at once, within the limits of the device
    rig.train(beta=0.1, samples=10)             a run with its folder and record, on the device as it stands
    rig.stage.hold(seconds=2)                   a stage with the name of a call of the hand
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, Readout, SafetyReport
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.cell import Cell
from aeqlab.protocols.ending import leave_device
from aeqlab.protocols.errors import NotAllowedError, ProtocolError
from aeqlab.protocols.experiment import Experiment, LoadedExperiment, load_experiment, load_values
from aeqlab.protocols.lending import Lent
from aeqlab.protocols.reports import HoldReport, SettleReport
from aeqlab.protocols.rig_stages import Stages
from aeqlab.protocols.running import run_loaded, runs_folder
from aeqlab.protocols.status import RUN, STANDING, SessionState, SessionStatus

if TYPE_CHECKING:
    from aeqlab.protocols.load import Run

Array = NDArray[Any]
T = TypeVar("T")
WHO = "open_rig"  #: how a rig is called in the events of a session


def open_rig(source: Experiment | str | Path, *overrides: str, runs: str | Path | None = None, quiet: bool = False) -> Rig:
    """Open the device of an experiment for a notebook or a script.

    Use it in a `with`, or call `close` at the end. A device that is owned by a session is used through that session, which is
    attached to or started; a simulated one lives in this process.

    Args:
        source: an experiment file, the name of a preset, or an `Experiment`.
        overrides: `key=value` each, as `--set` takes them.
        runs: folder for the runs; None: the one that the experiment names, or `runs` here.
        quiet: show no progress of runs.
    Returns:
        The rig, which holds the control token.
    Raises:
        FileErrors: the experiment has mistakes, all of them listed.
        NotAllowedError: another client controls the device; the message says which.
        SessionError: the session refuses, or could not be started.
    """
    loaded = load_experiment(source, overrides)
    return Rig(_open(loaded), loaded, runs=runs_folder(runs, loaded).absolute(), quiet=quiet)


def _open(loaded: LoadedExperiment) -> Any:
    """Open the device by itself, or through its session; what stands still stays so."""
    experiment = loaded.experiment
    if experiment.device.served:
        from aeqlab.protocols.client import open_session

        return open_session(
            experiment.device,
            seed=experiment.seed,
            base=loaded.base,
            homeostasis=experiment.homeostasis,
            settling=experiment.settling,
            limits=experiment.limits,
            notify=experiment.notify,
            who=WHO,
            then="safe" if experiment.then == "safe" else "freeze",
        )
    from aeqlab.backends.kinds import open_device
    from aeqlab.protocols.limits import limited
    from aeqlab.protocols.session import Session

    device = open_device(experiment.device, seed=experiment.seed, base=loaded.base)
    if experiment.limits is not None:
        device = limited(device, experiment.limits)
    return Session(device, homeostasis=experiment.homeostasis, settling=experiment.settling, who=WHO)


class Rig:
    """An open device. Its calls are those of the operator, its runs those of an experiment, one after the other on one device.

    A call that is interrupted (Ctrl-C, the stop button) ends at a tick, the nudge is off and the device frozen; `status()` says
    so and `continue_()` goes on. What is not named here is found in the session, such as `take_control` and `log`.

    Attributes:
        operator: the `Session` or `SessionClient`.
        experiment: the experiment whose device it is.
        runs: folder in which run folders are made.
        stage: every stage there is as a method, such as `stage.hold(seconds=2)`.
        point_interrupt: called at every tick of a call that takes time; raises to leave it.
        left: how the device was left, once the rig is closed.
    """

    def __init__(self, operator: Any, loaded: LoadedExperiment, *, runs: Path, quiet: bool = False) -> None:
        self.operator = operator
        self.runs = runs
        self.quiet = quiet
        self.stage = Stages(self.run)
        self.point_interrupt: Callable[[], None] | None = None
        self.left = ""
        self._loaded = loaded
        self._values: dict[str, Any] = loaded.experiment.model_dump(mode="json")
        self._lent = Lent(operator)
        self._cell = Cell(operator, lambda: self.point_interrupt)
        self._moved = False
        self._closed = False
        operator.point_interrupt = self._cell.tick
        atexit.register(self.close)

    # describe
    @property
    def experiment(self) -> Experiment:
        """Get the experiment whose device it is."""
        return self._loaded.experiment

    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself: names, units and limits of every knob, parameters, outputs."""
        info: DeviceInfo = self.operator.info
        return info

    @property
    def abilities(self) -> frozenset[str]:
        """Get the names of the device's capability interfaces."""
        abilities: frozenset[str] = self.operator.abilities
        return abilities

    def status(self) -> SessionStatus:
        """Get where the device stands: state, reason, nudge, who owns the knobs and the control token."""
        status: SessionStatus = self.operator.status()
        return status

    # by hand
    def present(self, inputs: Array) -> None:
        """Set the input knobs, shape (samples, inputs), in their unit. Applied when time next passes."""
        self._do("present", self.operator.present, np.asarray(inputs))
        self._lent.presented, self._lent.inputs = True, np.array(inputs)

    def set_controls(self, u: Array) -> None:
        """Set the control knobs, shape (controls,), in their unit; takes them over from a loop. Refused outside the limits."""
        self._do("set_controls", self.operator.set_controls, np.asarray(u))
        self._lent.u = np.array(u)

    def controls(self) -> Array:
        """Get the control knobs as the device reports them, shape (controls,), in their unit."""
        return np.asarray(self._do("controls", self.operator.controls))

    def nudge(self, targets: Array, beta: float) -> None:
        """Add beta C(s, y) at the outputs; targets y have shape (samples, outputs). Applied when time next passes."""
        self._do("nudge", self.operator.nudge, np.asarray(targets), float(beta))

    def release(self) -> None:
        """Take the nudge away. Allowed in every state."""
        self._do("release", self.operator.release)

    def advance(self, seconds: float | None = None) -> Readout:
        """Let at least so many seconds of the device pass (None: its shortest tick), loops standing still, and read.

        Returns:
            t and dt in s; outputs, shape (samples, outputs), and parameters, shape (parameters,), in their units.
        """
        readout: Readout = self._do("advance", self.operator.advance, seconds)
        return readout

    def read(self) -> Readout:
        """Read, in every state: the shortest tick passes, loops standing still."""
        readout: Readout = self._do("read", self.operator.read)
        return readout

    def hold(self, theta: Array | None = None) -> HoldReport:
        """Run homeostasis until theta, shape (parameters,), stands at its target; None: where it was last told, or is.

        Runs that follow go on from this target. The stage of that name, which holds for a time, is `stage.hold`.
        """
        target = self._lent.target if theta is None else np.asarray(theta, dtype=self.info.dtype)
        report: HoldReport = self._do("hold", self.operator.hold, target)
        self._lent.target, self._lent.u = target, None
        return report

    def set_target(self, theta: Array) -> None:
        """Say where theta, shape (parameters,), is to be held from now on; nothing moves before a hold or a run."""
        self._do("set_target", self.operator.set_target, np.asarray(theta))
        self._lent.target = np.array(theta, dtype=self.info.dtype)

    def settle(self) -> SettleReport:
        """Clamp the knobs where they are and let state and parameters come to rest."""
        report: SettleReport = self._do("settle", self.operator.settle)
        return report

    def parameters(self) -> Array:
        """Read theta, shape (parameters,), in its unit: the last reading, or from inside a device that holds exactly."""
        return np.asarray(self._do("parameters", self.operator.parameters))

    def configure(self, *, homeostasis: Any = None, settling: Any = None) -> None:
        """Change the settings of the loops, for calls by hand and for runs; what is None stays. The knobs do not move.

        Args:
            homeostasis, settling: as in a file, such as `{"accept": {"ticks": 50}}`, or their models.
        Raises:
            FileErrors: something is wrong with them; nothing was changed.
        """
        given = {"homeostasis": homeostasis, "settling": settling}
        values = self._values | {key: value for key, value in given.items() if value is not None}
        new = load_values(values, self._loaded.base).experiment
        changed = {key: getattr(new, key) for key, value in given.items() if value is not None}
        self._do("configure", lambda: self.operator.configure(**changed))
        self._values = new.model_dump(mode="json")

    def device_call(self, name: str, *args: Any) -> Any:
        """Call a method of a capability interface by name, such as `scale_coupling`. Refused if the device does not have it."""
        found = self._do(name, self.operator.device_call, name, *args)
        if name == "write_parameters":
            inside = "HoldsParameters" in self.abilities and self._values["homeostasis"]["controller"] in (None, "ideal")
            self._lent.target, self._lent.u = None if inside else np.array(args[0], dtype=self.info.dtype), None
        elif name == "scale_coupling":
            self._lent.coupling = float(args[0])
        return found

    # safety
    def freeze(self, reason: str = "freeze was asked for") -> None:
        """Take the nudge off, let the knobs stand, stop the loops; reading goes on, and nothing moves before `continue_`."""
        self.operator.freeze(reason)

    def make_safe(self, reason: str = "safe was asked for") -> SafetyReport:
        """Freeze, ramp to rest, outputs off; graded line by line. Nothing moves before `continue_`."""
        report: SafetyReport = self.operator.make_safe(reason)
        return report

    def continue_(self) -> None:
        """Allow motion again after a freeze, an interrupted cell, or SAFE; or from UNKNOWN, by taking the device as it is."""
        self.operator.continue_()

    # runs
    def run(
        self,
        sequence: Any,
        *,
        data: Any = None,
        name: str | None = None,
        runs: str | Path | None = None,
        then: Literal["hold", "freeze", "safe"] = "hold",
        operator: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        quiet: bool | None = None,
    ) -> Run:
        """Run stages on the device as it stands: an ordinary run, with its folder and record, that closes nothing.

        It goes on where the run before left the target of theta, the inputs, the settings of the loops, the random streams and
        the order of the data. Ctrl-C, or the stop button, ends it at the end of the sample; a second one at the next tick; the
        run is given back all the same.

        Args:
            sequence: stages as in a file: mappings, words, models of options; or a single one.
            data: the data set, as in a file; None: that of the rig's experiment.
            name: of the run; None: that of the experiment.
            runs: folder for the run folder; None: the rig's.
            then: how the device is left: hold (theta goes on being held at what was learned; frozen if aborted), freeze or safe.
            operator, tags, notes: for the record; None: those of the experiment.
            quiet: show no progress; None: as the rig was opened.
        Returns:
            The run, as `load_run` gives it: its `state` is finished, stopped, aborted or diverged.
        Raises:
            FileErrors: something is wrong with the stages or the data, told by key; nothing was moved.
            NotAllowedError: the device stands still, or another client controls it; the message says why and how to go on.
            RunFailedError: the run failed; the device is left as the message says.
        """
        several = isinstance(sequence, Sequence) and not isinstance(sequence, str)
        given = {"data": data, "name": name, "operator": operator, "tags": None if tags is None else list(tags), "notes": notes}
        values = self._values | {key: value for key, value in given.items() if value is not None}
        loaded = load_values(values | {"sequence": sequence if several else [sequence], "then": then}, self._loaded.base)
        self._ready()
        try:
            return run_loaded(
                loaded,
                runs=self.runs if runs is None else Path(runs),
                quiet=self.quiet if quiet is None else quiet,
                lent=self._lent,
            )
        finally:
            if self._lent.before is not None:  # a stage may have changed them, and they stand
                loops = self._lent.before.adjusted.loops
                self._values |= {name: settings.model_dump(mode="json") for name, settings in loops.items()}
            self._moved = True
            self.operator.point_interrupt = self._cell.tick

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in dir(self.stage):
            return getattr(self.stage, name)
        return getattr(self.operator, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *dir(self.stage)]

    def __repr__(self) -> str:
        if self._closed:
            return f"<Rig {self.experiment.name}: closed. {self.left}>"
        status = self.status()
        return f"<Rig {self.experiment.name} on {status.device}: {status.state}{status.reason and f', {status.reason}'}>"

    # the end
    def close(self) -> None:
        """Let the device go: frozen, or safe if the experiment says `then: safe`. May be called twice.

        A session that others started goes on as it stands, with the nudge off.
        """
        self._close(None)

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._close(exc)

    def _close(self, exc: BaseException | None) -> None:
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self.operator.point_interrupt = None
        try:
            self.left = self._leave(exc)
        except (BackendError, ProtocolError) as wrong:
            self.left = f"State of the device unknown. {wrong}"
        if exc is not None:
            exc.add_note(f"The rig was closed. {self.left}")
        self.operator.close()

    def _leave(self, exc: BaseException | None) -> str:
        """Bring the device to its end, and say which."""
        status = self.status()
        then = "safe" if self.experiment.then == "safe" else "freeze"
        as_it_is = not self._moved or status.state is SessionState.UNKNOWN or status.state == {"freeze": "frozen"}.get(then, then)
        if as_it_is and not status.beta:
            return f"Device {status.state}{status.reason and f': {status.reason}'}."
        if exc is None and getattr(self.operator, "outlives", False):
            self.operator.release()
            return "Device as it stands, nudge off; its session goes on."
        why = "the rig was closed" if exc is None else f"{type(exc).__name__} in the `with` of a rig: {_first_line(exc)}"
        return leave_device(self.operator, then, why, self._lent.target, f"{RUN}of {WHO}").text

    # inside
    def _do(self, doing: str, call: Callable[..., T], *args: Any) -> T:
        cell = self._cell
        cell.doing = doing
        with cell:
            self._moved = True
            return call(*args)

    def _ready(self) -> None:
        """See that a run may begin; a device that the run before left standing goes on.

        Raises:
            NotAllowedError: it stands still for another reason, or another client controls it.
        """
        status = self.status()
        if status.control != self.operator.who:
            holder = f"{status.control} controls it" if status.control else "nobody does"
            raise NotAllowedError(f"{status.device}: this rig does not control it, {holder}. Call rig.take_control() first.")
        if status.state in STANDING:
            if status.state is SessionState.UNKNOWN or not status.by.startswith(RUN):
                by = f", by {status.by}" if status.by else ""
                raise NotAllowedError(
                    f"{status.device} is {status.state}{by}: {status.reason}. Look at it, then call rig.continue_()."
                )
            self.operator.continue_()


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or ["no message"])[0][:200]
