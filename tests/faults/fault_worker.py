"""A worker: takes control of the session of a folder and trains until someone ends it, going on after it was late."""

from __future__ import annotations

import sys
from pathlib import Path

from fault_bench import session_of, train

from aeqlab.protocols.client import attach
from aeqlab.protocols.errors import LateError
from aeqlab.protocols.status import STANDING


def main() -> None:
    client = attach(session_of(Path(sys.argv[1])), name="worker")
    assert client.controls_device
    if client.status().state in STANDING:
        client.continue_()
    train(client, 1)
    print("training", flush=True)
    while True:
        try:
            train(client, 1)
        except LateError:
            client.continue_()
            print("late", flush=True)


if __name__ == "__main__":
    main()
