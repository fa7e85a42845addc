import pytest
import torch

from trainables.errors import InputError
from trainables.models import create_model
from trainables.task import Task
from trainables.trial_config import TrialConfig


def build(name, *input_shape):
    task = Task(kind="image", input_shape=input_shape, num_classes=7)
    return create_model(TrialConfig(model=f"torchvision:{name}"), task)


@pytest.mark.parametrize(
    ("name", "num_channels", "size_px"),
    [
        ("resnet18", 3, 8),
        ("resnet18", 4, 8),
        ("densenet121", 1, 32),
        ("regnet_y_400mf", 1, 32),
        ("vit_b_32", 1, 32),
        ("swin_t", 1, 32),
        ("googlenet", 1, 32),
        ("inception_v3", 3, 75),
    ],
)
def test_gives_plain_logits(name, num_channels, size_px):
    with torch.device("meta"):
        net = build(name, num_channels, size_px, size_px)
        assert net(torch.empty(2, num_channels, size_px, size_px)).shape == (2, 7)
    assert all(parameter.is_meta for parameter in net.parameters())
    assert {name for name, _ in net.named_buffers()} <= net.state_dict().keys()


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "regnet_y_400mf"])
def test_takes_the_weights_of_another(name):
    def seeded(seed):
        torch.manual_seed(seed)
        return build(name, 1, 32, 32)

    net = seeded(0).eval()
    state = net.state_dict()
    torch.testing.assert_close(seeded(0).state_dict(), state, rtol=0, atol=0)
    assert any(not torch.equal(value, state[key]) for key, value in seeded(1).state_dict().items())
    with torch.device("meta"):
        other = build(name, 1, 32, 32).to_empty(device="cpu").eval()
    other.load_state_dict(state)
    inputs = torch.randn(2, 1, 32, 32)
    assert torch.equal(other(inputs), net(inputs))


@pytest.mark.parametrize("name", ["no_such_model", "fcn_resnet50", "r3d_18", ""])
def test_refuses_what_is_no_classifier_of_images(name):
    with pytest.raises(InputError, match="model must be torchvision:NAME with a classifier"):
        build(name, 3, 64, 64)


@pytest.mark.parametrize(
    ("name", "image", "reason"),
    [
        ("alexnet", (3, 32, 32), "Output size is too small"),
        ("inception_v3", (3, 64, 64), "Kernel size"),
        ("vit_b_16", (3, 40, 40), "patch size"),
        ("vit_b_16", (3, 32, 64), "Wrong image width"),
        ("maxvit_t", (3, 64, 64), "partition size"),
    ],
)
def test_refuses_images_that_the_network_cannot_work_on(name, image, reason):
    with pytest.raises(InputError, match=f"images must be of a size .*{reason}") as caught:
        build(name, *image)
    assert "\n" not in str(caught.value)
