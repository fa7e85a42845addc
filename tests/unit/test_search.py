"""Which searcher a plan names, and what its candidates are."""

import pytest
from sample_sweep import make_plan

from sweeps.searchers.choose import make_search
from trainables.errors import InputError

POOL_SIZE = 100


@pytest.fixture(autouse=True)
def small_pool(monkeypatch):
    monkeypatch.setattr("sweeps.searchers.choose.POOL_SIZE", POOL_SIZE)


def known(config):
    return {"latency_ms": config["width"] / 8, "num_parameters": 100.0 * config["width"]}


def refuse_nothing(config):
    return None


def refuse_wide(config):
    return "too slow" if config.width > 8 else None


def search(refusal=refuse_nothing, known=known, **flags):
    return make_search(make_plan(**{"trials": 6, **flags}), refusal, known)


def test_without_a_searcher_trials_are_drawn_before_the_start():
    assert search() is None
    assert search(scheduler="mo_asha", searcher="random") is None


@pytest.mark.parametrize(
    ("flags", "searcher", "columns"),
    [
        ({"scheduler": "fifo"}, "random", []),
        ({"scheduler": "mo_asha"}, "known_latency", ["val_accuracy", "latency_ms"]),
        ({"scheduler": "mo_asha", "objectives": ("val_accuracy:max",)}, "random", []),
        (
            {"scheduler": "mo_asha", "objectives": ("val_accuracy:max", "val_loss:min",
                                                    "latency_ms:min")},
            "random",
            [],
        ),
        ({"scheduler": "asha", "searcher": "tpe"}, "tpe", ["val_accuracy"]),
        ({"searcher": "motpe"}, "motpe", ["val_accuracy", "latency_ms"]),
    ],
)  # fmt: skip
def test_the_objectives_say_which_searcher_suits(flags, searcher, columns):
    plan = make_plan(**flags)
    assert plan.searcher == searcher
    assert [objective.column for objective in plan.searching] == columns


def test_known_latency_needs_a_known_objective():
    with pytest.raises(InputError, match="one or two that are known before it, got val_accuracy"):
        make_plan(searcher="known_latency", objectives=("val_accuracy:max", "cost_usd:min"),
                  price_usd_per_hour=1.0)  # fmt: skip


def test_the_pool_holds_only_what_may_train():
    found = search(refuse_wide, scheduler="mo_asha")
    suggested = [found.config(found.searcher.suggest()) for _ in range(20)]
    assert {config.width for config in suggested} == {8}
    assert len(found.stand_ins) == 6
    num = int(found.words.split()[4])
    assert f"({POOL_SIZE - num} more are refused or have no latency_ms)" in found.words


def test_a_grid_is_the_whole_pool():
    plan = make_plan(scheduler="mo_asha", sampler="grid", space=("architecture",),
                     models=("resnet8", "resnet14"), widths=(8, 16), trials=3)  # fmt: skip
    found = make_search(plan, refuse_nothing, known)
    assert found.words == "chosen by known_latency among 4 candidates"
    found = make_search(plan, refuse_wide, known)
    assert len(found.stand_ins) == 2  # as many as can be tried


@pytest.mark.parametrize(
    "unknown", [lambda config: {}, lambda config: {"latency_ms": float("nan")}]
)
def test_what_has_no_known_figure_is_no_candidate(unknown):
    with pytest.raises(InputError, match="with latency_ms known, got none among 100;"):
        search(known=unknown, scheduler="mo_asha")


@pytest.mark.parametrize("searcher", ["tpe", "motpe", "nsga2"])
def test_optunas_candidates_may_train_and_have_stand_ins(searcher):
    found = search(refuse_wide, searcher=searcher)
    assert found.words == f"chosen by {searcher}"
    assert {config.width for config in found.stand_ins} == {8}
    assert len(found.stand_ins) == 6
    assert {found.config(found.searcher.suggest()).width for _ in range(10)} == {8}


def test_a_space_in_which_nothing_may_train_is_refused():
    with pytest.raises(InputError, match="--trials must be as many as may train in the space"):
        search(lambda config: "too slow", searcher="motpe")
