"""Trackers by name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from sweeps.trackers.background import BackgroundTracker
from trainables.errors import InputError


class TrackerEntry(NamedTuple):
    """Where a tracker stands, and what it needs; the extra that installs it has its name.

    Attributes:
        target: module:class, made of the content of `sweep.json` and the run folder.
        modules: that it imports.
    """

    target: str
    modules: tuple[str, ...]


TRACKERS: Final[Mapping[str, TrackerEntry]] = {
    "mlflow": TrackerEntry(
        "sweeps.trackers.mlflow_store:MlflowTracker", ("mlflow", "sqlalchemy", "alembic")
    ),
    "wandb": TrackerEntry("sweeps.trackers.wandb_store:WandbTracker", ("wandb",)),
}
"""By what `--track` calls them."""


def check_trackers(names: Sequence[str]) -> None:
    """Check that trackers are known, named once and installed, before a sweep starts.

    Raises:
        InputError: if one is not.
    """
    for index, name in enumerate(names):
        if name not in TRACKERS or name in names[:index]:
            raise InputError(
                f"--track must be {' or '.join(TRACKERS)}, each once, got {name}; drop it"
            )
        missing = [m for m in TRACKERS[name].modules if importlib.util.find_spec(m) is None]
        if missing:
            raise InputError(
                f"--track must be one that is installed, got {name} without "
                f'{", ".join(missing)}; run: pip install -e ".[{name}]"'
            )


def start_trackers(
    names: Sequence[str], sweep: Mapping[str, Any], run: Path, warn: Callable[[str], None]
) -> list[BackgroundTracker]:
    """Return trackers that work in threads of their own from now on.

    Args:
        names: of TRACKERS.
        sweep: content of `sweep.json`.
        run: run folder.
        warn: is told once by each that it misses something.
    """
    return [BackgroundTracker(name, _maker(name, sweep, run), warn) for name in names]


def _maker(name: str, sweep: Mapping[str, Any], run: Path) -> Callable[[], Any]:
    def make() -> Any:
        module_name, _, class_name = TRACKERS[name].target.partition(":")
        return getattr(importlib.import_module(module_name), class_name)(sweep, run)

    return make
