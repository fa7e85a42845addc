import copy
import sys
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F

from trainables.errors import InputError
from trainables.models import create_model
from trainables.models.keras_cnn import import_keras
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=3)
# Not importorskip: it would import keras with its default backend, tensorflow.
needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra keras")


@needs_keras
def test_trains_saves_and_loads_as_a_torch_module(tmp_path):
    torch.manual_seed(0)
    config = TrialConfig(model="keras_cnn", width=4, dropout=0.2)
    net = create_model(config, TASK)
    start = copy.deepcopy(net.state_dict())
    inputs, labels = torch.randn(12, 1, 8, 8), torch.arange(12) % 3
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(not torch.equal(value, start[name]) for name, value in net.state_dict().items())

    torch.save(net.state_dict(), tmp_path / "state.pt")
    other = create_model(config, TASK)  # keys don't count the networks built before
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other.eval()(inputs), net.eval()(inputs))
    assert net.eval()(inputs).argmax(1).eq(labels).float().mean() > 0.8


@needs_keras
def test_moving_averages_are_buffers_and_stay_in_evaluation():
    net = create_model(TrialConfig(model="keras_cnn", width=4), TASK)
    averages = {name for name, _ in net.named_buffers()}
    assert averages == {
        f"norm{stage}/moving_{kind}" for stage in range(3) for kind in ("mean", "variance")
    }
    before = copy.deepcopy(net.state_dict())
    net.eval()(torch.ones(2, 1, 8, 8))
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_refuses_another_backend(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(InputError, match="KERAS_BACKEND must be torch for a Keras model, got jax"):
        import_keras()


def test_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(InputError, match=r'pip install "paretune\[keras\]"'):
        import_keras()
