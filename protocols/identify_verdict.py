"""What is wrong with the wiring of a device, told from how every readout answers every knob; each fault in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.words import in_unit

Array = NDArray[Any]
DEAD = 0.05  #: an answer below this share of the usual one is none
WEAK, STRONG = 0.7, 1.4  #: of the usual gain: outside of these a knob is told
SHOWN = 8
SEEN = 60.0  #: times the noise that a step should be, by the strongest nudge at a misfit of 1: then it is told down to 0.05
TOLD = 3.0  #: times the noise that a step must be to be told


def wiring_faults(matrix: Array, error: Array, knobs: Sequence[str], readouts: Sequence[str]) -> list[str]:
    """Find knobs that move another readout than their own, or none, or the wrong way, or by another amount than the rest.

    Args:
        matrix: how much each knob moves each readout, shape (readouts, knobs); one readout belongs to each knob.
        error: standard uncertainty of an entry of each row, shape (readouts,).
        knobs, readouts: their names.
    Returns:
        A sentence for each fault, those that keep a loop from closing first.
    """
    size = np.abs(matrix)
    mine = size.argmax(axis=1)  # the knob that each readout follows most
    peaks = size.max(axis=1)
    usual = float(np.median(peaks[peaks > 0])) if (peaks > 0).any() else 0.0
    answers = peaks > np.maximum(DEAD * usual, 6.0 * error)
    found: list[str] = []
    followers = {k: [r for r in range(len(readouts)) if answers[r] and mine[r] == k] for k in range(len(knobs))}
    told: set[int] = set()
    for k, name in enumerate(knobs):
        rows = followers[k]
        if not rows:
            found.append(f"{name} moves nothing: it is not connected, it is stuck, or {readouts[k]} is.")
            continue
        wrong = [r for r in rows if r != k]
        if not wrong:
            continue
        other = wrong[0]
        if mine[k] == other and answers[k] and k not in told:
            found.append(f"{name} moves {readouts[other]} and {knobs[other]} moves {readouts[k]}: swapped.")
            told |= {k, other}
        elif k not in told:
            moved = " and ".join(readouts[r] for r in rows)
            found.append(f"{name} moves {moved}, not {'only ' if k in rows else ''}{readouts[k]}: wrongly connected.")
            told.add(k)
    for r, readout in enumerate(readouts):
        if not answers[r] and followers[r]:
            found.append(f"{readout} follows no knob: it is not connected, or it is stuck.")
    for k, name in enumerate(knobs):
        if k in followers[k] and matrix[k, k] < 0:
            found.append(f"{name} moves {readouts[k]} the wrong way: its sign is reversed.")
    return found


def odd_gains(gain: Array, error: Array, knobs: Sequence[str], before: Array | None = None) -> list[str]:
    """Find knobs whose gain is far from what it was, or else from that of the others.

    Args:
        gain, error: of each knob on its own parameter, and its uncertainty; nan for one whose parameter follows another knob.
        knobs: names.
        before: gains of an earlier identification; None where there is none.
    """
    known = np.abs(gain) if before is None else np.abs(before)
    usual = np.full(len(gain), float(np.nanmedian(known))) if before is None else known
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, room = np.abs(gain) / usual, 3.0 * error / usual
    odd = np.flatnonzero((usual > 0) & (np.abs(gain) > DEAD * usual) & ((ratio < WEAK - room) | (ratio > STRONG + room)))
    what = "the usual gain" if before is None else "its gain before"
    found = [f"{knobs[k]} has {ratio[k]:.2g} of {what} ({gain[k]:.4g})." for k in odd[:SHOWN]]
    return found + ([f"So have {len(odd) - SHOWN} more."] if len(odd) > SHOWN else [])


def small_steps(steps: Array, noise: float, info: DeviceInfo) -> list[str]:
    """Say what a device lacks whose steps of training are hardly larger than the noise of the readings they are told by.

    Args:
        steps: rms over the parameters of what a nudge of 1 at a misfit of 1 moves, by each output, shape (outputs,).
        noise: of one reading of a parameter.
        info: of the device.
    """
    beta, best = info.beta[1], float(np.max(steps, initial=0.0))
    if not np.isfinite(beta) or best <= 0.0 or noise <= 0.0 or beta * best >= SEEN * noise:
        return []
    of, out = info.parameters[0].unit, info.outputs.unit
    return [
        f"steps of training are small beside the noise: with the strongest nudge, {beta:g}, a misfit of 1{in_unit(out)} moves "
        f"the parameters by {beta * best:.2g}{in_unit(of)} (rms), and one reading has {noise:.2g}{in_unit(of)}; at misfits below "
        f"{TOLD * noise / (beta * best):.2g}{in_unit(out)} it drowns. It lacks quieter or longer readings (nplc, averages), "
        "a larger epsilon or a stronger nudge."
    ]
