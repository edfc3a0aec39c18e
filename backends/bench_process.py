"""The process of an emulated bench: `python -m aeqlab.backends.bench_process FOLDER`, with its settings in that folder."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aeqlab.backends.bench import Bench
from aeqlab.backends.bench_control import BenchControl
from aeqlab.backends.bench_file import BenchSettings
from aeqlab.backends.bench_link import FAILED, SERVED, SETTINGS
from aeqlab.backends.errors import BackendError

LOOK_S = 0.2
JOURNAL = "journal"


def main(argv: list[str] | None = None) -> int:
    """Run the bench that a folder describes; returns the exit code."""
    folder = Path((sys.argv[1:] if argv is None else argv)[0])
    asked = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    try:
        settings = BenchSettings.model_validate(asked["settings"])
        return run_bench(settings, Path(asked["base"]), folder / JOURNAL, linger_s=asked["linger_s"], ready=_written(folder))
    except (BackendError, ValueError, OSError) as exc:
        (folder / FAILED).write_text(f"{exc}\n", encoding="utf-8")
        return 2


def run_bench(
    settings: BenchSettings,
    base: Path,
    journal: Path | None,
    *,
    port: int = 0,
    linger_s: float | None = None,
    ready: Callable[[Bench, BenchControl], None],
) -> int:
    """Run a bench until Ctrl-C, SIGTERM, `stop`, or until its last client left.

    Args:
        settings, base, journal: as for `Bench`.
        port: of the control channel; 0: any that is free.
        linger_s: it ends so long after the last control client has left; None: it stays.
        ready: called once it is served.
    Raises:
        DeviceConfigError: it cannot be built or served.
    """
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with Bench(settings, base=base, journal=journal) as bench:
        control = BenchControl(bench, over.set, port)
        ready(bench, control)
        seen = time.monotonic()
        while not over.wait(LOOK_S):
            if control.clients or not control.served:
                seen = time.monotonic()
            elif linger_s is not None and time.monotonic() - seen > linger_s:
                break
        control.close()
    return 0


def _written(folder: Path) -> Callable[[Bench, BenchControl], None]:
    def ready(bench: Bench, control: BenchControl) -> None:
        told = {"control": control.address, "addresses": bench.addresses, "pid": os.getpid()}
        part = folder / f"{SERVED}.part"
        part.write_text(json.dumps(told), encoding="utf-8")
        part.replace(folder / SERVED)

    return ready


if __name__ == "__main__":
    sys.exit(main())
