"""Runs that own their device in this process, whatever its kind: no session process, so that a test may look at its ticks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aeqlab.backends.kinds import open_device
from aeqlab.protocols import run as run_module
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.limits import limited
from aeqlab.protocols.session import Session

SLOW = """
name: small-slow
seed: 5
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}}
data: {kind: legendre, degree: 3, samples: 30, test_samples: 12}
homeostasis: {controller: integral, accept: {ticks: 12}}
settling: {accept: {ticks: 12}}
sequence:
  - train: {method: centered, beta: 0.2}
then: freeze
"""


@contextmanager
def in_this_process(kind: type[Session] = Session) -> Iterator[list[Any]]:
    """Let every run have a session of a class, in this process; gives those that were opened."""
    opened: list[Any] = []

    def open_operator(settings: Experiment, *, base: Path, folder: Path) -> Session:
        device = open_device(settings.device, seed=settings.seed, base=base)
        if settings.limits is not None:
            device = limited(device, settings.limits)
        opened.append(kind(device, homeostasis=settings.homeostasis, settling=settings.settling))
        session: Session = opened[-1]
        return session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "open_operator", open_operator)
        yield opened
