"""The space of a plan: named groups, what flags fix, batches, and what the machine must have."""

import dataclasses
import json

import pytest
import torch
from sample_data import random_data
from sample_sweep import TWO_GANGS
from sample_text import WORDS, random_source

from sweeps import plan as plan_module
from sweeps.domains import Choice, Integer, Switch, Uniform
from sweeps.plan import check_hardware, plan_sweep
from sweeps.resources import GangPlan
from sweeps.spec import SweepSpec
from trainables.data.text.dataset import split_text
from trainables.errors import InputError
from trainables.trial_config import rules

FOUR_GPU_GANGS = GangPlan(
    num_gangs=4, workers_per_gang=2, cpus_per_worker=1, gpus_per_worker=1, threads_per_worker=8
)
IMAGES = random_data(600)
TEXTS = split_text(random_source(150), seed=0)
TEXTS_WITH_SYNONYMS = split_text(random_source(150), seed=0, thesaurus={WORDS[0]: (WORDS[1],)})


def with_workers(num_workers):
    return dataclasses.replace(TWO_GANGS, workers_per_gang=num_workers)


def plan_space(data=IMAGES, gangs=TWO_GANGS, **flags):
    return plan_sweep(SweepSpec(**flags), gangs, data, None)


def groups_of(space):
    return {rules()[name].group for name in space}


def refusal(data=IMAGES, gangs=TWO_GANGS, **flags):
    with pytest.raises(InputError) as caught:
        plan_space(data, gangs, **flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Groups, and what flags fix


@pytest.mark.parametrize("has_gpus", [False, True])
@pytest.mark.parametrize("data", [IMAGES, TEXTS], ids=["image", "text"])
@pytest.mark.parametrize(
    "groups",
    [("augmentation",), ("optimizer",), ("regularisation",), ("hardware",), ("architecture",),
     ("augmentation", "optimizer"), ("hardware", "optimizer", "architecture")],
)  # fmt: skip
def test_named_groups_are_searched_and_models_besides(groups, data, has_gpus):
    plan = plan_space(data, FOUR_GPU_GANGS if has_gpus else TWO_GANGS, space=groups)
    assert groups_of(plan.space) == {*groups, "architecture"}
    assert all(rules()[name].kind in (None, data.task.kind) for name in plan.space)
    assert not set(plan.space) & set(plan.fixed)
    for index in range(20):
        plan.sampler.draw(index).check_task(data.task)


def test_a_sweep_without_groups_has_a_small_space_for_its_data():
    assert {"model", "width", "flip_probability"} <= set(plan_space(IMAGES).space)
    assert {"model", "width", "depth", "word_dropout_probability"} <= set(plan_space(TEXTS).space)


def test_without_the_architecture_group_models_are_those_of_the_small_space():
    for data in (IMAGES, TEXTS):
        small, grouped = plan_space(data), plan_space(data, space=("optimizer",))
        for name in {"model", "width", "depth"} & set(small.space):
            assert grouped.space[name] == small.space[name]


@pytest.mark.parametrize("groups", [None, ("optimizer",), ("optimizer", "architecture")])
def test_models_and_widths_that_are_named_are_searched(groups):
    plan = plan_space(models=("resnet20", "small_cnn"), widths=(4, 12), space=groups)
    assert plan.space["model"] == Choice(("resnet20", "small_cnn"))
    assert plan.space["width"] == Choice((4, 12))
    assert "patch_px" not in plan.space  # which neither has


def test_widths_alone_replace_those_of_the_group():
    plan = plan_space(widths=(8,), space=("architecture",))
    assert plan.space["width"] == Choice((8,))
    assert len(plan.space["model"].values) > 2
    assert {config.width for config in plan.architectures} == {8}


def test_named_models_bring_widths_that_the_group_has_none_for():
    plan = plan_space(models=("resnet20",), space=("architecture",))
    assert plan.space["width"] == Choice((8, 16))


@pytest.mark.parametrize("groups", [None, ("optimizer",), ("optimizer", "architecture")])
@pytest.mark.parametrize("model", ["resnet20", "torchvision:resnet18"])
def test_a_fixed_model_has_what_it_uses_and_nothing_else(groups, model):
    plan = plan_space(fix=(f"model={model}",), space=groups)
    assert "model" not in plan.space
    assert plan.fixed["model"] == model
    assert ("width" in plan.space) == (model == "resnet20")
    assert {config.model for config in plan.architectures} == {model}


def test_what_is_fixed_is_taken_out_of_the_space():
    own = {"momentum": Uniform(0.1, 0.2), "dropout": Uniform(0.0, 0.1)}
    for groups in (None, ("optimizer", "regularisation", "augmentation")):
        plan = plan_space(
            space=groups, own_space=own, fix=("momentum=0.5", "flip_probability=0.25", "width=8")
        )
        assert not {"momentum", "flip_probability", "width"} & set(plan.space)
        assert plan.space["dropout"] == own["dropout"]
        for index in range(10):
            config = plan.sampler.draw(index)
            assert (config.momentum, config.flip_probability, config.width) == (0.5, 0.25, 8)


def test_domains_of_the_sweeps_own_replace_those_of_the_groups():
    own = {"learning_rate": Uniform(0.3, 0.4), "rotation_degrees": Uniform(1.0, 2.0)}
    for groups in (None, ("optimizer",)):
        space = plan_space(space=groups, own_space=own).space
        assert {name: space[name] for name in own} == own


def test_a_schedule_with_its_own_warm_up_is_given_no_other():
    assert "warmup_epochs" not in plan_space(fix=("schedule=one_cycle",)).fixed
    plan = plan_space(space=("optimizer",), fix=("schedule=one_cycle",))
    assert "warmup_epochs" not in {**plan.space, **plan.fixed}
    mixed = plan_space(own_space={"schedule": Choice(("one_cycle", "cosine"))})
    assert {mixed.sampler.draw(i).schedule for i in range(10)} == {"one_cycle", "cosine"}


def test_texts_are_trained_with_adamw_where_nothing_else_is_said():
    plan = plan_space(TEXTS, space=("regularisation",))
    assert (plan.fixed["optimizer"], plan.fixed["learning_rate"]) == ("adamw", 1e-3)
    plan = plan_space(TEXTS, space=("regularisation",), fix=("optimizer=sgd", "learning_rate=0.1"))
    assert (plan.fixed["optimizer"], plan.fixed["learning_rate"]) == ("sgd", 0.1)


def test_synonyms_are_searched_where_there_is_a_thesaurus():
    for data, has_synonyms in ((TEXTS, False), (TEXTS_WITH_SYNONYMS, True)):
        space = plan_space(data, space=("augmentation",)).space
        assert ("synonym_probability" in space) == has_synonyms
    fix = ("synonym_probability=0.1",)
    assert plan_space(TEXTS_WITH_SYNONYMS, fix=fix).fixed["synonym_probability"] == 0.1


# Batches


@pytest.mark.parametrize(
    ("num_workers", "num_samples", "sizes"),
    [(1, 600, (32, 64, 128)), (2, 600, (32, 64, 128)), (2, 200, (32,)), (64, 600, (128,))],
)
def test_batches_of_a_group_are_those_that_workers_can_share(num_workers, num_samples, sizes):
    data = random_data(num_samples)
    plan = plan_space(data, with_workers(num_workers), space=("optimizer",))
    assert plan.space["batch_size"] == Choice(sizes)
    left_out = ", ".join(str(size) for size in (32, 64, 128) if size not in sizes)
    assert (plan.note or "").startswith(f"batch sizes {left_out} are left out" if left_out else "")
    assert (plan.note is None) == (not left_out)


def test_nothing_is_said_where_no_batch_is_left_out():
    assert plan_space(random_data(2000), space=("optimizer",)).note is None
    assert plan_space().note is None


@pytest.mark.parametrize(("num_workers", "batch_size"), [(3, 126), (5, 125)])
def test_where_no_batch_of_a_group_fits_one_is_chosen(num_workers, batch_size):
    plan = plan_space(random_data(9000), with_workers(num_workers), space=("optimizer",))
    assert "batch_size" not in plan.space
    assert plan.fixed["batch_size"] == batch_size


@pytest.mark.parametrize("num_workers", [1, 2, 3, 5])
@pytest.mark.parametrize("groups", [("hardware",), ("hardware", "optimizer")])
@pytest.mark.parametrize("gangs", [TWO_GANGS, FOUR_GPU_GANGS], ids=["cpu", "gpu"])
def test_a_batch_that_nobody_named_can_be_cut_into_parts(gangs, groups, num_workers):
    gangs = dataclasses.replace(gangs, workers_per_gang=num_workers)
    plan = plan_space(gangs=gangs, space=groups)
    for index in range(10):
        config = plan.sampler.draw(index)
        assert config.batch_size % (num_workers * config.accumulation_steps) == 0


def test_a_batch_that_was_named_is_kept():
    for flags in ({"batch_size": 6}, {"fix": ("batch_size=6",)}):
        plan = plan_space(space=("optimizer",), **flags)
        assert "batch_size" not in plan.space
        assert plan.fixed["batch_size"] == 6
    own = {"batch_size": Choice((6, 300))}  # more than half of the samples
    assert plan_space(own_space=own).space["batch_size"] == own["batch_size"]


SIZE_BY_OPTIMIZER = Switch("optimizer", {"sgd": Choice((32, 33))})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"own_space": {"batch_size": Choice((32, 33))}}, "multiple of 2 workers, got 33; use 32"),
        ({"own_space": {"batch_size": Integer(32, 64)}}, "multiple of 2 workers, got 33; use 32"),
        ({"own_space": {"batch_size": SIZE_BY_OPTIMIZER}}, "multiple of 2 workers, got 33; use 32"),
        ({"own_space": {"batch_size": Uniform(32, 64)}}, "batch_size must be a whole number"),
        ({"fix": ("batch_size=33",)}, "multiple of 2 workers, got 33; use 32"),
        ({"fix": ("batch_size=400",)}, "must be <= 360 samples (the train part), got 400"),
        (
            {"batch_size": 32, "fix": ("accumulation_steps=3",)},
            "multiple of 2 workers times 3 accumulation steps, got 32; use 30",
        ),
        ({"batch_size": 34, "space": ("hardware",)}, "times 2 accumulation steps, got 34; use 32"),
        ({"fix": ("accumulation_steps=0",)}, "accumulation_steps must be >= 1"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(flags, message):
    assert message in refusal(**flags)


# One line each, before the start


@pytest.mark.parametrize(
    ("data", "flags", "message"),
    [
        (IMAGES, {"space": ("augment",)}, "--space must be of augmentation, architecture"),
        (IMAGES, {"fix": ("speed=3",)}, "must be hyperparameters as name=value, got 'speed=3'"),
        (IMAGES, {"fix": ("heads=2",)}, "heads must be left out for model resnet8"),
        (IMAGES, {"fix": ("dropout=2",)}, "dropout must be >= 0 and <= 0.9"),
        (IMAGES, {"own_space": {"speed": Uniform(0, 1)}}, "of hyperparameters, got 'speed'"),
        (IMAGES, {"own_space": {"word_swap_probability": Uniform(0, 1)}}, "for text data"),
        (IMAGES, {"fix": ("synonym_probability=0.1",)}, "left out for image data"),
        (IMAGES, {"models": ("text_cnn",)}, "model must be one for image data, got text_cnn"),
        (IMAGES, {"models": ("torchvision:resnet18",), "widths": (8,)}, "width must be left out"),
        (TEXTS, {"fix": ("rotation_degrees=5",)}, "rotation_degrees must be left out for text"),
        (TEXTS, {"models": ("resnet8",)}, "model must be one for text data, got resnet8"),
        (TEXTS, {"fix": ("synonym_probability=0.1",)}, "must be 0 without a thesaurus, got 0.1"),
        (
            TEXTS,
            {"own_space": {"synonym_probability": Uniform(0.0, 0.3)}},
            "must be 0 without a thesaurus, got 0.3",
        ),
        (
            TEXTS,
            {"own_space": {"synonym_probability": Switch("model", {
                "text_cnn": Choice((0.0,)), "text_transformer": Choice((0.0, 0.2)),
            })}},
            "must be 0 without a thesaurus, got 0.2",
        ),
    ],
)  # fmt: skip
def test_a_space_that_cannot_be_is_refused(data, flags, message):
    assert message in refusal(data, **flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"fix": ("num_epochs=5",)}, "leave num_epochs to --epochs, got num_epochs=5; use that"),
        ({"fix": ("seed=5",)}, "leave seed to --seed, got seed=5"),
        ({"fix": ("batch_size=32",), "batch_size": 16}, "leave batch_size to --batch-size"),
        ({"fix": ("model=resnet8",), "models": ("resnet14",)}, "leave model to --models"),
        ({"fix": ("width=8",), "widths": (4,)}, "leave width to --widths"),
    ],
)
def test_what_a_flag_says_is_not_fixed_to_something_else(flags, message):
    assert message in refusal(**flags)


# Hardware


@pytest.mark.parametrize("gangs", [TWO_GANGS, FOUR_GPU_GANGS], ids=["cpu", "cuda"])
@pytest.mark.parametrize(
    ("flags", "precisions"),
    [
        ({}, ["fp32"]),
        ({"fix": ("precision=bf16",)}, ["bf16"]),
        ({"own_space": {"precision": Choice(("fp32", "fp16"))}}, ["fp32", "fp16"]),
        (
            {"own_space": {"precision": Switch("optimizer", {"sgd": Choice(("fp32", "fp16"))})}},
            ["fp32", "fp16"],
        ),
    ],
)
def test_the_machine_is_asked_for_every_precision(monkeypatch, gangs, flags, precisions):
    asked = []
    monkeypatch.setattr(plan_module, "check_precision", lambda *asking: asked.append(asking))
    check_hardware(plan_space(gangs=gangs, **flags))
    device = torch.device("cuda" if gangs is FOUR_GPU_GANGS else "cpu")
    assert asked == [(precision, device) for precision in precisions]


def test_a_precision_that_the_machine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr("trainables.precision._has_cpu_fp16", lambda: False)
    check_hardware(plan_space(fix=("precision=bf16",)))
    with pytest.raises(InputError, match="precision must be one that this CPU has, got fp16"):
        check_hardware(plan_space(fix=("precision=fp16",)))


@pytest.mark.parametrize(
    ("flags", "is_asked"),
    [
        ({}, False),
        ({"fix": ("is_compiled=false",)}, False),
        ({"fix": ("is_compiled=true",)}, True),
        ({"own_space": {"is_compiled": Choice((False, True))}}, True),
    ],
)
def test_the_machine_is_asked_for_a_compiler_where_one_is_used(monkeypatch, flags, is_asked):
    asked = []
    monkeypatch.setattr(plan_module, "check_compiler", asked.append)
    check_hardware(plan_space(**flags))
    assert asked == ([torch.device("cpu")] if is_asked else [])


# What nobody decided


def test_crops_suit_the_image_and_grey_ones_are_not_mirrored():
    grey = plan_space(random_data(300), space=("regularisation",))
    assert (grey.fixed["crop_padding_px"], grey.fixed["flip_probability"]) == (1, 0.0)
    colour = plan_space(random_data(300, shape=(3, 32, 32)), space=("regularisation",))
    assert colour.fixed["crop_padding_px"] == 4
    assert "flip_probability" not in colour.fixed


@pytest.mark.parametrize("groups", [None, ("regularisation",)])
def test_the_learning_rate_suits_the_optimizer(groups):
    plan = plan_space(random_data(300), space=groups, fix=("optimizer=adamw",))
    rates = [plan.sampler.draw(index).learning_rate for index in range(20)]
    assert max(rates) <= 0.01


def test_a_schedule_with_a_warm_up_of_its_own_gets_no_other():
    own = {"schedule": Choice(("one_cycle",))}
    plan = plan_space(random_data(300), own_space=own)
    assert plan.sampler.draw(0).warmup_epochs == 0.0


@pytest.mark.parametrize(
    ("objectives", "needs"),
    [
        (("val_accuracy:max", "energy_kwh:min"), "a GPU"),
        (("val_accuracy:max", "peak_memory_bytes:min"), "a GPU"),
        (("val_top5_accuracy:max",), "more than 5 classes"),
    ],
)
def test_an_objective_that_is_never_known_is_refused(objectives, needs):
    with pytest.raises(InputError, match=f"which needs {needs}"):
        plan_space(random_data(300), objectives=objectives)


def test_a_large_grid_asks_how_many_trials():
    with pytest.raises(InputError, match="--trials must be given for a grid of more than 256"):
        plan_space(random_data(300), space=("regularisation",), sampler="grid")
    plan = plan_space(random_data(300), space=("regularisation",), sampler="grid", trials=5)
    assert plan.num_trials == 5


def test_widths_may_depend_on_the_optimizer():
    widths = {"adam": Choice((4, 8)), "adamw": Choice((16,))}
    own = {"optimizer": Choice(("adam", "adamw")), "width": Switch("optimizer", widths)}
    plan = plan_space(random_data(300), own_space=own)
    assert {config.width for config in plan.architectures} == {4, 8, 16}


def test_own_domains_are_told_apart_in_json():
    own = {"dropout": Uniform(0.0, 0.5), "cutout_px": Integer(0, 2)}
    written = json.loads(json.dumps(SweepSpec(own_space=own).to_dict()))["own_space"]
    assert written["dropout"] == {"type": "Uniform", "low": 0.0, "high": 0.5, "is_log": False}
    assert written["cutout_px"]["type"] == "Integer"
