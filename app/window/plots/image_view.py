"""Images of a device: arrays of two dimensions as tiles on one colour scale, such as the weights of each unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QToolTip, QWidget

from aeqlab.app.window.plots.colour_scale import ColourBar, ColourScale, hatch
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.app.window.plots.thinning import Array
from aeqlab.app.window.theme import GRID, SMALL, theme

MOST = 400  #: tiles shown at once


class ImageView(Sheet):
    """Tiles of the same size; nan is hatched."""

    def __init__(self, title: str = "Images", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self._images = np.zeros((0, 1, 1))
        self._name, self._unit = "value", ""
        self._two_sided: bool | None = None
        self._captions: list[str] = []
        self._wrong: list[bool] = []
        row = QHBoxLayout()
        row.setContentsMargins(GRID, GRID // 2, GRID // 2, GRID)
        self._tiles, self.bar = Tiles(self), ColourBar(self)
        row.addWidget(self._tiles, 1)
        row.addWidget(self.bar)
        self._column.addLayout(row, 1)
        self.set_awaited("the first readout")

    def set_images(
        self,
        images: ArrayLike,
        *,
        name: str = "value",
        unit: str = "",
        two_sided: bool | None = None,
        captions: Sequence[str] = (),
        wrong: Sequence[bool] = (),
    ) -> None:
        """Show images, shape (images, height, width) or (height, width) for one.

        Args:
            images: the values.
            name, unit, two_sided: of the scale of colours.
            captions: a few letters below each, such as what it was taken for; none for no captions.
            wrong: which of them are marked by a colour and a cross.
        Raises:
            ValueError: another number of dimensions, or captions for another number of images.
        """
        values = np.asarray(images, dtype=float)
        if values.ndim not in (2, 3):
            raise ValueError(f"images of shape {values.shape} cannot be shown. Give (images, height, width) or (height, width).")
        values = values[None] if values.ndim == 2 else values
        if captions and len(captions) != len(values):
            raise ValueError(f"{len(captions)} captions for {len(values)} images. Give one for each, or none.")
        self._images, self._captions, self._wrong = values, list(captions), list(wrong) or [False] * len(values)
        self._name, self._unit, self._two_sided = name, unit, two_sided
        self.data_changed()

    def _draw(self) -> None:
        scale = ColourScale.of(self._images, two_sided=self._two_sided)
        self.bar.show_scale(scale, self._name, self._unit)
        self.bar.setVisible(len(self._images) > 0)
        awaited = self._awaited if not len(self._images) else ""
        self._tiles.show_images(self._images[:MOST], scale, awaited, self._unit, self._captions[:MOST], self._wrong[:MOST])

    def columns(self) -> list[Column]:
        """Get image, row, column and value of every pixel."""
        where = np.indices(self._images.shape).reshape(3, -1)
        found = [Column(name, "", one) for name, one in zip(("image", "row", "column"), where, strict=True)]
        pixels = self._images.shape[1] * self._images.shape[2]
        said = [Column("caption", "", np.repeat(np.array(self._captions), pixels))] if self._captions else []
        return [*found, Column(self._name, self._unit, self._images.reshape(-1)), *said]


class Tiles(QWidget):
    """The area of the tiles; as many side by side as make them greatest."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._pictures: list[QImage] = []
        self._values: Array = np.zeros((0, 1, 1))
        self._awaited, self._unit = "", ""
        self._captions: Sequence[str] = ()
        self._wrong: Sequence[bool] = ()

    def show_images(
        self, values: Array, scale: ColourScale, awaited: str, unit: str, captions: Sequence[str] = (), wrong: Sequence[bool] = ()
    ) -> None:
        """Show images on a scale, with captions."""
        self._values, self._awaited, self._unit = values, awaited, unit
        self._captions, self._wrong = captions, wrong
        _, height, width = values.shape
        colours = np.ascontiguousarray(scale.colours(values))
        form = QImage.Format.Format_ARGB32
        self._pictures = [QImage(one.tobytes(), width, height, 4 * width, form).copy() for one in colours]
        self.update()

    def boxes(self) -> list[QRectF]:
        """Get where each tile lies."""
        count, (height, width) = len(self._values), self._values.shape[1:]
        if not count:
            return []
        below = self._caption_height() + 2

        def scale_of(across: int) -> float:
            down = math.ceil(count / across)
            return float(min((self.width() / across - 2) / width, (self.height() / down - below) / height))

        across = max(range(1, count + 1), key=scale_of)
        scale = max(scale_of(across), 1e-3)
        step_x, step_y = scale * width + 2, scale * height + below
        return [QRectF(k % across * step_x, k // across * step_y, scale * width, scale * height) for k in range(count)]

    def _caption_height(self) -> float:
        return QFontMetricsF(theme().font(SMALL)).height() if self._captions else 0.0

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        if self._awaited:
            painter.setPen(QColor(theme().now.dim))
            painter.setFont(theme().font(SMALL))
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, f"nothing yet: {self._awaited}"
            )
        for box, picture, values in zip(self.boxes(), self._pictures, self._values, strict=True):
            if np.isnan(values).any():
                hatch(painter, box)
            painter.drawImage(box, picture)
        self._paint_captions(painter)

    def _paint_captions(self, painter: QPainter) -> None:
        painter.setFont(theme().font(SMALL, tabular=True))
        tall = self._caption_height()
        for box, words, wrong in zip(self.boxes(), self._captions, self._wrong, strict=False):
            painter.setPen(QColor(theme().now.fault if wrong else theme().now.text))
            text = f"{words} ✕" if wrong else words
            painter.drawText(QRectF(box.left(), box.bottom(), box.width(), tall), Qt.AlignmentFlag.AlignCenter, text)

    def told_at(self, place: QPointF) -> str:
        """Say which pixel of which image lies at a place, and its value; empty where there is none."""
        _, height, width = self._values.shape
        for k, box in enumerate(self.boxes()):
            if box.contains(place):
                row = min(int((place.y() - box.top()) / box.height() * height), height - 1)
                column = min(int((place.x() - box.left()) / box.width() * width), width - 1)
                said = f" ({self._captions[k]})" if k < len(self._captions) else ""
                return (
                    f"image {k}{said}, row {row}, column {column}: {written(float(self._values[k, row, column]), self._unit, 4)}"
                )
        return ""

    def event(self, event: QEvent) -> bool:
        """Tell of the pixel under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.told_at(QPointF(event.pos())), self)
            return True
        return super().event(event)
