"""A stage of one's own, as an example to copy: how well does the device repeat itself?

The presets `tour`, `tour-slow` and `tour-engine` call it: `- aeqlab.protocols.presets.own_stage:repeatability: {visits: 5}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


def repeatability(session: RunSession, options: dict[str, Any]) -> dict[str, Any]:
    """Go to one sample from another one again and again, and see how far apart the outputs end.

    Args:
        session: the run's session.
        options: visits, how often to go there (default 5).
    Returns:
        spread: the largest standard deviation of an output over the visits, in its unit; visits.
    """
    visits = int(options.get("visits", 5))
    here, there = (session.data.train.take(slice(n, n + 1)).inputs for n in (0, 1))
    ends = []
    for visit in range(visits):
        session.point()  # pause, stop, skip and checkpoints act here
        session.progress(visit, visits)
        for inputs in (there, here):
            session.present(inputs)
            session.hold(session.target)
            report = session.settle()
        ends.append(np.array(report.readout.outputs[0]))
        session.report(output=float(ends[-1][0]))
    return {"spread": float(np.std(ends, axis=0).max()), "visits": visits}
