"""How a Hopfield-like network is described in a file: layers, boxes, couplings, solver. Imports no torch.

The defaults are Table 2's dense network for MNIST and FashionMNIST (section 5.3, Appendix C).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.imperfections import EngineImperfections
from aeqlab.backends.settings import BetaBounds, Dimensions

if TYPE_CHECKING:
    from aeqlab.backends.hopfield.engine import HopfieldEngine

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Interval = tuple[Finite, Finite]

INSTALL = 'A Hopfield device needs torch. Install it with: pip install "aeqlab[sim]"'


class HopfieldSettings(BaseModel):
    """Settings of the dense Hopfield-like network of section 5.3."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["hopfield"] = Field("hopfield", description="A layered Hopfield-like network (section 5.3).")
    widths: tuple[Width, ...] = Field(
        (784, 2048, 10), min_length=2, max_length=32, description="Units of each layer, from the input to the output."
    )
    intervals: tuple[Interval, ...] | None = Field(
        None, description="[lowest, highest] state of each layer after the input. Default: [0, 1] hidden, [-1, 2] output."
    )
    input_interval: Interval = Field((0.0, 1.0), description="[lowest, highest] value of an input knob.")
    gains: tuple[Positive, ...] = Field(
        (0.8, 1.2), description="Gain of the initial weights, one per layer after the input (eq. 113, half of Xavier uniform)."
    )
    weight_couplings: tuple[Positive, ...] = Field(
        (0.1, 0.05), description="Coupling epsilon of the weights, one per layer after the input; a step is epsilon times beta."
    )
    bias_couplings: tuple[Positive, ...] = Field(
        (0.02, 0.01), description="Coupling epsilon of the biases, one per layer after the input."
    )
    parameter_relaxation: Literal["once", "joint"] = Field(
        "once",
        description="Nudged phase: once moves the parameters one time after the layers settled (as for Table 1); joint relaxes "
        "layers and parameters together to their equilibrium (Theorems 1-3), for which the coupling must be strong enough.",
    )
    start: Literal["previous", "zeros"] = Field(
        "previous",
        description="Where the layers of a batch start: where the training step before ended, or zeros. A batch that does not "
        "follow a training step on as many samples starts from zeros in any case.",
    )
    stop: Literal["adaptive", "fixed", "residual"] = Field(
        "adaptive",
        description="When a phase has converged: adaptive and fixed compare the change of each layer in one sweep, summed over "
        "the batch, with xi (adaptive lowers xi after each epoch, Appendix C); residual the largest change with tolerance.",
    )
    xi_0: Positive = Field(1e-3, description="First threshold xi of the summed change of a layer (adaptive, fixed).")
    gamma: Positive = Field(0.01, description="Adaptive: xi falls to gamma times the mean distance between the phases' states.")
    tolerance: Positive = Field(1e-6, description="Residual: largest change of any unit in one sweep.")
    max_sweeps: int = Field(100, ge=1, le=1_000_000, description="Most sweeps over the layers in one phase.")
    dtype: Literal["float32", "float64"] = Field("float32", description="Floating-point type of states and parameters.")
    torch_device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d{1,3})?)$", description="Where torch computes: cpu, cuda or cuda:N.")
    threads: int | None = Field(
        1,
        ge=1,
        le=1024,
        description="Threads of torch on the processor, for the whole process; null leaves them as they are. One gives the same "
        "numbers on every machine of a kind and does not slow down beside other programs; two save a fifth on Table 2's network.",
    )

    imperfections: EngineImperfections | None = Field(
        None, description="Imperfect hardware: coarse, drifting or failed knobs, noisy readings, ...; null for none."
    )

    served: ClassVar[bool] = False

    @model_validator(mode="after")
    def _lists_fit(self) -> Self:
        n = len(self.widths) - 1
        for name in ("intervals", "gains", "weight_couplings", "bias_couplings"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name}: one value per layer after the input is needed, {n} in all; this has {len(values)}")
        for name, pairs in (("intervals", self.boxes), ("input_interval", (self.input_interval,))):
            for low, high in pairs:
                if not low < high:
                    raise ValueError(f"{name}: [{low:g}, {high:g}] is empty; the first number must be the smaller one")
        return self

    @property
    def boxes(self) -> tuple[Interval, ...]:
        """Get the interval of each layer after the input."""
        if self.intervals is not None:
            return self.intervals
        return (*((0.0, 1.0),) * (len(self.widths) - 2), (-1.0, 2.0))

    def dimensions(self, base: Path) -> Dimensions:
        """Say how many inputs, outputs and parameters the network has; a batch may have any number of samples."""
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        return Dimensions(self.widths[0], self.widths[-1], sum(below * above + above for below, above in pairs), None)

    def knob_names(self, n: int) -> Sequence[str]:
        """Name the control knobs, of which there are n."""
        from aeqlab.backends.hopfield.blocks import KnobNames, blocks_of

        return KnobNames(blocks_of(self))

    def beta_bounds(self, base: Path) -> BetaBounds:
        """Say that every nudge is bounded: the states live in a box, and so do the parameters that follow them."""
        return BetaBounds(held=-math.inf, floating=-math.inf)

    def open(self, *, seed: int, base: Path) -> HopfieldEngine:
        """Build the network with its initial weights.

        Args:
            seed: seed of the experiment; the weights come from its stream "initial parameters".
            base: folder from which paths resolve; not used here.
        Raises:
            DeviceConfigError: torch is not installed, or there is no CUDA device where one is asked for.
        """
        try:
            from aeqlab.backends.hopfield.engine import HopfieldEngine
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.split(".")[0] != "torch":
                raise
            raise DeviceConfigError(INSTALL) from exc
        except OSError as exc:  # a torch whose libraries do not load, as happens on Windows
            raise DeviceConfigError(f"torch is installed but does not load ({exc}). Install it anew.") from exc
        return HopfieldEngine(self, seed=seed)
