"""What is mechanically wrong with how a window looks: cut off, overlapping, outside its place, empty, too pale to read.

Each check walks over the widgets that can be seen and gives sentences; an empty list is what one wants.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PySide6.QtCore import QModelIndex, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QImage, QTextDocument
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QCheckBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QListView,
    QRadioButton,
    QSplitterHandle,
    QStyle,
    QStyleOptionComboBox,
    QTabBar,
    QToolButton,
    QTreeView,
    QWidget,
)

from aeqlab.app.window.plots.device_drawing import DeviceDrawing
from aeqlab.app.window.plots.graph import Graph

LEAST_CONTRAST = 4.5  #: of text on its ground, WCAG 2 level AA
SLACK = 1  #: px that two widgets may share, as the frames of two do
MOST_CELLS = 80  #: of a table that are looked at


def wrong(window: QWidget, picture: QImage, *, filled: bool = True) -> list[str]:
    """Do all checks on a window and the picture of it; `filled`: no plot may wait for its data."""
    return [*cut_off(window), *overlapping(window), *outside(window), *empty(window, filled), *pale(window, picture)]


def cut_off(window: QWidget) -> list[str]:
    """Say which texts have less room than they need."""
    found: list[str] = []
    for one in seen(window):
        if isinstance(one, QHeaderView):
            found += _cut_heads(one)
        elif isinstance(one, QTabBar):
            found += _cut_tabs(one)
        elif isinstance(one, QAbstractItemView):
            found += _cut_cells(one)
        elif (told := _text_of(one)) is not None:
            text, needs, room = told
            if needs.width() > room.width() + SLACK or needs.height() > room.height() + 2 * SLACK:
                found.append(f"{_name(one)}: {text!r} needs {_size(needs)} px and has {_size(room)}")
    return found


def overlapping(window: QWidget) -> list[str]:
    """Say which widgets with one parent lie over one another."""
    found = []
    for parent in [window, *seen(window)]:
        if isinstance(parent, QAbstractScrollArea):  # its bars and its corner are Qt's
            continue
        children = [one for one in parent.children() if isinstance(one, QWidget) and one.isVisible() and not one.isWindow()]
        children = [one for one in children if not isinstance(one, QSplitterHandle | QToolButton) and not one.size().isEmpty()]
        for k, one in enumerate(children):
            for other in children[k + 1 :]:
                shared = one.geometry() & other.geometry()
                if shared.width() > SLACK and shared.height() > SLACK:
                    found.append(f"{_name(one)} and {_name(other)} overlap by {_size(shared.size())} px")
    return found


def outside(window: QWidget) -> list[str]:
    """Say which widgets are not where their parent can show them."""
    found = []
    for one in seen(window):
        parent = one.parentWidget()
        if parent is None or isinstance(parent, QAbstractScrollArea | QTabBar) or _scrolls(parent):
            continue
        if not parent.rect().adjusted(-SLACK, -SLACK, SLACK, SLACK).contains(one.geometry()):
            found.append(f"{_name(one)} reaches out of {_name(parent)}: {_box(one.geometry())} in {_box(parent.rect())}")
    return found


def empty(window: QWidget, filled: bool = True) -> list[str]:
    """Say which plots show nothing; or, where they may be empty, do not say what they await."""
    found = []
    for one in seen(window):
        if isinstance(one, Graph):
            points = sum(len(part.x) for part in (*one.middle.traces, *one.middle.points))
            if not points and (filled or not one.over.awaited):
                found.append(f"{_name(one)} is empty: awaits {one.over.awaited or 'nothing'}")
        elif isinstance(one, DeviceDrawing) and filled and not len(one._canvas._colours):
            found.append(f"{_name(one)} is empty")
    return found


def pale(window: QWidget, picture: QImage) -> list[str]:
    """Say which texts of labels, buttons and cells are too near to the colour of their ground, as they were drawn."""
    found = []
    for one in seen(window):
        if not one.isEnabled():
            continue
        if isinstance(one, QAbstractItemView):
            corner = one.viewport().mapTo(window, QPoint(0, 0))
            places = [(text, place.translated(corner)) for text, place, _ in cells(one)]
        elif isinstance(one, QLabel | QAbstractButton) and one.text():
            places = [(one.text(), QRect(one.mapTo(window, QPoint(0, 0)), one.size()))]
        else:
            continue
        for text, place in places:
            ratio = drawn_contrast(picture, place.adjusted(1, 1, -2, -2))
            if ratio < LEAST_CONTRAST:
                found.append(f"{_name(one)}: {text!r} has a contrast of {ratio:.2g} : 1")
    return found


def seen(window: QWidget) -> list[QWidget]:
    """List the widgets of a window that can be seen now, those scrolled out of sight left out."""
    inside = (one for one in window.findChildren(QWidget) if one.window() is window and one.isVisible())
    return [one for one in inside if not one.visibleRegion().isEmpty()]


def cells(view: QAbstractItemView) -> Iterator[tuple[str, QRect, QModelIndex]]:
    """List the cells of a view that are wholly in sight: text, place in the viewport, index; those of widgets left out."""
    model = view.model()
    if model is None or isinstance(view, QHeaderView):
        return
    count, todo = 0, [view.rootIndex()]
    while todo:
        parent = todo.pop()
        for row in range(model.rowCount(parent)):
            for column in range(1 if isinstance(view, QListView) else model.columnCount(parent)):
                index = model.index(row, column, parent)
                place, text = view.visualRect(index), str(index.data() or "")
                if not place.isEmpty() and view.viewport().rect().contains(place) and view.indexWidget(index) is None and text:
                    count += 1
                    if count > MOST_CELLS:
                        return
                    yield text, place, index
            if isinstance(view, QTreeView) and model.hasChildren(first := model.index(row, 0, parent)):
                todo.append(first)


def contrast(one: QColor, other: QColor) -> float:
    """Compute the contrast ratio of two colours, 1 to 21 (WCAG 2, relative luminance)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def drawn_contrast(picture: QImage, place: QRect) -> float:
    """Get the greatest contrast between the commonest colour of a place and any other colour in it."""
    part = picture.copy(place & picture.rect()).convertToFormat(QImage.Format.Format_RGB32)
    if part.isNull():
        return 21.0
    pixels = np.frombuffer(part.constBits(), dtype=np.uint32).reshape(part.height(), part.bytesPerLine() // 4)[:, : part.width()]
    colours, counts = np.unique(pixels, return_counts=True)
    if len(colours) < 2:
        return 1.0
    ground = QColor(int(colours[counts.argmax()]))
    return max(contrast(ground, QColor(int(colour))) for colour in colours)


# inside
def _text_of(one: QWidget) -> tuple[str, QSize, QSize] | None:
    """Get the text of a widget, the size it needs and the room it has; None where it has none, or may be shortened."""
    ours = (kind for kind in type(one).__mro__ if kind.__module__.startswith("aeqlab."))
    if one.toolTip() and any("paintEvent" in kind.__dict__ for kind in ours):
        return None  # it draws itself, with an ellipsis where there is no room, and tells the whole on hover
    if isinstance(one, QLabel) and one.text():
        room = one.contentsRect().size() - QSize(2 * one.margin(), 2 * one.margin())
        return one.text(), _size_of_label(one, room.width()), room
    if isinstance(one, QAbstractButton) and one.text():
        needs = one.fontMetrics().size(Qt.TextFlag.TextShowMnemonic.value, one.text())
        if isinstance(one, QCheckBox | QRadioButton):
            needs = needs.expandedTo(one.minimumSizeHint())
        return one.text(), needs, one.size()
    if isinstance(one, QComboBox) and one.currentText():
        option = QStyleOptionComboBox()
        one.initStyleOption(option)
        control, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        return one.currentText(), one.fontMetrics().size(0, one.currentText()), one.style().subControlRect(
            control, option, part, one
        ).size()  # fmt: skip
    if isinstance(one, QLineEdit) and not one.text() and one.placeholderText():
        return one.placeholderText(), one.fontMetrics().size(0, one.placeholderText()), one.size()
    return None


def _size_of_label(label: QLabel, width: int) -> QSize:
    text = label.text()
    if label.textFormat() == Qt.TextFormat.RichText or (label.textFormat() == Qt.TextFormat.AutoText and text.startswith("<")):
        document = QTextDocument()
        document.setDefaultFont(label.font())
        document.setHtml(text)
        document.setDocumentMargin(0)
        document.setTextWidth(width if label.wordWrap() else -1)
        return document.size().toSize()
    if label.wordWrap():
        return label.fontMetrics().boundingRect(QRect(0, 0, width, 100_000), int(Qt.TextFlag.TextWordWrap), text).size()
    return label.fontMetrics().size(0, text)


def _cut_heads(header: QHeaderView) -> Iterator[str]:
    model = header.model()
    if model is None or header.orientation() == Qt.Orientation.Vertical:
        return
    for k in range(header.count()):
        text = str(model.headerData(k, header.orientation()) or "")
        left, wide = header.sectionViewportPosition(k), header.sectionSize(k)
        if text and not header.isSectionHidden(k) and left + wide <= header.width():
            needs = header.fontMetrics().horizontalAdvance(text)
            if needs > wide - 8 + SLACK:  # 4 px at each side, as the theme says
                yield f"{_name(header)}: the head {text!r} needs {needs} px and has {wide - 8}"


def _cut_tabs(bar: QTabBar) -> Iterator[str]:
    for k in range(bar.count()):
        if bar.isTabVisible(k) and not bar.rect().contains(bar.tabRect(k)):
            yield f"{_name(bar)}: the tab {bar.tabText(k)!r} is out of sight"
        elif bar.fontMetrics().horizontalAdvance(bar.tabText(k)) > bar.tabRect(k).width():
            yield f"{_name(bar)}: the tab {bar.tabText(k)!r} is cut off"


def _cut_cells(view: QAbstractItemView) -> Iterator[str]:
    """Say which cells are shortened although no tooltip tells the whole."""
    if getattr(view, "wordWrap", lambda: False)():
        return
    for text, place, index in cells(view):
        font, told = index.data(Qt.ItemDataRole.FontRole), str(index.data(Qt.ItemDataRole.ToolTipRole))
        needs = (QFontMetrics(font) if isinstance(font, QFont) else view.fontMetrics()).horizontalAdvance(text)
        if needs > place.width() and text not in told:
            yield f"{_name(view)}: {text!r} in column {index.column()} is shortened, and no tooltip tells it"


def _scrolls(parent: QWidget) -> bool:
    above = parent.parentWidget()
    return isinstance(above, QAbstractScrollArea) and parent is above.viewport()


def _luminance(colour: QColor) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (colour.redF(), colour.greenF(), colour.blueF())
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _name(one: QWidget) -> str:
    said = one.accessibleName() or (one.text()[:40] if isinstance(one, QAbstractButton | QLabel) else "")
    above = one.parentWidget()
    return f"{type(one).__name__} {said!r} in {'nothing' if above is None else type(above).__name__}"


def _size(size: QSize) -> str:
    return f"{size.width()} x {size.height()}"


def _box(place: QRect) -> str:
    return f"{place.x()},{place.y()} {_size(place.size())}"
