"""What is known of every architecture before a trial trains: its size and its latency."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sweeps.recorder import Architecture
from trainables.data.dataset import ImageData
from trainables.errors import InputError
from trainables.latency.cache import LatencyCache
from trainables.models import architecture_fingerprint, count_parameters, create_model
from trainables.trial_config import TrialConfig


class Architectures:
    """Sizes and latencies by architecture, each found once.

    Args:
        data: gives the input shape and the number of classes.
    """

    def __init__(self, data: ImageData) -> None:
        self._data = data
        self._latencies = LatencyCache(data.input_shape, data.num_classes)
        self._num_parameters: dict[str, int] = {}

    def measure(self, configs: Sequence[TrialConfig]) -> None:
        """Measure the latency of the architectures that aren't known yet."""
        self._latencies.get_all(configs)

    def describe(self, values: Mapping[str, Any]) -> Architecture:
        """Return what is known of the architecture of a config given as a dict."""
        config = TrialConfig.from_dict(values)
        fingerprint = architecture_fingerprint(
            config, self._data.input_shape, self._data.num_classes
        )
        if fingerprint not in self._num_parameters:
            with torch.device("meta"):
                model = create_model(config, self._data.input_shape, self._data.num_classes)
            self._num_parameters[fingerprint] = count_parameters(model)
        latency_ms = self._latencies.get(config).p50_ms
        return Architecture(fingerprint, self._num_parameters[fingerprint], latency_ms)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `latency.parquet`."""
        return [dataclasses.asdict(figure) for figure in self._latencies.figures]

    def refusal(self, config: TrialConfig, slo_ms: float | None) -> str | None:
        """Return why a config may not train, or None if it may."""
        latency_ms = self._latencies.get(config).p50_ms
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
        fastest = min(configs, key=lambda config: self._latencies.get(config).p50_ms)
        if self.refusal(fastest, slo_ms) is not None:
            raise InputError(
                f"--latency-slo-ms must be >= {self._latencies.get(fastest).p50_ms:.6g} ms, the "
                f"p50 of the fastest architecture in the space ({fastest.model}, width "
                f"{fastest.width}), got {slo_ms:g}; raise it or add smaller --models or --widths"
            )
