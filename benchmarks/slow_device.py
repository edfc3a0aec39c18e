"""One tick of the slow device: inside a process, and over the socket of its own.

    python benchmarks/slow_device.py [repeats]

The ticks are those of a training step of the paper's regression: 25 in which every knob moves, 15 in which they stand
still under a nudge. The floor is the exchange alone: a question that the plant answers from memory.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _bench import Bench, repeats_from

from aeqlab.backends.plant_link import PlantLink, end_plant, start_plant
from aeqlab.backends.slow import SlowDevice
from aeqlab.backends.slow_settings import SlowSettings

TICKS = 2000


def ticks(device: SlowDevice) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    inputs, knobs = rng.uniform(-1, 1, (TICKS, 1, 1)), 0.3 + 0.005 * rng.normal(size=(TICKS, 21))

    def run() -> None:
        for i in range(TICKS):
            phase = i % 40
            if phase == 0:
                device.release()
                device.present(inputs[i])
            if phase < 25:
                device.set_controls(knobs[i])
            elif phase == 25:
                device.nudge(inputs[i], 0.1)
            device.advance()

    return run


def asked(link: PlantLink) -> Callable[[], None]:
    def run() -> None:
        for _ in range(TICKS):
            link.truth()

    return run


def main() -> None:
    settings = SlowSettings(energy="linear", epsilon=0.1)
    bench = Bench("one tick of the slow device, 21 knobs")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        handle = start_plant(settings, seed=1, base=base, folder=base / "plant")
        link = PlantLink.connect(Path(handle.address))
        far, near = SlowDevice(link), settings.open(seed=1, base=base)
        journalled = settings.open(seed=1, base=base, journal=base / "journal")
        bench.compare(
            ("an exchange that moves nothing", asked(link)),
            ("a tick, inside", ticks(near), "300 us"),
            ("a tick, inside, with its journal", ticks(journalled), ""),
            ("a tick, over the socket, with its journal", ticks(far), ""),
            repeats=repeats_from(sys.argv, 5),
            per=TICKS,
        )
        far.close()
        journalled.close()
        end_plant(Path(handle.address))
    bench.show()


if __name__ == "__main__":
    main()
