"""What is drawn of a run is what its record holds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import SMALL, experiment

from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.run_feed import RunFeed, RunView
from aeqlab.app.window.models.standing import Standing, banner_of
from aeqlab.app.window.models.vitals import Mood, vitals_of
from aeqlab.app.window.train.results import Results
from aeqlab.protocols import load_run
from aeqlab.protocols.run import run_experiment

TEXT = SMALL.replace("homeostasis: {controller: integral, accept: {ticks: 12}}", "homeostasis: {controller: integral}").replace(
    "  - train: {method: centered, beta: 0.2}\n",
    "  - train: {method: centered, beta: 0.2, epochs: 2, sham_every: 10, evaluate_every: {samples: 40}}\n"
    "  - scan: {over: [{quantity: 'u[0]', from: -0.2, to: 0.2, points: 5}], read: [s]}\n",
)


@pytest.fixture(scope="module")
def view(qapp: object, tmp_path_factory: pytest.TempPathFactory) -> RunView:
    """Run once, and read it as the window does."""
    folder = tmp_path_factory.mktemp("curves")
    result = run_experiment(experiment(folder, TEXT), runs=folder / "runs")
    feed, found = RunFeed(), []
    feed.changed.connect(found.append)
    feed.follow(result.folder)
    bot = QtBot(None)  # type: ignore[arg-type]
    bot.waitUntil(  # the stages are told last, once all tables were read
        lambda: bool(found) and found[-1].rows("steps") == 132 and found[-1].sequence is not None, timeout=60_000
    )
    feed.close()
    return found[-1]  # type: ignore[no-any-return]


def test_costs_are_those_of_real_steps_and_say_what_they_are(view: RunView) -> None:
    run = load_run(view.folder)
    curves = {curve.name: curve for curve in run_curves.costs_of(view)}
    assert list(curves) == ["cost", "mean of 50", "cost under beta_1", "cost under beta_2", "cost on the test set"]
    real = (run.steps["sham"] == 0) & np.isfinite(run.steps["cost_free"])
    np.testing.assert_array_equal(curves["cost"].y, run.steps["cost_free"][real])
    np.testing.assert_allclose(curves["mean of 50"].y[-1], run.steps["cost_free"][real][-50:].mean())
    assert not curves["cost under beta_1"].shown
    assert curves["cost on the test set"].points
    np.testing.assert_array_equal(curves["cost on the test set"].y, run.evaluations["cost_free"])
    assert run_curves.error_rates_of(view) == []


def test_what_was_learned_is_that_of_the_last_evaluation(view: RunView) -> None:
    learned = run_curves.learned_of(view)
    assert learned is not None
    assert (learned.dataset, learned.input_names, learned.output_names) == ("test", ("z",), ("s",))
    assert learned.inputs.shape == learned.outputs.shape == (12, 1)
    cost = 0.5 * ((learned.outputs - learned.targets) ** 2).sum(axis=1).mean()
    assert cost == pytest.approx(load_run(view.folder).evaluations["cost_free"][-1])


def test_traced_samples_end_within_tolerance_and_move_after_the_clamp(view: RunView) -> None:
    samples = run_curves.traced_samples(view)
    assert samples
    for sample in samples:
        held = sample.t <= sample.clamp_s
        assert sample.t[0] == 0.0
        assert np.abs(sample.error[held][-1]).max() <= 1.5
        assert np.isnan(sample.error[~held]).all()
        assert np.isfinite(sample.moved[~held]).all()
        assert (sample.u[~held] == sample.u[held][-1]).all()


def test_a_scan_has_its_points(view: RunView) -> None:
    (scan,) = run_curves.scans_of(view)
    (whole,) = load_run(view.folder).scans
    ((name, unit, values),) = scan.axes
    assert (name, unit, scan.shape, scan.reads) == ("u[0]", "1", (5,), (("s[0]", "1"),))
    np.testing.assert_array_equal(values, whole.axes[0].values)
    np.testing.assert_array_equal(scan.means[np.argsort(scan.place), 0], whole.values["s[0]"])
    assert scan.setpoints.shape == scan.readbacks.shape == (5, 1)


def test_a_scan_that_goes_on_stays_zoomed_and_a_damaged_one_is_left_out(qtbot: QtBot, view: RunView) -> None:
    results = Results()
    qtbot.addWidget(results)
    results.set_run(view)
    assert results.shown == "Scan"
    results.scan.redraw(even_if_hidden=True)
    results.scan.graph.zoom(x=0.5)
    results.set_run(view)
    assert results.scan.graph.zoomed
    results.clear(same_run=True)
    results.set_run(view)
    assert len(results.scan.columns()[0].values) == 5
    results.clear()
    assert not results.scan.graph.zoomed
    axes = np.array(["{"], dtype=object)
    broken = replace(view, tables=view.tables | {"scans": view.tables["scans"] | {"axes": axes}})
    assert run_curves.scans_of(broken) == []
    results.set_run(broken)
    assert results.shown == "Learned"


def test_banner_and_figures_of_a_run_that_ended(view: RunView) -> None:
    banner = banner_of(view, None)
    assert banner.standing is Standing.IDLE
    assert banner.doing == "finished: Did everything it was asked to."
    figures = {vital.name: vital for vital in vitals_of(view, None)}
    assert figures["held"].mood is Mood.UNKNOWN, "nothing holds theta any more, as far as is known"
    assert figures["held"].text.startswith("at the last clamp held, worst u")
    assert "x noise" in figures["step"].text or "without noise" in figures["step"].text
    assert figures["rail"].text == "to rail: no limits"
    assert figures["skipped"].text == "skipped 0"
    assert figures["age"].text == "oldest reading: none"
