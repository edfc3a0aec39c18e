"""The conformance suite on the rig device: every realisation of the nudge, over TCP and over a serial line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aeqlab.protocols.conformance import LineVerdict, conform
from aeqlab.protocols.hold_settings import HomeostasisSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import bench_of, open_rig

WAYS = [
    ("boxes", "one-shot", "quasi-static"),
    pytest.param("boxes", "feedback", "integral", marks=pytest.mark.slow),
    pytest.param("boxes", "output-clamp", "quasi-static", marks=pytest.mark.slow),
    pytest.param("tcp", "coupling", "integral", marks=pytest.mark.slow),
    pytest.param("serial", "coupling", "quasi-static", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "realisation", "controller"), WAYS)
def test_a_rig_conforms(kind: str, realisation: str, controller: str) -> None:
    with bench_of(kind) as bench:
        settings = HomeostasisSettings.model_validate({"controller": controller})
        lines = conform(lambda: open_rig(bench, realisation), homeostasis=settings)
    assert [f"{line.name}: {line.text}" for line in lines if line.verdict is LineVerdict.FAIL] == []
    applied = [line.name for line in lines if line.verdict is LineVerdict.PASS]
    assert len(applied) == len(lines) - 1  # a rig has no state that could be put back
