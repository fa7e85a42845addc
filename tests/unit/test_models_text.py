import pytest
import torch
from torch.testing import assert_close

from trainables.models import create_model
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="text", input_shape=(12,), num_classes=3, vocab_size=20)


@pytest.fixture(params=["text_transformer", "text_cnn"])
def net(request):
    torch.manual_seed(0)
    return create_model(TrialConfig(model=request.param, width=8), TASK).eval()


def texts(*num_tokens):
    """Return random texts of so many tokens, padded."""
    tokens = torch.randint(1, 20, (len(num_tokens), 12), generator=torch.Generator().manual_seed(1))
    return tokens * (torch.arange(12) < torch.tensor(num_tokens)[:, None])


def test_padding_has_no_influence(net):
    tokens = texts(6, 3, 1)
    whole = net(tokens)
    assert_close(net(tokens[:, :6]), whole)


def test_a_text_of_padding_alone_has_finite_logits_and_gradients(net):
    tokens = texts(0, 5)
    logits = net.train()(tokens)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert_close(logits[0], net.head.bias)


def test_the_order_of_tokens_matters(net):
    tokens = texts(12)
    assert not torch.allclose(net(tokens), net(tokens.flip(1)))


def test_texts_shorter_than_a_kernel_are_told_apart(net):
    logits = net(torch.tensor([[3], [4]]))
    assert not torch.allclose(logits[0], logits[1])
