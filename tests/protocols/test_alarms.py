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


def test_what_was_left_unseen_yesterday_hides_no_first_cause_of_today() -> None:
    alarms = Alarms()
    alarms.raise_("disk", "nearly full", now=0.0)  # active, and nobody looks at it
    cable = alarms.raise_("comms", "the cable", now=30_000.0)
    alarms.clear("comms")  # over at once; what it did comes afterwards
    after = alarms.raise_("hold lost", "stale", now=30_001.0)
    assert cable is not None
    assert after is not None
    assert (cable.cause, after.cause) == (0, cable.number)


def test_one_that_comes_back_unseen_counts_and_gathers_what_follows_it_now() -> None:
    alarms = Alarms()
    first = alarms.raise_("comms", "the cable", now=0.0)
    assert first is not None
    alarms.clear("comms")
    assert alarms.raise_("comms", "the cable", now=5000.0) is None
    assert alarms.raise_("comms", "the cable", now=5001.0) is None
    (kept,) = alarms.all()
    assert (kept.t, kept.since, kept.times, kept.active) == (0.0, 5000.0, 3, True)
    follows = alarms.raise_("hold lost", "stale", now=5003.0)
    late = alarms.raise_("drift", "too far", now=5002.0 + TOGETHER_S)
    assert follows is not None
    assert late is not None
    assert (follows.cause, late.cause) == (first.number, 0)


def test_what_hung_under_an_alarm_that_is_let_go_stands_for_itself() -> None:
    alarms = Alarms()
    alarms.raise_("first", "text", now=0.0)
    below = alarms.raise_("below", "text", now=1.0)
    assert below is not None
    alarms.clear("first")
    alarms.acknowledge("ada")
    for k in range(MOST - 1):
        alarms.raise_(f"kind {k}", "text", now=100.0 * (k + 1))
    assert next(one for one in alarms.all() if one.number == below.number).cause == 0


def test_there_is_no_flood_and_no_unknown_alarm() -> None:
    alarms = Alarms()
    for k in range(3 * MOST):
        alarms.raise_(f"kind {k}", "text", now=100.0 * k)
    assert len(alarms.all()) == MOST
    with pytest.raises(KeyError):
        alarms.acknowledge("ada", 10**6)
