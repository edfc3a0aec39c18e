"""The data sets that aeqlab can fetch and verify: their files, the SHA-256 of each, where they are offered, where they belong."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aeqlab.protocols.errors import DataError
from aeqlab.protocols.images import file_of_images, folders_of_images
from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.places import data_root
from aeqlab.protocols.run_inputs import sha256_of

CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class KnownFile:
    """One file of a data set, as it is offered.

    Attributes:
        stem: what the name begins with, such as `train-images`.
        name: whole name, ending in .gz.
        size: of the file, in bytes.
        sha256: of the file.
        contents_sha256: of what is compressed in it, which also stands for a file that was unpacked.
    """

    stem: str
    name: str
    size: int
    sha256: str
    contents_sha256: str


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A data set that can be fetched.

    Attributes:
        name: as in an experiment file.
        title: what it is.
        files: its files.
        mirrors: addresses of folders that offer them, tried in this order.
    """

    name: str
    title: str
    files: tuple[KnownFile, ...]
    mirrors: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Found:
    """How one file of a data set was found.

    Attributes:
        file: which one.
        path: where it is, or where it would be put.
        state: good, missing or damaged.
        detail: what is wrong with it, in words.
    """

    file: KnownFile
    path: Path
    state: str
    detail: str = ""


def _file(stem: str, dimensions: int, size: int, sha256: str, contents_sha256: str) -> KnownFile:
    return KnownFile(stem, f"{stem}-idx{dimensions}-ubyte.gz", size, sha256, contents_sha256)


KNOWN: Mapping[str, KnownSet] = {
    "mnist": KnownSet(
        "mnist",
        "handwritten digits, 60,000 and 10,000 images of 28 x 28",
        (
            _file("train-images", 3, 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                  "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            _file("train-labels", 1, 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                  "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            _file("t10k-images", 3, 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                  "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            _file("t10k-labels", 1, 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                  "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    ),
    "fashion-mnist": KnownSet(
        "fashion-mnist",
        "pieces of clothing, 60,000 and 10,000 images of 28 x 28",
        (
            _file("train-images", 3, 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                  "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            _file("train-labels", 1, 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                  "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            _file("t10k-images", 3, 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                  "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            _file("t10k-labels", 1, 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                  "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
    ),
}  # fmt: skip


def known_set(name: str, known: Mapping[str, KnownSet] = KNOWN) -> KnownSet:
    """Get a data set by its name.

    Raises:
        DataError: none is called so.
    """
    if name not in known:
        raise DataError(f"no data set {name!r} can be fetched.{did_you_mean(name, known)} There are {', '.join(known)}.")
    return known[name]


def folder_of(data: KnownSet, root: Path | None = None) -> Path:
    """Get the folder of a data set: where a run finds its files, or, where there is none yet, where they are to be put."""
    top = data_root() if root is None else root
    for folder in folders_of_images(data.name, top):
        if any(file_of_images(folder, file.stem) is not None for file in data.files):
            return folder
    # the root may itself be the folder of this set, named by AEQLAB_DATA before anything is in it
    return top if top.name == data.name else top / data.name


def verify(data: KnownSet, folder: Path) -> Iterator[Found]:
    """Compare each file of a data set with its SHA-256, compressed or unpacked, one after the other."""
    for file in data.files:
        path = file_of_images(folder, file.stem)
        yield Found(file, folder / file.name, "missing") if path is None else look_at(file, path)


def look_at(file: KnownFile, path: Path) -> Found:
    """Compare one file with its SHA-256; what was packed anew, or unpacked, is good if its contents are."""
    try:
        found = sha256_of(path)
        if found == file.sha256:
            return Found(file, path, "good")
        contents = _contents_sha256(path)
    except OSError as exc:
        return Found(file, path, "damaged", f"cannot be read: {exc.strerror or exc}")
    if contents == file.contents_sha256:
        return Found(file, path, "good", "packed differently" if path.suffix == ".gz" else "unpacked")
    expected = file.sha256 if path.suffix == ".gz" else file.contents_sha256
    return Found(file, path, "damaged", f"its SHA-256 is {found}, expected {expected}")


def _contents_sha256(path: Path) -> str:
    """Compute the SHA-256 of what is in a file, unpacked if it is packed; empty where it cannot be unpacked."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return _sum_of(gzip.GzipFile(fileobj=file) if packed else file)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return ""


def _sum_of(file: gzip.GzipFile | IO[bytes]) -> str:
    total = hashlib.sha256()
    while chunk := file.read(CHUNK):
        total.update(chunk)
    return total.hexdigest()
