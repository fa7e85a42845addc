import pytest
import torch
from torch import nn

from trainables.attribution import attribute
from trainables.errors import InputError


class BagOfWords(nn.Module):
    """The mean of the embeddings of what isn't padding; fails on nothing but padding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(20, 4, padding_idx=0)
        self.head = nn.Linear(4, 3)

    def forward(self, ids):
        num_tokens = (ids != 0).sum(1, keepdim=True)
        assert (num_tokens > 0).all()
        return self.head(self.embedding(ids).sum(1) / num_tokens)


class FirstColumn(nn.Module):
    def forward(self, images):
        return images[:, :, :, 0].sum((1, 2))[:, None] * torch.tensor([1.0, -2.0])


@pytest.fixture
def images():
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def ids():
    return torch.tensor([[3, 7, 1, 0, 0], [2, 2, 9, 14, 19]])


def normalised(maps):
    return maps / maps.flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))


def test_integrated_gradients_of_a_linear_model_are_weight_times_input(images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    targets = torch.tensor([4, 0, 2])
    weights = model[1].weight.detach()[targets].view_as(images)
    expected = normalised((weights * images).abs().sum(1))
    torch.testing.assert_close(attribute(model, images, targets), expected)


def test_what_the_model_does_not_see_does_not_count(images):
    maps = attribute(FirstColumn(), images, torch.tensor([0, 1, 1]))
    assert maps.shape == (3, 16, 16)
    assert (maps[:, :, 1:] == 0).all()
    assert maps.amax((1, 2)).tolist() == pytest.approx([1, 1, 1])
    assert maps.min() >= 0


def test_integrated_gradients_of_text_are_those_of_the_embedding(ids):
    model = BagOfWords()
    targets = torch.tensor([1, 2])
    shares = model.embedding(ids) * model.head.weight[targets][:, None]
    expected = normalised(shares.sum(2).abs().detach())
    maps = attribute(model, ids, targets)
    torch.testing.assert_close(maps, expected)
    assert (maps[0, 3:] == 0).all()


def test_the_model_and_the_inputs_are_left_as_they_were(images):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(784, 5)
    ).train()
    model[1].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before, targets = images.clone(), torch.tensor([0, 1, 2])
    first = attribute(model, images, targets)
    with torch.no_grad():
        assert torch.equal(first, attribute(model, images, targets))
    assert [module.training for module in model] == [True, False, True, True, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert not first.requires_grad


def test_a_map_without_any_attribution_is_zero(images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 5))
    nn.init.zeros_(model[1].weight)
    assert (attribute(model, images, torch.tensor([0, 1, 2])) == 0).all()


def test_a_text_model_without_an_embedding_is_refused(ids):
    model = nn.Sequential(nn.Embedding(20, 4), nn.Flatten(), nn.Linear(20, 3)).train()
    with pytest.raises(InputError, match=r"model must have an .*, got Sequential"):
        attribute(model, ids, torch.tensor([0, 1]))
    assert model.training
