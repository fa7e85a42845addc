import pytest

from sweeps.domains import Choice, Integer, Switch, Uniform
from sweeps.space_groups import group_space, join_spaces
from sweeps.spaces import MAX_ARCHITECTURES, architectures, mutable_part, validate_space
from trainables.errors import InputError
from trainables.models import MODELS, find_model
from trainables.task import Task
from trainables.trial_config import GROUPS, OPTIMIZERS, rules


def make_images(channels, height, width):
    return Task(kind="image", input_shape=(channels, height, width), num_classes=10)


IMAGES = make_images(3, 32, 32)
TEXT = Task(kind="text", input_shape=(64,), num_classes=4, vocab_size=100)
TASKS = [
    IMAGES,
    make_images(1, 8, 8),
    make_images(1, 28, 28),
    make_images(3, 31, 31),
    make_images(3, 48, 64),
    make_images(3, 1024, 1024),
    make_images(1, 2, 2),
    TEXT,
]


@pytest.mark.parametrize("has_gpus", [False, True])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: "x".join(map(str, task.input_shape)))
def test_all_groups_together_are_valid_whatever_the_task(task, has_gpus):
    space = join_spaces(GROUPS, task, has_gpus=has_gpus, has_thesaurus=True)
    validate_space(space, {"num_epochs": 1}, task)
    assert 1 < len(architectures(space, {}, task)) <= MAX_ARCHITECTURES
    assert mutable_part(space, None)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("task", [IMAGES, TEXT], ids=lambda task: task.kind)
def test_each_group_alone_is_valid(group, task):
    fixed = {"model": "resnet8" if task.kind == "image" else "text_cnn"}
    if group == "architecture":
        fixed = {}
    space = join_spaces((group,), task, has_gpus=True, fixed=fixed)
    validate_space(space, fixed, task)
    assert {rules()[name].group for name in space} == {group}


def test_all_fields_of_a_group_can_be_tuned():
    found = {
        name
        for task in (IMAGES, TEXT)
        for name in join_spaces(GROUPS, task, has_gpus=True, has_thesaurus=True)
    }
    assert found == {name for name, rule in rules().items() if rule.group}


def test_models_fit_the_image():
    space = group_space("architecture", IMAGES, has_gpus=True)
    assert space["patch_px"] == Choice((2, 4, 8))
    assert {"vit", "convmixer"} <= set(space["model"].values)
    assert group_space("architecture", make_images(1, 28, 28), has_gpus=False)["patch_px"] == (
        Choice((4, 7))
    )
    # 31 is a prime: only patches of a pixel divide it, and there would be too many.
    prime = group_space("architecture", make_images(3, 31, 31), has_gpus=False)
    assert set(prime) == {"model", "width"}
    assert not {"vit", "convmixer"} & set(prime["model"].values)


def test_every_model_of_a_group_has_widths():
    for task in TASKS[:-1]:
        for has_gpus in (False, True):
            space = group_space("architecture", task, has_gpus=has_gpus)
            assert set(space["width"].cases) == set(space["model"].values) <= set(MODELS)


def test_augmentation_grows_with_the_image():
    space = group_space("augmentation", IMAGES, has_gpus=False)
    assert (space["crop_padding_px"], space["cutout_px"]) == (Integer(0, 4), Integer(0, 16))
    tiny = group_space("augmentation", make_images(1, 2, 2), has_gpus=False)
    assert (tiny["crop_padding_px"], tiny["cutout_px"]) == (Integer(0, 1), Integer(0, 1))


def test_synonyms_need_a_thesaurus():
    without = group_space("augmentation", TEXT, has_gpus=False)
    assert "synonym_probability" not in without
    with_one = group_space("augmentation", TEXT, has_gpus=False, has_thesaurus=True)
    assert set(with_one) - set(without) == {"synonym_probability"}


def test_rates_suit_the_optimizer():
    space = group_space("optimizer", IMAGES, has_gpus=False)
    rates = space["learning_rate"]
    assert isinstance(rates, Switch)
    assert set(rates.cases) == set(OPTIMIZERS)
    assert rates.case("sgd").low > rates.case("adamw").low
    decays = group_space("regularisation", IMAGES, has_gpus=False)["weight_decay"]
    assert decays.case("adamw").low > decays.case("adam").low


def test_hardware_is_what_there_is():
    assert set(group_space("hardware", IMAGES, has_gpus=False)) == {
        "is_channels_last",
        "accumulation_steps",
    }
    assert set(group_space("hardware", TEXT, has_gpus=True)) == {
        "precision",
        "is_compiled",
        "accumulation_steps",
    }


def test_an_unknown_group_is_refused():
    for refuse in (
        lambda: group_space("augment", IMAGES, has_gpus=False),
        lambda: join_spaces(("optimizer", "augment"), IMAGES, has_gpus=False),
    ):
        with pytest.raises(InputError) as caught:
            refuse()
        assert str(caught.value) == (
            "--space must be of augmentation, architecture, optimizer, regularisation, hardware, "
            "got 'augment'; choose from these"
        )


# --- narrowing -----------------------------------------------------------------------------------


def test_muon_is_offered_only_where_a_model_can_use_it():
    resnets = join_spaces(("optimizer",), IMAGES, has_gpus=False)
    assert resnets["optimizer"] == Choice(tuple(o for o in OPTIMIZERS if o != "muon"))
    mixed = join_spaces(("architecture", "optimizer"), IMAGES, has_gpus=False)
    assert mixed["optimizer"] == Choice(OPTIMIZERS)


def test_what_the_sweeps_own_models_do_not_use_is_taken_out():
    own = {"model": Choice(("resnet8", "torchvision:resnet18"))}
    space = join_spaces(("architecture", "regularisation"), IMAGES, has_gpus=False, own={
        **own, "width": Choice((8,))
    })  # fmt: skip
    assert not {"heads", "depth", "patch_px"} & set(space)
    assert {"dropout", "stochastic_depth"} <= set(space)
    validate_space(space, {}, IMAGES)
    fixed = {"model": "torchvision:resnet18"}
    space = join_spaces(("regularisation",), IMAGES, has_gpus=False, fixed=fixed)
    assert set(space) == {"weight_decay", "patience_epochs"}


def test_what_is_fixed_is_taken_out():
    fixed = {"batch_size": 64, "optimizer": "sgd"}
    space = join_spaces(("optimizer",), IMAGES, has_gpus=False, fixed=fixed)
    assert not {"batch_size", "optimizer", "beta2"} & set(space)
    assert "learning_rate" in space
    validate_space(space, fixed, IMAGES)


def test_the_sweeps_own_domains_are_kept_as_they_are():
    own = {"momentum": Uniform(0.1, 0.2), "heads": Choice((2,))}
    space = join_spaces(("optimizer",), IMAGES, has_gpus=False, own=own)
    assert space["momentum"] == Uniform(0.1, 0.2)
    with pytest.raises(InputError, match="heads must be left out"):
        validate_space(space, {}, IMAGES)


def test_nothing_that_fits_is_refused_with_the_reason():
    with pytest.raises(InputError, match="model must be one for text data, got resnet8"):
        join_spaces(("optimizer",), TEXT, has_gpus=False)


def test_every_group_of_models_uses_all_its_fields():
    for task in (IMAGES, TEXT):
        space = group_space("architecture", task, has_gpus=False)
        options = set().union(*(find_model(name).options for name in space["model"].values))
        assert set(space) - {"model"} <= options
