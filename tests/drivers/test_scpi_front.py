"""The manners of SCPI that every emulated instrument has: forms, paths, lists, blocks, error queue, silence after mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from aeqlab.drivers import blocks
from aeqlab.drivers.emulated.scpi import QUEUE, Call, Command, Conversation, Front, ScpiError, channels, short_form


class Source:
    """A source of three channels that can be set and asked."""

    def __init__(self) -> None:
        self.volts = {1: 0.0, 2: 0.0, 3: 0.0}
        self.block: list[float] = []
        self.front = Front(
            "Maker,Model,7,1.0",
            [
                Command("SOURce#:VOLTage[:LEVel]", self.ask, self.set_, (1, 1)),
                Command("SOURce#:MODE", lambda call: "FIX", self.mode, (1, 1)),
                Command("LOAD", do=self.load, parameters=(1, 1)),
                Command("LIST", ask=lambda call: ",".join(map(str, channels(call.text(), (1, 2, 3))))),
                Command("SAY", ask=lambda call: call.text()),
                Command("[SENSe:]FUNCtion", ask=lambda call: "VOLT"),
            ],
            reset=lambda: self.volts.update({1: 0.0, 2: 0.0, 3: 0.0}),
        )

    def _channel(self, call: Call) -> int:
        if call.suffixes[0] not in self.volts:
            raise ScpiError(-114)
        return call.suffixes[0]

    def ask(self, call: Call) -> str:
        return f"{self.volts[self._channel(call)]:g}"

    def set_(self, call: Call) -> None:
        self.volts[self._channel(call)] = call.number(0, -2.0, 2.0)

    def mode(self, call: Call) -> None:
        call.word(0, "FIXed", "LIST")

    def load(self, call: Call) -> None:
        self.block = call.block(0, "<f4")


@pytest.fixture
def source() -> Source:
    return Source()


def said(source: Source, message: str) -> str:
    return source.front.carry_out(message.encode()).decode()


@pytest.mark.parametrize("header", ["SOUR3:VOLT", "SOURCE3:VOLTAGE", "sour3:volt:lev", ":source3:voltage:level", "Sour3:VOLTage"])
def test_headers_have_long_and_short_forms_in_any_case(source: Source, header: str) -> None:
    said(source, f"{header} 0.5")
    assert source.volts[3] == 0.5
    assert said(source, f"{header}?") == "0.5"
    assert said(source, "SYST:ERR?") == '+0,"No error"'


@pytest.mark.parametrize("header", ["SOURC3:VOLT", "SOU3:VOLT", "SOUR3:VOLTA", "SOUR3", "VOLT", "SOUR3:VOLT:LEVE"])
def test_what_is_neither_long_nor_short_is_undefined_and_a_bad_query_gets_no_reply(source: Source, header: str) -> None:
    assert said(source, f"{header}?") == ""
    assert said(source, "SYST:ERR?") == '-113,"Undefined header"'


@pytest.mark.parametrize("header", ["SENS:FUNC", "SENSE:FUNCTION", "FUNC", ":FUNCtion"])
def test_a_first_node_may_be_left_out(source: Source, header: str) -> None:
    assert said(source, f"{header}?") == "VOLT"


def test_without_a_number_the_first_channel_is_meant(source: Source) -> None:
    said(source, "SOUR:VOLT 1")
    assert source.volts[1] == 1.0


def test_after_a_semicolon_the_path_goes_on_and_a_colon_begins_anew(source: Source) -> None:
    assert said(source, "SOUR2:VOLT 0.25;MODE FIX;*OPC;VOLT?;:SOUR3:VOLT 0.75;VOLT?") == "0.25;0.75"
    assert (source.volts[2], source.volts[3]) == (0.25, 0.75)
    assert said(source, ":SOUR3:VOLT?;:MODE FIX") == "0.75"  # at the root there is no MODE
    assert said(source, "SYST:ERR?") == '-113,"Undefined header"'
    assert said(source, "SOUR2:VOLT?;:SOUR3:VOLT?;*IDN?") == "0.25;0.75;Maker,Model,7,1.0"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("SOUR1:VOLT 3", -222), ("SOUR1:VOLT nan", -222), ("SOUR1:VOLT 1x", -121), ("SOUR1:VOLT high", -104),
        ("SOUR1:VOLT", -109), ("SOUR1:VOLT 1,2", -108), ("SOUR9:VOLT 1", -114), ("SOUR1:MODE SWEEP", -224),
        ("LOAD 1", -161), ("LOAD #14abc", -161), ("SOUR1:VOLT #14abcd", -104), ("LIST?", -109),
    ],
)  # fmt: skip
def test_a_bad_command_changes_nothing_and_queues_its_error(source: Source, message: str, code: int) -> None:
    said(source, "SOUR1:VOLT 1;*CLS")
    assert said(source, message) == ""
    assert source.volts == {1: 1.0, 2: 0.0, 3: 0.0}
    assert said(source, "SYST:ERR:COUN?") == "1"
    assert said(source, "SYST:ERR?").startswith(f"{code},")
    assert int(said(source, "*ESR?")) == (32 if code > -200 else 16)
    assert said(source, "*ESR?") == "0"


def test_the_rest_of_a_message_after_a_mistake_is_not_carried_out(source: Source) -> None:
    assert said(source, "SOUR1:VOLT 1;VOLTS 2;:SOUR2:VOLT 2") == ""
    assert source.volts == {1: 1.0, 2: 0.0, 3: 0.0}


def test_a_full_queue_says_so_in_its_last_entry(source: Source) -> None:
    for _ in range(QUEUE + 5):
        said(source, "NONSENSE")
    entries = [said(source, "SYST:ERR?") for _ in range(QUEUE + 1)]
    assert entries[: QUEUE - 1] == ['-113,"Undefined header"'] * (QUEUE - 1)
    assert entries[QUEUE - 1 :] == ['-350,"Error queue overflow"', '+0,"No error"']


def test_clear_empties_the_queue_and_reset_does_not(source: Source) -> None:
    said(source, "SOUR1:VOLT 1")
    said(source, "NONSENSE")
    said(source, "*RST")
    assert source.volts[1] == 0.0
    assert said(source, "SYST:ERR:COUN?") == "1"
    said(source, "*CLS")
    assert said(source, "SYST:ERR:COUN?") == "0"


def test_power_on_is_told_once(source: Source) -> None:
    assert int(said(source, "*ESR?")) & 128
    assert int(said(source, "*ESR?")) == 0


def test_lists_name_channels_and_ranges_of_them(source: Source) -> None:
    assert said(source, "LIST? (@1,2:3)") == "1,2,3"
    assert said(source, "LIST? (@)") == ""
    for wrong, code in (("(@4)", -222), ("(1)", -102), ("(@1-2)", -102)):
        assert said(source, f"LIST? {wrong}") == ""
        assert said(source, "SYST:ERR?").startswith(f"{code},")


def test_a_block_may_hold_whatever_bytes_and_comes_in_pieces(source: Source) -> None:
    values = np.frombuffer(b"\n;,#" * 5, "<f4")
    talk = Conversation(source.front)
    message = b"LOAD " + blocks.encode(values) + b"\nSAY? 'a;b'\nSOUR2:VOLT?\n"
    replies = [reply for k in range(len(message)) for reply in talk.hear(message[k : k + 1])]
    assert source.block == values.tolist()
    assert replies == [b"a;b\n", b"0\n"]


def test_a_carriage_return_before_the_end_means_nothing(source: Source) -> None:
    assert Conversation(source.front, b"\r\n").hear(b"SOUR1:VOLT 2\r\nSOUR1:VOLT?\r\n") == [b"2\r\n"]


def test_short_forms() -> None:
    assert [short_form(word) for word in ("SOURce", "VOLTage", "*IDN", "NPLCycles")] == ["SOUR", "VOLT", "*IDN", "NPLC"]


def test_what_is_done_before_each_message_is_done_as_often_however_they_are_cut(source: Source) -> None:
    data = b"SOURce1:VOLTage 1\nSOURce2:VOLTage 1\n*IDN?\n"
    for pieces in ([data], [data[k : k + 1] for k in range(len(data))], [data[:20], data[20:]]):
        counted: list[float] = []
        talk = Conversation(source.front)
        for piece in pieces:
            talk.hear(piece, lambda counted=counted: counted.append(source.volts[2]))  # type: ignore[misc]
        assert len(counted) == 3
        assert counted[-1] == 1.0
        source.volts[2] = 0.0
