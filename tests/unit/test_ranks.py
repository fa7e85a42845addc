import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainables.evaluate import predict_all
from trainables.ranks import Ranks, share_of

ALONE = Ranks(0, 1, torch.device("cpu"), None)


@given(num_samples=st.integers(0, 50), world_size=st.integers(1, 8))
def test_shares_are_disjoint_and_complete(num_samples, world_size):
    covered = []
    for rank in range(world_size):
        share = share_of(num_samples, rank, world_size)
        covered += range(share.start, share.stop)
        assert abs((share.stop - share.start) - num_samples / world_size) < 1
    assert covered == list(range(num_samples))


@pytest.mark.parametrize("num_samples", [1, 601])
def test_every_sample_is_predicted_once_and_in_order(num_samples):
    inputs = torch.randn(num_samples, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    logits = predict_all(model, model, inputs, ALONE)
    torch.testing.assert_close(logits, model(inputs).detach())
    assert not logits.requires_grad


def test_the_model_is_evaluated_and_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict_all(model, model, torch.randn(20, 1, 2, 2), ALONE)
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
