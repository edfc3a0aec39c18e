"""Data sets `mnist` and `fashion-mnist`: images and labels in idx files, found in a folder of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from aeqlab.backends.named_files import Names
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.idx import IdxHeader, idx_header, read_idx
from aeqlab.protocols.places import data_root, is_file, resolve
from aeqlab.protocols.samples import Data, Samples, Source

Array = NDArray[Any]

CLASSES = 10
PARTS = {"train": ("train-images", "train-labels"), "test": ("t10k-images", "t10k-labels")}


class _ImageSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str | None, Names.PATH] = Field(
        default=None,
        min_length=1,
        description="Folder with the idx files, plain or .gz. Without it AEQLAB_DATA or the user's data folder.",
    )
    train_samples: int | None = Field(default=None, ge=1, description="Only the first so many training images (default: all).")
    test_samples: int | None = Field(default=None, ge=1, description="Only the first so many test images (default: all).")
    flips: float = Field(
        default=0.0, ge=0, le=1, description="Probability to mirror a training image left to right, drawn anew in every epoch."
    )


class MnistSettings(_ImageSettings):
    """Handwritten digits: 60,000 training and 10,000 test images of 28 x 28."""

    kind: Literal["mnist"] = Field(default="mnist", description="handwritten digits")


class FashionMnistSettings(_ImageSettings):
    """Pieces of clothing, in the form of MNIST."""

    kind: Literal["fashion-mnist"] = Field(default="fashion-mnist", description="pieces of clothing")


ImageSettings = MnistSettings | FashionMnistSettings


def image_files(settings: ImageSettings, base: Path) -> dict[str, tuple[Path, Path]]:
    """Find the files of images and labels of each part, `train` and `test`.

    Looked for in `path` (from `base`), else in the folder that AEQLAB_DATA names, else in `data` of the user's data folder;
    each itself, or a folder in it with the name of the data set.

    Raises:
        DataError: they are not there; says where they were looked for.
    """
    root = data_root() if settings.path is None else resolve(base, settings.path)
    places = list(folders_of_images(settings.kind, root, only_here=settings.path is not None))
    for folder in places:
        found = {part: tuple(file_of_images(folder, stem) for stem in stems) for part, stems in PARTS.items()}
        if any(file for files in found.values() for file in files):
            missing = [
                stem for part, stems in PARTS.items() for stem, file in zip(stems, found[part], strict=True) if file is None
            ]
            if missing:
                raise DataError(
                    f"{settings.kind}: {folder} has no file {', '.join(map(_full_name, missing))} (plain or .gz). "
                    "Put it beside the others."
                )
            return {part: (files[0], files[1]) for part, files in found.items() if files[0] and files[1]}
    looked = ", ".join(str(folder) for folder in places)
    raise DataError(
        f"{settings.kind}: no file {_full_name('train-images')} (plain or .gz) in {looked}. "
        f"`aeqlab data fetch {settings.kind}` fetches it; or let path: in the experiment, or AEQLAB_DATA, name its folder."
    )


def image_headers(settings: ImageSettings, base: Path) -> dict[str, IdxHeader]:
    """Read the headers of the image files and check that they fit one another; the shape counts the samples used.

    Raises:
        DataError: a file is missing or damaged, or they do not belong together.
    """
    headers: dict[str, IdxHeader] = {}
    for part, (images_file, labels_file) in image_files(settings, base).items():
        images, labels = idx_header(images_file, 3), idx_header(labels_file, 1)
        if images.shape[0] != labels.shape[0]:
            raise DataError(
                f"{labels_file}: {labels.shape[0]} labels for the {images.shape[0]} images of {images_file.name}. "
                "The two files do not belong together."
            )
        headers[part] = IdxHeader((_count(settings, part, images.shape[0], images_file), *images.shape[1:]))
    if headers["train"].shape[1:] != headers["test"].shape[1:]:
        raise DataError(f"{settings.kind}: training and test images have different sizes. The files do not belong together.")
    return headers


def load_images(settings: ImageSettings, base: Path) -> Data:
    """Read images and labels.

    Returns:
        Inputs in [0, 1], float32, shape (samples, pixels), rows of an image one after the other; targets one-hot, float32,
        shape (samples, 10); labels.
    Raises:
        DataError: a file is missing or damaged, or they do not belong together.
    """
    headers = image_headers(settings, base)
    parts: dict[str, Samples] = {}
    sources: list[Source] = []
    for part, (images_file, labels_file) in image_files(settings, base).items():
        (pixels, images_sum), (labels, labels_sum) = read_idx(images_file, 3), read_idx(labels_file, 1)
        if labels.max() >= CLASSES:
            raise DataError(f"{labels_file}: label {labels.max()}, where 0 to {CLASSES - 1} are expected. Is it another file?")
        sources += [Source(str(images_file), images_sum), Source(str(labels_file), labels_sum)]
        n = headers[part].shape[0]
        classes = labels[:n].astype(np.int64)
        inputs = pixels[:n].reshape(n, -1).astype(np.float32)
        inputs /= np.float32(255)
        parts[part] = Samples(inputs, np.eye(CLASSES, dtype=np.float32)[classes], classes)
    height, width = headers["train"].shape[1:]

    def flip(batch: Array, chance: Array) -> Array:
        mirrored = batch.reshape(len(batch), height, width)[:, :, ::-1].reshape(batch.shape)
        flipped: Array = np.where((chance < settings.flips)[:, None], mirrored, batch)
        return flipped

    return Data(
        name=settings.kind,
        train=parts["train"],
        test=parts["test"],
        sources=tuple(sources),
        augment=flip if settings.flips > 0 else None,
        facts={"flips": settings.flips},
    )


def folders_of_images(name: str, root: Path, *, only_here: bool = False) -> Iterator[Path]:
    """Go through the folders in which the files of a data set may be, below a folder or it itself.

    Args:
        name: mnist or fashion-mnist.
        root: the folder for data.
        only_here: it was named for this data set alone, whatever it is called.
    """
    yield root / name
    yield root / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}.get(name, name) / "raw"
    # The files of both data sets have the same names: a folder named after the other one is not taken for this one.
    called = root.name.lower()
    of_the_other = "mnist" in called and ("fashion" in called) != (name == "fashion-mnist")
    if only_here or not of_the_other:
        yield root


def file_of_images(folder: Path, stem: str) -> Path | None:
    """Find a file by the beginning of its name, such as train-images, plain or packed; None where it is not there."""
    for name in (_full_name(stem), _full_name(stem).replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            if is_file(folder / (name + ending)):
                return folder / (name + ending)
    return None


def _full_name(stem: str) -> str:
    return f"{stem}-idx{3 if stem.endswith('images') else 1}-ubyte"


def _count(settings: ImageSettings, part: str, there: int, file: Path) -> int:
    asked = settings.train_samples if part == "train" else settings.test_samples
    if asked is not None and asked > there:
        raise DataError(f"{part}_samples: {asked} asked for, {file} holds {there}. Ask for at most {there}.")
    return there if asked is None else asked
