"""Talking to the instruments of a rig by hand, in their own words: questions alone, never a way past the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aeqlab.backends.errors import DeviceStateError
from aeqlab.backends.rig_bus import Down
from aeqlab.drivers.errors import DriverError
from aeqlab.drivers.questions import is_known, refusal
from aeqlab.drivers.visa import VisaInstrument

if TYPE_CHECKING:
    from aeqlab.backends.rig import Rig


class Reply(NamedTuple):
    """What an instrument answered, and which of its settings are not as they were before the question, in words."""

    text: str
    changed: tuple[str, ...]


def instruments(rig: Rig) -> list[dict[str, Any]]:
    """List the instruments: name, where it is, who it says it is, whether it can be talked to, and why it is down, if it is."""
    found = []
    for name in rig.plan.order:
        one = rig.bus.instruments[name]
        identity = "" if one.identity is None else str(one.identity)
        health = rig.bus.health[name]
        why = health.why if health.down_since is not None else ""
        found.append(
            {"name": name, "where": one.where, "identity": identity, "talks": isinstance(one, VisaInstrument), "down": why}
        )
    return found


def is_harmless(rig: Rig, name: str, text: str) -> bool:
    """Tell whether a question is one that the driver's own table knows to change nothing.

    Raises:
        DeviceStateError: there is no such instrument, it has no words, or the text is no question that may be asked at all.
    """
    instrument = rig.bus.instruments.get(name)
    if instrument is None:
        raise DeviceStateError(f"console: there is no instrument {name[:40]!r}; there are {', '.join(rig.plan.order)}.")
    if not isinstance(instrument, VisaInstrument):
        raise DeviceStateError(f"console: {name} does not speak in lines of text, as far as its driver tells.")
    known = is_known(text, instrument.questions())
    if not known and (why := refusal(text)):
        raise DeviceStateError(f"console: {text.strip()[:60]!r} is not sent to {name}: {why}.")
    return known


def converse(rig: Rig, name: str, text: str, look: bool) -> Reply:
    """Ask one question.

    Args:
        rig, name: the instrument.
        text: the question, of which `is_harmless` has told that it may be asked.
        look: compare all settings of the instrument before and after.
    Raises:
        DeviceStateError: it does not answer, or refuses.
    """

    def ask(instrument: Any) -> Reply:
        before = instrument.settings() if look else {}
        reply = str(instrument.ask(text.strip()))
        after = instrument.settings() if look else {}
        changed = (f"{key} from {before.get(key)} to {value}" for key, value in after.items() if before.get(key) != value)
        return Reply(reply, tuple(changed))

    try:
        return rig.bus.talk(name, ask)
    except (Down, DriverError) as exc:
        raise DeviceStateError(f"console: {exc}") from exc
