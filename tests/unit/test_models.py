import pytest
import torch

from trainables.models import (
    MODELS,
    architecture_fingerprint,
    count_parameters,
    create_model,
)
from trainables.trial_config import TrialConfig


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("input_shape", [(1, 8, 8), (3, 32, 32)])
def test_logits_have_one_column_a_class(model, input_shape):
    net = create_model(TrialConfig(model=model, width=4), input_shape, 7).eval()
    assert net(torch.zeros(2, *input_shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("model", "width", "num_parameters"),
    # ResNet-20 has 0.27 million in the paper, with shortcuts without parameters.
    [("resnet20", 16, 272_474), ("resnet18", 64, 11_173_962)],
)
def test_sizes_are_the_known_ones(model, width, num_parameters):
    net = create_model(TrialConfig(model=model, width=width), (3, 32, 32), 10)
    assert count_parameters(net) == num_parameters


def test_initial_weights_depend_on_the_global_generator_alone():
    def weights(global_seed, **config):
        torch.manual_seed(global_seed)
        net = create_model(TrialConfig(width=4, **config), (1, 8, 8), 3)
        return torch.cat([parameter.flatten() for parameter in net.parameters()])

    assert torch.equal(weights(0), weights(0, seed=5, learning_rate=0.3))
    assert not torch.equal(weights(0), weights(1))


def test_fingerprint_tells_graphs_apart_and_nothing_else():
    def fingerprint(shape=(3, 32, 32), num_classes=10, **config):
        return architecture_fingerprint(TrialConfig(**config), shape, num_classes)

    assert fingerprint() == fingerprint(learning_rate=0.5, seed=3, batch_size=64)
    others = [
        fingerprint(width=8),
        fingerprint(model="resnet14"),
        fingerprint(num_classes=5),
        fingerprint(shape=(1, 8, 8)),
    ]
    assert len({fingerprint(), *others}) == 5
