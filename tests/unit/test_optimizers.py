import io

import pytest
import torch
from torch import nn

from trainables.models import create_model
from trainables.optimizers import apply_hyperparameters, build_optimizer, hidden_matrices
from trainables.task import Task
from trainables.trial_config import OPTIMIZERS, TrialConfig

IMAGES = Task(kind="image", input_shape=(1, 8, 8), num_classes=3)
TEXTS = Task(kind="text", input_shape=(4,), num_classes=3, vocab_size=5)


@pytest.fixture
def model():
    return make_model()


def make_model():
    torch.manual_seed(0)
    return create_model(make_config("sgd"), IMAGES)


def make_config(name, model="vit", **values):
    return TrialConfig(
        optimizer=name, learning_rate=0.01, model=model, width=8, depth=1, heads=2, **values
    )


def gradients(model, seed, scaler=None):
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    loss = model(images).square().mean()
    model.zero_grad()
    (loss if scaler is None else scaler.scale(loss)).backward()


def train(model, optimizer, config, steps=range(3)):
    for step in steps:
        apply_hyperparameters(optimizer, config, config.learning_rate / (1 + step))
        gradients(model, step)
        optimizer.step()


def saved(optimizer):
    """Return the state as a checkpoint holds it."""
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict()["state"], buffer)
    buffer.seek(0)
    return torch.load(buffer)


def restore(optimizer, state):
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def assert_same_weights(a, b):
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_weights_decay(model, name):
    optimizer = build_optimizer(model, make_config(name, weight_decay=0.1))
    seen = []
    for group in optimizer.param_groups:
        seen += group["params"]
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["is_decayed"]}
        assert group["weight_decay"] == (0.1 if group["is_decayed"] else 0.0)
    assert len(seen) == len(set(seen)) == len(list(model.parameters()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_new_values_reach_every_group(model, name):
    optimizer = build_optimizer(model, make_config(name))
    betas = {"beta2": 0.9} if name in ("adam", "adamw", "muon") else {}
    config = make_config(name, momentum=0.5, weight_decay=0.2, **betas)
    apply_hyperparameters(optimizer, config, 0.25)
    for group in optimizer.param_groups:
        assert group["lr"] == 0.25
        assert group["weight_decay"] == (0.2 if group["is_decayed"] else 0.0)
        if "betas" in group:
            assert group["betas"] == (0.5, 0.9)
        else:
            assert group["momentum"] == 0.5


def test_nesterov_ends_with_momentum(model):
    config = make_config("sgd", momentum=0.0)
    optimizer = build_optimizer(model, config)
    assert not any(group["nesterov"] for group in optimizer.param_groups)
    apply_hyperparameters(optimizer, make_config("sgd"), 0.1)
    assert all(group["nesterov"] for group in optimizer.param_groups)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_steps_are_those_of_plain_torch(name, momentum):
    config = make_config(name, momentum=momentum, weight_decay=0.1)
    own, other = nn.Linear(4, 2, bias=False), nn.Linear(4, 2, bias=False)
    other.load_state_dict(own.state_dict())
    shared = {"lr": 0.01, "weight_decay": 0.1, "foreach": False}
    betas = (momentum, 0.999)
    plain = {
        "sgd": lambda p: torch.optim.SGD(p, momentum=momentum, nesterov=momentum > 0, **shared),
        "adam": lambda p: torch.optim.Adam(p, betas=betas, **shared),
        "adamw": lambda p: torch.optim.AdamW(p, betas=betas, **shared),
        "rmsprop": lambda p: torch.optim.RMSprop(p, momentum=momentum, alpha=0.99, **shared),
    }[name](other.parameters())
    for model, optimizer in ((own, build_optimizer(own, config)), (other, plain)):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.arange(8.0).view(2, 4)).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(own.weight, other.weight)


@pytest.mark.parametrize(("name", "task"), [("vit", IMAGES), ("text_transformer", TEXTS)])
def test_hidden_matrices_are_those_of_the_blocks(name, task):
    model = create_model(make_config("muon", model=name), task)
    hidden = set(hidden_matrices(model))
    for name, parameter in model.named_parameters():
        is_matrix = "blocks" in name and "norm" not in name and name.endswith("weight")
        assert (parameter in hidden) == is_matrix, name


def test_muon_makes_steps_of_equal_singular_values(model):
    config = make_config("muon", weight_decay=0.0)
    optimizer = build_optimizer(model, config)
    before = {matrix: matrix.detach().clone() for matrix in hidden_matrices(model)}
    train(model, optimizer, config, range(1))
    for matrix, old in before.items():
        # Newton-Schulz brings singular values to about 0.7 - 1.2. The norm before a layer leaves
        # nothing along one direction of its input, and so does the head along all but three.
        scale = 0.01 * 0.2 * max(matrix.shape) ** 0.5
        values = torch.linalg.svdvals(matrix.detach() - old) / scale
        assert 0.6 < values[2]
        assert values[0] < 1.3


def test_muon_is_that_of_torch_beside_an_adamw():
    config = make_config("muon", momentum=0.8, beta2=0.95, weight_decay=0.1)
    own, other = make_model(), make_model()
    train(own, build_optimizer(own, config), config)
    matrices = hidden_matrices(other)
    rest = [p for p in other.parameters() if not any(p is matrix for matrix in matrices)]
    weights, spared = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim == 1]
    muon = torch.optim.Muon(
        matrices, momentum=0.8, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}],
        betas=(0.8, 0.95),
        fused=True,
    )
    for step in range(3):
        gradients(other, step)
        for optimizer in (muon, adamw):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 / (1 + step)
            optimizer.step()
    assert_same_weights(own, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resume_goes_on_bit_for_bit_whatever_the_groups_were(model, name):
    config = make_config(name)
    optimizer = build_optimizer(model, config)
    train(model, optimizer, config, range(2))
    other = make_model()
    other.load_state_dict(model.state_dict())
    resumed = build_optimizer(other, make_config(name, momentum=0.1, weight_decay=0.9))
    restore(resumed, saved(optimizer))
    for each, its_optimizer in ((model, optimizer), (other, resumed)):
        train(each, its_optimizer, config, range(2, 4))
    assert_same_weights(model, other)
    assert saved(resumed).keys() == saved(optimizer).keys()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_momentum_may_begin_in_a_donor_without_it(model, name):
    without = make_config(name, momentum=0.0)
    donor = build_optimizer(model, without)
    train(model, donor, without)
    config = make_config(name, momentum=0.9)
    optimizer = build_optimizer(model, config)
    restore(optimizer, saved(donor))
    train(model, optimizer, config)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_scaler_changes_no_step(name):
    config = make_config(name)
    own, other = make_model(), make_model()
    train(own, build_optimizer(own, config), config)
    optimizer, scaler = build_optimizer(other, config), torch.amp.GradScaler("cpu")
    for step in range(3):
        apply_hyperparameters(optimizer, config, config.learning_rate / (1 + step))
        gradients(other, step, scaler)
        scaler.step(optimizer)
        scaler.update()
    torch.testing.assert_close(own.state_dict(), other.state_dict())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_overflowed_leaves_no_trace(model, name):
    config = make_config(name)
    optimizer, scaler = build_optimizer(model, config), torch.amp.GradScaler("cpu")
    gradients(model, 0, scaler)
    model.head.bias.grad[0] = torch.inf
    scaler.step(optimizer)
    scaler.update()
    assert_same_weights(model, make_model())
    assert scaler.get_scale() == 2.0**15

    train(model, optimizer, config)
    other = make_model()
    train(other, build_optimizer(other, config), config)
    assert_same_weights(model, other)
