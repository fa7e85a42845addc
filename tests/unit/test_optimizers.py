import pytest
import torch
from torch import nn

from trainables.optimizers import apply_hyperparameters, build_optimizer, cosine_with_warmup
from trainables.trial_config import TrialConfig


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.LazyLinear(3))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_weights_decay(model, name):
    model(torch.zeros(2, 1, 4, 4))
    optimizer = build_optimizer(model, TrialConfig(optimizer=name, weight_decay=0.1))
    decayed, spared = optimizer.param_groups
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 4}
    assert {parameter.ndim for parameter in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


def test_new_values_reach_every_group():
    model = nn.Linear(2, 2)
    optimizer = build_optimizer(model, TrialConfig())
    config = TrialConfig(momentum=0.0, weight_decay=0.2)
    apply_hyperparameters(optimizer, config, 0.25)
    for group, weight_decay in zip(optimizer.param_groups, (0.2, 0.0), strict=True):
        assert group["lr"] == 0.25
        assert group["momentum"] == 0.0
        assert not group["nesterov"]
        assert group["weight_decay"] == weight_decay


def test_momentum_is_the_first_beta_of_adamw():
    optimizer = build_optimizer(nn.Linear(2, 2), TrialConfig(optimizer="adamw", momentum=0.8))
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.999)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_is_that_of_torch_without_fusion(name, momentum):
    config = TrialConfig(optimizer=name, momentum=momentum, weight_decay=0.0, learning_rate=0.1)
    models = [nn.Linear(4, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    if name == "sgd":
        plain = torch.optim.SGD(
            models[1].parameters(), 0.1, momentum=momentum, nesterov=momentum > 0
        )
    else:
        plain = torch.optim.AdamW(
            models[1].parameters(), 0.1, betas=(momentum, 0.999), weight_decay=0.0
        )
    for model, optimizer in zip(models, (build_optimizer(models[0], config), plain), strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.arange(8.0).view(2, 4)).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(models[0].weight, models[1].weight)


def test_schedule_rises_then_falls_to_nothing():
    rates = [cosine_with_warmup(step, 100, 10, 2.0) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(2.0, rel=1e-3)
    assert 0 < rates[-1] < 0.001
    assert cosine_with_warmup(500, 100, 10, 2.0) == rates[-1]


def test_a_schedule_of_warm_up_alone():
    assert [cosine_with_warmup(step, 2, 2, 1.0) for step in range(2)] == [0.25, 0.75]
