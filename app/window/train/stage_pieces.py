"""What the two lists of stages share, that of a file and that of a running run: the table, its keys, the menu of kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QHeaderView, QMenu, QPushButton, QTreeWidget, QWidget

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


def stage_tree(name: str, columns: Sequence[str], widths: Sequence[int], wide: int) -> QTreeWidget:
    """Make the table; `wide` is the column that takes what room is left."""
    tree = QTreeWidget()
    tree.setHeaderLabels(list(columns))
    tree.setAccessibleName(name)
    tree.setUniformRowHeights(True)
    tree.header().setStretchLastSection(False)
    tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    for index, width in enumerate(widths):
        tree.setColumnWidth(index, width)
    tree.header().setSectionResizeMode(wide, QHeaderView.ResizeMode.Stretch)
    return tree


def stage_button(text: str, keys: str, tree: QWidget, work: Callable[[], object], meaning: str) -> QPushButton:
    """Make a button whose keys are heard where the table has the focus."""
    button = QPushButton(text)
    button.setToolTip(f"{meaning} ({keys})")
    button.clicked.connect(lambda: work())
    stage_keys(keys, tree, work)
    return button


def stage_keys(keys: str, widget: QWidget, work: Callable[[], object]) -> None:
    """Let keys do something where a widget has the focus, and nowhere else."""
    shortcut = QShortcut(QKeySequence(keys), widget)
    shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
    shortcut.activated.connect(lambda: work())
