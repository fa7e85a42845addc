"""Images in Parquet files: columns `img` or `image`, and `label` or `fine_label`.

The layout is that of the Hugging Face hub: an image is a struct of `bytes` and `path`, or the
encoded bytes alone; labels are whole numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.data.dataset import Part, Source
from trainables.data.decoding import EncodedImage, decode_images
from trainables.data.part_files import part_files
from trainables.errors import InputError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label")


class _File(NamedTuple):
    """A file as read: encoded images, and their labels ([num_rows] int64)."""

    path: Path
    images: list[EncodedImage]
    labels: NDArray[np.int64]


def column_names(path: Path) -> list[str]:
    """Return the columns of a Parquet file; none if it isn't one. Never raises."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return []


def image_column(names: Sequence[str]) -> str | None:
    """Return which of a file's columns holds images; None if none does."""
    return next((name for name in IMAGE_COLUMNS if name in names), None)


def load_parquet(
    path: Path,
    *,
    name: str | None = None,
    class_names: tuple[str, ...] | None = None,
    label_column: str | None = None,
) -> Source:
    """Read a Parquet file, or every one of a folder, and decode its images as RGB.

    In a folder, `train*.parquet` and `test*.parquet` are the rest and the test part if both are
    there; otherwise all files together have no test part.

    Args:
        path: a folder or a file.
        name: of the data set; by default that of `path`.
        class_names: by label; by default those of the hub's metadata in the first file, or the
            labels themselves.
        label_column: of every file; by default the first of `LABEL_COLUMNS` in the first file.

    Raises:
        InputError: naming file and row, for what is missing, damaged or does not fit together.
    """
    rest_paths, test_paths = _find_files(path)
    if label_column is None:
        present = column_names(rest_paths[0])
        label_column = next((name for name in LABEL_COLUMNS if name in present), LABEL_COLUMNS[0])
    rest_files = [_read(file, label_column) for file in rest_paths]
    test_files = [_read(file, label_column) for file in test_paths]
    num_classes = _count_classes([*rest_files, *test_files])
    if class_names is None:
        class_names = _hub_names(rest_paths[0], label_column)[:num_classes]
        if len(class_names) < num_classes:
            class_names = tuple(str(label) for label in range(num_classes))
    elif len(class_names) != num_classes:
        raise InputError(
            f"labels in {path} must be 0 to {len(class_names) - 1}, got {num_classes} classes; "
            "load the files by parquet:DIR instead"
        )
    rest = _decode(rest_files)
    test = _decode(test_files, rest.inputs.shape[1:]) if test_files else None
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
    return part_files(path, files, suffix=".parquet")


def _read(path: Path, label_column: str) -> _File:
    try:
        schema = pq.read_schema(path)
        column = image_column(schema.names)
        if column is None or label_column not in schema.names:
            raise InputError(
                f"columns of {path} must be img or image, and {label_column}, got "
                f"{', '.join(schema.names)}; rename them"
            )
        table = pq.read_table(path, columns=[column, label_column])
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} must be a whole Parquet file, got {error}; copy it again"
        ) from error
    images, labels = table[column], table[label_column]
    if pa.types.is_struct(images.type) and "bytes" in [field.name for field in images.type]:
        images = pc.struct_field(images, "bytes")
    if not (pa.types.is_binary(images.type) or pa.types.is_large_binary(images.type)):
        raise InputError(
            f"column {column} of {path} must be encoded bytes or a struct of bytes and path, "
            f"got {images.type}; store images as PNG bytes"
        )
    if not pa.types.is_integer(labels.type):
        raise InputError(
            f"column {label_column} of {path} must be whole numbers, got {labels.type}; "
            "number the classes from 0"
        )
    if labels.null_count or not len(labels):
        raise InputError(
            f"column {label_column} of {path} must be a label in every row, got {len(labels)} rows "
            f"and {labels.null_count} without one; remove the file or the rows"
        )
    encoded = [EncodedImage(path, row, content) for row, content in enumerate(images.to_pylist())]
    return _File(path, encoded, labels.cast(pa.int64()).to_numpy())


def _hub_names(path: Path, label_column: str) -> tuple[str, ...]:
    """Return the names that Hugging Face's datasets library stored for the labels, if it did."""
    metadata = pq.read_schema(path).metadata or {}
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][label_column]
        return tuple(str(name) for name in feature["names"])
    except (KeyError, TypeError, ValueError):
        return ()


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


def _decode(files: Sequence[_File], shape: tuple[int, ...] | None = None) -> Part:
    images = [image for file in files for image in file.images]
    return Part(decode_images(images, shape), np.concatenate([file.labels for file in files]))
