"""What the fault tests of rigs share: a rig on a bench in lockstep, struck in a phase of a training step, and its judge.

hold           theta is held, no nudge is on           nudged hold    theta is held under the first nudge
clamp          the tick in which the knobs are          nudged phase  the tick after it, theta floating under the second
               clamped and the second nudge comes on    release       the tick in which the nudge goes off
between        after one step and before the next input
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import KnowingRig, bench_of, open_rig, rig_tree

from aeqlab.backends.bench_faults import AT_ONCE, Fault, begin, end
from aeqlab.backends.bench_judge import judge
from aeqlab.protocols.conformance import identified_first
from aeqlab.protocols.errors import RunFailedError
from aeqlab.protocols.experiment import load_values
from aeqlab.protocols.load import Run, load_run
from aeqlab.protocols.rig import Rig as Notebook
from aeqlab.protocols.session import Session

Array = NDArray[Any]
PHASES = ["hold", "nudged hold", "clamp", "nudged phase", "release", "between"]
SAMPLES, BEFORE = 5, 1
STRUCK = 3  #: which step of the run is struck


class Struck(KnowingRig):
    """A rig whose bench is struck in a phase of the third step of a run.

    Attributes:
        session: its owner.
        strike: what happens then; it may be a fault of the bench or anything else.
        mend: what puts it right.
        phase: one of `PHASES`.
        lasts: so many ticks later it is put right.
        armed: whether the run has begun in which it is struck.
        struck: ticks since it was struck, the first one included; 0: it was not.
    """

    session: Session
    strike: Callable[[], None]
    mend: Callable[[], None]
    phase: str
    lasts: int
    armed = False
    struck = 0
    presented_since = 0
    settled_ticks = 0

    def _present(self, inputs: Array) -> None:
        if self.armed and self.phase == "between" and self.presented_since == STRUCK:
            self._hit()
        super()._present(inputs)
        self.presented_since += self.armed

    def _advance(self, seconds: float | None) -> Any:
        doing, on = self.session.status().doing, self._nudge_.beta != 0.0
        self.settled_ticks = self.settled_ticks + 1 if doing == "settle" else 0
        going = self._staged_nudge is not None and self._staged_nudge[1] == 0.0
        coming = self._staged_nudge is not None and self._staged_nudge[1] != 0.0
        here = {
            "hold": doing == "hold" and not on and not coming,
            "nudged hold": doing == "hold" and on and not going,
            "clamp": self.settled_ticks == 1,
            "nudged phase": self.settled_ticks == 2,
            "release": on and going,
        }
        if not self.struck and self.armed and self.presented_since >= STRUCK and here.get(self.phase):
            self._hit()
        elif self.struck:
            self.struck += 1
            if self.struck == 2 + self.lasts:
                self.mend()
        return super()._advance(seconds)

    def _hit(self) -> None:
        if not self.struck:
            self.struck = 1
            self.strike()


def make_safe_beside(rig: Struck, reason: str, by: str) -> None:
    """Let somebody ask for SAFE from another thread; it is asked for by the end of the call, so the next tick hears of it."""
    threading.Thread(target=rig.session.make_safe, args=(reason,), kwargs={"by": by}).start()
    until = time.monotonic() + 60.0
    while not rig.session._freezing:  # it waits for the device, which this thread has
        assert time.monotonic() < until, "it never asked"
        time.sleep(0.001)


def trained(
    folder: Path, fault: dict[str, Any] | Callable[[Struck], None], phase: str, lasts: int = 0, *,
    bench: dict[str, Any] | None = None, samples: int = SAMPLES, before: int = BEFORE, values: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None, **rig: Any,
) -> tuple[Run, Struck, dict[str, Any]]:  # fmt: skip
    """Train while something strikes.

    Args:
        folder: for the run and the journal of the bench.
        fault: of the bench, as in its script; or what happens, told the rig.
        phase: of the third step in which it strikes.
        lasts: ticks.
        bench: how the bench differs from that of `bench_of`.
        samples, before: steps of the run that is struck, and of one before it.
        values: how the experiment differs.
        train: options of the run that is struck.
        rig: how the rig file differs from that of `rig_tree`.
    Returns:
        The run that was struck, the rig, and how the bench stands at the end.
    """
    with bench_of(journal=folder / "journal", **(bench or {})) as made:
        device = open_rig(made, **rig)
        device.__class__ = Struck
        assert isinstance(device, Struck)
        session = device.session = Session(device)
        identified_first(device)
        session = device.session = Session(device)
        device.phase, device.lasts = phase, lasts
        if callable(fault):
            hit = fault
            device.strike, device.mend = lambda: hit(device), lambda: None
        else:
            one = Fault.model_validate(fault)
            device.strike = lambda: begin(made, one)
            device.mend = lambda: None if one.kind in AT_ONCE else end(made, one)
        tree = {
            "name": "struck",
            "device": {"kind": "rig", "rig": rig_tree(made, **rig)},
            "data": {"kind": "legendre", "degree": 2, "samples": 50},
            "homeostasis": {"controller": "quasi-static"},
            "sequence": [{"hold": {"seconds": 0.1}}],
        }
        with Notebook(session, load_values(tree | (values or {}), folder), runs=folder / "runs", quiet=True) as notebook:
            notebook.train(beta=0.2, samples=before)
            device.armed = True
            try:
                run = notebook.train(beta=0.2, samples=samples, then="safe", **{"free_phase": True} | (train or {}))
            except RunFailedError as exc:
                run = exc.run
        assert device.struck, "nothing ever struck"
        return load_run(run.path), device, made.truth()


def judged(
    folder: Path, run: Run, *, rest: bool = True, limit_V: float = 1.5, slew_V_per_s: float = 10.0, cost: float = 3.0
) -> None:
    """See that no knob went past a limit or a slew, and that every step that counted was held by the true theta."""
    found = judge(folder / "journal", limit_V=limit_V, slew_V_per_s=slew_V_per_s, rest_V=0.0 if rest else None)
    assert found.wrong == ()
    steps = run.steps
    used = np.asarray(steps["used"]).astype(bool)
    true_error = np.asarray(steps["hold_true_error"], dtype=np.float64)[used]
    assert (true_error <= 1.0).all(), true_error
    moved = np.asarray(steps["moved"], dtype=np.float64)[used]
    assert (moved < 0.08).all(), "a step moved theta by more than a step can"
    for name in ("cost_1", "cost_2", "cost_free"):
        read = np.asarray(steps[name], dtype=np.float64)[used]
        assert (read[np.isfinite(read)] < cost).all()
