"""An hour of a fast run in the window: no sample is lost, memory stays flat, and so do the references to None.

Slow: `pytest -m slow tests/gui/test_hour.py -s`. AEQLAB_HOUR_S shortens it, say to 180 seconds; then older steps are thinned from
fewer of them on, so that the memory has come to its plateau, and its slope is only shown: it takes an hour to see one of 1 MB/h.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import SMALL, experiment, start_worker, wait_for

from aeqlab.app.window.application import Target, make_window
from aeqlab.app.window.models import kept_steps
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.protocols import load_run
from aeqlab.protocols.control import send
from aeqlab.protocols.run_folder import is_alive

HOUR_S = float(os.environ.get("AEQLAB_HOUR_S", "3600"))
WHOLE_S = 1800.0  #: from so long on the slope of the memory is judged
WARM = 0.25  #: share of the time that is not looked at
EVERY_S = 1.0  #: between two measurements
BINS = 24  #: the least of each is taken: thinning makes the memory rise and fall
SLOPE_MB_H = 1.0
NONES, NONES_A_DRAW = 1_000, 0.01  #: references to None by which it may differ at the end; one lost at every redraw is more

#: A fast run of hours: an evaluation now and then, samples held by the letter of section 5.1, which takes milliseconds.
FAST = SMALL.replace("  - train: {method: centered, beta: 0.2}\n", "  - train: {method: centered, beta: 0.2, epochs: 100000000,"
    " sham_every: 50, evaluate_every: {samples: 20000}}\n")  # fmt: skip


def resident_MB() -> float:
    """Get the memory that this process has in use."""
    with Path("/proc/self/statm").open(encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def slope_of(t_s: np.ndarray, values: np.ndarray) -> float:
    """Fit a line to the least of each bin of time by the median of all slopes (Theil and Sen), per hour."""
    edges = np.linspace(t_s[0], t_s[-1] + 1e-9, BINS + 1)
    of = np.searchsorted(edges, t_s, side="right") - 1
    there = [k for k in range(BINS) if (of == k).any()]
    low = np.array([values[of == k].min() for k in there])
    when = np.array([t_s[of == k].mean() for k in there]) / 3600
    one, other = np.triu_indices(len(there), k=1)
    return float(np.median((low[other] - low[one]) / (when[other] - when[one])))


def test_the_slope_is_found_beneath_what_rises_and_falls() -> None:
    t = np.arange(0.0, 2700.0)
    random = np.random.default_rng(0)
    saw = 3.0 * (t / 47 % 1) + 0.1 * random.normal(size=len(t)) + 20 * (t == 1500)
    assert abs(slope_of(t, 300 + saw)) < 0.3
    assert slope_of(t, 300 + saw + 2 * t / 3600) == pytest.approx(2.0, abs=0.3)


@pytest.mark.slow
@pytest.mark.timeout(HOUR_S + 900)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read from /proc")
def test_an_hour_of_a_fast_run(qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    if HOUR_S < WHOLE_S:
        monkeypatch.setattr(kept_steps, "MOST", max(2_000, round(20 * HOUR_S)))
    experiment(tmp_path, FAST)
    process = start_worker("run", tmp_path / "experiment-under-test.yaml", tmp_path / "runs")
    assert process.stdout is not None
    threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()  # its pipe must not fill up
    try:
        wait_for(lambda: bool(list((tmp_path / "runs").glob("*/control.json"))), "the run")
        (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/record.sqlite"))
        shell = make_window(qapp, tmp_path / "runs", Target(run=folder))  # type: ignore[arg-type]
        qtbot.addWidget(shell)
        shell.show()
        seen = _Seen()
        shell.world.run_feed.changed.connect(seen.take)
        draws = _count_draws(shell.train.live.cost, shell.train.live.scope)
        t, memory, nones = [], [], []
        began = time.monotonic()
        while (passed := time.monotonic() - began) < HOUR_S:
            QCoreApplication.processEvents()
            qtbot.wait(round(1000 * EVERY_S))
            t.append(passed)
            memory.append(resident_MB())
            nones.append(sys.getrefcount(None))
        send(folder, "stop")
        qtbot.waitUntil(lambda: not is_alive(folder), timeout=60_000)
        steps = load_run(folder).steps
        qtbot.waitUntil(lambda: seen.read == len(steps), timeout=60_000)
        qtbot.waitUntil(lambda: "stopped" in shell.banner.doing.text(), timeout=20_000)
    finally:
        process.kill()
        process.wait()

    # no lost sample: the window read every step once, in order; those that it keeps are those of the record
    assert seen.gaps == []
    np.testing.assert_array_equal(steps["id"], np.arange(1, len(steps) + 1))
    last = seen.last
    assert last is not None
    at = last.column("steps", "id").astype(int) - 1
    for name in ("cost_1", "cost_2", "cost_free", "moved"):
        np.testing.assert_array_equal(last.column("steps", name), np.asarray(steps[name])[at], err_msg=name)
    cost = np.asarray(steps["cost_free"])
    assert np.nanmax(last.column("steps", "cost_free")) == np.nanmax(cost)
    assert np.nanmin(last.column("steps", "cost_free")) == np.nanmin(cost)
    assert last.rows("steps") <= kept_steps.MOST + 20_000
    real = np.isfinite(cost) & (np.asarray(steps["sham"]) == 0)
    assert last.column("steps", kept_steps.MEAN)[np.isfinite(last.column("steps", kept_steps.MEAN))][-1] == pytest.approx(
        cost[real][-50:].mean()
    )

    # flat memory and steady references
    when, used, held = np.array(t), np.array(memory), np.array(nones)
    warm = when > WARM * HOUR_S
    slope = slope_of(when[warm], used[warm])
    print(
        f"\n{len(steps):,} steps in {HOUR_S:g} s, all of them seen, {last.rows('steps'):,} kept; {draws[0]:,} redraws of plots; "
        f"memory {used[warm][0]:.1f} to {used[-1]:.1f} MB, slope {slope:+.2f} MB/h; "
        f"references to None {held[warm].min():,} to {held[warm].max():,}, {held[warm][0]:,} first, {held[-1]:,} last"
    )
    assert draws[0] > 0.2 * HOUR_S, "the plots were not drawn"
    assert abs(float(np.median(held[-30:]) - np.median(held[warm][:30]))) <= NONES + NONES_A_DRAW * draws[0]
    if HOUR_S >= WHOLE_S:
        assert slope < SLOPE_MB_H


class _Seen:
    """What came from the feed: how many steps, and whether one was left out between two views."""

    def __init__(self) -> None:
        self.read = 0
        self.newest = 0
        self.gaps: list[str] = []
        self.last: RunView | None = None

    def take(self, view: RunView) -> None:
        """Look at a view as it comes."""
        row = view.column("steps", "id")
        newest = int(row[-1]) if len(row) else 0
        if newest != view.steps_read and view.steps_read:
            self.gaps.append(f"{view.steps_read} steps read, the newest is in row {newest}")
        if newest < self.newest or view.steps_read < self.read:
            self.gaps.append(f"row {newest} after {self.newest}")
        self.newest, self.read, self.last = newest, view.steps_read, view


def _count_draws(*sheets: object) -> list[int]:
    """Count how often plots are drawn."""
    count = [0]
    for sheet in sheets:
        draw = sheet._draw  # type: ignore[attr-defined]

        def counted(draw: object = draw) -> None:
            count[0] += 1
            draw()  # type: ignore[operator]

        sheet._draw = counted  # type: ignore[attr-defined]
    return count


def _drain(pipe: object) -> None:
    while pipe.read(65536):  # type: ignore[attr-defined]
        pass
