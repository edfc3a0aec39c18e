"""Rigs on emulated benches in this process: small benches in lockstep, and rig files that fit them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.bench import Bench
from aeqlab.backends.bench_file import BenchSettings
from aeqlab.backends.description import Clock
from aeqlab.backends.rig import Rig
from aeqlab.backends.rig_bus import Bus
from aeqlab.backends.rig_file import RigFile
from aeqlab.backends.rig_plan import RigPlan, plan_of
from aeqlab.drivers.making import make_instrument

Array = NDArray[Any]


class BenchTime:
    """The clock of a bench in this process."""

    kind = Clock.VIRTUAL
    speed = 1.0

    def __init__(self, bench: Bench) -> None:
        self._bench, self._began = bench, bench.clock.now()

    def now(self) -> float:
        """Get the time, in s since the rig was opened."""
        return self._bench.clock.now() - self._began

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if seconds > 0.0:
            self._bench.spend(seconds)

    def close(self) -> None:
        """Nothing is to be let go."""


class KnowingRig(Rig):
    """A rig on a bench in this process, which knows its true parameters."""

    bench: Bench

    def true_parameters(self) -> Array:
        """Get theta without noise."""
        return np.array(self.bench.truth()["theta"])


def bench_of(
    kind: str = "boxes", *, frequencies: int = 3, profile: Any = "bench", journal: Path | None = None, **more: Any
) -> Bench:
    """Make a bench in this process; see `settings_of`."""
    return Bench(settings_of(kind, frequencies=frequencies, profile=profile, **more), journal=journal)


def settings_of(kind: str = "boxes", *, frequencies: int = 3, profile: Any = "bench", **more: Any) -> BenchSettings:
    """Describe a bench: `boxes` (QDAC-II, scanner, 2450) or a board on `tcp` or `serial`."""
    n = 2 * frequencies + 1
    physics = {"energy": "linear", "options": {"frequencies": frequencies}, "epsilon": 0.1}
    if kind == "boxes":
        instruments: dict[str, Any] = {"dac": {"kind": "qdac2"}, "adc": {"kind": "daq970a"}, "smu": {"kind": "keithley2450"}}
        wiring = {
            f"dac[1-{n}]": f"u[0-{n - 1}]", f"dac[{n + 1}]": "x[0]", f"adc[101-{100 + n}]": f"theta[0-{n - 1}]",
            f"adc[{101 + n}]": "s[0]", f"adc[{102 + n}]": "temperature", "smu[1]": "i[0]",
        }  # fmt: skip
    else:
        instruments = {"brd": {"kind": "board", "serve": kind, "outputs": n + 1, "inputs": n + 1, "range_V": 2.0}}
        wiring = {
            f"brd[1-{n}]": f"u[0-{n - 1}]", f"brd[{n + 1}]": "x[0]", f"brd[1001-{1000 + n}]": f"theta[0-{n - 1}]",
            f"brd[{1001 + n}]": "s[0]", "brd[2001]": "y[0]",
        }  # fmt: skip
    tree = {"physics": physics, "profile": profile, "clock": "lockstep", "instruments": instruments, "wiring": wiring}
    return BenchSettings.model_validate(tree | more)


def rig_tree(bench: Bench, realisation: str = "one-shot", **more: Any) -> dict[str, Any]:
    """Write the rig file of a bench that `bench_of` made, as plain values."""
    return tree_for(bench.addresses, bench.physics.counts["u"], realisation, **more)


def tree_for(a: dict[str, str], n: int, realisation: str = "one-shot", **more: Any) -> dict[str, Any]:
    """Write the rig file of a bench of n knobs with these addresses, as plain values."""
    if "brd" in a:
        instruments: dict[str, Any] = {"brd": {"driver": "board", "address": a["brd"], "average": 200, "when_silent": "holds"}}
        dac, adc, first, nudge = "brd", "brd", 1001, {"channels": "brd[2001]", "beta_max": 0.5, "beta_min": -0.5}
    else:
        instruments = {
            "dac": {"driver": "qdac2", "address": a["dac"], "when_silent": "holds"},
            "adc": {"driver": "daq970a", "address": a["adc"], "range_V": 10, "nplc": 1, "delay_s": 0, "when_silent": "holds"},
            "smu": {"driver": "keithley2450", "address": a["smu"], "source": "current", "source_range": 1e-3, "limit": 2.0},
        }  # fmt: skip
        dac, adc, first = "dac", "adc", 101
        nudge = {"channels": "smu[1]", "beta_max": 0.5, "force_per_unit": 1e-3, "limits_A": [-1e-3, 1e-3]}
        if realisation == "output-clamp":
            instruments["smu"] |= {"source": "voltage", "source_range": 2.0, "limit": 1.0}
            nudge = {"channels": "smu[1]", "beta_max": 1.0, "limits_V": [-2, 2]}
    tree: dict[str, Any] = {
        "name": "testrig",
        "instruments": instruments,
        "controls": {
            "names": f"u[0-{n - 1}]", "channels": f"{dac}[1-{n}]", "limits_V": [-1.5, 1.5], "absolute_V": [-1.9, 1.9],
            "slew_V_per_s": 10, "rest_V": 0,
        },
        "parameters": {"names": f"theta[0-{n - 1}]", "channels": f"{adc}[{first}-{first + n - 1}]", "limits_V": [-3, 3]},
        "inputs": [{"name": "z", "channel": f"{dac}{n + 1}", "limits_V": [-1, 1]}],
        "outputs": [{"name": "s", "channel": f"{adc}{first + n}"}],
        "nudge": {"realisation": realisation, **nudge},
        "tick_s": 0.05 if "brd" in a else 0.02 * (n + 1) + 0.02,
    }  # fmt: skip
    return tree | more


def plan_for(bench: Bench, realisation: str = "one-shot", **more: Any) -> RigPlan:
    """Work out the rig file of a bench."""
    return plan_of(RigFile.model_validate(rig_tree(bench, realisation, **more)), Path())


def open_rig(bench: Bench, realisation: str = "one-shot", *, folder: Path | None = None, **more: Any) -> KnowingRig:
    """Open a rig on a bench."""
    plan = plan_for(bench, realisation, **more)
    clock = BenchTime(bench)
    bus = Bus({name: make_instrument(spec, plan.uses[name], Path()) for name, spec in plan.specs.items()}, plan.order, clock.now)
    bus.open()
    try:
        rig = KnowingRig(plan, bus, clock, folder)
    except BaseException:
        bus.close()
        raise
    rig.bench = bench
    return rig


@contextmanager
def rig_on(
    kind: str = "boxes", realisation: str = "one-shot", *, bench: dict[str, Any] | None = None, **more: Any
) -> Iterator[KnowingRig]:
    """Open a rig on a bench of its own; both are closed afterwards."""
    with bench_of(kind, **(bench or {})) as made, open_rig(made, realisation, **more) as rig:
        assert isinstance(rig, KnowingRig)
        yield rig
