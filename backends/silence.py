"""What becomes of a rig when this computer dies: nothing is sent any more, and every instrument does what it does by itself."""

from __future__ import annotations

from collections.abc import Sequence

from aeqlab.backends.rig_plan import RigPlan


def if_computer_dies(plan: RigPlan) -> list[str]:
    """Say for each instrument that drives something what it does when it hears nothing any more."""
    lines = []
    for name in plan.order:
        drives = _drives(plan, name)
        if not drives:
            continue
        entry = plan.file.instruments[name]
        what = ", ".join(drives)
        if entry.watchdog_s is not None:
            does = f"its watchdog acts after {entry.watchdog_s:g} s"
        elif entry.off_after_s is not None:
            does = f"its outputs go off after {entry.off_after_s:g} s"
        elif entry.when_silent == "holds":
            does = "its outputs stay as they are"
        else:
            does = "nobody knows what its outputs do"
        lines.append(f"{name} ({what}): {does}.")
    return lines


def unattended_refusal(plan: RigPlan) -> list[str]:
    """List what keeps a rig from being left alone: what could do damage and has nothing that acts when this computer dies."""
    found = []
    for name in plan.order:
        entry = plan.file.instruments[name]
        guarded = entry.watchdog_s is not None or entry.off_after_s is not None
        if guarded or not _drives(plan, name):
            continue
        dangers = [one.name for one in plan.supplies if one.place.instrument == name and one.entry.dangerous]
        if entry.dangerous or dangers:
            what = f"it drives {', '.join(dangers)}" if dangers else "it is said to be dangerous"
            found.append(
                f"{name}: {what}, and nothing switches it off when this computer dies. Give it watchdog_s, or stay with it."
            )
        elif entry.when_silent == "unknown":
            found.append(
                f"{name}: when_silent is unknown, so nobody knows what its outputs do when this computer dies. Say "
                "holds, or off after N s."
            )
    return found


def _drives(plan: RigPlan, instrument: str) -> list[str]:
    """List what an instrument drives, in words."""
    found = []
    for role, places in (("controls", plan.controls.places), ("inputs", plan.inputs.places), ("nudge", plan.nudge.places)):
        count = sum(place.instrument == instrument for place in places)
        if count:
            found.append(role if role == "nudge" else f"{count} {role if count > 1 else role[:-1]}")
    return found + [one.name for one in plan.supplies if one.place.instrument == instrument]


__all__: Sequence[str] = ("if_computer_dies", "unattended_refusal")
