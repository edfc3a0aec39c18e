"""MNIST and FashionMNIST: the idx format, where files are found, and each kind of damage told in a sentence."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aeqlab.backends.streams import DATA_ORDER, stream
from aeqlab.protocols.data import data_widths, load_data
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.idx import idx_header, read_idx
from aeqlab.protocols.images import FashionMnistSettings, MnistSettings

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    """Write an array of unsigned bytes in the idx format."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_set(folder: Path, seed: int = 0, *, gz: bool = False) -> None:
    """Write a small data set of images of 4 x 5."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for n, (images, labels) in ((20, NAMES[:2]), (10, NAMES[2:])):
        for name, array in ((images, rng.integers(0, 256, (n, 4, 5))), (labels, rng.integers(0, 10, n))):
            raw = idx(array.astype(np.uint8))
            (folder / (name + ".gz" * gz)).write_bytes(gzip.compress(raw) if gz else raw)


@pytest.mark.parametrize("gz", [False, True])
def test_images_become_inputs_and_labels_targets(tmp_path: Path, gz: bool) -> None:
    write_set(tmp_path, gz=gz)
    data = load_data(MnistSettings(path="."), seed=1, base=tmp_path)
    raw, _ = read_idx(tmp_path / (NAMES[0] + ".gz" * gz), 3)
    assert data.train.inputs.dtype == data.train.targets.dtype == np.float32
    np.testing.assert_array_equal(data.train.inputs, (raw.reshape(20, 20) / 255).astype(np.float32))
    assert data.train.labels is not None
    np.testing.assert_array_equal(data.train.targets.argmax(1), data.train.labels)
    np.testing.assert_array_equal(data.train.targets.sum(1), 1)
    assert data.test is not None
    assert len(data.test) == 10
    assert len({source.sha256 for source in data.sources}) == 4


def test_only_the_first_samples(tmp_path: Path) -> None:
    write_set(tmp_path)
    data = load_data(MnistSettings(path=".", train_samples=7, test_samples=3), seed=1, base=tmp_path)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (7, 3)
    with pytest.raises(DataError, match="at most 20"):
        data_widths(MnistSettings(path=".", train_samples=21), tmp_path)


def test_the_folder_of_the_environment_and_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "all" / "mnist", 1)
    write_set(tmp_path / "all" / "fashion-mnist", 2)
    monkeypatch.setenv("AEQLAB_DATA", str(tmp_path / "all"))
    digits, clothes = (load_data(s, seed=1, base=tmp_path) for s in (MnistSettings(), FashionMnistSettings()))
    assert "fashion-mnist" in clothes.sources[0].path
    assert "fashion-mnist" not in digits.sources[0].path
    monkeypatch.setenv("AEQLAB_DATA", str(tmp_path / "all" / "mnist"))
    assert data_widths(MnistSettings(), tmp_path) is not None
    with pytest.raises(DataError, match="AEQLAB_DATA"):  # the files of mnist are not taken for fashion-mnist
        data_widths(FashionMnistSettings(), tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        data_widths(MnistSettings(path="nowhere"), tmp_path)
    write_set(tmp_path)
    (tmp_path / NAMES[3]).unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        data_widths(MnistSettings(path="."), tmp_path)


def test_images_are_mirrored_with_the_stated_probability(tmp_path: Path) -> None:
    write_set(tmp_path)
    data = load_data(FashionMnistSettings(path=".", flips=0.3), seed=1, base=tmp_path)
    batches = data.batches(stream(1, DATA_ORDER), 20)
    flipped = 0
    for _ in range(200):
        batch = batches.next()
        for image, label in zip(batch.inputs, batch.labels if batch.labels is not None else (), strict=True):
            same = (data.train.inputs == image).all(1)
            mirrored = (data.train.inputs.reshape(20, 4, 5)[:, :, ::-1].reshape(20, 20) == image).all(1)
            assert same.any() != mirrored.any()
            assert data.train.labels is not None
            assert label in data.train.labels[same | mirrored]
            flipped += bool(mirrored.any())
    assert abs(flipped / 4000 - 0.3) < 0.03
    plain = load_data(FashionMnistSettings(path="."), seed=1, base=tmp_path)
    assert plain.augment is None


def change(name: str, how: Callable[[bytes], bytes], gz: bool = False) -> tuple[str, Callable[[bytes], bytes], bool]:
    return name, how, gz


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change(NAMES[0], lambda raw: b""), "truncated"),
        (change(NAMES[0], lambda raw: raw[:10]), "truncated"),
        (change(NAMES[0], lambda raw: raw[:-1]), "truncated: 400 bytes"),
        (change(NAMES[0], lambda raw: raw + b"x"), "more bytes follow"),
        (change(NAMES[0], lambda raw: b"PK" + raw[2:]), "not an idx file"),
        (change(NAMES[0], lambda raw: raw[:2] + b"\x0d" + raw[3:]), "idx type 0x0d"),
        (change(NAMES[0], lambda raw: raw[:3] + b"\x01" + raw[4:]), "exchanged"),
        (change(NAMES[0], lambda raw: raw[:4] + b"\xff\xff\xff\xff" + raw[8:]), "damaged"),
        (change(NAMES[0], lambda raw: raw[:4] + bytes(4) + raw[8:]), "nothing is in it"),
        (change(NAMES[1], lambda raw: idx(np.zeros(19, np.uint8))), "19 labels for the 20 images"),
        (change(NAMES[1], lambda raw: raw[:-1] + b"\x0a"), "label 10"),
        (change(NAMES[2], lambda raw: idx(np.zeros((10, 3, 3), np.uint8))), "different sizes"),
        (change(NAMES[0], lambda raw: raw[:-30], True), "ends too early"),
        (change(NAMES[0], lambda raw: raw[:60] + bytes([raw[60] ^ 255]) + raw[61:], True), "damaged"),
        (change(NAMES[0], lambda raw: raw[:-8] + bytes(8), True), "damaged"),
    ],
)
def test_damage_is_told_in_a_sentence(tmp_path: Path, damage: tuple[str, Callable[[bytes], bytes], bool], words: str) -> None:
    name, how, gz = damage
    write_set(tmp_path, gz=gz)
    file = tmp_path / (name + ".gz" * gz)
    file.write_bytes(how(file.read_bytes()))
    with pytest.raises(DataError) as caught:
        load_data(MnistSettings(path="."), seed=1, base=tmp_path)
    assert words in str(caught.value)
    assert name in str(caught.value) or words == "different sizes"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gz", [False, True])
def test_a_truncated_file_is_found_without_loading(tmp_path: Path, gz: bool) -> None:
    write_set(tmp_path, gz=gz)
    file = tmp_path / (NAMES[0] + ".gz" * gz)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="truncated"):
        data_widths(MnistSettings(path="."), tmp_path)


def test_a_gzip_file_of_two_parts_is_whole(tmp_path: Path) -> None:
    write_set(tmp_path)
    raw = (tmp_path / NAMES[0]).read_bytes()
    (tmp_path / NAMES[0]).write_bytes(gzip.compress(raw[:50]) + gzip.compress(raw[50:]))
    assert idx_header(tmp_path / NAMES[0], 3).shape == (20, 4, 5)


def test_the_real_files(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    for settings in (MnistSettings(), FashionMnistSettings()):
        widths = data_widths(settings, Path())
        assert widths is not None
        assert (widths.inputs, widths.outputs, widths.train_samples, widths.test_samples) == (784, 10, 60000, 10000)
    data = load_data(MnistSettings(), seed=1, base=Path())
    assert data.train.labels is not None
    assert list(data.train.labels[:10]) == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert 0.13 < float(data.train.inputs.mean()) < 0.132
