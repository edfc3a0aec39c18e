"""How the panels of each workspace share their room, remembered from one window to the next."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QWidget

from aeqlab.app.window.four_panels import FourPanels


def recall_panels(page: QWidget, name: str, settings: QSettings) -> None:
    """Give the panels of a workspace the room that they had; one that had none yet keeps its own."""
    for key, panels in _panels(page, name):
        for number, splitter in enumerate((panels.whole, *panels.rows)):
            state = settings.value(f"{key}/{number}")
            if isinstance(state, QByteArray):
                splitter.restoreState(state)


def keep_panels(page: QWidget, name: str, settings: QSettings) -> None:
    """Remember the room that the panels of a workspace have; not where one is away from its row."""
    for key, panels in _panels(page, name):
        if panels.whole_shown:
            for number, splitter in enumerate((panels.whole, *panels.rows)):
                settings.setValue(f"{key}/{number}", splitter.saveState())


def _panels(page: QWidget, name: str) -> list[tuple[str, FourPanels]]:
    return [(f"panels/{name}/{k}", one) for k, one in enumerate(page.findChildren(FourPanels))]
