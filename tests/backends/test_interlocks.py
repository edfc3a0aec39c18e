"""Interlocks: what a condition means, what counts as tripped, what is no condition."""

from __future__ import annotations

import math

import pytest

from aeqlab.backends.interlocks import Reading, interlock

KNOWN = ("temperature", "pressure", "s")
NOW = {"temperature": Reading(301.0, "K", 0.1), "pressure": Reading(1.5, "bar", 0.1), "s": Reading(-2.5, "V", 0.1)}


def tripped(when: str, **readings: Reading) -> str:
    return interlock("test", when, "safe", 5.0, KNOWN).tripped({**NOW, **readings})


@pytest.mark.parametrize(
    ("when", "met"),
    [
        ("temperature > 300", True),
        ("temperature >= 301", True),
        ("temperature < 300", False),
        ("abs(s) > 2", True),
        ("s > -3 and s < -2", True),
        ("temperature > 310 or pressure < 2", True),
        ("not (temperature > 300)", False),
        ("not temperature > 310 and pressure > 1", True),
        ("temperature > 310 or pressure > 2 or s > 0", False),
        ("-s > 2.4e0", True),
        ("temperature > pressure", True),
    ],
)
def test_a_condition_means_what_it_says(when: str, met: bool) -> None:
    assert bool(tripped(when)) is met


def test_the_sentence_has_name_condition_and_values() -> None:
    assert tripped("temperature > 300") == "interlock test: temperature > 300, and temperature = 301 K"


def test_missing_and_old_data_count_as_tripped() -> None:
    assert "is missing" in tripped("temperature > 999", temperature=Reading(math.nan, "K", 0.0))
    assert "8 s old" in tripped("temperature > 999", temperature=Reading(290.0, "K", 8.0))
    assert "nan s old" in tripped("temperature > 999", temperature=Reading(290.0, "K", math.nan))
    assert "is missing" in interlock("test", "s > 99", "safe", 5.0, KNOWN).tripped({})


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("", "a value is missing"),
        ("temperature", "expected|missing"),
        ("temperature > ", "a value is missing"),
        ("temperature > 3 4", "after its end"),
        ("temprature > 3", "Did you mean temperature"),
        ("3 > 2", "reads nothing"),
        ("temperature > 3; import os", "not understood"),
        ("(temperature > 3", "is missing"),
        ("__import__('os')", "not understood"),
        ("(" * 40 + "s > 1" + ")" * 40, "too many brackets"),
        ("-" * 400 + "s > 1", "too many brackets or signs"),
        ("abs(" * 100 + "s" + ")" * 100 + " > 1", "too many brackets or signs"),
    ],
)
def test_what_is_no_condition_is_said(when: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        interlock("test", when, "warn", 5.0, KNOWN)
