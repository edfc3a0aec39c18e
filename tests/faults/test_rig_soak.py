"""Nights in lockstep: training goes on for simulated hours while a random fault comes every hour, and nobody has to see to it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import bench_of, open_rig, rig_tree

from aeqlab.backends.bench_faults import AT_ONCE, Fault, begin, end
from aeqlab.backends.bench_judge import judge
from aeqlab.protocols.conformance import identified_first
from aeqlab.protocols.experiment import load_values
from aeqlab.protocols.load import load_run
from aeqlab.protocols.rig import Rig as Notebook
from aeqlab.protocols.session import Session

HOUR_S = 3600.0
KINDS: list[dict[str, Any]] = [
    {"kind": "late", "seconds": 1.2},
    {"kind": "garbled"},
    {"kind": "short"},
    {"kind": "mute"},
    {"kind": "dropped"},
    {"kind": "rebooted"},
]
LASTS_S = 0.5
OF_FAULTS = ("comms", "disturbed", "not held")  #: what these faults may raise; any other alarm is a false one


def megabytes() -> float:
    """Get the memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize(
    ("hours", "night", "nplc"),
    [
        pytest.param(0.5, 0, 1, marks=pytest.mark.slow),
        pytest.param(10.0, 0, 1, marks=pytest.mark.soak),
        # a hundred hours, in nights that can run side by side, with a scanner that integrates so many line cycles
        pytest.param(25.0, 1, 1, marks=pytest.mark.soak),
        pytest.param(25.0, 2, 1, marks=pytest.mark.soak),
        pytest.param(25.0, 3, 2, marks=pytest.mark.soak),
        pytest.param(25.0, 4, 10, marks=pytest.mark.soak),
    ],
)
@pytest.mark.timeout(10 * 3600)
def test_a_night_needs_nobody(tmp_path: Path, hours: float, night: int, nplc: int) -> None:
    rng = np.random.default_rng([int(10 * hours), night])
    with bench_of(journal=tmp_path / "journal", seed=7 + night) as bench:
        parts = rig_tree(bench)["instruments"]
        tick_s = 0.02 * nplc * (bench.physics.counts["u"] + 1) + 0.02
        timeout_s = max(1.0, 1.5 * tick_s)
        slower = {"instruments": parts | {"adc": parts["adc"] | {"nplc": nplc, "timeout_s": timeout_s}}, "tick_s": tick_s}
        device = open_rig(bench, lost_after_s=60.0, **slower)
        identified_first(device)
        session = Session(device)
        z = rng.uniform(-1, 1, 200)
        rows = zip(z, 0.3 + 0.4 * np.sin(np.pi * z) - 0.2 * np.cos(2 * np.pi * z), strict=True)  # knobs within 0.5 V can do that
        (tmp_path / "data.csv").write_text("z,s\n" + "".join(f"{float(x)!r},{float(y)!r}\n" for x, y in rows), encoding="utf-8")
        values = {
            "name": "night", "device": {"kind": "rig", "rig": rig_tree(bench, **slower)},
            "data": {"kind": "table", "path": "data.csv", "inputs": ["z"], "targets": ["s"]},
            "homeostasis": {"controller": "quasi-static"}, "sequence": [{"hold": {"seconds": 0.1}}],
        }  # fmt: skip
        every_s = HOUR_S if hours >= 10 else 300.0
        due, over = every_s * rng.uniform(0.2, 1.0), np.inf
        struck: list[str] = []
        running: Fault | None = None
        inner = device._advance

        def advance(seconds: float | None) -> Any:
            nonlocal due, over, running
            now = bench.clock.now()
            if now >= due:
                due = now + every_s
                kind = dict(KINDS[int(rng.integers(len(KINDS)))])
                if "seconds" in kind:
                    kind["seconds"] *= timeout_s
                running = Fault.model_validate({"instrument": ["dac", "adc", "smu"][int(rng.integers(3))], **kind})
                struck.append(f"{running.kind} {running.instrument}")
                begin(bench, running)
                over = now + LASTS_S if running.kind not in AT_ONCE else np.inf
            elif now >= over and running is not None:
                end(bench, running)
                over = np.inf
            return inner(seconds)

        device._advance = advance  # type: ignore[method-assign]
        used = total = 0
        false: list[str] = []
        memory = 0.0
        with Notebook(session, load_values(values, tmp_path), runs=tmp_path / "runs", quiet=True) as notebook:
            began = bench.clock.now()
            while bench.clock.now() - began < hours * HOUR_S:
                run = notebook.train(beta=0.2, samples=200, then="hold")
                record = load_run(run.path)
                steps = record.steps
                false += [str(name) for name in record.alarms["name"] if name not in OF_FAULTS]
                flags = np.asarray(steps["used"]).astype(bool)
                used, total = used + int(flags.sum()), total + len(flags)
                errors = np.asarray(steps["hold_true_error"], dtype=np.float64)[flags]
                assert np.mean(errors > 1.0) <= 1e-3 + 1.0 / len(errors)
                memory = memory or megabytes()
            notebook.make_safe("the night is over")
        assert len(struck) >= hours * HOUR_S / every_s - 1
        assert used >= 0.95 * (total - 2 * len(struck)), (used, total, struck)
        assert megabytes() - memory < 30.0 + 1.0 * hours
        loud = [alarm for alarm in session.alarms.all() if alarm.kind not in OF_FAULTS]
        assert len(loud) <= max(1.0, hours / 12.0), loud
        assert len(false) <= max(1.0, hours / 12.0), false
    assert judge(tmp_path / "journal", limit_V=1.5, slew_V_per_s=10.0).wrong == ()
