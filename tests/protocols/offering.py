"""A web server on loopback that offers the files of a small data set, well behaved or not: the folder asked for says how."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from aeqlab.protocols.data_sets import KnownFile, KnownSet

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


def small_files(seed: int = 0) -> dict[str, bytes]:
    """Make the four files of a data set of 400 and 100 images of 12 x 12, packed."""
    rng = np.random.default_rng(seed)
    arrays = [a for n in (400, 100) for a in (rng.integers(0, 256, (n, 12, 12)), rng.integers(0, 10, n))]
    return {f"{name}.gz": gzip.compress(idx(array), mtime=0) for name, array in zip(NAMES, arrays, strict=True)}


def small_set(files: dict[str, bytes], *mirrors: str) -> KnownSet:
    """Make the entry of the registry for these files."""
    known = [
        KnownFile(name.partition("-idx")[0], name, len(raw), _sum(raw), _sum(gzip.decompress(raw))) for name, raw in files.items()
    ]
    return KnownSet("tiny", "a small data set", tuple(known), mirrors)


def _sum(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass
class Offer:
    """What a server offers and what it was asked.

    Attributes:
        files: by name.
        address: of the server, ending in /.
        asked: path, Range and If-Range of each request, in order.
        etag: version of the files, as the server says it.
        let_go: while it is not set, a server that is `silent` or `slow` says nothing more.
    """

    files: dict[str, bytes]
    address: str = ""
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    etag: str = '"one"'
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def ranges(self) -> list[str | None]:
        """Get the ranges asked for, in order."""
        return [asked_range for _, asked_range, _ in self.asked]


@contextmanager
def offered(files: dict[str, bytes]) -> Iterator[Offer]:
    """Serve the files until the end."""
    offer = Offer(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            offer.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
            how, _, name = self.path.lstrip("/").rpartition("/")
            body = offer.files.get(name)
            if how == "garbage":
                self.wfile.write(b"220 this is a mail server\r\n")
            elif how == "busy":
                self.send_error(503)
            elif how == "silent":
                offer.let_go.wait(60)
            elif body is None or how == "empty":
                self.send_error(404)
            else:
                self.answer(how, body)

        def answer(self, how: str, body: bytes) -> None:
            if how == "wrong":
                body = bytes(len(body))
            elif how == "longer":
                body += b"x"
            start = self.start_of(how, len(body))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                shown = start + 1 if how == "shifted" else start
                self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
            if how == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body) - start))
            self.send_header("ETag", offer.etag)
            self.end_headers()
            rest = body[start:]
            if how == "chunked":
                rest = b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest)
            elif how.startswith("cut"):  # cut/N: the connection ends after N bytes, every time
                rest = rest[: int(how.partition("-")[2])]
            elif how == "slow":
                self.wfile.write(rest[:1000])
                self.wfile.flush()
                offer.let_go.wait(60)
                rest = b""
            self.wfile.write(rest)

        def start_of(self, how: str, size: int) -> int:
            wanted, version = self.headers.get("Range"), self.headers.get("If-Range")
            if how == "plain" or wanted is None or (version is not None and version != offer.etag):
                return 0
            return int(wanted.removeprefix("bytes=").partition("-")[0])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    offer.address = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield offer
    finally:
        offer.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
