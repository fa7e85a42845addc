"""A scheduler that is told again what it was told is what it was, wherever the sweep was cut."""

import math
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers.pbt import _PBTTrialState
from sample_sweep import make_plan
from sample_table import NUM_CONFIGS, NUM_EPOCHS, write_table

from analysis.records import Objective
from sweeps.journal import Event
from sweeps.schedulers.choose import make_scheduler
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.from_ray import RecordedPB2, RecordedPBT, make_population
from sweeps.schedulers.journaled import JournaledScheduler, Replayable
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.mo_pbt import MoPbt, PopulationOptions
from sweeps.schedulers.pbt_past import PbtPast
from sweeps.schedulers.ray_stopping import RayStopping, StoppingOptions
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.random_order import RandomSearcher
from sweeps.searchers.tune_feed import SearcherFeed
from sweeps.simulate.controller import run_controller
from sweeps.simulate.path_dependent import SPACE, PathTrial
from sweeps.simulate.recorded_table import CONFIG_ID, read_table
from sweeps.simulate.replay import ReplayedTrial, Setup
from sweeps.simulate.timeline import Timeline
from sweeps.spec import SchedulerName

OBJECTIVES = (Objective("error", "min"), Objective("latency_ms", "min"))


class Written(Callback):
    """The journal of a simulated sweep, and a look at the scheduler after each event."""

    def __init__(self, look):
        self.events, self.looks = [], []
        self._look = look

    def write(self, kind, *, is_synced=False, **fields):
        self.events.append(Event(len(self.events), kind, fields))
        self.looks.append(self._look())

    def on_trial_start(self, iteration, trials, trial, **_):
        self.write("begin", trial_id=trial.trial_id)

    def on_trial_result(self, iteration, trials, trial, result, **_):
        decision = self.scheduler.decision(trial.trial_id)
        self.write("report", trial_id=trial.trial_id, result=dict(result), **decision)

    def on_trial_complete(self, iteration, trials, trial, **_):
        self.write("finish", trial_id=trial.trial_id, status="completed", reason=None)


def simulate(scheduler, look, configs, create_actor, num_workers):
    written = Written(look)
    written.scheduler = JournaledScheduler(scheduler, written.write)
    if hasattr(scheduler, "_on_exploit"):
        scheduler._on_exploit = lambda trial_id, donor_id, epoch, config: written.write(
            "exploit", trial_id=trial_id, donor_id=donor_id, donor_epoch=epoch, config=dict(config)
        )
    run_controller(
        scheduler=written.scheduler,
        search=SearcherFeed(
            RandomSearcher(len(configs), 0), lambda n: (f"t{n}", configs[n]), len(configs)
        ),
        callback=written,
        create_actor=create_actor,
        num_workers=num_workers,
        timeline=Timeline(),
    )
    return written


def look_after(scheduler, look, events):
    journaled = JournaledScheduler(scheduler, lambda *_, **__: None)
    journaled.replay(events)
    return look()


def halving(table, **options):
    scheduler = MoAsha(OBJECTIVES, table.known, HalvingOptions(NUM_EPOCHS, **options))
    return TuneAdapter(scheduler, lambda config: table.known_of(config[CONFIG_ID]))


def population(table, **options):
    explore = Explore(SPACE, 3, 0.2, used=lambda space, config: space)
    objectives = (Objective("f1", "min"), Objective("f2", "min"))
    scheduler = MoPbt(objectives, explore, PopulationOptions(2, 8, **options), 3)
    return TuneAdapter(scheduler)


def rays(table, name):
    scheduler = RayStopping(name, OBJECTIVES[0], StoppingOptions(NUM_EPOCHS))
    return TuneAdapter(scheduler, lambda config: table.known_of(config[CONFIG_ID]))


def state_of(scheduler):
    return repr((scheduler.scheduler.state_dict(), scheduler._exploits))


@pytest.mark.parametrize(
    "make",
    [
        halving,
        lambda table: halving(table, order="epsnet"),
        lambda table: halving(table, variant="promotion"),
        population,
        lambda table: population(table, quorum_fraction=0.7),
        lambda table: rays(table, "asha"),
        lambda table: rays(table, "hyperband"),
        lambda table: rays(table, "median"),
    ],
    ids=[
        "peer",
        "epsnet",
        "promotion",
        "mo_pbt",
        "mo_pbt quorum",
        "asha",
        "hyperband",
        "median",
    ],
)
def test_a_scheduler_that_is_told_again_is_what_it_was(tmp_path, make):
    table = read_table(write_table(tmp_path / "table"))
    scheduler = make(table)
    assert isinstance(scheduler, Replayable)
    if isinstance(scheduler.scheduler, MoPbt):
        draw = np.random.default_rng(1)
        configs = [
            {**{name: domain.sample(draw) for name, domain in SPACE.items()}, "start_seed": n}
            for n in range(8)
        ]
        kept = {}
        written = simulate(
            scheduler,
            lambda: state_of(scheduler),
            configs,
            lambda kwargs: PathTrial(kwargs["config"], 8, kept),
            3,
        )
        assert {"exploit", "resume"} <= {event.kind for event in written.events}
    else:
        configs = [{CONFIG_ID: n} for n in range(NUM_CONFIGS)]
        setup = Setup(3, NUM_CONFIGS)
        written = simulate(
            scheduler,
            lambda: state_of(scheduler),
            configs,
            lambda kwargs: ReplayedTrial(table, setup, kwargs["config"]),
            3,
        )
    # At an event the scheduler has decided already; what it decides next belongs to the next one.
    for cut in range(1, len(written.events)):
        if written.events[cut].kind != "admit":
            continue
        fresh = make(table)
        found = look_after(fresh, lambda fresh=fresh: state_of(fresh), written.events[:cut])
        # on_add of the trial at the cut comes after its event was written
        assert found == written.looks[cut], written.events[cut]
    fresh = make(table)
    assert look_after(fresh, lambda: state_of(fresh), written.events) == state_of(scheduler)


def test_rays_population_is_rebuilt_by_its_own_rules():
    past = PbtPast("val_accuracy", 1.0, interval_epochs=2)

    def report(trial_id, epoch, accuracy):
        fields = {"trial_id": trial_id, "result": {"epoch": epoch, "val_accuracy": accuracy}}
        past.replay(Event(0, "report", fields))

    report("a", 1, 0.1)
    assert past.members["a"].last_score is None  # its interval is not over
    report("a", 2, 0.2)
    report("b", 4, 0.9)
    assert (past.members["a"].last_score, past.members["a"].last_perturbation_time) == (0.2, 2)
    past.replay(Event(0, "exploit", {"trial_id": "a", "donor_id": "b"}))
    report("a", 5, 0.3)
    member = past.members["a"]
    assert (member.last_score, member.last_perturbation_time, member.last_train_time) == (0.3, 4, 4)


def test_a_member_of_rays_population_is_added_as_it_was():
    plan = make_plan(scheduler="pbt", trials=4, epochs=8, perturbation_epochs=2)
    scheduler = make_population(plan, lambda *_: None)
    fields = {"trial_id": "a", "result": {"epoch": 2, "val_accuracy": 0.5}}
    scheduler.replay(Event(0, "report", fields))
    manager = SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=None))
    trial = SimpleNamespace(
        trial_id="a",
        config={},
        experiment_tag="a",
        checkpoint="kept",
        run_metadata=SimpleNamespace(checkpoint_manager=manager),
    )
    trial_state = {}
    scheduler._trial_state = trial_state

    class Hashable(SimpleNamespace):
        __hash__ = object.__hash__

    trial = Hashable(**vars(trial))
    scheduler.on_trial_add(SimpleNamespace(search_alg=None), trial)
    state = trial_state[trial]
    assert (state.last_score, state.last_train_time, state.last_checkpoint) == (0.5, 2, "kept")


class Member:
    """A trial, as far as Ray's population schedulers look at it while it runs."""

    status = Trial.RUNNING

    def __init__(self, number, config):
        self.trial_id = self.experiment_tag = f"t{number}"
        self.config = config

    def is_finished(self):
        return False


def of_rays(name):
    """Return Ray's PBT or PB2 over two hyperparameters."""
    explore = Explore({} if name == "pb2" else SPACE, 3, 0.2, used=lambda space, config: space)
    common = {
        "time_attr": "epoch",
        "metric": "f1",
        "mode": "min",
        "perturbation_interval": 2,
        "log_config": False,
    }
    if name == "pbt":
        return RecordedPBT(lambda *_: None, explore, custom_explore_fn=explore, **common)
    bounds = {key: [domain.low, domain.high] for key, domain in SPACE.items()}
    return RecordedPB2(lambda *_: None, explore, hyperparam_bounds=bounds, **common)


def state_of_rays(scheduler, members):
    names = ("last_score", "last_train_time", "last_perturbation_time")
    found = [
        {key: [getattr(state, name) for name in names] for key, state in members.items()},
        scheduler._worst,
    ]
    if isinstance(scheduler, RecordedPB2):
        current = None if scheduler.current is None else scheduler.current.tolist()
        found += [scheduler.data.values.tolist(), current, scheduler.last_exploration_time]
    return repr(found)


@pytest.mark.parametrize("name", ["pbt", "pb2"])
def test_rays_population_that_is_told_again_knows_what_it_knew(name, monkeypatch):
    scheduler, events = of_rays(name), []
    draw = np.random.default_rng(1)
    members = [
        Member(n, {key: domain.sample(draw) for key, domain in SPACE.items()}) for n in range(4)
    ]
    controller = SimpleNamespace(get_trials=lambda: members)

    def write(kind, **fields):
        events.append(Event(len(events), kind, fields))

    def exploit(trial, controller, upper, lower):
        """Do what Ray's does, but for checkpoints."""
        if trial not in lower:
            return
        donor = upper[0]
        config, _ = scheduler._get_new_config(trial, donor)
        write(
            "exploit", trial_id=trial.trial_id, donor_id=donor.trial_id, donor_epoch=1,
            config=config,
        )  # fmt: skip
        trial.config = config
        state, donors = scheduler._trial_state[trial], scheduler._trial_state[donor]
        state.last_perturbation_time = donors.last_perturbation_time
        state.last_train_time = donors.last_train_time

    monkeypatch.setattr(scheduler, "_checkpoint_or_exploit", exploit)
    for member in members:
        scheduler._trial_state[member] = _PBTTrialState(member)
        write("admit", trial_id=member.trial_id, config=dict(member.config))
    for epoch in range(1, 9):
        for number, member in enumerate(members):
            value = math.nan if (epoch, number) == (4, 2) else (number + 1) / epoch
            result = {"epoch": epoch, "f1": value + member.config["learning_rate"]}
            scheduler.on_trial_result(controller, member, result)
            write("report", trial_id=member.trial_id, result=result, decision="CONTINUE")
        fresh = of_rays(name)
        JournaledScheduler(fresh, lambda *_, **__: None).replay(events)
        known = {t.trial_id: state for t, state in scheduler._trial_state.items()}
        if epoch > 1:
            assert state_of_rays(fresh, fresh._past.members) == state_of_rays(scheduler, known)
    assert sum(event.kind == "exploit" for event in events) >= 3


@pytest.mark.parametrize("name", get_args(SchedulerName))
def test_every_scheduler_of_a_sweep_that_goes_on_can_be_told_again(name):
    scheduler = make_scheduler(make_plan(scheduler=name), lambda config: {}, lambda *_: None)
    journaled = JournaledScheduler(scheduler, lambda *_, **__: None)
    config = {"trial_id": "a", "config": {}}
    journaled.replay([Event(0, "admit", config), Event(1, "reopen", config)])
