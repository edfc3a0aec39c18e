"""The window, offscreen: until it can be used, what an open one costs a run, a long run on the screen, FREEZE to the session.

    QT_QPA_PLATFORM=offscreen python benchmarks/window.py [repeats]

Floors: an empty window of Qt in a bare interpreter; the same run without a window; one column of the same record read by SQLite
alone; one exchange with the session.
"""

from __future__ import annotations

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
            while views[-1].rows("steps") < STEPS or views[-1].part < 1:
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
    start(bench, times)
    freeze(bench, times)
    long_run(bench, min(times, 3))
    slowed(bench, min(times, 3))
    bench.show()
