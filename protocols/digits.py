"""Data set `digits`: the 8 x 8 handwritten digits that come with scikit-learn, which is imported only to read them."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from aeqlab.backends.streams import stream
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.samples import Data, Samples, Source

SAMPLES, PIXELS, CLASSES, WHITE = 1797, 64, 10, 16
INSTALL = "digits: these images come with scikit-learn, which is not installed. Install it with: pip install scikit-learn"


class DigitsSettings(BaseModel):
    """Handwritten digits of 8 x 8 pixels, 1,797 in all, from scikit-learn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["digits"] = Field(default="digits", description="small handwritten digits, from scikit-learn")
    test_fraction: float = Field(
        default=0.2, ge=0, le=0.99, description="Share of the images kept for evaluation, drawn by the seed."
    )


def digits_widths(settings: DigitsSettings) -> tuple[int, int, int, int]:
    """Get the numbers of inputs, of targets, of training and of test images.

    Raises:
        DataError: scikit-learn is not installed.
    """
    if find_spec("sklearn") is None:
        raise DataError(INSTALL)
    n_test = round(settings.test_fraction * SAMPLES)
    return PIXELS, CLASSES, SAMPLES - n_test, n_test


def load_digits(settings: DigitsSettings, seed: int) -> Data:
    """Read the images; which of them are kept for evaluation is drawn from the seed.

    Returns:
        Inputs in [0, 1], float32, shape (samples, 64), rows of an image one after the other; targets one-hot, float32, shape
        (samples, 10); labels.
    Raises:
        DataError: scikit-learn is not installed, does not load, or has other images.
    """
    _, _, n_train, n_test = digits_widths(settings)
    try:
        import sklearn
        from sklearn import datasets

        pixels, labels = datasets.load_digits(return_X_y=True)
    except (ImportError, OSError) as exc:
        raise DataError(f"digits: scikit-learn does not load ({exc}). Install it anew: pip install scikit-learn") from exc
    if pixels.shape != (SAMPLES, PIXELS) or labels.shape != (SAMPLES,):
        raise DataError(
            f"digits: scikit-learn {sklearn.__version__} has images of shape {pixels.shape}, not ({SAMPLES}, {PIXELS})."
        )
    inputs, classes = (pixels / WHITE).astype(np.float32), labels.astype(np.int64)
    order = stream(seed, "data split").permutation(SAMPLES)
    everything = Samples(inputs, np.eye(CLASSES, dtype=np.float32)[classes], classes)
    train, test = np.sort(order[:n_train]), np.sort(order[n_train:])
    digest = hashlib.sha256(inputs.tobytes() + classes.astype("<i8").tobytes()).hexdigest()
    return Data(
        name="digits",
        train=everything.take(train),
        test=everything.take(test) if n_test else None,
        sources=(Source("digits of scikit-learn", digest),),
        facts={"scikit_learn": sklearn.__version__},
    )
