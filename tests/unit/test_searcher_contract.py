"""What every searcher must do; a new searcher is one more entry of `SEARCHERS`."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

from analysis.records import Objective
from sweeps.searchers.known_latency import KnownLatencyOptions, KnownLatencySearcher
from sweeps.searchers.optuna_pool import search_pool
from sweeps.searchers.optuna_searcher import OptunaOptions
from sweeps.searchers.pool import CandidatePool, make_pool
from sweeps.searchers.random_order import RandomSearcher
from sweeps.searchers.surrogate import ForestOptions

NUM_CANDIDATES = 40
MAX_EPOCHS = 9
EPOCHS = (1, 3, 9)

LEARNT = {"max": Objective("val_accuracy", "max"), "min": Objective("val_loss", "min")}
KNOWN = {"max": Objective("samples_per_ms", "max"), "min": Objective("latency_ms", "min")}


def known_latency(pool, learnt, seed):
    return KnownLatencySearcher(
        pool,
        learnt,
        KnownLatencyOptions(max_epochs=MAX_EPOCHS, seed=seed, forest=ForestOptions(num_trees=4)),
    )


def optuna_sampler(name):
    def make(pool, learnt, seed):
        known = KNOWN[learnt.direction]
        configs = sample_configs()[: len(pool)]
        values = known.loss(pool.known[:, 0])  # back from losses
        objectives = [learnt] if name in ("tpe", "gp") else [learnt, known]
        options = OptunaOptions(MAX_EPOCHS, NUM_CANDIDATES, seed)
        return search_pool(name, configs, {known.column: values}, objectives, options)

    return make


SEARCHERS = {
    "known_latency": known_latency,
    "random_order": lambda pool, learnt, seed: RandomSearcher(len(pool), seed),
    "tpe": optuna_sampler("tpe"),
    "motpe": optuna_sampler("motpe"),
    "nsga2": optuna_sampler("nsga2"),
}
"""The Gaussian process takes seconds a suggestion: see `test_optuna_searcher.py`."""


@pytest.fixture(params=SEARCHERS)
def make(request):
    return SEARCHERS[request.param]


def sample_configs():
    generator = np.random.default_rng(0)
    return [
        {
            "model": str(generator.choice(["resnet", "vgg"])),
            "width": int(generator.integers(1, 9)),
            "learning_rate": float(10 ** generator.uniform(-4, -1)),
        }
        for _ in range(NUM_CANDIDATES)
    ]


def latency_ms(config):
    return 0.5 * config["width"] + (1.0 if config["model"] == "vgg" else 0.0)


def sample_pool(direction="min"):
    configs = sample_configs()
    sign = 1.0 if direction == "min" else -1.0
    objective = KNOWN[direction]
    values = [sign * latency_ms(config) for config in configs]
    return make_pool(configs, {objective.column: values}, [objective])


def error_after(index, epoch):
    config = sample_configs_once[index]
    off = abs(math.log10(config["learning_rate"]) + 2.5)
    return 0.1 + 0.3 * off + 0.5 / config["width"] + 0.4 / epoch


sample_configs_once = sample_configs()


def report(searcher, index, epoch, direction="min", value=None):
    loss = error_after(index, epoch) if value is None else value
    sign = 1.0 if direction == "min" else -1.0
    seconds = epoch * (1 + latency_ms(sample_configs_once[index]))
    searcher.on_report(index, epoch, {LEARNT[direction].column: sign * loss, "seconds": seconds})


def train(searcher, index, direction="min"):
    """One trial: every fourth fails, every fifth says NaN first, every third is stopped early."""
    for epoch in EPOCHS:
        if index % 4 == 0 and epoch > 1:
            searcher.on_error(index)
            return
        report(searcher, index, epoch, direction, math.nan if index % 5 == epoch else None)
        if index % 3 == 0 and epoch > 1:
            break
    searcher.on_complete(index, is_whole=index % 3 > 0)


def sweep(searcher, num, direction="min", gangs=4):
    """Suggest and train with as many trials at once as there are gangs."""
    suggested, running = [], []
    while len(suggested) < num:
        index = searcher.suggest()
        if index is None:
            break
        suggested.append(index)
        running.append(index)
        if len(running) == gangs:
            train(searcher, running.pop(0), direction)
    for index in running:
        train(searcher, index, direction)
    return suggested


def test_the_same_seed_suggests_the_same_and_another_does_not(make):
    runs = [sweep(make(sample_pool(), LEARNT["min"], seed), 30) for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_each_candidate_is_suggested_once_and_then_none_is_left(make):
    searcher = make(sample_pool(), LEARNT["min"], 0)
    assert sorted(sweep(searcher, NUM_CANDIDATES + 1)) == list(range(NUM_CANDIDATES))
    assert searcher.suggest() is None
    assert searcher.suggest() is None


def test_an_empty_pool_has_nothing_to_suggest(make):
    pool = CandidatePool(np.zeros((0, 1)), np.zeros((0, 1)), ("width",), (KNOWN["min"],))
    assert make(pool, LEARNT["min"], 0).suggest() is None


def test_max_and_min_are_mirror_images(make):
    by_loss = sweep(make(sample_pool("min"), LEARNT["min"], 1), 30, "min")
    by_score = sweep(make(sample_pool("max"), LEARNT["max"], 1), 30, "max")
    assert by_loss == by_score


@pytest.mark.parametrize("num_before", [0, 5, 27])
def test_a_state_restored_in_the_middle_suggests_the_same_to_the_end(make, num_before):
    first = make(sample_pool(), LEARNT["min"], 2)
    sweep(first, num_before)
    waiting = [first.suggest(), first.suggest()]
    report(first, waiting[0], 1)
    state = first.state_dict()
    second = make(sample_pool(), LEARNT["min"], 2)
    second.load_state_dict(json.loads(json.dumps(state, allow_nan=False)))
    assert second.state_dict() == state
    for searcher in (first, second):
        train(searcher, waiting[1])
    assert sweep(first, NUM_CANDIDATES) == sweep(second, NUM_CANDIDATES)


def test_a_pickled_searcher_suggests_the_same(make):
    first = make(sample_pool(), LEARNT["min"], 2)
    sweep(first, 15)
    second = pickle.loads(pickle.dumps(first))
    assert sweep(first, 10) == sweep(second, 10)


def test_taking_the_state_changes_nothing(make):
    left, right = (make(sample_pool(), LEARNT["min"], 5) for _ in range(2))
    found = []
    for _ in range(20):
        left.state_dict()
        found.append((sweep(left, 1), sweep(right, 1)))
    assert all(one == other for one, other in found)


def test_a_state_is_a_copy(make):
    searcher = make(sample_pool(), LEARNT["min"], 5)
    sweep(searcher, 20)
    state = searcher.state_dict()
    before = copy.deepcopy(state)
    sweep(searcher, 20)
    assert state == before


def test_a_sweep_in_which_every_trial_fails_goes_on_to_the_end(make):
    searcher = make(sample_pool(), LEARNT["min"], 0)
    for _ in range(NUM_CANDIDATES):
        index = searcher.suggest()
        report(searcher, index, 1)
        searcher.on_error(index)
    assert searcher.suggest() is None


def test_a_sweep_of_nothing_but_nan_goes_on_to_the_end(make):
    searcher = make(sample_pool(), LEARNT["min"], 0)
    for _ in range(NUM_CANDIDATES):
        index = searcher.suggest()
        searcher.on_report(index, MAX_EPOCHS, {"val_loss": math.nan, "seconds": math.nan})
        searcher.on_report(index, MAX_EPOCHS, {})
        searcher.on_complete(index, is_whole=True)
    assert searcher.suggest() is None


def test_all_may_be_asked_for_before_anything_is_reported(make):
    searcher = make(sample_pool(), LEARNT["min"], 0)
    suggested = [searcher.suggest() for _ in range(NUM_CANDIDATES)]
    assert sorted(suggested) == list(range(NUM_CANDIDATES))


def test_what_is_said_twice_changes_nothing(make):
    once, twice = (make(sample_pool(), LEARNT["min"], 6) for _ in range(2))
    for _ in range(20):
        indices = once.suggest(), twice.suggest()
        assert indices[0] == indices[1]
        for epoch in EPOCHS:
            report(once, indices[0], epoch)
            report(twice, indices[0], epoch)
            report(twice, indices[0], 1, value=99.0)
        once.on_complete(indices[0], is_whole=True)
        twice.on_complete(indices[0], is_whole=True)


def test_the_inputs_stay_as_they_are(make):
    pool = sample_pool()
    features, known = pool.features.copy(), pool.known.copy()
    searcher = make(pool, LEARNT["min"], 0)
    values = {"val_loss": 0.5, "seconds": 1.0}
    index = searcher.suggest()
    searcher.on_report(index, 1, values)
    sweep(searcher, 20)
    assert values == {"val_loss": 0.5, "seconds": 1.0}
    np.testing.assert_array_equal(pool.features, features)
    np.testing.assert_array_equal(pool.known, known)
