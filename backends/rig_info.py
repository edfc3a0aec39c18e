"""What a rig says of itself: from its file, from its instruments' channels, and from its identification where it is fresh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.description import Clock, ControlResponse, DeviceInfo, ParameterBlock, channels, knobs
from aeqlab.backends.identification import Identification
from aeqlab.backends.rig_bus import Bus
from aeqlab.backends.rig_plan import RigPlan

if TYPE_CHECKING:
    from aeqlab.backends.rig import Rig

Array = NDArray[Any]
STIFF = 0.5  #: a nudge may use up to this share of the measured stiffness of the outputs: RIGS of docs/rigs.md
PLAY = 6.0  #: knobs that come back from the two sides this many times further apart than usual have play
NOTES = {
    "one-shot": "the nudge is a force set once: its step has a bias of order beta, and Theorem 2's bound does not hold",
    "output-clamp": "the outputs are clamped part of the way to their targets: not the nudge of the paper, and not its step size",
}


def info_of(rig: Rig) -> DeviceInfo:
    """Describe a rig as it is now."""
    u, x = rig.knob_rows()
    n = len(rig.plan.parameters)
    reads = rig.read_steps()
    return _info(rig.plan, rig.identified, (u.step, x.step, reads[:n], reads[n:]), rig.clock.kind, rig.clock.speed)


def outline_of(plan: RigPlan) -> DeviceInfo:
    """Describe a rig by its file alone, before it is open."""
    steps = tuple(np.zeros(len(row)) for row in (plan.controls, plan.inputs, plan.parameters, plan.outputs))
    return _info(plan, None, steps, Clock.WALL if plan.file.bench is None else Clock.VIRTUAL, 1.0)


def _info(plan: RigPlan, found: Identification | None, steps: tuple[Array, ...], clock: Clock, speed: float) -> DeviceInfo:
    """Describe a rig; steps are those of controls, inputs, parameters and outputs."""
    u_step, x_step, theta_step, s_step = steps
    controls, inputs = plan.controls, plan.inputs
    response = None
    if found is not None:
        response = ControlResponse(found.gain.copy(), found.lag_s.copy(), found.dead_time_s.copy(), _play(found))
    low, high = float(np.min(plan.parameters.low)), float(np.max(plan.parameters.high))
    tolerance = plan.parameters.tolerance
    block = ParameterBlock(
        "theta", (len(plan.parameters),), 0, plan.parameters.unit, low=low, high=high,
        noise=0.0 if found is None else found.noise.copy(), step=theta_step,
        tolerance=None if np.isnan(tolerance).all() else tolerance,
    )  # fmt: skip
    realisation = plan.nudge.entry.realisation
    notes = [f"nudge: {realisation}"] + ([NOTES[realisation]] if realisation in NOTES else [])
    if found is None:
        notes.append("not identified: run the stage identify before a loop is closed")
    return DeviceInfo(
        kind="rig",
        name=plan.name,
        inputs=knobs(inputs.names, inputs.unit, inputs.low, inputs.high, inputs.rest, x_step, inputs.slew),
        controls=knobs(controls.names, controls.unit, controls.low, controls.high, controls.rest, u_step, controls.slew),
        outputs=channels(plan.outputs.names, plan.outputs.unit, 0.0 if found is None else found.output_noise, s_step),
        parameters=(block,),
        beta=beta_range(plan, found),
        clock=clock,
        speed=speed,
        tick_s=plan.file.tick_s,
        simulated=False,
        response=response,
        notes=tuple(notes),
        freeze_rests_inputs=True,
        waits_s=2.0 * max(one.timeout_s for one in plan.file.instruments.values()),
    )


def _play(found: Identification) -> Array | None:
    """Tell the play of the control knobs, in their unit, shape (controls,), where one stands out from noise and drift."""
    apart = found.repeatability
    stands_out = apart > PLAY * np.maximum(found.noise, np.median(apart))
    return np.where(stands_out, apart / np.abs(found.gain), 0.0) if stands_out.any() else None


def fingerprint_of(plan: RigPlan, bus: Bus) -> dict[str, str]:
    """Say what an identification of a rig belongs to, by name: who its instruments are, and what is bound to which channel."""
    found = {}
    for name in plan.order:
        identity = bus.instruments[name].identity
        found[f"instrument {name}"] = "unknown" if identity is None else f"{identity.maker} {identity.model} {identity.serial}"
        for key, value in sorted(plan.file.instruments[name].options.items()):  # a filter or a range has part in lag and noise
            if not (isinstance(value, str) and Path(value).suffix):  # a run has copies of files, which are elsewhere
                found[f"{key} of {name}"] = str(value)
        if apertures := {use.key: f"{use.nplc:g}" for use in plan.uses[name] if use.nplc is not None}:
            found[f"nplc of {name}"] = " ".join(f"{key} {apertures[key]}" for key in sorted(apertures))
    for role, row in (("controls", plan.controls), ("inputs", plan.inputs)):
        for k, (name, place) in enumerate(zip(row.names, row.places, strict=True)):
            found[f"{role} {name}"] = f"{place}, slew {row.slew[k]:g}"
    for role, reads in (("parameters", plan.parameters), ("outputs", plan.outputs)):
        found |= {f"{role} {name}": str(place) for name, place in zip(reads.names, reads.places, strict=True)}
    entry = plan.nudge.entry
    found["nudge"] = f"{entry.realisation} {' '.join(map(str, plan.nudge.places))} force {entry.force_per_unit:g}"
    found["tick"] = f"{plan.file.tick_s:g} s"
    return found


def beta_range(plan: RigPlan, found: Identification | None) -> tuple[float, float]:
    """Work out which nudges are allowed: those of the file, and of a loop or a negative one no more than the stiffness bears.

    A force that software renews, and a coupling that pushes away from the target, run away at the output's own stiffness 1/R;
    half of what was measured is allowed. Before that was measured a negative one is not.
    """
    low, high = plan.nudge.beta
    realisation = plan.nudge.entry.realisation
    if realisation in ("one-shot", "output-clamp"):
        return low, high
    softness = None if found is None else float(np.max(np.abs(found.softness), initial=0.0))
    if softness is None or not np.isfinite(softness) or softness <= 0.0:
        return 0.0 if low < 0.0 else low, high
    most = STIFF / softness
    return max(low, -most), min(high, most) if realisation == "feedback" else high
