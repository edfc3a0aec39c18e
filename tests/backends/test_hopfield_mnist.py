"""The dense network of Table 2 on the real MNIST, where the data set is at hand (AEQLAB_DATA)."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.backends.hopfield.engine import HopfieldEngine
from aeqlab.backends.hopfield.settings import HopfieldSettings

Array = NDArray[Any]
FOLDER = Path(os.environ.get("AEQLAB_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data") / "mnist"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no MNIST at {FOLDER}; set AEQLAB_DATA to the folder above it")


def read(name: str) -> Array:
    raw = gzip.decompress((FOLDER / name).read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def images(which: str) -> Array:
    found = read(f"{which}-images-idx3-ubyte.gz")
    return (found.reshape(len(found), -1) / np.float32(255)).astype(np.float32)


def train(engine: HopfieldEngine, steps: int, beta: float = 0.5, batch: int = 32) -> None:
    x, label = images("train"), read("train-labels-idx1-ubyte.gz")
    y = np.eye(10, dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(x))[: steps * batch].reshape(steps, batch)
    for rows in order:
        engine.present(x[rows])
        engine.release()
        engine.hold_exactly(True)
        engine.advance()
        engine.nudge(y[label[rows]], -beta / 2)
        engine.advance()
        engine.hold_exactly(False)
        engine.nudge(y[label[rows]], beta / 2)
        engine.advance()


def error_rate(engine: HopfieldEngine, n: int = 10_000) -> float:
    x, label = images("t10k")[:n], read("t10k-labels-idx1-ubyte.gz")[:n]
    wrong = 0
    engine.release()
    engine.hold_exactly(True)
    for i in range(0, n, 100):
        engine.present(x[i : i + 100])
        wrong += int((engine.advance().outputs.argmax(1) != label[i : i + 100]).sum())
    return wrong / n


def test_two_hundred_steps_leave_few_errors() -> None:
    with HopfieldSettings().open(seed=0, base=Path()) as engine:
        assert error_rate(engine, 1000) > 0.7
        train(engine, 200)
        assert error_rate(engine, 1000) < 0.15
        assert engine.end_epoch()["not converged"] == 0


@pytest.mark.slow
def test_one_epoch_reaches_the_known_error() -> None:
    with HopfieldSettings().open(seed=1, base=Path()) as engine:
        train(engine, 1875)
        said = engine.end_epoch()
        assert error_rate(engine) <= 0.045
        assert 8 < said["sweeps free"] < 25
        assert said["xi 1"] <= 1e-3
