import pytest
import torch
import torch.nn.functional as F
from captum.robust import FGSM
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainables.robustness.attacks import fgsm, pgd


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def samples():
    images = torch.rand(16, 3, 6, 6, generator=seeded())
    return images, torch.randint(0, 4, (16,), generator=seeded())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 32), nn.Tanh(), nn.Linear(32, 4)).eval()


def loss(model, images, labels):
    return F.cross_entropy(model(images), labels, reduction="none")


def test_fgsm_is_that_of_captum(model, samples):
    images, labels = samples
    oracle = FGSM(model, nn.CrossEntropyLoss(reduction="none"), 0, 1)
    expected = oracle.perturb(images.clone().requires_grad_(), 0.03, labels).detach()
    torch.testing.assert_close(fgsm(model, images, labels, 0.03), expected)


def test_a_linear_model_is_attacked_to_the_corner():
    # With two classes, the worst point is the same corner of the box from everywhere.
    weight = torch.randn(12, generator=seeded())
    images = torch.rand(5, 3, 2, 2, generator=seeded(1))
    labels = torch.tensor([0, 1, 0, 1, 0])

    def logits_of(x):
        score = x.flatten(1) @ weight
        return torch.stack([score, -score], 1)

    direction = torch.where(labels == 0, -1, 1)[:, None] * weight.sign()
    corner = (images + 0.1 * direction.view_as(images)).clamp(0, 1)
    torch.testing.assert_close(fgsm(logits_of, images, labels, 0.1), corner)
    attacked = pgd(logits_of, images, labels, epsilon=0.1, num_steps=5, generator=seeded())
    torch.testing.assert_close(attacked, corner)


def test_pgd_raises_the_loss_beyond_fgsm(model, samples):
    images, labels = samples
    attacked = pgd(model, images, labels, epsilon=0.1, num_steps=10, generator=seeded())
    single = loss(model, fgsm(model, images, labels, 0.1), labels).mean()
    assert loss(model, images, labels).mean() < single < loss(model, attacked, labels).mean()


@given(epsilon=st.floats(0, 1), seed=st.integers(0, 2**16), num_steps=st.integers(1, 4))
def test_no_pixel_goes_further_than_epsilon_or_out_of_range(epsilon, seed, num_steps):
    images = torch.rand(4, 1, 3, 3, generator=seeded(seed)).round(decimals=1)
    labels = torch.tensor([0, 1, 2, 0])
    weight = torch.randn(9, 3, generator=seeded(seed))

    def logits_of(x):
        return (x.flatten(1) @ weight).sin()

    for attacked in (
        fgsm(logits_of, images, labels, epsilon),
        pgd(
            logits_of,
            images,
            labels,
            epsilon=epsilon,
            num_steps=num_steps,
            generator=seeded(seed),
        ),
    ):
        assert attacked.dtype == torch.float32
        assert (attacked - images).abs().max() <= epsilon + 1e-6
        assert attacked.min() >= 0
        assert attacked.max() <= 1


def test_a_sure_model_is_attacked_all_the_same(samples):
    images, _ = samples

    def logits_of(x):
        return torch.stack([30 + x.mean((1, 2, 3)), torch.zeros(len(x))], 1)

    attacked = fgsm(logits_of, images, torch.zeros(16, dtype=torch.int64), 0.01)
    torch.testing.assert_close(attacked, (images - 0.01).clamp(0, 1))


def test_nothing_is_left_behind(model, samples):
    images, labels = samples
    before = images.clone()
    with torch.no_grad():
        fgsm(model, images, labels, 0.1)
        first = pgd(model, images, labels, epsilon=0.1, num_steps=2, generator=seeded())
    again = pgd(model, images, labels, epsilon=0.1, num_steps=2, generator=seeded())
    other = pgd(model, images, labels, epsilon=0.1, num_steps=2, generator=seeded(1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert not first.requires_grad
