"""What every scheduler must do; a new scheduler is one more entry of `SCHEDULERS`."""

import copy
import json
import math
import pickle
import random

import pytest

from analysis.records import Objective
from sweeps.domains import Uniform
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.mo_pbt import MoPbt, PopulationOptions
from sweeps.schedulers.protocol import Decision, Drop, Exploit, Report
from sweeps.schedulers.ray_stopping import RAY_STOPPING, RayStopping, StoppingOptions

MAX_EPOCHS = 9
NUM_TRIALS = 24
LEARNT = {"max": Objective("score", "max"), "min": Objective("error", "min")}
LATENCY = Objective("latency_ms", "min")


def halving(**options):
    def make(direction, seed):
        objectives = (LEARNT[direction], LATENCY)
        return MoAsha(objectives, ("latency_ms",), HalvingOptions(MAX_EPOCHS, **options))

    return make


def population(**options):
    def make(direction, seed):
        explore = Explore({"learning_rate": Uniform(0.01, 1.0)}, seed, 0.2)
        sizes = PopulationOptions(2, MAX_EPOCHS, **options)
        return MoPbt((LEARNT[direction], LATENCY), explore, sizes, seed)

    return make


def of_ray(name):
    return lambda direction, seed: RayStopping(name, LEARNT[direction], StoppingOptions(MAX_EPOCHS))


SCHEDULERS = {
    "mo_asha": halving(),
    "mo_asha_epsnet": halving(order="epsnet"),
    "mo_asha_crowding": halving(order="crowding"),
    "mo_asha_promotion": halving(variant="promotion"),
    "mo_pbt": population(),
    "mo_pbt_quorum": population(quorum_fraction=0.75),
    **{name: of_ray(name) for name in RAY_STOPPING},
}


@pytest.fixture(params=SCHEDULERS)
def make(request):
    return SCHEDULERS[request.param]


class Sweep:
    """Drives a scheduler as the adapter does, on a few gangs; everything is drawn from a seed.

    Every seventh trial fails, one report in twenty is NaN, and every fifth trial loses its gang
    once and reports two epochs again.
    """

    def __init__(self, scheduler, direction="min", seed=0, num_gangs=3):
        self.scheduler = scheduler
        self.told = []  # every decision, in order
        self._sign = 1.0 if direction == "min" else -1.0
        self._column = LEARNT[direction].column
        self._draw = random.Random(seed)
        self._num_gangs = num_gangs
        self._waiting = [f"t{number}" for number in range(NUM_TRIALS)]
        self._epoch = dict.fromkeys(self._waiting, 0)
        self._rate = {trial_id: self._draw.uniform(0.02, 0.9) for trial_id in self._waiting}
        self._lost = set()
        self._running, self._paused, self._ended = [], [], set()
        for trial_id in self._waiting:
            scheduler.on_add(trial_id, self._config(trial_id), self._known(trial_id))

    def _config(self, trial_id):
        return {"learning_rate": self._rate[trial_id]}

    @staticmethod
    def _known(trial_id):
        return {"latency_ms": 1.0 + int(trial_id[1:]) % 5}

    @property
    def is_over(self):
        return not (self._running or self._paused or self._waiting)

    def step(self):
        """Fill the gangs, and let one running trial report."""
        while len(self._running) < self._num_gangs and self._start():
            pass
        if not self._running:
            for trial_id in self._paused:  # as the adapter does when nothing can come any more
                self._end(trial_id)
            self._paused.clear()
            return
        trial_id = self._draw.choice(self._running)
        number = int(trial_id[1:])
        self._epoch[trial_id] += 1
        if number % 5 == 0 and self._epoch[trial_id] == 4 and trial_id not in self._lost:
            self._lost.add(trial_id)
            self._epoch[trial_id] = 2
        if number % 7 == 3 and self._epoch[trial_id] == 2:
            self._running.remove(trial_id)
            self._ended.add(trial_id)
            self.scheduler.on_error(trial_id)
            return
        self._follow(trial_id, self.scheduler.on_report(self._report(trial_id)))

    def _report(self, trial_id):
        epoch = self._epoch[trial_id]
        error = self._rate[trial_id] + 1 / epoch + self._draw.choice([0.0, 0.1])
        if self._draw.random() < 0.05:
            error = math.nan
        values = {self._column: self._sign * error, **self._known(trial_id)}
        is_contended = bool(self._waiting or self._paused)
        return Report(trial_id, epoch, values, is_contended)

    def _start(self):
        while self._paused:
            chosen = self.scheduler.choose_next(list(self._paused), len(self._waiting))
            self.told.append(chosen)
            if chosen is None:
                break
            assert chosen.trial_id in self._paused
            self._paused.remove(chosen.trial_id)
            if isinstance(chosen, Drop):
                self._end(chosen.trial_id)
                continue
            self._running.append(chosen.trial_id)
            return True
        if self._waiting:
            self._running.append(self._waiting.pop(0))
            return True
        return False

    def _follow(self, trial_id, decision):
        self.told.append((trial_id, decision))
        if self._epoch[trial_id] >= MAX_EPOCHS:
            decision = Decision.STOP  # a full training has no epoch left
        if decision is Decision.STOP:
            self._running.remove(trial_id)
            self._end(trial_id)
        elif decision is Decision.PAUSE or isinstance(decision, Exploit):
            self._running.remove(trial_id)
            self._paused.append(trial_id)

    def _end(self, trial_id):
        self._ended.add(trial_id)
        self.scheduler.on_complete(trial_id)

    def finish(self):
        for _ in range(NUM_TRIALS * MAX_EPOCHS * 5):
            if self.is_over:
                return self.told
            self.step()
        raise AssertionError(f"it hangs: {self._running} run, {self._paused} are paused")


def test_the_same_seed_decides_the_same(make):
    first, second = (Sweep(make("min", 3)).finish() for _ in range(2))
    assert first == second


def test_every_trial_ends(make):
    sweep = Sweep(make("min", 0))
    sweep.finish()
    assert len(sweep._ended) == NUM_TRIALS


@pytest.mark.parametrize("seed", range(3))
def test_max_and_min_are_mirror_images(make, seed):
    by_error = Sweep(make("min", 0), "min", seed).finish()
    by_score = Sweep(make("max", 0), "max", seed).finish()
    assert by_error == by_score


@pytest.mark.parametrize("num_before", [0, 7, 40, 80])
def test_restored_in_the_middle_it_decides_the_same_to_the_end(make, num_before):
    whole, half = Sweep(make("min", 1)), Sweep(make("min", 1))
    for _ in range(num_before):
        whole.step()
        half.step()
    state = json.loads(json.dumps(half.scheduler.state_dict(), allow_nan=False))
    half.scheduler = make("min", 9)
    half.scheduler.load_state_dict(state)
    assert half.scheduler.state_dict() == state
    assert half.finish() == whole.finish()


def test_a_pickled_scheduler_decides_the_same(make):
    whole, half = Sweep(make("min", 1)), Sweep(make("min", 1))
    for _ in range(40):
        whole.step()
        half.step()
    half.scheduler = pickle.loads(pickle.dumps(half.scheduler))
    assert half.finish() == whole.finish()


def test_a_state_is_a_copy(make):
    sweep = Sweep(make("min", 1))
    for _ in range(20):
        sweep.step()
    state = sweep.scheduler.state_dict()
    before = copy.deepcopy(state)
    for _ in range(20):
        sweep.step()
    assert state == before


def test_the_inputs_stay_as_they_are(make):
    scheduler = make("min", 0)
    config, known = {"learning_rate": 0.1}, {"latency_ms": 1.0}
    values = {"error": 0.5, "latency_ms": 1.0}
    for number in range(8):
        scheduler.on_add(f"t{number}", config, known)
        scheduler.on_report(Report(f"t{number}", 2, values))
    paused = ["t0", "t1"]
    scheduler.choose_next(paused, 0)
    assert (config, known, paused) == ({"learning_rate": 0.1}, {"latency_ms": 1.0}, ["t0", "t1"])
    assert values == {"error": 0.5, "latency_ms": 1.0}


def test_a_sweep_of_nothing_but_nan_ends(make, monkeypatch):
    monkeypatch.setattr(
        Sweep, "_report", lambda self, t: Report(t, self._epoch[t], {"latency_ms": 1.0})
    )
    Sweep(make("min", 0)).finish()


def test_what_is_reported_again_changes_nothing(make):
    scheduler = make("min", 0)
    for number in range(4):
        scheduler.on_add(f"t{number}", {"learning_rate": 0.1}, {"latency_ms": 1.0})
        scheduler.on_report(Report(f"t{number}", 3, {"error": 0.5, "latency_ms": 1.0}))
    state = json.dumps(scheduler.state_dict())
    for epoch in (1, 3):
        again = Report("t0", epoch, {"error": 9.0, "latency_ms": 1.0})
        assert scheduler.on_report(again) is Decision.CONTINUE
    assert json.dumps(scheduler.state_dict()) == state


def test_a_full_training_ends(make):
    scheduler = make("min", 0)
    scheduler.on_add("t0", {"learning_rate": 0.1}, {"latency_ms": 1.0})
    values = {"error": 0.5, "latency_ms": 1.0}
    decisions = {scheduler.on_report(Report("t0", epoch, values)) for epoch in (8, MAX_EPOCHS)}
    assert decisions <= {Decision.CONTINUE, Decision.PAUSE, Decision.STOP}
