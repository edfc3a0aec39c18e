"""What drivers offer before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeqlab.drivers.identity import Identity
from aeqlab.drivers.instrument import Direction
from aeqlab.drivers.offers import drivers_for, in_words, offer_of

DESCRIPTION = {"maker": "Example", "models": ["PS"], "outputs": [{"channels": "1-2", "unit": "V", "limits": [-5, 5],
               "set": "VOLT {value},(@{list})", "ask": "VOLT? (@{list})"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("maker", "model", "drivers"),
    [
        ("QDevil", "QDAC-II", ["qdac2"]),
        ("Keysight Technologies", "DAQ970A", ["daq970a"]),
        ("HEWLETT-PACKARD", "34970A", ["daq970a"]),
        ("KEITHLEY INSTRUMENTS", "MODEL 2450", ["keithley2450"]),
        ("aeqlab", "BOARD-16", ["board"]),
        ("Maker", "Thing", []),
    ],
)
def test_the_driver_that_is_made_for_an_instrument_is_found_by_its_name(maker: str, model: str, drivers: list[str]) -> None:
    assert drivers_for(Identity(maker, model, "7")) == drivers


def test_channels_are_known_without_opening() -> None:
    base = Path()
    dac = offer_of("qdac2", {"range": "LOW"}, base).channels
    assert [channel.key for channel in dac[:2]] == ["1", "2"]
    assert in_words(dac[23]) == "24: output, -2 to 2 V"
    assert in_words(dac[24]) == "i1: input, -0.01 to 0.01 A"
    assert in_words(offer_of("daq970a", {"range_V": 10.0}, base).channels[0]) == "101: input, -10 to 10 V"
    smu = offer_of("keithley2450", {"source": "current", "source_range": 1e-3}, base).channels
    assert [in_words(channel) for channel in smu] == ["1: output, -0.001 to 0.001 A", "2: input, -200 to 200 V"]
    assert {channel.direction for channel in offer_of("board", {}, base).channels} == {Direction.OUT, Direction.IN}
    assert [in_words(one) for one in offer_of("scpi", {"description": DESCRIPTION}, base).channels] == [
        "1: output, -5 to 5 V", "2: output, -5 to 5 V",
    ]  # fmt: skip


def test_what_cannot_be_known_is_said() -> None:
    assert "only its own code can tell" in offer_of("stage.py:Stage", {}, Path()).note
    assert "keithley2450 needs source" in offer_of("keithley2450", {}, Path()).note
    assert "nowhere.yaml" in offer_of("scpi", {"file": "nowhere.yaml"}, Path()).note
    assert "says itself" in offer_of("board", {}, Path()).note
