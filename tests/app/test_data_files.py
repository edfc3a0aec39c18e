"""The commands `data fetch`, `verify` and `list` as a person uses them, with a server on loopback."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from aeqlab.app.cli import main
from aeqlab.app.data_files import fetch_data, list_data, verify_data
from aeqlab.protocols.data_sets import KNOWN, KnownFile, KnownSet

NAMES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
PATIENCE_S = 120.0
Here = Callable[..., tuple[int, str, str]]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; knows no ranges."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("AEQLAB_DATA", str(tmp_path / "data"))


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[..., http.server.BaseHTTPRequestHandler]], str]]:
    """Get a function that serves with a handler until the end of the test; it returns the address."""
    running: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def begin(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield begin
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Get a function that runs one command in this process and returns its exit code and what it printed."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert isinstance(exit_.value.code, int)
        return int(exit_.value.code), out, err

    return call


def lab(folder: Path) -> dict[str, KnownSet]:
    """Put the files of a small data set into a folder; returns the registry that knows it."""
    folder.mkdir()
    files = []
    for i, name in enumerate(NAMES):
        contents = bytes([0, 0, 8, 1, 0, 0, 0, 50 + i, *range(50 + i)])
        raw = gzip.compress(contents, mtime=0)
        (folder / name).write_bytes(raw)
        sums = (hashlib.sha256(part).hexdigest() for part in (raw, contents))
        files.append(KnownFile(name.partition("-idx")[0], name, len(raw), *sums))
    return {"tiny": KnownSet("tiny", "a small data set", tuple(files), ())}


def test_fetched_verified_damaged_and_mended(
    tmp_path: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    known = lab(tmp_path / "lab")
    address = serve(partial(Quiet, directory=str(tmp_path / "lab")))
    assert verify_data([], known) == 1
    assert "No data set in" in capsys.readouterr().err
    assert fetch_data(["tiny"], address, known) == 0
    out, err = capsys.readouterr()
    assert [line.split("  ")[1:] for line in out.splitlines()[:4]] == [[name, "fetched"] for name in NAMES]
    assert not err
    assert verify_data([], known) == 0
    assert capsys.readouterr().out.count(" good") == 4
    (tmp_path / "data" / "tiny" / NAMES[0]).write_bytes(b"damaged")
    (tmp_path / "data" / "tiny" / NAMES[3]).unlink()
    assert verify_data(["tiny"], known) == 1
    out, err = capsys.readouterr()
    damaged = hashlib.sha256(b"damaged").hexdigest()
    assert f"damaged  its SHA-256 is {damaged}, expected {known['tiny'].files[0].sha256}" in out
    assert f"{NAMES[3]}   missing" in out
    assert err == "`aeqlab data fetch tiny` fetches what is missing or damaged.\n"
    assert list_data(known) == 0
    assert "3 of 4 files" in capsys.readouterr().out
    assert fetch_data(["tiny"], str(tmp_path / "lab"), known) == 0
    assert capsys.readouterr().out.count("there already") == 2
    assert verify_data(["tiny"], known) == 0


def test_what_goes_wrong_is_one_sentence_and_an_exit_code(tmp_path: Path, serve: Callable[..., str], here: Here) -> None:
    (tmp_path / "nothing").mkdir()
    address = serve(partial(Quiet, directory=str(tmp_path / "nothing")))
    code, out, err = here("data", "fetch", "mnist", "--from", address)
    assert (code, out) == (1, "")
    assert f"{address}{NAMES[0]}: it is not there (404 File not found)" in err
    assert len(err.splitlines()) == 1
    code, _, err = here("data", "fetch", "mnits")
    assert (code, err) == (2, "no data set 'mnits' can be fetched. Did you mean 'mnist'? There are mnist, fashion-mnist.\n")
    assert here("data", "fetch", "mnist", "--from", "gopher://lab")[0] == 2
    assert here("data", "fetch")[0] == 2
    code, out, _ = here("data", "verify", "fashion-mnist")
    assert code == 1
    assert out.count("missing") == 4
    code, out, _ = here("data", "list")
    assert code == 0
    assert all(name in out for name in KNOWN)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_keeps_what_came_and_says_so(tmp_path: Path, serve: Callable[..., str]) -> None:
    let_go = threading.Event()

    class Slow(Quiet):
        def do_GET(self) -> None:
            if not self.path.startswith("/mnist/"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(KNOWN["mnist"].files[0].size))
            self.end_headers()
            self.wfile.write(bytes(10_000))
            self.wfile.flush()
            let_go.wait(2 * PATIENCE_S)

    command = [sys.executable, "-m", "aeqlab.app.cli", "data", "fetch", "mnist", "--from", serve(Slow)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "data" / "mnist" / f"{NAMES[0]}.part"
    until = time.monotonic() + PATIENCE_S
    while not (part.exists() and part.stat().st_size >= 10_000):  # it may come in pieces
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    let_go.set()
    assert process.returncode == 130, err
    assert err == "interrupted. What came is kept: `aeqlab data fetch mnist` goes on from there.\n"
    assert part.stat().st_size == 10_000
