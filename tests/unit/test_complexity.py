import os

import pytest
import torch
from torch import nn

from trainables.complexity import Complexity, measure_complexity
from trainables.errors import InputError
from trainables.models import MODELS, ModelInfo, create_model
from trainables.task import Task
from trainables.trial_config import TrialConfig

IMAGES = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)


def two_layers(config, task):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 32 * 32, 8), nn.ReLU(inplace=True), nn.Linear(8, 10)
    )


class _Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        q = self.scale * x.flatten(2).transpose(1, 2)  # [batch, 1024 tokens, 3]
        return nn.functional.scaled_dot_product_attention(q, q, q)


class _LooksAtValues(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        assert x.sum().item() == x.sum().item()
        return self.module(x)


class _NoGraphOnMeta(nn.Module):
    """As Keras does it."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        with torch.set_grad_enabled(x.device.type != "meta"):
            return self.module(x)


def two_layers_like_keras(config, task):
    return _NoGraphOnMeta(two_layers(config, task))


def attention(config, task):
    return _Attention()


def attention_on_cpu(config, task):
    return _LooksAtValues(_Attention())


def batch_norm(config, task):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten())


@pytest.fixture
def measure(monkeypatch):
    def measure(builder):
        target = f"{__name__}:{builder.__name__}"
        monkeypatch.setitem(MODELS, "resnet8", ModelInfo(target))
        return measure_complexity(TrialConfig(model="resnet8"), IMAGES)

    return measure


def test_two_layers_are_counted_by_hand(measure):
    complexity = measure(two_layers)
    num_inputs, width, num_classes = 3 * 32 * 32, 8, 10
    assert complexity.num_parameters == (num_inputs + 1) * width + (width + 1) * num_classes
    assert complexity.flops == 2 * (num_inputs * width + width * num_classes)
    # The input, for the first weight; what the ReLU wrote, for itself and for the second weight.
    assert complexity.activation_bytes == 4 * (num_inputs + width)
    assert 0 <= complexity.weights_bytes - 4 * complexity.num_parameters < 4000


def test_attention_counts_on_every_device(measure):
    complexity = measure(attention)
    assert complexity.flops == 2 * 2 * 1024 * 1024 * 3
    assert measure(attention_on_cpu).flops == complexity.flops


def test_a_model_without_a_graph_on_meta_is_measured_on_the_cpu(measure):
    assert measure(two_layers_like_keras).activation_bytes == measure(two_layers).activation_bytes


def test_batch_norms_of_one_value_can_be_measured(measure):
    complexity = measure(batch_norm)
    assert complexity.num_parameters == 6
    assert complexity.flops == 0


def test_resnet20_is_as_published():
    complexity = measure_complexity(TrialConfig(model="resnet20"), IMAGES)
    assert complexity.num_parameters == pytest.approx(0.27e6, rel=0.02)  # He et al. 2016, table 6
    assert complexity.flops == pytest.approx(2 * 40.8e6, rel=0.01)


def test_weights_are_as_large_as_their_file(tmp_path):
    config = TrialConfig(model="resnet8")
    path = tmp_path / "archive.pt"  # the file repeats its name; torch calls a buffer `archive`
    torch.save(create_model(config, IMAGES).state_dict(), path)
    assert measure_complexity(config, IMAGES).weights_bytes == os.path.getsize(path)


@pytest.mark.parametrize("builder", [two_layers, attention_on_cpu])
def test_the_global_generator_is_left_alone(measure, builder):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    measure(builder)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_may_be_off(measure):
    expected = measure(two_layers)
    with torch.no_grad():
        assert measure(two_layers) == expected
    assert isinstance(expected, Complexity)


def test_a_model_that_cannot_fit_is_refused():
    text = Task(kind="text", input_shape=(16,), num_classes=3, vocab_size=50)
    with pytest.raises(InputError, match="model must be"):
        measure_complexity(TrialConfig(model="resnet8"), text)
