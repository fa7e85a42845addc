"""What is known of every architecture before a trial trains: its size and its latency."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.recorder import Architecture
from trainables.complexity import Complexity, measure_complexity
from trainables.errors import InputError
from trainables.latency import LatencyError
from trainables.latency.cache import LatencyCache
from trainables.models import architecture_fingerprint
from trainables.task import Task
from trainables.trial_config import TrialConfig


class Architectures:
    """Sizes and latencies by architecture, each found once.

    Args:
        task: what the models must fit.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._latencies = LatencyCache(task)
        self._complexities: dict[str, Complexity] = {}

    def measure(self, configs: Sequence[TrialConfig]) -> None:
        """Measure the latency of the architectures that aren't known yet.

        Raises:
            InputError: if a model can't fit the task.
        """
        for config in configs:
            self._size(config)  # also proves, at once, that the model can be built
        self._latencies.get_all(configs)

    def describe(self, values: Mapping[str, Any]) -> Architecture:
        """Return what is known of the architecture of a config given as a dict."""
        config = TrialConfig.from_dict(values)
        fingerprint, complexity = self._size(config)
        latency_ms = self._p50_ms(config)
        sizes = dataclasses.asdict(complexity)
        return Architecture(fingerprint, {**sizes, "latency_p50_ms": latency_ms})

    def _size(self, config: TrialConfig) -> tuple[str, Complexity]:
        """Return the fingerprint of an architecture, and its size."""
        fingerprint = architecture_fingerprint(config, self._task)
        if fingerprint not in self._complexities:
            self._complexities[fingerprint] = measure_complexity(config, self._task)
        return fingerprint, self._complexities[fingerprint]

    def _p50_ms(self, config: TrialConfig) -> float:
        figure = self._latencies.get(config)
        if figure.p50_ms is None:
            raise LatencyError(f"latency of {figure.description}: {figure.reason}")
        return figure.p50_ms

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `latency.parquet`."""
        return [dataclasses.asdict(figure) for figure in self._latencies.figures]

    def refusal(self, config: TrialConfig, slo_ms: float | None) -> str | None:
        """Return why a config may not train, or None if it may."""
        latency_ms = self._p50_ms(config)
        if slo_ms is None or latency_ms <= slo_ms:
            return None
        return f"latency_p50_ms must be <= {slo_ms:g} ms (the SLO), got {latency_ms:.3g} ms"

    def check_slo(self, configs: Sequence[TrialConfig], slo_ms: float | None) -> None:
        """Check that the fastest of the architectures meets the SLO.

        Raises:
            InputError: if none does; says what the fastest is.
        """
        if slo_ms is None:
            return
        fastest = min(configs, key=self._p50_ms)
        if self.refusal(fastest, slo_ms) is not None:
            words = ", ".join(f"{name} {value}" for name, value in fastest.architecture().items())
            raise InputError(
                f"--latency-slo-ms must be >= {self._p50_ms(fastest):.6g} ms, the "
                f"p50 of the fastest architecture in the space ({words}), got {slo_ms:g}; raise "
                "it or add smaller --models or --widths"
            )
