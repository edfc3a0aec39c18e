"""The command `accept`: the conformance suite on the device of an experiment, one line per promise; moves its knobs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aeqlab.app.exits import ExitCode, say
from aeqlab.backends.kinds import DeviceSettings, RigSettings
from aeqlab.protocols.client import device_address
from aeqlab.protocols.conformance import Line, LineVerdict, conform
from aeqlab.protocols.errors import AbortRequested
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.interrupts import Interrupts
from aeqlab.protocols.lease import acquire
from aeqlab.protocols.run_state import Requests


@contextmanager
def owned(device: DeviceSettings, base: Path) -> Iterator[None]:
    """Own the hardware meanwhile, where there is any: nobody else may move it.

    Raises:
        NotAllowedError: somebody else owns it; the message names them.
    """
    with ExitStack() as leases:
        if isinstance(device, RigSettings):
            for address in filter(None, (device_address(device, base), *device.instrument_addresses)):
                leases.enter_context(acquire(address, "", "acceptance"))
        yield


def accept_device(source: str, overrides: Sequence[str]) -> int:
    """Open the device of an experiment, try every promise of the interface, print each verdict; returns the exit code."""
    loaded = load_experiment(source, overrides)
    experiment = loaded.experiment

    def show(line: Line) -> None:
        print(f"{line.verdict:14}  {line.name}: {line.text}", flush=True)

    requests = Requests()

    def leave() -> None:
        if requests.stop or requests.abort:
            raise AbortRequested(f"ended by {requests.why}; the device was frozen.")

    with owned(experiment.device, loaded.base), Interrupts(requests, lambda _: say("Ends at the next tick.")):
        try:
            lines = conform(
                lambda: experiment.device.open(seed=experiment.seed, base=loaded.base),
                homeostasis=experiment.homeostasis,
                settling=experiment.settling,
                seed=experiment.seed,
                interrupt=leave,
                on_line=show,
            )
        except AbortRequested as exc:
            say(str(exc))
            return ExitCode.ABORTED
    counts = Counter(line.verdict for line in lines)
    passed = not counts[LineVerdict.FAIL]
    print(f"{'accepted' if passed else 'NOT ACCEPTED'}: {', '.join(f'{counts[v]} {v}' for v in LineVerdict if counts[v])}")
    sys.stdout.flush()
    return ExitCode.OK if passed else ExitCode.FAILED
