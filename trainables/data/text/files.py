"""Texts in Parquet or CSV files: columns `text` (UTF-8) and `label` (whole numbers or names)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.data.part_files import part_files
from trainables.data.text.source import TextSource
from trainables.errors import InputError

TEXT_COLUMN = "text"
LABEL_COLUMN = "label"
SUFFIXES = (".parquet", ".csv")
_BLOCK_BYTES = 64 * 2**20  # no row of a CSV file may be longer


class _File(NamedTuple):
    """A file as read: texts, and their labels ([num_rows] int64 numbers or strings)."""

    path: Path
    texts: list[str]
    labels: NDArray[Any]


def load_text_files(path: Path) -> TextSource:
    """Read a Parquet or CSV file, or every one of a folder.

    In a folder, `train*` and `test*` files are the rest and the test part if both are there;
    otherwise all files together have no test part. Labels that are names are numbered in
    alphabetical order.

    Raises:
        InputError: naming file and row (from 0), for what is missing, damaged, empty, not UTF-8
            or does not fit together.
    """
    rest_paths, test_paths = _find_files(path)
    rest = [_read(file) for file in rest_paths]
    test = [_read(file) for file in test_paths]
    class_names = _class_names([*rest, *test])
    has_test_part = bool(test)
    return TextSource(
        name=path.stem,
        note=f"texts in {path}, {'with its own test part' if has_test_part else 'split 6:2:2'}",
        texts=[text for file in rest for text in file.texts],
        labels=_label_ids(rest, class_names),
        test_texts=[text for file in test for text in file.texts] if has_test_part else None,
        test_labels=_label_ids(test, class_names) if has_test_part else None,
        class_names=class_names,
    )


def _find_files(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of the rest and of the test part."""
    if path.is_file() and path.suffix in SUFFIXES:
        return [path], []
    files = sorted(file for file in path.glob("*") if file.suffix in SUFFIXES)
    if not files:
        raise InputError(
            f"the text data must be a {' or '.join(SUFFIXES)} file or a folder of them, got "
            f"{path}; check the path"
        )
    return part_files(path, files)


def _read(path: Path) -> _File:
    try:
        table = _read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path} must be a whole {path.suffix[1:]} file in UTF-8, got {reason}; copy it again"
        ) from error
    if any(names.count(column) != 1 for column in (TEXT_COLUMN, LABEL_COLUMN)):
        raise InputError(
            f"columns of {path} must be {TEXT_COLUMN} and {LABEL_COLUMN}, each once, got "
            f"{', '.join(names)}; rename them"
        )
    if not table.num_rows:
        raise InputError(f"{path} must hold texts, got 0 rows; remove the file")
    return _File(path, _texts(path, table[TEXT_COLUMN]), _labels(path, table[LABEL_COLUMN]))


def _read_csv(path: Path) -> pa.Table:
    """Read both columns as bytes: what isn't UTF-8 is found later, with its row and offset."""
    return pyarrow.csv.read_csv(
        path,
        # One thread, for only then do errors name the row.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={TEXT_COLUMN: pa.binary(), LABEL_COLUMN: pa.binary()}
        ),
    )


def _texts(path: Path, column: pa.ChunkedArray) -> list[str]:
    if not _is_text(column.type):
        raise InputError(
            f"column {TEXT_COLUMN} of {path} must be text, got {column.type}; store it as strings"
        )
    texts = _decode(path, column, TEXT_COLUMN)
    for row, text in enumerate(texts):
        if not text.strip():
            raise InputError(
                f"texts must not be empty, got {text!r} in row {row} of {path}; remove the row"
            )
    return texts


def _labels(path: Path, column: pa.ChunkedArray) -> NDArray[Any]:
    """Return int64 numbers, or strings if any label is no whole number."""
    if column.null_count:
        row = int(pc.index(column.is_null(), True).as_py())
        raise InputError(
            f"column {LABEL_COLUMN} of {path} must be a label in every row, got none in row {row}; "
            "remove the row"
        )
    if pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.int64()).to_numpy())
    if not _is_text(column.type):
        raise InputError(
            f"column {LABEL_COLUMN} of {path} must be whole numbers or names, got {column.type}; "
            "number the classes from 0"
        )
    labels = [label.strip() for label in _decode(path, column, LABEL_COLUMN)]
    if "" in labels:
        raise InputError(
            f"column {LABEL_COLUMN} of {path} must be a label in every row, got none in row "
            f"{labels.index('')}; remove the row"
        )
    if all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels):
        return np.array([int(label) for label in labels], np.int64)
    return np.array(labels)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _decode(path: Path, column: pa.ChunkedArray, name: str) -> list[str]:
    decoded = []
    for row, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
        try:
            decoded.append((value or b"").decode())
        except UnicodeDecodeError as error:
            raise InputError(
                f"column {name} of {path} must be UTF-8, got byte {error.object[error.start]:#04x} "
                f"at offset {error.start} of row {row}; convert the file"
            ) from error
    return decoded


def _class_names(files: Sequence[_File]) -> tuple[str, ...]:
    kinds = {file.labels.dtype.kind: file.path for file in files}
    if len(kinds) > 1 and "i" in kinds:
        other = next(path for kind, path in kinds.items() if kind != "i")
        raise InputError(
            f"labels must be all whole numbers or all names, got numbers in {kinds['i']} and "
            f"names in {other}; use one of both"
        )
    present = np.unique(np.concatenate([file.labels for file in files]))
    if present.dtype.kind != "i":
        return tuple(present.tolist())
    wrong = present[present != np.arange(len(present))]
    if len(wrong):
        file = next(file for file in files if wrong[0] in file.labels)
        row = int(np.flatnonzero(file.labels == wrong[0])[0])
        raise InputError(
            f"labels must be 0 to num_classes - 1 without gaps, got {wrong[0]} in row {row} of "
            f"{file.path} among {len(present)} classes; number the classes from 0"
        )
    return tuple(str(label) for label in present)


def _label_ids(files: Sequence[_File], class_names: tuple[str, ...]) -> NDArray[np.int64]:
    labels = np.concatenate([file.labels for file in files])
    if labels.dtype.kind == "i":
        return np.ascontiguousarray(labels, np.int64)
    return np.searchsorted(np.array(class_names), labels).astype(np.int64)
