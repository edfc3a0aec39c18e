"""What can be done after something ended without a word: a run's process, or a session; each offer says what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.protocols.client import LostSession

RESUME, LOOK_BACK, SAFE, TAKE, LEAVE = "resume", "look back", "safe", "take", "leave"


@dataclass(frozen=True, slots=True)
class Offer:
    """What happened, and what may be done: key, words of the button, and what it does, for each.

    `about` tells two offers apart; `lost` is the device whose state nobody knows.
    """

    about: str
    text: str
    verbs: tuple[tuple[str, str, str], ...]
    lost: LostSession | None = field(default=None, compare=False)  # its knobs are an array; the text tells all of it


def offer_of(run: RunView | None, session: SessionView | None, lost: Sequence[LostSession]) -> Offer | None:
    """Say what may be done now; None: nothing ended without a word.

    Args:
        run, session: that are shown.
        lost: devices whose state nobody knows; they come first.
    """
    for one in lost:
        safe = (SAFE, f"Make {one.device} safe", "Reopens its instruments, ramps every knob to rest within its slew, outputs off")
        take = (TAKE, "Take it as it is", "Nothing moves; the next session may move it again")
        return Offer(f"lost {one.address} {one.pid} {one.hung}", one.sentence(), (safe, take) if not one.hung else (safe,), one)
    if run is None or run.alive or run.state not in ("interrupted", "failed"):
        return None
    resume = (
        RESUME,
        "Resume it from its record",
        "Starts its process anew, from the last checkpoint: what came after it is done again",
    )
    back = (LOOK_BACK, "Look back at it", "What happened, and how the device was left")
    what = f"{run.name}: {'its process is gone' if run.state == 'interrupted' else 'it failed'}. What it recorded is kept."
    if session is not None and session.lost:
        what += f" {session.lost}"
    return Offer(f"{run.folder} {run.state}", what, (resume, back, (LEAVE, "Close this row", "Only the row goes (Esc)")))
