import dataclasses
import re

import pytest
from sample_data import random_data
from sample_sweep import TWO_GANGS, make_plan

from sweeps.plan import CPU_TRAIN_SAMPLES, MIN_STEPS_PER_EPOCH, default_limit_train, plan_sweep
from sweeps.resources import GangPlan
from sweeps.spec import SweepSpec
from trainables.errors import InputError
from trainables.trial_config import MUTABLE_FIELDS

FOUR_GPU_GANGS = GangPlan(
    num_gangs=4, workers_per_gang=2, cpus_per_worker=1, gpus_per_worker=1, threads_per_worker=8
)


def with_workers(num_workers: int) -> GangPlan:
    return dataclasses.replace(TWO_GANGS, workers_per_gang=num_workers)


def test_what_is_given_is_kept():
    plan = make_plan(
        trials=5, epochs=7, models=("resnet20",), widths=(4, 12), fix=("precision=bf16",),
        perturbation_epochs=3, scheduler="pbt", mutate=("momentum",),
        objectives=("val_loss:min",),
    )  # fmt: skip
    assert (plan.num_trials, plan.num_epochs, plan.perturbation_epochs) == (5, 7, 3)
    assert plan.space["model"].values == ("resnet20",)
    assert plan.space["width"].values == (4, 12)
    assert (plan.fixed["batch_size"], plan.fixed["precision"]) == (16, "bf16")
    assert (plan.fixed["num_epochs"], plan.fixed["warmup_epochs"]) == (7, 0.7)
    assert list(plan.mutable) == ["momentum"]
    assert [str(objective) for objective in plan.objectives] == ["val_loss:min"]
    assert [(c.model, c.width) for c in plan.architectures] == [("resnet20", 4), ("resnet20", 12)]


def test_defaults_suit_a_cpu_or_a_gpu():
    small, large = make_plan(), make_plan(FOUR_GPU_GANGS)
    assert (small.num_epochs, large.num_epochs) == (12, 20)
    assert (small.num_trials, large.num_trials) == (16, 16)
    assert len(small.architectures) < len(large.architectures)
    assert small.perturbation_epochs == 2
    assert large.fixed["warmup_epochs"] == 1.0


def test_a_population_is_at_least_two_trials_a_gang():
    assert make_plan(scheduler="pbt").num_trials == 8
    many = dataclasses.replace(TWO_GANGS, num_gangs=6)
    assert make_plan(many, scheduler="pbt").num_trials == 12
    assert make_plan(many, scheduler="asha").num_trials == 24


def test_only_pbt_mutates():
    assert set(make_plan(scheduler="pbt").mutable) == MUTABLE_FIELDS & set(make_plan().space)
    assert make_plan(scheduler="asha").mutable == {}


def test_a_single_epoch_is_a_valid_sweep():
    plan = make_plan(epochs=1, scheduler="asha")
    assert plan.fixed["warmup_epochs"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "values", [{"epochs": 1}, {"epochs": 4, "perturbation_epochs": 4}, {"trials": 1}]
)
def test_a_population_that_can_never_exploit_is_refused(values):
    with pytest.raises(InputError, match="must be"):
        make_plan(scheduler="pbt", **values)


@pytest.mark.parametrize("num_workers", [1, 2, 3, 5])
@pytest.mark.parametrize("num_samples", [30, 150, 3000])
def test_the_default_batch_gives_an_epoch_enough_steps(num_workers, num_samples):
    gangs = with_workers(num_workers)
    data = random_data(num_samples)
    batch_size = plan_sweep(SweepSpec(), gangs, data, None).fixed["batch_size"]
    assert 2 * num_workers <= batch_size <= 128
    assert batch_size % num_workers == 0
    is_as_small_as_can_be = batch_size <= 2 * num_workers
    assert len(data.train) // batch_size >= MIN_STEPS_PER_EPOCH or is_as_small_as_can_be


@pytest.mark.parametrize(
    ("gangs", "flags", "message"),
    [
        (
            TWO_GANGS,
            {"batch_size": 1000},
            "batch_size must be <= 90 samples (the train part), got 1000",
        ),
        (TWO_GANGS, {"batch_size": 15}, "must be a multiple of 2 workers, got 15; use 14"),
        (TWO_GANGS, {"models": ("vgg",)}, "model must be one of resnet8"),
        (TWO_GANGS, {"widths": (0,)}, "width must be >= 1"),
        (TWO_GANGS, {"scheduler": "pbt", "mutate": ("width",)}, "weights of one architecture"),
        (TWO_GANGS, {"scheduler": "pbt", "mutate": ()}, "at least one hyperparameter"),
    ],
)
def test_a_contradiction_is_refused(gangs, flags, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make_plan(gangs, **flags)


def test_the_training_part_is_cut_only_where_there_is_no_gpu():
    assert default_limit_train(SweepSpec(limit_train=100), TWO_GANGS, 8) == 100
    assert default_limit_train(SweepSpec(limit_train=100), FOUR_GPU_GANGS, 64) == 100
    assert default_limit_train(SweepSpec(), TWO_GANGS, 3) == 3 * CPU_TRAIN_SAMPLES
    assert default_limit_train(SweepSpec(), FOUR_GPU_GANGS, 64) is None
