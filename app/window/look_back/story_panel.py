"""The story of one run: the summary in a sentence, its causes to jump to, how the device was left, notes, where it comes from."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QHeaderView,
    QLabel,
    QPushButton,
    QSplitter,
    QTextBrowser,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from aeqlab.app.window.jobs import do
from aeqlab.app.window.theme import GRID, LARGE, theme
from aeqlab.protocols.run_story import Note, Story, story_of_run
from aeqlab.protocols.story_causes import Cause, Moment
from aeqlab.protocols.story_marks import Part
from aeqlab.protocols.story_sentence import clock_in_words, lasted, times

_HEADS = ("what", "when", "lasted", "step", "what came of it", "")
_GO = "Go there"
_GO_STYLE = "color: {}; text-decoration: underline; border: none; padding: 0 4px;"
MOST_ROWS = 200  #: causes, and times of one cause, that have a row
_SHAPES = {Part.CAUSE: "✕", Part.EFFECT: "✕", Part.PERSON: "○", Part.WARNING: "△"}
_MOMENT = int(Qt.ItemDataRole.UserRole) + 1


class StoryPanel(QWidget):
    """Shows a story, read in a job.

    Signals:
        jump_wanted: time in s since 1970, and the training step or None, of what one wants to see.
    """

    jump_wanted = Signal(float, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.story: Story | None = None
        self._path: Path | None = None
        self._reading: object = None  # what is being read of the run that was asked for last
        self._again = False  # it was asked for once more meanwhile
        self._html = ""
        self.sentence = QLabel("Choose a run in the table: its story stands here.")
        self.sentence.setWordWrap(True)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.sentence.setAccessibleName("Summary of the run")
        self.causes = _Causes()
        self.causes.setHeaderLabels(_HEADS)
        self.causes.setAccessibleName("What went wrong and what was asked for, the worst first")
        self.causes.setAlternatingRowColors(False)
        self.causes.setUniformRowHeights(True)
        head = self.causes.header()
        head.setStretchLastSection(False)
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(4, QHeaderView.ResizeMode.Stretch)
        self.causes.itemDoubleClicked.connect(lambda item, _: self._jump(item))
        self.causes.itemExpanded.connect(self._unfold)
        self.causes.entered_key.connect(lambda: self._jump(self.causes.currentItem()))
        self.details = QTextBrowser()
        self.details.setOpenLinks(False)
        self.details.setAccessibleName("How the device was left, notes, and where the run comes from")
        below = QSplitter(Qt.Orientation.Vertical)
        below.setChildrenCollapsible(False)
        below.addWidget(self.causes)
        below.addWidget(self.details)
        below.setSizes([150, 190])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.sentence)
        layout.addWidget(below, 1)
        theme().changed.connect(self._paint)
        self._paint()

    def open(self, path: Path) -> None:
        """Read and show the story of a run; one that is going on is told anew by another call."""
        if path != self._path:
            self.sentence.setText(f"Reading {path.name} ...")
            self.causes.clear()
            self.details.clear()
            self._html = ""
            self.story = self._reading = None
        self._path = path
        if self._reading is not None:  # one reading at a time: of two the older one might be told last
            self._again = True
            return
        self._again, self._reading = False, (reading := object())
        do(
            self,
            lambda: story_of_run(path),
            lambda story: self._take(reading, story),
            lambda exc: self._fail(reading, exc),
            name="story",
        )

    def show_story(self, story: Story) -> None:
        """Show a story."""
        self.story, self._path = story, story.path
        said = story.sentence
        self.sentence.setText(f"{said[:1].upper()}{said[1:]}.")
        self._fill()
        self._paint()

    # inside
    def _take(self, reading: object, story: Story) -> None:
        if reading is self._reading:
            if story != self.story:
                self.show_story(story)
            self._go_on()

    def _fail(self, reading: object, exc: Exception) -> None:
        if reading is self._reading:
            self.sentence.setText(str(exc))
            self._go_on()

    def _go_on(self) -> None:
        self._reading = None
        if self._again and self._path is not None:
            self.open(self._path)

    def _fill(self) -> None:
        chosen, place = self._key(self.causes.currentItem()), self.causes.verticalScrollBar().value()
        opened = {self._key(item) for item in self._items() if item.isExpanded()}
        self._build()
        for item in self._items():  # whoever reads in it stays where they are while the run goes on
            item.setExpanded(self._key(item) in opened)
        for item in self._items():
            if chosen is not None and self._key(item) == chosen:
                self.causes.setCurrentItem(item)
        self.causes.verticalScrollBar().setValue(place)

    def _items(self) -> list[QTreeWidgetItem]:
        tops = [self.causes.topLevelItem(k) for k in range(self.causes.topLevelItemCount())]
        found = [one for top in tops if top is not None for one in (top, *(top.child(k) for k in range(top.childCount())))]
        return [one for one in found if one is not None]

    def _key(self, item: QTreeWidgetItem | None) -> tuple[str, float] | None:
        """Get what a row is about: the cause, without how often it struck, and when; None where it is about nothing."""
        moment = None if item is None else item.data(0, _MOMENT)
        if item is None or not isinstance(moment, Moment):
            return None
        return "" if item.parent() is not None else str(item.data(1, _MOMENT)), moment.at

    def _build(self) -> None:
        self.causes.clear()
        story = self.story
        if story is None:
            return
        for number, cause in enumerate(story.causes[:MOST_ROWS]):
            item = self._row(cause.moments[0], _what(cause))
            item.setData(1, _MOMENT, cause.what)
            self.causes.addTopLevelItem(item)
            self._add_button(item, cause.what)
            if len(cause.moments) > 1:
                item.setData(2, _MOMENT, number)
                item.setChildIndicatorPolicy(QTreeWidgetItem.ChildIndicatorPolicy.ShowIndicator)
        if not story.causes:
            none = QTreeWidgetItem(["nothing went wrong as far as the record tells, and nobody asked for anything"])
            none.setFlags(Qt.ItemFlag.ItemIsEnabled)
            none.setFirstColumnSpanned(True)
            self.causes.addTopLevelItem(none)
            none.setFirstColumnSpanned(True)

    def _unfold(self, item: QTreeWidgetItem) -> None:
        """Show each time that a cause struck; made as it is unfolded, since there may be a great many."""
        number = item.data(2, _MOMENT)
        if self.story is None or item.childCount() or not isinstance(number, int):
            return
        cause = self.story.causes[number]
        for moment in cause.moments[:MOST_ROWS]:
            child = self._row(moment, "")
            item.addChild(child)
            self._add_button(child, cause.what)

    def _row(self, moment: Moment, what: str) -> QTreeWidgetItem:
        began = None if self.story is None else self.story.began
        lost = f"{moment.lost:,} steps lost" if moment.lost > 1 else ""
        came = ", ".join(part for part in (*moment.done, lost) if part)
        when = clock_in_words(moment.at, began)
        step = "" if moment.step is None else f"{moment.step:,}"
        item = QTreeWidgetItem([what, when, lasted(moment), step, came, ""])
        item.setData(0, _MOMENT, moment)
        told = "\n".join(dict.fromkeys(mark.text for mark in moment.marks if mark.text))
        for column in range(len(_HEADS)):
            item.setToolTip(column, told[:4000])
        item.setFont(1, theme().font(tabular=True))
        item.setFont(3, theme().font(tabular=True))
        return item

    def _add_button(self, item: QTreeWidgetItem, what: str) -> None:
        button = QPushButton(_GO)
        button.setFlat(True)
        button.setStyleSheet(_GO_STYLE.format(theme().now.chosen))
        button.setToolTip("Show the run as it was then (Enter)")
        button.setAccessibleName(f"Go to: {what}")
        button.clicked.connect(lambda: self._jump(item))
        self.causes.setItemWidget(item, len(_HEADS) - 1, button)

    def _jump(self, item: QTreeWidgetItem | None) -> None:
        moment = None if item is None else item.data(0, _MOMENT)
        if isinstance(moment, Moment):
            self.jump_wanted.emit(moment.at, moment.step)

    def _paint(self) -> None:
        self.sentence.setFont(theme().font(LARGE))
        for button in self.causes.findChildren(QPushButton):
            button.setStyleSheet(_GO_STYLE.format(theme().now.chosen))
        story = self.story
        said = "" if story is None else "".join(_html(story))
        if said != self._html:
            place = self.details.verticalScrollBar().value()
            self._html = said
            self.details.setHtml(said)
            self.details.verticalScrollBar().setValue(place)


class _Causes(QTreeWidget):
    """A list that says when Enter is pressed in it."""

    entered_key = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take Enter for a wish; all other keys are those of lists."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered_key.emit()
        else:
            super().keyPressEvent(event)


def _what(cause: Cause) -> str:
    often = f", {times(len(cause.moments))}" if len(cause.moments) > 1 else ""
    return f"{_SHAPES.get(cause.part, '')} {cause.what}{often}"


def _html(story: Story) -> Iterator[str]:
    now = theme().now
    head = f'<p style="margin-top:{GRID}px; margin-bottom:2px; color:{now.dim}">{{}}</p>'

    def lines(name: str, said: list[str], colour: str = now.text) -> Iterator[str]:
        if said:
            yield head.format(html.escape(name))
            yield f'<div style="color:{colour}">' + "<br>".join(map(html.escape, said)) + "</div>"

    yield from lines("What is missing", list(story.missing), now.fault)
    yield from lines("Notes", [_note(note, story.began) for note in story.notes])
    yield from lines("How the device was left", list(story.safety))
    yield from lines("Where it comes from", [f"{name}: {value}" for name, value in story.provenance if value])


def _note(note: Note, began: float | None) -> str:
    when = f"{clock_in_words(note.at, began)}, step {note.step:,}" if note.at else "before it began"
    return f"{when}, {note.author}: {note.text}"
