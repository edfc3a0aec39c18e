"""Scanning: a point at a time is set, waited for, read and recorded; what the stage `scan` does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.streams import restore_stream, stream_state
from aeqlab.protocols.grid import axis_values, directions, visits
from aeqlab.protocols.quantities import Settable, settable
from aeqlab.protocols.readings import Readable, readables
from aeqlab.protocols.record import PointRow, blob
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.setpoint_modes import mode_of
from aeqlab.protocols.setpoints import Rest, Setpoints, described
from aeqlab.protocols.stages.scan import Axis, ScanOptions

Array = NDArray[Any]
SCAN_ORDER = "scan order"  #: random stream of `order: random`


class Scanning:
    """One stage of scanning."""

    def __init__(self, session: RunSession, options: ScanOptions) -> None:
        device = described(session)
        self.session, self.options = session, options
        self.moved = [settable(axis.quantity, device) for axis in options.over]
        self.reads = readables(options.read, device)
        self.mode = mode_of(options.parameters, [one.kind for one in self.moved])
        self.axes = [axis_values(axis) for axis in options.over]
        self.shape = tuple(map(len, self.axes))
        self.ways = directions(self.axes[-1])
        self.done = 0
        self.verdicts: Counter[str] = Counter()
        self.unsettled = 0

    def run(self) -> dict[str, Any]:
        """Scan to the end, and bring the device back where it was."""
        session, options = self.session, self.options
        kept = session.resumed_state()
        rng = session.streams(SCAN_ORDER)
        if kept is not None:
            restore_stream(rng, kept["order"])
        drawn = stream_state(rng)
        order = visits(self.shape, options.order, rng)
        setpoints = session.between_samples(
            lambda: Setpoints(session, self.mode, options.sample, self.moved, None if kept is None else kept["begun"])
        )
        if kept is None:
            scan = record_scan(session, options.over, self.moved, self.reads, self.shape)
        else:
            scan, self.done, self.unsettled = int(kept["scan"]), int(kept["done"]), int(kept["unsettled"])
            self.verdicts = Counter(kept["verdicts"])
        session.keep_in_checkpoints(
            lambda: {
                "scan": scan,
                "done": self.done,
                "order": drawn,
                "begun": setpoints.begun,
                "unsettled": self.unsettled,
                "verdicts": dict(self.verdicts),
            }
        )
        session.status.count(self.done, len(order))
        try:
            while self.done < len(order):
                session.point()
                place = int(order[self.done])
                row = session.sample(lambda place=place: self._point(setpoints, scan, place))  # type: ignore[misc]
                if row is None:  # frozen and continued meanwhile: this point again
                    continue
                session.record.point(row)
                self.done += 1
                session.status.done = self.done
        except BaseException as exc:
            setpoints.leave(exc, back=True)
            raise
        return self._found(len(order), session.between_samples(setpoints.back))

    def _point(self, setpoints: Setpoints, scan: int, place: int) -> PointRow:
        session, options = self.session, self.options
        where = np.unravel_index(place, self.shape)
        asked = np.array([values[k] for values, k in zip(self.axes, where, strict=True)])
        for one, value in zip(self.moved, asked, strict=True):
            setpoints.put(one, float(value))
        setpoints.apply()
        rest = setpoints.settle(options.settle, options.wait_s)
        means, spread, readings = setpoints.read(self.reads, rest, options.average)
        way = 0 if options.order == "random" else int(self.ways[where[-1]])
        if options.order == "snake" and self.done // self.shape[-1] % 2:
            way = -way
        row = point_row(session, scan, place, asked, setpoints.readbacks(self.moved, rest), means, spread, readings, rest, way)
        self.unsettled += not rest.settled
        self.verdicts[rest.verdict or "not waited for"] += 1
        session.status.values.update({one.name: float(value) for one, value in zip(self.moved, asked, strict=True)})
        return row

    def _found(self, points: int, back: bool) -> dict[str, Any]:
        if self.unsettled:
            verdicts = ", ".join(f"{verdict} {count}" for verdict, count in self.verdicts.most_common())
            self.session.say(
                "warning", "not settled", f"scan: {self.unsettled} of {points} points did not come to rest ({verdicts}); "
                "the record says which."
            )  # fmt: skip
        if not back:
            self.session.say("warning", "not settled", "scan: back where it was, the device did not come to rest in time.")
        shape = " x ".join(map(str, self.shape))
        return {"points": points, "shape": shape, "unsettled": self.unsettled, "parameters": self.mode, "came_back": back}


def record_scan(
    session: RunSession, axes: Sequence[Axis], moved: Sequence[Settable], reads: Sequence[Readable], shape: Sequence[int]
) -> int:
    """Record what is set and read, before the first point; returns the row of `scans`. An empty shape is the order of time."""
    told = [
        {**axis.model_dump(mode="json"), "quantity": one.name, "kind": str(one.kind), "unit": one.unit}
        for axis, one in zip(axes, moved, strict=True)
    ]
    names = [{"name": one.name, "unit": one.unit} for one in reads]
    return session.record.scan(session.steps, session.stage, told, shape, names)


def point_row(
    session: RunSession, scan: int, place: int, asked: Array, readbacks: Array, means: Array, spread: Array, readings: int,
    rest: Rest, direction: int,
) -> PointRow:  # fmt: skip
    """Make the row of one point."""
    return PointRow(
        session.steps, session.stage, scan, place, time.time(), float(rest.readout.t), blob(asked), blob(readbacks), blob(means),
        blob(spread), readings, rest.verdict, rest.settled, rest.ticks, direction,
    )  # fmt: skip
