"""Which samples an evaluation takes where all of them would take too long: as many as fit, drawn by the seed, ever the same.

The samples of a set are put in an order by the seed once and for all; an evaluation takes the first so many of it. How many is
found at the first evaluation of a run, by the time its first presentations take, and kept for those that follow, so that all
evaluations of a run can be compared. Drawn, and not the first ones as they stand: sets are often sorted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Clock
from aeqlab.backends.streams import stream
from aeqlab.protocols.estimate import BUDGET_S
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.samples import Samples
from aeqlab.protocols.stages.evaluate import EvaluateOptions

TRIED = 4  #: presentations by which the time of the others is told; the first one, which moves theta, does not count
WORTH_SAYING_S = 60.0  #: in virtual time, how long an evaluation may take before that is said


class Subset:
    """The samples of one evaluation, and how many of them it takes.

    Args:
        session: the run's.
        options: of the evaluation.
        samples, dataset: the set and its name.
    Attributes:
        samples: in the order of presentation.
        count: how many of them are taken; None until the first presentations told.
    """

    def __init__(self, session: RunSession, options: EvaluateOptions, samples: Samples, dataset: str) -> None:
        self.session, self.dataset = session, dataset
        self.budget_s = options.budget_s
        if self.budget_s is None and options.samples is None and session.info.clock is Clock.WALL:
            self.budget_s = BUDGET_S
        self.count: int | None = len(samples)
        self.samples = samples
        self._times: list[float] = []
        self._silent = False
        if isinstance(options.samples, int):
            self.samples = samples.take(slice(0, options.samples))
            self.count = len(self.samples)
        elif options.samples is None and self.budget_s is not None:
            self.samples = samples.take(in_order(session.seed, dataset, len(samples)))
            self.count = session.subsets.get(self._key)
            self._silent = self.count is not None

    def took(self, seconds: float, done: int) -> None:
        """Hear how long a presentation took, after which so many samples are done; finds the count, and says what it means."""
        self._times.append(seconds)
        if self._silent or (len(self._times) < TRIED and done < len(self.samples)):
            return
        self._silent = True
        n, tried = len(self.samples), self._times
        per_presentation = sum(tried[1:] or tried) / len(tried[1:] or tried)
        batch = max(1, round(done / len(tried)))
        whole_s = sum(tried) + per_presentation * (n - done) / batch
        if self.count is None and self.budget_s is not None:
            more = int(max(0.0, self.budget_s - sum(tried)) / per_presentation) if per_presentation > 0 else n
            self.count = min(n, done + more * batch)
            self.session.subsets[self._key] = self.count
        self._say(whole_s, n)

    def _say(self, whole_s: float, n: int) -> None:
        session, count = self.session, self.count
        about = f"All {n:,} {self.dataset} samples take about {whole_s:.3g} s on this device"
        if count is not None and count < n:
            session.say(
                "warning", "evaluate",
                f"{about}, more than the {self.budget_s:g} s they may: {count:,} are taken, drawn by the seed, now and in every "
                "evaluation of this run. Say `samples: all`, or a longer budget_s, for more.",
            )  # fmt: skip
        elif session.info.clock is Clock.WALL or whole_s > WORTH_SAYING_S:
            session.say("device", "evaluate", f"{about}.")

    @property
    def _key(self) -> str:
        return f"{self.dataset} in {self.budget_s:g} s"


def in_order(seed: int, dataset: str, n: int) -> NDArray[np.int64]:
    """Put the indices of n samples in the order in which evaluations take them, by the seed and the name of the set."""
    order: NDArray[np.int64] = stream(seed, f"evaluated {dataset}").permutation(n)
    return order
