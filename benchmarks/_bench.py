"""The frame of every benchmark: median of N runs, beside a floor measured in the same run, printed as one table.

A time alone says little on a shared machine; its ratio to a floor that suffers under the same load says more.
"""

from __future__ import annotations

import gc
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version


@dataclass
class Row:
    """One line of the table: seconds of each repeat, and what it is measured against."""

    name: str
    seconds: list[float]
    floor: Row | None = None
    goal: str = ""
    per: int = 1  # how many of what is named happened in one repeat

    @property
    def median(self) -> float:
        """Median seconds of one of what is named."""
        return statistics.median(self.seconds) / self.per

    @property
    def fastest(self) -> float:
        """Seconds of one of what is named in the fastest repeat: beside other programs this says more than the median."""
        return min(self.seconds) / self.per

    @property
    def spread(self) -> float:
        """Slowest less fastest repeat, relative to the median."""
        return (max(self.seconds) - min(self.seconds)) / statistics.median(self.seconds)


@dataclass
class Bench:
    """Collects rows and prints them; repeats alternate between the rows of one call, so that drift of the load hits all alike."""

    title: str
    rows: list[Row] = field(default_factory=list)

    def compare(self, floor: tuple[str, Callable[[], object]], *others: tuple[str, Callable[[], object], str], repeats: int = 5,
                per: int = 1) -> list[Row]:  # fmt: skip
        """Time a floor and what stands on it, in turns, after one unmeasured turn. Returns the rows, the floor first."""
        first = Row(floor[0], [], per=per)
        rows = [first, *(Row(name, [], first, goal, per) for name, _, goal in others)]
        calls = [floor[1], *(call for _, call, _ in others)]
        for turn in range(repeats + 1):
            for row, call in zip(rows, calls, strict=True):
                seconds = timed(call)
                if turn:
                    row.seconds.append(seconds)
        self.rows += rows
        return rows

    def add(self, row: Row) -> Row:
        """Add a row that was timed elsewhere, such as by the record of a run."""
        self.rows.append(row)
        return row

    def show(self) -> None:
        """Print the table with the date, the machine and the versions it is true of."""
        print(f"{self.title}  ({datetime.now(UTC):%Y-%m-%d}, {machine()})")
        print(f"{'what':46} {'median':>8} {'spread':>7} {'x floor':>8} {'fastest':>8} {'x floor':>8}  goal")
        for row in self.rows:
            ratio, least = "floor", "floor"
            if row.floor:
                ratio, least = f"{row.median / row.floor.median:.2f}", f"{row.fastest / row.floor.fastest:.2f}"
            print(
                f"{row.name:46} {in_units(row.median):>8} {row.spread:7.0%} {ratio:>8} {in_units(row.fastest):>8} {least:>8}  "
                f"{row.goal}"
            )


def timed(call: Callable[[], object]) -> float:
    """Get the wall seconds of one call, garbage collected before it and not during it."""
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin
    finally:
        gc.enable()


def command(*arguments: str) -> Callable[[], object]:
    """Make a call that runs this interpreter with arguments and fails if that fails."""

    def call() -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    return call


def in_units(seconds: float) -> str:
    """Write a time with a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def machine() -> str:
    """Say what the numbers are true of: processor count, system, Python and numpy."""
    import os

    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}, numpy {version('numpy')}"


def repeats_from(arguments: Sequence[str], default: int) -> int:
    """Read the only option a benchmark has: how many repeats."""
    return int(arguments[1]) if len(arguments) > 1 else default
