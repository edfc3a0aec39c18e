"""Asking: a run waits for the answer of a person, held where it is; what the stage `ask` does."""

from __future__ import annotations

import time
from typing import Any

from aeqlab.backends.device import Clock
from aeqlab.protocols.pausing import HOLD_AGAIN_S
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.stages.ask import STOP, AskOptions

LOOK_S = 0.25  #: wall time between two looks at what was asked of the run, where nothing is held meanwhile
TIME_OUT = "time-out"


def ask(session: RunSession, options: AskOptions) -> dict[str, Any]:
    """Wait for an answer. In virtual time nothing passes; on a real device theta goes on being held.

    Returns:
        `answer`, `by` whom, `how` (command, terminal, time-out), and `waited_s`, pauses left out.
    """
    requests, question = session.requests, options.question()
    session.release()
    session.say("question", "ask", question.in_words)
    session.progress(0, options.timeout_s, "s")
    waited, began = 0.0, time.monotonic()
    requests.question = question
    try:
        session.status.show(began, session, at_once=True)
        while question.taken is None:
            if options.timeout_s is not None and waited >= options.timeout_s:
                question.answer(str(options.then), TIME_OUT, TIME_OUT)
                break
            paused = time.monotonic()
            session.point()
            began += time.monotonic() - paused
            _wait(session, LOOK_S if options.timeout_s is None else options.timeout_s - waited)
            waited = time.monotonic() - began
            session.progress(round(waited, 1), options.timeout_s, "s")
    finally:
        requests.question = None
    answer = question.taken
    assert answer is not None
    by = "nobody, so the time-out," if answer.how == TIME_OUT else f"{answer.who} ({answer.how})"
    session.say("question", "answer", f"{options.text}: {by} answered {answer.text!r}.")
    if question.choices and answer.text == STOP:
        requests.ask_stop(f"{by} answered stop: {options.text}")
    return {"answer": question.value(answer), "by": answer.who, "how": answer.how, "waited_s": round(waited, 3)}


def _wait(session: RunSession, at_most_s: float) -> None:
    """Wait for a moment, in which theta is held where time passes by itself."""
    if session.info.clock is Clock.WALL and session.presented:
        session.sample(lambda: session.hold(session.target))
        session.requests.wait(min(HOLD_AGAIN_S, at_most_s))
    else:
        session.requests.wait(min(LOOK_S, at_most_s))
