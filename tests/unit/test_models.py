from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from trainables.errors import InputError
from trainables.models import (
    MODELS,
    architecture_fingerprint,
    count_parameters,
    create_model,
)
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig
from trainables.weight_average import WeightAverage

IMAGE = Task(kind="image", input_shape=(1, 8, 8), num_classes=3)
TEXT = Task(kind="text", input_shape=(12,), num_classes=3, vocab_size=20)
OTHER_TASKS = [  # the tests that compute take the two above
    Task(kind="image", input_shape=(3, 32, 32), num_classes=7),
    Task(kind="image", input_shape=(3, 64, 64), num_classes=7),
    Task(kind="text", input_shape=(2,), num_classes=7, vocab_size=5),
]
NEEDS_KERAS = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra keras")
every_model = pytest.mark.parametrize(
    "model", [pytest.param(m, marks=NEEDS_KERAS if m == "keras_cnn" else ()) for m in MODELS]
)


def task_of(model):
    return TEXT if MODELS[model].kind == "text" else IMAGE


def build(model, task=None, *, global_seed=0, **config):
    torch.manual_seed(global_seed)
    small = {"width": 4, "depth": 2, "heads": 2}
    options = {name: value for name, value in small.items() if name in MODELS[model].options}
    return create_model(TrialConfig(model=model, **{**options, **config}), task or task_of(model))


def inputs_of(model, batch_size=8):
    torch.manual_seed(1)
    return example_inputs(task_of(model), batch_size)


def logits(net, inputs, *, seed=2):
    torch.manual_seed(seed)
    with torch.no_grad():
        return net(inputs)


def regularisations(model):
    return [name for name in ("dropout", "stochastic_depth") if name in MODELS[model].options]


@every_model
@pytest.mark.parametrize("task", OTHER_TASKS, ids=lambda task: "x".join(map(str, task.input_shape)))
def test_logits_have_one_column_a_class(model, task):
    if MODELS[model].kind != task.kind:
        with pytest.raises(InputError, match=f"model must be one for {task.kind} data"):
            build(model, task)
        return
    with torch.device("meta"):
        assert build(model, task)(example_inputs(task, 2)).shape == (2, task.num_classes)


@every_model
def test_gradient_reaches_every_parameter(model):
    net, inputs = build(model), inputs_of(model)
    F.cross_entropy(net(inputs), torch.arange(8) % 3).backward()
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad, name
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@every_model
def test_initial_weights_depend_on_the_global_generator_and_the_graph_alone(model):
    state = build(model).state_dict()
    assert not any(tensor.is_floating_point() and tensor.isnan().any() for tensor in state.values())
    others = dict.fromkeys(regularisations(model), 0.5)
    same = build(model, learning_rate=0.3, seed=5, **others).state_dict()
    assert_close(same, state, rtol=0, atol=0)
    different = build(model, global_seed=1).state_dict()
    assert any(not torch.equal(different[name], state[name]) for name in state)


@every_model
def test_a_model_built_without_weights_takes_those_of_another(model):
    net, inputs = build(model), inputs_of(model)
    net(inputs)  # moves the running averages
    with torch.device("meta"):
        other = build(model, **dict.fromkeys(regularisations(model), 0.5))
    other = other.to_empty(device="cpu")
    other.load_state_dict(net.state_dict())
    assert torch.equal(logits(other.eval(), inputs), logits(net.eval(), inputs))


@every_model
def test_the_average_of_a_model_built_without_weights_shares_none(model):
    with torch.device("meta"):
        empty = build(model)
    net = empty.to_empty(device="cpu")
    average = WeightAverage(net, 0.9)
    net.load_state_dict(build(model).state_dict())
    average.load_state_dict({"model": net.state_dict(), "num_updates": 0})
    net(inputs_of(model))  # moves the running averages
    before = {name: value.clone() for name, value in net.state_dict().items()}
    average.update()
    assert_close(net.state_dict(), before, rtol=0, atol=0)
    storages, averaged = (
        {value.untyped_storage().data_ptr() for value in (*each.parameters(), *each.buffers())}
        for each in (net, average.model)
    )
    assert not storages & averaged
    assert not any(module in set(net.modules()) for module in average.model.modules())
    inputs, other = inputs_of(model), build(model)
    other.load_state_dict(average.model.state_dict())
    assert torch.equal(logits(average.model, inputs), logits(other.eval(), inputs))


@every_model
@pytest.mark.parametrize("regularisation", ["dropout", "stochastic_depth"])
def test_regularisation_is_random_in_training_and_off_in_evaluation(model, regularisation):
    if regularisation not in MODELS[model].options:
        pytest.skip(f"{model} has no {regularisation}")
    inputs = inputs_of(model)
    net, plain = build(model, **{regularisation: 0.5}), build(model)
    first = logits(net, inputs, seed=2)
    assert not torch.equal(first, logits(net, inputs, seed=3))
    assert torch.equal(first, logits(net, inputs, seed=2))
    assert torch.equal(logits(plain, inputs, seed=2), logits(plain, inputs, seed=3))
    plain.load_state_dict(net.state_dict())
    assert torch.equal(logits(net.eval(), inputs), logits(plain.eval(), inputs))


@every_model
def test_a_sample_is_evaluated_whatever_is_in_its_batch(model):
    net, inputs = build(model), inputs_of(model)
    for _ in range(3):
        logits(net, inputs)  # running averages near those of the data keep the logits small
    net.eval()
    assert_close(logits(net, inputs)[:2], logits(net, inputs[:2]), rtol=1e-4, atol=1e-4)


@every_model
def test_width_changes_the_size(model):
    with torch.device("meta"):
        sizes = [count_parameters(build(model, width=width)) for width in (4, 6)]
    assert sizes == sorted(set(sizes))


def test_fingerprint_tells_graphs_apart_and_nothing_else():
    def fingerprint(task=IMAGE, **config):
        return architecture_fingerprint(TrialConfig(**config), task)

    assert fingerprint() == fingerprint(learning_rate=0.5, seed=3, dropout=0.5)
    others = [
        fingerprint(width=8),
        fingerprint(model="resnet14"),
        fingerprint(Task(kind="image", input_shape=(1, 8, 8), num_classes=5)),
        fingerprint(Task(kind="image", input_shape=(3, 8, 8), num_classes=3)),
    ]
    assert len({fingerprint(), *others}) == 5
