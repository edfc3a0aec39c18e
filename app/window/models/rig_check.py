"""All that is wrong with a rig file under construction, each with the step, the row or the field where it is mended.

The checks are those of `aeqlab check`: the models of the rig file, its plan, and what the drivers know of their instruments.
They are made on one entry per row, so that a sentence belongs to the row that it is about. Nothing is opened; paths are looked
at, so this runs beside the window's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from aeqlab.app.window.models.rig_cells import (
    CONTROL,
    INPUT,
    MONITOR,
    NUDGE,
    OUTPUT,
    PARAMETER,
    SECTIONS,
    SUPPLY,
    Row,
    has,
    wrong,
)
from aeqlab.app.window.models.rig_entries import entry_of
from aeqlab.app.window.models.rig_problems import INSTRUMENT_NAME, RigProblem, Sketch, Step, Verdict, step_of
from aeqlab.backends.rig_file import (
    InstrumentEntry,
    InterlockEntry,
    KnobRow,
    MonitorEntry,
    NudgeEntry,
    ReadRow,
    RigFile,
    SumEntry,
    SupplyEntry,
)
from aeqlab.backends.rig_names import places_of
from aeqlab.backends.rig_plan import plan_of, rig_problems
from aeqlab.backends.silence import if_computer_dies
from aeqlab.drivers.errors import DriverError
from aeqlab.drivers.instrument import Direction
from aeqlab.drivers.making import Spec, Use, problems_of
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.explain import explain
from aeqlab.protocols.plain import tree_of

#: Which field of a row a key of its entry is about, and in which step that is mended.
_FIELDS = {"limits": "low", "absolute": "absolute_low", "alarm": "low", "slew_per_s": "slew", "names": "name",
           "channels": "channel"}  # fmt: skip
_MODELS: Mapping[str, type[BaseModel]] = {CONTROL: KnobRow, INPUT: KnobRow, PARAMETER: ReadRow, OUTPUT: ReadRow,
                                          MONITOR: MonitorEntry, SUPPLY: SupplyEntry}  # fmt: skip
_NEEDED = {CONTROL: "control knobs", PARAMETER: "parameters", INPUT: "input knobs", OUTPUT: "outputs", NUDGE: "a nudge"}


def check_rig(sketch: Sketch) -> Verdict:
    """Find everything that is wrong with a rig file under construction."""
    return _Checker(sketch).verdict()


class _Checker:
    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self.found: list[RigProblem] = [RigProblem(Step.SAVE, text) for text in sketch.errors]
        self.left_out = False  # something could not be read: what follows from that alone is not told
        self.of_role: dict[str, list[Row]] = {role: [] for role in SECTIONS}
        self.at: dict[str, list[int]] = {"sums": [], "interlocks": []}  # which entries were good

    def verdict(self) -> Verdict:
        sketch = self.sketch
        self._lacks()
        instruments = self._instruments()
        entries: dict[str, list[Any]] = {role: self._rows(role) for role in SECTIONS if role != NUDGE}
        rig = self._others(instruments, entries)
        nudged = [row for row in sketch.rows if row.role == NUDGE and self._usable(row)]
        self.of_role[NUDGE] = nudged
        rig["nudge"], good = self._nudge(nudged)
        file = RigFile.model_construct(**rig)
        for key, text in rig_problems(file, sketch.base):
            self._place(key, text, file, nudge_known=good)
        dies: tuple[str, ...] = ()
        if not self.found and sketch.whole:
            dies = self._as_one()
        return Verdict(tuple(sorted(dict.fromkeys(self.found), key=lambda one: one.step)), dies)

    # what is missing
    def _lacks(self) -> None:
        sketch = self.sketch
        if not sketch.instruments:
            text = "There is no instrument yet. Add one by its address, or use the emulated bench."
            self.found.append(RigProblem(Step.INSTRUMENTS, text, missing=True))
        for role, what in _NEEDED.items():
            if not any(row.role == role for row in sketch.rows):
                self.found.append(RigProblem(Step.CHANNELS, f"There are no {what} yet." if role != NUDGE else
                                             "There is no nudge yet: one channel for each output.", missing=True))  # fmt: skip

    def _usable(self, row: Row) -> bool:
        """Tell whether a row has what an entry needs, and say what it lacks."""
        before = len(self.found)
        lacks = [("name", row.name)] if has(row.role, "name") else []
        for key, value in (*lacks, ("channel", row.channel)):
            if not value:
                hint = "Pick one of an instrument's channels." if key == "channel" else "Give it one."
                text = f"{row.called} has no {key}. {hint}"
                self.found.append(RigProblem(Step.CHANNELS, text, row.uid, key, missing=True))
        for key, cell in row.cells.items():
            if key != "dangerous" and (said := wrong(key, cell)):
                self._about(row, key, f"{row.called}: {said}")
        for low, high, what in (("low", "high", "limit"), ("absolute_low", "absolute_high", "absolute limit")):
            if (row.cells.get(low) is None) != (row.cells.get(high) is None):
                key = low if row.cells.get(low) is None else high
                end = "lower" if key == low else "upper"
                text = f"{row.called} has no {end} {what}. Give both or none."
                self.found.append(RigProblem(Step.LIMITS, text, row.uid, key, missing=True))
        if row.role in (CONTROL, INPUT, SUPPLY) and row.cells.get("low") is None and row.cells.get("high") is None:
            text = f"{row.called} has no limits. Give the lowest and the highest value that what hangs on it bears."
            self.found.append(RigProblem(Step.LIMITS, text, row.uid, "low", missing=True))
        if row.role == SUPPLY and row.cells.get("value") is None:
            text = f"{row.called} has no value. Give what it is set to when the rig is armed."
            self.found.append(RigProblem(Step.LIMITS, text, row.uid, "value", missing=True))
        good = len(self.found) == before
        self.left_out |= not good
        return good

    def _about(self, row: Row, field: str, text: str) -> None:
        self.found.append(RigProblem(step_of(field), text, row.uid, field))

    # entries, one by one
    def _valid(self, model: type[BaseModel], entry: Mapping[str, Any], tell: Callable[[str, str], None]) -> Any:
        """Make one entry; None where it is none, and why is told by key."""
        try:
            return model.model_validate(dict(entry))
        except ValidationError as exc:
            self.left_out = True
            try:
                _, tree, _ = tree_of(dict(entry))
                for problem in explain(exc, tree, model):
                    tell(problem.key, f"{problem.message} {problem.hint}".strip())
            except FileErrors as errors:
                tell("", str(errors))
        return None

    def _instruments(self) -> dict[str, InstrumentEntry]:
        good = {}
        for name, entry in self.sketch.instruments.items():

            def tell(key: str, text: str, name: str = name) -> None:
                step = Step.SAFETY if key in ("when_silent", "watchdog_s", "safe", "dangerous") else Step.INSTRUMENTS
                self.found.append(RigProblem(step, f"{name}: {key + ': ' if key else ''}{text}", field=key, instrument=name))

            if not INSTRUMENT_NAME.fullmatch(name):
                tell("name", f"{name!r}: the name of an instrument begins with a letter; letters, digits, _ and - follow.")
            made = self._valid(InstrumentEntry, entry, tell)
            if made is not None:
                good[name] = made
        return good

    def _rows(self, role: str) -> list[Any]:
        good = []
        for row in self.sketch.rows:
            if row.role != role or not self._usable(row):
                continue

            def tell(key: str, text: str, row: Row = row) -> None:
                field = _FIELDS.get(key.split(".")[0], key.split(".")[0])
                self._about(row, field, f"{row.called}: {text}")

            made = self._valid(_MODELS[role], entry_of([row], None), tell)
            if made is not None:
                good.append(made)
                self.of_role[role].append(row)
        return good

    def _nudge(self, rows: Sequence[Row]) -> tuple[NudgeEntry, bool]:
        """Make the entry of the nudge; one that is no good is replaced by one about which nothing is told."""
        entry = {**self.sketch.rest.get("nudge", {})} if isinstance(self.sketch.rest.get("nudge"), Mapping) else {}
        if rows:
            entry |= entry_of(rows, None)

            def tell(key: str, text: str) -> None:
                if key in ("limits", "slew_per_s", "unit", "channels"):
                    self._about(rows[0], _FIELDS.get(key, key), f"nudge: {text}")
                else:
                    self.found.append(RigProblem(Step.LIMITS, f"nudge: {text}", field=f"nudge.{key}", missing="missing" in text))

            made = self._valid(NudgeEntry, entry, tell)
            if made is not None:
                return made, True
        return NudgeEntry.model_construct(realisation="coupling", channels=[], beta_max=1.0), False

    def _others(self, instruments: Mapping[str, Any], entries: Mapping[str, list[Any]]) -> dict[str, Any]:
        """Make the other keys of the file; each that is no good is left out."""
        rig: dict[str, Any] = {"instruments": dict(instruments)}
        rig |= {SECTIONS[role]: those for role, those in entries.items()}
        for key, model in (("sums", SumEntry), ("interlocks", InterlockEntry)):
            rig[key] = []
            entries_here = self.sketch.rest.get(key) or []
            if not isinstance(entries_here, list):
                self.found += [RigProblem(Step.SAFETY, f"{key}: {text}", field=key) for text in self._of_key(key, entries_here)]
                continue
            for k, entry in enumerate(entries_here):

                def tell(part: str, text: str, key: str = key, k: int = k) -> None:
                    said = f"{key[:-1]} {k + 1}: {text}"
                    self.found.append(RigProblem(Step.SAFETY, said, field=f"{key}.{k}.{part}", missing=False))

                made = self._valid(model, entry if isinstance(entry, Mapping) else {"name": entry}, tell)
                if made is not None:
                    rig[key].append(made)
                    self.at[key].append(k)
        plain = {"name", "order", "tick_s", "line_Hz", "lost_after_s", "identification", "fresh_h", "bench"}
        for key, value in self.sketch.rest.items():
            if key in ("nudge", "sums", "interlocks"):
                continue
            bad = self._of_key(key, value)
            step = Step.SAFETY if key == "order" else Step.LIMITS if key in plain else Step.SAVE
            self.found += [RigProblem(step, f"{key}: {text}", field=key) for text in bad]
            if key in plain and not bad:
                rig[key] = value
        return rig

    def _of_key(self, key: str, value: Any) -> list[str]:
        """Say what is wrong with one key at the top of the file."""
        try:
            RigFile.model_validate({key: value})
        except ValidationError as exc:
            try:
                _, tree, _ = tree_of({key: value})
            except FileErrors as errors:
                return [str(errors)]
            found = [
                one for one in explain(exc, tree, RigFile) if one.key.partition(".")[0] == key and "is missing" not in one.message
            ]
            return [f"{one.message} {one.hint}".strip() for one in found]
        return []

    # where a sentence of the plan belongs
    def _place(self, key: tuple[str | int, ...], text: str, file: RigFile, *, nudge_known: bool) -> None:
        section = str(key[0])
        role = next((role for role, one in SECTIONS.items() if one == section), "")
        if section == "nudge":
            uneven = "outputs: there is one" in text
            if nudge_known and not (uneven and (self.left_out or not self.of_role[OUTPUT])):
                part = str(key[1]) if len(key) > 1 else "limits"
                rows = self.of_role[NUDGE]
                field = {"channels": "channel", "limits": "low"}.get(part)
                if field is not None:
                    self._about(rows[0], field, f"nudge: {text}")
                else:
                    self.found.append(RigProblem(Step.LIMITS, f"nudge: {text}", field=f"nudge.{part}"))
        elif role and len(key) > 1 and isinstance(key[1], int):
            row = self.of_role[role][key[1]]
            part = str(key[2]) if len(key) > 2 else "name"
            field = _FIELDS.get(part, part)
            twice = [one for one in self._placed() if field == "name" and one.name == row.name and "there twice" in text]
            for one in twice or [row]:
                self._about(one, field, text)
        elif role:
            rows = self.of_role[role]
            uneven = "one control each" in text
            if not (uneven and (self.left_out or not rows or not self.of_role[CONTROL])):
                self.found.append(
                    RigProblem(Step.CHANNELS, text, rows[0].uid if rows else None, "unit" if "unit" in text else "")
                )
        elif section in ("sums", "interlocks"):
            k = self.at[section][int(key[1])]
            part = str(key[2]) if len(key) > 2 else ""
            self.found.append(RigProblem(Step.SAFETY, f"{section[:-1]} {k + 1}: {text}", field=f"{section}.{k}.{part}"))
        elif section == "order":
            if len(file.instruments) == len(self.sketch.instruments):
                self.found.append(RigProblem(Step.SAFETY, f"order: {text}", field="order"))
        elif section == "instruments" and len(key) == 1:
            self._unknown_instrument(text)
        elif section == "instruments":
            self._of_instrument(str(key[1]), str(key[2]) if len(key) > 2 else "", text, file)

    def _unknown_instrument(self, text: str) -> None:
        rows = [row for row in self._placed() if text.startswith(f"{row.channel} of ")]
        if any(row.channel.partition("[")[0] in self.sketch.instruments for row in rows):
            return  # it is there, and what is wrong with it is told already
        self.found += [RigProblem(Step.CHANNELS, text, row.uid, "channel") for row in rows[:1]]

    def _of_instrument(self, name: str, part: str, text: str, file: RigFile) -> None:
        if text.startswith("nothing uses it") and self.left_out:
            return
        if text.startswith("channel ") and " is used twice, by " in text:
            key = text.removeprefix("channel ").partition(" is used twice")[0]
            those = [row for row in self._placed() if row.channel == f"{name}[{key}]"]
            for row in those:
                found = RigProblem(Step.CHANNELS, f"{name}: {text}", row.uid, "channel", name)
                if found not in self.found:
                    self.found.append(found)
            return
        blamed = self._blamed(name, text, file) if not part else []
        for row, field in blamed:
            self.found.append(RigProblem(step_of(field), f"{name}: {text}", row.uid, field, name))
        if not blamed:
            step = Step.SAFETY if part == "watchdog_s" else Step.INSTRUMENTS
            missing = "has no address" in text or text.startswith("nothing uses it")
            step = Step.CHANNELS if text.startswith("nothing uses it") else step
            self.found.append(RigProblem(step, f"{name}: {text}", field=part, instrument=name, missing=missing))

    def _blamed(self, name: str, text: str, file: RigFile) -> list[tuple[Row, str]]:
        """Find the rows without which the driver would not say that: each is asked about by itself."""
        entry = file.instruments[name]
        spec = Spec(
            name, entry.driver, entry.address, entry.serial, entry.visa, entry.timeout_s, entry.baud_rate, entry.wakes_s,
            entry.options,
        )  # fmt: skip
        said = self._said(spec, [])
        if text in said:
            return []
        found = []
        for row in self._placed():
            if row.channel.partition("[")[0] != name:
                continue
            try:
                use = _use(row)
            except ValueError:  # it names no channel, which was told
                continue
            more = [one for one in self._said(spec, [use]) if one not in said]
            if more and _alike(text, more):
                reach = any("beyond its range" in one for one in more)
                unit = any(" is in " in one for one in more)
                beyond = "low" if row.cells.get("absolute_low") is None else "absolute_low"
                found.append((row, beyond if reach else "unit" if unit else "channel"))
        return found

    def _said(self, spec: Spec, uses: Sequence[Use]) -> list[str]:
        try:
            return problems_of(spec, uses, self.sketch.base)
        except DriverError as exc:
            return [str(exc)]

    def _placed(self) -> list[Row]:
        return [row for those in self.of_role.values() for row in those]

    def _as_one(self) -> tuple[str, ...]:
        """Check the file as it would be saved; nothing should be wrong with it that was not found row by row."""
        try:
            file = RigFile.model_validate(dict(self.sketch.tree))
        except ValidationError as exc:
            try:
                _, tree, _ = tree_of(dict(self.sketch.tree))
                texts = [f"{one.key}: {one.message} {one.hint}".strip() for one in explain(exc, tree, RigFile)]
            except FileErrors as errors:
                texts = [str(errors)]
            self.found += [RigProblem(Step.SAVE, text) for text in texts]
            return ()
        problems = rig_problems(file, self.sketch.base)
        self.found += [RigProblem(Step.SAVE, f"{'.'.join(map(str, key))}: {text}") for key, text in problems]
        return () if problems else tuple(if_computer_dies(plan_of(file, self.sketch.base)))


def _use(row: Row) -> Use:
    """Say how a row uses its channel."""
    place = places_of(row.channel)[0]
    if row.role in (PARAMETER, OUTPUT, MONITOR):
        return Use(place.key, Direction.IN, row.unit)
    low = row.cells.get("absolute_low") if row.cells.get("absolute_low") is not None else row.cells.get("low")
    high = row.cells.get("absolute_high") if row.cells.get("absolute_high") is not None else row.cells.get("high")
    ends = [float(one) if isinstance(one, float | int) else end for one, end in ((low, -float("inf")), (high, float("inf")))]
    return Use(place.key, Direction.OUT, row.unit, ends[0], ends[1])


def _alike(text: str, said: Sequence[str]) -> bool:
    """Tell whether a sentence about some channels is one that was said about one of them: all but its beginning is the same."""
    return any(one == text or one.partition(": ")[2] == text.partition(": ")[2] != "" for one in said)
