"""Samples for the measuring of latencies: what int8 is fitted to, and what accuracy is found on."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from numpy.typing import NDArray

from trainables.data.dataset import Part, SplitData
from trainables.data.device import spread_positions
from trainables.latency.measure import Samples

CALIBRATION_SAMPLES: Final = 256

EVALUATION_SAMPLES: Final = 2000

MAX_BYTES: Final = 256 * 2**20
"""Of either, as a model takes them: large images are fewer."""


def calibration_samples(data: SplitData) -> Samples:
    """Return samples of the training part."""
    return Samples(_inputs(data, data.train, CALIBRATION_SAMPLES)[0])


def shipping_samples(data: SplitData) -> Samples:
    """Return samples of the training part, and with their labels of the validation part."""
    calibration, _ = _inputs(data, data.train, CALIBRATION_SAMPLES)
    return Samples(calibration, *_inputs(data, data.val, EVALUATION_SAMPLES))


def exported_samples(data: SplitData) -> Samples:
    """Return the same samples as a model takes them that has its preprocessing inside."""
    if data.task.kind == "text":
        return shipping_samples(data)
    calibration, _ = _pixels(data, data.train, CALIBRATION_SAMPLES)
    return Samples(calibration, *_pixels(data, data.val, EVALUATION_SAMPLES))


def num_evaluated(data: SplitData) -> int:
    """Return on how many samples of the validation part accuracy is found."""
    return min(len(data.val), _limit(data, EVALUATION_SAMPLES))


def _inputs(data: SplitData, part: Part, num_samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return samples that are spread over a part, as a model takes them, and their labels."""
    placed = data.on_device(torch.device("cpu"))
    whole = placed.place(part)
    chosen = spread_positions(_limit(data, num_samples), whole)
    inputs = placed.model_inputs(whole.inputs_at(chosen)).contiguous()
    return inputs.numpy(), whole.labels[chosen].numpy()


def _pixels(data: SplitData, part: Part, num_samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
    whole = data.on_device(torch.device("cpu")).place(part)
    chosen = spread_positions(_limit(data, num_samples), whole)
    return whole.inputs_at(chosen).contiguous().numpy(), whole.labels[chosen].numpy()


def _limit(data: SplitData, num_samples: int) -> int:
    num_bytes = (4 if data.task.vocab_size is None else 8) * math.prod(data.task.input_shape)
    return min(num_samples, max(1, MAX_BYTES // num_bytes))
