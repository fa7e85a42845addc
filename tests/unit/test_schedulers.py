import math
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining
from sample_sweep import make_plan

from sweeps.combinations import used_domains
from sweeps.domains import Choice, Uniform
from sweeps.sampling import sample_config
from sweeps.schedulers.choose import make_scheduler
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.from_ray import RESAMPLE_PROBABILITY, RecordedPB2, RecordedPBT
from sweeps.schedulers.mo_asha import MoAsha
from sweeps.schedulers.mo_pbt import MoPbt
from sweeps.schedulers.ray_stopping import RayStopping
from sweeps.spaces import image_space, mutable_part
from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import TrialConfig

SPACE = image_space(("resnet8", "resnet14"), (8, 16), image_size_px=32)
MUTABLE = mutable_part(SPACE, None)
TASK = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)

seeds = st.integers(0, 2**31 - 1)


def ignore(*exploit):
    pass


def known(config):
    return {"latency_ms": float(config["width"])}


# --- explore -------------------------------------------------------------------------------------


@given(seed=seeds)
def test_exploring_stays_inside_the_space_and_what_can_change(seed):
    explore = Explore(MUTABLE, seed, 0.25)
    config = donor = sample_config(SPACE, {"num_epochs": 3}, TASK, seed, 0).to_dict()
    for _ in range(10):
        config = explore(config)
        TrialConfig.from_dict(config)
        for name, value in config.items():
            domain = used_domains(MUTABLE, config).get(name)
            if domain is None:
                assert value == donor[name]
            elif isinstance(domain, Choice):
                assert value in domain.values
            else:
                assert domain.low * (1 - 1e-12) <= value <= domain.high * (1 + 1e-12)


def test_the_same_seed_explores_the_same():
    donor = sample_config(SPACE, {}, TASK, 0, 0).to_dict()

    def walk(seed):
        explore = Explore(MUTABLE, seed, 0.25)
        return [explore(donor) for _ in range(5)]

    assert walk(3) == walk(3)
    assert walk(3) != walk(4)


def test_the_donors_config_is_left_alone():
    donor = sample_config(SPACE, {}, TASK, 0, 0).to_dict()
    before = dict(donor)
    assert Explore(MUTABLE, 0, 0.25)(donor) != before
    assert donor == before


def test_a_quarter_is_drawn_anew():
    explore = Explore({"momentum": Uniform(0.5, 0.9)}, 0, 0.25)
    explored = [explore({"momentum": 0.7})["momentum"] for _ in range(1000)]
    perturbed = np.isin(np.round(explored, 9), [0.56, 0.84])
    assert 1 - perturbed.mean() == pytest.approx(0.25, abs=0.05)


# --- Ray's schedulers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("fifo", FIFOScheduler), ("pbt", RecordedPBT), ("pb2", RecordedPB2)]
)
def test_the_plan_names_the_scheduler(name, kind):
    assert isinstance(make_scheduler(make_plan(scheduler=name), known, ignore), kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mo_asha", MoAsha),
        ("mo_pbt", MoPbt),
        ("asha", RayStopping),
        ("hyperband", RayStopping),
        ("median", RayStopping),
    ],
)
def test_the_plan_names_one_that_is_pure(name, kind):
    assert type(make_scheduler(make_plan(scheduler=name), known, ignore).scheduler) is kind


def test_all_objectives_but_cost_steer_ours():
    columns = [o.column for o in make_plan(scheduler="mo_asha").steering]
    assert columns == ["val_accuracy", "latency_ms"]
    assert make_scheduler(make_plan(scheduler="mo_asha"), known, ignore).scheduler.order == "peer"
    flags = ("val_accuracy:max", "latency_ms:min", "num_parameters:min")
    plan = make_plan(scheduler="mo_asha", objectives=flags)
    assert make_scheduler(plan, known, ignore).scheduler.order == "epsnet"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"scheduler": "asha", "halving_order": "peer"}, "--halving-order must be left out unless"),
        ({"scheduler": "mo_asha", "pbt_quorum": 0.5}, "--pbt-quorum must be left out unless"),
        ({"scheduler": "mo_pbt", "pbt_quorum": 1.5}, "--pbt-quorum must be > 0 and <= 1, got 1.5"),
        (
            {"scheduler": "mo_asha", "halving_order": "peer", "objectives": ("val_loss:min",)},
            "must have two objectives to steer by, of which one is known before training, got val_",
        ),
    ],
)
def test_what_does_not_fit_the_scheduler_is_one_line(flags, message):
    with pytest.raises(InputError, match=message):
        make_plan(**flags)


def test_the_first_objective_steers():
    plan = make_plan(scheduler="pbt", objectives=("val_loss:min", "val_accuracy:max"))
    scheduler = make_scheduler(plan, known, ignore)
    assert (scheduler._metric, scheduler._mode, scheduler._time_attr) == (
        "val_loss",
        "min",
        "epoch",
    )


def test_halving_takes_its_rungs_from_the_plan():
    plan = make_plan(scheduler="asha", epochs=20, grace_epochs=2, reduction_factor=3)
    rungs = make_scheduler(plan, known, ignore).scheduler._inner._brackets[0]._rungs
    assert [milestone for milestone, _ in rungs] == [18, 6, 2]


@pytest.mark.parametrize(
    ("scheduler", "epochs"),
    [
        ("asha", 1),
        ("asha", 2),
        ("asha", 7),
        ("hyperband", 1),
        ("median", 1),
        ("pbt", 2),
        ("pbt", 7),
    ],
)
def test_a_short_sweep_has_a_scheduler(scheduler, epochs):
    make_scheduler(make_plan(scheduler=scheduler, epochs=epochs, grace_epochs=5), known, ignore)


def make_trial(trial_id, config=None, checkpoint=None):
    return SimpleNamespace(trial_id=trial_id, config=config, checkpoint=checkpoint)


def make_checkpoint(path):
    return SimpleNamespace(path=path)


def test_an_exploit_is_told_with_the_donors_epoch_and_the_new_config(monkeypatch):
    told = []
    scheduler = make_scheduler(
        make_plan(scheduler="pbt"), known, lambda *exploit: told.append(exploit)
    )
    victim, donor = make_trial("victim", {"momentum": 0.1}), make_trial("donor")

    def take_over(self, controller, trial, trial_to_clone):
        assert (trial, trial_to_clone) == (victim, donor)
        trial.checkpoint = make_checkpoint("/runs/x/checkpoints/donor/epoch_0012")
        trial.config = {"momentum": 0.9}

    monkeypatch.setattr(PopulationBasedTraining, "_exploit", take_over)
    scheduler._exploit(None, victim, donor)
    assert told == [("victim", "donor", 12, {"momentum": 0.9})]


@pytest.mark.parametrize("name", ["pbt", "pb2"])
def test_the_worst_member_does_not_keep_the_only_gang(name, monkeypatch):
    """It copies a donor of its own epoch, and so is again among those that have trained least."""
    scheduler = make_scheduler(make_plan(scheduler=name), known, ignore)
    trials = [member(f"t{i}") for i in range(8)]
    controller = SimpleNamespace(get_trials=lambda: trials)
    for trial in trials:
        scheduler._trial_state[trial] = SimpleNamespace(
            last_score=None, last_train_time=0, last_perturbation_time=0, last_result=None
        )

    def become_the_donor(trial, controller, upper, lower):
        trial.status = "PAUSED"
        if trial in lower:
            state, donor = scheduler._trial_state[trial], scheduler._trial_state[upper[0]]
            state.last_train_time = donor.last_train_time
            state.last_perturbation_time = donor.last_perturbation_time

    monkeypatch.setattr(scheduler, "_save_trial_state", remember(scheduler))
    monkeypatch.setattr(scheduler, "_checkpoint_or_exploit", become_the_donor)
    epochs = scheduler._perturbation_interval
    for _ in range(100):
        chosen = scheduler.choose_trial_to_run(controller)
        epoch = scheduler._trial_state[chosen].last_train_time + epochs
        chosen.status = "RUNNING"
        score = {"epoch": epoch, "val_accuracy": float(trials.index(chosen))}
        scheduler.on_trial_result(controller, chosen, score)
    assert min(state.last_train_time for state in scheduler._trial_state.values()) >= 8 * epochs


def member(trial_id):
    trial = Mock(trial_id=trial_id, status="PAUSED", config={})
    trial.is_finished.return_value = False
    return trial


def remember(scheduler):
    """Return what keeps of a result what Ray's schedulers look at later."""

    def save(state, time, result, trial):
        state.last_score, state.last_train_time = result["val_accuracy"], time

    return save


def test_only_checkpoints_that_lie_in_storage_are_a_donors():
    scheduler = make_scheduler(make_plan(scheduler="pbt"), known, ignore)
    assert scheduler.donor_checkpoints() == set()
    for index, checkpoint in enumerate([make_checkpoint("bucket/a/epoch_0001"), None, object()]):
        scheduler._trial_state[index] = SimpleNamespace(last_checkpoint=checkpoint)
    assert scheduler.donor_checkpoints() == {"bucket/a/epoch_0001"}


def test_pbt_explores_with_our_space():
    plan = make_plan(scheduler="pbt", mutate=("momentum",), seed=5)
    scheduler = make_scheduler(plan, known, ignore)
    donor = make_trial("donor", plan.sampler.draw(0).to_dict())
    explored, _ = scheduler._get_new_config(make_trial("victim"), donor)
    assert explored == Explore(plan.mutable, 5, RESAMPLE_PROBABILITY)(donor.config)
    assert {name for name in explored if explored[name] != donor.config[name]} == {"momentum"}


@pytest.mark.parametrize("name", ["pbt", "pb2"])
def test_nan_is_the_worst_that_a_member_reported(name, monkeypatch):
    heard = []
    monkeypatch.setattr(
        PopulationBasedTraining,
        "on_trial_result",
        lambda self, controller, trial, result: heard.append(result["val_accuracy"]),
    )
    scheduler = make_scheduler(make_plan(scheduler=name), known, ignore)
    given = {"epoch": 1, "val_accuracy": math.nan}
    for result in (*({"epoch": 1, "val_accuracy": value} for value in (0.7, 0.4, 0.6)), given):
        scheduler.on_trial_result(None, make_trial("member"), result)
    assert heard == [0.7, 0.4, 0.6, 0.4]
    assert math.isnan(given["val_accuracy"])


def test_pb2_chooses_what_has_bounds_and_the_rest_is_explored():
    plan = make_plan(scheduler="pb2")
    scheduler = make_scheduler(plan, known, ignore)
    assert set(scheduler._hyperparam_bounds) == {
        "learning_rate", "momentum", "weight_decay", "label_smoothing",
    }  # fmt: skip
    outside = {**plan.sampler.draw(0).to_dict(), "learning_rate": 0.5 + 1e-8, "momentum": 0.1}
    inside = scheduler._custom_explore_fn(outside)
    assert (inside["learning_rate"], inside["momentum"]) == (0.5, 0.8)
    assert inside["crop_padding_px"] in plan.mutable["crop_padding_px"].values


class Member:
    """A trial, as far as PB2 looks at it."""

    def __init__(self, number, config):
        self.trial_id, self.config, self.evaluated_params = f"member {number}", config, {}

    def __str__(self):
        return self.trial_id


def test_pb2_chooses_new_values_from_what_members_gained():
    np.random.seed(0)  # noqa: NPY002  # PB2 draws from the global generator
    plan = make_plan(scheduler="pb2", mutate=("learning_rate", "momentum"))
    scheduler = make_scheduler(plan, known, ignore)
    members = [Member(number, plan.sampler.draw(number).to_dict()) for number in range(4)]
    for epoch in range(1, 5):
        for number, member in enumerate(members):
            state = SimpleNamespace()
            result = {"epoch": epoch, "val_accuracy": 0.1 * epoch * (number + 1)}
            scheduler._save_trial_state(state, epoch, result, member)
    donor = members[-1].config
    for member in members[:2]:
        config, _ = scheduler._get_new_config(member, members[-1])
        changed = {name for name in config if config[name] != donor[name]}
        assert changed == {"learning_rate", "momentum"}
        assert 0.01 <= config["learning_rate"] <= 0.5
        assert 0.8 <= config["momentum"] <= 0.98


def test_pb2_leaves_out_what_depends_on_an_optimizer_that_varies():
    plan = make_plan(scheduler="pb2", space=("optimizer",))
    bounds = make_scheduler(plan, known, ignore)._hyperparam_bounds
    assert "learning_rate" not in bounds
    assert "momentum" in bounds
    with pytest.raises(InputError, match="--scheduler pb2 must have a number between bounds"):
        make_plan(scheduler="pb2", space=("optimizer",), mutate=("learning_rate",))
