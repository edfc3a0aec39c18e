"""Trials of gains: other gains for some seconds, in the loop as it runs, which go back by themselves unless someone keeps them.

They go back when their time is over, when an error leaves its band (`error_band`), when a knob swings, and when the session
stands still. They are in no file before they are kept, so a session that dies leaves nothing changed. Who asked may be gone.
Any thread may ask; the gains themselves are changed by the thread that owns the device, between two ticks.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Flag, Readout
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.error_band import TOLERANCES, ErrorBand
from aeqlab.protocols.errors import NotAllowedError, SessionError
from aeqlab.protocols.gains import Gains, Trial, changed, gains_of, no_gains
from aeqlab.protocols.gains_file import GainsPlace, KeptGains, given_by, newest_gains
from aeqlab.protocols.settling import parameter_noise
from aeqlab.protocols.tolerance import allowed_error
from aeqlab.protocols.tuning import Tuning

if TYPE_CHECKING:
    from aeqlab.protocols.session import Session

Array = NDArray[Any]
SECONDS = 30.0  #: of a trial where nothing else is said
LONGEST_S = 600.0
UNREAD = Flag.LOST | Flag.STALE | Flag.AWAY


class Trials:
    """The gains of one session: the standard ones, those that were kept, and those that are tried.

    Args:
        session: whose loops they are of.
        place: where gains are kept; None: nowhere, so that they can be tried and not kept.
    """

    def __init__(self, session: Session, place: GainsPlace | None = None) -> None:
        self._session = session
        self._place = place
        self._asking = threading.RLock()  # one change at a time, from whatever thread
        self._kept: KeptGains | None = None
        self._trial: Trial | None = None
        self._tried: Tuning | None = None
        self._until = 0.0  # of the trial, by time.monotonic
        self._waits = False  # whether the loops have other gains than were told last
        self._eased: Array | None = None  # shares as they were before the trial
        self._put_back: Array | None = None  # shares that the loop gets back with its gains
        self._band: ErrorBand | None = None
        self._pushes = 0
        self._seen: Readout | None = None
        self._version = 0
        self._told: tuple[int, Gains] | None = None

    # what is tried
    def begin(self, change: Mapping[str, Any], by: str, seconds: float | None = None) -> Trial:
        """Try other gains; a trial of the same person goes on with these, and from now.

        Args:
            change: see `gains.changed`.
            by: whose trial it is, for people.
            seconds: how long, on the wall; None: 30.
        Raises:
            FrozenError: the device stands.
            NotAllowedError: someone else tries gains now, or something of it cannot be.
        """
        session = self._session
        seconds = SECONDS if seconds is None else float(seconds)
        if not by.strip():
            raise NotAllowedError("gains are tried by name. Say whose.")
        if not 1.0 <= seconds <= LONGEST_S:
            raise NotAllowedError(f"gains may be tried for 1 to {LONGEST_S:g} s, not {seconds:g} s.")
        with self._asking:
            session.may("try gains")
            self.look_at_time()
            before = self._trial
            if before is not None and before.by != by:
                left = self._until - time.monotonic()
                raise NotAllowedError(f"{before.by} tries {before.what}, for another {left:.0f} s. Keep or revert that first.")
            now = self.gains()
            if now.why:  # no loop can run, so there is nothing to try
                raise NotAllowedError(now.why)
            tuning, knobs, what = changed(self.tuning(), change, session.info, now.law)
            self._trial, self._tried = Trial(by, what, knobs, seconds, seconds), tuning
            self._until = time.monotonic() + seconds
            if before is None:
                self._eased, self._band = session.controller.eased.copy(), None
            self._changed()
            session.tell("gains", f"{by} tries {what}, for {seconds:g} s", by)
            return self._trial

    def keep(self, by: str) -> str:
        """Keep what is tried: it goes into a dated file and is the session's from now on. Returns the file.

        Raises:
            NotAllowedError: nothing is tried, or there is nowhere to keep it.
            SessionError: the file cannot be written; the trial goes on.
        """
        if not by.strip():
            raise NotAllowedError("gains are kept by name. Say whose.")
        with self._asking:
            self.look_at_time()
            trial, tuning = self._trial, self._tried
            if trial is None or tuning is None:
                raise NotAllowedError("no gains are on trial, so there is nothing to keep. Try some first.")
            if self._place is None:
                raise NotAllowedError(
                    f"the session of {self._session.info.name} has no folder in which gains could be kept. Write them into the "
                    "experiment: homeostasis.ki, or homeostasis.gain."
                )
            given = given_by(self._session.homeostasis)
            kept = KeptGains(time.time(), by, self._belongs(), self._identified(), tuning, given)
            self._kept = replace(kept, path=kept.save(self._place.folder))
            self._trial = self._tried = self._band = None
            self._changed()
            self._session.tell("gains", f"{by} keeps {trial.what}: {self._kept.path}", by)
            return str(self._kept.path)

    def revert(self, by: str, why: str = "") -> None:
        """Go back to the gains before the trial.

        Raises:
            NotAllowedError: nothing is tried.
        """
        with self._asking:
            if self._trial is None:
                raise NotAllowedError("no gains are on trial, so there is nothing to take back.")
            self.end(why or f"{by} took it back", by)

    def end(self, why: str, by: str = "") -> bool:
        """End a trial, where one is on, for a reason that an event tells; returns whether one was."""
        with self._asking:
            trial = self._trial
            if trial is None:
                return False
            self._trial = self._tried = self._band = None
            self._changed(self._eased)
            self._session.tell("gains", f"the trial of {trial.by} ({trial.what}) is over: {why}. Gains are as before.", by)
            return True

    # what the session calls
    def tuning(self) -> Tuning:
        """Get how the gains differ from the standard ones now."""
        n = len(self._session.info.controls)
        if self._tried is not None:
            return self._tried
        kept = self._kept
        fits = kept is not None and kept.given == given_by(self._session.homeostasis)
        return kept.tuning if kept is not None and fits else Tuning.standard(n)

    def for_loop(self) -> Tuning | None:
        """Get what a new control law is made with; None where nothing was changed."""
        if self._kept is None and self._tried is None:
            return None
        return self.tuning()

    def look(self) -> None:
        """Called by the thread that owns the device, between two ticks: apply what is asked for, and see whether it goes well."""
        if self._trial is None and not self._waits:
            return
        self.look_at_time()
        if self._waits:
            self._apply()
        if self._trial is not None:
            self._look_at_errors()

    def look_at_time(self) -> None:
        """End a trial whose time is over, from any thread."""
        trial = self._trial
        if trial is not None and time.monotonic() >= self._until:
            self.end(f"its {trial.seconds:g} s have passed and nobody kept it")

    def swings(self, names: str) -> bool:
        """Hear that knobs oscillate; returns whether a trial was on, which is over then."""
        return self.end(f"theta swings at {names}")

    def new_loop(self) -> None:
        """Hear that settings changed and the loop has a law made anew: the kept gains may not be for these settings."""
        self._told, self._band = None, None
        self._eased = self._session.controller.eased.copy()
        self._version += 1
        kept, given = self._kept, given_by(self._session.homeostasis)
        if kept is not None and self._trial is None and kept.given != given:
            names = ", ".join(sorted({*given, *kept.given}))
            self._session.tell("gains", f"the gains of {kept.path} are not used: the experiment gives {names} of its own.")

    def identified(self) -> None:
        """Hear that the device was identified anew: the gains are those that follow from that."""
        self.end("the device was identified anew")
        if self._kept is not None:
            self._session.tell("gains", f"the gains of {self._kept.path} are not used any more: the device was identified anew.")
            self._kept = None
        self._told = None
        self._version += 1

    def recall(self) -> None:
        """Use the gains that were kept last, where they are fresh and of this device; why not is an event."""
        if self._place is None or self._session.holds_inside:
            return
        try:
            found = newest_gains(self._place, len(self._session.info.controls))
            why = "" if found is None else found.unfit(self._belongs(), self._identified(), self._place.fresh_s)
        except SessionError as exc:
            found, why = None, str(exc)
        if why:
            self._session.tell("gains", why if why.endswith("not used.") else f"{why} They are not used.")
        elif found is not None:
            self._kept = found
            self._changed()
            self._session.tell("gains", f"the gains of {found.path} are in use; {found.by} kept them on {found.when}")

    # what people ask
    def gains(self) -> Gains:
        """Get the gains in use, with what they leave to instability; never waits."""
        session = self._session
        self.look_at_time()
        with self._asking:
            if self._told is None or self._told[0] != self._version or self._eased_changed(self._told[1]):
                if session.holds_inside:
                    made = no_gains(session.info)
                else:
                    made = gains_of(session.homeostasis, session.info, self.tuning(), session.controller.eased)
                kept = self._kept
                in_use = kept is not None and self._trial is None and self.tuning() is kept.tuning
                self._version += 1
                path = str(kept.path) if in_use and kept is not None else ""
                self._told = self._version, replace(made, kept=path, version=self._version)
            return replace(self._told[1], trial=self.trial())

    def trial(self) -> Trial | None:
        """Get the trial that is on, with the time that is left; None where none is."""
        trial = self._trial
        return None if trial is None else replace(trial, left_s=max(0.0, self._until - time.monotonic()))

    @property
    def version(self) -> int:
        """Get a number that changes with the gains."""
        return self._version

    # inside
    def _eased_changed(self, told: Gains) -> bool:
        return bool(told.names) and not np.array_equal(told.eased, self._session.controller.eased)

    def _changed(self, eased: Array | None = None) -> None:
        """Have the loops take the gains: now where the device is free, else at the next tick."""
        self._version += 1
        self._waits = True
        if eased is not None:
            self._put_back = eased
        if self._session.lock.acquire(blocking=False):
            try:
                self._apply()
            finally:
                self._session.lock.release()

    def _apply(self) -> None:
        """Give the loop its gains; under the session's lock."""
        with self._asking:
            self._waits = False
            controller = self._session.controller
            if self._put_back is not None and len(self._put_back) == len(controller.eased):
                controller.eased = self._put_back
            self._put_back = None
            controller.tune(self.tuning())

    def _look_at_errors(self) -> None:
        session = self._session
        newest, target = session.device.newest, session.controller.target
        if newest is None or newest is self._seen or target is None or newest.parameters is None or newest.flags & UNREAD:
            return
        self._seen = newest
        controller = session.controller
        if session.owner != "loop" or not controller.prepared:
            return
        error = target - np.asarray(newest.parameters, dtype=np.float64)
        tolerance = session.tolerance()
        if tolerance is None:
            tolerance = allowed_error(session.homeostasis, controller, target, 1.0)
        if self._band is None:
            self._band = ErrorBand(self._lag_s(), parameter_noise(session.info))
            self._pushes = session.pushes
            if (np.abs(error) > TOLERANCES * tolerance).any():  # a push is under way, which these gains are not to blame for
                self._band.push(newest.t)
        if self._pushes != session.pushes:
            self._pushes = session.pushes
            self._band.push(newest.t)
        k = self._band.see(newest.t, error, tolerance)
        if k >= 0:
            off = abs(float(error[k])) / float(tolerance[k])
            self.end(f"theta of {session.info.controls.names[k]} went {off:.3g} tolerances from its target")

    def _lag_s(self) -> float:
        controller = self._session.controller
        lag = controller.lag_s
        if lag is None:
            lag = 1.0 / (4.0 * max(float(np.min(np.abs(controller.rate))), 1e-9))
        lag += controller.dead_s + (self._session.info.tick_s or 0.0)
        return lag if math.isfinite(lag) else 0.0

    def _belongs(self) -> dict[str, str]:
        """Say what gains of this device belong to, by name."""
        session = self._session
        with contextlib.suppress(AttributeError, BackendError):
            return dict(session.device.fingerprint())  # type: ignore[attr-defined]
        info = session.info
        found = {"device": f"{info.kind} {info.name}", "controls": f"{len(info.controls)} in {info.controls.unit}"}
        if info.response is not None:
            rows = (info.response.gain, info.response.lag_s, info.response.dead_time_s)
            told = (f"{float(np.min(row)):.6g} to {float(np.max(row)):.6g}" for row in rows)
            found |= dict(zip(("gain", "lag in s", "dead time in s"), told, strict=True))
        return found

    def _identified(self) -> float | None:
        with contextlib.suppress(AttributeError, BackendError):
            tree = self._session.device.identification()  # type: ignore[attr-defined]
            return None if tree is None else float(tree["t"])
        return None
