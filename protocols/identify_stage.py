"""What the stage `identify` does with what was found: uses it, keeps it with plots, refuses a device that is wrongly wired."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from aeqlab.backends.errors import BackendError
from aeqlab.backends.identification import Identification
from aeqlab.protocols.errors import IdentifyError
from aeqlab.protocols.identify import Found, Identifying
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.stages.identify import IdentifyOptions

ABILITY = "Identifies"


def needs_identification(session: RunSession) -> bool:
    """Tell whether nothing may be held before this device was identified."""
    return ABILITY in session.abilities and session.device_call("identification") is None


def doubts_of(session: RunSession) -> tuple[str, ...]:
    """Get what the identification in use doubts, in sentences: whoever trains by it is to hear of it each time."""
    known = session.device_call("identification") if ABILITY in session.abilities else None
    return () if known is None else tuple(map(str, known["notes"]))


def identify(session: RunSession, options: IdentifyOptions) -> dict[str, Any]:
    """Identify the device of a run; what is found is told by name.

    Raises:
        IdentifyError: it cannot be told, or the wiring is wrong; nothing is kept of it then.
    """
    keeps = ABILITY in session.abilities
    if session.holds_inside or "HoldsParameters" in session.abilities:
        session.point_for_retry()
        session.say("stage", "identify", f"{session.info.name} holds its parameters itself: no loop has to know how they answer.")
        return {"known": 1}
    before = _of(session.device_call("identification")) if keeps else None
    if options.unless == "fresh" and before is not None:
        session.say("stage", "identify", f"The identification of {before.when} is fresh; it is used.")
        for sentence in before.notes:
            session.say("warning", "identify", sentence)
        return {"fresh": 1}
    found: list[Found] = []

    def work() -> bool:
        found.append(
            Identifying(
                session,
                fingerprint=session.device_call("fingerprint") if keeps else {},
                before=before, step=options.step, seconds=options.seconds, seed=session.seed,
                progress=lambda what, part: session.progress(part, 1.0, what),
            ).run()
        )  # fmt: skip
        return True

    while session.sample(work) is None:
        continue
    one = found[-1]
    for sentence in one.doubts:
        session.say("warning", "identify", sentence)
    if one.faults:
        for sentence in one.faults:
            session.say("warning", "identify", sentence)
        if options.faults == "refuse":
            raise IdentifyError(
                f"{session.info.name}: {' '.join(one.faults)} Mend the wiring or the rig file; nothing is held so."
            )
    path = session.take_identification(one.made.tree()) if keeps else ""
    _plots(one, Path(path).with_suffix(".png") if path else session.folder / "identified.png", session)
    made = one.made
    session.say("stage", "identify", summary(one, session) + (f" It is kept in {path}." if path else ""))
    return {
        "gain": float(np.median(made.gain)), "lag_s": float(np.max(made.lag_s)), "dead_time_s": float(np.max(made.dead_time_s)),
        "noise": float(np.median(made.noise)), "softness": float(np.nanmax(made.softness, initial=0.0)), "seconds": one.took_s,
        "faults": len(one.faults), **({"kept_in": path} if path else {}),
    }  # fmt: skip


def summary(found: Found, session: RunSession) -> str:
    """Say in a sentence what was found."""
    made, unit = found.made, session.info.parameters[0].unit
    return (
        f"{len(made.gain)} knobs in {found.took_s:.3g} s of the device: gain {made.gain.min():.3g} to {made.gain.max():.3g}, lag "
        f"{1e3 * made.lag_s.min():.3g} to {1e3 * made.lag_s.max():.3g} ms, dead time up to {1e3 * made.dead_time_s.max():.3g} "
        f"ms, noise {np.median(made.noise):.2g} {unit}, softness of the outputs {np.nanmax(made.softness, initial=0.0):.3g}."
    )


def _of(tree: dict[str, Any] | None) -> Identification | None:
    return None if tree is None else Identification.of_tree(tree, "the identification in use")


def _plots(found: Found, path: Path, session: RunSession) -> None:
    """Draw it; plots that cannot be drawn or written keep nobody from working."""
    from aeqlab.protocols.identify_figure import draw

    with contextlib.suppress(OSError, ImportError, BackendError):
        draw(found, session.info.controls.names, path)
