"""Epochs of batches: their order, what a checkpoint restores, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aeqlab.backends.streams import DATA_ORDER, stream
from aeqlab.protocols.errors import CheckpointError, DataError
from aeqlab.protocols.samples import Array, Batches, Samples


def numbered(n: int) -> Samples:
    """Make samples whose input is their number."""
    return Samples(np.arange(n, dtype=float)[:, None], np.arange(n, dtype=float)[:, None], np.arange(n))


def shifted(inputs: Array, chance: Array) -> Array:
    """Add the random number, so that it shows which one a sample got."""
    added: Array = inputs + chance[:, None]
    return added


def test_an_epoch_presents_every_sample_once() -> None:
    batches = Batches(numbered(12), stream(3, DATA_ORDER), 4)
    epochs = [np.concatenate([batches.next().inputs[:, 0] for _ in range(3)]) for _ in range(3)]
    for order in epochs:
        assert sorted(order) == list(range(12))
    assert not np.array_equal(epochs[0], epochs[1])
    assert batches.per_epoch == 3


def test_one_seed_gives_one_order() -> None:
    one, same, other = (Batches(numbered(50), stream(seed, DATA_ORDER)) for seed in (1, 1, 2))
    orders = [[float(b.next().inputs[0, 0]) for _ in range(50)] for b in (one, same, other)]
    assert orders[0] == orders[1] != orders[2]


def test_order_as_drawn_holds_for_the_first_epoch_only() -> None:
    batches = Batches(numbered(30), stream(1, DATA_ORDER), as_drawn=True)
    first, second = ([float(batches.next().inputs[0, 0]) for _ in range(30)] for _ in range(2))
    assert first == list(range(30))
    assert second != first


def test_without_shuffle_every_epoch_is_alike() -> None:
    batches = Batches(numbered(7), stream(1, DATA_ORDER), shuffle=False)
    assert [float(batches.next().inputs[0, 0]) for _ in range(14)] == [*range(7), *range(7)]


def test_samples_that_fill_no_batch_are_left_out() -> None:
    batches = Batches(numbered(10), stream(1, DATA_ORDER), 4)
    seen = [batches.next() for _ in range(4)]
    assert [len(b) for b in seen] == [4, 4, 4, 4]
    assert (batches.epoch, batches.position) == (1, 2)


@pytest.mark.parametrize("given", [0, 1, 5, 6, 7, 17])
def test_a_checkpoint_goes_on_bit_for_bit(given: int) -> None:
    batches = Batches(numbered(24), stream(5, DATA_ORDER), 4, augment=shifted)
    for _ in range(given):
        batches.next()
    state = json.loads(json.dumps(batches.state()))
    ahead = [batches.next().inputs for _ in range(20)]
    other = Batches(numbered(24), stream(99, DATA_ORDER), 4, augment=shifted)
    other.restore(state)
    for inputs in ahead:
        np.testing.assert_array_equal(other.next().inputs, inputs)


def test_the_first_index_tells_where_a_batch_stands() -> None:
    batches = Batches(numbered(9), stream(5, DATA_ORDER), 2)
    for _ in range(10):
        assert batches.next().inputs[0, 0] == batches.first


@pytest.mark.parametrize(
    "change",
    [{"samples": 11}, {"batch": 3}, {"position": 99}, {"epoch": -1}, {"generator": None}, {"generator": {}}, {"epoch": "x"}],
)
def test_a_state_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    batches = Batches(numbered(12), stream(1, DATA_ORDER), 4)
    before = batches.state()
    with pytest.raises(CheckpointError):
        batches.restore({**before, **change})


def test_a_batch_larger_than_the_set_is_refused() -> None:
    with pytest.raises(DataError, match="smaller batch"):
        Batches(numbered(3), stream(1, DATA_ORDER), 4)


def test_augmentation_is_drawn_anew_in_every_epoch_and_leaves_the_samples_alone() -> None:
    samples = numbered(8)
    batches = Batches(samples, stream(1, DATA_ORDER), 8, augment=shifted)
    one, two = np.sort(batches.next().inputs, axis=0), np.sort(batches.next().inputs, axis=0)
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(np.floor(one), samples.inputs)
    np.testing.assert_array_equal(samples.inputs[:, 0], np.arange(8))


def test_chunks_cover_everything_and_fill_the_last() -> None:
    plain = list(numbered(10).chunks(4))
    filled = list(numbered(10).chunks(4, fill=True))
    assert [n for _, n in plain] == [n for _, n in filled] == [4, 4, 2]
    assert [len(s) for s, _ in plain] == [4, 4, 2]
    assert [len(s) for s, _ in filled] == [4, 4, 4]
    assert list(filled[-1][0].inputs[:, 0]) == [8, 9, 9, 9]
