"""What the logits of a part say of a model: scores, curves and calibration."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_roc

_NUM_CALIBRATION_BINS = 15
_NUM_CURVE_POINTS = 33


class ClassScores(TypedDict):
    """Scores of one class against the rest; fractions from 0 to 1."""

    precision: float
    recall: float
    f1: float
    support: int
    roc_auc: float | None


class RocCurve(TypedDict):
    """Points of one class's ROC curve, from (0, 0) to (1, 1); empty where there is no curve."""

    fpr: list[float]
    tpr: list[float]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores over every sample of a part, as plain Python values.

    The predicted class is the one of the greatest logit. Where a fraction would be 0/0 it is 0;
    a class that is neither a label nor predicted is left out of the macro means (both as
    scikit-learn has it).

    Attributes:
        loss: mean cross-entropy without label smoothing, nats; NaN or inf if the logits say so.
        accuracy: fraction, 0 to 1, as all below.
        top5_accuracy: None for five classes or fewer.
        precision_macro: mean over classes.
        recall_macro: mean over classes.
        f1_macro: mean over classes.
        f1_weighted: mean over classes, weighted by support.
        roc_auc: one class against the rest, mean over classes; None where a class has no sample.
        ece: expected calibration error in 15 bins of equal width, each open below and closed above
            (Guo et al. 2017, arXiv:1706.04599, section 2).
        confusion: [num_classes][num_classes] samples; row: true class, column: predicted.
        per_class: [num_classes]; `roc_auc` is None where the class, or the rest, has no sample.
        roc_curve: [num_classes], one class against the rest, in at most 33 points.
    """

    loss: float
    accuracy: float
    top5_accuracy: float | None
    precision_macro: float
    recall_macro: float
    f1_macro: float
    f1_weighted: float
    roc_auc: float | None
    ece: float
    confusion: list[list[int]]
    per_class: list[ClassScores]
    roc_curve: list[RocCurve]


@torch.inference_mode()
def score(logits: Tensor, labels: Tensor) -> Scores:
    """Return the scores of a part.

    A sample with a logit of NaN or +inf counts as probability 0 for every class and as predicted
    class 0, so that only the loss is NaN or inf.

    Args:
        logits: [num_samples, num_classes] float of the whole part, of all workers; num_samples
            > 0, num_classes > 1; any device.
        labels: [num_samples] int64, from 0 to num_classes - 1.
    """
    logits, labels = logits.cpu().double(), labels.cpu()
    num_samples, num_classes = logits.shape
    probabilities = logits.softmax(1).nan_to_num(0)
    confidences, predictions = probabilities.max(1)
    confusion = multiclass_confusion_matrix(predictions, labels, num_classes, validate_args=False)
    num_correct, num_predicted, support = confusion.diag(), confusion.sum(0), confusion.sum(1)
    precision = num_correct / num_predicted.clamp(min=1)
    recall = num_correct / support.clamp(min=1)
    f1 = 2 * num_correct / (num_predicted + support).clamp(min=1)
    is_used = num_predicted + support > 0
    curves, areas = _roc(probabilities, labels, support)
    known_areas = [area for area in areas if area is not None]
    return Scores(
        loss=F.cross_entropy(logits, labels).item(),
        accuracy=num_correct.sum().item() / num_samples,
        top5_accuracy=_top_accuracy(probabilities, labels, 5) if num_classes > 5 else None,
        precision_macro=precision[is_used].mean().item(),
        recall_macro=recall[is_used].mean().item(),
        f1_macro=f1[is_used].mean().item(),
        f1_weighted=(f1 * support).sum().item() / num_samples,
        roc_auc=sum(known_areas) / num_classes if len(known_areas) == num_classes else None,
        ece=_calibration_error(confidences, predictions == labels),
        confusion=confusion.tolist(),
        per_class=[
            ClassScores(precision=p, recall=r, f1=f, support=s, roc_auc=area)
            for p, r, f, s, area in zip(
                precision.tolist(),
                recall.tolist(),
                f1.tolist(),
                support.tolist(),
                areas,
                strict=True,
            )
        ],
        roc_curve=curves,
    )


def _top_accuracy(probabilities: Tensor, labels: Tensor, k: int) -> float:
    # torchmetrics sorts every row for it: 85 ms instead of 15 for 10,000 x 100.
    is_hit = (probabilities.topk(k, sorted=False).indices == labels[:, None]).any(1)
    return is_hit.double().mean().item()


def _calibration_error(confidences: Tensor, is_correct: Tensor) -> float:
    # torchmetrics gives a confidence of exactly 1 a sixteenth bin of its own.
    bins = (confidences * _NUM_CALIBRATION_BINS).ceil().long().clamp(min=1) - 1
    gaps = torch.bincount(bins, confidences - is_correct.double(), _NUM_CALIBRATION_BINS)
    return gaps.abs().sum().item() / len(confidences)


def _roc(
    probabilities: Tensor, labels: Tensor, support: Tensor
) -> tuple[list[RocCurve], list[float | None]]:
    """Return every class's curve against the rest, and the area under it."""
    num_samples, num_classes = probabilities.shape
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No (positive|negative) samples")
        fprs, tprs, _ = multiclass_roc(probabilities, labels, num_classes, validate_args=False)
    curves: list[RocCurve] = []
    areas: list[float | None] = []
    for fpr, tpr, num_positive in zip(fprs, tprs, support.tolist(), strict=True):
        if 0 < num_positive < num_samples:
            fpr, tpr = fpr.double(), tpr.double()
            areas.append(torch.trapezoid(tpr, fpr).item())
            curves.append(_reduced(fpr, tpr))
        else:
            areas.append(None)
            curves.append(RocCurve(fpr=[], tpr=[]))
    return curves, areas


def _reduced(fpr: Tensor, tpr: Tensor) -> RocCurve:
    """Return both ends, and the points that divide the path (rises plus runs) most evenly."""
    if len(fpr) > _NUM_CURVE_POINTS:
        length = fpr + tpr
        marks = torch.linspace(0, 2, _NUM_CURVE_POINTS, dtype=length.dtype)
        kept = torch.unique_consecutive(torch.searchsorted(length, marks))
        fpr, tpr = fpr[kept], tpr[kept]
    return RocCurve(fpr=fpr.tolist(), tpr=tpr.tolist())
