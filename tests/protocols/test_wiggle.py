"""Wiggling a knob: which readouts move with it, within limits, and always back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import HOLD, client_of, inputs_of, served, slow, targets_of

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import LimitError
from aeqlab.protocols.errors import AbortRequested, FrozenError, NotAllowedError
from aeqlab.protocols.session import Session
from aeqlab.protocols.wiggle import wiggle

sys.path.append(str(Path(__file__).parents[1] / "backends"))
from rig_helpers import rig_on, settings_of


def test_a_control_knob_moves_its_own_parameter_most_on_a_rig_that_nobody_identified() -> None:
    with rig_on() as rig, Session(rig, homeostasis=HOLD, who="ada") as session:
        found = wiggle(session, "control", 3, 0.1)
        assert (found.readouts[0].name, found.readouts[0].moves, found.back) == ("theta[3]", True, True)
        assert found.readouts[0].change == pytest.approx(0.2, rel=0.15)
        assert found.sentence.startswith("u3 moves theta[3]")
        assert abs(session.controls()[3]) < 1e-3
        assert [event.kind for event in session.events].count("knobs") == 0  # nobody had them


def test_a_swapped_cable_is_found_and_a_step_in_the_noise_moves_nothing() -> None:
    wiring = settings_of().wiring | {"dac[3]": "u[3]", "dac[4]": "u[2]"}
    wiring.pop("dac[1-7]", None)
    wiring |= {"dac[1-2]": "u[0-1]", "dac[5-7]": "u[4-6]"}
    with rig_on(bench={"wiring": wiring}) as rig, Session(rig, homeostasis=HOLD) as session:
        assert wiggle(session, "control", 2, 0.1).readouts[0].name == "theta[3]"
        still = wiggle(session, "control", 6, 1e-7)
        assert still.sentence == "u6: nothing that is read moved with it. It may be unconnected, or the step too small."
        assert still.back


def test_an_input_knob_moves_the_outputs() -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server) as client:
        n = len(client.info.inputs)
        x = np.zeros((1, n))
        client.present(x)
        client.set_controls(np.full(len(client.info.controls), 0.3))
        client.advance(1.0)
        found = wiggle(client, "input", 0, 0.5)
        assert [one.what for one in found.readouts[:1]] == ["output"]
        assert found.readouts[0].moves
        np.testing.assert_array_equal(client.watch().inputs, x)


@pytest.mark.parametrize(
    ("row", "knob", "size", "times", "kind", "said"),
    [
        ("control", 99, 0.1, 3, NotAllowedError, "indices from 0 to 6"),
        ("control", 0, -0.1, 3, NotAllowedError, "size above 0"),
        ("control", 0, 0.1, 0, NotAllowedError, "1 to 100 times"),
        ("control", 0, 5.0, 3, LimitError, "At most"),
    ],
)
def test_what_cannot_be_is_refused(row: Any, knob: int, size: float, times: int, kind: type[Exception], said: str) -> None:
    device = slow(Clock.VIRTUAL, control_limits=(-1.0, 1.0))
    with Session(device, homeostasis=HOLD) as session, pytest.raises(kind, match=said):
        wiggle(session, row, knob, size, times)


def test_neither_with_a_nudge_nor_without_the_token() -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server) as client, client_of(server, control=False) as other:
        client.present(inputs_of(client))
        client.advance()
        with pytest.raises(NotAllowedError, match="token"):
            wiggle(other, "control", 0, 0.1)
        client.nudge(targets_of(client), 0.1)
        with pytest.raises(NotAllowedError, match="nudge is on"):
            wiggle(client, "control", 0, 0.1)


def test_it_goes_back_when_it_is_left_and_not_out_of_a_freeze() -> None:
    with Session(slow(Clock.VIRTUAL), homeostasis=HOLD) as session:
        session.present(inputs_of(session))
        session.advance()
        before = session.controls()

        def leave(part: float) -> None:
            raise AbortRequested("enough")

        with pytest.raises(AbortRequested):
            wiggle(session, "control", 1, 0.2, progress=leave)
        np.testing.assert_allclose(session.controls(), before, atol=1e-3)
        with pytest.raises(FrozenError, match="smoke"):
            wiggle(session, "control", 1, 0.2, progress=lambda part: session.freeze("smoke"))
        assert session.controls()[1] == pytest.approx(before[1] + 0.2, abs=2e-3)
