"""What is known of every architecture before a trial trains: its size and its latency."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.latencies import Latencies, describe
from sweeps.slo import Refusal, refusal_of
from sweeps.trial_record import Architecture
from trainables.complexity import Complexity, measure_complexity
from trainables.cost import serving_usd_per_million
from trainables.errors import InputError
from trainables.latency.figure import LatencyFigure
from trainables.models import architecture_fingerprint
from trainables.task import Task
from trainables.trial_config import TrialConfig


class Architectures:
    """Sizes and latencies by architecture, each found once.

    Args:
        task: what the models must fit.
        latencies: of the architectures.
    """

    def __init__(self, task: Task, latencies: Latencies) -> None:
        self.latencies = latencies
        self._task = task
        self._complexities: dict[str, Complexity] = {}

    def measure(self, configs: Sequence[TrialConfig]) -> None:
        """Find size and latency of the architectures that aren't known yet.

        Raises:
            InputError: if a model can't fit the task, if none can run as it would be served, or if
                none meets the SLO.
        """
        for config in configs:
            self._size(config)  # also proves, at once, that the model can be built
        self.latencies.measure(configs)
        self._check_slo(configs)

    def describe(self, values: Mapping[str, Any]) -> Architecture:
        """Return what is known of the architecture of a config given as a dict."""
        config = TrialConfig.from_dict(values)
        fingerprint, complexity = self._size(config)
        figures = {**dataclasses.asdict(complexity), **self._latency_columns(config)}
        return Architecture(fingerprint, figures)

    def known(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Return what is known of a config before it trains, for a scheduler, by column.

        An uncertain latency is a number here: it is better than none to steer by.
        """
        figure = self.latencies.figure(TrialConfig.from_dict(values))
        figures = {**self.describe(values).figures, "latency_ms": figure.latency_ms}
        return {
            name: float(value)
            for name, value in figures.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }

    def weights_bytes(self, config: TrialConfig) -> int:
        """Return the size of an architecture's weights on disk."""
        return self._size(config)[1].weights_bytes

    def _latency_columns(self, config: TrialConfig) -> dict[str, Any]:
        """Return the latency of an architecture as `trials.parquet` has it.

        An uncertain figure is left out, so that nothing ranks by it; `latency.parquet` has it.
        """
        figure, target = self.latencies.figure(config), self.latencies.target
        is_exact = figure.status == "exact"
        is_open = is_exact and target.slo.judge(figure) == "undecided"
        throughput_per_s = figure.throughput_per_s if is_exact else None
        return {
            "latency_ms": figure.latency_ms if is_exact else None,
            "latency_p50_ms": figure.p50_ms if is_exact else None,
            "latency_p95_ms": figure.p95_ms if is_exact else None,
            "latency_p99_ms": figure.p99_ms if is_exact else None,
            "latency_status": "undecided" if is_open else figure.status,
            "latency_runtime": figure.runtime,
            "serving_usd_per_million": _serving_usd(throughput_per_s, target.price_usd_per_hour),
        }

    def _size(self, config: TrialConfig) -> tuple[str, Complexity]:
        """Return the fingerprint of an architecture, and its size."""
        fingerprint = architecture_fingerprint(config, self._task)
        if fingerprint not in self._complexities:
            self._complexities[fingerprint] = measure_complexity(config, self._task)
        return fingerprint, self._complexities[fingerprint]

    def refusal(self, config: TrialConfig) -> Refusal | None:
        """Return why a config may not train, or None if it may."""
        return refusal_of(self.latencies.figure(config), self.latencies.target.slo)

    def num_of_status(self, configs: Sequence[TrialConfig], status: str) -> int:
        """Return how many architectures have a `latency_status`."""
        return sum(self._latency_columns(config)["latency_status"] == status for config in configs)

    def _check_slo(self, configs: Sequence[TrialConfig]) -> None:
        """Check that an architecture may train.

        Raises:
            InputError: if none may; says why, or what the fastest is.
        """
        slo = self.latencies.target.slo
        figures = [(config, self.latencies.figure(config)) for config in configs]
        running = [(config, figure) for config, figure in figures if figure.status != "failed"]
        if not running:
            config, figure = figures[0]
            raise _nothing_runs(config, figure)
        if any(refusal_of(figure, slo) is None for _, figure in running):
            return
        spans = [(slo.span(figure), config) for config, figure in running]
        known = [(span, config) for span, config in spans if span is not None]
        fastest, config = min(known, key=lambda pair: pair[0].value_ms)
        raise InputError(
            f"--latency-slo-ms must be >= {fastest.low_ms:.6g} ms, the {slo.column} of the fastest "
            f"architecture in the space ({describe(config)}: {fastest}), got {slo.limit_ms:g}; "
            "raise it or add smaller --models or --widths"
        )


def _nothing_runs(config: TrialConfig, figure: LatencyFigure) -> InputError:
    return InputError(
        f"--runtime must be one that can run a model of the space, got {figure.runtime} in "
        f"{figure.precision}: {figure.reason} ({describe(config)}); choose another, name a "
        "--fallback-runtime or leave the model out"
    )


def _serving_usd(throughput_per_s: float | None, price_usd_per_hour: float | None) -> float | None:
    if throughput_per_s is None or price_usd_per_hour is None:
        return None
    return serving_usd_per_million(throughput_per_s, price_usd_per_hour)
