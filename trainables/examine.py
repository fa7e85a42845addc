"""What is found out of a finalist after the search: the one place where the test part is used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainables.attribution import attribute
from trainables.data.device import DeviceData, PlacedPart, spread_positions
from trainables.epoch_result import DETAILS
from trainables.evaluate import predict_all
from trainables.metrics import score
from trainables.ranks import Ranks
from trainables.robustness.rows import robustness_rows
from trainables.train_loop import Training


@dataclass(frozen=True)
class ExamineOptions:
    """How much is found out of a finalist.

    Attributes:
        robustness_samples: test images that are corrupted and attacked; 0: none.
        attribution_samples: test samples whose attribution is mapped; 0: none.
        seed: of the corruptions and attacks.
    """

    robustness_samples: int
    attribution_samples: int
    seed: int


def examine(
    training: Training,
    data: DeviceData,
    test: PlacedPart,
    ranks: Ranks,
    options: ExamineOptions,
) -> dict[str, Any]:
    """Return scores, robustness and attributions on the test part, as plain values.

    All workers share the scores; what is done on a few samples, rank 0 does alone.

    Returns:
        `scores` by name, `robustness` as rows, `attributions` as rows with the position of the
        sample, the class predicted, and [height x width] or [tokens] values from 0 to 1.
    """
    logits = predict_all(training.served_model, training.predict, test.inputs, ranks)
    scores = dataclasses.asdict(score(logits, test.labels))
    found: dict[str, Any] = {
        "scores": {name: value for name, value in scores.items() if name not in DETAILS},
        "robustness": [],
        "attributions": [],
    }
    if ranks.rank > 0:
        return found
    if options.robustness_samples and data.task.kind == "image":
        found["robustness"] = _robustness(training, data, test, options)
    if options.attribution_samples:
        found["attributions"] = _attributions(training, data, test, logits, options)
    return found


def _robustness(
    training: Training, data: DeviceData, test: PlacedPart, options: ExamineOptions
) -> list[dict[str, Any]]:
    chosen = spread_positions(options.robustness_samples, test)
    was_training = training.served_model.training
    training.served_model.eval()
    rows = robustness_rows(
        lambda images: training.logits_of(data.model_inputs(images * 255)),
        test.inputs_at(chosen),
        test.labels[chosen],
        torch.Generator().manual_seed(options.seed),  # on the CPU: the same for every device
    )
    training.served_model.train(was_training)
    return [dataclasses.asdict(row) for row in rows]


def _attributions(
    training: Training,
    data: DeviceData,
    test: PlacedPart,
    logits: Tensor,
    options: ExamineOptions,
) -> list[dict[str, Any]]:
    chosen = spread_positions(options.attribution_samples, test)
    predicted = logits[chosen].argmax(1)
    maps = attribute(training.served_model, data.model_inputs(test.inputs_at(chosen)), predicted)
    return [
        {"sample": sample, "predicted": label, "attribution": values}
        for sample, label, values in zip(
            chosen.tolist(), predicted.tolist(), maps.flatten(1).tolist(), strict=True
        )
    ]
