import copy
import dataclasses
import importlib.util

import pytest
import torch
from sample_data import random_data
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trainables.errors import InputError
from trainables.models import MODELS, count_parameters, create_model, find_model
from trainables.models.example import example_inputs
from trainables.pruning import fine_tune, prune
from trainables.task import Task
from trainables.trial_config import TrialConfig

IMAGES = Task(kind="image", input_shape=(3, 16, 16), num_classes=5)
TEXTS = Task(kind="text", input_shape=(12,), num_classes=5, vocab_size=50)
CPU = torch.device("cpu")

# Of several depths the shallowest: what is cut is a block, and blocks are alike.
CONVOLUTIONAL = ["resnet8", "resnet18", "resnet50", "wideresnet10", "mobilenet_v2", "mobilenet_v3",
                 "convmixer", "small_cnn"]  # fmt: skip
DEEPER = ["resnet14", "resnet20", "resnet32", "resnet34", "resnet44", "resnet56", "wideresnet16",
          "wideresnet28"]  # fmt: skip
ENCODERS = ["vit", "text_transformer"]


def make(name, **fields):
    task = TEXTS if find_model(name).kind == "text" else IMAGES
    torch.manual_seed(0)
    model = create_model(TrialConfig(model=name, **({"width": 8} | fields)), task)
    return model.eval(), example_inputs(task, 2)


def flops(model, example):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(example)
    return counter.get_total_flops()


def test_every_model_is_known_here():
    assert {*CONVOLUTIONAL, *DEEPER, *ENCODERS, "text_cnn", "keras_cnn"} == set(MODELS)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_half_the_channels_leave_a_quarter_of_a_network(name):
    model, example = make(name)
    pruned = prune(model, example, 0.5)
    assert 0.2 < count_parameters(pruned) / count_parameters(model) < 0.5
    assert 0.2 < flops(pruned, example) / flops(model, example) < 0.5
    assert pruned(example).shape == (2, 5)
    assert not pruned.training


@pytest.mark.parametrize("name", [*ENCODERS, "text_cnn"])
def test_of_others_some_layers_shrink(name):
    model, example = make(name)
    pruned = prune(model, example, 0.5)
    assert count_parameters(pruned) < count_parameters(model)
    assert flops(pruned, example) < flops(model, example)
    assert pruned(example).shape == (2, 5)


def silence_odd_channels(model):
    """Make every other channel of a convolutional network say nothing, at its end and start."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)[1::2] = 0
                module.bias.uniform_(-1, 1)[1::2] = 0
        for layer in layers:
            if layer is not layers[-1]:
                layer.weight[1::2] = 0
                if layer.bias is not None:
                    layer.bias[1::2] = 0
            if layer is not layers[0] and getattr(layer, "groups", 1) == 1:
                layer.weight[:, 1::2] = 0


@pytest.mark.parametrize(
    "name",
    ["resnet8", "resnet50", "wideresnet10", "mobilenet_v2", "mobilenet_v3", "small_cnn",
     "convmixer"],
)  # fmt: skip
def test_channels_that_say_nothing_go_and_the_outputs_stay(name):
    # At 16 all of a MobileNet's layers have an even number of channels.
    model, example = make(name, width=16 if name.startswith("mobilenet") else 8)
    silence_odd_channels(model)
    pruned = prune(model, example, 0.5)
    with torch.no_grad():
        expected = model(example)
        assert expected.std() > 1e-3
        torch.testing.assert_close(pruned(example), expected, rtol=1e-4, atol=1e-5)


def test_features_of_texts_that_say_nothing_go_and_the_outputs_stay():
    model, example = make("text_cnn")
    with torch.no_grad():
        for conv in model.convs:
            conv.weight[1::2] = conv.bias[1::2] = 0
        model.head.weight[:, 1::2] = 0
        expected = model(example)
        torch.testing.assert_close(prune(model, example, 0.5)(example), expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_hidden_features_that_say_nothing_go_and_the_outputs_stay(name):
    model, example = make(name)
    with torch.no_grad():
        for block in model.encoder.blocks:
            block.mlp[0].weight[1::2] = block.mlp[0].bias[1::2] = 0
            block.mlp[3].weight[:, 1::2] = 0
        expected = model(example)
        torch.testing.assert_close(prune(model, example, 0.5)(example), expected)


def test_the_model_stays_as_it_is():
    model, example = make("resnet8")
    before = copy.deepcopy(model.state_dict())
    prune(model.train(), example, 0.5)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_frozen_model_is_pruned_too():
    model, example = make("small_cnn")
    pruned = prune(model.requires_grad_(False), example, 0.5)
    assert 0 < count_parameters(pruned) < sum(p.numel() for p in model.parameters())


def test_a_pruned_state_fits_another_model_that_was_pruned_alike():
    model, example = make("mobilenet_v3")
    pruned = prune(model, example, 0.3)
    torch.manual_seed(1)
    other = prune(create_model(TrialConfig(model="mobilenet_v3", width=8), IMAGES), example, 0.3)
    other.load_state_dict(pruned.state_dict())
    assert torch.equal(other(example), pruned(example))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_fraction_has_bounds(fraction):
    model, example = make("small_cnn")
    with pytest.raises(InputError, match=r"^fraction must be > 0 and < 1, got"):
        prune(model, example, fraction)


@pytest.mark.parametrize(
    ("name", "fraction", "why"),
    [
        ("keras_cnn", 0.5, r"KerasModule \(it has parameters of its own beside its layers'\)"),
        ("small_cnn", 0.95, r"SmallCNN \(it has nothing to remove a fraction of 0.95 from\)"),
        ("torchvision:vit_b_16", 0.5, r"VisionTransformer \(MultiheadAttention has channels"),
        ("torchvision:swin_t", 0.5, r"SwinTransformer \(ShiftedWindowAttention has channels"),
        ("torchvision:shufflenet_v2_x1_0", 0.5, r"ShuffleNetV2 \("),
    ],
)
def test_what_cannot_be_pruned_is_refused_by_name(name, fraction, why):
    if name.startswith("torchvision:"):
        task = dataclasses.replace(IMAGES, input_shape=(3, 32, 32))
        model, example = create_model(TrialConfig(model=name), task), example_inputs(task, 2)
    else:
        model, example = make(name, width=4)
    with pytest.raises(InputError, match=rf"^a model to prune must be .*, got {why}"):
        prune(model.eval(), example, fraction)


def test_without_the_library_the_pip_line_is_said(monkeypatch):
    model, example = make("small_cnn")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'paretune\[prune\]'"):
        prune(model, example, 0.5)


def test_fine_tuning_restores_what_pruning_lost():
    data = random_data(300)
    placed = data.on_device(CPU)
    config = TrialConfig(model="small_cnn", width=16, batch_size=30, num_epochs=4, ema_decay=0.9)
    torch.manual_seed(0)
    pruned = prune(create_model(config, data.task), example_inputs(data.task, 2), 0.5)
    before = {name: value.clone() for name, value in pruned.state_dict().items()}
    scores = fine_tune(pruned, config, placed, CPU)
    with torch.no_grad():
        logits = pruned(placed.model_inputs(placed.val.inputs))
    accuracy = (logits.argmax(1) == placed.val.labels).double().mean().item()
    assert scores.accuracy == pytest.approx(accuracy)
    assert accuracy > 0.8  # a third by chance
    assert not pruned.training
    assert not torch.equal(pruned.head.weight, before["head.weight"])
