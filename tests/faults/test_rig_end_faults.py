"""Ends that nobody planned: wires that are wrong before a loop closes, a full disk, an operator who wants it safe now."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import bench_of, open_rig, rig_tree
from struck import Struck, judged, make_safe_beside, trained
from test_rig_training_faults import every

from aeqlab.backends.bench_faults import Fault, begin
from aeqlab.backends.bench_judge import judge
from aeqlab.protocols import checkpoint
from aeqlab.protocols.errors import RecordError, RunFailedError
from aeqlab.protocols.experiment import load_values
from aeqlab.protocols.rig import Rig as Notebook
from aeqlab.protocols.session import Session

SMALL_V = 0.3  #: identification moves no knob further from where it stood
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "reversed knob": ({"kind": "cable", "instrument": "dac", "channel": "2", "gain": -1.0}, "u1"),
    "reversed readout": ({"kind": "cable", "instrument": "adc", "channel": "102", "gain": -1.0}, "1"),
    "swapped knobs": ({"kind": "swapped", "instrument": "dac", "channel": "2", "other": "4"}, "u1"),
    "swapped readouts": ({"kind": "swapped", "instrument": "adc", "channel": "101", "other": "105"}, "theta"),
    "knob out": ({"kind": "cable", "instrument": "dac", "channel": "3", "gain": 0.0}, "u2"),
    "readout out": ({"kind": "cable", "instrument": "adc", "channel": "103", "gain": 0.0}, "2"),
}


@pytest.mark.parametrize("what", [one if one == "swapped knobs" else pytest.param(one, marks=pytest.mark.slow) for one in WRONG])
def test_a_rig_that_is_wrongly_wired_is_refused_before_a_loop_is_closed_on_it(tmp_path: Path, what: str) -> None:
    fault, named = WRONG[what]
    with bench_of(journal=tmp_path / "journal") as bench, open_rig(bench) as rig:
        begin(bench, Fault.model_validate(fault))
        values = {
            "name": "wrong",
            "device": {"kind": "rig", "rig": rig_tree(bench)},
            "data": {"kind": "legendre", "degree": 2, "samples": 50},
            "homeostasis": {"controller": "quasi-static"},
            "sequence": [{"hold": {"seconds": 0.1}}],
        }
        loaded = load_values(values, tmp_path)
        with (
            Notebook(Session(rig), loaded, runs=tmp_path / "runs", quiet=True) as notebook,
            pytest.raises(RunFailedError) as caught,
        ):
            notebook.train(beta=0.2, samples=3, then="safe")
        assert named in caught.value.run.reason, caught.value.run.reason
        assert len(caught.value.run.steps["step"]) == 0
    found = judge(tmp_path / "journal", limit_V=SMALL_V, slew_V_per_s=10.0)
    assert found.wrong == ()


@pytest.mark.parametrize("phase", every("nudged phase"))
@pytest.mark.parametrize("way", ["safe", pytest.param("abort", marks=pytest.mark.slow)])
def test_an_operator_who_wants_it_safe_gets_it_in_every_phase(tmp_path: Path, way: str, phase: str) -> None:
    def want(rig: Struck) -> None:
        if way == "safe":
            make_safe_beside(rig, "enough", "Ada")
        else:
            rig.session.point_interrupt.__self__.requests.ask_abort("enough", by="Ada")  # type: ignore[union-attr]

    run, _, truth = trained(tmp_path, want, phase)
    assert run.state == "aborted", run.reason
    assert "enough" in run.reason
    judged(tmp_path, run)
    assert truth["i"][0] == 0.0
    used = np.asarray(run.steps["used"]).astype(bool)
    assert used[:2].all()
    np.testing.assert_array_less(np.asarray(run.steps["moved"], dtype=np.float64)[used], 0.08)


@pytest.mark.parametrize("phase", every("nudged hold"))
@pytest.mark.parametrize("what", ["record", pytest.param("checkpoint", marks=pytest.mark.slow)])
def test_a_disk_that_is_full_ends_the_run_safe_with_every_step_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, phase: str
) -> None:
    def fill(rig: Struck) -> None:
        session = rig.session.point_interrupt.__self__  # type: ignore[union-attr]
        if what == "record":
            [(pages,)] = session.record._connection.execute("PRAGMA page_count")
            session.record._connection.execute(f"PRAGMA max_page_count = {pages}")
        else:
            session._every_s = session._next_checkpoint = 0.0
            monkeypatch.setattr(checkpoint, "save", full)

    def full(*args: Any, **more: Any) -> None:
        raise RecordError(f"the disk is full: {os.strerror(errno.ENOSPC)}")

    run, _, truth = trained(tmp_path, fill, phase, samples=60)
    assert run.state == "failed", run.reason
    assert "disk is full" in run.reason
    judged(tmp_path, run)
    assert truth["i"][0] == 0.0
    steps = list(run.steps["step"])
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= 2
