"""Numbers and names of a run in words."""

from __future__ import annotations

import pytest

from aeqlab.app.words import name_in_words, size_in_words, value_in_words
from aeqlab.protocols.words import cost_in_words, duration_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (200, "3 min 20 s"), (3599.6, "1 h 00 min"), (18420, "5 h 07 min"), (190_000, "2 d 4 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(12, "12 bytes"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e9, "3 GB")])
def test_sizes(size: float, words: str) -> None:
    assert size_in_words(size) == words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("held_rate", 0.9995, "99.95 %"),
        ("test_error_rate", 0.0412, "4.12 %"),
        ("cost_free", 0.00123456, "0.001235"),
        ("steps", 12000, "12,000"),
        ("seconds", 3.21, "3.2 s"),
        ("held_rate", None, "not known"),
        ("used", True, "yes"),
        ("betas", [0.1, 0.2], "0.1, 0.2"),
    ],
)
def test_values(name: str, value: object, words: str) -> None:
    assert value_in_words(name, value) == words


def test_a_cost_read_under_a_nudge_never_looks_like_the_free_one() -> None:
    assert cost_in_words("cost_free") == "cost"
    assert "beta_1" in cost_in_words("cost_1")
    assert "beta_2" in cost_in_words("cost_2")
    assert name_in_words("running_cost_free") == "cost while training"
    assert name_in_words("train_cost_free") == "cost on the training set"
    assert not any("loss" in name_in_words(name) for name in ("cost_1", "cost_2", "cost_rose"))


def test_columns_of_the_user_keep_their_names() -> None:
    assert value_in_words("test_rms_error", {"mass_g": 44.651, "y": 0.5}) == "mass_g 44.65, y 0.5"
