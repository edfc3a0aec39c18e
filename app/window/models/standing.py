"""The banner in plain data: one slow word for what is going on, how far it is, when it ends and what happens then."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.status import MAKING_SAFE, STANDING, SessionState
from aeqlab.protocols.words import count_in_words, duration_in_words


class Standing(Enum):
    """What is going on, in a word."""

    IDLE = "IDLE"
    IDENTIFYING = "IDENTIFYING"
    TRAINING = "TRAINING"
    PAUSED = "PAUSED"
    FROZEN = "FROZEN"
    SAFE = "SAFE"
    FAULT = "FAULT"
    UNKNOWN = "STATE UNKNOWN"


#: What a run does at its end, as `then:` says it.
THEN = {"freeze": "then FREEZE", "safe": "then SAFE", "hold": "then HOLD"}
_OF_SESSION = {
    SessionState.FROZEN: Standing.FROZEN, SessionState.SAFE: Standing.SAFE, SessionState.UNKNOWN: Standing.UNKNOWN,
}  # fmt: skip
YEARS_S = 100 * 365 * 86_400.0
_WORKING = ("preparing", "running", "pausing", "stopping")


@dataclass(frozen=True, slots=True)
class Banner:
    """What the banner says.

    Attributes:
        standing: the word.
        doing: what is done and how far it is; or why it stands.
        end: when that ends, and what happens then; empty where nothing ends.
        done: share of the stage that is done; None where it is not known.
        title: of the window: rig or device, and experiment.
        pause, go_on, stop: whether these make sense now.
    """

    standing: Standing
    doing: str = ""
    end: str = ""
    done: float | None = None
    title: str = ""
    pause: bool = False
    go_on: bool = False
    stop: bool = False


def banner_of(run: RunView | None, session: SessionView | None, now: float | None = None) -> Banner:
    """Say what is going on, and what may be asked of it.

    Args:
        run: that is shown; None for none.
        session: that is shown; None for none.
        now: time of day in s since 1970; left out: that of this computer.
    """
    live = run is not None and run.alive and not run.ended
    paused = live and run is not None and _state(run) in (RunState.PAUSED, RunState.PAUSING)
    stands = session is not None and not session.lost and session.state in STANDING
    banner = _banner_of(run, session, time.time() if now is None else now)
    return replace(banner, pause=live and not paused, go_on=paused or stands, stop=live)


def banner_or_unknown(run: RunView | None, session: SessionView | None) -> Banner:
    """Say what is going on; where that goes wrong nobody knows it, and no earlier state is left standing."""
    try:
        return banner_of(run, session)
    except Exception as exc:
        sys.excepthook(*sys.exc_info())
        return Banner(Standing.UNKNOWN, f"The window cannot tell what goes on: {exc}.")


def _banner_of(run: RunView | None, session: SessionView | None, now: float) -> Banner:
    title = " · ".join(filter(None, [_device(run, session), run.name if run is not None else ""]))
    live = run if run is not None and run.alive and not run.ended else None
    if session is not None and (standing := _OF_SESSION.get(session.state)) is not None:
        if session.status is None and not session.lost:
            return Banner(Standing.UNKNOWN, "Asks the session; it has not answered yet.", title=title)
        waits = "" if live is None or session.lost else "The run waits for Continue."
        return Banner(standing, _why(session), waits, title=title)
    if live is not None:
        return _of_run(live, title, now)
    if session is not None:
        return Banner(Standing.IDLE, _idle(session), title=title)
    if run is None:
        return Banner(Standing.IDLE, "Nothing is shown.")
    return Banner(_ended(run), run.state if not run.reason else f"{run.state}: {run.reason}", title=title)


def _of_run(run: RunView, title: str, now: float) -> Banner:
    progress = run.progress or {}
    state = _state(run)
    stage = str(progress.get("stage") or _last_stage(run))
    then = THEN.get(str(run.facts.get("then", "")), "")
    question = str(progress.get("question") or "")
    if question:
        return Banner(Standing.PAUSED, f"asks: {question}", "Answer below.", title=title)
    if state == RunState.PAUSED:
        return Banner(
            Standing.PAUSED, run.reason or "at a sample boundary", "Continue goes on with the next sample.", title=title
        )
    if state == RunState.PREPARING:
        return Banner(Standing.IDLE, "prepares: reads data, opens the device; nothing has moved", then, title=title)
    standing = Standing.IDENTIFYING if stage == "identify" else Standing.TRAINING
    done, total = progress.get("done"), progress.get("total")
    counted = "" if done is None else count_in_words(done, total, str(progress.get("unit") or ""))
    rounds = "".join(f", round {one} of {of}" for one, of in progress.get("rounds", ()))
    doing = " ".join(filter(None, [stage, counted])) + rounds
    if run.progress is None:
        doing = f"{doing} · by its record: it does not answer just now"
    if state in (RunState.PAUSING, RunState.STOPPING):
        doing += f" · {state}: {run.reason}" if run.reason else f" · {state}"
    left = progress.get("remaining_s")
    end = ""
    if left is not None and float(left) < YEARS_S:  # what is further away no calendar says
        end = f"this stage ends {_clock(now + float(left))}, in {duration_in_words(float(left))}"
    elif left is not None:
        end = "this stage ends in many years"
    share = float(done) / float(total) if done is not None and total else None
    return Banner(standing, doing, ", ".join(filter(None, [end, then])), share, title)


def _state(run: RunView) -> str:
    """Get where a run stands by its own word, which is newer than its record; one that does not answer, by its record."""
    return str((run.progress or {}).get("state") or run.state)


def _ended(run: RunView) -> Standing:
    if run.state in ("failed", "interrupted"):
        return Standing.FAULT
    if run.state in _WORKING:  # its process has gone, and the folder says nothing yet
        return Standing.UNKNOWN
    return Standing.IDLE


def _last_stage(run: RunView) -> str:
    kinds = run.column("stages", "kind")
    return str(kinds[-1]) if len(kinds) else ""


def _device(run: RunView | None, session: SessionView | None) -> str:
    if session is not None:
        return session.found.device
    return "" if run is None else str(run.facts.get("device", ""))


def _why(session: SessionView) -> str:
    status = session.status
    who = "" if status is None else status.by.split(" (process", 1)[0]
    told = status is None or session.lost or not who or f"by {who}" in session.reason or session.reason.startswith(f"{who} ")
    by = "" if told or status is None else f", by {status.by}"
    return f"{session.reason}{by}" if session.reason else by.lstrip(", ")


def _idle(session: SessionView) -> str:
    status = session.status
    assert status is not None
    if status.doing == MAKING_SAFE:
        return "ramps to rest, then outputs off"
    if status.state is SessionState.HOLDING:
        return f"theta is held; knobs belong to {status.knobs}"
    if status.state is SessionState.NUDGED:
        return f"nudge {status.beta:g} is on, by {status.control or 'nobody'}"
    return f"connected; control: {status.control or 'nobody'}"


def _clock(t: float) -> str:
    """Say a time of day; with the day where it is not today."""
    when = datetime.fromtimestamp(t).astimezone()
    return when.strftime("%H:%M" if when.date() == datetime.now().astimezone().date() else "%d %b %H:%M")
