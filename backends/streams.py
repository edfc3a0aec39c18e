"""Named random streams: one seed feeds independent generators, each known by its name.

Two runs with one seed see the same samples even when one of them draws more noise, because every purpose has a
stream of its own, keyed by its name and not by the order of first use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DATA_ORDER = "data order"
TARGET = "target"
INITIAL_PARAMETERS = "initial parameters"
DEVICE_NOISE = "device noise"
CONTROLLER = "controller"


def stream(seed: int, name: str) -> np.random.Generator:
    """Make the generator of one purpose.

    Args:
        seed: the experiment's seed, zero or greater.
        name: purpose of the stream; the same name gives the same numbers for one seed.
    Returns:
        A PCG64 generator, independent of the streams of other names.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(name.encode("utf-8")))))


def stream_state(generator: np.random.Generator) -> dict[str, Any]:
    """Get the state of a generator as plain JSON values, for a checkpoint."""
    state: dict[str, Any] = dict(generator.bit_generator.state)
    return state


def restore_stream(generator: np.random.Generator, state: dict[str, Any]) -> None:
    """Set a generator to a state that `stream_state` gave."""
    generator.bit_generator.state = state
