"""Images in folders, one a class: the layout of torchvision's `ImageFolder`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset import Part, Source
from trainables.data.decoding import EncodedImage, decode_images
from trainables.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of image files, in capitals too: torchvision's `IMG_EXTENSIONS`."""

_TRAIN = frozenset({"train", "training"})
_VAL = frozenset({"val", "valid", "validation"})
_TEST = frozenset({"test", "testing"})


class _Listing(NamedTuple):
    """Images, their labels ([num_images] int64), and the number of files that are no images."""

    images: list[EncodedImage]
    labels: NDArray[np.int64]
    num_others: int


def load_image_folder(path: Path) -> tuple[Source, str]:
    """Read DIR/CLASS/*.png, or DIR/train/CLASS/*.png with DIR/test/CLASS/*.png.

    Classes are named as their folders and numbered in alphabetical order; images may also lie in
    folders within them. A folder `val` beside `train` is joined to it, for the validation part is
    always chosen by the sweep's seed. Hidden folders are passed over, and so are files of other
    suffixes, which are counted.

    Returns:
        The source, and one line that says what was read.

    Raises:
        InputError: naming folder or file, for what is missing, empty, damaged or does not fit
            together.
    """
    rest_folders, test_folders = _find_parts(path)
    class_names = _class_names([*rest_folders, *test_folders])
    rest = _list_images(rest_folders, class_names)
    test = _list_images(test_folders, class_names)
    rest_part, test_part = Part(decode_images(rest.images), rest.labels), None
    if test_folders:
        test_part = Part(decode_images(test.images, rest_part.inputs.shape[1:]), test.labels)
    note = f"{len(class_names)} classes of images in {path}"
    if len(rest_folders) > 1:
        note += f", {' and '.join(folder.name for folder in rest_folders)} joined"
    note += ", with its own test part" if test_folders else ", split 6:2:2"
    num_others = rest.num_others + test.num_others
    if num_others:
        note += f", {num_others} files passed over that are no images"
    return Source(path.resolve().name, rest_part, test_part, class_names), note


def _find_parts(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders of the rest and of the test part that hold the class folders."""
    names = _subfolders(path)
    train, val, test = (
        [name for name in names if name.lower() in part] for part in (_TRAIN, _VAL, _TEST)
    )
    if not (val or test) and train != names:
        return [path], []  # with other folders beside it, "train" is a class, as in CIFAR-100
    others = [name for name in names if name not in (*train, *val, *test)]
    if others or not train:
        raise InputError(
            f"folders in {path} must be classes, or train with val or test, got "
            f"{_shortened(names)}; move what is neither out of it"
        )
    return [path / name for name in train + val], [path / name for name in test]


def _class_names(folders: Sequence[Path]) -> tuple[str, ...]:
    names = _subfolders(folders[0])
    if len(names) < 2:
        raise InputError(
            f"{folders[0]} must hold >= 2 class folders, got {names[0]} alone; "
            "check the path after folder:"
        )
    for folder in folders[1:]:
        differing = sorted(set(names).symmetric_difference(_subfolders(folder)))
        if differing:
            raise InputError(
                f"{folder} must hold the same class folders as {folders[0]}, got "
                f"{_shortened(differing)} in only one of them; add or remove them"
            )
    return tuple(names)


def _subfolders(path: Path) -> list[str]:
    """Return the names of the folders in `path`, sorted, without the hidden ones."""
    try:
        names = [entry.name for entry in path.iterdir() if entry.is_dir()]
    except OSError as error:
        raise InputError(
            f"the image folder must be a folder of class folders, got {path} ({error.strerror}); "
            "check the path after folder:"
        ) from error
    names = sorted(name for name in names if not name.startswith("."))
    if not names:
        raise InputError(
            f"{path} must hold a folder for each class, got none; sort the images into them"
        )
    return names


def _list_images(folders: Sequence[Path], class_names: Sequence[str]) -> _Listing:
    images: list[EncodedImage] = []
    labels: list[int] = []
    num_others = 0
    for folder in folders:
        for label, name in enumerate(class_names):
            files = [file for file in (folder / name).rglob("*") if file.is_file()]
            found = sorted(file for file in files if _is_image(file))
            if not found:
                raise InputError(
                    f"every class folder must hold images ({' '.join(SUFFIXES)}), got none in "
                    f"{folder / name}; add some or remove it"
                )
            images += map(EncodedImage, found)
            labels += [label] * len(found)
            num_others += len(files) - len(found)
    return _Listing(images, np.array(labels, np.int64), num_others)


def _is_image(file: Path) -> bool:
    """Hidden files are none: macOS leaves `._NAME.png` beside each image on other file systems."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
