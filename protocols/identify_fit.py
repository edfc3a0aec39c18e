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
#: Variances that differ from the median by more than this factor are none of the others' kind.
APART = 6.0
FAR = 3  #: readings between two that are compared for their drift
MOST_DRIFT = 0.6  #: part of the variance of neighbours that is taken for drift at most


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


def noise_of(rows: Array, resolution: Array) -> tuple[Array, Array]:
    """Estimate the read noise of every channel from readings at rest, without the drift that is in them.

    Readings that follow each other differ by their noise, those further apart also by what a random walk did meanwhile; what the
    channels together show of that is taken off. And few readings tell little of one channel, so each leans on the others as far
    as their scatter says that they are alike (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3, 3).
    Channels that stand far apart from the others keep their own.

    Args:
        rows: readings at equal distances, shape (readings, channels), 5 readings or more.
        resolution: step of each reading, shape (channels,), 0 where not known.
    Returns:
        Noise and its standard uncertainty, both of shape (channels,).
    """
    steps = np.diff(rows, axis=0)
    own = (steps**2).mean(axis=0) / 2.0
    degrees = 2.0 * len(steps) / 3.0  # neighbours share a reading
    middle = float(np.median(own))
    alike = (own > middle / APART) & (own < middle * APART)
    m = int(alike.sum())
    floor = resolution**2 / 12.0
    alone = np.sqrt(np.maximum(own, floor))  # readings may repeat though what they read moves within their step
    if m < 3 or middle <= 0.0:
        return alone, alone / np.sqrt(2.0 * degrees)
    common = float(own[alike].mean())
    half = 0.5 * degrees
    by_itself = 1.0 / half + 0.5 / half**2 + 1.0 / (6.0 * half**3)  # variance of the log of a variance, for equal ones
    beyond = float(np.log(own[alike]).var(ddof=1)) - by_itself
    most = degrees * m  # the common one is known no better than from all readings
    worth = min(most, 2.0 * (1.0 / beyond + 0.5)) if beyond > 0.0 else most
    drift, unsure = _walked(rows[:, alike], common)
    pooled = (worth * common + degrees * own) / (worth + degrees) * (1.0 - drift)
    noise = np.where(alike, np.sqrt(np.maximum(pooled, floor)), alone)
    return noise, noise * np.where(alike, np.sqrt(0.5 / (worth + degrees) + (0.5 * unsure) ** 2), np.sqrt(0.5 / degrees))


def _walked(rows: Array, common: float) -> tuple[float, float]:
    """Tell what part of the variance of neighbouring readings is a random walk between them, and how uncertain that is."""
    far = rows[FAR:] - rows[:-FAR]
    variance = float((far**2).mean()) / 2.0
    part = (variance - common) / ((FAR - 1.0) * common)
    counts = rows.shape[1] * np.array([2.0 * (len(rows) - 1) / 3.0, max(1.0, len(far) / 2.0)])
    unsure = float(np.hypot(variance / common * np.sqrt(2.0 / counts[1]), np.sqrt(2.0 / counts[0]))) / (FAR - 1.0)
    return float(np.clip(part, 0.0, MOST_DRIFT)), unsure if part > 0.0 else 0.0
