"""A plot as a file or in the clipboard: PNG, SVG, CSV; each says in itself which run it is of.

SVG is written by Qt's own generator as SVG 1.1, which knows clipping; pyqtgraph's exporter leaves out what is beside its scene,
such as a legend of widgets.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QPoint
from PySide6.QtGui import QColor, QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from aeqlab.app.window.plots.figures import labelled
from aeqlab.app.window.plots.layers import Middle
from aeqlab.app.window.theme import theme

KINDS = {".png": "picture (PNG)", ".svg": "drawing (SVG)", ".csv": "numbers (CSV)"}
SHARP = 2.0  #: pixels of a saved picture by those of the screen


@dataclass(frozen=True, slots=True)
class Column:
    """One column of numbers, with its name and unit."""

    name: str
    unit: str
    values: NDArray[np.generic]


def file_of(kind: str, widget: QWidget, columns: Sequence[Column], title: str, origin: str) -> bytes:
    """Make the content of a file.

    Args:
        kind: the ending, one of KINDS.
        widget: what is drawn.
        columns: its numbers.
        title, origin: what it shows, and the run it is of.
    Raises:
        ValueError: no such kind.
    """
    if kind == ".png":
        return png_of(widget, title, origin)
    if kind == ".svg":
        return svg_of(widget, title, origin)
    if kind == ".csv":
        return csv_of(columns, title, origin).encode()
    raise ValueError(f"cannot write a plot as {kind or 'a file without ending'}. Choose a name that ends in {', '.join(KINDS)}.")


def image_of(widget: QWidget, title: str, origin: str, sharp: float = SHARP) -> QImage:
    """Paint a widget into an image that carries title and origin as text."""
    image = QImage(widget.size() * sharp, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(sharp)
    image.fill(QColor(theme().now.sheet))
    with drawn_as_lines():
        painter = QPainter(image)
        widget.render(painter, QPoint())
        painter.end()
    for key, text in (("Title", title), ("Description", origin), ("Software", "aeqlab")):
        if text:
            image.setText(key, text)
    return image


def png_of(widget: QWidget, title: str, origin: str) -> bytes:
    """Paint a widget into a PNG file whose text chunks Title and Description say what it is."""
    held = QByteArray()
    buffer = QBuffer(held)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image_of(widget, title, origin).save(buffer, "PNG")  # type: ignore[call-overload]
    buffer.close()
    return bytes(held.data())


def svg_of(widget: QWidget, title: str, origin: str) -> bytes:
    """Paint a widget into an SVG file whose title and desc say what it is."""
    held = QByteArray()
    buffer = QBuffer(held)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator(QSvgGenerator.SvgVersion.Svg11)
    generator.setOutputDevice(buffer)
    generator.setSize(widget.size())
    generator.setViewBox(widget.rect())
    generator.setTitle(title)
    generator.setDescription(origin)
    generator.setResolution(widget.logicalDpiX())
    with drawn_as_lines():
        painter = QPainter(generator)
        painter.fillRect(widget.rect(), QColor(theme().now.sheet))
        widget.render(painter, QPoint())
        painter.end()
    buffer.close()
    return bytes(held.data())


def csv_of(columns: Sequence[Column], title: str, origin: str, separator: str = ",") -> str:
    """Write columns as text: comments with title and origin, names with units, numbers; blank where there is none."""
    text = io.StringIO()
    for line in (*title.splitlines(), *origin.splitlines()):
        text.write(f"# {line}\n")
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow([labelled(one.name, one.unit) for one in columns])
    longest = max((len(one.values) for one in columns), default=0)
    cells = [[_cell(value) for value in one.values.tolist()] + [""] * (longest - len(one.values)) for one in columns]
    writer.writerows(zip(*cells, strict=True))
    return text.getvalue()


def copy(widget: QWidget, columns: Sequence[Column], title: str, origin: str, *, numbers: bool) -> None:
    """Put the picture, or the numbers as a table for a spreadsheet, into the clipboard."""
    clipboard = QGuiApplication.clipboard()  # a QMimeData made here outlives Python and then crashes (tried)
    if numbers:
        clipboard.setText(csv_of(columns, title, origin, separator="\t"))
    else:
        clipboard.setImage(image_of(widget, title, origin))


@contextmanager
def drawn_as_lines() -> Iterator[None]:
    """Let graphs paint lines and not the picture made for the screen, which has its resolution."""
    Middle.as_lines = True
    try:
        yield
    finally:
        Middle.as_lines = False


def _cell(value: object) -> object:
    return "" if isinstance(value, float) and np.isnan(value) else value
