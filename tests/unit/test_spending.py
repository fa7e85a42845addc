import dataclasses

import pytest
from sample_data import random_data
from sample_sweep import TWO_GANGS, make_plan

from sweeps.budget import epoch_key
from sweeps.prices import Price
from sweeps.resources import Node
from sweeps.spec import SweepSpec
from sweeps.spending import (
    Spending,
    clock_words,
    examination_of,
    limits_of,
    price_of,
    rungs_of,
)
from sweeps.trial_record import TrialRecord
from trainables.errors import InputError
from trainables.ledger import Account, Holding, Standing
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig(width=8, batch_size=16).to_dict()
GPU_GANGS = dataclasses.replace(TWO_GANGS, gpus_per_worker=1.0)


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def make_spending(timed_s=2.0, price=3.6, clock=None, **flags):
    plan = make_plan(**{"epochs": 10, "finalists": 0, **flags})
    found = None if price is None else Price(price, "as given")
    timed = {} if timed_s is None else {epoch_key(CONFIG): timed_s}
    return Spending(
        plan, found, limits_of(plan.spec, plan.gangs, found, 90.0),
        examination_of(plan, random_data()), timed, 90.0, clock or Clock(),
    )  # fmt: skip


def standing(held_seconds=20.0, now_s=100.0, idle_seconds=0.0, num_leases=1):
    return Standing(Holding(now_s, held_seconds, 2), False, idle_seconds, num_leases, 0)


def trained(trial_id, epoch, status="running", seconds=2.0):
    return TrialRecord(
        trial_id, CONFIG, status, epoch=epoch, epoch_seconds=[seconds] * epoch, val_seconds=0.1
    )


@pytest.mark.parametrize(
    ("flags", "gangs", "seconds", "ends_at_s"),
    [
        ({"budget_usd": 1.0}, TWO_GANGS, 1000.0, None),
        # Two CPU workers a gang: an hour of one is half an hour of a gang.
        ({"budget_gpu_hours": 1.0}, TWO_GANGS, 1800.0, None),
        ({"budget_gpu_hours": 1.0}, GPU_GANGS, 1800.0, None),
        ({"budget_gpu_hours": 0.1, "budget_usd": 1.0}, TWO_GANGS, 180.0, None),
        ({"time_limit": "2m"}, TWO_GANGS, None, 210.0),
    ],
)
def test_all_limits_become_time_of_gangs(flags, gangs, seconds, ends_at_s):
    limits = limits_of(SweepSpec(**flags), gangs, Price(3.6, ""), 90.0)
    assert limits.gang_seconds == (None if seconds is None else pytest.approx(seconds))
    assert limits.ends_at_s == ends_at_s


def test_without_a_budget_there_are_no_limits():
    assert limits_of(SweepSpec(price_usd_per_hour=1.0), TWO_GANGS, Price(1.0, ""), 0.0) is None
    assert make_spending().budget is None


def test_a_price_is_looked_for_only_where_somebody_asks():
    assert price_of(SweepSpec(), [Node(2)], TWO_GANGS) is None
    found = price_of(SweepSpec(price_usd_per_hour=0.5), [Node(2)], TWO_GANGS)
    assert found.usd_per_gang_hour == 1.0
    with pytest.raises(InputError, match="--price-usd-per-hour or --instance must be given"):
        price_of(SweepSpec(budget_usd=1.0), [Node(2)], TWO_GANGS)


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"budget_usd": 0.004}, ["--budget-usd 0.004 must pay for one epoch", "got 2 s; raise it"]),
        ({"budget_gpu_hours": 0.001}, ["--budget-gpu-hours 0.001 must pay"]),
        ({"time_limit": "12s"}, ["--time-limit must leave 3 s", "(10 s), got 12s; raise it"]),
    ],
)
def test_a_budget_below_one_epoch_is_refused_with_the_figure(flags, parts):
    with pytest.raises(InputError) as caught:
        make_spending(**flags).check_first_epoch()
    for part in parts:
        assert part in str(caught.value)
    make_spending(timed_s=None, **flags).check_first_epoch()  # nothing is known


def test_a_budget_for_some_epochs_is_taken():
    make_spending(budget_usd=0.02, time_limit="1h").check_first_epoch()


def test_the_forecast_before_the_start_rests_on_timed_steps():
    spending = make_spending()
    spending.foresee_start([TrialConfig.from_dict(CONFIG)] * 4)
    assert spending.at_start.cost_usd > 3.6 / 3600 * 4 * 10 * 2 * 0.8
    lines = spending.describe_plan()
    assert "steps timed on one worker alone, in a fresh process" in lines[-1]
    unknown = make_spending(timed_s=None)
    unknown.foresee_start([TrialConfig.from_dict(CONFIG)] * 4)
    assert unknown.at_start is None
    assert "not known before the first epochs" in unknown.describe_plan()[-1]


def test_the_forecast_after_the_first_epochs_is_kept():
    clock = Clock()
    spending = make_spending(clock=clock)
    pending = [TrialRecord(f"t{i}", CONFIG) for i in range(2, 6)]
    spending.look([trained("t0", 2), trained("t1", 1), *pending], standing())
    assert spending.after_first_epochs is None  # the second of the first two has one epoch
    spending.look([trained("t0", 3), trained("t1", 2), *pending], standing())  # at once
    kept = spending.after_first_epochs
    assert kept is not None
    assert kept.seconds == pytest.approx(10 + (6 * 10 - 5) * 2 / 2, rel=0.2)
    clock.now_s += 10
    spending.look([trained("t0", 10, "completed"), trained("t1", 9), *pending], standing())
    assert spending.after_first_epochs is kept
    assert spending.last is not kept


def test_the_first_start_on_a_gang_is_not_taken_for_what_an_epoch_costs():
    plain, spending = make_spending(), make_spending()
    trials = [trained("t0", 2), trained("t1", 2)]
    plain.look(trials, standing())
    for trial in trials:
        trial.around_seconds = [3.0, 0.0]
    spending.look(trials, standing())
    assert spending.last == plain.last


def test_the_forecast_is_not_made_anew_at_every_look():
    clock = Clock()
    spending = make_spending(clock=clock)
    trials = [trained("t0", 2), trained("t1", 2)]
    spending.look(trials, standing())
    first = spending.last
    clock.now_s += 1
    spending.look(trials, standing(25.0))
    assert spending.last is first
    clock.now_s += 5
    spending.look(trials, standing(30.0))
    assert spending.last is not first


def test_what_a_person_sees():
    spending = make_spending(budget_usd=1.0)
    assert spending.text(None) is None
    assert spending.text(standing(360.0)) == "USD 0.36 of 1"
    spending.look([trained("t0", 2), trained("t1", 2)], standing(360.0))
    assert spending.text(standing(360.0)).startswith("USD 0.36 of 1, forecast USD 0.")
    assert spending.text(standing(360.0)).endswith("to go")
    free = make_spending(price=None)
    assert free.text(standing()) is None
    free.look([trained("t0", 2), trained("t1", 2)], standing())
    assert free.text(standing()).startswith("forecast 0:")


def test_finalists_are_examined_as_far_as_the_budget_goes():
    trials = [trained("t0", 2)]
    assert make_spending(finalists=3).num_finalists(trials, standing()) == 3
    rich = make_spending(budget_usd=10.0, finalists=3)
    assert rich.num_finalists(trials, standing()) == 3
    assert rich.num_finalists(trials, standing(held_seconds=9999.0)) == 0


def test_the_end_is_told_with_the_forecasts():
    spending = make_spending()
    spending.look([trained("t0", 2), trained("t1", 2)], standing())
    account = Account(held_seconds=50.0)
    account.by_kind["training"] = 50.0
    told = spending.describe(account, [trained("t0", 2)])
    assert told["totals"]["held_gang_seconds"] == 50.0
    assert told["totals"]["held_cost_usd"] == pytest.approx(0.05)
    assert told["totals"]["carbon_kg"] is None
    assert told["ledger"] == {"training": 50.0}
    assert told["forecasts"]["final"]["seconds"] == 10.0
    assert told["forecasts"]["after_first_epochs"]["cost_usd"] > 0
    limited = make_spending(budget_usd=1.0, time_limit="1h")
    words = (
        "50.0 s of gangs held, USD 0.05, 10.0 s since the start, of --budget-usd 1, --time-limit 1h"
    )
    assert limited.spent_words(account) == words


@pytest.mark.parametrize(("scheduler", "rungs"), [("asha", (1, 3, 9)), ("pbt", ()), ("fifo", ())])
def test_only_asha_has_rungs(scheduler, rungs):
    assert rungs_of(make_plan(scheduler=scheduler, epochs=10)).epochs == rungs


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0:00"), (61, "1:01"), (3600, "1:00:00"), (59.6, "1:00")]
)
def test_times_are_short(seconds, words):
    assert clock_words(seconds) == words
