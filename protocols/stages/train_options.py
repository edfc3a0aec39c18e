"""Options of the stage `train`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aeqlab.protocols.stages.options import Every, StageOptions

AEQPROP_METHODS = ("optimistic", "pessimistic", "centered")
BASELINES = ("spsa", "finite-difference", "sgd", "autodiff", "eqprop", "coupled")
PERTURBING = ("spsa", "finite-difference")
NUDGING_BASELINES = ("eqprop", "coupled")  #: those that need beta beside a learning rate
Rate = Annotated[float, Field(gt=0)]


class OnUnsettled(StageOptions):
    """What to do with a sample whose parameters could not be held: never use it in silence."""

    retries: int = Field(default=1, ge=0, le=100, description="how often to try the sample again")
    then: Literal["skip", "stop"] = Field(default="skip", description="then leave the sample out, or end the run")


class EvaluateEvery(StageOptions):
    """When to evaluate on the test set while training."""

    epochs: int | None = Field(default=None, gt=0, description="after every so many epochs")
    samples: int | None = Field(default=None, gt=0, description="after every so many samples")

    @model_validator(mode="after")
    def _one(self) -> EvaluateEvery:
        if (self.epochs is None) == (self.samples is None):
            raise ValueError("give either epochs or samples, one of the two")
        return self


class TrainOptions(StageOptions):
    """Train with Æqprop, or with a baseline, sample by sample."""

    method: Literal[
        "optimistic", "pessimistic", "centered", "spsa", "finite-difference", "sgd", "autodiff", "eqprop", "coupled"
    ] = Field(default="centered", description="nudging variant of Æqprop, or a baseline")
    beta: float | None = Field(
        default=None,
        gt=0,
        description="strength of the nudge, needed by the Æqprop methods and by eqprop; coupled: share of the way to the target",
    )
    variant: Literal["optimistic", "pessimistic", "centered"] | None = Field(
        default=None, description="eqprop: its two nudges, as those of the Æqprop methods (default: optimistic, eq. 119)"
    )
    through: Literal["unrolled", "implicit"] | None = Field(
        default=None,
        description="autodiff: through the relaxation, or at the equilibrium by the implicit function theorem (default: unrolled "
        "where the device can)",
    )
    control: Literal["shuffled-targets", "frozen-theta"] | None = Field(
        default=None,
        description="an experiment's control, not training: the targets are permuted among the samples, anew in each epoch; or "
        "steps are done and theta stays",
    )
    epochs: int | None = Field(default=None, gt=0, description="passes through the training set (1 if samples is not given)")
    samples: int | None = Field(default=None, gt=0, description="number of training samples, instead of epochs")
    batch: int | None = Field(default=None, gt=0, description="samples presented at once (default: what the device takes)")
    shuffle: bool = Field(default=True, description="a new order of the samples in each epoch")
    update: Literal["after", "difference"] = Field(
        default="after", description="next target: theta read after the nudge, or moved by what the nudge changed"
    )
    sham_every: int = Field(default=0, ge=0, description="a sham step (both nudges equal) after so many samples, 0: never")
    free_phase: bool | Every | None = Field(
        default=None,
        description="read the cost without a nudge in a phase of its own, for methods without a phase at beta = 0: true, false, "
        "{every: N}; default true in virtual time, {every: 10} on the wall clock",
    )
    on_unsettled: OnUnsettled = Field(default=OnUnsettled(), description="what to do when theta could not be held")
    epsilon_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="factor of the coupling per epoch of this stage, counted on through the rounds of a repeat; of beta where "
        "the coupling is fixed; of the learning_rate of a baseline",
    )
    learning_rate: Rate | Annotated[list[Rate], Field(min_length=1)] | None = Field(
        default=None, description="step size of a baseline, needed by these: one for all, or one per block of parameters"
    )
    perturbation: float = Field(default=1e-3, gt=0, description="how far spsa and finite-difference move theta to probe")
    decay: Literal["spall"] | None = Field(
        default=None,
        description="spsa: in step k of this stage, from 0, the step size is learning_rate / (stability + k + 1)^0.602 and the "
        "distance of the probes perturbation / (k + 1)^0.101 (Spall 1998); default: both are constant",
    )
    stability: float = Field(default=0.0, ge=0, description="decay: its A; Spall advises a tenth of the steps, or less")
    evaluate_every: EvaluateEvery | None = Field(default=None, description="evaluate while training: {epochs: N} or {samples: N}")

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers it finds; a device may add some at the end of an epoch, which then are not known here."""
        counted = {"steps", "skipped", "held_rate", "false_held_rate", "false_rejected_rate", "epoch", "beta"}
        sham = {"sham_steps", "sham_moved_mean", "moved_mean"}
        rose = {"cost_rose"} if self.method in AEQPROP_METHODS else set()
        read = {"cost", "running_cost_free", "running_error_rate"}
        evaluated = {f"{of}_{what}" for of in ("test", "train") for what in ("cost_free", "error_rate")}
        return frozenset(counted | sham | rose | read | (evaluated if self.evaluate_every is not None else set()))

    @model_validator(mode="after")
    def _fits(self) -> TrainOptions:
        if self.epochs is not None and self.samples is not None:
            raise ValueError("give either epochs or samples, not both")
        if self.method in AEQPROP_METHODS:
            if self.beta is None:
                raise ValueError(f"the method {self.method} needs beta, the strength of the nudge")
            if self.learning_rate is not None:
                raise ValueError(f"learning_rate is for baselines; the step of {self.method} is epsilon * beta")
        else:
            if self.learning_rate is None:
                raise ValueError(f"the baseline {self.method} needs learning_rate")
            if self.method in NUDGING_BASELINES:
                if self.beta is None:
                    raise ValueError(f"the baseline {self.method} needs beta as well as learning_rate")
            elif self.beta is not None:
                raise ValueError(f"beta is for Æqprop; the baseline {self.method} has none")
            if self.sham_every:
                raise ValueError(f"sham_every is for Æqprop; the baseline {self.method} has no nudge that moves theta")
        if self.method == "coupled" and self.beta is not None and self.beta > 1:
            raise ValueError(f"coupled clamps the outputs at (1 - beta) s_0 + beta y, so beta goes up to 1; it is {self.beta:g}")
        if self.variant is not None and self.method != "eqprop":
            raise ValueError(f"variant is for eqprop; {self.method} has none")
        if self.decay is not None and self.method != "spsa":
            raise ValueError(f"decay is for spsa; {self.method} has none")
        if self.stability and self.decay is None:
            raise ValueError("stability is that of decay: spall")
        if self.through is not None and self.method != "autodiff":
            raise ValueError(f"through is for autodiff; {self.method} has none")
        return self
