"""The latency SLO, and what a figure says of it. Needs no Torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from trainables.latency.figure import LatencyFigure

Verdict = Literal["meets", "misses", "undecided"]


class Span(NamedTuple):
    """A latency and the interval that it lies in."""

    value_ms: float
    low_ms: float
    high_ms: float

    def __str__(self) -> str:
        return f"{self.value_ms:.4g} ms ({self.low_ms:.4g} to {self.high_ms:.4g} ms)"


@dataclass(frozen=True)
class Slo:
    """The longest that a call may take.

    Attributes:
        limit_ms: > 0; None: a call may take as long as it likes.
        percentile: of the calls, 50, 95 or 99; None: the calibrated latency.
    """

    limit_ms: float | None = None
    percentile: int | None = None

    @property
    def column(self) -> str:
        """What is held against the limit, as `trials.parquet` names it."""
        return "latency_ms" if self.percentile is None else f"latency_p{self.percentile}_ms"

    def span(self, figure: LatencyFigure) -> Span | None:
        """Return what is held against the limit; None where it was not measured."""
        name = "latency" if self.percentile is None else f"p{self.percentile}"
        value_ms, low_ms, high_ms = (
            getattr(figure, f"{name}{end}_ms") for end in ("", "_low", "_high")
        )
        return None if value_ms is None else Span(value_ms, low_ms, high_ms)

    def judge(self, figure: LatencyFigure) -> Verdict:
        """Return whether a figure meets the SLO: undecided where its interval does not tell."""
        if self.limit_ms is None:
            return "meets"
        span = self.span(figure)
        if span is None or figure.status != "exact":
            return "undecided"
        if span.low_ms > self.limit_ms:
            return "misses"
        return "meets" if span.high_ms <= self.limit_ms else "undecided"
