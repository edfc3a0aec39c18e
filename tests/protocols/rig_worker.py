"""A notebook's process, for tests that press Ctrl-C: python rig_worker.py EXPERIMENT; says on stdout what it does.

Each line is one JSON value. `"at a tick"` comes when the call that follows is under way.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from aeqlab.protocols import open_rig
from aeqlab.protocols.rig import Rig

ENDLESS, SHORT = {"accept": {"ticks": 1_000_000}}, {"accept": {"ticks": 20}}


def say(value: Any) -> None:
    """Say one thing."""
    print(json.dumps(value), flush=True)


def cell(rig: Rig, what: str, call: Callable[[], Any]) -> None:
    """Do one cell of a notebook that is to be interrupted."""

    def hook() -> None:
        rig.point_interrupt = None
        say("at a tick")

    rig.present(np.full((1, len(rig.info.inputs)), 0.3))
    rig.nudge(np.full((1, len(rig.info.outputs)), 0.7), 0.1)
    rig.point_interrupt = hook  # from here on: an exchange with a session may take so long that it looks, too
    try:
        call()
    except KeyboardInterrupt:
        status = rig.status()
        u, knobs = rig.controls(), rig.info.controls
        inside = bool(((knobs.low <= u) & (u <= knobs.high)).all())
        say([what, status.state, status.beta, inside, status.reason])
    rig.continue_()


def main() -> None:
    """Be interrupted in every call that takes time, then in runs."""
    with open_rig(sys.argv[1], quiet=True) as rig:
        rig.configure(homeostasis={"controller": "integral", **ENDLESS}, settling=ENDLESS)
        cell(rig, "advance", lambda: rig.advance(900_000.0))
        cell(rig, "settle", rig.settle)
        cell(rig, "hold", rig.hold)
        rig.configure(homeostasis={"controller": "integral", **SHORT}, settling=SHORT)
        for stage in ({"train": {"beta": 0.1, "epochs": 1_000_000}}, "wait.py:wait"):
            run = rig.run(stage)
            say([run.state, run.path.name, rig.status().state])
        say([rig.evaluate().state])


if __name__ == "__main__":
    main()
