"""Latency figures in a file, across sweeps and from other machines. Imports no Torch."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import tempfile
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.errors import InputError
from trainables.latency.figure import LatencyFigure

CACHE_SCHEMA: Final = 1
"""Raise it with every change of the columns or of what they mean."""

_SCHEMA_KEY: Final = b"paretune_latency_cache"
_FIGURE_NAMES: Final = tuple(field.name for field in fields(LatencyFigure))
_REQUIRED_NAMES: Final = tuple(
    field.name for field in fields(LatencyFigure) if field.default is dataclasses.MISSING
)

# All that a latency depends on; `device` holds the processor's name, `architecture` the graph.
_KEY_NAMES: Final = (
    "architecture",
    "runtime",
    "precision",
    "batch_size",
    "num_threads",
    "device",
    "versions",
)


@dataclass(frozen=True)
class KeptFigure:
    """A figure of the cache.

    Attributes:
        figure: exact, of random weights.
        machine: under which it was imported; None: measured by sweeps that use this file.
        min_time_s: seconds of calls that its measuring had to take at least.
    """

    figure: LatencyFigure
    machine: str | None = None
    min_time_s: float = 0.0

    @property
    def key(self) -> tuple[Any, ...]:
        """All that two figures must share for the later to take the earlier's place."""
        return (self.machine, *(getattr(self.figure, name) for name in _KEY_NAMES))


def default_cache_path() -> Path:
    """Return where figures are kept unless told otherwise: in the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "paretune" / "latency.parquet"


def read_cache(path: Path) -> list[KeptFigure]:
    """Return the figures of a cache; none if there is no file.

    Raises:
        InputError: if it is no latency cache, or one of another schema.
    """
    if not path.exists():
        return []
    table = _read_table(path, "--latency-cache")
    found = (table.schema.metadata or {}).get(_SCHEMA_KEY, b"none").decode()
    if found != str(CACHE_SCHEMA):
        raise InputError(
            f"--latency-cache must be a latency cache of schema {CACHE_SCHEMA}, got {path} of "
            f"schema {found}; name another file, or delete this one to measure again"
        )
    return [_from_row(row) for row in table.to_pylist()]


def add_to_cache(path: Path, kept: Iterable[KeptFigure]) -> None:
    """Add figures to a cache; one with the key of an earlier takes its place.

    Several sweeps may add at the same time. Figures that are not exact, or of trained weights, are
    left out: they would not be measured again where they should be.

    Raises:
        InputError: if the cache can't be read or written.
    """
    added = [k for k in kept if k.figure.status == "exact" and k.figure.trial_id is None]
    if not added:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f".{path.name}.lock")):
            rows = {one.key: one for one in [*read_cache(path), *added]}
            _write(path, list(rows.values()))
    except OSError as error:
        raise InputError(
            f"--latency-cache must be a file that can be written, got {path} "
            f"({error.strerror}); name another"
        ) from error


def import_figures(source: Path, machine: str, cache: Path) -> int:
    """Add to a cache what was measured on another machine, under a name for it.

    Args:
        source: a cache of that machine, or a run folder from there or its `latency.parquet`.
        machine: the name, for `--latency-device`.
        cache: to add to.

    Returns:
        How many figures were added.

    Raises:
        InputError: if the source can't be read or holds no figure that is exact, or the name is
            taken by a kind of device.
    """
    if machine in ("", "cpu", "cuda"):
        raise InputError(
            f"the name of a machine must be one of your own, not cpu or cuda, got {machine!r}; "
            "give another"
        )
    if source.is_dir():
        source = source / "latency.parquet"
    if not source.is_file():
        raise InputError(
            "what is imported must be a latency cache, a run folder or its latency.parquet, got "
            f"{source}, which is no file; name another"
        )
    table = _read_table(source, "what is imported")
    missing = [name for name in _REQUIRED_NAMES if name not in table.column_names]
    if missing:
        raise InputError(
            f"what is imported must be a latency table of this version, got {source} without "
            f"{', '.join(missing)}; measure with this version"
        )
    own = [_from_row(row) for row in table.to_pylist() if row.get("machine") is None]
    exact = [k for k in own if k.figure.status == "exact" and k.figure.trial_id is None]
    if not exact:
        raise InputError(
            f"what is imported must hold an exact figure of an architecture, got none in {source}; "
            "measure on a quieter machine"
        )
    add_to_cache(cache, [dataclasses.replace(one, machine=machine) for one in exact])
    return len(exact)


def rescaled(figure: LatencyFigure, nominal_ms: float | None) -> LatencyFigure:
    """Return a figure as it is with another nominal time of the reference network.

    So figures that were kept compare with those of a host whose nominal time was measured again.
    """
    old_ms = figure.nominal_reference_ms
    if nominal_ms is None or old_ms is None or nominal_ms == old_ms:
        return figure
    scale = nominal_ms / old_ms

    def times(value: float | None) -> float | None:
        return None if value is None else value * scale

    return dataclasses.replace(
        figure,
        latency_ms=times(figure.latency_ms),
        latency_low_ms=times(figure.latency_low_ms),
        latency_high_ms=times(figure.latency_high_ms),
        throughput_per_s=figure.throughput_per_s and figure.throughput_per_s / scale,
        nominal_reference_ms=nominal_ms,
    )


def _read_table(path: Path, name: str) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{name} must be a Parquet file that can be read, got {path} ({reason}); name another"
        ) from error


def _from_row(row: Mapping[str, Any]) -> KeptFigure:
    figure = LatencyFigure(**{name: row[name] for name in _FIGURE_NAMES if name in row})
    return KeptFigure(figure, row.get("machine"), row.get("min_time_s") or 0.0)


def _write(path: Path, kept: list[KeptFigure]) -> None:
    rows = [
        {**dataclasses.asdict(one.figure), "machine": one.machine, "min_time_s": one.min_time_s}
        for one in kept
    ]
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), new)
            new.flush()
            os.fsync(new.fileno())
            os.replace(new.name, path)
        except BaseException:
            os.unlink(new.name)
            raise


def _schema() -> pa.Schema:
    types = {int: pa.int64(), float: pa.float64()}
    columns = []
    for name, hint in typing.get_type_hints(LatencyFigure).items():
        number = next((kind for kind in types if kind in (hint, *typing.get_args(hint))), None)
        columns.append(pa.field(name, pa.string() if number is None else types[number]))
    columns += [pa.field("machine", pa.string()), pa.field("min_time_s", pa.float64())]
    return pa.schema(columns, metadata={_SCHEMA_KEY: str(CACHE_SCHEMA)})


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
