"""The control laws at 4,096 knobs, and the hold loop around them at the paper's 21.

    python benchmarks/control_law.py [repeats]

The floor of the laws is the same number of bare numpy multiply-adds (u + Ki e) on arrays of the same size; that of the loop is
a device that answers at once, read the same number of times.
"""

from __future__ import annotations

import sys

import numpy as np
from _bench import Bench, repeats_from

from aeqlab.backends.device import ControlResponse, Device, DeviceInfo, ParameterBlock, Readout, SafetyReport, channels, knobs
from aeqlab.protocols.controllers import make_controller
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.homeostasis import hold

KNOBS, TICKS = 4096, 500


def describe(n: int, tick_s: float | None = 0.001) -> DeviceInfo:
    rng = np.random.default_rng(1)
    lag = np.full(n, 0.05) if tick_s is None else rng.uniform(0.03, 0.07, n)
    names = tuple(f"u{k}" for k in range(n))
    return DeviceInfo(
        kind="bench",
        name="benchmark",
        inputs=knobs(("x",)),
        controls=knobs(names, low=-10.0, high=10.0),
        outputs=channels(("s",)),
        parameters=(ParameterBlock("theta", (n,), 0),),
        beta=(-1.0, 1.0),
        tick_s=tick_s,
        response=ControlResponse(np.ones(n), lag, np.full(n, 0.0 if tick_s is None else 0.01)),
    )


class Echo(Device):
    """A device that costs nothing: it answers at once with the same readout."""

    def __init__(self, n: int) -> None:
        self._info = describe(n, None)  # it chooses its ticks, as in section 5.1
        self._presented = 1
        self._answer = Readout(0.0, 0.001, np.zeros((1, 1)), np.zeros(n), np.zeros(1), np.zeros(n))

    @property
    def info(self) -> DeviceInfo:
        return self._info

    def _present(self, inputs: np.ndarray) -> None: ...

    def _set_controls(self, u: np.ndarray) -> None: ...

    def _controls(self) -> np.ndarray:
        return np.zeros(len(self._info.controls))

    def _nudge(self, targets: np.ndarray, beta: float) -> None: ...

    def _release(self) -> None: ...

    def _advance(self, seconds: float | None) -> Readout:
        return self._answer

    def _freeze(self) -> None: ...

    def _make_safe(self) -> SafetyReport:
        return SafetyReport()


def main() -> None:
    repeats = repeats_from(sys.argv, 15)
    rng = np.random.default_rng(2)
    u, e, ki, theta = (rng.normal(size=KNOBS) * 1e-3 for _ in range(4))
    size = float(e @ e)

    def floor() -> None:
        v = u
        for _ in range(TICKS):
            v = v + ki * e

    def law(name: str) -> object:
        controller = make_controller(HomeostasisSettings(controller=name), describe(KNOBS))  # type: ignore[arg-type]
        controller.prepare()
        controller.start(u)

        def run() -> None:
            for _ in range(TICKS):
                controller.tick(e, theta, 1e-6, size)

        return run

    bench = Bench(f"control law, {KNOBS} knobs, per tick")
    bench.compare(
        ("bare multiply-add", floor),
        ("integral law, limits included", law("integral"), "100 us"),  # type: ignore[arg-type]
        ("pid law, limits included", law("pid"), "100 us"),  # type: ignore[arg-type]
        repeats=repeats,
        per=TICKS,
    )
    device = Echo(21)
    settings = HomeostasisSettings(accept=Ticks(ticks=TICKS // 10))
    controller = make_controller(settings, device.info)
    target = np.full(21, 1e-6)

    def reads() -> None:
        for _ in range(TICKS):
            device.advance()

    def held() -> None:
        for _ in range(10):
            hold(device, target, settings, controller)

    bench.compare(
        ("an advance that does nothing, 21 knobs", reads),
        ("a held tick, 50 to a hold, 21 knobs", held, "6 us"),
        repeats=repeats,
        per=TICKS,
    )
    bench.show()


if __name__ == "__main__":
    main()
