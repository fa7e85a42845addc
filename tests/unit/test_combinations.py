import itertools

import pytest

from sweeps.combinations import (
    build_config,
    combinations,
    count_combinations,
    used_domains,
)
from sweeps.domains import Choice, Integer, Switch, Uniform
from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import TrialConfig, unused_reason

IMAGES = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)
TEXT = Task(kind="text", input_shape=(64,), num_classes=4, vocab_size=100)

SGD_RATE, ADAM_RATE = Uniform(0.01, 0.5, is_log=True), Uniform(1e-4, 1e-2, is_log=True)
SPACE = {
    "model": Choice(("resnet8", "vit")),
    "width": Switch("model", {"resnet8": Choice((8, 16)), "vit": Choice((64,))}),
    "heads": Choice((2, 4)),
    "optimizer": Choice(("sgd", "adamw")),
    "learning_rate": Switch("optimizer", {"sgd": SGD_RATE, "adamw": ADAM_RATE}),
    "beta2": Choice((0.9, 0.99)),
}


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("heads", {}, "model resnet8"),
        ("heads", {"model": "vit"}, None),
        ("beta2", {}, "optimizer sgd"),
        ("beta2", {"optimizer": "muon", "model": "vit"}, None),
        ("warmup_epochs", {"schedule": "one_cycle"}, "schedule one_cycle"),
        ("warmup_epochs", {"schedule": "step"}, None),
        ("dropout", {"model": "torchvision:resnet18"}, "model torchvision:resnet18"),
    ],
)
def test_a_field_is_unused_for_a_reason(name, values, reason):
    assert unused_reason(name, values) == reason


def test_domains_are_those_of_the_fields_in_use():
    used = used_domains(SPACE, {"model": "resnet8", "optimizer": "sgd"})
    assert set(used) == {"model", "width", "optimizer", "learning_rate"}
    assert (used["width"], used["learning_rate"]) == (Choice((8, 16)), SGD_RATE)
    used = used_domains(SPACE, TrialConfig(model="vit", optimizer="adamw", width=64).to_dict())
    assert set(used) == set(SPACE)
    assert (used["width"], used["learning_rate"]) == (Choice((64,)), ADAM_RATE)


def test_what_is_not_given_is_decided_by_the_defaults():
    assert used_domains({"learning_rate": SPACE["learning_rate"]}, {}) == {
        "learning_rate": SGD_RATE
    }


def test_unused_fields_keep_their_defaults():
    config = build_config({"heads": 2, "beta2": 0.9, "patch_px": 5, "depth": 9}, IMAGES)
    assert config == TrialConfig()


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ({"model": "vit", "width": 64, "heads": 3}, IMAGES, "heads must divide the width (64)"),
        ({"model": "vit", "width": 64, "patch_px": 5}, IMAGES, "patch_px must divide the image ("),
        ({"optimizer": "muon"}, IMAGES, "optimizer muon must be for a model of matrices"),
        ({"model": "text_cnn"}, IMAGES, "model must be one for image data, got text_cnn; "),
        ({"model": "resnet8"}, TEXT, "model must be one for text data, got resnet8; "),
        ({"model": "text_cnn", "rotation_degrees": 5}, TEXT, "rotation_degrees must be left out"),
        ({"warmup_epochs": 11}, IMAGES, "warmup_epochs must be <= num_epochs (10)"),
    ],
)
def test_a_combination_that_cannot_be_built_says_why(values, task, message):
    with pytest.raises(InputError) as caught:
        build_config(values, task)
    assert str(caught.value).startswith(message)


def test_a_patch_must_divide_both_sides():
    task = Task(kind="image", input_shape=(3, 32, 24), num_classes=2)
    values = {"model": "convmixer", "width": 64}
    assert build_config({**values, "patch_px": 8}, task).patch_px == 8
    with pytest.raises(InputError, match="patch_px must divide the image"):
        build_config({**values, "patch_px": 16}, task)


def test_a_grid_is_every_combination_of_what_is_used():
    found = list(combinations(SPACE, {}, 2))
    # resnet8: 2 widths; vit: 1 width, 2 heads. sgd: 2 rates; adamw: 2 rates, 2 betas.
    assert len(found) == (2 + 2) * (2 + 4) == count_combinations(SPACE, {}, 2)
    configs = [build_config(values, IMAGES) for values in found]
    assert len(set(configs)) == len(configs)
    assert {c.learning_rate for c in configs if c.optimizer == "sgd"} == {0.01, 0.5}


def test_a_grid_agrees_with_building_every_point_and_dropping_duplicates():
    space = {
        "model": Choice(("resnet8", "convmixer", "vit")),
        "depth": Choice((2, 4)),
        "heads": Choice((2, 4)),
        "schedule": Choice(("cosine", "one_cycle")),
        "warmup_epochs": Choice((0.0, 1.0)),
        "randaugment_magnitude": Integer(0, 4),
    }
    grids = [domain.grid(3) for domain in space.values()]
    naive = {
        build_config(dict(zip(space, values, strict=True)), IMAGES)
        for values in itertools.product(*grids)
    }
    found = [build_config(values, IMAGES) for values in combinations(space, {}, 3)]
    assert len(found) == len(naive)
    assert set(found) == naive


def test_the_space_overrides_what_is_fixed():
    fixed = {"beta2": 0.5, "momentum": 0.7, "optimizer": "muon"}
    for values in combinations(SPACE, fixed, 1):
        assert values["momentum"] == 0.7
        assert values["optimizer"] in ("sgd", "adamw")
        if values["optimizer"] == "adamw":
            assert values["beta2"] in (0.9, 0.99)
