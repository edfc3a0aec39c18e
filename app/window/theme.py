"""How the window looks: one set of colours, three sizes of type, a grid of 8 px, light and dark.

The colours are those of Okabe and Ito, which colour-blind eyes tell apart (Color Universal Design, 2008); none is ever alone, a
word or a shape goes with it. Every widget asks `theme()` and follows `changed`; nobody else names a colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyqtgraph
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

from aeqlab.app.window.models.standing import Standing

GRID = 8  #: px; every margin and gap is a multiple of it
SMALL, NORMAL, LARGE = 0.9, 1.0, 1.5  #: sizes of type, by the system's own
PROJECTED_PX = 24  #: of the type in projector mode

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
CURVES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW)  #: of the first, the second, ... curve of a plot


@dataclass(frozen=True, slots=True)
class Sign:
    """What goes with the word of a state: its colour, None where it has none, and a shape of its own."""

    colour: str | None
    shape: str


SIGNS = {
    Standing.IDLE: Sign(None, "○"),
    Standing.IDENTIFYING: Sign(BLUE, "◇"),
    Standing.TRAINING: Sign(GREEN, "▶"),
    Standing.PAUSED: Sign(YELLOW, "❚❚"),
    Standing.FROZEN: Sign(ORANGE, "✱"),
    Standing.SAFE: Sign(None, "□"),
    Standing.FAULT: Sign(VERMILION, "✕"),
    Standing.UNKNOWN: Sign(None, "?"),
}


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of one of the two modes, as "#rrggbb"."""

    ground: str  #: of the window
    sheet: str  #: of panels and plots
    text: str
    dim: str  #: of what is secondary, or too old
    line: str  #: of axes, grids and borders
    chosen: str  #: of what is selected
    warning: str
    fault: str
    good: str


LIGHT = Colours("#F2F2F0", "#FFFFFF", "#1A1A1A", "#6B6B6B", "#C8C8C4", BLUE, "#8A5E00", "#B34700", "#00765A")
DARK = Colours("#1B1D1F", "#24272A", "#ECECEC", "#9BA0A5", "#44494E", SKY, ORANGE, "#FF8A3D", "#2BC79B")


class Theme(QObject):
    """The look that is in use. `changed` is sent after it turned light or dark."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.dark = False
        self.projected = False  #: shown to a room: all type is large
        self.now = LIGHT
        self._styled = False

    def apply(self, application: QApplication, *, dark: bool) -> None:
        """Turn light or dark, everywhere."""
        self.dark, self.now = dark, DARK if dark else LIGHT
        if not self._styled:  # once: Qt deletes a style that is replaced, while style sheets may still stand on it
            self._styled = True
            application.setStyle("Fusion")
        application.setPalette(_palette(self.now))
        application.setStyleSheet(_sheet(self.now))
        pyqtgraph.setConfigOptions(background=self.now.sheet, foreground=self.now.text, antialias=False)
        self.changed.emit()

    def project(self, on: bool) -> None:
        """Turn all type large, as it is read from the back of a room, or back to the system's size."""
        if on != self.projected:
            self.projected = on
            self.changed.emit()

    def curve(self, k: int) -> str:
        """Get the colour of the k-th curve of a plot."""
        colour = CURVES[k % len(CURVES)]
        if colour == YELLOW and not self.dark:
            return "#B8A800"
        return "#1E88D2" if colour == BLUE and self.dark else colour  # the same hue, where thin lines would be too faint

    def font(self, size: float = NORMAL, *, bold: bool = False, tabular: bool = False) -> QFont:
        """Get the system's font in one of the three sizes; with figures of one width where asked."""
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
        if self.projected:
            font.setPixelSize(round(PROJECTED_PX * max(size, NORMAL)))
        else:
            font.setPointSizeF(max(font.pointSizeF(), 9.0) * size)
        font.setBold(bold)
        if tabular:
            font.setFeature(QFont.Tag("tnum"), 1)
        return font


def ink_on(colour: str) -> str:
    """Choose black or white, whichever is read better on a colour (relative luminance of WCAG 2)."""
    made = QColor(colour)
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (made.redF(), made.greenF(), made.blueF())]
    luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    return "#000000" if luminance > 0.18 else "#FFFFFF"


def system_is_dark(application: QApplication) -> bool:
    """Tell whether the desktop is dark."""
    return application.styleHints().colorScheme() == Qt.ColorScheme.Dark


_THE_THEME: list[Theme] = []


def theme() -> Theme:
    """Get the one theme of this program."""
    if not _THE_THEME:
        _THE_THEME.append(Theme())
    return _THE_THEME[0]


def _palette(colours: Colours) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for roles, colour in (
        ((role.Window, role.Button, role.AlternateBase), colours.ground),
        ((role.Base, role.ToolTipBase), colours.sheet),
        ((role.WindowText, role.Text, role.ButtonText, role.ToolTipText), colours.text),
        ((role.PlaceholderText,), colours.dim),
        ((role.Mid, role.Light, role.Midlight, role.Dark), colours.line),
        ((role.Highlight, role.Link), colours.chosen),
        ((role.HighlightedText,), ink_on(colours.chosen)),
    ):
        for one in roles:
            palette.setColor(one, QColor(colour))
    for one in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, one, QColor(colours.dim))
    return palette


def _sheet(colours: Colours) -> str:
    """Write the few rules that a palette cannot say."""
    return f"""
        QToolTip {{ color: {colours.text}; background: {colours.sheet}; border: 1px solid {colours.line}; padding: 4px; }}
        QGroupBox {{ border: none; margin-top: {2 * GRID}px; font-weight: bold; }}
        QGroupBox::title {{ subcontrol-origin: margin; left: 0; }}
        QHeaderView::section {{ background: {colours.ground}; border: none; padding: 4px; }}
        QTableView, QTreeView, QListView {{ border: 1px solid {colours.line}; gridline-color: {colours.line}; }}
        QPushButton:checked {{ background: {colours.sheet}; border: 2px solid {colours.chosen}; border-radius: 3px; }}
        QSplitter::handle {{ background: {colours.line}; }}
        *:focus {{ outline: 1px solid {colours.chosen}; }}
    """
