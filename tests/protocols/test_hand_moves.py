"""Knobs moved by hand: some of them, no faster than their slew, taken over for all to see, left where they are by an abort."""

from __future__ import annotations

import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from session_helpers import HOLD, SETTLE, client_of, eventually, inputs_of, served, simulated, slow

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import LimitError
from aeqlab.protocols.errors import AbortRequested, FrozenError, NotAllowedError
from aeqlab.protocols.session import Session

sys.path.append(str(Path(__file__).parents[1] / "backends"))
from rig_helpers import rig_on

QUIET = {"noise_V": 1e-5, "drift_V": 0.0, "stale_rate": 0.0, "lost_rate": 0.0}


def test_some_knobs_move_and_the_others_stay_no_faster_than_slew() -> None:
    with Session(slow(Clock.VIRTUAL, slew_V_per_s=1.0, **QUIET), homeostasis=HOLD, settling=SETTLE, who="ada") as session:
        before = session.controls()
        seen: list[tuple[float, np.ndarray]] = []
        session.point_interrupt = lambda: seen.append(
            (session.device.newest.t if session.device.newest else 0.0, session.controls())
        )
        moved = session.move_knobs("control", [1, 4], [0.3, -0.2])
        assert moved.reached
        assert moved.names == ("u1", "u4")
        np.testing.assert_allclose(session.controls()[[1, 4]], [0.3, -0.2], atol=1e-3)
        others = [0, 2, 3, 5, 6]
        np.testing.assert_allclose(session.controls()[others], before[others], atol=1e-3)
        assert moved.seconds >= 0.3 - 0.01
        for (t0, u0), (t1, u1) in pairwise(seen):
            assert np.abs(u1 - u0).max() <= 1.0 * (t1 - t0) + 1e-3
        assert session.owners() == ("nobody", "ada", "nobody", "nobody", "ada", "nobody", "nobody")


def test_it_takes_the_knobs_from_the_loop_visibly() -> None:
    with Session(slow(Clock.VIRTUAL, **QUIET), homeostasis=HOLD, settling=SETTLE, who="ada") as session:
        session.present(inputs_of(session))
        session.hold(np.zeros(session.info.n_parameters))
        assert session.owners() == ("loop",) * 7
        session.move_knobs("control", [2], [0.1])
        assert session.status().knobs == "ada"
        assert "ada took the control knobs over from the homeostatic loop, to move u2" in [e.text for e in session.events]
        session.hold()
        assert session.owners() == ("loop",) * 7


def test_input_knobs_move_too() -> None:
    with Session(simulated(), homeostasis=HOLD, settling=SETTLE) as session:
        n = len(session.info.inputs)
        moved = session.move_knobs("input", [n - 1], [0.4])
        assert (moved.reached, moved.after) == (True, None)
        assert session.inputs is not None
        np.testing.assert_allclose(session.inputs[0], [*session.info.inputs.rest[:-1], 0.4])


@pytest.mark.parametrize(
    ("row", "knobs", "values", "said"),
    [
        ("control", [99], [0.0], "indices from 0 to 6"),
        ("control", [1, 1], [0.0, 0.0], "each once"),
        ("control", [], [], "indices"),
        ("control", [0], [0.0, 1.0], "one finite number"),
        ("control", [0], [float("nan")], "one finite number"),
        ("target", [0], [0.0], "no 'target'"),
    ],
)
def test_what_cannot_move_is_refused(row: str, knobs: list[int], values: list[float], said: str) -> None:
    with Session(slow(Clock.VIRTUAL), homeostasis=HOLD) as session:
        for call in (session.move_knobs, session.large_jump):
            with pytest.raises(NotAllowedError, match=said):
                call(row, knobs, values)  # type: ignore[arg-type]


def test_a_limit_is_said_and_nothing_moves() -> None:
    with rig_on() as rig, Session(rig, homeostasis=HOLD, who="ada") as session:
        session.move_knobs("control", [0], [0.2])
        before = session.controls()
        with pytest.raises(LimitError, match=r"u3: 1.6 V is outside -1.5 to 1.5 V"):
            session.move_knobs("control", [0, 3], [0.1, 1.6])
        np.testing.assert_array_equal(session.controls(), before)


def test_on_a_rig_the_outputs_are_where_they_were_told_and_others_as_they_stood() -> None:
    with rig_on() as rig, Session(rig, homeostasis=HOLD, who="ada") as session:
        moved = session.move_knobs("control", [2], [0.5])
        assert moved.reached
        assert moved.after == pytest.approx([0.5], abs=1e-6)
        assert np.abs(session.controls()[[0, 1, 3]]).max() < 1e-6
        jump = session.large_jump("control", [2], [0.55])
        assert (jump.large, jump.share) == (False, pytest.approx(0.05 / 3))
        jump = session.large_jump("control", [2], [-1.0])
        assert jump.large
        assert jump.seconds == pytest.approx(0.15)
        assert jump.sentence == "u2: from 0.5 to -1 V, 50% of its range, 0.15 s at 10 V/s."


def test_an_abort_leaves_them_where_they_came_to_and_a_freeze_too() -> None:
    device = slow(Clock.WALL, slew_V_per_s=0.1, **QUIET)
    with served(device) as server, client_of(server) as client, client_of(server, "other", control=False) as other:
        client.present(inputs_of(client))
        client.advance()
        for stop, error in ((other.abort, AbortRequested), (other.freeze, FrozenError)):
            caught: list[BaseException] = []
            goal = client.controls()[0] + 0.2
            worker = threading.Thread(target=_move, args=(client, goal, caught))
            worker.start()
            eventually(lambda: other.status().doing == "move knobs")
            stop("enough")
            worker.join(5)
            assert isinstance(caught[0], error)
            assert client.controls()[0] < goal - 0.1
            client.continue_()


def _move(client: object, goal: float, caught: list[BaseException]) -> None:
    try:
        client.move_knobs("control", [0], [goal])  # type: ignore[attr-defined]
    except Exception as exc:
        caught.append(exc)


def test_only_the_client_with_the_token_moves() -> None:
    with served(simulated()) as server, client_of(server) as first, client_of(server, "second", control=False) as second:
        with pytest.raises(NotAllowedError, match="token"):
            second.move_knobs("control", [0], [0.1])
        assert first.move_knobs("control", [0], [0.1]).reached
        assert second.large_jump("control", [0], [0.2]).sentence
