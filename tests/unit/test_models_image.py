import pytest
import torch
from torchvision.models import get_model
from torchvision.ops import StochasticDepth

from trainables.errors import InputError
from trainables.models import count_parameters, create_model
from trainables.models.drop_path import drop_paths
from trainables.task import Task
from trainables.trial_config import TrialConfig

CIFAR = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)


def build_empty(task=CIFAR, **config):
    with torch.device("meta"):
        return create_model(TrialConfig(**config), task)


@pytest.mark.parametrize(
    ("model", "width", "num_millions"),
    [
        # Table 6 of the ResNet paper, where shortcuts have no parameters.
        ("resnet20", 16, 0.27),
        ("resnet32", 16, 0.46),
        ("resnet44", 16, 0.66),
        ("resnet56", 16, 0.85),
        # As the WRN paper has them.
        ("wideresnet16", 128, 11.0),
        ("wideresnet28", 160, 36.5),
    ],
)
def test_sizes_are_the_published_ones(model, width, num_millions):
    size = count_parameters(build_empty(model=model, width=width))
    assert size / 1e6 == pytest.approx(num_millions, rel=0.02)


# What our stem of 3x3 has fewer than torchvision's of 7x7.
STEM = 64 * 3 * (7 * 7 - 3 * 3)


@pytest.mark.parametrize(
    ("config", "theirs", "num_fewer"),
    [
        ({"model": "resnet18", "width": 64}, "resnet18", STEM),
        ({"model": "resnet34", "width": 64}, "resnet34", STEM),
        ({"model": "resnet50", "width": 64}, "resnet50", STEM),
        ({"model": "mobilenet_v2"}, "mobilenet_v2", 0),
        ({"model": "mobilenet_v3"}, "mobilenet_v3_small", 0),
    ],
)
def test_sizes_are_torchvisions(config, theirs, num_fewer):
    with torch.device("meta"):
        expected = count_parameters(get_model(theirs, num_classes=10)) - num_fewer
    assert count_parameters(build_empty(**config)) == expected


def test_vit_has_torchvisions_size_without_its_class_token():
    with torch.device("meta"):
        expected = count_parameters(get_model("vit_b_16", image_size=32, num_classes=10))
    vit = build_empty(model="vit", width=768, depth=12, heads=12, patch_px=16)
    assert count_parameters(vit) == expected - 2 * 768  # the token and its position


@pytest.mark.parametrize(
    ("model", "grid"),
    [("resnet20", 8), ("resnet18", 4), ("wideresnet10", 8), ("mobilenet_v2", 4)],
)
def test_small_images_are_halved_two_or_three_times(model, grid):
    net = build_empty(model=model, width=4)
    shapes = []
    net.blocks.register_forward_hook(lambda *call: shapes.append(call[-1].shape[2:]))
    net(torch.empty(2, 3, 32, 32, device="meta"))
    assert shapes == [(grid, grid)]


def test_stochastic_depth_grows_linearly_to_the_last_block():
    assert [path.p for path in drop_paths(0.4, 4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    net = build_empty(model="resnet20", stochastic_depth=0.9)
    rates = [module.p for module in net.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.1 * block for block in range(1, 10)])


def test_stochastic_depth_drops_samples_apart():
    torch.manual_seed(0)
    kept = drop_paths(0.5, 1)[0](torch.ones(64, 2, 3))
    assert set(kept.flatten().tolist()) == {0.0, 2.0}
    assert (kept == kept[:, :1, :1]).all()


@pytest.mark.parametrize("model", ["vit", "convmixer"])
@pytest.mark.parametrize("image", [(3, 32, 30), (3, 30, 32)])
def test_patches_must_tile_the_image(model, image):
    task = Task(kind="image", input_shape=image, num_classes=10)
    with pytest.raises(InputError, match=r"patch_px must divide the image .*choose a divisor of 2"):
        build_empty(task, model=model, patch_px=4)
    assert build_empty(task, model=model, patch_px=2)
