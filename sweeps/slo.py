"""Why a config is refused: its model can't run as it would be served, or misses the SLO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trainables.latency.figure import LatencyFigure
from trainables.latency.slo import Slo


@dataclass(frozen=True)
class Refusal:
    """Why a config may not train, in words and as a figure."""

    reason: str
    figure: LatencyFigure


class RefusalListener(Protocol):
    """What learns that a trial was refused: the recorder, and a searcher that adapts."""

    def on_refuse(self, trial_id: str, refusal: Refusal) -> None:
        """Learn that a trial won't train."""
        ...


def refusal_of(figure: LatencyFigure, slo: Slo) -> Refusal | None:
    """Return why the config of a figure may not train, or None if it may.

    It may not if its model can't run as it would be served, or misses the SLO with confidence: the
    whole interval lies above the limit.
    """
    if figure.status == "failed":
        where = f"{figure.runtime} in {figure.precision}"
        return Refusal(f"model must run in {where}, got: {figure.reason}", figure)
    if slo.judge(figure) != "misses":
        return None
    reason = f"{slo.column} must be <= {slo.limit_ms:g} ms (the SLO), got {slo.span(figure)}"
    return Refusal(reason, figure)
