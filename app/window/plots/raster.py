"""Many traces painted by numpy into the pixels of an image, one span a column.

Qt draws a line of two points a pixel in about 0.4 us a segment: 64 traces over 1,100 pixels cost it 45 to 100 ms, and this 10.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QImage

from aeqlab.app.window.plots.thinning import Array

Pixels = NDArray[np.uint32]
MANY = 3_000_000  #: pixels to set beyond which comparing blocks is cheaper than one index for each


def rows_of(values: Array, bottom: float, top: float, height: int) -> NDArray[np.int32]:
    """Turn values into rows of pixels, row 0 on top; what lies beyond the picture is one row outside of it, nan is -9."""
    scale = height / (top - bottom)
    with np.errstate(invalid="ignore"):
        rows = np.floor(np.clip((top - values) * scale, -1.0, height))
    return np.where(np.isnan(rows), -9, rows).astype(np.int32)


def paint(pixels: Pixels, tops: NDArray[np.int32], bottoms: NDArray[np.int32], colours: NDArray[np.uint32]) -> None:
    """Paint spans, the later ones over the earlier.

    Args:
        pixels: the picture, shape (height, width), changed in place.
        tops, bottoms: first and last row of the span of each trace in each column, shape (traces, width), as `rows_of` gives.
        colours: of each trace as 0xAARRGGBB, shape (traces,) or (traces, width); 0 leaves the pixel as it is.
    """
    height, width = pixels.shape
    spread = np.broadcast_to(colours[:, None] if colours.ndim == 1 else colours, tops.shape)
    shown = (tops > -9) & (bottoms > -9) & (bottoms >= 0) & (tops < height) & (spread != 0)
    first = np.maximum(tops, 0)
    counts = np.where(shown, np.minimum(bottoms, height - 1) - first + 1, 0)
    if int(counts.sum()) > MANY:
        return _paint_masks(pixels, first, counts, spread)
    used = counts > 0
    number = counts[used]
    if not len(number):
        return None
    begins = (first * width + np.arange(width, dtype=np.int32))[used]
    before = np.cumsum(number) - number
    total = int(number.sum())
    places = np.repeat(begins - before * width, number) + np.arange(0, total * width, width)
    pixels.reshape(-1)[places] = np.repeat(spread[used], number)
    return None


def _paint_masks(pixels: Pixels, first: NDArray[np.int32], counts: NDArray[np.int32], spread: NDArray[np.uint32]) -> None:
    """Paint tall spans: one comparison of whole blocks for each trace, whatever their height."""
    rows = np.arange(pixels.shape[0], dtype=np.int16)[:, None]
    for top, count, colour in zip(first, counts, spread, strict=True):
        used = count > 0
        if not used.any():
            continue
        begin, end = int(top[used].min()), int((top + count)[used].max())
        block, row = pixels[begin:end], rows[begin:end]
        np.copyto(block, colour, where=(row >= top.astype(np.int16)) & (row < (top + count).astype(np.int16)))


def blank(width: int, height: int) -> Pixels:
    """Make an empty, transparent picture."""
    return np.zeros((max(height, 1), max(width, 1)), dtype=np.uint32)


def image_of(pixels: Pixels) -> QImage:
    """Make an image of a picture; the image keeps a copy."""
    height, width = pixels.shape
    return QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied).copy()


@lru_cache(maxsize=4096)
def mixed(colour: str, ground: str, strength: float) -> str:
    """Mix a colour into the ground it lies on: 1 is the colour itself, 0 the ground."""
    one, other = QColor(colour), QColor(ground)
    pairs = ((one.red(), other.red()), (one.green(), other.green()), (one.blue(), other.blue()))
    return QColor(*(round(strength * a + (1 - strength) * b) for a, b in pairs)).name()


@lru_cache(maxsize=4096)
def number_of(colour: str) -> int:
    """Get a colour as 0xAARRGGBB."""
    return QColor(colour).rgba()
