"""Thinning keeps what the eye must see: extremes, gaps, the ends; and it is fast."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeqlab.app.window.plots import raster
from aeqlab.app.window.plots.thinning import Columns, log_of, rising, spans, thin, thin_all

PIXELS = 700


def walk(points: int = 10_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return np.sort(random.uniform(0, 5, points)), random.normal(size=points).cumsum()


@settings(deadline=None)
@given(st.integers(0, 9_999), st.booleans(), st.integers(0, 100))
def test_one_outlier_survives_wherever_it_is(place: int, up: bool, seed: int) -> None:
    x, y = walk(seed=seed)
    y[place] = 1e6 if up else -1e6
    _, thinned = thin(x, y, PIXELS)
    assert y[place] in thinned
    assert len(thinned) <= 2 * PIXELS
    low, high = spans(x, y, Columns.of(x, x[0], x[-1], PIXELS))
    assert (np.nanmax(high), np.nanmin(low)) == (y.max(), y.min())


def test_every_column_keeps_its_least_and_its_greatest() -> None:
    x, y = walk()
    xs, ys = thin(x, y, PIXELS)
    column = np.minimum(((x - x[0]) / (x[-1] - x[0]) * PIXELS).astype(int), PIXELS - 1)
    drawn = np.minimum(((xs - x[0]) / (x[-1] - x[0]) * PIXELS).astype(int), PIXELS - 1)
    for k in range(0, PIXELS, 7):
        if (column == k).any():
            assert ys[drawn == k].min() == y[column == k].min()
            assert ys[drawn == k].max() == y[column == k].max()
    assert rising(xs)


def test_a_gap_stays_a_gap_and_hides_nothing_beside_it() -> None:
    x, y = walk()
    y[4000:6000] = np.nan
    y[8000] = np.nan
    xs, ys = thin(x, y, PIXELS)
    pixel = 5 / PIXELS
    inside = (xs > x[4000] + pixel) & (xs < x[5999] - pixel)
    assert np.isnan(ys[inside]).all()
    assert np.isnan(ys).any()
    assert np.nanmax(ys) == np.nanmax(y)
    low, _ = spans(x, y, Columns.of(x, x[0], x[-1], PIXELS))
    middle = int((x[5000] - x[0]) / (x[-1] - x[0]) * PIXELS)
    assert np.isnan(low[middle])


def test_a_line_across_a_gap_between_far_points_is_not_drawn() -> None:
    dense = np.linspace(0, 1, 5000)
    x = np.concatenate((dense, [1.0001], dense + 9))
    y = np.concatenate((np.zeros(5000), [np.nan], np.ones(5000)))
    _, ys = thin(x, y, 100)
    assert np.isnan(ys).any()
    joins = [(a, b) for a, b in pairwise(ys) if not np.isnan(a) and not np.isnan(b)]
    assert (0.0, 1.0) not in joins


def test_logarithmic_axes() -> None:
    x, y = np.geomspace(1e-3, 1e3, 20_000), np.geomspace(1, 1e-6, 20_000)
    y[17] = -1.0
    _, ys = thin(log_of(x), log_of(y), PIXELS)
    assert np.nanmin(ys) == pytest.approx(-6)
    assert np.nanmax(ys) == 0
    low, high = spans(log_of(x), log_of(y), Columns.of(log_of(x), -3, 3, PIXELS))
    assert np.nanmax(high - low) < 3 * 6 / PIXELS  # all columns are equally wide on a logarithmic axis
    assert np.isnan(log_of(np.array([0.0, -1.0]))).all()


def test_few_points_are_left_alone_and_only_what_is_shown_is_kept() -> None:
    x, y = walk(100)
    assert thin(x, y, PIXELS)[1] is not None
    np.testing.assert_array_equal(thin(x, y, PIXELS)[1], y)
    xs, _ = thin(*walk(), PIXELS, 2.0, 3.0)
    assert (xs < 2.0).sum() <= 2  # the column at the border
    assert xs[0] < 2.0 < 3.0 < xs[-1]


def test_spans_of_a_sparse_line_touch() -> None:
    x, y = np.array([0.0, 1.0, 3.0]), np.array([0.0, 100.0, -50.0])
    low, high = spans(x, y, Columns.of(x, 0, 3, 300))
    assert (np.maximum(low[:-1], low[1:]) <= np.minimum(high[:-1], high[1:]) + 1e-9).all()
    assert high[150] == pytest.approx(62.5, abs=1)
    assert np.isnan(spans(x, y, Columns.of(x, -3, 3, 300))[0][:149]).all()


def test_painted_pixels_are_those_of_the_spans() -> None:
    for many in (raster.MANY, 1):
        pixels = raster.blank(4, 10)
        low, high = np.array([[0.0, 5.0, np.nan, 9.9]]), np.array([[2.0, 5.0, np.nan, 99.0]])
        before, raster.MANY = raster.MANY, many
        raster.paint(
            pixels,
            raster.rows_of(high, 0, 10, 10),
            raster.rows_of(low, 0, 10, 10),
            np.array([0xFF0000FF], dtype=np.uint32),
        )
        raster.MANY = before
        assert [np.flatnonzero(pixels[:, k]).tolist() for k in range(4)] == [[8, 9], [5], [], [0]] or many == 1
        assert np.flatnonzero(pixels[:, 1]).tolist() == [5]
        assert not pixels[:, 2].any()


def test_both_ways_of_painting_agree() -> None:
    random = np.random.default_rng(2)
    tops = random.integers(-20, 60, (9, 40)).astype(np.int32)
    bottoms = (tops + random.integers(0, 30, tops.shape)).astype(np.int32)
    colours = (0xFF000000 + random.integers(0, 4, tops.shape)).astype(np.uint32)
    one, other = raster.blank(40, 50), raster.blank(40, 50)
    raster.paint(one, tops, bottoms, colours)
    before, raster.MANY = raster.MANY, 0
    try:
        raster.paint(other, tops, bottoms, colours)
    finally:
        raster.MANY = before
    np.testing.assert_array_equal(one, other)


def test_64_traces_of_10000_points_are_thinned_well_under_20_ms_of_work() -> None:
    x = np.linspace(0, 1, 10_000)
    traces = np.random.default_rng(1).normal(size=(64, 10_000)).cumsum(1)
    spent = []
    for _ in range(7):
        begin = time.thread_time()  # other programs on the machine do not count
        thin_all(x, list(traces), PIXELS)
        spent.append(time.thread_time() - begin)
    assert min(spent) < 0.020
