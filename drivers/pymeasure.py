"""Any property of any instrument of PyMeasure (extra `pymeasure`) as a knob or a readout.

PyMeasure's class knows the commands; they go through a `Connection` of ours, so a query is one transaction, late replies are
never taken for others, and no class opens a link by itself. How a line is ended and its baud rate stand in the `Wire`, not in
PyMeasure's class. What a class sends when it is made is kept back until arming, because opening changes nothing. Only properties
that speak in text are carried.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from aeqlab.drivers.connection import BACK_OFF_S, Connection, Wire
from aeqlab.drivers.errors import DriverError, RebootedError, RefusedError, ReplyError, SettingError
from aeqlab.drivers.identity import Identity, check_identity
from aeqlab.drivers.instrument import Array, Change, Channel, Complaint, Direction
from aeqlab.drivers.instrument import Instrument as Base
from aeqlab.drivers.readings import finite
from aeqlab.drivers.visa import ENTRIES, POWER_ON, SENTENCES

DIGITS = 1e-5  #: PyMeasure writes many values with six digits: so far off, relative, may an echo be


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a class of PyMeasure, as a channel.

    Attributes:
        name: such as `source_voltage`, or `ch_1.voltage` of a part of the instrument.
        unit: of its values; PyMeasure tells it in prose alone.
        limits: lowest and highest value, within the range that the property has; None: that range.
        step: resolution; 0: not known.
        fields: how many values with commas between a whole reply has, where PyMeasure picks one; it takes what is left of a
            reply that was cut short for the value. 0: not compared.
    """

    name: str
    unit: str
    limits: tuple[float, float] | None = None
    step: float = 0.0
    fields: int = 0


class PyMeasure(Base):
    """An instrument of PyMeasure.

    Args:
        wire: how it is reached.
        model: its class, such as `keithley.Keithley2400`.
        name: how the rig calls it.
        serial: its serial number; empty: any.
        answers: what the model in its name begins with, one of these: a class of PyMeasure does not know it.
        knobs, readouts: properties by the keys of their channels.
        arm: what properties are brought to by arming.
        off: what properties are set to, in this order, to switch it off; without it, its knobs go to 0.
    Raises:
        SettingError: PyMeasure is not installed or has no such class; a property is not there, cannot be set or read, has no
            range, or is given limits outside of it.
    """

    def __init__(
        self, wire: Wire, model: str, name: str = "", *, serial: str = "", answers: tuple[str, ...] = (),
        knobs: Mapping[str, Property] | None = None, readouts: Mapping[str, Property] | None = None,
        arm: Mapping[str, Any] | None = None, off: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.connection = Connection(wire, name)
        super().__init__(self.connection.name)
        self.serial, self.answers = serial, answers
        self._knobs, self._readouts = dict(knobs or {}), dict(readouts or {})
        self._wanted, self._off_values = dict(arm or {}), dict(off or {})
        if twice := self._knobs.keys() & self._readouts.keys():
            raise SettingError(f"{self.name}: {', '.join(sorted(twice))} is a knob and a readout; give each a key of its own.")
        self._class = self._found(model)
        self._channels: dict[str, Channel] = {}
        self._adapter = _Adapter(self.connection)
        self._made: Any = None
        self._set_up = self._switched_on = False
        self._bind(self._class)

    # binding
    def _found(self, model: str) -> Any:
        """Find the class."""
        where, _, word = model.rpartition(".")
        try:
            module = importlib.import_module(f"pymeasure.instruments.{where}" if where else "pymeasure.instruments")
        except ModuleNotFoundError as exc:
            if exc.name == "pymeasure":
                raise SettingError(f"{self.name}: PyMeasure is not installed: pip install 'aeqlab[pymeasure]'.") from exc
            raise SettingError(
                f"{self.name}: PyMeasure has no instruments {where!r}. Write it as keithley.Keithley2400."
            ) from exc
        found = getattr(module, word, None)
        if not inspect.isclass(found):
            raise SettingError(f"{self.name}: PyMeasure has no instrument {model!r}.{_like(word, dir(module))}")
        return found

    def _bind(self, owner: Any) -> None:
        """See that every property is there, can do what it is for, and has a range; of the class, or of the instrument itself.

        Parts of an instrument, such as `ch_1.voltage`, are there only once it is open.
        """
        channels: dict[str, Channel] = {}
        for key, one in self._knobs.items():
            if inspect.isclass(owner) and "." in one.name:
                continue
            part, prop = self._property(owner, one.name, settable=True)
            channels[key] = Channel(key, Direction.OUT, one.unit, *self._range(one, part, prop), one.step)
        for key, one in self._readouts.items():
            if inspect.isclass(owner) and "." in one.name:
                continue
            self._property(owner, one.name, settable=False)
            low, high = one.limits or (-math.inf, math.inf)
            channels[key] = Channel(key, Direction.IN, one.unit, low, high, one.step)
        for name in (*self._wanted, *self._off_values):
            if not (inspect.isclass(owner) and "." in name):
                self._property(owner, name, settable=True)
        if not self._off_values:
            for channel in channels.values():
                if channel.direction is Direction.OUT and not channel.low <= 0.0 <= channel.high:
                    raise SettingError(
                        f"{self.name}, {channel.key}: 0 is outside its limits. Say by `off` how it is switched off."
                    )
        self._channels = channels

    def _property(self, owner: Any, name: str, settable: bool) -> tuple[Any, property]:
        """Find a property; returns what it belongs to as well."""
        *path, word = name.split(".")
        for step in path:
            owner = getattr(owner, step, None)
        kind = owner if inspect.isclass(owner) else type(owner)
        prop = inspect.getattr_static(kind, word, None)
        if not isinstance(prop, property):
            raise SettingError(f"{self.name}: {kind.__name__} has no property {name!r}.{_like(word, dir(kind))}")
        if settable and (prop.fset is None or _default(prop.fset, "set_command", "") is None):
            raise SettingError(f"{self.name}: {name} of {kind.__name__} can be read and not set.")
        if not settable and (prop.fget is None or _default(prop.fget, "get_command", "") is None):
            raise SettingError(f"{self.name}: {name} of {kind.__name__} can be set and not read.")
        return owner, prop

    def _range(self, one: Property, owner: Any, prop: property) -> tuple[float, float]:
        values = _default(prop.fset, "values", ())
        if not inspect.isclass(owner):  # an instrument may have another range than its class
            values = getattr(owner, f"{getattr(prop, 'prefix', '')}{one.name.rpartition('.')[2]}_values", values)
        validator = getattr(_default(prop.fset, "validator", None), "__name__", "")
        ends = _ends(values) if "range" in validator else None  # two values may be a set of two as well
        if ends is None and one.limits is None:
            raise SettingError(f"{self.name}: {one.name} has no range in PyMeasure. Give it limits.")
        low, high = one.limits or ends or (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SettingError(
                f"{self.name}: limits of {one.name} are the lowest and the highest value, not {low:g} and {high:g}."
            )
        if ends is not None and not ends[0] <= low < high <= ends[1]:
            raise SettingError(
                f"{self.name}: limits {low:g} to {high:g} {one.unit} of {one.name} go beyond its range, "
                f"{ends[0]:g} to {ends[1]:g} {one.unit}. Choose limits within."
            )
        return low, high

    # opening
    def open(self) -> Identity:
        """Open it and see that it is the one that is meant; changes nothing.

        Raises:
            AddressError, IdentityError, SettingError.
        """
        return self._known(self.connection.open())

    def reopen(self, attempts: int = len(BACK_OFF_S)) -> Identity:
        """Open it again after the link was lost; it must be the very same one.

        Raises:
            AddressError, IdentityError.
        """
        return self._known(self.connection.reopen(attempts))

    def _known(self, found: Identity) -> Identity:
        first = self.identity is None
        try:
            serial = self.serial or ("" if self.identity is None else self.identity.serial)
            check_identity(found, self.connection.where, models=self.answers, serial=serial)
            if self._made is None:
                with self._talking("it cannot be made"):
                    self._made = self._class(self._adapter, name=self.name)
                self._adapter.ready = True
            self._bind(self._made)
            switched_on = self._take_events()
        except BaseException:
            self.close()
            raise
        self._switched_on |= switched_on and not first  # also where it was reopened before and nobody has asked since
        self._set_up &= not self._switched_on
        self.identity = found
        return found

    def close(self) -> None:
        """Let it go; it stays as it is. May be called twice."""
        self.connection.close()

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Get its knobs and readouts."""
        return self._channels

    # talking
    @contextlib.contextmanager
    def _talking(self, what: str) -> Iterator[None]:
        """Let PyMeasure talk, to the end of what it has to say; its errors become ours."""
        try:
            yield
            self._adapter.finish()
        except DriverError:
            self._adapter.drop()
            raise
        except Exception as exc:  # whatever PyMeasure makes of a reply, or a validator of a value
            self._adapter.drop()
            raise ReplyError(f"{self.connection.where}: {what}: {type(exc).__name__}: {exc}") from exc

    def _get(self, name: str) -> Any:
        owner, _ = self._property(self._made, name, settable=False)
        with self._talking(f"{name} cannot be read"):
            return getattr(owner, name.rpartition(".")[2])

    def _set(self, name: str, value: Any) -> None:
        owner, _ = self._property(self._made, name, settable=True)
        with self._talking(f"{name} cannot be set to {value!r}"):
            try:
                setattr(owner, name.rpartition(".")[2], value)
            except ValueError as exc:  # of its validator, before anything is sent
                raise SettingError(f"{self.connection.where}: {name} cannot be set to {value!r}: {exc}") from exc

    def _number(self, one: Property) -> float:
        name = one.name
        value = self._get(name)
        if one.fields and (count := self._adapter.last.count(",") + 1) != one.fields:
            raise ReplyError(f"{self.connection.where}: {count} values came for {name}, {one.fields} were expected")
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            raise ReplyError(f"{self.connection.where}: {name} is {str(value)[:60]!r}, which is no number")
        return float(finite(np.array([float(value)]), f"{self.connection.where}, {name}")[0])

    def _readable(self, name: str) -> bool:
        _, prop = self._property(self._made, name, settable=True)
        return prop.fget is not None and _default(prop.fget, "get_command", "") is not None

    def _scpi(self) -> bool:
        from pymeasure.instruments import SCPIMixin

        return isinstance(self._made, SCPIMixin)

    def _take_events(self) -> bool:
        """Take the event status register; tells whether it says that it was switched on."""
        if not self._scpi():
            return False
        reply = self.connection.query("*ESR?").strip().lstrip("+")
        if not reply.isdigit():
            raise ReplyError(f"{self.connection.where}: the event status register is said to be {reply[:40]!r}")
        return bool(int(reply) & POWER_ON)

    def rebooted(self) -> bool:
        """Tell whether it was switched off and on since this was last asked; False where it does not speak SCPI."""
        answer, self._switched_on = self._take_events() or self._switched_on, False
        if answer:
            self._set_up = False
        return answer

    def healthy(self) -> None:
        """See that it was not switched off and on and does not complain.

        Raises:
            RebootedError, RefusedError.
        """
        if self._take_events():
            self._switched_on, self._set_up = True, False
            raise RebootedError(f"{self.connection.where}: it was switched off and on; its settings are gone. Arm it again.")
        self.check()

    def complaints(self) -> list[Complaint]:
        """Empty its error queue by PyMeasure's `check_errors`; none where its class has no way to.

        Raises:
            ReplyError: there is no end to its errors: PyMeasure goes on for as long as no reply says that there is none.
        """
        if not self._scpi():
            return []
        with self._talking("its errors cannot be read"), self._adapter.at_most(ENTRIES):
            entries = self._made.check_errors() or []
        found = []
        for entry in entries:
            code, text = (entry[0], entry[1]) if isinstance(entry, list | tuple) and len(entry) > 1 else (0, entry)
            number = int(code) if isinstance(code, int | float) else 0
            meaning = SENTENCES.get(number, "See its manual for this error.")
            found.append(Complaint(number, f"{meaning} ({number:+d}, {str(text).strip()})"))
        return found

    # arming
    def settings(self) -> dict[str, str]:
        """Get the properties that arming sets and those that switch it off, as they stand now."""
        return {name: str(self._get(name)) for name in (*self._wanted, *self._off_values) if self._readable(name)}

    def plan(self) -> list[Change]:
        """List what `arm` will change: what PyMeasure's class sends when it is made, and the properties."""
        sent = [] if self._set_up else [Change("", "command of PyMeasure's class", "not sent", c) for c in self._adapter.held]
        return sent + self._properties()

    def _properties(self) -> list[Change]:
        present = [(name, wanted, self._get(name) if self._readable(name) else None) for name, wanted in self._wanted.items()]
        return [Change("", name, str(now), str(wanted)) for name, wanted, now in present if not _same(now, wanted)]

    def arm(self) -> None:
        """Send what PyMeasure's class sends when it is made, set the properties, and read them back.

        Raises:
            RefusedError: it complains, or says that a property is not as it was set.
        """
        if not self._set_up:
            for command in self._adapter.held:
                self.connection.write(command)
        for name, wanted in self._wanted.items():
            if not self._readable(name) or not _same(self._get(name), wanted):
                self._set(name, wanted)
                self.check()  # what is refused, such as a limit, keeps what comes after it from being set
                if self._readable(name) and not _same(found := self._get(name), wanted):
                    raise RefusedError(self.name, [f"{name} was set to {wanted!r} and is {found!r}."], [])
        self.check()
        self._set_up = True
        if left := [change for change in self._properties() if self._readable(change.setting)]:
            raise RefusedError(self.name, [f"It was told, and did not change {change}." for change in left], [])

    # channels
    def _write(self, keys: Sequence[str], values: Array) -> None:
        for key, value in zip(keys, values.tolist(), strict=True):
            self._set(self._knobs[key].name, value)
        self.check()
        for key, value in zip(keys, values.tolist(), strict=True):
            one = self._knobs[key]
            if self._readable(one.name) and abs((found := self._number(one)) - value) > max(0.51 * one.step, DIGITS * abs(value)):
                self._refuse(f"{one.name} was set to {value:.9g} {one.unit} and is at {found:.9g} {one.unit}.")

    def _written(self, keys: Sequence[str]) -> Array:
        return np.array([self._number(self._knobs[key]) for key in keys])

    def _measure(self, keys: Sequence[str]) -> Array:
        return np.array([self._number(self._readouts[key]) for key in keys])

    def _off(self, keys: Sequence[str]) -> None:
        """Set the properties that switch it off, or its knobs to 0; confirmed where they can be read."""
        wanted = self._off_values or {self._knobs[key].name: 0.0 for key in keys}
        failed: DriverError | None = None
        for name, value in wanted.items():
            try:
                self._set(name, value)
            except DriverError as exc:  # what cannot be set keeps nothing else from going off
                failed = failed or exc
        if failed is not None:
            raise failed
        for name, value in wanted.items():
            if self._readable(name) and not _same(found := self._get(name), value):
                self._refuse(f"{name} was set to {value!r} to switch it off, and is {found!r}.")
        self.check()


class _Adapter:
    """What a class of PyMeasure takes for its link. A command waits for what follows it: a read makes a query of it.

    Attributes:
        ready: whether the class is made; what it sends before that is held back.
        held: that, in order.
        last: the last reply.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ready = False
        self.held: list[str] = []
        self.last = ""
        self._left: int | None = None  # replies that may still be asked for
        self._waiting: str | None = None

    @contextlib.contextmanager
    def at_most(self, replies: int) -> Iterator[None]:
        """Refuse to ask for more replies than this."""
        self._left = replies
        try:
            yield
        finally:
            self._left = None

    def write(self, command: str, **kwargs: Any) -> None:
        """Take a command."""
        self.finish()
        self._waiting = command

    def read(self, **kwargs: Any) -> str:
        """Send the command that waits, and get its reply."""
        command, self._waiting = self._waiting, None
        if command is None:
            raise ReplyError(f"{self.connection.where}: PyMeasure reads without having asked; this property cannot be used")
        if self._left is not None:
            if not self._left:
                raise ReplyError(f"{self.connection.where}: {command!r} has no end: the last reply was {self.last[:60]!r}")
            self._left -= 1
        self.last = self.connection.query(command)
        return self.last

    def finish(self) -> None:
        """Send the command that waits, if there is one."""
        command, self._waiting = self._waiting, None
        if command is None:
            return
        if self.ready:
            self.connection.write(command)
        else:
            self.held.append(command)

    def drop(self) -> None:
        """Forget the command that waits."""
        self._waiting = None

    def flush_read_buffer(self) -> None:
        """Do nothing: the connection keeps in step by itself."""

    def close(self) -> None:
        """Do nothing: the link is not PyMeasure's."""

    def _in_bytes(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ReplyError(f"{self.connection.where}: this property speaks in bytes, which are not carried")

    write_bytes = read_bytes = write_binary_values = read_binary_values = _in_bytes


def _default(function: Any, name: str, without: Any) -> Any:
    """Get what PyMeasure has put into a parameter of a getter or setter."""
    parameter = inspect.signature(function).parameters.get(name)
    return without if parameter is None else parameter.default


def _ends(values: Any) -> tuple[float, float] | None:
    """Get the ends of a range; None of anything else, such as a set of values."""
    if isinstance(values, range) and len(values) > 1:
        return float(min(values)), float(max(values))
    if not isinstance(values, list | tuple) or len(values) != 2:
        return None
    low, high = values
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in values) or not low < high:
        return None
    return float(low), float(high)


def _same(present: Any, wanted: Any) -> bool:
    if isinstance(present, int | float) and isinstance(wanted, int | float):
        return math.isclose(present, wanted, rel_tol=DIGITS, abs_tol=1e-12)
    return bool(present == wanted)


def _like(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, [one for one in known if not one.startswith("_")], 3)
    return f" Do you mean {' or '.join(close)}?" if close else ""
