"""Alarms latch, count, hang under their first cause, and are acknowledged by name."""

from __future__ import annotations

import pytest

from aeqlab.protocols.alarms import MOST, TOGETHER_S, Alarms


def test_an_alarm_latches_until_it_is_over_and_acknowledged() -> None:
    alarms = Alarms()
    first = alarms.raise_("hold lost", "theta[3] is 5 tolerances off", now=100.0)
    assert first is not None
    assert alarms.raise_("hold lost", "theta[3] is 9 tolerances off", now=101.0) is None
    (kept,) = alarms.open
    assert (kept.times, kept.text, kept.t) == (2, "theta[3] is 9 tolerances off", 100.0)
    alarms.clear("hold lost")
    assert [one.active for one in alarms.open] == [False]  # over, but nobody has seen it
    (seen,) = alarms.acknowledge("ada", first.number, now=200.0)
    assert (seen.by, seen.at) == ("ada", 200.0)
    assert alarms.open == []
    assert alarms.acknowledge("bob", first.number) == []


def test_one_that_is_still_there_stays_after_it_was_acknowledged() -> None:
    alarms = Alarms()
    alarms.raise_("comms", "no reply")
    alarms.acknowledge("ada")
    assert [one.active for one in alarms.open] == [True]
    assert "comms: no reply" in alarms.sentence()
    alarms.clear("comms")
    assert alarms.open == []
    assert alarms.sentence() == ""
    again = alarms.raise_("comms", "no reply")
    assert again is not None  # a new one, as the old one was seen


def test_what_follows_at_once_hangs_under_the_first_cause() -> None:
    alarms = Alarms()
    first = alarms.raise_("comms", "the cable", now=0.0)
    second = alarms.raise_("hold lost", "stale", now=1.0)
    late = alarms.raise_("disk", "nearly full", now=TOGETHER_S + 1.0)
    assert first is not None
    assert second is not None
    assert late is not None
    assert (first.cause, second.cause, late.cause) == (0, first.number, 0)
    assert alarms.sentence() == "comms: the cable, and 2 more"
    done = alarms.acknowledge("ada", first.number)
    assert [one.number for one in done] == [first.number, second.number]


def test_there_is_no_flood_and_no_unknown_alarm() -> None:
    alarms = Alarms()
    for k in range(3 * MOST):
        alarms.raise_(f"kind {k}", "text", now=100.0 * k)
    assert len(alarms.all()) == MOST
    with pytest.raises(KeyError):
        alarms.acknowledge("ada", 10**6)
