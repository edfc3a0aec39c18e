"""Colours that can be read, light and dark."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from aeqlab.app.window.models.standing import Standing
from aeqlab.app.window.theme import CURVES, DARK, LIGHT, SIGNS, Colours, ink_on, theme


def contrast(one: str, other: str) -> float:
    """Compute the contrast ratio of WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in QColor(colour).getRgbF()[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_word_can_be_read(colours: Colours) -> None:
    for ground in (colours.ground, colours.sheet):
        assert contrast(colours.text, ground) > 7
        for name in ("dim", "warning", "fault", "good"):
            assert contrast(getattr(colours, name), ground) > 4.5, name


def test_every_state_has_a_shape_of_its_own_and_a_word_that_can_be_read_on_its_colour() -> None:
    assert set(SIGNS) == set(Standing)
    assert len({one.shape for one in SIGNS.values()}) == len(Standing)
    for standing, sign in SIGNS.items():
        if sign.colour is not None:
            assert contrast(ink_on(sign.colour), sign.colour) > 4.5, standing.value


@pytest.mark.parametrize("dark", [False, True])
def test_curves_stand_out_and_all_widgets_follow(qtbot: QtBot, dark: bool, qapp: object) -> None:
    with qtbot.waitSignal(theme().changed):
        theme().apply(qapp, dark=dark)  # type: ignore[arg-type]
    for k in range(len(CURVES)):
        assert contrast(theme().curve(k), theme().now.sheet) > 1.9
