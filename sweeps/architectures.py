"""What is known of every architecture before a trial trains: its size and its latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sweeps.recorder import Architecture
from trainables.data.dataset import ImageData
from trainables.models import architecture_fingerprint, count_parameters, create_model
from trainables.trial_config import TrialConfig


class Architectures:
    """Sizes and latencies by architecture, each found once.

    Args:
        data: gives the input shape and the number of classes.
    """

    def __init__(self, data: ImageData) -> None:
        self._data = data
        self._latency_ms: dict[str, float] = {}
        self._num_parameters: dict[str, int] = {}

    def fingerprint(self, config: TrialConfig) -> str:
        """Return the key of a config's architecture."""
        return architecture_fingerprint(config, self._data.input_shape, self._data.num_classes)

    def describe(self, values: Mapping[str, Any]) -> Architecture:
        """Return what is known of the architecture of a config given as a dict."""
        config = TrialConfig.from_dict(values)
        fingerprint = self.fingerprint(config)
        if fingerprint not in self._num_parameters:
            with torch.device("meta"):
                model = create_model(config, self._data.input_shape, self._data.num_classes)
            self._num_parameters[fingerprint] = count_parameters(model)
        return Architecture(
            fingerprint, self._num_parameters[fingerprint], self._latency_ms.get(fingerprint)
        )
