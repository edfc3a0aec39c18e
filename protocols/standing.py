"""Why a device stands still: what brought it to stand, on whose behalf, and which standing a `continue` may lift.

What a person asked for stays that person's until someone continues, whatever a run or the session asks meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from aeqlab.backends.device import SafetyReport
from aeqlab.protocols.status import SessionState, is_person


@dataclass(slots=True)
class Standing:
    """Why a session stands still in FROZEN, SAFE or UNKNOWN.

    Attributes:
        reason, by: told in every refusal, and who brought it to stand; empty where it does not stand.
        late: frozen only because a client was not heard in time, so that this client may go on by itself.
        nudge_read: the nudge as the device told it after the last freeze; None where it cannot tell, or nobody asked.
        report: of the last make safe, as long as the device stands for it; None where it does not.
        number: counts up whenever anyone, or the session itself, asks for it to stand. A `continue` that names a number lifts
            what its sender has looked at, and nothing that came afterwards.
    """

    reason: str = ""
    by: str = ""
    late: bool = False
    nudge_read: float | None = None
    report: SafetyReport | None = None
    number: int = 0

    def asked(self) -> None:
        """Count that somebody asked for it, whatever comes of it."""
        self.number += 1
        self.nudge_read = None

    def begin(self, state: SessionState, reason: str, who: str, late: bool = False) -> None:
        """Stand from now on, or for another reason."""
        if state is not SessionState.UNKNOWN and is_person(self.by) and not is_person(who):
            who, reason, late = self.by, f"{self.reason}; {reason}", False
        self.reason, self.by, self.late = reason, who, late
        if state is not SessionState.SAFE:
            self.report = None

    def end(self) -> None:
        """Stand no more."""
        self.reason, self.by, self.late, self.report = "", "", False, None
