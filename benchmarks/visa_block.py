"""A block of 4,096 floats to an instrument and one back, over TCP.

    python benchmarks/visa_block.py [repeats]

The floor is a raw socket that exchanges the same bytes with the same server, another process of this interpreter. A rate of 0.8
of the floor's is a time of 1.25 of it. What numpy makes of the bytes on either side is part of the connection, not of the floor.
Whether the other process falls asleep before the next message comes makes more difference than all else: a second raw exchange
makes the bytes from floats, looks at them and makes floats again, as whoever uses a socket has to. A block that goes ahead of
the question, in the same packet, wakes the instrument once and not twice: drivers set their outputs so.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from _bench import Bench, repeats_from

from aeqlab.drivers.blocks import decode_whole, encode
from aeqlab.drivers.connection import Connection, Wire

FLOATS, EXCHANGES = 4096, 200
WRITE, READ = b"SOUR:BLOC ", b"SENS:BLOC?\n"


def serve() -> None:
    """Keep the block that is written, answer with it when it is read; a thread for each conversation."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


def converse(link: socket.socket) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size = len(WRITE + encode(np.zeros(FLOATS))) + 1
    kept, block = b"", b""
    while piece := link.recv(65536):
        kept += piece
        if kept.startswith(WRITE) and len(kept) >= size:
            block, kept = kept[len(WRITE) : size], kept[size:]
        if kept == READ:
            link.sendall(block)
            kept = b""
        elif kept == b"*IDN?\n":
            link.sendall(b"aeqlab,benchmark,0,1\n")
            kept = b""


def main(repeats: int) -> None:
    server = subprocess.Popen([sys.executable, str(Path(__file__)), "serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    bare = socket.create_connection(("127.0.0.1", port))
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    values = np.random.default_rng(1).uniform(-1, 1, FLOATS).astype("f4")
    message = WRITE + encode(values) + b"\n"
    size = len(message) - len(WRITE)

    def floor() -> None:
        for _ in range(EXCHANGES):
            bare.sendall(message)
            bare.sendall(READ)
            got = 0
            while got < size:
                got += len(bare.recv(65536))

    def in_one() -> None:
        for _ in range(EXCHANGES):
            bare.sendall(message + READ)
            got = 0
            while got < size:
                got += len(bare.recv(65536))

    def with_floats() -> None:
        for _ in range(EXCHANGES):
            bare.sendall(WRITE + encode(values) + b"\n")
            bare.sendall(READ)
            data = bytearray()
            while len(data) < size:
                data += bare.recv(65536)
            back = decode_whole(bytes(data[:-1]), "<f4", FLOATS)
            if not np.isfinite(back).all():
                raise ValueError

    link = Connection(Wire(f"TCPIP::127.0.0.1::{port}::SOCKET"))
    link.open()

    def connection() -> None:
        for _ in range(EXCHANGES):
            link.write_block("SOUR:BLOC ", values)
            back = link.query_block("SENS:BLOC?", count=FLOATS)
        np.testing.assert_array_equal(back, values)

    def ahead() -> None:
        for _ in range(EXCHANGES):
            back = link.query_block("SENS:BLOC?", count=FLOATS, ahead=link.block("SOUR:BLOC ", values))
        np.testing.assert_array_equal(back, values)

    bench = Bench("a block of 4,096 floats there and one back")
    bench.compare(
        ("raw socket, the same bytes", floor),
        ("raw socket, floats on both sides", with_floats, ""),
        ("raw socket, block and question in one packet", in_one, ""),
        ("connection, a write and a query", connection, "0.8 of the rate (1.25)"),
        ("connection, the block ahead of the question", ahead, "0.8 of the rate (1.25)"),
        repeats=repeats,
        per=EXCHANGES,
    )
    bench.show()
    link.close()
    bare.close()
    server.kill()
    server.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(repeats_from(sys.argv, 30))
