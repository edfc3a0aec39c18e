"""What people start from the window: runs, the demo, sessions, benches; each says what is awaited, and is shown when it came."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from aeqlab.app.window.first_start import FirstStart
from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.launcher import AsShown, Started, resume_run, start_bench, start_demo, start_run, start_session
from aeqlab.app.window.models.tune_identify import write_identify
from aeqlab.app.window.models.world import World
from aeqlab.protocols.client import FoundSession


class Starter(QObject):
    """Starts things, one at a time: a second press starts nothing twice.

    Signals:
        shown: the workspace in which what was started is seen.
        bench_came: the rig file of an emulated bench that is served now.
        rig_refused: why a rig could not be connected, or a bench not served.
    """

    shown = Signal(str)
    bench_came = Signal(object)
    rig_refused = Signal(str)

    def __init__(self, world: World, first: FirstStart) -> None:
        super().__init__(first)
        self._world, self._first = world, first
        self._under_way = ""
        self._serving = False  # a bench is being started

    def run(self, experiment: Path | str | AsShown) -> None:
        """Start an experiment, a file, a preset or what is shown, and show it."""
        runs = self._runs
        name = "the experiment as it stands" if isinstance(experiment, AsShown) else Path(experiment).name
        self._begin(f"Starts {name} …", lambda: start_run(experiment, runs))

    def resume(self, folder: Path) -> None:
        """Go on with a run whose process ended, and show it."""
        self._begin(f"Goes on with {folder.name} …", lambda: resume_run(folder))

    def connect_rig(self, path: str) -> None:
        """Start a session of a rig file, and show it."""
        runs = self._runs
        self._begin(f"Opens the instruments of {Path(path).name} …", lambda: start_session(path, runs), "Connect")

    def identify(self, session: FoundSession, law: str) -> None:
        """Identify the device of a session by a run of its own, and go on showing that session."""
        runs = self._runs

        def start() -> Started:
            return replace(start_run(write_identify(session, law, runs), runs), session=session)

        self._begin(f"Starts to identify {session.device} …", start, "Tune")

    def try_bench(self, folder: Path | None = None, *, samples: int = 600, seed: int = 1) -> None:
        """Start the emulated bench with its training, and show it."""
        where = (folder or self._runs / time.strftime("demo-%Y%m%d-%H%M%S")).absolute()
        self._begin("Starts the emulated bench and its instruments …", lambda: start_demo(where, samples, seed))

    def train_simulated(self) -> None:
        """Start the paper's regression on a simulated device, and show it."""
        self.run("linear-regression")

    def serve_bench(self, preset: str) -> None:
        """Serve an emulated bench, and tell of the rig file that goes with it."""
        if self._serving:
            return
        self._serving, folder = True, self._runs / time.strftime(f"{preset}-%Y%m%d-%H%M%S")
        self._world.said.emit(f"Starts the emulated bench {preset} …", False)

        def came(rig: Path) -> None:
            self._serving = False
            self.bench_came.emit(rig)

        def failed(exc: Exception) -> None:
            self._serving = False
            self._world.said.emit(str(exc), True)
            self.rig_refused.emit(f"The emulated bench did not start. {exc}")

        do(self, lambda: start_bench(preset, folder), came, failed, name="bench")

    @property
    def _runs(self) -> Path:
        return self._world.runs.absolute()

    def _begin(self, what: str, start: Callable[[], Started], workspace: str = "Train") -> None:
        if self._under_way:
            self._world.said.emit(f"Nothing else is started meanwhile. {self._under_way}", True)
            return
        self._under_way = what
        self._first.set_busy(True)
        self._first.set_waiting(what)
        self._world.said.emit(what, False)

        def started(found: Started) -> None:
            self._under_way = ""
            self._first.set_busy(False)
            self._first.set_waiting("")
            self._world.take_started(found)
            self.shown.emit(workspace)

        def failed(exc: Exception) -> None:
            self._under_way = ""
            self._first.set_busy(False)
            self._first.set_waiting(f"It did not start. {exc}")
            self._world.said.emit(str(exc), True)
            if workspace == "Connect":
                self.rig_refused.emit(str(exc))

        do(self, start, started, failed, name="starts")
