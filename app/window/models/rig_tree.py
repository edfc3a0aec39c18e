"""A rig file under construction as the plain values that are saved: sections in their order, entries as they were."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from aeqlab.app.window.models.rig_cells import CONTROL, NUDGE, PARAMETER, SECTIONS, Row
from aeqlab.app.window.models.rig_entries import Form, entry_of, gather_rows

#: Keys of a rig file in the order in which a new one is written.
ORDER = ("name", "instruments", "controls", "parameters", "inputs", "outputs", "nudge", "monitors", "supplies", "order", "sums",
         "interlocks", "tick_s")  # fmt: skip
NEEDED = ("controls", "parameters", "inputs", "outputs")  #: sections that are written though nothing is in them yet
#: Keys of a nudge that its rows hold.
OF_CHANNELS = ("channels", "channel", "limits", "slew_per_s", "unit")


def plain_tree(
    instruments: Mapping[str, Any],
    rows: Sequence[Row],
    rest: Mapping[str, Any],
    forms: Mapping[int, Form],
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """Make the file.

    Args:
        instruments: entries by name.
        rows: all channels.
        rest: all other keys, the nudge's own among them.
        forms: how entries stood in the file that was read, by their numbers.
        before: what that file says.
    """
    found: dict[str, Any] = {"instruments": copy.deepcopy(dict(instruments))}
    for role, section in SECTIONS.items():
        those = [row for row in rows if row.role == role]
        if role == NUDGE:
            found[section] = _nudge(those, rest.get("nudge"), forms)
            continue
        entries = [entry for _, entry in gather_rows(those, forms)]
        if entries or section in NEEDED:
            known = any(form.role == role for form in forms.values())
            alone = isinstance(before.get(section), dict) if known else role in (CONTROL, PARAMETER)
            found[section] = entries[0] if alone and len(entries) == 1 else entries
    found |= copy.deepcopy({key: value for key, value in rest.items() if key != "nudge"})
    return {key: found[key] for key in sorted(found, key=_place_of) if found[key] is not None}


def _nudge(rows: Sequence[Row], given: Any, forms: Mapping[int, Form]) -> Any:
    """Make the nudge of its rows and of its own keys; None where there is nothing of it."""
    if not isinstance(given, Mapping) and given is not None and not rows:
        return given  # whatever it is, it stays
    own = dict(given) if isinstance(given, Mapping) else {}
    if not rows:
        return own or None
    number = next((row.entry for row in rows if row.entry in forms), None)
    form = forms.get(number) if number is not None else None
    entry = entry_of(rows, form)
    if form is None:
        first = {"realisation": own.pop("realisation")} if "realisation" in own else {}
        channels = {key: entry.pop(key) for key in ("channel", "channels") if key in entry}
        return {**first, "channels": next(iter(channels.values()), []), **own, **entry}
    mine = set(form.spelled.values()) - {form.spelled.get(key) for key in OF_CHANNELS}
    return {key: own.get(key, value) for key, value in entry.items() if key not in mine or key in own} | own


def _place_of(key: str) -> int:
    return ORDER.index(key) if key in ORDER else len(ORDER)
