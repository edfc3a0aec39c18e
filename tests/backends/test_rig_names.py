"""Names and channels of a rig file: many at once, and what is no name."""

from __future__ import annotations

import pytest

from aeqlab.backends.rig_names import names_of, places_of


def test_a_range_stands_for_many_names_and_keeps_its_zeros() -> None:
    assert names_of("u[00-03]") == ("u00", "u01", "u02", "u03")
    assert names_of("u[8-11]x") == ("u8x", "u9x", "u10x", "u11x")
    assert names_of(["a", "b[1,3-4]"]) == ("a", "b1", "b3", "b4")


def test_channels_are_an_instrument_and_a_key() -> None:
    assert [str(place) for place in places_of("dac[1-2,7]")] == ["dac[1]", "dac[2]", "dac[7]"]
    assert places_of("dac17")[0] == ("dac", "17")
    assert places_of("motor[x,y]")[1] == ("motor", "y")
    assert places_of("k24501", ["k2450", "k"])[0] == ("k2450", "1")  # the longest name of an instrument that fits


@pytest.mark.parametrize(
    ("text", "said"),
    [("u[3-1]", "runs backwards"), ("u[1,,2]", "empty part"), ("", "empty"), (["a", "a"], "there twice"), ("u[1][2]", "bracket")],
)
def test_what_is_no_name_is_said(text: str | list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        names_of(text)


@pytest.mark.parametrize("text", ["dac", "17", "dac[", "dac[1]x"])
def test_what_is_no_channel_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="names no channel"):
        places_of(text)
