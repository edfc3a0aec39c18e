"""How long replies take: quantiles of the last ones, read while others are counted."""

from __future__ import annotations

import math
import threading

import pytest

from aeqlab.drivers.latency import KEPT, Latency, Stopwatch


def test_nothing_yet() -> None:
    watch = Stopwatch()
    watch.failed()
    latency = watch.latency()
    assert (latency.exchanges, latency.failed) == (1, 1)
    assert all(math.isnan(value) for value in (latency.median_s, latency.p99_s, latency.longest_s))


def test_quantiles() -> None:
    watch = Stopwatch()
    for k in range(1, 101):
        watch.took(k / 1000)
    watch.failed()
    latency = watch.latency()
    assert (latency.exchanges, latency.failed) == (101, 1)
    assert latency.median_s == pytest.approx(0.0505)
    assert latency.p99_s == pytest.approx(0.09901)
    assert latency.longest_s == 0.1


def test_only_the_last_ones_count() -> None:
    watch = Stopwatch()
    for _ in range(KEPT):
        watch.took(9.0)
    for _ in range(KEPT):
        watch.took(1.0)
    assert watch.latency() == Latency(2 * KEPT, 0, 1.0, 1.0, 1.0)
    watch.took(5.0)
    assert watch.latency().longest_s == 5.0


def test_it_is_read_while_it_counts() -> None:
    watch = Stopwatch()
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            watch.took(1.0)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(300):
            latency = watch.latency()
            assert latency.exchanges == 0 or latency.longest_s == latency.median_s == 1.0
    finally:
        done.set()
        thread.join()
