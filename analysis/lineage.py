"""How the weights of population-based trials came to be: donors, and schedules of their configs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from analysis.configs import read_config
from analysis.load import Run


@dataclass(frozen=True)
class Segment:
    """Epochs that a trial's weights were trained under one config.

    Attributes:
        from_epoch: epochs already trained when it began.
        to_epoch: the last one trained under it.
        donor_id: whose weights it began with; None: its own, or fresh ones.
        config: what it was trained under.
    """

    from_epoch: int
    to_epoch: int
    donor_id: str | None
    config: dict[str, Any]


@dataclass(frozen=True)
class Exploit:
    """A trial that went on with a donor's weights.

    Attributes:
        trial_id: who went on.
        donor_id: whose weights it took.
        epoch: the first that it trained with them.
    """

    trial_id: str
    donor_id: str
    epoch: int


def gather_lineages(run: Run) -> dict[str, tuple[Segment, ...]]:
    """Return the segments of each trial's weights, the first one first, by trial id.

    Segments of no epoch are left out: a config that was replaced before it trained.

    Raises:
        RunError: if a config in a lineage is no JSON object.
    """
    columns = [run.trials[name].to_pylist() for name in ("trial_id", "epoch", "lineage")]
    return {
        trial_id: _segments(trial_id, epoch or 0, lineage or [])
        for trial_id, epoch, lineage in zip(*columns, strict=True)
    }


def gather_exploits(run: Run) -> tuple[Exploit, ...]:
    """Return the exploits in the order in which they were reported."""
    rows = run.results.filter(pc.is_valid(run.results["parent_trial_id"]))
    columns = [rows[name].to_pylist() for name in ("trial_id", "parent_trial_id", "epoch")]
    return tuple(Exploit(*row) for row in zip(*columns, strict=True))


def schedule(segments: Sequence[Segment], key: str) -> tuple[list[int], list[Any]]:
    """Return a hyperparameter's value in each epoch of some weights' lineage.

    Args:
        segments: of one trial, from `gather_lineages`.
        key: of the configs.

    Returns:
        The epochs, from 1, and the value in each; None where the config lacks the key.

    Example:
        >>> parts = [Segment(0, 2, None, {"lr": 0.1}), Segment(2, 3, "b", {"lr": 0.2})]
        >>> schedule(parts, "lr")
        ([1, 2, 3], [0.1, 0.1, 0.2])
    """
    epochs = [e for s in segments for e in range(s.from_epoch + 1, s.to_epoch + 1)]
    values = [s.config.get(key) for s in segments for _ in range(s.from_epoch, s.to_epoch)]
    return epochs, values


def _segments(trial_id: str, epoch: int, lineage: Sequence[dict[str, Any]]) -> tuple[Segment, ...]:
    starts = [entry["from_epoch"] or 0 for entry in lineage]
    segments = (
        Segment(
            from_epoch=start,
            to_epoch=min(end, epoch),
            donor_id=entry["parent_trial_id"],
            config=read_config(trial_id, entry["config"]),
        )
        for entry, start, end in zip(lineage, starts, [*starts[1:], epoch], strict=True)
    )
    return tuple(segment for segment in segments if segment.to_epoch > segment.from_epoch)
