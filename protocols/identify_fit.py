"""Fitting what an identification read: lag and dead time from the course after a step, gains from coded patterns.

Lag and dead time of a course are weighed over a grid of both, so that their uncertainties are honest also where a tick is longer
than the lag: then the course only bounds it, and the stated uncertainty is as large as what is not known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LAGS, DEADS = 60, 100  #: points of the grid
#: What no first-order lag describes, such as filters, slew and neighbours, counts as so much of the step in every reading.
MODEL = 0.015
#: An uncertainty is never stated below this share of the value: the model itself is no better.
LEAST = 0.05


class Course(NamedTuple):
    """Readings after a step. Times have shape (readings, parameters): since the step was sent, by when each was measured."""

    times: Array
    values: Array  #: change of theta, in steps of what it comes to at last: 0 before, 1 at the end
    noise: Array  #: of a reading, in the same unit, shape (parameters,)


class LagFit(NamedTuple):
    """Lag and dead time of each parameter, and their standard uncertainties, all of shape (parameters,), in s."""

    lag_s: Array
    lag_error_s: Array
    dead_s: Array
    dead_error_s: Array


def fit_lags(course: Course, ramp_s: float, tick_s: float) -> LagFit:
    """Fit 1 - exp(-(t - d) / tau), behind a ramp of the knob, to every course.

    Args:
        course: the readings.
        ramp_s: how long the knob itself was on its way.
        tick_s: period of the readings; lags from a fiftieth of it are looked at.
    Returns:
        Means and standard deviations over the grid of lags and dead times, each weighed by how well it fits.
    """
    times, values, noise = course
    longest = float(times.max())
    shortest = max(1e-4, min(tick_s, longest) / 50.0)
    lags = np.geomspace(shortest, max(longest / 2.0, 4.0 * shortest), LAGS)
    part = np.linspace(0.0, 1.0, DEADS)
    deads = max(1.5 * tick_s, 0.5 * longest) * part**2  # fine where most are: a tick may be much longer than a dead time
    lag_grid, dead_grid = np.meshgrid(lags, deads, indexing="ij")  # (LAGS, DEADS)
    found = np.empty((4, values.shape[1]))
    for k in range(values.shape[1]):
        t = times[:, k][:, None, None] - dead_grid
        model = _ramped(t, lag_grid, ramp_s)
        sigma2 = noise[k] ** 2 + MODEL**2
        prior = np.log(lag_grid) + np.log(np.sqrt(dead_grid) + 1e-9)  # not for the spacing of the grid: all count alike
        scores = prior - 0.5 * np.sum((values[:, k][:, None, None] - model) ** 2, axis=0) / sigma2
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        for row, grid in ((0, lag_grid), (2, dead_grid)):
            mean = float((weights * grid).sum())
            variance = float((weights * (grid - mean) ** 2).sum())
            points = lags if row == 0 else deads
            at = min(int(np.searchsorted(points, mean)), len(points) - 1)
            cell = float(points[at] - points[max(at - 1, 0)]) / np.sqrt(12.0)
            found[row, k], found[row + 1, k] = mean, np.sqrt(variance + cell**2 + (LEAST * mean) ** 2)
    return LagFit(*found)


def _ramped(t: Array, lag: Array, ramp_s: float) -> Array:
    """Compute the answer of a lag, 0 to 1, to a knob that ramps from 0 to 1 in `ramp_s`, at times since the ramp began."""
    after = np.maximum(t, 0.0)
    if ramp_s <= 0.0:
        return np.asarray(1.0 - np.exp(-after / lag))
    inside = np.minimum(after, ramp_s)
    at_end = (inside - lag * (1.0 - np.exp(-inside / lag))) / ramp_s
    left = np.maximum(after - ramp_s, 0.0)
    return np.asarray(1.0 - (1.0 - at_end) * np.exp(-left / lag)) if np.ndim(left) else at_end


class GainFit(NamedTuple):
    """What coded patterns show.

    Attributes:
        matrix: how much each knob moves each parameter, shape (parameters, knobs), theta per u; with too few patterns, the part
            of each answer that follows that knob's code.
        error: standard uncertainty of each entry on its own, shape (parameters,).
    """

    matrix: Array
    error: Array


def fit_gains(codes: Array, answers: Array, step: Array, noise: Array) -> GainFit:
    """Tell the knobs' effects apart by their codes.

    Args:
        codes: shape (patterns, knobs), +1 and -1.
        answers: theta at each pattern, shape (patterns, parameters).
        step: size of each knob's step, shape (knobs,).
        noise: of an answer, shape (parameters,).
    """
    patterns, knobs = codes.shape
    codes = codes - codes.mean(axis=0)  # what they have in common with where the knobs stood tells nothing
    answers = answers - answers.mean(axis=0)
    if patterns > knobs:
        matrix = np.linalg.lstsq(codes, answers, rcond=None)[0].T / step
        return GainFit(matrix, noise / np.sqrt(patterns) / float(np.mean(step)))
    matrix = ((codes.T @ answers) / (codes**2).sum(axis=0)[:, None]).T / step  # (parameters, knobs)
    strongest = np.argmax(np.abs(matrix * step), axis=1)
    rows = np.arange(len(matrix))
    explained = (matrix * step)[rows, strongest][:, None] * codes[:, strongest].T
    left = np.sqrt(np.mean((answers.T - explained) ** 2, axis=1) * patterns / max(patterns - 1, 1))
    return GainFit(matrix, np.sqrt(left**2 + noise**2) / np.sqrt(patterns) / step[strongest])
