"""The window, offscreen: until it can be used, FREEZE, a long run on the screen, redraws beside a run, what it costs a run.

    QT_QPA_PLATFORM=offscreen python benchmarks/window.py [repeats] [start freeze long_run redraws slowed]

Floors: an empty window of Qt in a bare interpreter; one exchange with the session; one column of the same record read by SQLite
alone; the same redraws without a run and without the window; the same run without a window.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _bench import Bench, Row, command, in_units, repeats_from, timed

EMPTY = """
from PySide6.QtWidgets import QApplication, QMainWindow
a = QApplication(["x"])
w = QMainWindow()
w.show()
a.processEvents()
"""
OURS = """
import sys
from pathlib import Path
from PySide6.QtWidgets import QApplication
a = QApplication(["aeqlab"])
from aeqlab.app.window.application import Target, make_window
w = make_window(a, Path(sys.argv[1]), Target())
w.show()
for _ in range(5):
    a.processEvents()
assert "torch" not in sys.modules and "matplotlib" not in sys.modules
w.close()
"""
WATCHES = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
a = QApplication(["aeqlab"])
from aeqlab.app.window.application import Target, make_window
w = make_window(a, Path(sys.argv[1]), Target(run=Path(sys.argv[2])))
w.show()
QTimer.singleShot(600_000, a.quit)
a.exec()
"""
STEPS = 1_000_000
#: A run of some 200 steps per second: settled by a count of ticks, as in section 5.2.
RUN = ("linear-regression", "--set", "data.samples=3000", "--quiet")
TICKS = 150  #: of a phase, where a run is to have some 200 steps a second on a computer of 2026
FRAMES, FRAME_S = 150, 1 / 30


def start(bench: Bench, repeats: int) -> None:
    """Time the start of the process until the window has been drawn."""
    with tempfile.TemporaryDirectory() as folder:
        bench.compare(
            ("an empty window of Qt", command("-c", EMPTY)),
            ("the window, until it can be used", command("-c", OURS, folder), "under 2 s"),
            repeats=repeats,
        )


def slowed(bench: Bench, repeats: int) -> None:
    """Time a run with and without a window that shows it; taken from the record, without the start of its process."""
    alone, watched = Row("a run of 3,000 steps", []), Row("the same, shown in a window", [])
    watched.floor, watched.goal = alone, "under 1.03 x the floor"
    for turn in range(repeats + 1):
        for row in (alone, watched):
            with tempfile.TemporaryDirectory() as folder:
                run = subprocess.Popen([sys.executable, "-m", "aeqlab.app.cli", "run", *RUN, "--runs", folder])
                window = None
                if row is watched:
                    while not (there := list(Path(folder).glob("*/control.json"))):
                        time.sleep(0.01)
                    window = subprocess.Popen([sys.executable, "-c", WATCHES, folder, str(there[0].parent)])
                run.wait()
                if window is not None:
                    window.kill()
                    window.wait()
                (record,) = Path(folder).glob("*/record.sqlite")
                with sqlite3.connect(record) as connection:
                    last, count = connection.execute("SELECT max(at), count(*) FROM steps").fetchone()
                    half = connection.execute("SELECT at FROM steps WHERE step = ?", (count // 3,)).fetchone()[0]
                connection.close()
                if turn:
                    row.seconds.append(last - half)  # the window starts during the first third
    bench.add(alone)
    bench.add(watched)


def long_run(bench: Bench, repeats: int) -> None:
    """Time from opening a run of a million steps until its curves are there, first a part and then all of them."""
    from PySide6.QtWidgets import QApplication

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "protocols"))
    from record_helpers import steps, write_steps

    from aeqlab.app.window.models.run_curves import costs_of
    from aeqlab.app.window.models.run_feed import RunFeed, RunView
    from aeqlab.protocols.record import Record

    application = QApplication.instance() or QApplication(["aeqlab"])
    with tempfile.TemporaryDirectory() as folder:
        record = Record.create(Path(folder) / "record.sqlite", durable=False, facts={"name": "long", "state": "finished"})
        for begin in range(1, STEPS, 100_000):
            write_steps(record, steps(100_000, begin=begin))
        record.close()

        def column() -> None:
            with sqlite3.connect(Path(folder) / "record.sqlite") as connection:
                connection.execute("SELECT cost_free FROM steps").fetchall()

        floor = Row("one column of a million rows, SQLite alone", [])
        first, whole = Row("curves of a million steps, a part", []), Row("curves of a million steps, all", [])
        first.floor = whole.floor = floor
        first.goal = "under 2 s"
        for turn in range(repeats + 1):
            taken = timed(column)
            feed = RunFeed()
            views: list[RunView] = []
            feed.changed.connect(views.append)
            began = time.perf_counter()
            feed.follow(Path(folder))
            while not views:
                application.processEvents()
            assert costs_of(views[0])
            part = time.perf_counter() - began
            while views[-1].steps_read < STEPS:
                application.processEvents()
                time.sleep(0.001)
            costs_of(views[-1])
            if turn:
                floor.seconds.append(taken)
                first.seconds.append(part)
                whole.seconds.append(time.perf_counter() - began)
            feed.close()
        for row in (floor, first, whole):
            bench.add(row)


def redraws(bench: Bench, repeats: int) -> None:
    """Time redraws of 64 traces of 10,000 new points and 16 x 16 knobs, 30 a second, alone and while the window follows a run."""
    import numpy as np
    from PySide6.QtWidgets import QApplication, QWidget

    from aeqlab.app.window.application import Target, make_window
    from aeqlab.app.window.plots.curve_plot import CurvePlot
    from aeqlab.app.window.plots.device_drawing import DeviceDrawing

    application = QApplication.instance() or QApplication(["aeqlab"])
    assert isinstance(application, QApplication)
    random, x = np.random.default_rng(1), np.linspace(0.0, 10.0, 10_000)
    walks = [random.normal(size=(64, 10_000)).cumsum(1) for _ in range(2)]
    plot, drawing = CurvePlot("64 traces"), DeviceDrawing()
    drawing.set_grid(256)
    widgets: tuple[QWidget, ...] = (plot, drawing)
    for widget in widgets:
        widget.resize(640, 400)
        widget.show()

    def frames(row: Row, count: int) -> float:
        """Redraw so often, no faster than 30 times a second; returns how many there were in a second."""
        began = time.perf_counter()
        for frame in range(count):
            while time.perf_counter() < began + frame * FRAME_S:
                application.processEvents()  # the window, its readers
                time.sleep(0.001)
            start = time.perf_counter()
            for k, y in enumerate(walks[frame % 2]):
                plot.set_curve(f"u{k:02d}", x, y)
            drawing.set_values("error", random.normal(size=256), "tol")
            plot.redraw()
            drawing.redraw()
            application.processEvents()
            row.seconds.append(time.perf_counter() - start)
        return count / (time.perf_counter() - began)

    alone, beside = Row("a redraw of 64 traces and 16 x 16 knobs", []), Row("the same beside a run the window follows", [])
    more = Row("the same with all of Train drawn as well", [])
    beside.floor = more.floor = alone
    beside.goal = "33 ms, 30 redraws/s"
    frames(Row("", []), 30)  # the layout finds its place
    with tempfile.TemporaryDirectory() as folder:
        told = []
        for _ in range(repeats):
            rate_alone = frames(alone, FRAMES)
            ticks = [part for key in ("homeostasis", "settling") for part in ("--set", f"{key}.accept.ticks={TICKS}")]
            words = ["run", "linear-regression", "--set", "data.samples=1000000", *ticks, "--quiet", "--runs", folder]
            run = subprocess.Popen([sys.executable, "-m", "aeqlab.app.cli", *words])
            try:
                while not (there := [path for path in Path(folder).glob("*/control.json") if is_of(path, run.pid)]):
                    time.sleep(0.01)
                shell = make_window(application, Path(folder), Target(run=there[0].parent))
                shell.show()
                frames(Row("", []), 60)
                rate_all = frames(more, FRAMES)
                shell.show_workspace("Connect")
                before, since = steps_of(there[0].parent), time.perf_counter()
                rate = frames(beside, FRAMES)
                steps = (steps_of(there[0].parent) - before) / (time.perf_counter() - since)
                told.append(
                    f"{rate:.1f} redraws/s beside {steps:.0f} steps/s, {rate_all:.1f} with all of Train, {rate_alone:.1f} alone"
                )
                shell.close()
            finally:
                run.kill()
                run.wait()
    for widget in widgets:
        widget.close()
    for row in (alone, beside, more):
        bench.add(row)
    print("; ".join(told))


def is_of(control: Path, pid: int) -> bool:
    """Tell whether a run is that of a process."""
    try:
        return bool(json.loads(control.read_text(encoding="utf-8"))["pid"] == pid)
    except (OSError, ValueError):
        return False


def steps_of(folder: Path) -> int:
    """Count the steps in a record."""
    with sqlite3.connect(folder / "record.sqlite") as connection:
        count = int(connection.execute("SELECT count(*) FROM steps").fetchone()[0])
    connection.close()
    return count


def freeze(bench: Bench, repeats: int) -> None:
    """Time from the key F9 until the session says FROZEN, and one exchange with it."""
    from PySide6.QtWidgets import QApplication

    from aeqlab.app.window.models.commander import Answer, Commander
    from aeqlab.backends.slow_settings import SlowSettings
    from aeqlab.protocols.client import find_sessions, open_session

    application = QApplication.instance() or QApplication(["aeqlab"])
    settings = SlowSettings(energy="linear", options={"frequencies": 8}, tick_s=0.01)
    exchange, frozen = Row("one exchange with the session", []), Row("FREEZE, until the session is frozen", [])
    frozen.floor, frozen.goal = exchange, "under 100 ms"
    with (
        tempfile.TemporaryDirectory() as folder,
        open_session(settings, seed=1, base=Path(folder), folder=Path(folder)) as client,
    ):
        (found,) = (one for one in find_sessions() if Path(one.folder) == client.folder)
        commander = Commander()
        told: list[Answer] = []
        commander.answered.connect(told.append)
        commander.serve(None, found)
        while commander._urgent is None:
            application.processEvents()
        for _ in range(max(repeats, 20)):
            client.continue_()
            exchange.seconds.append(timed(client.status))
            told.clear()
            began = time.perf_counter()
            commander.freeze()
            while not told:
                application.processEvents()
            frozen.seconds.append(time.perf_counter() - began)
            assert told[0].done, told[0].text
        commander.close()
    bench.add(exchange)
    bench.add(frozen)
    print(f"FREEZE, the slowest of {len(frozen.seconds)}: {in_units(max(frozen.seconds))}; "
          f"median {in_units(statistics.median(frozen.seconds))}")  # fmt: skip


if __name__ == "__main__":
    bench, times = Bench("window"), repeats_from(sys.argv, 5)
    for measure, most in ((start, 99), (freeze, 99), (long_run, 3), (redraws, 3), (slowed, 5)):
        if len(sys.argv) < 3 or measure.__name__ in sys.argv[2:]:
            measure(bench, min(times, most))
    bench.show()
