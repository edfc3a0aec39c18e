"""The command `bench`: an emulated bench, served on loopback until Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path

from aeqlab.app.exits import ExitCode
from aeqlab.backends.bench import Bench
from aeqlab.backends.bench_control import BenchControl
from aeqlab.backends.bench_process import run_bench
from aeqlab.protocols.bench_loading import load_bench


def serve_bench(source: str, overrides: tuple[str, ...], *, journal: Path | None, port: int, linger_s: float | None) -> int:
    """Serve a bench until it is told to end; returns the exit code."""
    loaded = load_bench(source, overrides)

    def ready(bench: Bench, control: BenchControl) -> None:
        print(f"{source}: {bench.settings.clock} clock" + _speed(bench) + ". Instruments:")
        width = max(map(len, bench.addresses))
        for name, address in bench.addresses.items():
            print(f"  {name:{width}}  {bench.settings.instruments[name].kind:13}  {address}")
        print(f"In a rig file:  bench: {control.address!r}\nCtrl-C ends it.")
        sys.stdout.flush()

    run_bench(loaded.settings, loaded.base, journal, port=port, linger_s=linger_s, ready=ready)
    return ExitCode.OK


def _speed(bench: Bench) -> str:
    settings = bench.settings
    return f", {settings.speed:g} times as fast" if settings.clock == "wall" and settings.speed != 1 else ""
