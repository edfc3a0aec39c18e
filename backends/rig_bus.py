"""The instruments of a rig together: opened all at once, set and read in groups, and what is done when one does not answer.

A reading that is garbled or an overload is asked for again, twice at most. A link that broke or is out of step, or on which a
reply does not come in time or is never what was asked for, is opened again with longer and longer pauses, one attempt at a time,
so that nobody waits long here; an instrument that was off meanwhile is armed again.
Whoever calls learns of it: `Down` while one cannot be reached, `recovered` once it is back.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DeviceConfigError, DeviceLostError
from aeqlab.backends.rig_names import Place
from aeqlab.drivers.connection import BACK_OFF_S
from aeqlab.drivers.errors import (
    AddressError,
    DriverError,
    IdentityError,
    LinkLostError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)
from aeqlab.drivers.identity import Identity, check_identity
from aeqlab.drivers.instrument import Instrument

Array = NDArray[Any]
T = TypeVar("T")
TRIES = 3  #: a reading is asked for so often
GONE = (LinkLostError, AddressError)
#: Complaints after which nothing is known of what came before: an error queue that was full.
ERRORS_LOST = -350
MOST_ROWS = 1000  #: rows of channels that are remembered
#: Complaints that the link was out of step: a reply that was thrown away, a reading without a question (IEEE 488.2, 6.3.1.7).
OUT_OF_STEP = frozenset({-410, -420})


class Down(Exception):
    """An instrument cannot be reached now.

    Attributes:
        name: its name in the rig file.
    """

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"{name}: {why}")


@dataclass(slots=True)
class Health:
    """How one instrument fares.

    Attributes:
        down_since: time of the rig since which it cannot be reached; None: it can.
        why: what went wrong.
        attempts: how often it was tried to open it again.
        next_try: not before this time of the rig.
        rebooted: it was switched off and on, and not armed since.
        unread: readings in a row that were no measurement.
    """

    down_since: float | None = None
    why: str = ""
    attempts: int = 0
    next_try: float = 0.0
    rebooted: bool = False
    unread: int = 0


class Group(NamedTuple):
    """What of a row of channels belongs to one instrument: its name, the keys of the channels, and their places in the row."""

    name: str
    keys: tuple[str, ...]
    rows: NDArray[np.intp] | slice


class Bus:
    """All instruments of a rig.

    Args:
        instruments: by name, not open yet.
        order: in which they are armed; going off, they take the other way round.
        now: the rig's clock.
    Attributes:
        health: of each.
        told: sentences about what went wrong and was mended, oldest first; whoever tells people of it empties it.
    """

    def __init__(self, instruments: Mapping[str, Instrument], order: Sequence[str], now: Callable[[], float]) -> None:
        self.instruments, self.order = dict(instruments), tuple(order)
        self.health = {name: Health() for name in self.instruments}
        self.told: list[str] = []
        self.spoken: set[str] = set()  #: instruments that answered since somebody emptied it
        self._now = now
        self._groups: dict[tuple[Place, ...], list[Group]] = {}  # of rows that were asked for before: the same at every tick
        self._armed: set[str] = set()  # those that were: what arming would change now was changed since

    # opening
    def open(self) -> None:
        """Open all, side by side; only their names and settings are asked for.

        Raises:
            DeviceConfigError: another instrument than is meant answers somewhere; all that failed are named.
            DeviceLostError: some cannot be reached; likewise.
        """
        failed: dict[str, Exception] = {}

        def one(name: str) -> None:
            try:
                _open(self.instruments[name])
            except Exception as exc:  # a user's driver may raise anything
                failed[name] = exc

        threads = [threading.Thread(target=one, args=(name,), name=f"open {name}", daemon=True) for name in self.order]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            self.close()
            said = "\n".join(f"  {_of(name, _sentence(failed[name]))}" for name in self.order if name in failed)
            head = f"{len(failed)} of {len(self.order)} instruments cannot be used; nothing was moved:"
            wrong = any(isinstance(exc, IdentityError | SettingError) for exc in failed.values())
            raise (DeviceConfigError if wrong else DeviceLostError)(f"{head}\n{said}")

    def close(self) -> None:
        """Let all go, as they are. May be called twice."""
        for instrument in self.instruments.values():
            with contextlib.suppress(Exception):
                instrument.close()

    # setting and reading
    def write(self, places: Sequence[Place], values: Array) -> None:
        """Set outputs, shape (places,): all of one instrument at once, instruments in order.

        Raises:
            Down: one cannot be reached; those before it in the order are set.
            RefusedError: one complains.
        """
        for group in self.grouped(places):
            self.write_group(group, values[group.rows])

    def write_group(self, group: Group, values: Array) -> None:
        """Set outputs of one instrument, shape (its keys,). Raises as `write`."""
        self._careful(group.name, lambda instrument: instrument.write(group.keys, values))

    def written(self, places: Sequence[Place]) -> Array:
        """Get what the instruments say their outputs are set to, shape (places,). Raises `Down`."""
        found = np.empty(len(places))
        for name, keys, rows in self.grouped(places):
            found[rows] = self._careful(name, lambda instrument, keys=keys: instrument.written(keys))  # type: ignore[misc]
        return found

    def measure(self, places: Sequence[Place]) -> Array | None:
        """Measure inputs, shape (places,); None where a reading was no measurement, also when asked again.

        Raises:
            Down: an instrument cannot be reached.
        """
        found = np.empty(len(places))
        groups = self.grouped(places)
        if len(groups) > 1:
            for name, _, _ in groups:
                self._careful(name, lambda instrument: instrument.begin())
        for name, keys, rows in groups:
            try:
                found[rows] = self._careful(name, lambda one, keys=keys: one.measure(keys), readings=True)  # type: ignore[misc]
            except ReplyError as exc:
                self.health[name].unread += 1
                self._tell(f"{_sentence(exc)} The reading was left out.", self.health[name].unread == 1)
                return None
            self.health[name].unread = 0
        return found

    def off(self, places: Sequence[Place]) -> dict[str, Exception]:
        """Bring outputs to their safe end, instruments against the order; goes on where one fails, and says which did."""
        failed: dict[str, Exception] = {}
        for name, keys, _ in reversed(self.grouped(places)):
            try:
                self._careful(name, lambda instrument, keys=keys: instrument.off(keys))  # type: ignore[misc]
            except (Down, DriverError) as exc:
                failed[name] = exc
        return failed

    def talk(self, name: str, call: Callable[[Instrument], T]) -> T:
        """Talk to one instrument in its own way. Raises as `write`."""
        return self._careful(name, call)

    def grouped(self, places: Sequence[Place]) -> list[Group]:
        """Part a row of channels by their instruments, these in order."""
        row = tuple(places)
        if (known := self._groups.get(row)) is not None:
            return known
        groups: dict[str, list[int]] = {}
        for k, place in enumerate(row):
            groups.setdefault(place.instrument, []).append(k)
        found = [
            Group(name, tuple(row[k].key for k in groups[name]), slice(None) if len(groups) == 1 else np.array(groups[name]))
            for name in self.order
            if name in groups
        ]
        if len(self._groups) < MOST_ROWS:
            self._groups[row] = found
        return found

    # arming
    def plan(self) -> list[str]:
        """List what arming will change."""
        return [f"{name}: {change}" for name in self.order for change in self.instruments[name].plan()]

    def arm(self, names: Iterable[str] | None = None) -> list[str]:
        """Arm instruments, in order; returns what was changed.

        Raises:
            RefusedError, SettingError: one is not as it is wanted; those after it were not touched.
            Down: one cannot be reached.
        """
        changed = []
        wanted = set(self.order if names is None else names)
        for name in self.order:
            if name in wanted:
                changed += [f"{name}: {change}" for change in self.instruments[name].plan()]
                self._careful(name, lambda instrument: instrument.arm())
                self._armed.add(name)
        return changed

    # going on after a break
    @property
    def down(self) -> list[str]:
        """Names of instruments that cannot be reached now."""
        return [name for name, health in self.health.items() if health.down_since is not None]

    def retry(self) -> list[str]:
        """Try once, where it is time to, to open again what cannot be reached; returns a sentence for each that is back.

        One that was off meanwhile, or whose settings changed, is marked as rebooted.

        Raises:
            DeviceLostError: another instrument answers there now.
        """
        back = []
        for name in self.down:
            health, instrument = self.health[name], self.instruments[name]
            if self._now() < health.next_try:
                continue
            try:
                reopen = getattr(instrument, "reopen", None)
                if reopen is not None:
                    reopen(1)
                else:
                    before = instrument.identity
                    instrument.close()
                    _open(instrument, before)
                switched = instrument.rebooted() or health.rebooted or (name in self._armed and bool(instrument.plan()))
            except IdentityError as exc:
                raise DeviceLostError(f"{_sentence(exc)} State unknown.") from exc
            except Exception as exc:
                health.attempts += 1
                health.next_try = self._now() + BACK_OFF_S[min(health.attempts, len(BACK_OFF_S) - 1)]
                health.why = _sentence(exc)
                continue
            seconds = self._now() - (health.down_since or 0.0)
            self.health[name] = Health(rebooted=switched)
            what = "it was off meanwhile, or its settings changed" if switched else "its settings are as they were"
            back.append(f"{instrument.where}: it answers again after {seconds:.2g} s; {what}.")
        self.told += back
        return back

    def broken(self, name: str, why: str) -> None:
        """Note that an instrument cannot be reached."""
        health = self.health[name]
        if health.down_since is None:
            self.health[name] = Health(down_since=self._now(), why=why, rebooted=health.rebooted)
            self.told.append(why)

    def ask_all(self) -> None:
        """Ask every instrument that is not known to be down whether it is there, so that all that are gone are told at once."""
        for name, health in self.health.items():
            if health.down_since is None:
                with contextlib.suppress(Down, DriverError, NotImplementedError):
                    if self._careful(name, lambda instrument: instrument.rebooted()):
                        health.rebooted = True
                        self.broken(name, f"{self.instruments[name].where}: it was switched off and on.")

    def _careful(self, name: str, call: Callable[[Instrument], T], *, readings: bool = False) -> T:
        """Talk to an instrument; what may be repeated is.

        Raises:
            Down: it cannot be reached, was switched off and on, or does not say what it was asked, however often.
            ReplyError: no measurement came, however often it was asked for `readings`.
            RefusedError, SettingError: as the driver.
        """
        health, instrument = self.health[name], self.instruments[name]
        if health.down_since is not None:
            raise Down(name, health.why)
        for attempt in range(TRIES):
            try:
                answer = call(instrument)
                self.spoken.add(name)
                return answer
            except RebootedError as exc:
                health.rebooted = True
                self._gone(name, exc)
            except GONE as exc:
                self._gone(name, exc)
            except ReplyLateError as exc:  # who waits for several replies that do not come is taken for hung
                self._gone(name, exc)
            except ReplyError as exc:
                if attempt == TRIES - 1:
                    if readings:
                        raise
                    self._gone(name, exc)
                self._tell(f"{_sentence(exc)} It is asked again.", attempt == 0)
            except RefusedError as exc:
                if ERRORS_LOST in exc.codes:
                    raise DeviceLostError(f"{_sentence(exc)} What it did since is unknown.") from exc
                if exc.codes and set(exc.codes) <= OUT_OF_STEP:
                    self._gone(name, exc)
                raise
            except (DriverError, NotImplementedError):
                raise
            except Exception as exc:  # a user's driver may raise anything; its instrument is then not to be relied on
                self._gone(name, exc)
        raise AssertionError("every attempt returns or raises")

    def _gone(self, name: str, exc: Exception) -> None:
        self.broken(name, _sentence(exc))
        raise Down(name, self.health[name].why) from exc

    def _tell(self, text: str, first: bool) -> None:
        if first:
            self.told.append(text)


def _open(instrument: Instrument, before: Identity | None = None) -> None:
    """Open an instrument, and see that it is the one of the rig file, and of before. Raises IdentityError if it is another."""
    found = instrument.open()
    if meant := instrument.meant or (before.serial if before is not None else ""):
        check_identity(found, instrument.name, serial=meant)


def _sentence(exc: BaseException) -> str:
    text = " ".join(str(exc).split()) or type(exc).__name__
    text = text if isinstance(exc, DriverError) else f"{type(exc).__name__}: {text}"
    return text if text.endswith((".", "?")) else f"{text}."


def _of(name: str, sentence: str) -> str:
    """Say of which instrument a sentence is, where it does not begin with that itself."""
    return sentence if sentence.startswith((f"{name} at ", f"{name}: ", f"{name}, ")) else f"{name}: {sentence}"
