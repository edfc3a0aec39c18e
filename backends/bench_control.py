"""The control channel of an emulated bench: one line of JSON asks, one line answers. Loopback only.

{"do": "now"}                     {"ok": 12.5}            the time of the bench, in s
{"do": "spend", "seconds": 0.1}   {"ok": 12.6}            let time pass; the time after it
{"do": "fault", "fault": {...}}   {"ok": null}            let a fault begin, as in a script without `at_s`
{"do": "mend", "fault": {...}}    {"ok": null}            let it end
{"do": "state"}                   {"ok": {...}}           true theta, outputs, knobs: what no rig can tell
{"do": "describe"}                {"ok": {...}}           addresses, clock, speed, journal
{"do": "stop"}                    {"ok": null}            end the bench
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from aeqlab.backends.bench import Bench
from aeqlab.backends.bench_faults import Fault, begin, end

LONGEST_LINE = 64 * 1024


class BenchControl:
    """Serves the control channel of a bench, one thread per client.

    Args:
        bench: the bench.
        stop: called when a client asks for the end.
        port: TCP port on loopback; 0: any that is free.
    Attributes:
        clients: how many are connected.
        served: how many ever were.
    """

    def __init__(self, bench: Bench, stop: Callable[[], None], port: int = 0) -> None:
        self._bench, self._stop = bench, stop
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.clients = self.served = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="bench control", daemon=True).start()

    @property
    def address(self) -> str:
        """Get its address, as a rig file names it."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop serving."""
        self._listener.close()
        for link in list(self._open):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(link)
            self.clients += 1
            self.served += 1
            threading.Thread(target=self._serve, args=(link,), name="bench client", daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        try:
            with link, link.makefile("rwb") as lines:
                while line := lines.readline(LONGEST_LINE):
                    lines.write(json.dumps(self._answer(line)).encode("ascii") + b"\n")
                    lines.flush()
        except OSError:
            pass
        finally:
            self._open.discard(link)
            self.clients -= 1

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            do = asked["do"]
            if do == "now":
                return {"ok": self._bench.clock.now()}
            if do == "spend":
                self._bench.spend(float(asked["seconds"]))
                return {"ok": self._bench.clock.now()}
            return {"ok": self._rare(do, asked)}
        except ValidationError as exc:
            return {"error": "; ".join(one["msg"] for one in exc.errors())}
        except (ValueError, KeyError, TypeError, OSError) as exc:
            return {"error": f"{type(exc).__name__}: {exc}"}

    def _rare(self, do: str, asked: dict[str, Any]) -> Any:
        bench = self._bench
        match do:
            case "fault" | "mend":
                fault = Fault.model_validate(asked["fault"])
                ports = {name: one.ports() for name, one in bench.settings.instruments.items()}
                if why := fault.wrong(ports, bench.wiring):
                    raise ValueError(why)
                (begin if do == "fault" else end)(bench, fault)
                return None
            case "state":
                return bench.truth()
            case "describe":
                clock = bench.settings.clock
                return {
                    "addresses": bench.addresses, "clock": clock, "speed": bench.settings.speed if clock == "wall" else 1.0,
                    "journal": None if bench.journal is None else str(bench.journal),
                }  # fmt: skip
            case "stop":
                self._stop()
                return None
        raise ValueError(f"there is no {do!r}")
