import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainables.weight_average import WeightAverage


def make_model():
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return make_model()


def step(model, seed):
    """Change weights, running statistics and the counter of batches."""
    generator = torch.Generator().manual_seed(seed)
    model.train()
    model(torch.randn(4, 1, 4, 4, generator=generator))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def assert_same(a, b, **tolerance):
    torch.testing.assert_close(dict(a), dict(b), **tolerance)


def test_without_warm_up_it_is_the_average_of_torch(model):
    decay = 0.05  # below (1 + n) / (10 + n) from the first update on
    average = WeightAverage(model, decay)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    theirs.update_parameters(model)  # the first call only copies
    for seed in range(4):
        step(model, seed)
        average.update()
        theirs.update_parameters(model)
    expected = theirs.module.state_dict()
    expected["1.num_batches_tracked"] = torch.tensor(4)  # a count has no average
    assert_same(average.model.state_dict(), expected)


def test_the_first_updates_forget_the_initial_weights(model):
    average = WeightAverage(model, 0.999)
    expected = model[3].weight.detach().clone()
    for seed in range(5):
        step(model, seed)
        average.update()
        expected = expected.lerp(model[3].weight.detach(), 9 / (10 + seed))
    torch.testing.assert_close(average.model[3].weight, expected, check_stride=False)


def test_the_model_is_for_evaluation(model):
    average = WeightAverage(model, 0.9)
    model.train()
    assert not any(module.training for module in average.model.modules())
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert average.model.state_dict().keys() == model.state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_update_leaves_the_trained_model_alone(model):
    average = WeightAverage(model, 0.9)
    step(model, 0)
    before = copy.deepcopy(model.state_dict())
    average.update()
    assert_same(model.state_dict(), before, rtol=0, atol=0)


def test_a_resume_on_an_empty_model_goes_on_bit_for_bit(model):
    average = WeightAverage(model, 0.3)
    for seed in range(3):
        step(model, seed)
        average.update()
    with torch.device("meta"):
        other = make_model()
    other = other.to_empty(device="cpu")
    resumed = WeightAverage(other, 0.3)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(copy.deepcopy(average.state_dict()))
    for seed in range(3, 6):
        for each, its_average in ((model, average), (other, resumed)):
            step(each, seed)
            its_average.update()
    assert_same(average.model.state_dict(), resumed.model.state_dict(), rtol=0, atol=0)
    assert average.state_dict()["num_updates"] == resumed.state_dict()["num_updates"] == 6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_checkpoint_of_the_cpu_goes_on_on_a_gpu(model):
    average = WeightAverage(model, 0.3)
    step(model, 0)
    average.update()
    moved = copy.deepcopy(model).cuda()
    resumed = WeightAverage(moved, 0.3)
    resumed.load_state_dict(average.state_dict())
    resumed.update()
    average.update()
    on_cpu = {name: tensor.cpu() for name, tensor in resumed.model.state_dict().items()}
    assert_same(on_cpu, average.model.state_dict())
