"""A phase that ran out of sweeps says so: in the readout, in the verdict, and in what the run counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aeqlab.backends.device import Flag
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.protocols.aeqprop import nudging_pair, train_step
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.session import Session


def _verdicts(max_sweeps: int) -> tuple[Verdict, Verdict | None, Flag]:
    engine = HopfieldSettings(widths=(6, 8, 3), stop="residual", tolerance=1e-5, max_sweeps=max_sweeps).open(seed=0, base=Path())
    with Session(engine) as session:
        x = np.linspace(0.0, 1.0, 6, dtype=np.float32)[None, :]
        report = train_step(session, x, np.eye(3, dtype=np.float32)[:1], theta=None, pair=nudging_pair("centered", 0.5))
    assert report.settle is not None
    return report.hold.verdict, report.settle.verdict, report.hold.readout.flags


def test_too_few_sweeps_are_never_called_exact() -> None:
    assert _verdicts(1) == (Verdict.TICKS, Verdict.TICKS, Flag.UNSETTLED)


def test_enough_sweeps_are_exact() -> None:
    assert _verdicts(1000) == (Verdict.EXACT, Verdict.EXACT, Flag.NONE)
