"""The state of a session that has held nothing yet, as the checkpoint before the first step has it, can be put back."""

from __future__ import annotations

import numpy as np
import pytest
from session_helpers import HOLD, SETTLE, inputs_of, simulated, slow

from aeqlab.backends.device import Clock, Device
from aeqlab.backends.wire import pack, unpack
from aeqlab.protocols.session import Session


@pytest.mark.parametrize("kind", ["simulated", "slow"])
def test_a_state_from_before_the_first_hold_is_put_back(kind: str) -> None:
    """The controller has no setpoints yet then: its u is of length 0."""

    def opened() -> Device:
        return simulated() if kind == "simulated" else slow(Clock.VIRTUAL)

    held = []
    with Session(opened(), homeostasis=HOLD, settling=SETTLE) as first:
        fresh = unpack(pack(first.state()))
        assert len(fresh["controller"]["u"]) == 0
        first.present(inputs_of(first))
        first.hold()
        held.append(first.controls())
    with Session(opened(), homeostasis=HOLD, settling=SETTLE) as other:
        other.restore(fresh)
        other.present(inputs_of(other))
        other.hold()
        held.append(other.controls())
    assert np.array_equal(held[0], held[1])
