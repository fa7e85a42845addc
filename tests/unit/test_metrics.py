import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional.classification import (
    multiclass_auroc,
    multiclass_calibration_error,
)

from trainables.metrics import score


def draw(num_samples, num_classes, seed, decimals=6):
    """Logits that know something of the labels; few decimals make ties."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes, (num_samples,), generator=generator)
    # Every class is there.
    labels[:num_classes] = torch.arange(num_classes)
    logits = torch.randn(num_samples, num_classes, generator=generator)
    logits += 1.5 * torch.nn.functional.one_hot(labels, num_classes)
    return logits.round(decimals=decimals), labels


@settings(max_examples=40)
@given(
    num_samples=st.integers(12, 80),
    num_classes=st.integers(2, 12),
    decimals=st.integers(0, 4),
    seed=st.integers(0, 2**16),
)
def test_scores_are_those_of_scikit_learn(num_samples, num_classes, decimals, seed):
    logits, labels = draw(num_samples, num_classes, seed, decimals)
    scores = score(logits, labels)
    probabilities = logits.double().softmax(1).numpy()
    truth, predicted = labels.numpy(), probabilities.argmax(1)
    classes = np.arange(num_classes)

    def oracle(average):
        return sklearn_metrics.precision_recall_fscore_support(
            truth, predicted, average=average, zero_division=0
        )

    assert scores.loss == pytest.approx(
        sklearn_metrics.log_loss(truth, probabilities, labels=classes)
    )
    assert scores.accuracy == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))
    macro = (scores.precision_macro, scores.recall_macro, scores.f1_macro)
    assert macro == pytest.approx(oracle("macro")[:3])
    assert scores.f1_weighted == pytest.approx(oracle("weighted")[2])
    confusion = sklearn_metrics.confusion_matrix(truth, predicted, labels=classes)
    assert scores.confusion == confusion.tolist()
    for values, name in zip(oracle(None), ("precision", "recall", "f1", "support"), strict=True):
        assert [row[name] for row in scores.per_class] == pytest.approx(values)
    areas = [
        sklearn_metrics.roc_auc_score(truth == label, probabilities[:, label]) for label in classes
    ]
    assert [row["roc_auc"] for row in scores.per_class] == pytest.approx(areas)
    assert scores.roc_auc == pytest.approx(np.mean(areas))


def test_area_and_calibration_are_those_of_torchmetrics():
    logits, labels = draw(500, 10, seed=1)
    scores = score(logits, labels)
    assert scores.roc_auc == pytest.approx(multiclass_auroc(logits, labels, 10).item(), abs=1e-6)
    ece = multiclass_calibration_error(logits, labels, 10, n_bins=15).item()
    assert scores.ece == pytest.approx(ece, abs=1e-6)


def test_a_confidence_of_one_falls_into_the_last_bin():
    # Confidences of 1 (wrong) and of 0.95 (right): one bin, whose gap is that of the means.
    logits = torch.tensor([[1000.0, 0.0], [math.log(19), 0.0]])
    scores = score(logits, torch.tensor([1, 0]))
    assert scores.ece == pytest.approx((1 + 0.95) / 2 - 1 / 2)


@pytest.mark.parametrize("num_classes", [6, 10])
def test_top5_is_that_of_scikit_learn(num_classes):
    logits, labels = draw(200, num_classes, seed=2)
    oracle = sklearn_metrics.top_k_accuracy_score(labels, logits, k=5, labels=range(num_classes))
    assert score(logits, labels).top5_accuracy == pytest.approx(oracle)


def test_top5_is_none_where_it_says_nothing():
    assert score(*draw(20, 5, seed=0)).top5_accuracy is None


def test_a_class_without_samples_has_no_area():
    logits = torch.eye(4)[[0, 0, 1, 1]] + 0.1 * torch.arange(4)
    labels = torch.tensor([0, 1, 1, 1])
    scores = score(logits, labels)
    assert scores.roc_auc is None
    assert [row["roc_auc"] is None for row in scores.per_class] == [False, False, True, True]
    assert scores.roc_curve[2] == {"fpr": [], "tpr": []}
    # Classes 2 and 3 are neither labels nor predicted: the means are over two classes.
    assert scores.recall_macro == pytest.approx((1 + 2 / 3) / 2)


def test_a_single_sample_has_scores():
    scores = score(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert (scores.accuracy, scores.f1_macro, scores.roc_auc) == (1, 1, None)


@given(num_samples=st.integers(4, 400), seed=st.integers(0, 2**16))
def test_a_reduced_curve_keeps_its_ends_points_and_shape(num_samples, seed):
    logits, labels = draw(num_samples, 3, seed)
    scores = score(logits, labels)
    for label, curve in enumerate(scores.roc_curve):
        fpr, tpr = np.array(curve["fpr"]), np.array(curve["tpr"])
        assert 2 <= len(fpr) <= 33
        assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
        full_fpr, full_tpr, _ = sklearn_metrics.roc_curve(
            labels == label, logits.double().softmax(1)[:, label], drop_intermediate=False
        )
        full = np.stack([full_fpr, full_tpr])
        assert all(
            np.abs(full - point[:, None]).max(0).min() < 1e-6 for point in np.array([fpr, tpr]).T
        )
        assert np.trapezoid(tpr, fpr) == pytest.approx(scores.per_class[label]["roc_auc"], abs=0.02)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_show_in_the_loss_alone(value):
    logits, labels = draw(50, 10, seed=3)
    logits[7] = value
    values = asdict(score(logits, labels))
    assert math.isnan(values.pop("loss"))
    json.dumps(values, allow_nan=False)
    json.dumps(asdict(score(torch.full((9, 3), value), labels[:9] % 3)))


def test_scores_are_plain_values():
    values = asdict(score(*draw(50, 10, seed=4)))
    assert json.loads(json.dumps(values, allow_nan=False)) == values
