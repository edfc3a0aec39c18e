"""The console: questions to instruments through their session, and never a way past it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import HOLD, client_of, served, slow

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import BackendError, DeviceStateError
from aeqlab.drivers.questions import is_known, refusal
from aeqlab.protocols.errors import NotAllowedError, ProtocolError
from aeqlab.protocols.session import Session

sys.path.append(str(Path(__file__).parents[1] / "backends"))
from rig_helpers import rig_on


def test_questions_are_answered_and_written_down() -> None:
    with rig_on() as rig, served(rig, homeostasis=HOLD) as server, client_of(server, "ada") as client:
        assert "QDAC-II" in client.console("dac", "*IDN?")
        assert float(client.console("dac", "sour3:volt:slew?")) > 0
        text = next(event.text for event in client.log()[0] if event.kind == "console")
        assert text.startswith("dac: *IDN? -> ")
        assert {one["name"]: one["talks"] for one in client.instruments()} == {"dac": True, "adc": True, "smu": True}
        assert all(one["identity"] and not one["down"] for one in client.instruments())


def test_while_something_owns_the_knobs_only_known_questions_are_sent() -> None:
    with (
        rig_on() as rig,
        served(rig, homeostasis=HOLD) as server,
        client_of(server) as client,
        client_of(server, "window", control=False) as window,
    ):
        with pytest.raises(NotAllowedError, match="control token"):
            window.console("dac", "SOUR1:VOLT?")
        assert np.isfinite(float(client.console("dac", "SOUR1:VOLT?")))
        client.move_knobs("control", [0], [0.1])
        assert window.console("adc", "SENS:VOLT:DC:NPLC? (@101)")
        for one in (client, window):
            with pytest.raises(NotAllowedError, match="owns the knobs"):
                one.console("dac", "SOUR1:VOLT?")
        np.testing.assert_allclose(client.controls()[0], 0.1, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SOUR1:VOLT 1.0", "no question"),
        ("*RST", "no question"),
        ("*IDN?;*RST", "one question"),
        ("*IDN?\nOUTP ON", "one line"),
        ("MEAS:VOLT? (@101)", "changes what the instrument does"),
        ("measure:voltage:dc? (@101)", "changes what"),
        ("*ESR?", "changes what"),
        ("READ?", "changes what"),
        ("SOUR1:VOLT 1.0 ?", "no question"),
        ("x" * 500 + "?", "at most 400"),
        ("", "one line"),
    ],
)
def test_what_sets_or_spoils_something_is_never_sent(text: str, said: str) -> None:
    with rig_on() as rig, Session(rig, homeostasis=HOLD) as session:
        for name in ("dac", "adc"):
            with pytest.raises(DeviceStateError, match=said):
                session.console(name, text)
        assert not [event for event in session.events if event.kind == "console"]


def test_what_has_no_instruments_or_no_such_one_refuses() -> None:
    with Session(slow(Clock.VIRTUAL), homeostasis=HOLD) as session:
        assert session.instruments() == []
        with pytest.raises(NotAllowedError, match="no instruments"):
            session.console("dac", "*IDN?")
    with (
        rig_on() as rig,
        Session(rig, homeostasis=HOLD) as session,
        pytest.raises(DeviceStateError, match="there are dac, adc, smu"),
    ):
        session.console("lamp", "*IDN?")


def test_a_question_that_it_does_not_know_is_told_and_harms_nothing() -> None:
    with rig_on() as rig, Session(rig, homeostasis=HOLD) as session:
        with pytest.raises((BackendError, ProtocolError), match="console"):
            session.console("dac", "NONSENSE:WORD?")
        session.present(np.zeros((1, 1)))
        for _ in range(8):
            try:
                session.advance()
            except BackendError:  # the link was opened again
                continue
        assert not rig.bus.down
        assert "QDAC-II" in session.console("dac", "*IDN?")


def test_it_is_no_way_round_by_a_device_call() -> None:
    with rig_on() as rig, Session(rig, homeostasis=HOLD) as session:
        for name in ("converse", "talk", "console", "bus"):
            with pytest.raises(ProtocolError):
                session.device_call(name, "dac", "*RST")


def test_long_and_short_forms_of_the_table_are_known() -> None:
    table: list[Any] = ["SOURce{key}:VOLTage:SLEW?", "SENSe:FUNCtion? {key}"]
    for text in (
        "SOUR12:VOLT:SLEW?",
        "source1:voltage:slew?",
        ":SOUR1:VOLT:SLEW?",
        "SENS:FUNC? (@101)",
        "SENS:FUNC? (@101,103:105)",
    ):
        assert is_known(text, table), text
        assert refusal(text) == ""
    for text in ("SOUR1:VOLT:SLEW", "SOUR1:VOLT:SLEWX?", "SENS:FUNC? (@101);*RST", "SOURC1:VOLT:SLEW?"):
        assert not is_known(text, table), text
