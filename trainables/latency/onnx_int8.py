"""int8 in ONNX: static post-training quantisation, written into the graph as pairs of QDQ nodes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from trainables.latency import LatencyError
from trainables.latency.export import first_line
from trainables.latency.protocol import Recipe


def quantise(graph: bytes, recipe: Recipe, *, is_symmetric: bool) -> bytes:
    """Return a graph whose weights (by channel) and activations are rounded to int8.

    Args:
        graph: serialised fp32 ONNX, with one input and static shapes.
        recipe: its calibration samples fix the scales.
        is_symmetric: activations are signed, with zero at 0, as TensorRT needs them; else they
            are unsigned, which is quicker on x86.

    Raises:
        LatencyError: if the graph can't be quantised.
    """
    options = {"ActivationSymmetric": is_symmetric, "WeightSymmetric": True}
    with tempfile.TemporaryDirectory() as name:
        given, prepared, quantised = (Path(name, f"{number}.onnx") for number in range(3))
        given.write_bytes(graph)
        # They speak of their own progress, in a way that no logging level stops.
        logging.disable(logging.WARNING)
        try:
            quant_pre_process(given, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantised,
                _Reader(_input_name(graph), [b.numpy() for b in recipe.calibration_batches()]),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8 if is_symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options=options,
            )
        except Exception as error:  # it has no kind of its own
            raise LatencyError(
                f"ONNX Runtime can't quantise the model: {first_line(error)}"
            ) from error
        finally:
            logging.disable(logging.NOTSET)
        return quantised.read_bytes()


def _input_name(graph: bytes) -> str:
    return str(onnx.load_from_string(graph).graph.input[0].name)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration batches one after the other."""

    def __init__(self, name: str, batches: Sequence[NDArray[np.generic]]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.generic]]] = iter(
            [{name: batch} for batch in batches]
        )

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        """Return the next feed, or None at the end."""
        return next(self._feeds, None)
