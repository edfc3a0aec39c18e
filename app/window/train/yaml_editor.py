"""The YAML of an experiment as text: line numbers, colours, and what is wrong marked at its lines while one types.

It and the form show one text. What the form changes is put in where it belongs, so the cursor stays where it was; what is typed
is taken over as it is. The history is that of the document, for both.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QMimeData, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontDatabase,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextCharFormat,
    QTextCursor,
    QTextFormat,
)
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QTextEdit, QToolTip, QWidget

from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.app.window.train.yaml_colours import YamlColours
from aeqlab.protocols.errors import Problem

INDENT = "  "
_BLOCKS = str.maketrans({"\u2029": "\n", "\u2028": "\n"})


class YamlEditor(QPlainTextEdit):
    """Edits the text of a document. `line_entered(line)`: the cursor came to another line, counted from 1."""

    line_entered = Signal(int)

    def __init__(self, document: ExperimentDocument, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.experiment = document
        self.problems: tuple[Problem, ...] = ()
        self.warnings: tuple[Problem, ...] = ()
        self._filling = False
        self._line = 0
        self.setUndoRedoEnabled(False)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.setAccessibleName("YAML of the experiment")
        self.setToolTip("")
        self._colours = YamlColours(self.document())
        self._margin = _Margin(self)
        self.blockCountChanged.connect(self._fit_margin)
        self.updateRequest.connect(self._scroll_margin)
        self.cursorPositionChanged.connect(self._moved)
        self.document().contentsChange.connect(self._typed)
        document.spliced.connect(self._splice)
        document.opened.connect(self._fill)
        document.read.connect(lambda _, problems: self._show(problems, self.warnings))
        document.examined.connect(lambda found: self._show(found.problems, found.warnings))
        theme().changed.connect(self._mark)
        self._fit_margin()
        self._fill()

    # text
    @property
    def text(self) -> str:
        """The text that stands in it."""
        return self.document().toRawText().translate(_BLOCKS)

    def _fill(self) -> None:
        self._filling = True
        self.setPlainText(self.experiment.text)
        self._filling = False
        self._show((), ())

    def _typed(self, place: int, removed: int, added: int) -> None:
        """Take over what changed in the text. Qt counts in halves of rare characters, and may tell of more than changed."""
        if self._filling or (removed == 0 and added == 0):
            return
        new, old = self.text, self.experiment.text
        if new == old:
            return
        start = _characters(new, place)
        end = len(old) - (len(new) - _characters(new, place + added))
        if not (
            0 <= start <= end <= len(old)
            and old[:start] + new[start : start + len(new) - len(old) + end - start] + old[end:] == new
        ):
            start, end = 0, len(old)
        piece = new[start : len(new) - (len(old) - end)]
        while start < end and piece and old[start] == piece[0]:  # what is told and did not change
            start, piece = start + 1, piece[1:]
        while start < end and piece and old[end - 1] == piece[-1]:
            end, piece = end - 1, piece[:-1]
        self.experiment.type(start, end, piece)

    def _splice(self, start: int, end: int, new: str) -> None:
        """Put in what the form, or the history, changed."""
        if self.text == self.experiment.text:
            return
        self._filling = True
        before = self.text
        at, to = _places(before, start), _places(before, end)
        cursor = QTextCursor(self.document())
        cursor.setPosition(at)
        cursor.setPosition(to, QTextCursor.MoveMode.KeepAnchor)
        cursor.insertText(new)
        self._filling = False
        if self.text != self.experiment.text:  # what Qt does not keep as it is, such as a character that ends lines
            self._fill()

    # what is wrong
    def _show(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...]) -> None:
        self.problems, self.warnings = problems, warnings
        self._mark()

    def _mark(self) -> None:
        marks = []
        for one, colour in [(w, theme().now.warning) for w in self.warnings] + [(p, theme().now.fault) for p in self.problems]:
            cursor = self._cursor_at(one)
            if cursor is None:
                continue
            mark = QTextEdit.ExtraSelection()
            look = QTextCharFormat()
            look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
            look.setUnderlineColor(QColor(colour))
            mark.format, mark.cursor = look, cursor
            marks.append(mark)
        line = QTextEdit.ExtraSelection()
        shade = QColor(theme().now.line)
        shade.setAlpha(70)
        look = QTextCharFormat()
        look.setBackground(shade)
        look.setProperty(QTextFormat.Property.FullWidthSelection, True)
        cursor = self.textCursor()
        cursor.clearSelection()
        line.format, line.cursor = look, cursor
        self.setExtraSelections([line, *marks])
        self._margin.update()

    def _cursor_at(self, problem: Problem) -> QTextCursor | None:
        """Select what a problem is about: from its column to the end of the value, or of the line."""
        if problem.line is None or problem.file != self.experiment.label:
            return None
        block = self.document().findBlockByNumber(problem.line - 1)
        if not block.isValid():
            return None
        line = block.text()
        start = min(_places(line, (problem.column or 1) - 1), len(line))
        rest = line[start:].split(" #")[0].rstrip()
        cursor = QTextCursor(block)
        if not rest:  # nothing stands there: the whole line is marked
            cursor.select(QTextCursor.SelectionType.LineUnderCursor)
            return cursor
        cursor.setPosition(block.position() + start)
        length = next((i for i, c in enumerate(rest) if c in ",]}" and i), len(rest))
        cursor.setPosition(block.position() + start + length, QTextCursor.MoveMode.KeepAnchor)
        return cursor

    def of_line(self, line: int) -> list[Problem]:
        """Get what is wrong, or doubtful, in a line, counted from 1."""
        return [one for one in (*self.problems, *self.warnings) if one.line == line and one.file == self.experiment.label]

    def go_to(self, line: int, column: int = 1) -> None:
        """Put the cursor to a place, counted from 1, and enter the text."""
        block = self.document().findBlockByNumber(max(line - 1, 0))
        if not block.isValid():
            return
        cursor = QTextCursor(block)
        cursor.setPosition(block.position() + min(_places(block.text(), max(column - 1, 0)), block.length() - 1))
        self.setTextCursor(cursor)
        self.centerCursor()
        self.setFocus()

    def go_to_next(self, step: int = 1) -> None:
        """Go to the next problem behind the cursor, around the end; with -1 to the one before."""
        here = [one for one in (*self.problems, *self.warnings) if one.line is not None and one.file == self.experiment.label]
        places = sorted({(one.line or 1, one.column or 1) for one in here})
        if not places:
            return
        cursor = self.textCursor()
        now = cursor.blockNumber() + 1, _characters(cursor.block().text(), cursor.positionInBlock()) + 1
        behind = [place for place in places if place > now] if step > 0 else [place for place in reversed(places) if place < now]
        self.go_to(*(behind[0] if behind else places[0 if step > 0 else -1]))

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Take text, and leave files that are dropped here to the window, which opens them."""
        return not source.hasUrls() and super().canInsertFromMimeData(source)

    # keys
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Indent with blanks, keep the indentation in a new line, and undo what was done to the document."""
        if event.matches(QKeySequence.StandardKey.Undo):
            self.experiment.undo()
        elif event.matches(QKeySequence.StandardKey.Redo):
            self.experiment.redo()
        elif event.key() == Qt.Key.Key_Tab and not event.modifiers():
            self._indent()
        elif event.key() == Qt.Key.Key_Backtab:
            self._outdent()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            line = self.textCursor().block().text()[: self.textCursor().positionInBlock()]
            indent = line[: len(line) - len(line.lstrip(" "))]
            deeper = INDENT if line.split(" #")[0].rstrip().endswith(":") else ""
            item = INDENT if line.lstrip().startswith("- ") and deeper else ""
            self.textCursor().insertText("\n" + indent + deeper + item)
            self.ensureCursorVisible()
        elif event.key() == Qt.Key.Key_F4:
            self.go_to_next(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        elif event.key() == Qt.Key.Key_Escape:  # a way out for those without a mouse, as Tab indents
            self.focusNextChild()
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    def _lines(self) -> tuple[int, int]:
        cursor = self.textCursor()
        first = self.document().findBlock(cursor.selectionStart()).blockNumber()
        return first, self.document().findBlock(cursor.selectionEnd()).blockNumber()

    def _indent(self) -> None:
        first, last = self._lines()
        if first == last:
            self.textCursor().insertText(INDENT)
            return
        for number in range(first, last + 1):
            QTextCursor(self.document().findBlockByNumber(number)).insertText(INDENT)

    def _outdent(self) -> None:
        first, last = self._lines()
        for number in range(first, last + 1):
            block = self.document().findBlockByNumber(number)
            blanks = len(block.text()) - len(block.text().lstrip(" "))
            cursor = QTextCursor(block)
            for _ in range(min(blanks, len(INDENT))):
                cursor.deleteChar()

    def _moved(self) -> None:
        line = self.textCursor().blockNumber() + 1
        if line != self._line:
            self._line = line
            self._mark()
            self.line_entered.emit(line)

    def event(self, event: QEvent) -> bool:
        """Show what is wrong where the mouse rests."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            place = self.viewport().mapFrom(self, event.pos())
            self.tell(self.cursorForPosition(place).blockNumber() + 1, event.globalPos())
            return True
        return super().event(event)

    def tell(self, line: int, place: QPoint) -> None:
        """Show what is wrong in a line."""
        said = [f"{one.message} {one.hint}".strip() for one in self.of_line(line)]
        QToolTip.showText(place, "\n".join(said), self)

    # margin
    def margin_width(self) -> int:
        """Width of the line numbers, in px."""
        return self.fontMetrics().horizontalAdvance("9") * (len(str(max(self.blockCount(), 99))) + 3) + GRID

    def _fit_margin(self) -> None:
        self.setViewportMargins(self.margin_width(), 0, 0, 0)

    def _scroll_margin(self, rect: QRect, dy: int) -> None:
        if dy:
            self._margin.scroll(0, dy)
        else:
            self._margin.update(0, rect.y(), self._margin.width(), rect.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the line numbers beside the text."""
        super().resizeEvent(event)
        inside = self.contentsRect()
        self._margin.setGeometry(inside.left(), inside.top(), self.margin_width(), inside.height())

    def paint_margin(self, event: QPaintEvent) -> None:
        """Draw the line numbers; one with a problem has a mark before it, and its colour."""
        now = theme().now
        painter = QPainter(self._margin)
        painter.setFont(self.font())
        painter.fillRect(event.rect(), QColor(now.ground))
        wrong = {one.line for one in self.problems if one.file == self.experiment.label}
        doubtful = {one.line for one in self.warnings if one.file == self.experiment.label}
        block = self.firstVisibleBlock()
        top = self.blockBoundingGeometry(block).translated(self.contentOffset()).top()
        width, height = self._margin.width() - GRID, self.fontMetrics().height()
        while block.isValid() and top <= event.rect().bottom():
            line = block.blockNumber() + 1
            mark = "✕ " if line in wrong else "! " if line in doubtful else ""
            painter.setPen(QColor(now.fault if line in wrong else now.warning if line in doubtful else now.dim))
            painter.drawText(0, int(top), width, height, Qt.AlignmentFlag.AlignRight, f"{mark}{line}")
            top += self.blockBoundingRect(block).height()
            block = block.next()
        painter.end()


class _Margin(QWidget):
    """The line numbers."""

    def __init__(self, editor: YamlEditor) -> None:
        super().__init__(editor)
        self._editor = editor

    def sizeHint(self) -> QSize:
        return QSize(self._editor.margin_width(), 0)

    def paintEvent(self, event: QPaintEvent) -> None:
        self._editor.paint_margin(event)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            line = self._editor.cursorForPosition(QPoint(0, event.pos().y())).blockNumber() + 1
            self._editor.tell(line, event.globalPos())
            return True
        return super().event(event)


def _places(text: str, characters: int) -> int:
    """Count as Qt does, where characters beyond U+FFFF take two places."""
    return characters + sum(1 for c in text[:characters] if ord(c) > 0xFFFF)


def _characters(text: str, places: int) -> int:
    """Count characters before a place of Qt's."""
    if text.isascii() or all(ord(c) <= 0xFFFF for c in text):
        return min(places, len(text))
    count = 0
    for index, c in enumerate(text):
        if count >= places:
            return index
        count += 2 if ord(c) > 0xFFFF else 1
    return len(text)
