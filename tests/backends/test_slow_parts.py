"""The parts of a slow device by themselves: converter, motion, readings, journal."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aeqlab.backends import journal as rows
from aeqlab.backends.dac import Dac
from aeqlab.backends.device import Flag
from aeqlab.backends.errors import DivergedError
from aeqlab.backends.frames import Past, Reader
from aeqlab.backends.integration import integrate
from aeqlab.backends.journal import JournalError, JournalWriter, read_journal
from aeqlab.backends.modes import CELLS, Modes

Array = NDArray[np.float64]
HEADER = {"device": "test", "knobs": ["u0", "u1"], "inputs": ["z"], "unit": "V", "slew_per_s": 10.0}


def dac(n: int = 3, *, bits: int = 16, slew: float = 10.0, filter_s: float = 0.01) -> Dac:
    step = 20 / 2**bits if bits else 0.0
    return Dac(np.full(n, -10.0), np.full(n, 10.0), np.zeros(n), step=step, slew_per_s=slew, filter_s=filter_s)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    st.sampled_from([0.0, 0.002, 0.05]),
    st.sampled_from([0.5, 10.0, 1e9]),
    st.lists(st.floats(1e-4, 2.0), min_size=1, max_size=6),
)
def test_path_is_the_same_however_time_is_cut(setpoints: list[float], filter_s: float, slew: float, pieces: list[float]) -> None:
    at_once, in_pieces = dac(filter_s=filter_s, slew=slew), dac(filter_s=filter_s, slew=slew)
    at_once.set(np.array(setpoints))
    in_pieces.set(np.array(setpoints))
    at_once.move(sum(pieces))
    for dt in pieces:
        in_pieces.move(dt)
    assert np.allclose(at_once.output, in_pieces.output, atol=1e-9)
    assert np.allclose(at_once.filtered, in_pieces.filtered, atol=2e-3 * at_once.step + 1e-9)


def test_path_solves_the_filter_behind_the_ramp() -> None:
    converter = dac(filter_s=0.03, slew=4.0)
    converter.set(np.array([1.0, -0.5, 0.0]))
    times = np.linspace(0, 0.5, 20_001)
    path = converter.path(times)
    ramp = np.sign(converter.setpoint) * np.minimum(np.abs(converter.setpoint), 4.0 * times[:, None])
    by_steps = np.zeros(3)
    dt = times[1]
    for i in range(len(times) - 1):
        by_steps = by_steps + dt / 0.03 * ((ramp[i] + ramp[i + 1]) / 2 - by_steps)
    assert np.allclose(path[-1], by_steps, atol=1e-4)
    assert np.abs(np.diff(path, axis=0)).max() <= 4.0 * dt * (1 + 1e-9)


def test_codes_stay_within_limits_that_are_no_codes() -> None:
    low, high = np.array([-1.2345]), np.array([1.2345])
    converter = Dac(low, high, np.zeros(1), step=0.1, slew_per_s=1.0, filter_s=0.0)
    assert converter.quantised(high) == pytest.approx([1.2])
    assert converter.quantised(low) == pytest.approx([-1.2])
    assert converter.quantised(np.array([0.26])) == pytest.approx([0.3])


def test_hold_stops_on_the_way() -> None:
    converter = dac(slew=1.0, filter_s=0.0)
    converter.set(np.array([2.0, -2.0, 0.001]))
    converter.move(0.5)
    assert converter.slewing
    converter.hold()
    assert converter.setpoint == pytest.approx([0.5, -0.5, 0.001], abs=converter.step)
    converter.move(10.0)
    assert np.array_equal(converter.output, converter.setpoint)


def test_integration_follows_a_stiff_linear_system() -> None:
    rates = np.array([400.0, 20.0, 1.0])
    u = np.array([[1.0, 2.0, 3.0]])
    _, times, path, slopes = integrate(lambda z, u: rates * (u - z), u, np.zeros(3), 0.3, 1e-3, lambda z: z)
    assert (times[0], times[-1]) == (0, 0.3)
    exact = u * (1 - np.exp(-times[:, None] * rates))
    assert np.abs(path - exact).max() < 0.01
    assert np.allclose(slopes[-1], rates * (u[0] - path[-1]))
    assert len(times) < 120  # the stiffest mode sets the step only while it moves, and for stability


def test_integration_ends_at_rest_where_the_force_ends() -> None:
    h, z = 1e-3, np.array([1.0, -1.0])
    for _ in range(200):
        h, _, path, _ = integrate(lambda z, u: 100 * (u - z) - 5 * z**3, np.array([[0.3, 0.1]]), z, 0.02, h, lambda z: z)
        z = path[-1]
    assert np.abs(100 * (np.array([0.3, 0.1]) - z) - 5 * z**3).max() < 1e-6


def test_integration_reports_a_run_away() -> None:
    with pytest.raises(DivergedError, match="ran away"):
        integrate(lambda z, u: z**2 + u, np.ones((1, 1)), np.ones(1), 10.0, 1e-3, lambda z: z)


def test_modes_move_as_the_integration_does() -> None:
    rng = np.random.default_rng(3)
    n, knobs = 7, 5
    root = rng.normal(size=(n, n))
    hessian = root @ root.T + np.eye(n)
    mobility = rng.uniform(1, 30, n)
    driven = rng.uniform(1, 5, knobs)
    pull = rng.normal(size=n)
    z0 = rng.normal(size=n)
    drive = np.linspace(0, 1, CELLS + 1)[:, None] * rng.normal(size=knobs)

    def rate(z: Array, u: Array) -> Array:
        force = mobility * (pull - hessian @ z)
        force[-knobs:] += driven * u
        return force

    path, slopes = Modes(hessian, mobility, driven).move(z0, pull, drive, 0.4)
    z = z0
    by_steps = [z0]
    for i in range(CELLS):
        for piece in range(200):
            ends = drive[i] + (drive[i + 1] - drive[i]) * np.array([[piece / 200], [(piece + 1) / 200]])
            z = integrate(rate, ends, z, 0.4 / CELLS / 200, 1.0, lambda z: z)[2][-1]
        by_steps.append(z)
    assert np.allclose(path, by_steps, atol=1e-7)
    assert np.allclose(slopes[-1], rate(path[-1], drive[-1]), atol=1e-6)
    still, _ = Modes(hessian, mobility, driven).move(z0, pull, drive[:1], 0.4)
    spread, _ = Modes(hessian, mobility, driven).move(z0, pull, np.repeat(drive[:1], CELLS + 1, axis=0), 0.4)
    assert np.allclose(still, spread, atol=1e-12)


def test_modes_follow_a_direction_without_any_restoring_force() -> None:
    path, _ = Modes(np.zeros((2, 2)), np.ones(2), np.array([2.0])).move(np.zeros(2), np.array([1.0, 0.0]), np.array([[0.5]]), 3.0)
    assert path[-1] == pytest.approx([3.0, 3.0])


def test_past_is_the_cubic_through_values_and_slopes() -> None:
    past = Past(10.0)
    t = np.array([0.0, 0.7, 2.0])
    past.add(t, (t**3 - t)[:, None], (3 * t**2 - 1)[:, None])
    for at in (0.0, 0.1, 0.7, 1.3, 2.0):
        assert past.at(at) == pytest.approx([at**3 - at], abs=1e-12)
    assert past.at(-1.0) == pytest.approx([0.0])
    assert past.at(9.0) == pytest.approx([6.0])


def test_first_frame_is_never_missing() -> None:
    past = Past(1.0)
    past.add(np.zeros(1), np.ones((1, 2)), np.zeros((1, 2)))
    for seed in range(20):
        reader = Reader(np.zeros(2), dead_time_s=0.0, stale_rate=0.49, lost_rate=0.49, seed=seed)
        frame = reader.read(0.0, past, np.arange(2))
        assert frame.flags == Flag.NONE
        assert np.array_equal(frame.values, [1.0, 1.0])


# the journal -----------------------------------------------------------------------------------------------------------


def test_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "j", HEADER)
    writer.event("start", 0.0, seed=3)
    for i in range(5):
        writer.write(rows.SETPOINT, 0.1 * i, np.array([i, -i], dtype=float))
        writer.write(rows.APPLIED, 0.1 * i + 0.05, np.array([0.9 * i, -0.5 * i]))
    writer.write(rows.INPUT, 0.2, np.array([0.7]))
    journal = read_journal(tmp_path / "j")  # while it is open
    assert journal.header["knobs"] == ["u0", "u1"]
    assert journal.setpoints.values.tolist() == [[i, -i] for i in range(5)]
    assert journal.applied.t == pytest.approx(0.05 + 0.1 * np.arange(5))
    assert journal.inputs.values.tolist() == [[0.7]]
    assert journal.largest() == pytest.approx([3.6, 2.0])
    assert journal.fastest() == pytest.approx([9.0, 5.0])
    assert journal.happened("start")[0].details == {"seed": 3}
    assert np.array_equal(journal.setpoints.number, [2, 4, 6, 8, 10])
    assert (np.diff(journal.setpoints.wall_ns) >= 0).all()
    last = journal.last_setpoints()
    assert last is not None
    assert last.tolist() == [4, -4]
    writer.close()


def test_journal_says_when_the_nudge_was_off(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, HEADER)
    for beta in (0.0, 0.1, 0.1, 0.0, -0.1):
        writer.write(rows.NUDGE, 0.0, np.array([beta, 1.0]))
    writer.close()
    journal = read_journal(tmp_path)
    times = journal.nudges.wall_ns.tolist()
    assert journal.nudges.values[:, 0].tolist() == [0.0, 0.1, 0.1, 0.0, -0.1]
    assert journal.nudge_off_after(times[0]) == times[0]
    assert journal.nudge_off_after(times[1]) == times[3]
    assert journal.nudge_off_after(times[3]) == times[3]
    assert journal.nudge_off_after(times[4]) is None
    assert journal.last_beta() == -0.1


@pytest.mark.parametrize("torn", [1, 20, 33, 40])
def test_journal_ignores_a_torn_last_row(tmp_path: Path, torn: int) -> None:
    writer = JournalWriter(tmp_path, HEADER)
    for i in range(3):
        writer.write(rows.SETPOINT, float(i), np.array([i, i], dtype=float))
    writer.close()
    piece = next(tmp_path.glob("journal-*.bin"))
    os.truncate(piece, piece.stat().st_size - torn)
    assert read_journal(tmp_path).setpoints.values[:, 0].tolist() == [0, 1]


def test_journal_is_bounded_and_every_piece_stands_alone(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, HEADER, piece_bytes=4096, keep=3)
    writer.write(rows.NUDGE, 0.0, np.array([0.25, 1.0]))
    for i in range(2000):
        writer.write(rows.APPLIED, float(i), np.array([i, i], dtype=float))
    writer.close()
    pieces = sorted(tmp_path.glob("journal-*.bin"))
    assert len(pieces) == 3
    assert sum(piece.stat().st_size for piece in pieces) < 3 * 4096 + 400
    for piece in pieces:
        assert read_journal(piece).last_beta() == 0.25
    assert read_journal(tmp_path).applied.values[-1, 0] == 1999
    again = JournalWriter(tmp_path, HEADER)  # a second plant in the same folder goes on, it does not overwrite
    again.close()
    assert read_journal(tmp_path).applied.values[-1, 0] == 1999


def test_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal"):
        read_journal(tmp_path)
    (tmp_path / "journal-000001.bin").write_bytes(b'{"format": "notes"}\n')
    with pytest.raises(JournalError, match="aeqlab-journal-1"):
        read_journal(tmp_path)
    (tmp_path / "journal-000001.bin").write_bytes(b"\xff\x00\n")
    with pytest.raises(JournalError, match="first line"):
        read_journal(tmp_path)
