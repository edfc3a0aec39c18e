"""The menu of the kinds of stages, each with what it does, for the button that adds one."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QPushButton

from aeqlab.app.window.models.experiment_schema import stage_meaning, stage_variants


def set_stage_menu(button: QPushButton, add: Callable[[str], object]) -> None:
    """Give a button the menu; `add` hears the word of the kind that was chosen."""
    menu = QMenu(button)
    menu.setToolTipsVisible(True)
    for one in stage_variants():
        action = QAction(f"{one.word}: {stage_meaning(one.word)}", menu)
        action.triggered.connect(lambda _=False, word=one.word: add(word))
        menu.addAction(action)
    button.setMenu(menu)
