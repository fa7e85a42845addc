import pytest
import torch

from trainables.robustness.corruptions import CORRUPTIONS
from trainables.robustness.rows import robustness_rows


def is_bright(images):
    """Logits of a classifier by mean brightness, at a half."""
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    margin = images.mean((1, 2, 3)) - 0.5
    return torch.stack([-margin, margin], 1)


@pytest.fixture
def samples():
    # More than one batch; half of the images are a little below the threshold.
    brightness = torch.tensor([60, 122] * 150, dtype=torch.uint8)
    images = brightness[:, None, None, None].expand(300, 3, 8, 8).contiguous()
    return images, torch.zeros(300, dtype=torch.int64)


def measure(samples):
    return robustness_rows(is_bright, *samples, torch.Generator().manual_seed(0))


def test_there_is_a_row_for_every_corruption_then_every_attack(samples):
    rows = measure(samples)
    assert [(row.kind, row.name, row.severity) for row in rows] == [
        *(("corruption", name, severity) for name in CORRUPTIONS for severity in (1, 2, 3, 4, 5)),
        *(("attack", name, severity) for name in ("fgsm", "pgd") for severity in (1, 2, 3, 4)),
    ]
    assert {row.num_samples for row in rows} == {300}


def test_accuracy_falls_where_the_model_is_weak(samples):
    rows = measure(samples)
    accuracy = {(row.name, row.severity): row.accuracy for row in rows}
    # 122 + 0.05 * 255 is above the threshold; 60 + 0.3 * 255 is too.
    assert [accuracy["brightness", severity] for severity in (1, 4, 5)] == [0.5, 0.5, 0]
    assert [accuracy["contrast", severity] for severity in (1, 5)] == [1, 1]
    # 122 + 4 is below the threshold, 122 + 8 above.
    for attack in ("fgsm", "pgd"):
        assert [accuracy[attack, severity] for severity in (1, 2, 3, 4)] == [1, 1, 1, 0.5]


def test_rows_repeat(samples):
    assert measure(samples) == measure(samples)
