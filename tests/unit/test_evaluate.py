import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainables.evaluate import evaluate, shard_bounds, sum_metrics


@given(num_samples=st.integers(0, 50), world_size=st.integers(1, 8))
def test_shards_are_disjoint_and_complete(num_samples, world_size):
    covered = []
    for rank in range(world_size):
        start, end = shard_bounds(num_samples, rank, world_size)
        covered += range(start, end)
        assert abs((end - start) - num_samples / world_size) < 1
    assert covered == list(range(num_samples))


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(601, 1, 2, 2, generator=generator)
    return images, torch.randint(0, 3, (601,), generator=generator)


def test_sums_are_those_of_one_pass(samples):
    images, labels = samples
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    loss, num_correct, num_samples = sum_metrics(model, images, labels).tolist()
    logits = model(images).double()
    assert loss == pytest.approx(F.cross_entropy(logits, labels, reduction="sum").item())
    assert num_correct == (logits.argmax(1) == labels).sum()
    assert num_samples == 601


def test_the_model_is_evaluated_and_left_as_it_was(samples):
    images, labels = samples
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = evaluate(model, model, images, labels)
    assert result.num_samples == 601
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
