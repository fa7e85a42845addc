"""Opens a run folder: every file checked against the schema before anything is computed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from analysis.records import (
    ATTRIBUTIONS_FILE,
    ATTRIBUTIONS_SCHEMA,
    LATENCY_FILE,
    LATENCY_SCHEMA,
    LEDGER_FILE,
    LEDGER_SCHEMA,
    RESULTS_FILE,
    RESULTS_SCHEMA,
    ROBUSTNESS_FILE,
    ROBUSTNESS_SCHEMA,
    SCHEMA_VERSION,
    SEEDS_FILE,
    SEEDS_SCHEMA,
    SWEEP_FILE,
    TRIAL_STATUSES,
    TRIALS_FILE,
    TRIALS_SCHEMA,
    has_password,
    is_plain_name,
    numeric_columns,
)


class RunError(ValueError):
    """What was given is no run folder, or one of its files does not keep to the schema."""


@dataclass(frozen=True)
class Run:
    """A run folder in memory.

    The tables hold the columns of `analysis.records` in that order and with those types, then
    whatever else their files hold.
    """

    path: str
    spec: dict[str, Any]
    """The whole of sweep.json."""
    trials: pa.Table
    results: pa.Table
    latency: pa.Table
    robustness: pa.Table
    attributions: pa.Table
    seeds: pa.Table
    ledger: pa.Table

    @property
    def other_columns(self) -> list[str]:
        """Numeric columns of the trials beside those of every run, as a replayed table has."""
        numeric = numeric_columns(self.trials.schema)
        return [name for name in numeric if name not in TRIALS_SCHEMA.names]


def open_folder(path: str | Path) -> tuple[fs.FileSystem, str]:
    """Return the file system of a local path or a URI, and the path inside it.

    Raises:
        RunError: if pyarrow knows no such scheme or cannot reach it, or the URI holds a password.
    """
    text = str(path)
    if has_password(text):
        raise RunError(
            "run folder must be a URI without credentials, got one with them; set them in the "
            "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    try:
        if "://" in text:
            filesystem, inner = fs.FileSystem.from_uri(text)
        else:
            filesystem, inner = fs.LocalFileSystem(), str(Path(text).expanduser().absolute())
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RunError(
            f"run folder must be a local path or a URI that pyarrow.fs opens, got {text!r} "
            f"({_one_line(error)}); check the scheme and the credentials"
        ) from error
    return filesystem, inner.rstrip("/")


def load_run(path: str | Path) -> Run:
    """Return the run stored at `path`, checked against `analysis.records`.

    `results.parquet` may be absent while no trial has reported an epoch, and `latency.parquet`
    while no trial has a latency; both then load as empty tables, and so do `robustness.parquet`,
    `attributions.parquet` and `seeds.parquet`, which are written after the search, and
    `ledger.parquet`, which older runs have not.

    Args:
        path: a local path, or a URI such as `s3://bucket/runs/NAME`.

    Raises:
        RunError: if this is no run folder, a file is missing, cut short or of another schema
            version, or a column is missing or of another type.
    """
    filesystem, folder = open_folder(path)
    spec = _read_sweep(filesystem, folder, str(path))
    is_older = spec["schema_version"] < SCHEMA_VERSION
    read = functools.partial(_read_table, filesystem, is_older=is_older)
    trials = read(f"{folder}/{TRIALS_FILE}", TRIALS_SCHEMA)
    _check_trials(trials, f"{folder}/{TRIALS_FILE}")
    _check_checkpoints(trials, spec, f"{folder}/{TRIALS_FILE}")
    has_epochs = bool(pc.any(pc.greater(trials["epoch"], 0)).as_py())
    has_latency = trials["latency_p50_ms"].null_count < len(trials)
    return Run(
        path=str(path),
        spec=spec,
        trials=trials,
        results=read(f"{folder}/{RESULTS_FILE}", RESULTS_SCHEMA, is_required=has_epochs),
        latency=read(f"{folder}/{LATENCY_FILE}", LATENCY_SCHEMA, is_required=has_latency),
        robustness=read(f"{folder}/{ROBUSTNESS_FILE}", ROBUSTNESS_SCHEMA, is_required=False),
        attributions=read(f"{folder}/{ATTRIBUTIONS_FILE}", ATTRIBUTIONS_SCHEMA, is_required=False),
        seeds=read(f"{folder}/{SEEDS_FILE}", SEEDS_SCHEMA, is_required=False),
        ledger=read(f"{folder}/{LEDGER_FILE}", LEDGER_SCHEMA, is_required=False),
    )


def load_runs(paths: Iterable[str | Path]) -> tuple[Run, ...]:
    """Return several runs, each as `load_run` does.

    Raises:
        RunError: as `load_run`, or if no path is given, or one twice.
    """
    listed = [str(path) for path in paths]
    again = sorted({path for path in listed if listed.count(path) > 1})
    if not listed or again:
        got = f"{again[0]!r} twice" if again else "none"
        raise RunError(f"run folders must be one or more different ones, got {got}; give each once")
    return tuple(load_run(path) for path in listed)


def load_trials(path: str | Path, columns: Sequence[str]) -> pa.Table:
    """Return some columns of `trials.parquet` after `trial_id` and `status`, and read no others.

    For runs of very many trials: `load_run` reads every config, lineage and score.

    Args:
        path: a local path or a URI.
        columns: of `trials.parquet`.

    Raises:
        RunError: as `load_run`, or if there is no such column.
    """
    filesystem, folder = open_folder(path)
    spec = _read_sweep(filesystem, folder, str(path))
    name = f"{folder}/{TRIALS_FILE}"
    wanted = list(dict.fromkeys(["trial_id", "status", *columns]))
    schema = pa.schema([field for field in TRIALS_SCHEMA if field.name in wanted])
    is_older = spec["schema_version"] < SCHEMA_VERSION
    trials = _read_table(filesystem, name, schema, is_older=is_older, columns=wanted)
    missing = [column for column in wanted if column not in trials.column_names]
    if missing:
        raise RunError(
            f"columns of {name} must include {missing[0]}, got none such; choose columns of "
            "analysis.records.TRIALS_SCHEMA, or of the recorded table"
        )
    _check_trials(trials, name)
    return trials.select(wanted)


def _read_sweep(filesystem: fs.FileSystem, folder: str, given: str) -> dict[str, Any]:
    """Return sweep.json, of our schema version."""
    name = f"{folder}/{SWEEP_FILE}"
    try:
        is_file = filesystem.get_file_info(name).type == fs.FileType.File
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"run folder must be readable, got {given!r} ({_one_line(error)}); check the path "
            "and the credentials"
        ) from error
    if not is_file:
        raise RunError(
            f"run folder must hold {SWEEP_FILE}, got {given!r} without one; give the folder of "
            "one sweep, such as runs/NAME"
        )
    try:
        with filesystem.open_input_stream(name) as stream:
            spec = json.loads(stream.read())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(
            f"{name} must be readable JSON, got {_one_line(error)}; copy the file again from "
            "where the sweep wrote it"
        ) from error
    if not isinstance(spec, dict):
        raise RunError(
            f"{name} must be a JSON object, got {type(spec).__name__}; copy the file again from "
            "where the sweep wrote it"
        )
    if spec.get("schema_version") not in range(1, SCHEMA_VERSION + 1):
        raise RunError(
            f"schema_version of {name} must be 1 to {SCHEMA_VERSION}, got "
            f"{spec.get('schema_version')!r}; read this run with the version of paretune that "
            "wrote it"
        )
    return spec


def _read_table(
    filesystem: fs.FileSystem,
    name: str,
    schema: pa.Schema,
    *,
    is_older: bool,
    is_required: bool = True,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return a Parquet file with the schema's columns first, or an empty table.

    With `columns` no others are read.
    """
    try:
        if not is_required and filesystem.get_file_info(name).type == fs.FileType.NotFound:
            return schema.empty_table()
        with filesystem.open_input_file(name) as source:
            table = pq.ParquetFile(source).read(columns)
    except FileNotFoundError as error:
        raise RunError(
            f"run folder must hold {name}, got none; copy it from where the sweep wrote it"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"{name} must be a whole Parquet file, got {_one_line(error)}; copy the file again "
            "from where the sweep wrote it"
        ) from error
    if is_older:
        table = _fill(table, schema)
    return _conform(table, schema, name)


def _fill(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with nulls for the columns that its schema version did not have yet."""
    for field in schema:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def _conform(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Return the table with the schema's columns, cast to its types, before the others."""
    missing = [column for column in schema.names if column not in table.column_names]
    if missing:
        raise RunError(
            f"columns of {name} must include {', '.join(missing)}, got "
            f"{', '.join(table.column_names) or 'none'}; read this run with the version of "
            "paretune that wrote it"
        )
    fields, columns = list(schema), []
    for field in schema:
        try:
            column = table[field.name].cast(field.type)
        except pa.ArrowException as error:
            raise RunError(
                f"column {field.name} of {name} must be {field.type}, got "
                f"{table[field.name].type} ({_one_line(error)}); read this run with the version "
                "of paretune that wrote it"
            ) from error
        if not field.nullable and column.null_count:
            raise RunError(
                f"column {field.name} of {name} must have no nulls, got {column.null_count}; "
                "copy the file again from where the sweep wrote it"
            )
        columns.append(column)
    for extra in table.schema:
        if extra.name not in schema.names:
            fields.append(extra)
            columns.append(table[extra.name])
    return pa.table(columns, schema=pa.schema(fields))


def _check_trials(trials: pa.Table, name: str) -> None:
    """Refuse an unknown status and a trial that stands there twice."""
    unknown = sorted(set(pc.unique(trials["status"]).to_pylist()) - set(TRIAL_STATUSES))
    if unknown:
        raise RunError(
            f"status in {name} must be one of {', '.join(TRIAL_STATUSES)}, got {unknown[0]!r}; "
            "read this run with the version of paretune that wrote it"
        )
    paths = [text for text in trials["trial_id"].to_pylist() if not is_plain_name(text)]
    if paths:
        raise RunError(
            f"trial_id in {name} must be names and no paths, got {paths[0][:80]!r}; don't trust "
            "this run folder"
        )
    if pc.count_distinct(trials["trial_id"]).as_py() < len(trials):
        counts = pc.value_counts(trials["trial_id"])
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0].as_py()
        raise RunError(
            f"trial_id in {name} must be unique, got {twice['values']!r} "
            f"{twice['counts']} times; copy the file again from where the sweep wrote it"
        )


def _check_checkpoints(trials: pa.Table, spec: dict[str, Any], name: str) -> None:
    """Refuse a checkpoint that lies neither in the run folder nor in the sweep's own storage."""
    content = spec.get("spec")
    storage = content.get("storage") if isinstance(content, dict) else None
    for checkpoint in trials["checkpoint"].drop_null().to_pylist():
        is_inside = "://" not in checkpoint and not checkpoint.startswith(("/", "\\"))
        is_stored = isinstance(storage, str) and (
            checkpoint.startswith(f"{storage.rstrip('/')}/")
            if "://" in storage
            else "://" not in checkpoint  # absolute here, perhaps relative to some folder there
        )
        if not (is_stored or is_inside) or ".." in checkpoint.split("/"):
            raise RunError(
                f"checkpoint in {name} must lie in the run folder or under --storage, got "
                f"{checkpoint[:80]!r}; don't trust this run folder"
            )


def _one_line(error: BaseException) -> str:
    """Return the first line of an error's text, for use inside our own."""
    return str(error).strip().split("\n")[0] or type(error).__name__
