"""Nights with one fault each, on a bench in lockstep: what strikes, when, and what the story must say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from struck import trained

from aeqlab.protocols.load import Run

#: Faults of the bench by name; what the first cause must say; in one night each, in a phase of one step.
NIGHTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "gone": ({"kind": "gone", "instrument": "adc"}, "nudged phase", "adc lost its link"),
    "mute": ({"kind": "mute", "instrument": "smu"}, "nudged phase", "smu did not answer"),
    "rebooted": ({"kind": "rebooted", "instrument": "dac"}, "nudged hold", "dac was off for a while"),
    "overload": ({"kind": "overload", "instrument": "adc"}, "hold", "adc read an overload"),
    "jump": ({"kind": "jump", "instrument": "adc", "channel": "103", "by": 0.3}, "nudged phase", "parameter 2 jumped"),
    "rail": (
        {"kind": "jump", "instrument": "dac", "channel": "3", "by": -1.7},
        "nudged hold",
        "theta was not held (saturated, u2",
    ),
    "limited": ({"kind": "limited", "instrument": "smu", "gain": 0.3}, "nudged phase", "the source of the nudge was held back"),
    "late": ({"kind": "late", "seconds": 1.3, "instrument": "adc"}, "hold", "adc answered out of turn"),
    "deaf": ({"kind": "deaf", "instrument": "dac"}, "clamp", "dac did not answer"),
    "garbled": ({"kind": "garbled", "instrument": "adc"}, "nudged hold", "adc sent garbage"),
    "short": ({"kind": "short", "instrument": "adc"}, "hold", "adc sent a reply cut short"),
    "count": ({"kind": "count", "instrument": "smu"}, "between", "smu sent a wrong count of numbers"),
    "word": ({"kind": "word", "instrument": "adc"}, "hold", "adc sent a word for a number"),
    "nan": ({"kind": "nan", "instrument": "adc"}, "nudged phase", "adc sent no finite number"),
    "dropped": ({"kind": "dropped", "instrument": "smu"}, "nudged phase", "smu lost its link"),
    "interrupted": ({"kind": "complaint", "code": -410, "instrument": "adc"}, "hold", "adc answered out of turn"),
    "refused": ({"kind": "complaint", "code": -222, "instrument": "dac"}, "hold", "dac reports: A voltage"),
    "full queue": ({"kind": "complaint", "code": -350, "instrument": "adc"}, "hold", "adc lost errors of its own"),
    "drift": ({"kind": "drift", "instrument": "dac", "channel": "3", "by": 1.5e-3}, "hold", "u2 drifts"),
    "stuck readout": ({"kind": "stuck", "instrument": "adc", "channel": "103"}, "hold", "theta2 (adc[103]) is stuck"),
    "stuck knob": ({"kind": "stuck", "instrument": "dac", "channel": "3"}, "clamp", "u2 moved nothing"),
    "cable": ({"kind": "cable", "instrument": "dac", "channel": "3", "gain": 0.0}, "clamp", "u2 moved nothing"),
    "reversed": (
        {"kind": "cable", "instrument": "dac", "channel": "3", "gain": -1.0},
        "hold",
        "theta was not held (saturated, u2",
    ),
}
LASTING = ("jump", "rail", "drift", "stuck readout", "stuck knob", "cable", "reversed")


def bad_night(folder: Path, name: str, samples: int | None = None) -> tuple[Run, str]:
    """Train through a night in which one fault strikes, at the step `struck.STRUCK`.

    Args:
        folder: for the run and the journal of the bench.
        name: of the night, one of `NIGHTS`.
        samples: steps of the night; None: as few as do.
    Returns:
        The run, and the words with which its first cause must begin.
    """
    fault, phase, what = NIGHTS[name]
    more: dict[str, Any] = {"lost_after_s": 2.0} if name == "gone" else {"samples": 16} if name == "drift" else {}
    if samples is not None:
        more["samples"] = samples
    run, _, _ = trained(folder, fault, phase, 100_000 if name in LASTING else 25 if name == "limited" else 1, **more)
    return run, what
