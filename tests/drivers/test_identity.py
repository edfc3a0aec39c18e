"""Who answers: names in four parts, and whether it is the instrument that is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeqlab.drivers.errors import IdentityError, ReplyError
from aeqlab.drivers.identity import Identity, check_identity, parse_identity

QDAC = "QDevil, QDAC-II, 121, 11-1.14"
SCANNER = "Keysight Technologies,DAQ970A,MY12345678,A.02.04-00.16-02"


def test_the_four_parts() -> None:
    assert parse_identity(QDAC) == Identity("QDevil", "QDAC-II", "121", "11-1.14")
    assert parse_identity(SCANNER + "\r\n").firmware == "A.02.04-00.16-02"
    assert parse_identity("a,b,0").firmware == ""
    assert parse_identity("a,b,c,d,e").firmware == "d,e"
    assert str(parse_identity(QDAC)) == "QDevil QDAC-II, serial number 121, firmware 11-1.14"
    assert str(parse_identity("a,b,0")) == "a b, serial number 0"


@pytest.mark.parametrize("reply", ["", "NOP", "1.5,2.5", "a,,1", ",,,", '-113,"Undefined header"'])
def test_what_is_no_name(reply: str) -> None:
    with pytest.raises(ReplyError, match="no maker, model and serial number"):
        parse_identity(reply)


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        found = parse_identity(text)
    except ReplyError:
        return
    assert found.model


def test_the_one_that_is_meant() -> None:
    found = parse_identity(SCANNER)
    check_identity(found, "adc")
    check_identity(found, "adc", maker="keysight", models=("34970A", "daq970"), serial=" MY12345678 ")


@pytest.mark.parametrize("meant", [{"maker": "QDevil"}, {"models": ("QDAC-II",)}, {"maker": "Keysight", "models": ("34970A",)}])
def test_another_instrument_is_named_with_the_one_that_was_meant(meant: dict[str, object]) -> None:
    with pytest.raises(IdentityError) as caught:
        check_identity(parse_identity(SCANNER), "dac at TCPIP::10.0.0.2::5025::SOCKET", **meant)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("dac at TCPIP::10.0.0.2::5025::SOCKET: ")
    assert "Keysight Technologies DAQ970A, serial number MY12345678" in message
    assert "not QDevil" in message or "not QDAC-II" in message or "not Keysight 34970A" in message


def test_another_serial_number() -> None:
    with pytest.raises(IdentityError, match=r"MY12345678.*asked for is MY1"):
        check_identity(parse_identity(SCANNER), "adc", maker="Keysight", serial="MY1")
