"""Fetching data sets from a real server on loopback: whole, in pieces, from one that misbehaves; and verifying them."""

from __future__ import annotations

import gzip
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from offering import NAMES, Offer, offered, small_files, small_set

from aeqlab.protocols import data_fetch
from aeqlab.protocols.data import load_data
from aeqlab.protocols.data_fetch import fetch, part_of
from aeqlab.protocols.data_sets import KNOWN, KnownSet, folder_of, known_set, verify
from aeqlab.protocols.errors import DataError, FetchError
from aeqlab.protocols.images import MnistSettings
from aeqlab.protocols.run_lock import RunLock

FILES = small_files()
IMAGES = f"{NAMES[0]}.gz"
RAW = FILES[IMAGES]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def offer() -> Iterator[Offer]:
    with offered(dict(FILES)) as serving:
        yield serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tiny"


def of(offer: Offer, *hows: str) -> KnownSet:
    """Get the data set, offered in these ways, one mirror each."""
    return small_set(FILES, *(f"{offer.address}{how}/" for how in hows))


def ways(data: KnownSet, folder: Path, **more: object) -> list[str]:
    """Fetch; get what was done for each file. Afterwards everything is there and right, and no part is left."""
    done = [each.how for each in fetch(data, folder, **more)]  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in folder.glob("*ubyte*")} == FILES
    return done


def left(folder: Path, size: int, raw: bytes = RAW) -> Path:
    """Leave a part as a transfer that broke off does."""
    folder.mkdir(exist_ok=True)
    part = part_of(folder / IMAGES)
    part.write_bytes(raw[:size])
    return part


def test_what_is_fetched_can_be_trained_with(offer: Offer, folder: Path) -> None:
    shown: list[tuple[str, int, int]] = []
    done = ways(of(offer, "good"), folder, on_bytes=lambda *what: shown.append(what))
    assert done == ["fetched"] * 4
    assert (IMAGES, len(RAW), len(RAW)) in shown
    assert len(load_data(MnistSettings(path=str(folder)), seed=1, base=Path()).train) == 400
    asked = len(offer.asked)
    assert ways(of(offer, "good"), folder) == ["there"] * 4
    assert len(offer.asked) == asked  # nothing was asked for again


def test_a_part_is_gone_on_with(offer: Offer, folder: Path) -> None:
    left(folder, 5000)
    assert ways(of(offer, "good"), folder) == ["resumed", "fetched", "fetched", "fetched"]
    assert offer.ranges == ["bytes=5000-", None, None, None]


def test_a_server_without_ranges_begins_anew(offer: Offer, folder: Path) -> None:
    left(folder, 5000)
    assert ways(of(offer, "plain"), folder) == ["fetched"] * 4
    assert offer.ranges == ["bytes=5000-", None, None, None]


def test_a_server_that_says_no_length(offer: Offer, folder: Path) -> None:
    left(folder, 5000)
    assert ways(of(offer, "chunked"), folder) == ["resumed", "fetched", "fetched", "fetched"]


def test_a_connection_that_is_cut_is_gone_on_with(offer: Offer, folder: Path) -> None:
    size = len(RAW) // 3 + 1
    assert ways(of(offer, f"cut-{size}"), folder) == ["fetched"] * 4
    assert offer.asked[:3] == [
        (f"/cut-{size}/{IMAGES}", None, None),
        (f"/cut-{size}/{IMAGES}", f"bytes={size}-", '"one"'),
        (f"/cut-{size}/{IMAGES}", f"bytes={2 * size}-", '"one"'),
    ]


def test_one_that_is_cut_again_and_again_keeps_what_came(offer: Offer, folder: Path) -> None:
    with pytest.raises(FetchError) as caught:
        ways(of(offer, "cut-100"), folder)
    came = 100 * data_fetch.GOES
    assert part_of(folder / IMAGES).read_bytes() == RAW[:came]
    assert f"the connection ended after {came} of {len(RAW):,} bytes" in str(caught.value)
    assert f"{came} of {len(RAW):,} bytes are kept beside it: fetch again to go on." in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ways(of(offer, "good"), folder)[0] == "resumed"  # another address may go on
    assert offer.asked[-4] == (f"/good/{IMAGES}", f"bytes={came}-", None)  # of whose version nothing is known


def test_another_version_on_the_server_is_begun_anew(offer: Offer, folder: Path) -> None:
    with pytest.raises(FetchError):
        ways(of(offer, "cut-100"), folder)
    offer.etag = '"two"'
    offer.asked.clear()
    data = small_set(FILES, f"{offer.address}cut-100/")
    with pytest.raises(FetchError):
        ways(data, folder)
    assert offer.asked[0][1:] == (f"bytes={100 * data_fetch.GOES}-", '"one"')
    assert part_of(folder / IMAGES).read_bytes() == RAW[: 100 * data_fetch.GOES]  # begun anew, and gone on with four times


def test_a_part_of_another_file_is_found_out_and_begun_anew(offer: Offer, folder: Path) -> None:
    left(folder, 5000, bytes(5000))
    assert ways(of(offer, "good"), folder) == ["fetched"] * 4
    assert offer.ranges[:2] == ["bytes=5000-", None]


def test_a_part_that_is_too_long_is_begun_anew(offer: Offer, folder: Path) -> None:
    left(folder, len(RAW) + 7, RAW + b"x" * 7)
    assert ways(of(offer, "good"), folder) == ["fetched"] * 4


def test_a_part_that_is_whole_needs_no_server(folder: Path) -> None:
    left(folder, len(RAW))
    data = small_set({IMAGES: RAW}, "http://127.0.0.1:9/")
    assert [each.how for each in fetch(data, folder)] == ["resumed"]
    assert (folder / IMAGES).read_bytes() == RAW
    assert not part_of(folder / IMAGES).exists()


def test_wrong_bytes_change_nothing_that_was_there(offer: Offer, folder: Path) -> None:
    folder.mkdir()
    (folder / IMAGES).write_bytes(b"what was there")
    with pytest.raises(FetchError) as caught:
        ways(of(offer, "wrong"), folder)
    expected = of(offer).files[0].sha256
    assert f"expected {expected}" in str(caught.value)
    assert "another file: its SHA-256 is " in str(caught.value)
    assert (folder / IMAGES).read_bytes() == b"what was there"
    assert not part_of(folder / IMAGES).exists()
    assert ways(of(offer, "wrong", "good"), folder) == ["fetched"] * 4  # the next mirror has it


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("empty", "it is not there (404 Not Found)"),
        ("busy", "the server answered 503 Service Unavailable"),
        ("garbage", "the answer of the server cannot be understood"),
        ("longer", f"its file has {len(RAW) + 1:,} bytes, {len(RAW):,} are expected: another file"),
        ("shifted", "the server sent other bytes than those asked for"),
        ("silent", "the server was silent for 0.2 s"),
        ("slow", f"the server was silent for 0.2 s, after 10,000 of {len(RAW):,} bytes"),
    ],
)
def test_what_a_server_may_do_is_said(offer: Offer, folder: Path, how: str, words: str) -> None:
    part = left(folder, 5000)
    with pytest.raises(FetchError) as caught:
        ways(of(offer, how), folder, timeout_s=0.2)
    assert words in str(caught.value)
    assert f"{offer.address}{how}/{IMAGES}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert part.read_bytes()[:5000] == RAW[:5000]  # kept, whatever it was


def test_nobody_answers(folder: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))  # taken, and not listened on
        data = small_set(FILES, f"http://127.0.0.1:{listening.getsockname()[1]}/")
        with pytest.raises(FetchError, match="nothing answers there"):
            ways(data, folder)


def test_no_network(folder: Path) -> None:
    with pytest.raises(FetchError, match="the name of the server cannot be found"):
        ways(small_set(FILES, "http://nowhere.invalid/"), folder)


def test_ctrl_c_keeps_what_came(offer: Offer, folder: Path) -> None:
    def press(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ways(of(offer, "cut-3000"), folder, on_bytes=press)
    assert part_of(folder / IMAGES).read_bytes() == RAW[:3000]
    assert ways(of(offer, "good"), folder)[0] == "resumed"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to write to")
def test_a_full_disk_is_said(offer: Offer, folder: Path) -> None:
    folder.mkdir()
    part_of(folder / IMAGES).symlink_to("/dev/full")
    with pytest.raises(FetchError, match="the disk is full"):
        ways(of(offer, "good"), folder)
    assert not (folder / IMAGES).exists()


def test_a_file_that_would_fill_the_disk_is_not_begun(offer: Offer, folder: Path) -> None:
    data = small_set({IMAGES: RAW}, f"{offer.address}good/")
    huge = KnownSet("tiny", "", (data.files[0].__class__("train-images", IMAGES, 10**18, "0" * 64, "0" * 64),), data.mirrors)
    with pytest.raises(FetchError, match=r"1,000,000,000,000,000,000 bytes more are needed, .* are free"):
        list(fetch(huge, folder))
    assert not offer.asked


@pytest.mark.skipif(sys.platform == "win32", reason="folders are protected in another way there")
def test_a_folder_that_cannot_be_written_is_said(offer: Offer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FetchError, match="cannot be written: Not a directory"):
        list(fetch(of(offer, "good"), tmp_path / "file" / "tiny"))


def test_only_one_fetches_into_a_folder(offer: Offer, folder: Path) -> None:
    folder.mkdir()
    lock = RunLock(folder / ".fetch.lock")
    lock.take()
    try:
        with pytest.raises(FetchError, match="is in use by process"):
            list(fetch(of(offer, "good"), folder))
    finally:
        lock.release()
    assert ways(of(offer, "good"), folder) == ["fetched"] * 4


# a lab's own mirror


@pytest.mark.parametrize("path", ["labs", "labs/"])
def test_an_address_of_the_lab_itself_or_with_the_name_of_the_set(offer: Offer, folder: Path, path: str) -> None:
    assert ways(small_set(FILES), folder, source=offer.address + path) == ["fetched"] * 4
    assert offer.asked[0][0] == f"/labs/tiny/{IMAGES}"  # this server has files in every folder


def test_an_address_that_has_the_files_in_itself(offer: Offer, folder: Path) -> None:
    offer.files = {f"{name}": raw for name, raw in FILES.items()}
    data = KnownSet("empty", "", small_set(FILES).files, ())
    assert [each.how for each in fetch(data, folder, source=f"{offer.address}")] == ["fetched"] * 4
    assert [path for path, _, _ in offer.asked[:2]] == [f"/empty/{IMAGES}", f"/{IMAGES}"]


@pytest.mark.parametrize("inside", ["", "tiny"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_of_the_lab(tmp_path: Path, folder: Path, inside: str, packed: bool) -> None:
    lab = tmp_path / "lab" / inside
    lab.mkdir(parents=True)
    for name, raw in FILES.items():
        (lab / (name if packed else name.removesuffix(".gz"))).write_bytes(raw if packed else gzip.decompress(raw))
    done = list(fetch(small_set(FILES), folder, source=str(tmp_path / "lab")))
    assert [each.how for each in done] == ["fetched"] * 4
    assert [each.state for each in verify(small_set(FILES), folder)] == ["good"] * 4


def test_a_folder_with_other_files_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / IMAGES).write_bytes(RAW[:-1])
    with pytest.raises(FetchError, match=r"is another file: its SHA-256 is .* expected"):
        list(fetch(small_set(FILES), folder, source=str(tmp_path / "lab")))
    assert not (folder / IMAGES).exists()
    with pytest.raises(DataError, match="no such folder"):
        list(fetch(small_set(FILES), folder, source=str(tmp_path / "no lab")))


def test_a_damaged_unpacked_file_is_put_aside(offer: Offer, folder: Path) -> None:
    folder.mkdir()
    plain = folder / NAMES[0]
    plain.write_bytes(b"damaged")
    assert [each.how for each in fetch(of(offer, "good"), folder)] == ["fetched"] * 4
    assert [each.state for each in verify(of(offer), folder)] == ["good"] * 4
    assert (folder / f"{NAMES[0]}.damaged").read_bytes() == b"damaged"


# verify


def test_each_file_is_good_missing_or_damaged(folder: Path) -> None:
    data = small_set(FILES)
    folder.mkdir()
    assert [each.state for each in verify(data, folder)] == ["missing"] * 4
    contents = [gzip.decompress(raw) for raw in FILES.values()]
    (folder / IMAGES).write_bytes(RAW)
    (folder / NAMES[1]).write_bytes(contents[1])
    (folder / f"{NAMES[2]}.gz").write_bytes(gzip.compress(contents[2], 1))
    (folder / f"{NAMES[3]}.gz").write_bytes(FILES[f"{NAMES[3]}.gz"][:-1])
    found = list(verify(data, folder))
    assert [(each.state, each.detail) for each in found[:3]] == [
        ("good", ""),
        ("good", "unpacked"),
        ("good", "packed differently"),
    ]
    assert found[3].state == "damaged"
    assert f"expected {data.files[3].sha256}" in found[3].detail


def test_the_files_of_the_real_sets_are_the_known_ones(data_folder: Path) -> None:
    for name in ("mnist", "fashion-mnist"):
        found = list(verify(KNOWN[name], folder_of(KNOWN[name], data_folder)))
        assert [each.state for each in found] == ["good"] * 4, found
        packed = [each for each in found if each.path.suffix == ".gz"]
        assert [each.path.stat().st_size for each in packed] == [each.file.size for each in packed]


def test_where_a_set_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(tmp_path))
    mnist = known_set("mnist")
    assert folder_of(mnist) == tmp_path / "mnist"
    raw = tmp_path / "MNIST" / "raw"  # where torchvision puts them
    raw.mkdir(parents=True)
    (raw / NAMES[1]).write_bytes(b"")
    assert folder_of(mnist) == raw
    monkeypatch.setenv("AEQLAB_DATA", str(tmp_path / "mnist"))
    assert folder_of(mnist) == tmp_path / "mnist"
    with pytest.raises(DataError, match="Did you mean 'mnist'"):
        known_set("mnits")
