"""The stage `train`: one training step per sample, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aeqlab.protocols.stages.train_options import TrainOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


def run(session: RunSession, options: TrainOptions) -> dict[str, Any]:
    """Train; see `protocols/training.py`, which this stage starts."""
    from aeqlab.protocols.training import Training

    return Training(session, options).run()
