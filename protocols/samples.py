"""Samples and the order in which they are presented: arrays of a data set, and epochs of batches that can be checkpointed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.streams import restore_stream, stream_state
from aeqlab.protocols.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from aeqlab.protocols.scaling import Scaling, ToScale

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Samples:
    """Input-target pairs, samples first.

    Attributes:
        inputs: shape (samples, inputs), in the unit of the device's input knobs.
        targets: shape (samples, outputs), in the unit of the device's outputs.
        labels: class of each sample, shape (samples,), integers; None where the targets are not classes.
    """

    inputs: Array
    targets: Array
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Array | slice) -> Samples:
        """Get the samples of an index array or slice."""
        return Samples(self.inputs[index], self.targets[index], None if self.labels is None else self.labels[index])

    def chunks(self, batch: int, *, fill: bool = False) -> Iterator[tuple[Samples, int]]:
        """Go through all samples in order, a batch at a time, each with the number of samples in it that count.

        The last batch may be short; with `fill` it is filled up with repeats of its last sample, which do not count, for a
        device whose batch has one size.
        """
        for start in range(0, len(self), batch):
            index = np.arange(start, min(start + batch, len(self)))
            n = len(index)
            if fill and n < batch:
                index = np.concatenate([index, np.full(batch - n, index[-1])])
            yield self.take(index), n


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a data set was read from, with the SHA-256 of its bytes, for the record."""

    path: str
    sha256: str


#: Changes the inputs of a batch; gets the inputs and one random number in [0, 1) per sample.
Augment = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Data:
    """A data set as loaded.

    Attributes:
        name: what it is, in words, for the record.
        train: what is presented in training.
        test: what is kept for evaluation; None where there is none.
        sources: the files it was read from.
        as_drawn: the order of `train` is random already, so the first epoch keeps it.
        augment: changes the inputs of every training batch anew, None for not at all.
        facts: further facts for the record, plain JSON values.
        to_scale: what is still to be scaled onto the device, whose limits only the open device tells; None for nothing.
        scaling: the maps it was scaled with; None where its numbers are in the units of the user.
        columns: names of the columns of a table that are its inputs; empty where they have none.
    """

    name: str
    train: Samples
    test: Samples | None = None
    sources: tuple[Source, ...] = ()
    as_drawn: bool = False
    augment: Augment | None = None
    facts: dict[str, Any] | None = None
    to_scale: ToScale | None = None
    scaling: Scaling | None = None
    columns: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """Number of input knobs it needs."""
        return int(self.train.inputs.shape[1])

    @property
    def outputs(self) -> int:
        """Number of outputs it has targets for."""
        return int(self.train.targets.shape[1])

    def batches(self, rng: np.random.Generator, batch: int = 1, *, shuffle: bool = True) -> Batches:
        """Go through the training samples in epochs of batches, in the order that `rng` gives, or as they stand."""
        return Batches(self.train, rng, batch, shuffle=shuffle, as_drawn=self.as_drawn, augment=self.augment)

    def describe(self) -> dict[str, Any]:
        """Say what was loaded, as plain JSON values, for the record."""
        return {
            "name": self.name,
            "train_samples": len(self.train),
            "test_samples": 0 if self.test is None else len(self.test),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "sources": [{"path": source.path, "sha256": source.sha256} for source in self.sources],
            **({} if self.scaling is None else {"scaling": self.scaling.describe()}),
            **(self.facts or {}),
        }


class Batches:
    """Epochs of training batches without end, in an order that a checkpoint can restore.

    Each epoch draws a permutation and, where the data set is augmented, one random number per sample, both at its start: its
    state is that of the generator at the start of the epoch, and the position in it. Samples that do not fill a last batch
    are left out of that epoch.
    """

    def __init__(
        self,
        samples: Samples,
        rng: np.random.Generator,
        batch: int = 1,
        *,
        shuffle: bool = True,
        as_drawn: bool = False,
        augment: Augment | None = None,
    ) -> None:
        if not 1 <= batch <= len(samples):
            raise DataError(f"a batch of {batch} cannot be taken from {len(samples)} training samples. Choose a smaller batch.")
        self._samples, self._rng, self._batch = samples, rng, batch
        self._shuffle, self._as_drawn, self._augment = shuffle, as_drawn, augment
        self.per_epoch = len(samples) // batch  #: batches in one epoch
        self.epoch = 0  #: epochs completed
        self.position = 0  #: batches given in this epoch
        self._begin_epoch()

    @property
    def batch(self) -> int:
        """Number of samples in every batch."""
        return self._batch

    @property
    def first(self) -> int:
        """Index, in the training set, of the first sample of the batch given last; -1 before the first batch of an epoch."""
        return int(self._order[(self.position - 1) * self._batch]) if self.position else -1

    @property
    def index(self) -> Array:
        """Indices, in the training set, of the samples of the batch given last, shape (batch,)."""
        return self._order[(self.position - 1) * self._batch : self.position * self._batch].copy()

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Samples:
        return self.next()

    def next(self) -> Samples:
        """Give the next batch; after the last one of an epoch the next epoch begins."""
        if self.position == self.per_epoch:
            self.epoch += 1
            self.position = 0
            self._begin_epoch()
        start = self.position * self._batch
        index = self._order[start : start + self._batch]
        self.position += 1
        chosen = self._samples.take(index)
        if self._augment is None or self._chance is None:
            return chosen
        return Samples(self._augment(chosen.inputs, self._chance[index]), chosen.targets, chosen.labels)

    def state(self) -> dict[str, Any]:
        """Get what decides the batches to come, as plain JSON values."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "batch": self._batch,
            "samples": len(self._samples),
            "generator": self._start,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken.

        Raises:
            CheckpointError: it is of another data set, of another batch size, or damaged.
        """
        if (state.get("samples"), state.get("batch")) != (len(self._samples), self._batch):
            raise CheckpointError(
                f"data order: the checkpoint is of {state.get('samples')} samples in batches of {state.get('batch')}, "
                f"this experiment has {len(self._samples)} in batches of {self._batch}. Resume it with the data it began with."
            )
        try:
            epoch, position = int(state["epoch"]), int(state["position"])
            restore_stream(self._rng, state["generator"])
        except (KeyError, TypeError, ValueError) as exc:
            raise CheckpointError("data order: this part of the checkpoint is damaged. Resume from the one before.") from exc
        if epoch < 0 or not 0 <= position <= self.per_epoch:
            raise CheckpointError("data order: this part of the checkpoint is damaged. Resume from the one before.")
        self.epoch, self.position = epoch, position
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._start = stream_state(self._rng)
        n = len(self._samples)
        keep = not self._shuffle or (self._as_drawn and self.epoch == 0)
        self._order = np.arange(n) if keep else self._rng.permutation(n)
        self._chance = None if self._augment is None else self._rng.random(n)
