"""A rig file worked out: every knob and readout with its channel and limits, what each instrument is used for, all that is wrong.

Everything here is known without connecting. `plan_of` collects every problem with the key it belongs to, so that a file's
mistakes come all at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.interlocks import interlock
from aeqlab.backends.rig_file import InterlockEntry, KnobRow, NudgeEntry, ReadRow, RigFile
from aeqlab.backends.rig_names import Place, names_of, places_of, some
from aeqlab.backends.rig_table import rows_of
from aeqlab.drivers.errors import DriverError
from aeqlab.drivers.instrument import Direction
from aeqlab.drivers.making import Spec, Use, has_watchdog, problems_of

Array = NDArray[Any]
Key = tuple[str | int, ...]
Problems = list[tuple[Key, str]]
NO_INSTRUMENT = Place("", "")
FORCES = ("feedback", "one-shot")


@dataclass(frozen=True, slots=True)
class KnobPlan:
    """A row of knobs; arrays have shape (knobs,) in `unit`."""

    names: tuple[str, ...]
    places: tuple[Place, ...]
    unit: str
    low: Array
    high: Array
    lowest: Array  # absolute limits
    highest: Array
    rest: Array
    slew: Array  # inf: none

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """A row of readouts; arrays have shape (readouts,) in `unit`. Without limits `low` is -inf and `high` inf."""

    names: tuple[str, ...]
    places: tuple[Place, ...]
    unit: str
    low: Array
    high: Array
    max_step: Array  # inf: none
    tolerance: Array  # nan: auto

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class NudgePlan:
    """How the outputs are nudged: the channel of each output, and the range of beta."""

    entry: NudgeEntry
    places: tuple[Place, ...]
    beta: tuple[float, float]


@dataclass(frozen=True, slots=True)
class OnePlan:
    """A single channel: a monitor or a supply."""

    name: str
    place: Place
    unit: str
    entry: Any


@dataclass(frozen=True, slots=True)
class RigPlan:
    """A rig as it is meant."""

    name: str
    file: RigFile
    controls: KnobPlan
    inputs: KnobPlan
    parameters: ReadPlan
    outputs: ReadPlan
    nudge: NudgePlan
    monitors: tuple[OnePlan, ...]
    supplies: tuple[OnePlan, ...]
    order: tuple[str, ...]
    specs: Mapping[str, Spec]
    uses: Mapping[str, tuple[Use, ...]]


def plan_of(file: RigFile, base: Path, name: str = "rig") -> RigPlan:
    """Work out a rig file.

    Args:
        file: the rig file.
        base: folder from which its paths count.
        name: what the rig is called where the file does not say.
    Raises:
        DeviceConfigError: everything that is wrong with it, line by line.
    """
    planner = _Planner(file, base, name)
    if planner.problems or planner.plan is None:
        lines = [f"  {'.'.join(map(str, key))}: {message}" for key, message in planner.problems]
        raise DeviceConfigError("the rig cannot be used so:\n" + "\n".join(lines))
    return planner.plan


def rig_problems(file: RigFile, base: Path) -> Problems:
    """List everything that is wrong with a rig file, each with its key; empty for a good one."""
    return _Planner(file, base, "rig").problems


@dataclass
class _Planner:
    file: RigFile
    base: Path
    name: str
    problems: Problems = field(default_factory=list)
    plan: RigPlan | None = None
    used: dict[Place, str] = field(default_factory=dict)
    uses: dict[str, list[Use]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)  # names of readouts and monitors

    def __post_init__(self) -> None:
        file = self.file
        self.uses = {name: [] for name in file.instruments}
        controls = self._knobs("controls", file.rows("controls"))
        inputs = self._knobs("inputs", file.rows("inputs"))
        parameters = self._reads("parameters", file.rows("parameters"))
        outputs = self._reads("outputs", file.rows("outputs"))
        nudge = self._nudge(file.nudge, len(outputs))
        if len(controls) != len(parameters):
            self._wrong(("parameters",), f"{len(controls)} controls and {len(parameters)} parameters: there is one control each.")
        supplies, monitors = self._supplies(), self._monitors((*controls.names, *inputs.names))
        self._sums((*controls.names, *inputs.names))
        self._interlocks()
        specs = self._instruments()
        order = self._order()
        if not self.problems:
            self.plan = RigPlan(
                file.name or self.name, file, controls, inputs, parameters, outputs, nudge, monitors, supplies, order, specs,
                {name: tuple(found) for name, found in self.uses.items()},
            )  # fmt: skip

    def _wrong(self, key: Key, message: str) -> None:
        self.problems.append((key, message))

    # roles
    def _knobs(self, role: str, rows: Sequence[KnobRow]) -> KnobPlan:
        names: list[str] = []
        places: list[Place] = []
        parts: dict[str, list[Array]] = {part: [] for part in ("low", "high", "lowest", "highest", "rest", "slew")}
        units: list[str] = []
        for k, row in enumerate(rows):
            key: Key = (role, k)
            mine, found, table = self._channels(key, row, row.table)
            n = len(mine)
            low, high = self._pairs((*key, "limits"), row.limits, table, "limits", n)
            lowest, highest = (low, high)
            if row.absolute is not None or "absolute_low" in table:
                lowest, highest = self._pairs((*key, "absolute"), row.absolute, table, "absolute", n)
            rest = self._each((*key, "rest"), row.rest, table, "rest", n)
            slew = self._each((*key, "slew_per_s"), row.slew_per_s, table, "slew_per_s", n, np.inf)
            self._see_knobs(key, mine, row.unit, low, high, lowest, highest, rest, slew)
            values = (one.tolist() for one in (lowest, highest, rest, slew))
            for name, place, a, b, r, s in zip(mine, found, *values, strict=False):
                self._use(place, Use(place.key, Direction.OUT, row.unit, a, b, r, s, None), name)
            names += mine
            places += found
            units.append(row.unit)
            for part, value in zip(parts, (low, high, lowest, highest, rest, slew), strict=True):
                parts[part].append(value)
        self._one_unit(role, units)
        joined = {part: np.concatenate(values) if values else np.zeros(0) for part, values in parts.items()}
        return KnobPlan(tuple(names), tuple(places), units[0] if units else "V", **joined)

    def _see_knobs(
        self, key: Key, names: Sequence[str], unit: str, low: Array, high: Array, lowest: Array, highest: Array, rest: Array,
        slew: Array,
    ) -> None:  # fmt: skip
        found: dict[tuple[str, str], list[str]] = {}
        for name, a, b, aa, bb, r, s in zip(names, low, high, lowest, highest, rest, slew, strict=False):
            said = []
            if not a < b:
                said.append(("limits", f"limits {a:g} to {b:g} {unit}: the lower one comes first."))
            if not (aa <= a and b <= bb):
                beyond = f"limits {a:g} to {b:g} {unit} go beyond absolute {aa:g} to {bb:g} {unit}. Make them narrower."
                said.append(("limits", beyond))
            if a < b and not a <= r <= b:
                said.append(("rest", f"rest {r:g} {unit} is outside its limits {a:g} to {b:g} {unit}."))
            if not s > 0:
                said.append(("slew_per_s", f"slew {s:g} {unit} per s: a number above 0 is needed, or null for none."))
            for one in said:
                found.setdefault(one, []).append(name)
        for (part, sentence), those in found.items():
            self._wrong((*key, part), f"{some(those)}: {sentence}")

    def _reads(self, role: str, rows: Sequence[ReadRow]) -> ReadPlan:
        names: list[str] = []
        places: list[Place] = []
        parts: list[list[Array]] = [[], [], [], []]
        units: list[str] = []
        for k, row in enumerate(rows):
            key: Key = (role, k)
            mine, found, table = self._channels(key, row, row.table)
            n = len(mine)
            low, high = np.full(n, -np.inf), np.full(n, np.inf)
            if row.limits is not None or "limits_low" in table:
                low, high = self._pairs((*key, "limits"), row.limits, table, "limits", n)
                for a, b in sorted({*zip(low.tolist(), high.tolist(), strict=True)}):
                    if not a < b:
                        those = [name for name, *pair in zip(mine, low, high, strict=False) if pair == [a, b]]
                        self._wrong(
                            (*key, "limits"), f"{some(those)}: limits {a:g} to {b:g} {row.unit}: the lower one comes first."
                        )
            tolerance = np.full(n, np.nan)
            if row.tolerance != "auto":
                tolerance = self._each((*key, "tolerance"), row.tolerance, table, "tolerance", n)
                if not (tolerance > 0).all():
                    self._wrong((*key, "tolerance"), "a tolerance above 0 is needed, or auto.")
            self.read.update(mine)
            step = np.full(n, np.inf if row.max_step is None else row.max_step)
            for name, place in zip(mine, found, strict=False):
                self._use(place, Use(place.key, Direction.IN, row.unit, -np.inf, np.inf, 0.0, np.inf, row.nplc), name)
            names += mine
            places += found
            units.append(row.unit)
            for part, value in zip(parts, (low, high, step, tolerance), strict=True):
                part.append(value)
        self._one_unit(role, units)
        joined = [np.concatenate(values) if values else np.zeros(0) for values in parts]
        return ReadPlan(tuple(names), tuple(places), units[0] if units else "V", *joined)

    def _nudge(self, entry: NudgeEntry, outputs: int) -> NudgePlan:
        places = self._places(("nudge", "channels"), entry.channels)
        if len(places) != outputs:
            self._wrong(("nudge", "channels"), f"{len(places)} channels for {outputs} outputs: there is one each.")
        one_sided = entry.realisation in ("coupling", "output-clamp")
        low = entry.beta_min if entry.beta_min is not None else (0.0 if one_sided else -entry.beta_max)
        if entry.realisation == "output-clamp" and (low < 0 or entry.beta_max > 1):
            self._wrong(("nudge", "beta_max"), "an output-clamp moves the outputs to s + beta (y - s): beta goes from 0 to 1.")
        if entry.realisation != "coupling" and entry.limits is None:
            self._wrong(
                ("nudge",), f"{entry.realisation}: limits of its channels are needed, such as limits_{entry.unit}: [-1, 1]."
            )
        if entry.realisation in FORCES and entry.force_per_unit == 0:
            self._wrong(("nudge", "force_per_unit"), "0 pushes nothing. Give the channel's value for a misfit of 1 at beta 1.")
        low_value, high_value = entry.limits or (-np.inf, np.inf)
        if not low_value < high_value or (entry.realisation in FORCES and not low_value <= 0 <= high_value):
            self._wrong(("nudge", "limits"), f"limits {low_value:g} to {high_value:g} {entry.unit}: lower first, with 0 inside.")
        for place in places:
            slew = np.inf if entry.slew_per_s is None else entry.slew_per_s
            clamp = entry.realisation == "output-clamp"
            self._use(
                place,
                Use(place.key, Direction.OUT, entry.unit, low_value, high_value, 0.0, slew, None, held_off=clamp),
                "the nudge",
            )
        return NudgePlan(entry, tuple(places), (low, entry.beta_max))

    def _monitors(self, knobs: Sequence[str]) -> tuple[OnePlan, ...]:
        found = []
        for k, entry in enumerate(self.file.monitors):
            key: Key = ("monitors", k)
            for place in self._places((*key, "channel"), entry.channel)[:1]:
                self._use(place, Use(place.key, Direction.IN, entry.unit, -np.inf, np.inf, 0.0, np.inf, entry.nplc), entry.name)
                found.append(OnePlan(entry.name, place, entry.unit, entry))
            if entry.measures is not None and entry.measures not in knobs:
                self._wrong((*key, "measures"), f"there is no knob {entry.measures!r}.{_meant(entry.measures, knobs)}")
            self._named((*key, "name"), entry.name)
            self.read.add(entry.name)
        return tuple(found)

    def _supplies(self) -> tuple[OnePlan, ...]:
        found = []
        for k, entry in enumerate(self.file.supplies):
            key: Key = ("supplies", k)
            low, high = entry.limits
            if not low <= entry.value <= high:
                self._wrong(
                    (*key, "value"), f"{entry.name}: {entry.value:g} {entry.unit} is outside its limits {low:g} to {high:g}."
                )
            slew = np.inf if entry.slew_per_s is None else entry.slew_per_s
            for place in self._places((*key, "channel"), entry.channel)[:1]:
                self._use(place, Use(place.key, Direction.OUT, entry.unit, low, high, 0.0, slew, None), entry.name)
                found.append(OnePlan(entry.name, place, entry.unit, entry))
            self._named((*key, "name"), entry.name)
        return tuple(found)

    def _sums(self, knobs: Sequence[str]) -> None:
        for k, entry in enumerate(self.file.sums):
            for name in names_of(entry.of):
                if name not in knobs:
                    self._wrong(("sums", k, "of"), f"there is no knob {name!r}.{_meant(name, knobs)}")

    def _interlocks(self) -> None:
        taken = {one.name: "the alarm of a monitor" for one in self.file.monitors if one.alarm is not None}
        taken |= dict.fromkeys(("jump", "limits of the parameters", "limits of the outputs"), "an alarm of every rig")
        for k, entry in enumerate(self.file.interlocks):
            if entry.name in taken:  # each has an alarm of its own, which goes by its name
                self._wrong(("interlocks", k, "name"), f"{entry.name!r} is {taken[entry.name]} already. Choose another name.")
            taken[entry.name] = "another interlock"
            try:
                made = interlock(entry.name, entry.when, entry.action, 1.0, sorted(self.read))
            except ValueError as exc:
                self._wrong(("interlocks", k, "when"), str(exc))
                continue
            every_s = self.file.read_every_s(made.names)
            if entry.stale_s is not None and entry.stale_s <= every_s:
                self._wrong(
                    ("interlocks", k, "stale_s"),
                    f"{entry.stale_s:g} s is no longer than the {every_s:g} s between two readings, so it would trip by itself. "
                    "Make it longer, or period_s of the monitor shorter.",
                )

    # instruments
    def _instruments(self) -> dict[str, Spec]:
        specs = {}
        taken: dict[str, str] = {}
        for name, entry in self.file.instruments.items():
            spec = Spec(
                name, entry.driver, entry.address, entry.serial, entry.visa, entry.timeout_s, entry.baud_rate, entry.wakes_s,
                entry.options,
            )  # fmt: skip
            specs[name] = spec
            if entry.address and (other := taken.setdefault(entry.address.upper(), name)) != name:
                self._wrong(("instruments", name, "address"), f"{entry.address} is that of {other}. Each instrument has its own.")
            try:
                said = problems_of(spec, self.uses[name], self.base)
            except DriverError as exc:
                said = [str(exc)]
            for message in said:
                self._wrong(("instruments", name), message)
            if entry.watchdog_s is not None and has_watchdog(spec) is False:
                self._wrong(("instruments", name, "watchdog_s"), f"{entry.driver} has no watchdog. Take watchdog_s out.")
            if not self.uses[name]:
                self._wrong(("instruments", name), "nothing uses it. Take it out, or give it a channel.")
        return specs

    def _order(self) -> tuple[str, ...]:
        names = list(self.file.instruments)
        order = names if self.file.order is None else self.file.order
        for k, name in enumerate(order):
            if name not in names:
                self._wrong(("order", k), f"there is no instrument {name!r}.{_meant(name, names)}")
        if missing := [name for name in names if name not in order]:
            self._wrong(("order",), f"{', '.join(missing)}: not in the order. Name every instrument once.")
        if len(set(order)) < len(order):
            self._wrong(("order",), "an instrument is there twice.")
        return tuple(order)

    def _places(self, key: Key, text: str | Sequence[str]) -> list[Place]:
        try:
            return list(places_of(text, self.file.instruments))
        except ValueError as exc:
            self._wrong(key, str(exc))
            return []

    def _channels(self, key: Key, row: Any, table: str | None) -> tuple[list[str], list[Place], dict[str, list[Any]]]:
        """Get names and channels of a row, and the columns of its table."""
        names, places = list(names_of(row.names)), self._places((*key, "channels"), row.channels)
        columns: dict[str, list[Any]] = {}
        if table is not None:
            try:
                columns = rows_of(self.base / table, names)
            except DeviceConfigError as exc:
                self._wrong((*key, "table"), str(exc))
        if "channel" in columns:
            places = self._places((*key, "table"), [str(one) for one in columns["channel"]])
        if len(names) != len(places) and places:
            self._wrong((*key, "channels"), f"{len(names)} names and {len(places)} channels: there is one each.")
        self._named((*key, "names"), *names)
        return names, places, columns

    def _named(self, key: Key, *names: str) -> None:
        twice = [name for name in names if name in self.known]
        if twice:
            what = f"the name {twice[0]!r} is" if len(twice) == 1 else f"the names {some(twice)} are"
            self._wrong(key, f"{what} there twice. Give each knob, readout and monitor its own.")
        self.known.update(names)

    def _use(self, place: Place, use: Use, what: str) -> None:
        if place.instrument not in self.file.instruments:
            near = _meant(place.instrument, self.file.instruments)
            self._wrong(("instruments",), f"{place} of {what}: there is no instrument {place.instrument!r}.{near}")
            return
        before = self.used.setdefault(place, what)
        if any(other.key == use.key for other in self.uses[place.instrument]):
            self._wrong(("instruments", place.instrument), f"channel {place.key} is used twice, by {before} and by {what}.")
            return
        self.uses[place.instrument].append(use)

    # values
    def _each(self, key: Key, value: Any, table: Mapping[str, list[Any]], column: str, n: int, missing: float = 0.0) -> Array:
        """Get one value per knob: from the table, from a list, or the same for all."""
        if column in table:
            value = table[column]
        if value is None:
            return np.full(n, missing)
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            self._wrong(key, f"column {column}: numbers are needed.")
            return np.full(n, missing)
        if array.ndim == 1 and len(array) != n:
            self._wrong(key, f"{len(array)} values for {n}: give one for all, or one each.")
            return np.full(n, array[0] if len(array) else missing)
        return np.array(np.broadcast_to(array, (n,)))

    def _pairs(self, key: Key, value: Any, table: Mapping[str, list[Any]], column: str, n: int) -> tuple[Array, Array]:
        """Get a lower and an upper value per knob."""
        low, high = f"{column}_low", f"{column}_high"
        if low in table and high in table:
            return self._each(key, None, table, low, n), self._each(key, None, table, high, n)
        array = np.asarray(value, dtype=np.float64)
        if array.ndim == 2 and len(array) != n:
            self._wrong(key, f"{len(array)} pairs for {n}: give one for all, or one each.")
            array = array[0]
        both = np.broadcast_to(array, (n, 2))
        return both[:, 0].copy(), both[:, 1].copy()

    def _one_unit(self, role: str, units: Sequence[str]) -> None:
        if len(set(units)) > 1:
            self._wrong((role,), f"units {', '.join(sorted(set(units)))}: the {role} have one unit. Scale by the driver instead.")


def _meant(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {near[0]}?" if near else ""


__all__ = ["InterlockEntry", "KnobPlan", "NudgePlan", "OnePlan", "ReadPlan", "RigPlan", "plan_of", "rig_problems"]
