"""A run folder as it was written, perhaps by others: what is in it is checked, never trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records import SWEEP_FILE, is_plain_name
from trainables.errors import InputError


def read_sweep(run: Path, rule: str = "RUN must be") -> dict[str, Any]:
    """Return the content of `sweep.json`.

    Args:
        run: the run folder.
        rule: what messages begin with.

    Raises:
        InputError: if there is none, or it is no JSON object.
    """
    path = run / SWEEP_FILE
    if not path.is_file():
        raise InputError(f"{rule} a run folder, got {run} without {SWEEP_FILE}; name another")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _not_whole(run, error, rule) from None
    if not isinstance(content, dict):
        raise _not_whole(run, f"{SWEEP_FILE} is no JSON object", rule)
    return content


def read_rows(
    run: Path, name: str, schema: pa.Schema, *, is_required: bool = True
) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file, with the schema's columns and types.

    Args:
        run: the run folder.
        name: of the file.
        schema: what it must hold; columns that can be null may be missing.
        is_required: else no file means no rows.

    Raises:
        InputError: if it is missing, no whole Parquet file, or not of the schema.
    """
    path = run / name
    if not is_required and not path.exists():
        return []
    try:
        # Not read_table: it takes folders whose names hold "=" for columns.
        table = pq.ParquetFile(path).read()
        columns = [_column(table, field) for field in schema]
        rows: list[dict[str, Any]] = pa.table(columns, schema=schema).to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _not_whole(run, f"{name}: {error}") from None
    return rows


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    if field.name not in table.column_names:
        if not field.nullable:
            raise ValueError(f"column {field.name} is missing")
        return pa.nulls(len(table), field.type)
    column = table[field.name].cast(field.type)
    if not field.nullable and column.null_count:
        raise ValueError(f"column {field.name} has nulls")
    column.validate(full=True)
    return column


def check_trial_id(trial_id: str) -> None:
    """Check that the name of a trial can be that of a folder: nothing else is made of it.

    Raises:
        InputError: if it is not plain.
    """
    if not is_plain_name(trial_id):
        raise InputError(
            f"TRIAL must be a name and no path, got {trial_id[:80]!r}; it would be that of a folder"
        )


def read_json(text: Any, what: str) -> dict[str, Any]:
    """Return a JSON object that stands in a table.

    Raises:
        InputError: if it is none.
    """
    try:
        content = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{what} must be a JSON object, got {str(text)[:80]!r}; copy RUN again")
    return content


def number(content: Mapping[str, Any], name: str, default: float) -> float:
    """Return a number of `sweep.json`, or the default where there is none."""
    value = content.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value is not None else default


def _not_whole(run: Path, why: object, rule: str = "RUN must be") -> InputError:
    line = str(why).strip().partition("\n")[0]
    return InputError(
        f"{rule} a whole run folder, got {run} ({line}); copy it again from where the sweep "
        "wrote it"
    )
