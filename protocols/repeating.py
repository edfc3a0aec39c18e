"""Repetition: rounds of a sequence, counted, and ended by a condition on what the stages within found; what `repeat` does."""

from __future__ import annotations

from math import isnan
from typing import Any

from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.stages.condition import Condition, condition
from aeqlab.protocols.stages.repeat import RepeatOptions


def repeat(session: RunSession, options: RepeatOptions) -> dict[str, Any]:
    """Run rounds until there were enough, or until the condition is so.

    Returns:
        `times`, the rounds that were run; with a condition also `reached`, and `value`, what it was about at the end.
    Raises:
        FileErrors: no stage found anything of the name that the condition is about.
    """
    status, sequencer = session.status, session.sequencer
    wanted = None if options.until is None else condition(options.until)
    outer, bound, rounds = status.rounds, options.bound, 0
    with sequencer.findings() as found:
        try:
            for turn in session.turns(bound):
                status.rounds = (*outer, (turn + 1, bound))
                session.run_sequence(options.sequence, turn)
                sequencer.forget(before=turn)
                rounds = turn + 1
                if wanted is not None:
                    _must_be_there(session, wanted, found, turn)
                    if wanted.holds(found):
                        break
        finally:
            status.rounds = outer
    if wanted is None:
        return {"times": rounds}
    reached, value = wanted.holds(found), found.get(wanted.name)
    if not reached:
        at_the_end = "it was never found" if value is None else "it is not known" if isnan(value) else f"it is {value:.6g}"
        session.say("warning", "repeat", f"{wanted} did not come true in {rounds:,} rounds; {at_the_end} at the end.")
    return {"times": rounds, "reached": reached, "value": value}


def _must_be_there(session: RunSession, wanted: Condition, found: dict[str, float], turn: int) -> None:
    """See that the condition is about something that is found; where a stage of the round was skipped it may be missing."""
    if wanted.name in found:
        return
    path = session.sequencer.path
    within = f"{'.'.join(map(str, path))}.{turn}."
    if any(name.startswith(within) and one.get("skipped") is True for name, one in session.sequencer.results.items()):
        return
    key = ".".join(f"{index}.repeat.sequence" for index in path[:-1:2])
    key = f"sequence.{key}{'.' if key else ''}{path[-1]}.repeat.until"
    names = ", ".join(sorted(found)) or "nothing that is a number"
    message = f"no stage within found {wanted.name!r} in the first round. They found {names}."
    raise FileErrors([Problem("experiment.yaml", None, None, key, message)])
