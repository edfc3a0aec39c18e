"""What theta does while something is set and read: held by homeostasis, floating under standing knobs, or locked in equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aeqlab.protocols.quantities import Kind

Mode = Literal["homeostasis", "frozen", "locked"]


def mode_of(wish: Mode | None, kinds: Sequence[Kind]) -> Mode:
    """Choose where nobody says: theta floats under knobs that are set by hand, else homeostasis holds it."""
    return wish or ("frozen" if Kind.CONTROL in kinds else "homeostasis")
