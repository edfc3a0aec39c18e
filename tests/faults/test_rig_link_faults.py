"""Links that do not come back at once: boxes with two sockets that keep a dead one, boards that are reset by being opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from struck import PHASES, Struck, trained
from test_rig_training_faults import INSTRUMENTS, every, went_on

from aeqlab.backends.bench_faults import Fault, begin

KEEPS_S = 20.0


def boxes(keeps: str) -> dict[str, Any]:
    """Let one box of the bench have two sockets, and keep dead links."""
    kinds: dict[str, dict[str, Any]] = {"dac": {"kind": "qdac2"}, "adc": {"kind": "daq970a"}, "smu": {"kind": "keithley2450"}}
    kinds[keeps] |= {"sockets": 2, "keeps_dead_s": KEEPS_S}
    return {"instruments": kinds}


@pytest.mark.parametrize("phase", every("nudged phase"))
@pytest.mark.parametrize("name", [one if one == "adc" else pytest.param(one, marks=pytest.mark.slow) for one in INSTRUMENTS])
def test_a_box_that_keeps_dead_links_is_tried_until_it_lets_go(tmp_path: Path, name: str, phase: str) -> None:
    def drop_both(rig: Struck) -> None:
        dropped = Fault(kind="dropped", instrument=name)
        begin(rig.bench, dropped)
        rig.bench.served[name]._dead *= 2  # type: ignore[union-attr]  # another program's link, that broke with the first

    run, rig, _ = trained(tmp_path, drop_both, phase, bench=boxes(name), lost_after_s=90.0)
    went_on(tmp_path, run)
    said = next(text for text in run.events["text"] if "it answers again after" in text)
    away_s = float(said.split("it answers again after ")[1].split(" s")[0])
    assert KEEPS_S - 1.0 <= away_s <= KEEPS_S + 8.0  # what the last pause between two attempts is worth
    assert any(alarm.kind == "comms" for alarm in rig.session.alarms.all())


def test_a_box_with_a_socket_left_is_opened_at_once(tmp_path: Path) -> None:
    run, _, _ = trained(tmp_path, {"kind": "dropped", "instrument": "adc"}, "nudged hold", bench=boxes("adc"))
    went_on(tmp_path, run)
    said = next(text for text in run.events["text"] if "it answers again after" in text)
    assert float(said.split("it answers again after ")[1].split(" s")[0]) < 5.0


def test_a_box_that_never_lets_go_is_lost_with_the_reason(tmp_path: Path) -> None:
    def drop_both(rig: Struck) -> None:
        begin(rig.bench, Fault(kind="dropped", instrument="adc"))
        rig.bench.served["adc"]._dead *= 2  # type: ignore[union-attr]

    run, _, truth = trained(tmp_path, drop_both, "nudged hold", bench=boxes("adc"), lost_after_s=5.0)
    assert run.state == "failed"
    assert "adc did not answer for 5 s" in run.reason
    assert truth["i"][0] == 0.0
    assert max(abs(u) for u in truth["u"]) < 0.01


BOARD = {
    "kind": "serial",
    "instruments": {
        "brd": {"kind": "board", "serve": "serial", "outputs": 8, "inputs": 8, "range_V": 5.0, "resets_when_opened": True}
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", [{"kind": "mute"}, {"kind": "deaf"}, {"kind": "rebooted"}], ids=lambda fault: fault["kind"])
def test_a_board_that_is_reset_by_being_opened_is_armed_again(tmp_path: Path, fault: dict[str, Any], phase: str) -> None:
    run, _, _ = trained(tmp_path, {"instrument": "brd", **fault}, phase, 1, bench=BOARD, realisation="coupling")
    went_on(tmp_path, run)
    assert any("it was off meanwhile" in text for text in run.alarms["text"])
    assert any("it was armed again" in text for text in run.events["text"])
