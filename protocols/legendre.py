"""Data set `legendre`: the random polynomial of the paper's regression (section 5.2, eq. 19)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from aeqlab.backends.streams import DATA_ORDER, TARGET, stream
from aeqlab.protocols.samples import Data, Samples


class LegendreSettings(BaseModel):
    """A random polynomial of Legendre polynomials with N(0, 1) weights, at uniform points of [-1, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["legendre"] = Field(default="legendre", description="a random polynomial (section 5.2)")
    degree: int = Field(default=10, ge=0, le=1000, description="Degree d of the polynomial (eq. 19).")
    samples: int = Field(default=1000, ge=1, le=100_000_000, description="Number of training points, uniform in [-1, 1].")
    test_samples: int = Field(default=201, ge=2, le=10_000_000, description="Number of evenly spaced test points from -1 to 1.")


def load_legendre(settings: LegendreSettings, seed: int) -> Data:
    """Draw the polynomial from the stream of targets and the points from the stream of data order.

    Returns:
        Inputs z and targets f(z), both of shape (samples, 1).
    Source: Scellier et al. 2022, section 5.2, f(z) = sum_i w_i L_i(z), w_i ~ N(0, 1).
    """
    weights = stream(seed, TARGET).standard_normal(settings.degree + 1)
    z = stream(seed, DATA_ORDER).uniform(-1.0, 1.0, settings.samples)
    grid = np.linspace(-1.0, 1.0, settings.test_samples)

    def samples(points: np.ndarray) -> Samples:
        return Samples(points[:, None], np.polynomial.legendre.legval(points, weights)[:, None])

    return Data(
        name=f"random polynomial of degree {settings.degree} on [-1, 1]",
        train=samples(z),
        test=samples(grid),
        as_drawn=True,
        facts={"legendre_weights": [float(w) for w in weights]},
    )
