"""The command `instruments`: it opens what is named, asks for the name alone, and says in a sentence what does not answer."""

from __future__ import annotations

import socket
import warnings

import pytest
import pyvisa

from aeqlab.app.cli import main
from aeqlab.app.exits import ExitCode
from aeqlab.drivers.addresses import visa_address
from aeqlab.drivers.emulated.scpi import Front
from aeqlab.drivers.emulated.server import TcpServed
from aeqlab.drivers.errors import AddressError


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["instruments", *arguments])
    assert isinstance(exit_.value.code, int)
    return int(exit_.value.code)


def test_those_that_are_named_say_who_they_are_and_are_asked_for_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with TcpServed(Front("QDevil,QDAC-II,121,11-1.14")) as dac, TcpServed(Front("Keysight Technologies,DAQ970A,MY7,A.02")) as adc:
        assert code_of("--timeout", "60", f"127.0.0.1:{dac.port}", adc.address) == ExitCode.OK
        for served in (dac, adc):
            assert b"".join(served.heard).split() == [b"*IDN?"] * 6
    out = capsys.readouterr().out
    assert "QDevil QDAC-II, serial number 121, firmware 11-1.14" in out
    assert f'{{address: "{dac.address}", serial: "121"}}' in out
    assert f'{{address: "{adc.address}", serial: "MY7"}}' in out


def test_one_that_does_not_answer_keeps_no_other_from_being_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        socket.socket() as closed,
        TcpServed(Front("Maker,Model,7,1")) as there,
        TcpServed(Front("not a name")) as nameless,
    ):
        closed.bind(("127.0.0.1", 0))  # its port is taken, so that nobody else gets it, and nobody listens
        port = closed.getsockname()[1]
        addresses = [f"127.0.0.1:{port}", nameless.address, there.address]
        assert code_of("--timeout", "60", *addresses) == ExitCode.FAILED
    out, err = capsys.readouterr()
    assert "Maker Model, serial number 7" in out
    assert f"TCPIP::127.0.0.1::{port}::SOCKET: it cannot be opened: ConnectionRefusedError" in err
    assert "no maker, model and serial number: 'not a name'" in err


def test_what_visa_lists_comes_without_interfaces_and_warnings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Manager:
        def __init__(self, visa: str) -> None: ...

        def list_resources(self, query: str) -> tuple[str, ...]:
            warnings.warn("resource discovery requires another package", stacklevel=1)
            return ("PRLGX-ASRL::/dev/ttyS0::INTFC", "ASRL/dev/ttyS0::INSTR")

    monkeypatch.setattr(pyvisa, "ResourceManager", Manager)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of() == ExitCode.OK
    out, err = capsys.readouterr()
    assert out == "ASRL/dev/ttyS0::INSTR\n"
    assert "on a network socket are never listed: name them" in err


def test_what_is_no_address_is_said_before_anything_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    with TcpServed(Front("Maker,Model,7,1")) as there:
        assert code_of(there.address, "the scanner", "host:0") == ExitCode.BAD_INPUT
        for option in ("--timeout", "--wakes"):
            assert code_of(option, "nan", there.address) == ExitCode.BAD_INPUT
        assert there.heard == []
    said = capsys.readouterr().err
    assert "the scanner: write host:port" in said
    assert "host:0: 0 is no port" in said
    assert said.count("are times in s, not nan") == 2
    assert code_of("--visa", "nowhere.so", "127.0.0.1:5025") == ExitCode.FAILED
    assert "the VISA library 'nowhere.so' cannot be used" in capsys.readouterr().err


def test_without_names_it_lists_and_opens_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Manager:
        def __init__(self, visa: str) -> None:
            assert visa == "@py"

        def list_resources(self, query: str) -> tuple[str, ...]:
            assert query == "?*"
            return ("ASRL/dev/ttyACM0::INSTR", "ASRL/dev/ttyACM1::INSTR")

    monkeypatch.setattr(pyvisa, "ResourceManager", Manager)
    assert code_of() == ExitCode.OK
    out, err = capsys.readouterr()
    assert out.splitlines() == ["ASRL/dev/ttyACM0::INSTR", "ASRL/dev/ttyACM1::INSTR"]
    assert "None was opened." in err


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.5:5025", "TCPIP::192.168.1.5::5025::SOCKET"),
        (" adc.lab:5025 ", "TCPIP::adc.lab::5025::SOCKET"),
        ("COM3", "ASRL3::INSTR"),
        ("/dev/ttyACM0", "ASRL/dev/ttyACM0::INSTR"),
        ("GPIB0::8::INSTR", "GPIB0::8::INSTR"),
    ],
)
def test_addresses_as_a_person_writes_them(text: str, address: str) -> None:
    assert visa_address(text) == address


@pytest.mark.parametrize("text", ["", "dac", "host:99999", "host:0", "COM"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(AddressError):
        visa_address(text)
