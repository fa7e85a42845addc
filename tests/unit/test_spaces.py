import pytest

from sweeps.combinations import build_config, used_domains
from sweeps.domains import Choice, Integer, Switch, Uniform
from sweeps.spaces import (
    MAX_ARCHITECTURES,
    architectures,
    fitting_structures,
    image_space,
    mutable_part,
    text_space,
    validate_space,
)
from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import MUTABLE_FIELDS

IMAGES = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)
TEXT = Task(kind="text", input_shape=(64,), num_classes=4, vocab_size=100)
SPACE = image_space(("resnet8", "resnet14"), (8, 16), image_size_px=32)
FIXED = {"batch_size": 64, "num_epochs": 6}
VIT = {"model": Choice(("vit",)), "width": Choice((64,))}


# --- architectures -------------------------------------------------------------------------------


def test_every_architecture_is_there_once():
    found = [(config.model, config.width) for config in architectures(SPACE, FIXED, IMAGES)]
    assert found == [("resnet8", 8), ("resnet8", 16), ("resnet14", 8), ("resnet14", 16)]
    fixed = {"width": 9}
    (config,) = architectures({"momentum": Uniform(0.1, 0.2)}, fixed, IMAGES)
    assert config.width == 9


def test_architectures_differ_in_nothing_that_they_do_not_use():
    space = {
        "model": Choice(("resnet8", "vit")),
        "width": Choice((32, 64)),
        "heads": Choice((2, 4)),
        "dropout": Uniform(0.0, 0.5),
        "optimizer": Choice(("sgd", "adamw")),
        "schedule": Choice(("cosine", "step")),
    }
    found = [(c.model, c.width, c.heads) for c in architectures(space, {}, IMAGES)]
    resnets = [("resnet8", width, 4) for width in (32, 64)]
    assert sorted(found) == sorted(
        [*resnets, *(("vit", width, heads) for width in (32, 64) for heads in (2, 4))]
    )
    assert len(fitting_structures(space, {}, IMAGES)) == len(found) * 4


def test_architectures_that_cannot_be_built_are_left_out():
    space = {**VIT, "heads": Choice((2, 3)), "patch_px": Choice((4, 5))}
    (config,) = architectures(space, {}, IMAGES)
    assert (config.heads, config.patch_px) == (2, 4)


def test_an_architecture_needs_one_optimizer_that_it_can_be_trained_with():
    space = {"model": Choice(("resnet8", "vit")), "optimizer": Choice(("muon", "sgd"))}
    assert [c.model for c in architectures(space, {"width": 64}, IMAGES)] == ["resnet8", "vit"]
    assert [c.model for c in architectures(VIT, {"optimizer": "muon"}, IMAGES)] == ["vit"]


def test_no_architecture_at_all_is_refused_with_the_reason():
    with pytest.raises(InputError, match="patch_px must divide the image"):
        architectures({**VIT, "patch_px": Choice((5, 7))}, {}, IMAGES)


def test_too_many_architectures_are_refused():
    space = {"width": Choice(tuple(range(1, MAX_ARCHITECTURES + 1)))}
    assert len(architectures(space, {}, IMAGES)) == MAX_ARCHITECTURES
    space["model"] = Choice(("resnet8", "resnet14"))
    with pytest.raises(InputError) as caught:
        architectures(space, {}, IMAGES)
    assert str(caught.value) == (
        "architectures must be <= 256 in a space, got 512; list fewer values of width, model"
    )


@pytest.mark.parametrize(
    "domain",
    [Uniform(8, 16), Integer(8, 16), Switch("model", {"resnet8": Integer(8, 16)})],
)
def test_an_architecture_must_be_a_choice(domain):
    for check in (architectures, validate_space):
        with pytest.raises(InputError, match=r"width must be a Choice, since .*; list its values"):
            check({"width": domain}, {}, IMAGES)


# --- validate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learnin_rate": Uniform(0, 1)}, "a space must be of hyperparameters, got 'learnin_rate'"),
        ({"seed": Choice((1, 2))}, "seed must be the sweep's own choice, got Choice"),
        ({"num_epochs": Integer(1, 9)}, "num_epochs must be the sweep's own choice"),
        ({"model": Choice(("resnet8", "vgg"))}, "model must be one of resnet8"),
        ({"model": Integer(1, 2)}, "model must be a Choice, got Integer"),
        ({"optimizer": Uniform(0, 1)}, "optimizer must be a Choice, got Uniform"),
        ({"schedule": Switch("optimizer", {})}, "schedule must be a Choice, got Switch"),
        ({"optimizer": Choice(("sgd", "lion"))}, "optimizer must be one of sgd"),
        ({"width": Choice((8, 0))}, "width must be >= 1"),
        ({"width": Choice((8, 12.5))}, "width must be a whole number, got 12.5"),
        ({"momentum": Uniform(0.5, 1.0)}, "momentum must be >= 0 and <= 0.9999, got 1.0; "),
        ({"learning_rate": Uniform(0.0, 1.0)}, "learning_rate must be > 0"),
        ({"crop_padding_px": Uniform(0.0, 4.0)}, "crop_padding_px must be a whole number"),
        ({"crop_padding_px": Integer(0, 65)}, "crop_padding_px must be >= 0 and <= 64 px, got 65"),
        ({"precision": Choice(("fp32", "int8"))}, "precision must be one of fp32, bf16, fp16"),
        ({"is_compiled": Choice((False, "yes"))}, "is_compiled must be True or False"),
        ({"warmup_epochs": Uniform(0.0, 7.0)}, "warmup_epochs must be <= num_epochs (6)"),
        ({"model": Choice(("resnet8", "text_cnn"))}, "model must be one for image data"),
        ({**VIT, "heads": Choice((4, 3))}, "heads must divide the width (64), got 3"),
        ({**VIT, "patch_px": Choice((4, 7))}, "patch_px must divide the image"),
        ({"optimizer": Choice(("sgd", "muon"))}, "optimizer muon must be for a model of matrices"),
        ({"heads": Choice((2, 4))}, "heads must be left out for model resnet8, got Choice"),
        (
            {**SPACE, "depth": Choice((2, 4))},
            "depth must be left out for model resnet8 or model re",
        ),
        ({"beta2": Uniform(0.9, 0.99)}, "beta2 must be left out for optimizer sgd, got"),
        ({"word_swap_probability": Uniform(0, 0.1)}, "word_swap_probability must be left out for"),
        (
            {"learning_rate": Switch("optimizer", {"adam": Uniform(0.1, 1)})},
            "a Switch on optimizer must have a case for each one in the space, got none for sgd",
        ),
        (
            {
                "optimizer": Choice(("sgd", "adam")),
                "momentum": Switch("optimizer", {"sgd": Choice((0.9,)), "adam": Choice((1.0,))}),
            },
            "momentum must be >= 0 and <= 0.9999, got 1.0",
        ),
    ],
)
def test_what_is_wrong_is_found_before_anything_starts(space, message):
    with pytest.raises(InputError) as caught:
        validate_space(space, FIXED, IMAGES)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_rotation_of_text_is_refused():
    space = {**text_space(("text_cnn",), (64,), (1,)), "rotation_degrees": Uniform(0, 30)}
    with pytest.raises(InputError) as caught:
        validate_space(space, FIXED, TEXT)
    assert str(caught.value).startswith("rotation_degrees must be left out for text data, got Unif")
    assert str(caught.value).endswith("it is for image data")


@pytest.mark.parametrize(
    ("fixed", "task", "message"),
    [
        ({"learnin_rate": 0.1}, IMAGES, "a space must be of hyperparameters, got 'learnin_rate'"),
        ({"heads": 8}, IMAGES, "heads must be left out for model resnet8 or model resnet14, got 8"),
        ({"momentum": 2.0}, IMAGES, "momentum must be >= 0"),
        ({"optimizer": "muon"}, IMAGES, "optimizer muon must be for a model of matrices"),
        ({}, TEXT, "crop_padding_px must be left out for text data"),
        (
            {"schedule": "one_cycle", "warmup_epochs": 1.0},
            IMAGES,
            "warmup_epochs must be left out for schedule one_cycle, got 1.0; leave it out or add "
            "one of cosine, step, constant",
        ),
    ],
)
def test_what_is_fixed_is_checked_too(fixed, task, message):
    with pytest.raises(InputError) as caught:
        validate_space(SPACE, fixed, task)
    assert str(caught.value).startswith(message)


def test_who_uses_a_field_is_said_for_the_kind_of_data():
    with pytest.raises(InputError, match=r"; leave it out or add one of vit$"):
        validate_space({"heads": Choice((2, 4))}, {}, IMAGES)
    with pytest.raises(InputError, match=r"; leave it out or add one of text_transformer$"):
        validate_space({"heads": Choice((2, 4))}, {"model": "text_cnn"}, TEXT)
    with pytest.raises(InputError, match=r"; leave it out$"):
        validate_space({"patch_px": Choice((2, 4))}, {"model": "text_cnn"}, TEXT)
    with pytest.raises(InputError, match=r"; leave it out or add one of adam, adamw, muon$"):
        validate_space({"beta2": Choice((0.9, 0.99))}, {}, IMAGES)


def test_what_only_some_of_the_models_use_is_welcome():
    space = {"model": Choice(("resnet8", "vit")), "heads": Choice((2, 4))}
    validate_space(space, {"width": 64, "patch_px": 8}, IMAGES)


@pytest.mark.parametrize("size_px", [8, 28, 32, 64])
def test_the_image_space_is_valid_for_small_images(size_px):
    task = Task(kind="image", input_shape=(1, size_px, size_px), num_classes=10)
    space = image_space(("resnet8", "resnet20"), (8, 64), size_px)
    validate_space(space, FIXED, task)
    assert space["crop_padding_px"].values[-1] == size_px // 8


def test_the_text_space_is_valid():
    space = text_space(("text_transformer", "text_cnn"), (64, 128), (1, 2))
    validate_space(space, FIXED, TEXT)
    config = build_config(
        {name: d.at(0.5) for name, d in used_domains(space, {"optimizer": "adamw"}).items()}, TEXT
    )
    assert config.optimizer == "adamw"


# --- what PBT may change -------------------------------------------------------------------------


def test_all_that_can_change_is_mutable_by_default():
    assert set(mutable_part(SPACE, None)) == MUTABLE_FIELDS & set(SPACE)
    assert not {"model", "width"} & set(mutable_part(SPACE, None))


def test_named_hyperparameters_alone_are_mutable():
    part = mutable_part(SPACE, ("momentum", "learning_rate"))
    assert part == {name: SPACE[name] for name in ("learning_rate", "momentum")}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("depth",), ["mutate must be names in the space, got 'depth'; choose from model, width"]),
        (("width",), ["got 'width' (weights of one architecture don't fit another)"]),
        (("learning_rate", "model"), ["got 'model' (weights of one", "; choose from crop_padding"]),
        (("batch_size",), ["got 'batch_size' (the data stream would no longer fit)"]),
        (("optimizer",), ["got 'optimizer' (the optimizer's state or the schedule would no"]),
        (("patience_epochs",), ["got 'patience_epochs' (it judges the training as a whole)"]),
        (("precision",), ["got 'precision' (a trial is set up for it once)"]),
        ((), ["mutate must be at least one hyperparameter, got none; "]),
    ],
)
def test_what_cannot_be_mutated_is_refused_with_the_reason(names, parts):
    space = {
        **SPACE,
        "batch_size": Choice((32, 64)),
        "optimizer": Choice(("sgd", "adam")),
        "patience_epochs": Choice((0, 3)),
        "precision": Choice(("fp32", "bf16")),
    }
    with pytest.raises(InputError) as caught:
        mutable_part(space, names)
    for part in parts:
        assert part in str(caught.value)


def test_a_space_of_architectures_alone_leaves_pbt_nothing_to_mutate():
    with pytest.raises(InputError, match="at least one hyperparameter, got none; add one of"):
        mutable_part({"width": Choice((8, 16))}, None)
