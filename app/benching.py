"""The command `bench`: an emulated bench, served on loopback until Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from aeqlab.app.exits import ExitCode, say
from aeqlab.backends.bench import Bench
from aeqlab.backends.bench_control import BenchControl
from aeqlab.backends.bench_process import run_bench
from aeqlab.protocols.bench_loading import load_bench


def serve_bench(
    source: str, overrides: tuple[str, ...], *, journal: Path | None, port: int, linger_s: float | None, rig: Path | None = None
) -> int:
    """Serve a bench until it is told to end, and write the rig file that goes with it if wanted; returns the exit code."""
    loaded = load_bench(source, overrides)
    text = None if rig is None else rig_text(source)
    if rig is not None and (text is None or rig.exists()):
        said = "is there already. Choose another name." if text else f"{source} has no rig file of its own: bench-16 has one."
        say(f"--rig {rig}: {said}")
        return ExitCode.BAD_INPUT

    def ready(bench: Bench, control: BenchControl) -> None:
        print(f"{source}: {bench.settings.clock} clock" + _speed(bench) + ". Instruments:")
        width = max(map(len, bench.addresses))
        for name, address in bench.addresses.items():
            print(f"  {name:{width}}  {bench.settings.instruments[name].kind:13}  {address}")
        if rig is not None and text is not None:
            rig.write_text(filled(text, bench.addresses, control.address), encoding="utf-8")
            print(f"Its rig file:  {rig}")
        print(f"In a rig file:  bench: {control.address!r}\nCtrl-C ends it.")
        sys.stdout.flush()

    run_bench(loaded.settings, loaded.base, journal, port=port, linger_s=linger_s, ready=ready)
    return ExitCode.OK


def rig_text(name: str) -> str | None:
    """Get the rig file of a bench that ships with aeqlab, with names where its addresses go; None where there is none."""
    file = resources.files("aeqlab.protocols.presets") / f"{Path(name).name}.rig.yaml"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def filled(text: str, addresses: Mapping[str, str], control: str) -> str:
    """Put the addresses of instruments and that of the bench itself into a rig file."""
    for name, address in {**addresses, "bench": control}.items():
        text = text.replace("{" + name + "}", address)
    return text


def _speed(bench: Bench) -> str:
    settings = bench.settings
    return f", {settings.speed:g} times as fast" if settings.clock == "wall" and settings.speed != 1 else ""
