import json
import math
from collections import Counter

import pytest
from sample_sweep import make_plan

from analysis.records import Objective
from sweeps.combinations import used_domains
from sweeps.domains import Choice
from sweeps.searchers.optuna_pool import search_pool
from sweeps.searchers.optuna_searcher import MAX_ASKS, SAMPLERS, OptunaOptions, OptunaSearcher
from sweeps.searchers.optuna_space import SpaceCandidates

MAX_EPOCHS = 9
ACCURACY, LATENCY = Objective("val_accuracy", "max"), Objective("latency_ms", "min")
PLAN = make_plan(space=("optimizer", "architecture"), models=("resnet8", "vit"), widths=(8, 16))


def search_space(name="motpe", may_train=lambda config: True, seed=0, plan=PLAN):
    candidates = SpaceCandidates(
        plan.sampler, may_train, lambda config: {"latency_ms": float(config["width"])}
    )
    objectives = (ACCURACY, LATENCY) if name in ("motpe", "nsga2") else (ACCURACY,)
    options = OptunaOptions(MAX_EPOCHS, 20, seed)
    return OptunaSearcher(name, candidates, objectives, options), candidates


def train(searcher, index, *, epochs=MAX_EPOCHS, accuracy=0.5):
    searcher.on_report(index, epochs, {"val_accuracy": accuracy})
    searcher.on_complete(index, is_whole=epochs == MAX_EPOCHS)


def states(searcher):
    return Counter(trial["state"] for trial in searcher.state_dict()["trials"])


def last(searcher):
    return searcher.state_dict()["trials"][-1]


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "gp"])
def test_what_is_suggested_lies_in_the_space_and_its_conditions_hold(name):
    searcher, candidates = search_space(name)
    optimizers = set()
    for step in range(25):
        index = searcher.suggest()
        config = candidates.config(index).to_dict()
        optimizers.add(config["optimizer"])
        for field, domain in used_domains(PLAN.space, config).items():
            if isinstance(domain, Choice):
                assert config[field] in domain.values
            else:
                assert domain.low <= config[field] <= domain.high
        assert config["num_epochs"] == PLAN.num_epochs
        train(searcher, index, accuracy=0.1 + step / 50)
    assert len(optimizers) > 1


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "gp"])
def test_a_restored_search_of_a_space_suggests_the_same_configs(name):
    first, among = search_space(name)
    for step in range(15):
        train(first, first.suggest(), epochs=9 if step % 3 else 3, accuracy=step / 20)
    running = first.suggest()
    second, again = search_space(name)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert again.config(running) == among.config(running)
    for searcher in (first, second):
        train(searcher, running)
    for _ in range(5):
        index = first.suggest()
        assert second.suggest() == index
        assert again.config(index) == among.config(index)


def test_the_gaussian_process_goes_on_the_same_after_a_restore():
    small = make_plan(models=("resnet8",), widths=(8,))
    first, among = search_space("gp", plan=small)
    for step in range(10):  # drawn at random
        train(first, first.suggest(), accuracy=step / 20)
    second, again = search_space("gp", plan=small)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    index = first.suggest()
    assert second.suggest() == index
    assert again.config(index) == among.config(index)


def test_what_may_not_train_is_never_suggested_and_told_as_failed():
    searcher, candidates = search_space(may_train=lambda config: config.width == 8)
    for _ in range(20):
        index = searcher.suggest()
        assert candidates.config(index).width == 8
        train(searcher, index)
    assert states(searcher)["COMPLETE"] == 20
    assert states(searcher)["FAIL"] > 0
    assert states(searcher)["RUNNING"] == 0


def test_where_nothing_may_train_asking_ends():
    searcher, _ = search_space(may_train=lambda config: False)
    assert searcher.suggest() is None
    assert states(searcher) == {"FAIL": MAX_ASKS}


def test_a_full_training_is_told_with_what_was_known_of_it():
    searcher, candidates = search_space()
    index = searcher.suggest()
    train(searcher, index, accuracy=0.75)
    assert last(searcher)["values"] == [0.75, candidates.config(index).width]


@pytest.mark.parametrize(("name", "value"), [("tpe", 0.75), ("motpe", None)])
def test_what_was_stopped_is_no_final_value(name, value):
    searcher, _ = search_space(name)
    train(searcher, searcher.suggest(), epochs=3, accuracy=0.75)
    assert last(searcher)["state"] == "PRUNED"
    assert last(searcher)["intermediate"] == [[3, value]]


def test_a_stopped_trial_counts_less_than_any_that_was_trained_in_full():
    configs = [{"width": width, "rate": width / 100} for width in range(1, 60)]

    def suggested_after(epochs):
        options = OptunaOptions(MAX_EPOCHS, len(configs), 0)
        searcher = search_pool("tpe", configs, {}, (ACCURACY,), options)
        for _ in range(30):
            index = searcher.suggest()
            is_wide = configs[index]["width"] > 30
            # Wide ones look better than any, after a few epochs.
            train(
                searcher, index, epochs=epochs if is_wide else 9, accuracy=0.9 if is_wide else 0.5
            )
        return sum(configs[searcher.suggest()]["width"] > 30 for _ in range(10))

    assert suggested_after(epochs=9) > suggested_after(epochs=3)


@pytest.mark.parametrize("name", ["tpe", "motpe", "nsga2"])
def test_nothing_is_left_running(name):
    searcher, _ = search_space(name)
    train(searcher, searcher.suggest(), accuracy=math.nan)
    train(searcher, searcher.suggest(), accuracy=math.inf)
    searcher.on_complete(searcher.suggest(), is_whole=False)  # never reported
    failed = searcher.suggest()
    searcher.on_report(failed, 3, {"val_accuracy": 0.5})
    searcher.on_error(failed)
    searcher.on_error(failed)
    assert states(searcher) == {"FAIL": 4}
    assert searcher.suggest() is not None


def test_a_known_objective_without_a_value_fails():
    candidates = SpaceCandidates(PLAN.sampler, lambda config: True, lambda config: {})
    options = OptunaOptions(MAX_EPOCHS, 20, 0)
    searcher = OptunaSearcher("motpe", candidates, (ACCURACY, LATENCY), options)
    train(searcher, searcher.suggest())
    assert states(searcher) == {"FAIL": 1}
