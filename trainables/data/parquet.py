"""Images in Parquet files: columns `img` or `image` (encoded bytes) and `label` (whole numbers).

The layout is that of the Hugging Face hub: an image is a struct of `bytes` and `path`, or the
bytes alone.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import Progress

from trainables.data.dataset import Part, Source
from trainables.errors import InputError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMN = "label"
_SILENT_S = 1.0  # decoding shows its progress only if it takes longer than this
_BLOCK_IMAGES = 256  # decoded per task of a thread
_THREADED_PX = 128 * 128  # below this, threads only wait for the interpreter's lock


class _File(NamedTuple):
    """A file as read: encoded images, and their labels ([num_rows] int64)."""

    path: Path
    encoded: list[bytes | None]
    labels: NDArray[np.int64]


def is_image_parquet(path: Path) -> bool:
    """Whether `path` is a Parquet file with an image and a label column; never raises."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return False
    return LABEL_COLUMN in names and any(name in names for name in IMAGE_COLUMNS)


def load_parquet(
    path: Path, *, name: str | None = None, class_names: tuple[str, ...] | None = None
) -> Source:
    """Read a Parquet file, or every one of a folder, and decode its images as RGB.

    In a folder, `train*.parquet` and `test*.parquet` are the rest and the test part if both are
    there; otherwise all files together have no test part.

    Args:
        path: a folder or a file.
        name: of the data set; by default that of `path`.
        class_names: by label; by default the labels themselves.

    Raises:
        InputError: naming file and row, for what is missing, damaged or does not fit together.
    """
    rest_paths, test_paths = _find_files(path)
    rest_files = [_read(file) for file in rest_paths]
    test_files = [_read(file) for file in test_paths]
    num_classes = _count_classes([*rest_files, *test_files])
    if class_names is None:
        class_names = tuple(str(label) for label in range(num_classes))
    elif len(class_names) != num_classes:
        raise InputError(
            f"labels in {path} must be 0 to {len(class_names) - 1}, got {num_classes} classes; "
            "load the files by parquet:DIR instead"
        )
    size_px = _image_size_px(rest_files[0])
    rest = _decode(rest_files, size_px)
    test = _decode(test_files, size_px) if test_files else None
    return Source(name or path.stem, rest, test, class_names)


def _find_files(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of the rest and of the test part."""
    if path.is_file():
        return [path], []
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise InputError(
            f"the data folder must be a Parquet file or a folder of them, got {path}; "
            "check the path after parquet:"
        )
    train, test = (
        [file for file in files if file.name.startswith(prefix)] for prefix in ("train", "test")
    )
    if not (train and test):
        return files, []
    unused = [file.name for file in files if file not in train and file not in test]
    if unused:
        raise InputError(
            f"files in {path} must be train*.parquet and test*.parquet or have other names "
            f"altogether, got {', '.join(unused)} beside them; move these out of the folder"
        )
    return train, test


def _read(path: Path) -> _File:
    try:
        schema = pq.read_schema(path)
        image_column = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
        if image_column is None or LABEL_COLUMN not in schema.names:
            raise InputError(
                f"columns of {path} must be img or image, and label, got "
                f"{', '.join(schema.names)}; rename them"
            )
        table = pq.read_table(path, columns=[image_column, LABEL_COLUMN])
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} must be a whole Parquet file, got {error}; copy it again"
        ) from error
    images, labels = table[image_column], table[LABEL_COLUMN]
    if pa.types.is_struct(images.type) and "bytes" in [field.name for field in images.type]:
        images = pc.struct_field(images, "bytes")
    if not (pa.types.is_binary(images.type) or pa.types.is_large_binary(images.type)):
        raise InputError(
            f"column {image_column} of {path} must be encoded bytes or a struct of bytes and path, "
            f"got {images.type}; store images as PNG bytes"
        )
    if not pa.types.is_integer(labels.type):
        raise InputError(
            f"column {LABEL_COLUMN} of {path} must be whole numbers, got {labels.type}; "
            "number the classes from 0"
        )
    if labels.null_count or not len(labels):
        raise InputError(
            f"column {LABEL_COLUMN} of {path} must be a label in every row, got {len(labels)} rows "
            f"and {labels.null_count} without one; remove the file or the rows"
        )
    return _File(path, images.to_pylist(), labels.cast(pa.int64()).to_numpy())


def _count_classes(files: Sequence[_File]) -> int:
    for file in files:
        row = int(file.labels.argmin())
        if file.labels[row] < 0:
            raise InputError(
                f"labels must be >= 0, got {file.labels[row]} in row {row} of {file.path}; "
                "number the classes from 0"
            )
    present = np.unique(np.concatenate([file.labels for file in files]))
    if present[-1] != len(present) - 1:
        gap = int(np.flatnonzero(present != np.arange(len(present)))[0])
        file = next(file for file in files if present[-1] in file.labels)
        row = int(np.flatnonzero(file.labels == present[-1])[0])
        raise InputError(
            f"labels must be 0 to num_classes - 1 without gaps, got {present[-1]} in row {row} of "
            f"{file.path} and no {gap} anywhere; number the classes from 0"
        )
    return len(present)


def _decode(files: Sequence[_File], size_px: tuple[int, int]) -> Part:
    """Decode all images of `files`; large ones in threads."""
    width_px, height_px = size_px
    num_images = sum(len(file.labels) for file in files)
    images = np.empty((num_images, height_px, width_px, 3), np.uint8)
    blocks: list[tuple[_File, int, int]] = []  # file, first row, where that row goes
    offset = 0
    for file in files:
        blocks += [(file, row, offset + row) for row in range(0, len(file.labels), _BLOCK_IMAGES)]
        offset += len(file.labels)

    def decode_block(block: tuple[_File, int, int]) -> int:
        file, first_row, target = block
        last_row = min(first_row + _BLOCK_IMAGES, len(file.labels))
        for row in range(first_row, last_row):
            images[target + row - first_row] = _decode_image(file, row, size_px)
        return last_row - first_row

    is_threaded = width_px * height_px >= _THREADED_PX
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8) if is_threaded else 1) as pool:
        for _ in _with_progress(pool.map(decode_block, blocks), num_images):
            pass
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return Part(channels_first, np.concatenate([file.labels for file in files]))


def _image_size_px(file: _File) -> tuple[int, int]:
    """Return width and height of the first image."""
    pixels = _decode_image(file, 0, None)
    return pixels.shape[1], pixels.shape[0]


def _decode_image(file: _File, row: int, size_px: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return [height, width, 3]; `size_px` is the width and height it must have."""
    encoded = file.encoded[row]
    try:
        if not encoded:
            raise UnidentifiedImageError("no bytes")
        image = Image.open(io.BytesIO(encoded))
        if size_px is not None and image.size != size_px:
            raise InputError(
                f"images must be all of one size ({size_px[0]}x{size_px[1]} px), got "
                f"{image.size[0]}x{image.size[1]} in row {row} of {file.path}; resize them first"
            )
        return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"images must be files that Pillow can decode, got row {row} of {file.path} "
            f"({error}); remove or repair it"
        ) from error


def _with_progress(block_sizes: Iterable[int], num_images: int) -> Iterator[int]:
    """Pass the sizes of decoded blocks on, with a progress bar once it takes long."""
    started_s = time.monotonic()
    num_done = 0
    with Progress(console=Console(stderr=True), transient=True, disable=True) as progress:
        task: Any = None
        for size in block_sizes:
            num_done += size
            if task is None and time.monotonic() - started_s > _SILENT_S:
                progress.disable = False
                progress.start()
                task = progress.add_task("decoding images", total=num_images)
            if task is not None:
                progress.update(task, completed=num_done)
            yield size
