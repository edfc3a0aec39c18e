"""Data sets of an experiment by kind: their settings, their widths before loading, and loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from aeqlab.protocols.digits import DigitsSettings, digits_widths, load_digits
from aeqlab.protocols.function_data import FunctionSettings, load_function
from aeqlab.protocols.images import CLASSES, FashionMnistSettings, MnistSettings, image_headers, load_images
from aeqlab.protocols.legendre import LegendreSettings, load_legendre
from aeqlab.protocols.samples import Batches, Data, Samples, Source
from aeqlab.protocols.table import TableSettings, load_table, table_widths
from aeqlab.protocols.xor import PATTERNS, XorSettings, load_xor

__all__ = ["Batches", "Data", "DataSettings", "DataWidths", "Samples", "Source", "data_widths", "load_data"]

DataSettings = Annotated[
    LegendreSettings | XorSettings | TableSettings | DigitsSettings | MnistSettings | FashionMnistSettings | FunctionSettings,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class DataWidths:
    """What is known of a data set before it is loaded; None where only loading tells."""

    inputs: int
    outputs: int
    train_samples: int | None = None
    test_samples: int | None = None
    range: tuple[float, float] | None = None  #: lowest and highest input


def data_widths(settings: DataSettings, base: Path) -> DataWidths | None:
    """Find the widths of a data set from file headers alone; None where only the user's own code can say.

    Raises:
        DataError: a file is missing, its header is damaged, or what reads it is not installed.
    """
    match settings:
        case LegendreSettings():
            return DataWidths(1, 1, settings.samples, settings.test_samples, (-1.0, 1.0))
        case XorSettings():
            return DataWidths(2, settings.outputs, len(PATTERNS) * settings.repeats, len(PATTERNS), settings.inputs)
        case DigitsSettings():
            return DataWidths(*digits_widths(settings), (0.0, 1.0))
        case TableSettings():
            return DataWidths(*table_widths(settings, base))
        case MnistSettings() | FashionMnistSettings():
            headers = image_headers(settings, base)
            n_train, height, width = headers["train"].shape
            return DataWidths(height * width, CLASSES, n_train, headers["test"].shape[0], (0.0, 1.0))
        case FunctionSettings():
            return None


def load_data(settings: DataSettings, *, seed: int, base: Path) -> Data:
    """Load a data set; the same settings and seed give the same samples.

    Args:
        settings: of one kind.
        seed: the experiment's seed.
        base: folder from which paths in the settings resolve.
    Raises:
        DataError: a file is missing, damaged, or does not hold what it should.
        UserCodeError: a function of the user's raised.
    """
    match settings:
        case LegendreSettings():
            return load_legendre(settings, seed)
        case XorSettings():
            return load_xor(settings)
        case DigitsSettings():
            return load_digits(settings, seed)
        case TableSettings():
            return load_table(settings, base, seed)
        case MnistSettings() | FashionMnistSettings():
            return load_images(settings, base)
        case FunctionSettings():
            return load_function(settings, base, seed)
